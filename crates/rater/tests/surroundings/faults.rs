//! A store that misbehaves while records are rated from it: slow answers, loads that are killed half-way, a definition that nobody can read.
//! Nothing is rated wrong, nothing is lost, and it mends itself.

use crate::deployment::{Running, write_file};
use crate::store::{BEFORE, Chain, REFERENCE};
use crate::support::command;
use directory::cache::{IdentityKey, Version};
use directory::store::{Author, Change, Kind, Store, TakeOver, parse_key};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use testkit::services::Cassandra;
use testkit::store::settings;

const OLD_PRICE: [&str; 2] = ["acme -> beta 0.25", "beta -> northstar 0.2"];
const NEW_PRICE: [&str; 2] = ["acme -> beta 0.45", "beta -> northstar 0.4"];

/// Stands before a node, and gives its answers back later than they come. They stay in order and lose no speed.
struct SlowProxy {
    address: String,
    delay_ms: Arc<AtomicU64>,
}

impl SlowProxy {
    fn before(node: &str) -> SlowProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let (node, delay) = (node.to_owned(), delay_ms.clone());
        // It ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&node) {
                    carry(client, server, &delay);
                }
            }
        });
        SlowProxy { address, delay_ms }
    }

    fn answer_after(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).expect("milliseconds"), Ordering::SeqCst);
    }
}

