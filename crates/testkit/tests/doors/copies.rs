//! A suspended record and its copies are one record, whenever they come and whichever is recycled first.

use crate::support::{Deployment, LIMIT, usage};
use crate::{KNOWN, LATER, PARTITIONS, REFERENCE, mended};
use std::thread;
use std::time::{Duration, Instant};

const TIME: &str = "2026-03-10T00:00:00Z";
/// Older than the window from the beginning.
const TOO_LATE: &str = "2026-03-01T00:00:00Z";
const WINDOW_H: u32 = 72;

/// When copies come: while the id is in the window, behind it, and after everything was tried again.
const COPIES: [[bool; 3]; 6] = [
    [false, true, false],
    [true, false, false],
    [false, false, true],
    [true, true, false],
    [true, true, true],
    [false, false, false],
];

/// How somebody asks.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// Id by id: without and then with `late`, or the other way round.
    ById,
    /// All, without and then with `late`.
    AllThenLate,
    /// All, with and then without `late`.
    LateThenAll,
}

/// What is suspended: a record of no endpoint, one leg of a record, a record that came too late.
const KINDS: [&str; 3] = ["endpoint", "leg", "late"];

fn record(kind: &str, copies: usize) -> (String, String) {
    let id = format!("{kind}-{copies}");
    let line = match kind {
        "endpoint" => usage(&id, LATER, TIME),
        "leg" => usage(&id, KNOWN, TIME).replace("data", "sms").replace("octets", "messages"),
        _ => usage(&id, KNOWN, TOO_LATE),
    };
    (id, line)
}

/// Writes all records again of which a copy comes now, each to the partition of this number from that of the record on.
fn write(deployment: &Deployment, shift: u32, is_wanted: impl Fn(&[bool; 3]) -> bool) {
    let mut messages = Vec::new();
    for kind in KINDS {
        for (at, _) in COPIES.iter().enumerate().filter(|(_, copies)| is_wanted(copies)) {
            let number = u32::try_from(at).expect("small");
            messages.push(((number + shift) % 2, record(kind, at).1));
        }
    }
    deployment.write("usage", messages);
}

fn copies(name: &str, skip_intake: bool, ask: Ask) {
    let deployment = Deployment::new(name, PARTITIONS, skip_intake, Some(WINDOW_H));
    // Without intake all copies come to one partition.
    let shift = u32::from(!skip_intake);
    let running = deployment.start(REFERENCE);
    deployment.tick(TIME);
    // A record in the window shows that the clocks have moved; both partitions have to be there.
    settle(&deployment, 1, &running);
    write(&deployment, 0, |_| true);
    let all = KINDS.len() * COPIES.len();
    deployment.wait("waiting", &running, |deployment| deployment.open().len() == all);
    write(&deployment, shift, |copies| copies[0]);
    settle(&deployment, 2, &running);
    // Five days, in which what is tried again by itself is tried for the last time.
    let deadline = Instant::now() + LIMIT;
    for hour in 1.. {
        let at: jiff::Timestamp = TIME.parse().expect("a time");
        deployment.tick(&(at + jiff::SignedDuration::from_hours(26 * hour)).to_string());
        thread::sleep(Duration::from_millis(300));
        if hour > 5 && deployment.open().iter().all(|open| open.due.is_none()) {
            break;
        }
        assert!(Instant::now() < deadline, "{:#?}", deployment.open());
    }
    write(&deployment, shift, |copies| copies[1]);
    settle(&deployment, 3, &running);
    running.stop().expect("a clean end");

    let running = deployment.start(&mended());
    settle(&deployment, 4, &running);
    let ids: Vec<String> = deployment.open().into_iter().filter_map(|open| open.waited.usage_id).collect();
    let lates = match ask {
        Ask::ById | Ask::AllThenLate => [false, true],
        Ask::LateThenAll => [true, false],
    };
    for late in lates {
        match ask {
            Ask::ById => ids.iter().enumerate().for_each(|(at, id)| deployment.recycle(&[id], late ^ (at % 2 == 0))),
            Ask::AllThenLate | Ask::LateThenAll => deployment.recycle(&[], late),
        }
        thread::sleep(Duration::from_millis(300));
    }
    deployment.wait("nothing waits", &running, |deployment| deployment.open().is_empty());
    write(&deployment, shift, |copies| copies[2]);
    settle(&deployment, 5, &running);
    deployment.recycle(&[], true);
    settle(&deployment, 6, &running);
    deployment.wait("nothing waits", &running, |deployment| deployment.open().is_empty());
    let expected: Vec<String> =
        KINDS.iter().flat_map(|kind| (0..COPIES.len()).map(|at| record(kind, at).0)).chain(settled(6)).collect();
    deployment.charged().check(expected.iter().map(String::as_str));
    running.stop().expect("a clean end");
}

/// A pair of new records, one to each partition, that are charged after all before them.
fn settle(deployment: &Deployment, round: u32, running: &testkit::deployment::Running) {
    let now = "2026-11-01T00:00:00Z";
    deployment.write("usage", (0..2).map(|at| (at, usage(&format!("settled-{round}-{at}"), KNOWN, now))));
    deployment.wait("settled", running, |deployment| {
        let charged = deployment.charged();
        settled(round).all(|id| charged.is_charged(&id))
    });
}

fn settled(rounds: u32) -> impl Iterator<Item = String> {
    (1..=rounds).flat_map(|round| (0..2).map(move |at| format!("settled-{round}-{at}")))
}

#[test]
fn copies_of_what_waits_are_charged_once_recycled_by_id() {
    copies("copies-id", false, Ask::ById);
}

#[test]
fn copies_of_what_waits_are_charged_once_recycled_before_what_is_late() {
    copies("copies-all", false, Ask::AllThenLate);
}

#[test]
fn copies_of_what_waits_are_charged_once_recycled_after_what_is_late() {
    copies("copies-late", true, Ask::LateThenAll);
}
