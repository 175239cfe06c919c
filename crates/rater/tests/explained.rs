//! `rater explain` states what was booked, whatever has become of inputs and reference data since, and where today's would differ.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Ran, command, example, rater, write};

const RECYCLED: &str = "  meter-9: { customer: acme, imsi: 001019999999999 }\n";

fn explained(folder: &Path, id: &str, output: &str) -> Value {
    rater(folder, &["explain", id, "-o", output, "--json"]).expect(0).json()["explanations"].clone()
}

fn text(folder: &Path, arguments: &[&str]) -> String {
    rater(folder, &[&["explain"], arguments].concat()).expect(0).stdout
}

fn change(folder: &Path, name: &str, from: &str, to: &str) {
    let path = folder.join(name);
    let before = std::fs::read_to_string(&path).expect("a file");
    assert!(before.contains(from), "{name} has no {from}");
    std::fs::write(&path, before.replace(from, to)).expect("written");
}

#[test]
fn booked_amounts_stay_when_prices_change_and_the_difference_is_named() {
    for form in ["jsonl", "csv", "avro"] {
        let folder = example();
        rater(folder.path(), &["rate", "usage.csv", "-f", form]).expect(0);
        let before = explained(folder.path(), "r2", "out");
        assert_eq!(before[0]["differences"].as_array().map(Vec::len), Some(0), "{form}: {before}");
        change(folder.path(), "rating.yaml", "zone: uk, price: 0.15/MB", "zone: uk, price: 0.25/MB");
        let after = explained(folder.path(), "r2", "out");
        assert_eq!(after[0]["charges"], before[0]["charges"], "{form}");
        assert_eq!(after[0]["deltas"], before[0]["deltas"], "{form}");
        assert_eq!(after[0]["charges"].as_array().map(Vec::len), Some(4), "{form}: {after}");
        let differences = after[0]["differences"].as_array().expect("a list");
        let [difference] = &differences[..] else { panic!("{form}: {differences:?}") };
        assert_eq!(difference["level"], 1);
        assert_eq!((&difference["booked"]["amount"], &difference["today"]["amount"]), (&"0.3".into(), &"0.5".into()));
        let shown = text(folder.path(), &["r2", "--level", "1"]);
        assert_eq!(
            shown,
            "\
r2  4 MB data  meter-2  234-15  2026-03-05T14:05:00Z  usage.csv:3

level 1  acme owes beta £0.30
  zone    uk
  bundle  uk-5mb: 2 MB of 2 MB left, used up -> allowance 100 % notified
  tariff  retail@2026-01-01: 2 MB x £0.15/MB = £0.30
  delta   acme:1: -£0.30, balance -£0.30
  differs today: acme owes beta £0.50, £0.20 more
        zone    uk (root: less specific)
        bundle  uk-5mb: 2 MB of 2 MB left, used up
        tariff  retail@2026-01-01: 2 MB x £0.25/MB = £0.50
",
            "{form}"
        );
        let same = text(folder.path(), &["r2", "--level", "2"]);
        assert!(!same.contains("differs"), "{same}");
    }
}

#[test]
fn what_was_booked_is_known_without_the_inputs() {
    for form in ["jsonl", "csv", "avro"] {
        let folder = example();
        rater(folder.path(), &["rate", "usage.csv", "-f", form]).expect(0);
        let before = explained(folder.path(), "r1", "out");
        change(folder.path(), "usage.csv", "r2,", "r7,");
        let changed = explained(folder.path(), "r1", "out");
        std::fs::remove_file(folder.path().join("usage.csv")).expect("removed");
        let gone = explained(folder.path(), "r1", "out");
        for (now, why) in [(&changed, "no longer what it was"), (&gone, "no longer there")] {
            assert_eq!(now[0]["charges"], before[0]["charges"], "{form}");
            assert_eq!(now[0]["notifications"], before[0]["notifications"], "{form}");
            assert_eq!(now[0]["today"], Value::Null, "{form}");
            assert!(now[0]["today_unknown"].as_str().is_some_and(|text| text.contains(why)), "{form}: {now}");
        }
        let shown = text(folder.path(), &["r1"]);
        assert!(shown.contains("level 1  acme owes beta £0.00\n"), "{form}: {shown}");
        assert!(
            shown.contains("what today's reference data would give is not known: \"usage.csv\" is no longer there"),
            "{shown}"
        );
        // The record that waits is told by what waits; nothing of the folder knows another id.
        let waits = explained(folder.path(), "r4", "out");
        assert_eq!((&waits[0]["outcome"], &waits[0]["line"]), (&"suspended".into(), &6.into()), "{form}");
        let unknown = rater(folder.path(), &["explain", "nobody"]).expect(2).stderr;
        assert!(unknown.contains("not all inputs can be read"), "{unknown}");
    }
}

