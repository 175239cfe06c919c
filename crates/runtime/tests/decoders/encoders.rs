//! Every message in all three forms: read back by other libraries, and the same in each.

use super::support;
use apache_avro::Schema;
use apache_avro::types::Value;
use rating::bundle::AllowanceDraw;
use rating::charge::{FeeOf, SegmentSource};
use rating::effect::NotificationKind;
use rating::{
    AccountId, AccountKind, Amount, Cause, Charge, ChargeId, ChargeReason, Command, CommandKind, Currency, Delta,
    DeltaKind, Edge, Exact, LifeEvent, LifeEventKind, Mode, Notification, Posting, Segment, Shared, Status,
    SuspenseReason, TimeZone, Timestamp, Unit, UsageRecord,
};
use runtime::wire::{
    CommandOutcome, CommandReply, Contracts, Encoder, Message, Origin, OutputFormat, SuspenseRecord, block_frame,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A message as names and values; what is absent, null, empty text or an empty map is not in it.
pub(super) type Plain = BTreeMap<String, Json>;

/// Nulls and empty maps go, so that the forms compare; numbers become text, because CSV has nothing else.
fn plain(fields: &serde_json::Map<String, Json>) -> Plain {
    let kept = fields.iter().filter_map(|(name, value)| {
        let value = match value {
            Json::Null => return None,
            Json::String(text) if text.is_empty() => return None,
            Json::Object(map) if map.is_empty() => return None,
            Json::Number(number) => Json::String(number.to_string()),
            Json::Array(items) => Json::Array(items.iter().map(without_nulls).collect()),
            other => other.clone(),
        };
        Some((name.clone(), value))
    });
    kept.collect()
}

fn without_nulls(item: &Json) -> Json {
    match item {
        Json::Object(map) => Json::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// An independent base 64, to check the one of the encoders.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut text: String = bits
        .as_bytes()
        .chunks(6)
        .map(|bits| {
            let padded = format!("{:0<6}", std::str::from_utf8(bits).expect("digits"));
            char::from(DIGITS[usize::from_str_radix(&padded, 2).expect("binary")])
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

pub(super) fn schema(message: Message) -> Schema {
    Schema::parse_str(message.schema()).expect("a schema")
}

pub(super) fn of_avro(schema: &Schema, value: Value) -> Plain {
    let Value::Record(mut fields) = value else { panic!("not a record") };
    let mut original = None;
    for (name, value) in &mut fields {
        if let Value::Bytes(bytes) = value
            && name == "original"
        {
            original = Some(std::mem::take(bytes));
        }
    }
    let mut json = support::to_json(schema, &Value::Record(fields));
    if let (Some(bytes), Some(object)) = (original, json.as_object_mut()) {
        let (name, text) = match String::from_utf8(bytes) {
            Ok(text) => ("original", text),
            Err(error) => ("original_base64", base64(error.as_bytes())),
        };
        object.insert(name.to_owned(), Json::String(text));
    }
    plain(json.as_object().expect("an object"))
}

pub(super) fn of_json(line: &[u8]) -> Plain {
    let object: serde_json::Map<String, Json> = serde_json::from_slice(line).expect("JSON");
    plain(&object)
}

/// The cells of a CSV file (RFC 4180), character by character.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let row = rows.last_mut().expect("a row");
        match (is_quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => row.last_mut().expect("a cell").extend(characters.next()),
            (_, '"') => is_quoted = !is_quoted,
            (false, ',') => row.push(String::new()),
            (false, '\n') => rows.push(vec![String::new()]),
            _ => row.last_mut().expect("a cell").push(character),
        }
    }
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last row ends with a line feed");
    rows
}

/// The text of a cell without the apostrophe that keeps a spreadsheet from computing it.
fn unmarked(cell: &str) -> &str {
    let rest = cell.trim_start_matches('\'');
    let is_marked =
        cell.starts_with('\'') && rest.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_marked { &cell[1..] } else { cell }
}

/// Rows of a CSV file, header included.
pub(super) fn of_csv(bytes: &[u8]) -> Vec<Plain> {
    let rows = cells(std::str::from_utf8(bytes).expect("text"));
    let (header, rows) = rows.split_first().expect("a header");
    let rows = rows.iter().map(|row| {
        assert_eq!(row.len(), header.len());
        let cells = header.iter().zip(row).map(|(name, cell)| {
            let value = match name.as_str() {
                "segments" | "codes" | "properties" | "delta_ids" | "rating_groups" if !cell.is_empty() => {
                    serde_json::from_str(cell).expect("JSON")
                }
                _ => Json::String(unmarked(cell).to_owned()),
            };
            (name.clone(), value)
        });
        plain(&cells.collect())
    });
    rows.collect()
}

/// Encodes a message in three forms and both versions of the contracts, reads them back, insists that they agree, and returns the newest.
fn agree(message: Message, encode: impl Fn(&Encoder, &mut Vec<u8>)) -> Plain {
    let newest = agree_in(message, Contracts::V2, &encode);
    if Contracts::V1.kept().contains(&message) || message == Message::CommandReply {
        let mut expected = newest.clone();
        expected.retain(|name, _| message.field_names(Contracts::V1).contains(name) || name == "original_base64");
        assert_eq!(
            agree_in(message, Contracts::V1, &encode),
            expected,
            "an earlier version has the same in fewer fields"
        );
    }
    newest
}

fn agree_in(message: Message, contracts: Contracts, encode: &impl Fn(&Encoder, &mut Vec<u8>)) -> Plain {
    let encoded = |format| {
        let mut out = Vec::new();
        encode(&Encoder::new(format, "hash-1").with_contracts(contracts), &mut out);
        out
    };
    let schema = Schema::parse_str(message.schema_of(contracts)).expect("a schema");
    let avro = of_avro(&schema, support::decode(&schema, &encoded(OutputFormat::Avro)));
    let line = encoded(OutputFormat::JsonLines);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    assert!(line.ends_with(b"\n"));
    assert!(memchr::memmem::find(&line, b":null").is_none(), "absent values are left out");
    assert_eq!(of_json(&line), avro);
    let mut rows = OutputFormat::Csv.header(message, contracts);
    rows.extend(encoded(OutputFormat::Csv));
    assert_eq!(of_csv(&rows), std::slice::from_ref(&avro));
    avro
}

fn edge() -> Edge {
    let pair = |name: &str, value: &str| (Box::from(name), Box::from(value));
    Edge {
        payer: AccountId::new("acme"),
        payer_kind: AccountKind::Customer,
        payee: AccountId::new("beta"),
        level: 1,
        currency: Currency::parse("GBP").expect("a currency"),
        mode: Mode::Prepaid,
        status: Status::Active,
        time_zone: TimeZone::utc(),
        sponsors: None,
        subscription_types: None,
        properties: [pair("crm", "C-17"), pair("quote \"\n", "a,b;\u{1}\\✓")].into(),
    }
}

fn usage(id: &str) -> UsageRecord {
    UsageRecord {
        quantity: i64::MAX as u64,
        imsi: Some("001".into()),
        ..UsageRecord::new(id, "pgw-1", "data", Timestamp::LATEST)
    }
}

fn amounts() -> Vec<Amount> {
    let limit = 10_i128.pow(28) - 1;
    let mut unscaled = vec![0, 1, -1, 127, 128, -128, -129, 255, 256, 32_767, 32_768, -32_768, -32_769, limit, -limit];
    unscaled.extend((1..28).flat_map(|power| [10_i128.pow(power), -(10_i128.pow(power)) + 1]));
    unscaled.extend((1..93).flat_map(|power| [1_i128 << power, -(1_i128 << power), (1_i128 << power) - 1]));
    unscaled.into_iter().filter_map(Amount::from_unscaled).collect()
}

#[test]
fn charges_and_their_deltas() {
    let edge = edge();
    let ids = ["r1", "with \"quotes\", commas\nand \r\n breaks", "✓ 𝄞 \u{1} \\"];
    for (amount, id) in amounts().into_iter().zip(ids.into_iter().cycle()) {
        let usage = usage(id);
        let exact = Exact::from(amount);
        let draw = AllowanceDraw {
            bundle: "uk".into(),
            instance: "b1".into(),
            element: 0,
            before: Some(i64::MAX as u64),
            after: None,
        };
        let segments = [
            Segment { source: SegmentSource::Allowance(draw), quantity: 0, billable: 0, amount: Exact::ZERO },
            Segment { source: SegmentSource::NoTariff, quantity: i64::MAX as u64, billable: 1, amount: exact },
        ];
        let sequence = i64::MAX as u64;
        let charge = Charge {
            id: ChargeId { base: u128::MAX, level: u8::MAX, revision: u32::MAX >> 1 },
            edge: (&edge).into(),
            ancestors: "northstar/beta".into(),
            cause: Cause::Usage(&usage, 1),
            endpoint: Some("meter-1".into()),
            event_time: usage.event_time,
            booked_time: Some(Timestamp::LATEST),
            quantity: usage.quantity,
            unit: usage.unit,
            amount,
            waived: amount,
            reason: ChargeReason::Rated,
            segments: segments.into_iter().collect(),
            deltas: smallvec::smallvec![Delta { sequence, amount: amount.negated(), balance_after: amount }],
            rate: None,
            fee_of: None,
        };
        let told = agree(Message::Charge, |encoder, out| encoder.charge(&charge, out));
        assert_eq!(told["amount"], Json::String(amount.to_decimal().to_string()));
        assert_eq!(told["usage_id"], Json::String(id.to_owned()));
        assert_eq!(told["quantity"], "9223372036854775807");
        assert_eq!(told["charge_id"], "ffffffffffffffffffffffffffffffff-255-2147483647");
        assert_eq!(told["properties"]["quote \"\n"], "a,b;\u{1}\\✓");
        assert_eq!(told["event_time"], "2200-01-01T00:00:00Z");
        let booked = charge.balance_deltas().next().expect("a delta");
        let delta = agree(Message::BalanceDelta, |encoder, out| encoder.delta(&booked, out));
        assert_eq!(delta["amount"], Json::String(amount.negated().to_decimal().to_string()));
        assert_eq!((&delta["charge_id"], &delta["delta_id"]), (&told["charge_id"], &told["delta_id"]));
        assert_eq!(delta["sequence"], "9223372036854775807");
    }
}

#[test]
fn fees_and_charges_without_a_delta() {
    let edge = Edge { properties: [].into(), ..edge() };
    let fee = Charge {
        id: ChargeId { base: 0, level: 1, revision: 0 },
        edge: Shared::Kept(Arc::new(edge)),
        ancestors: "".into(),
        cause: Cause::DueWork(Timestamp::EPOCH, 1),
        endpoint: None,
        event_time: Timestamp::EPOCH,
        booked_time: None,
        quantity: 0,
        unit: Unit::Units,
        amount: Amount::ZERO,
        waived: Amount::ZERO,
        reason: ChargeReason::BundleFee,
        segments: [].into_iter().collect(),
        deltas: [].into_iter().collect(),
        rate: None,
        fee_of: Some(FeeOf { bundle: "uk".into(), instance: "b1".into() }),
    };
    let told = agree(Message::Charge, |encoder, out| encoder.charge(&fee, out));
    assert_eq!((&told["kind"], &told["amount"]), (&Json::from("bundle_fee"), &Json::from("0")));
    for absent in ["delta_id", "usage_id", "waived", "properties", "codes", "reverses"] {
        assert!(!told.contains_key(absent), "{absent}");
    }
    assert_eq!(fee.balance_deltas().count(), 0, "a charge of 0 has no delta");
}

#[test]
fn deltas_of_commands() {
    let edge = edge();
    for (amount, note) in
        amounts().into_iter().zip([None, Some("a \"note\",\nwith 'everything'"), Some("")].into_iter().cycle())
    {
        let command = Command {
            id: "c1".into(),
            kind: CommandKind::SuspendAccount,
            account_id: AccountId::new("acme"),
            issued_by: "beta".into(),
            effective_time: Timestamp::from_millis(1),
            currency: None,
            note: note.map(Box::from),
            reference: Some("invoice 7".into()),
        };
        let posted = Posting {
            edge: (&edge).into(),
            ancestors: "northstar/beta".into(),
            delta: Delta { sequence: 1, amount, balance_after: amount.negated() },
            kind: DeltaKind::TopUp,
            cause: Cause::Command(&command, 1),
            booked_time: Some(Timestamp::EPOCH),
        };
        let posted = posted.balance_delta();
        let told = agree(Message::BalanceDelta, |encoder, out| encoder.delta(&posted, out));
        assert_eq!(told["balance_after"], Json::String(amount.negated().to_decimal().to_string()));
        assert_eq!(told.get("reason").and_then(Json::as_str).unwrap_or(""), note.unwrap_or(""));
        assert_eq!(told["effective_time"], "1970-01-01T00:00:00.001Z");
    }
}

#[test]
fn notifications() {
    let usage = usage("r1");
    let limit = Amount::from_unscaled(-(10_i128.pow(28)) + 1).expect("an amount");
    let kinds = [
        NotificationKind::AllowanceThreshold {
            bundle: "uk".into(),
            instance: "b1".into(),
            element: u16::MAX,
            percent: 100,
            remaining: i64::MAX as u64,
            unit: Unit::Octets,
            period_start: Timestamp::EPOCH,
        },
        NotificationKind::BalanceExhausted { balance: limit, currency: Currency::parse("GBP").expect("a currency") },
        NotificationKind::CapReached { tariff: "retail".into() },
        NotificationKind::ActivationFailed { bundle: "uk".into(), instance: "b1".into() },
        NotificationKind::CommandRefused { reason: "unknown_account" },
    ];
    for kind in kinds {
        let notification = Notification {
            kind,
            account: AccountId::new("acme"),
            endpoint: Some("meter,\"1\"".into()),
            sequence: Some(7),
            cause: Cause::Usage(&usage, 1),
        };
        let told = agree(Message::Notification, |encoder, out| encoder.notification(&notification, out));
        assert_eq!(told["kind"], notification.kind.name());
        assert_eq!(told["endpoint_id"], "meter,\"1\"");
    }
}

#[test]
fn replies_and_life_events() {
    let command = Command {
        id: "c,1".into(),
        kind: CommandKind::ActivateAccount,
        account_id: AccountId::new("acme"),
        issued_by: "beta".into(),
        effective_time: Timestamp::EPOCH,
        currency: None,
        note: None,
        reference: None,
    };
    let delta = |sequence| Delta { sequence, amount: Amount::ZERO, balance_after: Amount::ZERO };
    for deltas in [vec![], vec![delta(1)], vec![delta(1), delta(2)]] {
        let ids: Vec<String> = deltas.iter().map(|delta| format!("acme:{}", delta.sequence)).collect();
        let sequence = deltas.last().map(|delta| delta.sequence);
        let outcome = CommandOutcome::Applied;
        let reply = CommandReply { command: &command, outcome, detail: None, deltas: &deltas, sequence };
        let told = agree(Message::CommandReply, |encoder, out| encoder.reply(&reply, out));
        assert_eq!((&told["command_id"], &told["delta_ids"]), (&Json::from("c,1"), &Json::from(ids)));
        assert_eq!(told.get("sequence"), sequence.map(|sequence| Json::String(sequence.to_string())).as_ref());
    }
    let bundle = |endpoint: Option<&str>, validity| LifeEventKind::BundleState {
        state: "active",
        bundle: "uk".into(),
        instance: "b1".into(),
        endpoint: endpoint.map(Arc::from),
        validity,
    };
    let range = Some((Timestamp::EPOCH, Some(Timestamp::LATEST)));
    for (kind, id) in [
        (bundle(Some("meter-1"), range), "-bundle_state-b1-active-acme"),
        (bundle(None, None), "-bundle_state-b1-active-acme"),
        (LifeEventKind::AccountStatus(Status::Suspended), "-account_status-suspended-acme"),
    ] {
        let event = LifeEvent {
            account: AccountId::new("acme"),
            ancestors: "northstar/beta".into(),
            kind,
            cause: Cause::Command(&command, 1),
            booked_time: None,
        };
        let told = agree(Message::LifeEvent, |encoder, out| encoder.life_event(&event, out));
        assert_eq!(told["life_event_id"], format!("{:032x}{id}", 1));
        assert_eq!((&told["ancestors"], &told["cause"]), (&Json::from("northstar/beta"), &Json::from("command")));
    }
}

#[test]
fn suspense_keeps_every_byte() {
    let all: Vec<u8> = (0..=255).collect();
    let originals: [&[u8]; 9] = [
        b"",
        b"{}",
        b"a,\"b\"\"c\",\r\nd",
        "✓ 𝄞 \u{feff}\u{85}\u{2028}".as_bytes(),
        b"\x00\x01\x1f\x7f",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        &all,
    ];
    for original in originals {
        for (key, level, event_time) in [
            (None, None, None),
            (Some(u128::MAX), Some(u8::MAX), Some(Timestamp::LATEST)),
            (Some(0), None, Some(Timestamp::EPOCH)),
        ] {
            let record = SuspenseRecord {
                key,
                reason: SuspenseReason::Undecodable,
                detail: "byte 1: is not \"UTF-8\", at\nall",
                stage: "intake",
                level,
                usage_id: key.map(|_| "r,1"),
                event_time,
                original,
                content_type: "text/csv",
                origin: Origin::File { name: "in/usage \"1\".csv", place: i64::MAX as u64 },
                attempt: i32::MAX as u32,
            };
            let told = agree(Message::Suspense, |encoder, out| encoder.suspense(&record, out));
            match std::str::from_utf8(original) {
                Ok(text) => assert_eq!(told.get("original").and_then(Json::as_str).unwrap_or(""), text),
                Err(_) => assert_eq!(told["original_base64"], Json::String(base64(original))),
            }
        }
    }
}

#[test]
fn a_container_of_our_blocks_is_one_for_the_library() {
    let record = |place| SuspenseRecord {
        key: None,
        reason: SuspenseReason::Undecodable,
        detail: "",
        stage: "intake",
        level: None,
        usage_id: None,
        event_time: None,
        original: b"\xff",
        content_type: "text/csv",
        origin: Origin::File { name: "f", place },
        attempt: 0,
    };
    let encoder = Encoder::new(OutputFormat::Avro, "");
    let mut file = OutputFormat::Avro.header(Message::Suspense, Contracts::NEWEST);
    for block in [1..=1_u64, 2..=1000, 1001..=1001] {
        let mut data = Vec::new();
        let count = block.clone().map(|place| encoder.suspense(&record(place), &mut data)).count();
        let (head, tail) = block_frame(Message::Suspense, Contracts::NEWEST, count as u64, data.len());
        for part in [&head, &data, &tail[..]] {
            file.extend_from_slice(part);
        }
    }
    let published = schema(Message::Suspense);
    let reader = apache_avro::Reader::builder(&*file).reader_schema(&published).build().expect("a container");
    let places: Vec<Json> = reader.map(|value| of_avro(&published, value.expect("a value"))["line"].clone()).collect();
    assert_eq!(places, (1..=1001).map(|place| Json::String(place.to_string())).collect::<Vec<_>>());
}

/// The fixtures are what a person reads first: their fields are the fields of the messages.
#[test]
fn fixtures_have_the_fields_of_the_messages() {
    for message in Message::ALL {
        let name = match message {
            Message::Charge => "charge",
            Message::BalanceDelta => "balance-delta",
            Message::Suspense => "suspense",
            Message::Notification => "notification",
            Message::CommandReply => "command-reply",
            Message::LifeEvent => "life-event",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/fixtures/{name}.json"));
        let fixture: serde_json::Map<String, Json> =
            serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON");
        assert_eq!(fixture.keys().cloned().collect::<Vec<_>>(), message.field_names(Contracts::NEWEST), "{name}");
        let header = String::from_utf8(OutputFormat::Csv.header(*message, Contracts::NEWEST)).expect("text");
        let columns: Vec<&str> = header.trim_end().split(',').filter(|column| *column != "original_base64").collect();
        assert_eq!(columns, fixture.keys().collect::<Vec<_>>(), "{name}");
    }
}
