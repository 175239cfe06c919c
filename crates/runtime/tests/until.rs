//! What time alone brings at the end of a run into a folder, and how far it is done.

mod folder;

use folder::{messages, outputs, rate, reference, settings, stop_after, tick, usage_at, write};
use rating::Timestamp;
use runtime::embedded::{RunSettings, Until, read_progress};
use std::path::Path;

/// A suspension that is commanded ahead.
const SUSPENSION: &str = "{\"command_id\":\"s1\",\"kind\":\"suspend\",\"account_id\":\"acme\",\"issued_by\":\"mid\",\"effective_time\":\"2026-03-06T00:00:00Z\"}\n";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn told(out: &Path) -> Vec<String> {
    let events = messages(out, "life-events").into_iter();
    let statuses = events.filter(|event| event["kind"] == "account_status");
    statuses.map(|event| format!("{} {}", event["account_id"], event["effective_time"])).collect()
}

fn complete_to(out: &Path) -> Option<Timestamp> {
    read_progress(out).expect("a folder").and_then(|progress| progress.complete_to)
}

fn lines(numbers: std::ops::Range<u32>, day: u32) -> String {
    numbers.map(|number| usage_at(&format!("r{number}"), &format!("2026-03-{day:02}T14:00:00Z")) + "\n").collect()
}

/// Usage of the account that is never suspended.
fn others(numbers: std::ops::Range<u32>, day: u32) -> String {
    lines(numbers, day).replace("001010000000001", "001010000000002")
}

#[test]
fn a_run_without_ticks_ends_at_the_latest_usage_that_it_charged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (loaded, out) = (reference(folder::REFERENCE), folder.path().join("out"));
    let run = |name: &str, text: String| rate(&loaded, &settings(&[&write(folder.path(), name, text)], &out)).run;
    run("1.jsonl", lines(0..30, 4) + &lines(30..31, 3));
    assert_eq!(complete_to(&out), Some(at("2026-03-04T14:00:00Z")));
    // Nobody said how late it is when it was commanded: it is told at once, and once.
    run("2.jsonl", SUSPENSION.to_owned() + &others(40..41, 7));
    assert_eq!((told(&out).len(), complete_to(&out)), (1, Some(at("2026-03-07T14:00:00Z"))));
    // What is older still counts, as it would have in the run before: no tick has passed.
    let totals = run("3.jsonl", lines(42..43, 1).replace("2026-03", "2026-01"));
    assert_eq!((totals.suspended, totals.levels[&1].charged), (0, 1));
    assert_eq!((told(&out).len(), complete_to(&out)), (1, Some(at("2026-03-07T14:00:00Z"))));
    assert!(messages(&out, "charges").iter().all(|charge| charge["booked_time"].is_null()));
}

#[test]
fn an_instant_can_be_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (loaded, out) = (reference(folder::REFERENCE), folder.path().join("out"));
    let until = |until, text: &str, name: &str| {
        let input = write(folder.path(), name, text);
        rate(&loaded, &RunSettings { until, ..settings(&[&input], &out) });
        (told(&out).len(), complete_to(&out))
    };
    let first = tick("2026-03-05T00:00:00Z") + SUSPENSION + &others(0..9, 7);
    // Where ticks say how late it is, nothing else does, unless it is asked for.
    let clock = at("2026-03-05T00:00:00Z");
    assert_eq!(until(Until::Charged, &first, "1.jsonl"), (0, Some(clock)));
    assert_eq!(until(Until::Ticks, &others(9..10, 8), "2.jsonl"), (0, Some(clock)));
    let (before, named) = (at("2026-03-05T23:00:00Z"), at("2026-03-06T00:00:00Z"));
    assert_eq!(until(Until::At(before), "", "3.jsonl"), (0, Some(before)));
    for instant in [named, named, before] {
        assert_eq!(until(Until::At(instant), "", "3.jsonl"), (1, Some(named)));
    }
    assert_eq!(told(&out), ["\"acme\" \"2026-03-06T00:00:00Z\""]);
    let ticks = tick("2026-03-06T12:00:00Z");
    assert_eq!(until(Until::Charged, &ticks, "4.jsonl"), (1, Some(at("2026-03-06T12:00:00Z"))));
}

#[test]
fn a_run_that_was_killed_ends_like_one_that_was_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let first = write(folder.path(), "1.jsonl", tick("2026-03-05T00:00:00Z") + &lines(0..10, 4));
    let second = write(folder.path(), "2.jsonl", SUSPENSION.to_owned() + &others(10..100, 7));
    let third = write(folder.path(), "3.jsonl", lines(100..200, 5));
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let until = Until::At(at("2026-03-08T00:00:00Z"));
    let of = |out| RunSettings { until, ..settings(&[&first, &second, &third], out) };
    rate(&loaded, &of(&whole));
    assert_eq!(told(&whole).len(), 1);
    stop_after(&loaded, &of(&killed), 50);
    assert_eq!(complete_to(&killed), Some(at("2026-03-05T00:00:00Z")));
    rate(&loaded, &of(&killed));
    assert!(outputs(&whole) == outputs(&killed) && complete_to(&whole) == complete_to(&killed));
}

#[test]
fn what_reference_data_say_of_an_account_is_told_when_it_has_begun_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let acme = "acme: { kind: customer, parent: mid, currency: GBP";
    assert!(folder::REFERENCE.contains(acme));
    let said = |changes: &str| reference(&folder::REFERENCE.replace(acme, &format!("{acme}, changes: [{changes}]")));
    let run = |loaded, name: &str, text: String| {
        rate(&loaded, &settings(&[&write(folder.path(), name, text)], &out));
        told(&out)
    };
    let suspended = "{ from: 2026-03-02T00:00:00Z, status: suspended }, { from: 2026-03-03T00:00:00Z, status: active }";
    let closed = "{ from: 2026-03-09T00:00:00Z, status: closed }";
    let both = ["\"acme\" \"2026-03-02T00:00:00Z\"", "\"acme\" \"2026-03-03T00:00:00Z\""];
    assert_eq!(run(said(suspended), "1.jsonl", others(0..9, 4)), both);
    let loaded = || said(&format!("{suspended}, {closed}"));
    assert_eq!(run(loaded(), "2.jsonl", others(9..10, 8)), both);
    // A tick says how late it is, before anything else is done.
    let all = [&both[..], &["\"acme\" \"2026-03-09T00:00:00Z\""]].concat();
    assert_eq!(run(loaded(), "3.jsonl", tick("2026-03-10T00:00:00Z") + &others(10..11, 8)), all);
    let before = outputs(&out);
    assert_eq!(run(loaded(), "4.jsonl", String::new()), all);
    assert!(outputs(&out) == before, "nothing is told again");
    // Closed a day earlier, it turns out later on: of what was told already, nothing but the difference.
    let earlier = said(&format!("{suspended}, {}", closed.replace("03-09", "03-08")));
    assert_eq!(run(earlier, "5.jsonl", String::new()), all);
    let never = said(suspended);
    assert_eq!(run(never, "6.jsonl", String::new()), [&all[..], &["\"acme\" \"2026-03-03T00:00:00Z\""]].concat());
}