#[test]
fn what_came_by_a_pipe_is_explained_from_what_was_booked() {
    let folder = example();
    let usage = std::fs::File::open(folder.path().join("usage.csv")).expect("usage");
    let mut rate = command(folder.path());
    rate.args(["rate", "-", "--input-format", "csv", "--reference", "rating.yaml"]).stdin(usage);
    Ran::from(rate.output().expect("the program runs")).expect(0);
    rater(folder.path(), &["rate", "usage.csv", "-o", "file"]).expect(0);
    let (by_pipe, by_file) = (explained(folder.path(), "r2", "out"), explained(folder.path(), "r2", "file"));
    assert_eq!(by_pipe[0]["charges"], by_file[0]["charges"]);
    assert_eq!(by_pipe[0]["differences"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_recycled_record_and_its_copies_are_told_apart() {
    for form in ["jsonl", "csv", "avro"] {
        let folder = example();
        let usage = std::fs::read_to_string(folder.path().join("usage.csv")).expect("usage");
        let waiting = usage.lines().find(|line| line.starts_with("r4,")).expect("the record that waits");
        write(folder.path(), "usage.csv", &format!("{usage}{waiting}\n"));
        rater(folder.path(), &["rate", "usage.csv", "-f", form]).expect(0);
        let before = explained(folder.path(), "r4", "out");
        let outcomes = |of: &Value| -> Vec<String> {
            of.as_array().expect("a list").iter().map(|of| of["outcome"].as_str().expect("a name").to_owned()).collect()
        };
        assert_eq!(outcomes(&before), ["suspended", "duplicate"], "{form}");
        let reference = std::fs::read_to_string(folder.path().join("rating.yaml")).expect("reference data");
        write(folder.path(), "rating.yaml", &format!("{reference}{RECYCLED}"));
        // Nothing is booked yet, but it would be charged today.
        let found = explained(folder.path(), "r4", "out");
        assert_eq!(found[0]["outcome"], "suspended");
        assert_eq!(found[0]["differences"][0]["today"]["outcome"], "charged by level", "{found}");
        rater(folder.path(), &["rate", "--recycle", "-f", form]).expect(0);
        let after = explained(folder.path(), "r4", "out");
        assert_eq!(outcomes(&after), ["booked", "duplicate"], "{form}: {after}");
        assert!(after[0]["charges"].as_array().is_some_and(|charges| charges.len() == 3), "{after}");
        assert_eq!(after[0]["resolved_suspense"][0]["reason"], "unknown_endpoint");
        assert_eq!(after[0]["differences"].as_array().map(Vec::len), Some(0), "{form}: {after}");
        let shown = text(folder.path(), &["r4"]);
        assert!(shown.contains("  was suspended as unknown_endpoint before it was recycled\n"), "{shown}");
    }
}

#[test]
fn commands_and_the_fees_that_they_caused_are_explained_from_what_was_booked() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "rating.yaml",
        "\
format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }] }
bundles:
  pack: { price: 2.00 GBP, starts: first_use, elements: [{ service: data, amount: 5 MB }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
",
    );
    write(
        folder.path(),
        "in.jsonl",
        "\
{\"command_id\":\"t1\",\"kind\":\"top_up\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\"effective_time\":\"2026-03-01T00:00:00Z\",\"amount\":\"7.00\"}
{\"command_id\":\"t2\",\"kind\":\"top_up\",\"account_id\":\"acme\",\"issued_by\":\"acme\",\"effective_time\":\"2026-03-01T00:00:00Z\",\"amount\":\"7.00\"}
{\"command_id\":\"b1\",\"kind\":\"buy_bundle\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\"effective_time\":\"2026-03-01T00:00:00Z\",\"bundle_id\":\"pack\"}
{\"id\":\"u1\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-02T00:00:00Z\",\"imsi\":\"001010000000001\"}
{\"id\":\"u2\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-03T00:00:00Z\",\"imsi\":\"001010000000001\"}
",
    );
    rater(folder.path(), &["rate", "in.jsonl"]).expect(0);
    let of = |id: &str| explained(folder.path(), id, "out")[0].clone();
    assert_eq!(of("t1")["deltas"][0]["amount"], "7");
    assert_eq!(of("t2")["notifications"][0]["reason"], "not_an_ancestor");
    let fees =
        |of: &Value| of["charges"].as_array().expect("a list").iter().filter(|one| one["kind"] != "usage").count();
    assert_eq!((fees(&of("u1")), fees(&of("u2"))), (1, 0));
    for id in ["t1", "t2", "b1", "u1", "u2"] {
        assert_eq!(of(id)["differences"].as_array().map(Vec::len), Some(0), "{id}: {}", of(id));
    }
    change(folder.path(), "rating.yaml", "price: 2.00 GBP", "price: 3.00 GBP");
    let differs = of("u1")["differences"].clone();
    assert_eq!(
        (&differs[0]["booked"]["amount"], &differs[0]["today"]["amount"]),
        (&"2".into(), &"3".into()),
        "{differs}"
    );
}
