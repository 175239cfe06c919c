//! A file full of bad records, end to end: each waits for its own reason with the bytes it came in, the good ones among them are charged,
//! and everything adds up.

mod folder;

use apache_avro::types::Value as AvroValue;
use folder::{messages, outputs, rate, reference, settings, usage};
use runtime::embedded::{Report, RunSettings};
use runtime::wire::{Message, OutputFormat};
use serde_json::Value;
use std::path::Path;

/// What a line has to become: charged on both levels, or waiting for reasons, each with the level or as a whole.
enum Becomes {
    Charged,
    Waits(&'static [(&'static str, Option<i64>)]),
}

const UNDECODABLE: Becomes = Becomes::Waits(&[("undecodable", None)]);
const INVALID: Becomes = Becomes::Waits(&[("invalid_record", None)]);

fn with(id: &str, change: &str, to: &str) -> Vec<u8> {
    let line = usage(id);
    assert!(line.contains(change), "{change}");
    line.replace(change, to).into_bytes()
}

fn gold(id: &str, imsi: u32, quantity: u64) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","service":"gold","quantity":{quantity},"event_time":"2026-03-05T14:00:00Z","imsi":"00101000000000{imsi}"}}"#
    )
    .into_bytes()
}

fn lines() -> Vec<(Vec<u8>, Becomes)> {
    use Becomes::{Charged, Waits};
    let quantity = "1000000";
    let time = "2026-03-05T14:00:00Z";
    let mut not_text = usage("n1").into_bytes();
    not_text[8] = 0xff;
    vec![
        (usage("good-1").into_bytes(), Charged),
        (usage("t1").into_bytes()[..40].to_vec(), UNDECODABLE),
        (with("h1", "\"data\"", &format!("\"{}\"", "x".repeat(2 << 20))), UNDECODABLE),
        (not_text, UNDECODABLE),
        (b"\x00\x01\x02\xfe\xff".to_vec(), UNDECODABLE),
        (b"\x1f\x8b\x08 not json at all".to_vec(), UNDECODABLE),
        (with("i1", quantity, "-1"), INVALID),
        (with("i2", quantity, "0.5"), INVALID),
        (with("i3", quantity, "9223372036854775808"), INVALID),
        (with("i4", quantity, "1e400"), UNDECODABLE),
        (with("i5", quantity, "null"), INVALID),
        (with("i6", time, "1969-12-31T23:59:59Z"), INVALID),
        (with("i7", time, "2026-03-05T14:00:00"), INVALID),
        (with("i8\\u0007", "imsi", "imsi"), INVALID),
        (with("", "imsi", "imsi"), INVALID),
        (with("i9", "001010000000001", ""), INVALID),
        (with("i10", "001010000000001", "00101-1"), INVALID),
        (with("f1", time, "2026-12-01T00:00:00.001Z"), Waits(&[("future_event", None)])),
        (br#"{"tick":"2199-01-01T00:00:00Z"}"#.to_vec(), Waits(&[("future_event", None)])),
        (with("q1", "\"2026-03-05T14:00:00Z\"", "1772719200"), Waits(&[("past_event", None)])),
        (br#"{"id":"k1","service":"data","quantity":1,"event_time":"2026-03-05T14:00:00Z","imsi":"001010000000001","tick":1}"#.to_vec(), Waits(&[("wrong_kind", None)])),
        (with("p1", time, "1970-01-01T00:00:00Z"), Waits(&[("no_rate", Some(1)), ("no_rate", Some(2))])),
        (with("u1", "001010000000001", "999"), Waits(&[("unknown_endpoint", None)])),
        (with("u2", "\"imsi\"", "\"endpoint_id\":\"meter-2\",\"imsi\""), Waits(&[("identity_conflict", None)])),
        (with("s1", "\"data\"", "\"sorcery\""), Waits(&[("no_rate", Some(1)), ("no_rate", Some(2))])),
        (
            with("s2", "\"data\"", "\"data\",\"unit\":\"seconds\""),
            Waits(&[("unit_mismatch", Some(1)), ("unit_mismatch", Some(2))]),
        ),
        (usage("good-1").replace(quantity, "1000001").into_bytes(), Waits(&[("duplicate_conflict", None)])),
        // The largest quantity at the largest price: the reseller's price is small enough.
        (gold("o1", 1, i64::MAX as u64), Waits(&[("amount_overflow", Some(1))])),
        (gold("o2", 1, 1), Charged),
        // One more would take the balance out of its range.
        (gold("o3", 1, 1), Waits(&[("amount_overflow", Some(1))])),
        // Another account has a balance of its own, but the sum of all charges is more than an amount can be.
        (gold("o4", 2, 1), Charged),
        (br#"{"command_id":"c1","kind":"explode"}"#.to_vec(), INVALID),
        (usage("good-2").into_bytes(), Charged),
    ]
}

/// The most of a line that is kept.
const KEPT: usize = 1 << 20;

fn run(folder: &Path, format: OutputFormat, lines: &[(Vec<u8>, Becomes)]) -> Report {
    let input = folder.join("usage.jsonl");
    let bytes: Vec<u8> = lines.iter().flat_map(|(line, _)| [line.as_slice(), b"\n"].concat()).collect();
    std::fs::write(&input, bytes).expect("written");
    let out = folder.join(format.extension());
    rate(&reference(folder::REFERENCE), &RunSettings { format, ..settings(&[&input], &out) })
}

/// What has to stand in suspense: line, reason, level, original bytes.
fn expected(lines: &[(Vec<u8>, Becomes)]) -> Vec<(i64, String, Option<i64>, Vec<u8>)> {
    let mut expected = Vec::new();
    for ((line, becomes), number) in lines.iter().zip(1..) {
        if let Becomes::Waits(reasons) = becomes {
            let kept = line[..line.len().min(KEPT)].to_vec();
            expected.extend(reasons.iter().map(|(reason, level)| (number, (*reason).to_owned(), *level, kept.clone())));
        }
    }
    expected
}

#[test]
fn everything_bad_waits_and_everything_good_is_charged() {
    let lines = lines();
    let folder = tempfile::tempdir().expect("a folder");
    let report = run(folder.path(), OutputFormat::Avro, &lines);
    let charged = lines.iter().filter(|(_, becomes)| matches!(becomes, Becomes::Charged)).count() as u64;
    let whole = expected(&lines).iter().filter(|(_, _, level, _)| level.is_none()).count() as u64;
    assert_eq!(report.run.received, lines.len() as u64);
    assert_eq!(report.run.suspended, whole);
    assert_eq!(report.run.guided, lines.len() as u64 - whole);
    let legs = report.run.levels.values();
    assert_eq!(
        legs.clone().map(|level| level.charged).sum::<u64>(),
        2 * charged + 2,
        "and two legs of waiting records"
    );
    assert_eq!(legs.map(|level| level.suspended).sum::<u64>(), expected(&lines).len() as u64 - whole);
    assert_eq!(report.progress.open_suspense, expected(&lines).len() as u64);
    let money = report.run.money.values().next().expect("money");
    assert!(money.charges > rating::Amount::from_unscaled(10_i128.pow(28) - 1).expect("the largest").into());

    let schema = apache_avro::Schema::parse_str(Message::Suspense.schema()).expect("a schema");
    let bytes = std::fs::read(folder.path().join("avro/suspense.avro")).expect("suspense");
    let reader = apache_avro::Reader::builder(&*bytes).reader_schema(&schema).build().expect("a container");
    let waiting: Vec<_> = reader.map(|value| of_avro(value.expect("a value"))).collect();
    assert_same(&waiting, &expected(&lines));
}

fn of_avro(value: AvroValue) -> (i64, String, Option<i64>, Vec<u8>) {
    let AvroValue::Record(fields) = value else { panic!("not a record") };
    let field = |name: &str| match &fields.iter().find(|(known, _)| known == name).expect("a field").1 {
        AvroValue::Union(_, inner) => (**inner).clone(),
        other => other.clone(),
    };
    let (AvroValue::Long(line), AvroValue::String(reason), AvroValue::Bytes(original)) =
        (field("line"), field("reason"), field("original"))
    else {
        panic!("other types")
    };
    let level = match field("level") {
        AvroValue::Int(level) => Some(level.into()),
        _ => None,
    };
    (line, reason, level, original)
}

fn assert_same(actual: &[(i64, String, Option<i64>, Vec<u8>)], expected: &[(i64, String, Option<i64>, Vec<u8>)]) {
    let heads = |list: &[(i64, String, Option<i64>, Vec<u8>)]| -> Vec<String> {
        list.iter().map(|(line, reason, level, _)| format!("{line} {reason} {level:?}")).collect()
    };
    assert_eq!(heads(actual), heads(expected));
    for (actual, expected) in actual.iter().zip(expected) {
        assert!(actual.3 == expected.3, "line {}: the original bytes differ", expected.0);
    }
}

#[test]
fn the_same_in_json_lines() {
    let lines = lines();
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), OutputFormat::JsonLines, &lines);
    let waiting: Vec<_> = messages(&folder.path().join("jsonl"), "suspense")
        .into_iter()
        .map(|message| {
            let text = |name: &str| message.get(name).and_then(Value::as_str);
            let original = match (text("original"), text("original_base64")) {
                (Some(original), None) => original.as_bytes().to_vec(),
                (None, Some(coded)) => from_base64(coded),
                other => panic!("{other:?}"),
            };
            let number = |name: &str| message.get(name).and_then(Value::as_i64);
            (number("line").expect("a line"), text("reason").expect("a reason").to_owned(), number("level"), original)
        })
        .collect();
    assert_same(&waiting, &expected(&lines));
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let bits: String = digits.chars().map(|digit| format!("{:06b}", DIGITS.find(digit).expect("a digit"))).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).expect("digits"), 2).expect("a byte"))
        .collect()
}

/// A second copy of the whole file is all duplicates and bad records again; nothing is charged twice.
#[test]
fn sent_again_it_charges_nothing() {
    let lines = lines();
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), OutputFormat::JsonLines, &lines);
    let before = outputs(&folder.path().join("jsonl"));
    let again: Vec<u8> = lines.iter().rev().flat_map(|(line, _)| [line.as_slice(), b"\n"].concat()).collect();
    let input = folder.path().join("again.jsonl");
    std::fs::write(&input, again).expect("written");
    let report = rate(&reference(folder::REFERENCE), &settings(&[&input], &folder.path().join("jsonl")));
    assert_eq!(report.run.guided, 0, "{:?}", report.run);
    assert!(report.run.duplicates > 0);
    let after = outputs(&folder.path().join("jsonl"));
    assert!(
        before["charges.jsonl"] == after["charges.jsonl"]
            && before["balance-deltas.jsonl"] == after["balance-deltas.jsonl"]
    );
}
