//! Identities, hashes and shards have the values that earlier versions wrote down.

use pipeline::guide::shard_of;
use pipeline::identity::record_key;
use pipeline::{Duplicates, IntakeRules, Intent, Place, QuantityLimit, QuantityLimits, Window};
use rating::AccountId;
use runtime::wire::{Decoder, Fingerprint};
use testkit::samples::{self, Freeze, freeze, text};

/// Sources and ids of records.
const RECORDS: [(&str, &str); 8] = [
    ("ggsn", "r1"),
    ("file", "r1"),
    ("", "r1"),
    ("ggsn", ""),
    ("ggsnr", "1"),
    ("p\u{e4}ge", "\u{1f4f6} 7"),
    ("ggsn", "0123456789012345678901234567890123456789"),
    ("reference", "reference:acme:pool"),
];

/// Accounts, whose owners are spread over shards.
const ACCOUNTS: [&str; 8] =
    ["acme", "acme/meter-1", "northstar", "alpha", "a", "0", "cap-co", "a-customer-with-a-long-name_1/and-an-endpoint"];

/// Lines whose payload is hashed: every kind of field, and values that are the same in other words.
const LINES: [&str; 12] = [
    r#"{"id":"r1","source":"s","service":"data","quantity":5,"event_time":"2026-03-01T00:00:00Z","imsi":"001010000000001"}"#,
    r#"{"id":"r1","source":"s","service":"data","quantity":"5","event_time":1772323200000,"imsi":"001010000000001","unit":"octets"}"#,
    r#"{"id":"r1","source":"s","service":"data","quantity":5,"event_time":"2026-03-01T01:00:00+01:00","imsi":"001010000000001"}"#,
    r#"{"id":"r2","source":"s","service":"voice","quantity":61,"event_time":"2026-03-01T00:00:00.123Z","end_time":"2026-03-01T00:01:01Z","msisdn":"447700900001","destination":"4420","direction":"mo"}"#,
    r#"{"id":"r3","source":"s","service":"sms","quantity":1,"event_time":"2026-03-01T00:00:00Z","endpoint_id":"meter-1","mcc":"234","mnc":"15"}"#,
    r#"{"id":"r4","source":"s","service":"data","quantity":9223372036854775807,"event_time":"2026-03-01T00:00:00Z","account_id":"acme","attributes":{"b":"2","a":"1"}}"#,
    r#"{"id":"r5","source":"s","service":"data","quantity":1000,"event_time":"2026-03-01T00:00:00Z","iccid":"8944010000000000002","imei":"35","quantity_up":400,"quantity_down":600,"apn":"iot.example","rat":"eutran","session_id":"x","sequence":3,"final":true,"closing_cause":1,"rating_group":7,"sponsor":"north"}"#,
    r#"{"command_id":"c1","kind":"top_up","account_id":"acme","issued_by":"alpha","effective_time":"2026-03-01T00:00:00Z","amount":"10.00","currency":"GBP","note":"x"}"#,
    r#"{"command_id":"c2","kind":"buy_bundle","account_id":"acme","issued_by":"alpha","effective_time":"2026-03-01T00:00:00Z","bundle_id":"pool","endpoint_id":"meter-2"}"#,
    r#"{"command_id":"c3","kind":"suspend","account_id":"acme","issued_by":"northstar","effective_time":"2026-03-01T00:00:00Z"}"#,
    r#"{"command_id":"c4","kind":"activate","account_id":"acme/meter-1","issued_by":"acme","effective_time":"2026-03-01T00:00:00Z","bundle_id":"b1"}"#,
    r#"{"command_id":"c5","kind":"debit","account_id":"acme","issued_by":"alpha","effective_time":"2026-03-01T00:00:00Z","amount":"0.0000000001"}"#,
];

/// Identity and payload as they are remembered: short key and value.
fn remembered(line: &str) -> String {
    let decoder = Decoder::json_lines();
    let decoded = decoder.decode(line.as_bytes()).unwrap_or_else(|fault| panic!("{line}: {fault:?}"));
    let taken = decoded.take_in(&rules());
    let mut duplicates = Duplicates::new(Window::FOREVER);
    taken.admit(Intent::Fresh, Place(0), &mut duplicates, None);
    let (key, _, _) = taken.identity().unwrap_or_else(|| panic!("{line}: {taken:?}"));
    let added: Vec<String> = duplicates.added().iter().map(|(key, value)| format!("{key:016x} {value:016x}")).collect();
    format!("{key:032x} {}", added.join(" "))
}

fn vectors() -> Vec<String> {
    let mut lines = Vec::new();
    for (source, id) in RECORDS {
        lines.push(format!("record_key\t{source}\t{id}\t{:032x}", record_key(source, id)));
    }
    for line in LINES {
        lines.push(format!("remembered\t{line}\t{}", remembered(line)));
    }
    for account in ACCOUNTS {
        let id = AccountId::new(account);
        let shards = [1, 64, 1024].map(|shards| shard_of(&id, shards).to_string());
        lines.push(format!("shards of 1, 64, 1024\t{account}\t{}", shards.join(" ")));
    }
    for (name, schema) in PUBLISHED {
        let fingerprint = Fingerprint::of(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        lines.push(format!("fingerprint\t{name}\t{fingerprint}"));
    }
    lines
}

/// The contracts as they were published.
const PUBLISHED: [(&str, &str); 8] = [
    ("account-command", include_str!("../../../../schemas/history/v1/account-command.avsc")),
    ("balance-delta", include_str!("../../../../schemas/history/v1/balance-delta.avsc")),
    ("charge", include_str!("../../../../schemas/history/v1/charge.avsc")),
    ("command-reply", include_str!("../../../../schemas/history/v1/command-reply.avsc")),
    ("notification", include_str!("../../../../schemas/history/v1/notification.avsc")),
    ("suspense", include_str!("../../../../schemas/history/v1/suspense.avsc")),
    ("tick", include_str!("../../../../schemas/history/v1/tick.avsc")),
    ("usage-record", include_str!("../../../../schemas/history/v1/usage-record.avsc")),
];

#[test]
fn identities_hashes_and_shards_keep_their_values() {
    let found = vectors();
    let name = "vectors.txt";
    if freeze() == Freeze::Samples {
        samples::write(name, &(found.join("\n") + "\n"));
    }
    let expected = text(name);
    for (found, expected) in found.iter().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.lines().count());
}

/// Everything is plausible here: only values count.
fn rules() -> IntakeRules {
    let limit = QuantityLimit { service: "data".into(), quantity: u64::MAX, unit: None };
    IntakeRules { limits: QuantityLimits::new([limit]), ..IntakeRules::new("file") }
}
