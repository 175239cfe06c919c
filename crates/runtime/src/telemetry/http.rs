//! A small HTTP server for `/metrics`, `/healthz` and `/readyz`: three pages, read by machines that ask every few seconds.
//!
//! One thread accepts; each connection has a short-lived thread of its own, is answered once and closed. Whoever is slow or hostile meets
//! named limits and harms nobody else:
//!
//! | limit | what happens beyond it |
//! | --- | --- |
//! | [`MAX_CONNECTIONS`] open | the oldest one is closed for the new one |
//! | [`PATIENCE`] from accepting to the last byte | closed |
//! | [`MAX_HEAD_BYTES`] of request | 431 |
//! | [`MAX_HEADERS`] | 431 |
//! | methods but GET and HEAD | 405; a body is never read |
//!
//! Workers are not touched: they add to counters, and a page is made from those by the thread that asked. There is no TLS and no
//! authentication, which is why it listens on the loopback unless told otherwise.

use super::Telemetry;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections open at a time.
pub const MAX_CONNECTIONS: usize = 32;
/// How long a connection may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Size of a request up to its body.
pub const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Headers of a request.
pub const MAX_HEADERS: usize = 64;

/// How often it looks whether it has to stop, and how long it rests when the system is out of descriptors.
const GLANCE: Duration = Duration::from_millis(20);
/// A page is made on it; no recursion, no large arrays.
const STACK_BYTES: usize = 256 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn start(address: SocketAddr, telemetry: Arc<Telemetry>) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || accept(&listener, &telemetry, &stop)
        })?;
        Ok(Server { address, stop, thread: Some(thread) })
    }

    /// Where it listens: with the port that the system chose, if that was left to it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends by itself, or has panicked, which the log has.
            let _ = thread.join();
        }
    }
}

/// A connection at work.
struct Open {
    stream: TcpStream,
    is_done: Arc<AtomicBool>,
}

fn accept(listener: &TcpListener, telemetry: &Arc<Telemetry>, stop: &AtomicBool) {
    let mut open: VecDeque<Open> = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                open.retain(|open| !open.is_done.load(Ordering::Acquire));
                while open.len() >= MAX_CONNECTIONS {
                    if let Some(oldest) = open.pop_front() {
                        let _ = oldest.stream.shutdown(Shutdown::Both);
                    }
                }
                // One that is gone already, or for which there is no thread, is closed by being dropped.
                if let Ok(one) = begin(stream, telemetry) {
                    open.push_back(one);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Nobody there, somebody who left before it was his turn, or no descriptor left: each passes.
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
    for left in open {
        let _ = left.stream.shutdown(Shutdown::Both);
    }
}

/// Answers a connection on a thread of its own.
fn begin(stream: TcpStream, telemetry: &Arc<Telemetry>) -> io::Result<Open> {
    // Some systems let it inherit the listener's mode.
    stream.set_nonblocking(false)?;
    let is_done = Arc::new(AtomicBool::new(false));
    let mut own = stream.try_clone()?;
    let (telemetry, done) = (Arc::clone(telemetry), Arc::clone(&is_done));
    std::thread::Builder::new().name("http-answer".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        // A client that went away needs no answer.
        let _ = serve(&mut own, &telemetry);
        let _ = own.shutdown(Shutdown::Both);
        done.store(true, Ordering::Release);
    })?;
    Ok(Open { stream, is_done })
}

fn serve(stream: &mut TcpStream, telemetry: &Telemetry) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::with_capacity(1024);
    let answer = loop {
        match parse(&head) {
            Parsed::Request { method, path } => break respond(&method, &path, telemetry),
            Parsed::Refused(answer) => break answer,
            Parsed::More => {}
        }
        let mut chunk = [0; 1024];
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(chunk.get(..read).unwrap_or_default());
    };
    let bytes = answer.bytes();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let written = stream.write(rest)?;
        if written == 0 {
            return Ok(());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The time that is left to a connection.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

enum Parsed {
    More,
    Request { method: String, path: String },
    Refused(Answer),
}

fn parse(head: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
            let path = path.split('?').next().unwrap_or_default();
            Parsed::Request { method: method.to_owned(), path: path.to_owned() }
        }
        Ok(httparse::Status::Partial) if head.len() >= MAX_HEAD_BYTES => Parsed::Refused(Answer::too_large()),
        Ok(httparse::Status::Partial) => Parsed::More,
        Err(httparse::Error::TooManyHeaders) => Parsed::Refused(Answer::too_large()),
        Err(_) => Parsed::Refused(Answer::text("400 Bad Request", "not a request\n")),
    }
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
    /// HEAD has the headers of GET and no body.
    has_body: bool,
}

impl Answer {
    fn new(status: &'static str, content_type: &'static str, body: String) -> Answer {
        Answer { status, content_type, body, has_body: true }
    }

    fn text(status: &'static str, body: &str) -> Answer {
        Answer::new(status, TEXT, body.to_owned())
    }

    fn too_large() -> Answer {
        Answer::text("431 Request Header Fields Too Large", "too long\n")
    }

    fn bytes(&self) -> Vec<u8> {
        let Answer { status, content_type, body, has_body } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n",
            body.len()
        );
        let body = if *has_body { body.as_str() } else { "" };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

fn respond(method: &str, path: &str, telemetry: &Telemetry) -> Answer {
    let has_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Answer::text("405 Method Not Allowed", "only GET and HEAD\n"),
    };
    let answer = match path {
        "/metrics" => match telemetry.page() {
            Ok(page) => Answer::new("200 OK", METRICS, page),
            Err(error) => Answer::text("500 Internal Server Error", &format!("{error}\n")),
        },
        "/healthz" => match telemetry.ailments() {
            ailments if ailments.is_empty() => Answer::text("200 OK", "alive\n"),
            ailments => Answer::text("503 Service Unavailable", &(ailments.join("\n") + "\n")),
        },
        "/readyz" => {
            let reasons = telemetry.readiness().reasons;
            let status = if reasons.is_empty() { "200 OK" } else { "503 Service Unavailable" };
            let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
            Answer::new(status, JSON, format!("{body}\n"))
        }
        _ => Answer::text("404 Not Found", "/metrics, /healthz or /readyz\n"),
    };
    Answer { has_body, ..answer }
}