fn carry(client: TcpStream, server: TcpStream, delay_ms: &Arc<AtomicU64>) {
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let (mut from_server, mut to_client, delay_ms) = (server, client, delay_ms.clone());
    thread::spawn(move || {
        let mut part = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut part) {
            let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::SeqCst));
            if sender.send((due, part[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, part)) = receiver.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to_client.write_all(&part).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

fn meters(numbers: std::ops::Range<u32>) -> String {
    numbers.fold("endpoints:\n".to_owned(), |mut text, number| {
        let _ = writeln!(text, "  meter-{number}: {{ customer: acme, imsi: 00101{number:010} }}");
        text
    })
}

/// A look-up may take 2 s here. Answers come after 1.2 s, and then after 5 s.
#[test]
fn slow_answers_cost_time_and_nothing_else() {
    let cassandra = Cassandra::shared().expect("a node");
    let mut chain = Chain::new("slow", cassandra);
    chain.apply(&format!("format: rater/v1\n{}", meters(10..30)));
    let proxy = SlowProxy::before(cassandra.address());
    chain.node.clone_from(&proxy.address);
    let mut running = chain.start(&[]);
    chain.write("warm", 10, BEFORE);
    chain.write("stranger", 99, BEFORE);
    chain.wait_for_charges(2, &mut running);
    chain.kafka.wait_for("suspense", 1, &mut running);

    // More than half of what there is: everything is answered, and changes are seen.
    proxy.answer_after(Duration::from_millis(1_200));
    for number in 10..15 {
        chain.write(&format!("slow-{number}"), number, BEFORE);
    }
    chain.wait_for_charges(2 + 2 * 5, &mut running);
    cassandra.address().clone_into(&mut chain.node);
    chain.apply("format: rater/v1\nendpoints: { meter-10: { customer: zeta, imsi: 001010000000010 } }\n");
    running.wait_for_words("version 3 is served");
    chain.write("moved", 10, BEFORE);
    chain.wait_for_charges(12 + 2, &mut running);
    assert!(!running.said().contains("does not confirm"), "{}", running.said());

    // More than there is: as if nobody answered. What is at hand is served, strangers among it; what is not is waited for.
    proxy.answer_after(Duration::from_secs(5));
    running.wait_for_words("does not confirm");
    chain.write("stranger-again", 99, BEFORE);
    chain.write("at-hand", 11, BEFORE);
    chain.wait_for_charges(14 + 2, &mut running);
    chain.kafka.wait_for("suspense", 2, &mut running);
    // A stranger keeps those waiting that stand behind it in its partition, and nobody else.
    chain.write("waits-15", 15, BEFORE);
    for number in 0..8 {
        chain.write(&format!("beside-{number}"), 11 + number % 4, BEFORE);
    }
    chain.wait_for_charges(16 + 2, &mut running);
    for number in 16..20 {
        chain.write(&format!("waits-{number}"), number, BEFORE);
    }
    thread::sleep(Duration::from_secs(5));
    let beside = chain.kafka.read("charges").len() - 16;
    assert!((2..=2 * 8).contains(&beside), "{beside}");
    assert!(chain.charged().keys().all(|id| !id.starts_with("waits")));
    assert_eq!(chain.kafka.read("suspense").len(), 2);

    proxy.answer_after(Duration::ZERO);
    chain.wait_for_charges(16 + 2 * (5 + 8), &mut running);
    running.wait_for_words("confirms again");
    running.stop();
    assert_eq!(chain.kafka.read("suspense").len(), 2);
    let charged = chain.charged();
    assert_eq!(charged.len(), 13 + 8);
    for (id, levels) in charged {
        let expected = if id == "moved" { ["zeta -> beta 0.25", "beta -> northstar 0.2"] } else { OLD_PRICE };
        assert_eq!(levels, expected, "{id}");
    }
}

/// The store of a chain, as the library sees it, and what runs its requests.
fn library(chain: &Chain) -> (tokio::runtime::Runtime, Store) {
    let settings = settings(&chain.node, &chain.keyspace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime.block_on(Store::connect(&settings)).expect("a store");
    (runtime, store)
}

/// Starts to write, is stopped when its first endpoint is there and its last is not, and is killed. `rated` is done in between.
fn killed_half_way(chain: &Chain, arguments: &[&str], first: &str, last: &str, rated: impl FnOnce()) {
    let (runtime, store) = library(chain);
    let before = runtime.block_on(store.head_row()).expect("a head").head;
    let mut writing = command(chain.kafka.folder.path());
    writing.arg("directory").args(arguments).args(chain.store()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut writing = writing.spawn().expect("the program runs");
    let is_written = |key: &str| {
        let row = runtime.block_on(store.head_row()).expect("a head");
        let Some(claim) = row.claim else { return false };
        let unseen = directory::cache::Head { version: claim.version, ..row.head };
        let key: [IdentityKey; 1] = [parse_key(key).expect("a key")];
        let found = runtime.block_on(store.endpoints_at(&unseen, &key)).expect("rows");
        found.iter().any(|(_, rows)| !rows.is_empty())
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_written(first) {
        assert!(Instant::now() < deadline && writing.try_wait().expect("a process").is_none(), "it does not write");
        thread::sleep(Duration::from_millis(5));
    }
    let id = Pid::from_child(&writing);
    kill_process(id, Signal::STOP).expect("a signal");
    rated();
    writing.kill().expect("a signal");
    assert!(writing.wait().expect("an end").code().is_none(), "it was done before it was killed");
    assert!(is_written(first) && !is_written(last), "it was not in the middle");
    let after = runtime.block_on(store.head_row()).expect("a head");
    assert_eq!(after.head.version, before.version);
}

#[test]
fn a_load_that_is_killed_half_way_leaves_the_last_whole_version() {
    let chain = Chain::new("half", Cassandra::shared().expect("a node"));
    let folder = chain.kafka.folder.path();
    let many = |name: &str, count: u32| {
        let mut csv = "endpoint,customer,imsi\n".to_owned();
        for number in 0..count {
            let _ = writeln!(csv, "{name}-{number:06},acme,23415{number:010}");
        }
        csv
    };
    // Dearer, and so many endpoints more that it takes a while. All of them come before the meters by their names.
    let dearer = REFERENCE.replace("0.20/MB", "0.40/MB");
    write_file(folder, "dearer.yaml", &dearer);
    write_file(folder, "many.csv", &many("box", 22_000));
    let mut running = chain.start(&[]);
    chain.write("before", 1, BEFORE);
    chain.wait_for_charges(2, &mut running);
    let rates = |ids: [&str; 2], running: &mut Running, charges: usize| {
        for (id, imsi) in ids.into_iter().zip([1, 2]) {
            chain.write(id, imsi, BEFORE);
        }
        chain.wait_for_charges(charges, running);
    };

    let load = ["load", "dearer.yaml", "many.csv", "--replace"];
    let running_too = &mut running;
    killed_half_way(&chain, &load, "box-000000", "box-021999", || rates(["while-1", "while-2"], running_too, 2 + 4));
    rates(["killed-1", "killed-2"], &mut running, 6 + 4);
    chain.directory(&["get", "box-000000"]).expect(1);
    // The next one takes over; what the killed one wrote counts for nobody.
    let said = chain.directory(&load).expect(1);
    assert!(said.stderr.contains("is being written by"), "{}", said.stderr);
    chain.directory(&[&load[..], &["--take-over"]].concat()).expect(0);
    running.wait_for_words("version 3 is served");
    rates(["loaded-1", "loaded-2"], &mut running, 10 + 4);

    // The same with a change.
    write_file(folder, "many.csv", &many("tag", 5_000).replace("23415", "23430"));
    write_file(folder, "cheaper.yaml", REFERENCE);
    let apply = ["apply", "cheaper.yaml", "many.csv", "--yes"];
    let running_too = &mut running;
    killed_half_way(&chain, &apply, "tag-000000", "tag-004999", || {
        rates(["change-1", "change-2"], running_too, 14 + 4);
    });
    rates(["changed-1", "changed-2"], &mut running, 18 + 4);
    chain.directory(&[&apply[..], &["--take-over"]].concat()).expect(0);
    running.wait_for_words("version 5 is served");
    rates(["after-1", "after-2"], &mut running, 22 + 4);
    running.stop();

    assert!(chain.kafka.read("suspense").is_empty());
    for (id, levels) in chain.charged() {
        let is_dear = ["loaded", "change"].iter().any(|name| id.starts_with(name));
        assert_eq!(levels, if is_dear { NEW_PRICE } else { OLD_PRICE }, "{id}");
    }
}

/// Written past `rater directory`, which would refuse it. The others of the batch are charged; its records wait, say what is wrong and
/// where, and are charged by themselves when it is mended.
#[test]
fn an_endpoint_that_cannot_be_read_waits_alone() {
    let chain = Chain::new("flawed", Cassandra::shared().expect("a node"));
    let mut running = chain.start(&[]);
    chain.tick("2026-05-01T12:00:10Z");
    let (runtime, store) = library(&chain);
    let (good, broken) = ("{customer: acme, imsi: 001010000000001}", "{customer: nobody, imsi: 001010000000001}");
    let broken = Change::new(Kind::Endpoint, "meter-1".into(), Some(good.into()), Some(broken.into()));
    let version = runtime.block_on(async {
        let head = store.head_row().await.expect("a head").head;
        let author = Author { actor: "test".to_owned(), process: "past the program".to_owned(), note: String::new() };
        let writer = store.begin(&head, author, TakeOver::Silent).await.expect("the claim");
        writer.finish(&[broken], &mut |_| {}).await.expect("committed")
    });
    assert_eq!(version, Version(2));
    running.wait_for_words("version 2 is served");
    for number in 0..10 {
        chain.write(&format!("record-{number}"), 1 + number % 2, BEFORE);
    }
    chain.wait_for_charges(2 * 5, &mut running);
    chain.kafka.wait_for("suspense", 5, &mut running);
    running.wait_for_words("cannot be read, whose records wait; the first: R101 at 1:12 of an endpoint in store@2");
    let waiting = chain.kafka.read("suspense");
    for message in &waiting {
        let reason = message.headers.iter().find(|(name, _)| name == "rater-reason").map(|(_, reason)| &**reason);
        assert_eq!(reason, Some("endpoint_unreadable"));
        let value = String::from_utf8_lossy(&message.value);
        assert!(value.contains("R101 at 1:12 of endpoint \"meter-1\" in store@2: account \"nobody\""), "{value}");
    }
    chain.apply("format: rater/v1\nendpoints: { meter-1: { customer: acme, imsi: 001010000000001 } }\n");
    running.wait_for_words("version 3 is served");
    // Tried again 10 s after it came to wait.
    chain.tick("2026-05-01T12:00:30Z");
    chain.wait_for_charges(2 * 10, &mut running);
    running.stop();
    assert!(chain.charged().values().all(|levels| *levels == OLD_PRICE));
}
