//! A schema registry for tests: a small HTTP server on a free port that speaks Confluent's interface, with its error codes, and fails when
//! told to. Compatibility is checked with the Avro library, towards the last version or all of them, as a subject's level says.
//!
//! | module | owns |
//! | --- | --- |
//! | `http` | requests and answers |
//! | `store` | subjects, versions, ids, compatibility |
//!
//! Deliberately left out: deleting, modes, contexts, normalisation, and resolving references, which are kept and shown only.

mod http;
mod store;

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;

/// What happens to a request instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with this body.
    Answer(u16, Vec<u8>),
    /// The answer comes this much later.
    Slow(Duration),
    /// The connection is closed without an answer.
    Closed,
}

#[derive(Debug, Default)]
struct Shared {
    store: Mutex<Store>,
    /// For the next requests, one each.
    faults: Mutex<VecDeque<Fault>>,
    /// For all requests after them.
    lasting: Mutex<Option<Fault>>,
    /// `method path` of all requests, in the order in which they came.
    log: Mutex<Vec<String>>,
    /// The `authorization` header that is asked for.
    authorization: Mutex<Option<String>>,
    count: AtomicU64,
    is_stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A panic of another test's thread leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running registry. Stops when dropped.
#[derive(Debug)]
pub struct TestRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl TestRegistry {
    /// Starts an empty one on a free port.
    ///
    /// # Errors
    /// No port.
    pub fn start() -> io::Result<TestRegistry> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), served) = (stream, Arc::clone(&served)) else { continue };
                let Ok(copy) = stream.try_clone() else { continue };
                lock(&served.open).push(copy);
                std::thread::spawn(move || {
                    // A client that breaks off is its own matter.
                    let _ = served.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(TestRegistry { address, shared, listener: Some(thread) })
    }

    /// Such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came so far, those that failed included.
    pub fn requests(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// `GET /schemas/ids/1` and so on: all requests so far, without queries.
    pub fn log(&self) -> Vec<String> {
        lock(&self.shared.log).clone()
    }

    /// The next requests fail like this, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// All requests fail like this, until told otherwise.
    pub fn fail_always(&self, fault: Option<Fault>) {
        *lock(&self.shared.lasting) = fault;
    }

    /// Requests need this `authorization` header.
    pub fn ask_for(&self, authorization: &str) {
        *lock(&self.shared.authorization) = Some(authorization.to_owned());
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = http::read(&mut reader)? {
            self.count.fetch_add(1, Ordering::SeqCst);
            lock(&self.log).push(format!("{} /{}", request.method, request.segments.join("/")));
            let next = lock(&self.faults).pop_front();
            let fault = next.or_else(|| lock(&self.lasting).clone());
            match fault {
                Some(Fault::Answer(status, body)) => {
                    http::write(stream, status, &body)?;
                    continue;
                }
                Some(Fault::Closed) => return Ok(()),
                Some(Fault::Slow(pause)) => std::thread::sleep(pause),
                None => {}
            }
            let wanted = lock(&self.authorization).clone();
            let (status, body) = if wanted.is_some() && wanted != request.authorization {
                (401, serde_json::json!({ "error_code": 40101, "message": "Unauthorized" }))
            } else {
                lock(&self.store).answer(&request)
            };
            http::write(stream, status, body.to_string().as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}
