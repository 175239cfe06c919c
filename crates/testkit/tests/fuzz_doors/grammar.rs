//! What comes to the doors: plausible values among those that are easily misread, records of every kind, and what is none.

use testkit::generator::random::Random;

/// Customers of one reseller, so that all usage has the same levels.
pub(crate) const REFERENCE: &str = r#"
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions:
      - from: 2026-01-01T00:00:00Z
        rates:
          - { service: data, price: 0.20/MB, increment: 1 KB, per: session }
          - { service: voice, price: 0.02/s }
          - { service: gold, price: 900000000000000000/unit }
  wholesale:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }, { service: gold, price: 0.01/unit }] }]
accounts:
  top: { kind: operator, currency: GBP }
  mid: { kind: reseller, parent: top, currency: GBP, tariff: wholesale }
  acme: { kind: customer, parent: mid, currency: GBP, tariff: retail }
  rich: { kind: customer, parent: mid, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
  meter-2: { customer: rich, imsi: 001010000000002, msisdn: 447700900123 }
"#;

/// A field of a record: its name, its value, and whether JSON has quotation marks around it.
pub(crate) type Field = (&'static str, String, bool);

/// Whether an id comes with other records than the one that had it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reused {
    WithOthers,
    /// As the window that remembers ids is finite: with a later time the id of what was forgotten is charged once more.
    ByCopies,
}

impl Reused {
    pub(crate) fn within(window_h: Option<u32>) -> Reused {
        if window_h.is_none() { Reused::WithOthers } else { Reused::ByCopies }
    }
}

const TIMES: [&str; 26] = [
    "1772719200",
    "20260305",
    "20260305140000",
    "46086",
    "46086.583",
    "2603051400002B0000",
    "2026-03-05 14:00:00",
    "2026-03-05",
    "1772719200000000",
    "1772719200000000000",
    "",
    "never",
    "true",
    "0",
    "-1",
    "2199-12-31T23:59:59Z",
    "2203-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2010-01-01T00:00:00Z",
    "2026-13-45T99:00:00Z",
    "05/03/2026 14:00",
    "2026-03-05T14:00:00",
    "1.7727192E+12",
    "1772719200000.5",
    " 2026-03-05T14:00:00Z",
    "2026-03-05T14:00:00Z\u{7f}",
];
const GOOD_TIMES: [&str; 8] = [
    "2026-03-05T14:00:00Z",
    "2026-03-05T14:00:00.123456789Z",
    "2026-03-05t14:00:00z",
    "2026-03-05 14:00:00+01:00",
    "1772719200000",
    "2026-04-05T14:00:00-05:30",
    "2026-02-28T23:59:59.999Z",
    "2026-03-06T00:00:00Z",
];
const QUANTITIES: [&str; 20] = [
    "1.5",
    "1e3",
    "1E+06",
    "1.2E-3",
    "-5",
    "-0",
    "",
    "9223372036854775807",
    "9223372036854775808",
    "1000000000000001",
    "1,000",
    "1.000.000",
    "0x10",
    "true",
    " 12",
    "１２",
    "NaN",
    "00012",
    "+7",
    "1000000.00000000000000000001",
];
const GOOD_QUANTITIES: [&str; 6] = ["1000000", "136", "136.000000", "0", "1", "2500000"];
const NUMBERS: [&str; 12] = [
    "00447700900123",
    "011447700900123",
    "+447700900123",
    "+44 7700-900.123",
    "447700900123",
    "112",
    "0011",
    "tel:+44",
    "",
    "4477009001234567890123",
    "+",
    "١٢٣",
];
const NETWORKS: [&str; 9] = ["15", "010", "10", "1", "234", "9999", "", "abc", "23.0"];
const APNS: [&str; 7] =
    ["internet", "INTERNET", "Internet.MNC015.MCC234.GPRS", "in\u{1f}ternet", "", "internet ", "true"];
const RATS: [&str; 7] = ["eutran", "EUTRAN", "6", "8", "LTE", "99", "e-utran"];
const SERVICES: [&str; 6] = ["Data", "nothing", "", "voice", "gold", "da\tta"];
const UNITS: [&str; 6] = ["octets", "seconds", "KB", "", "messages", "units"];

fn pick(random: &mut Random, choices: &[&str]) -> String {
    (*random.pick(choices)).to_owned()
}

/// A number of digits may stand without marks.
fn field(random: &mut Random, name: &'static str, value: String) -> Field {
    let is_bare = value == "true"
        || (value.parse::<i64>().is_ok() && !value.starts_with(['0', '+']) && value != "-0")
        || value == "1e3"
        || value == "1.5"
        || value == "136.000000";
    let is_quoted = !(is_bare && random.chance(500));
    (name, value, is_quoted)
}

/// Fields of a usage record; `rough` of a thousand values are misread ones.
pub(crate) fn usage(random: &mut Random, id: &str, rough: u64) -> Vec<Field> {
    let mut fields = vec![("id", id.to_owned(), true)];
    let add = |random: &mut Random, name, good: &[&str], bad: &[&str], fields: &mut Vec<Field>| {
        let value = if random.chance(rough) { pick(random, bad) } else { pick(random, good) };
        let made = field(random, name, value);
        fields.push(made);
    };
    add(random, "service", &["data"], &SERVICES, &mut fields);
    add(random, "quantity", &GOOD_QUANTITIES, &QUANTITIES, &mut fields);
    add(random, "event_time", &GOOD_TIMES, &TIMES, &mut fields);
    let imsis = ["001010000000001", "001010000000002"];
    add(random, "imsi", &imsis, &["999990000000001", "1010000000001", "", "abc", "0010100000000017"], &mut fields);
    let others: [(&'static str, &[&str]); 12] = [
        ("destination", &NUMBERS),
        ("msisdn", &NUMBERS),
        ("mcc", &NETWORKS),
        ("mnc", &NETWORKS),
        ("apn", &APNS),
        ("rat", &RATS),
        ("unit", &UNITS),
        ("session_id", &["s1", "s2", "5"]),
        ("source", &["gw", "", "gw2"]),
        ("final", &["true", "false", "yes", "1"]),
        ("end_time", &TIMES),
        ("direction", &["mo", "MO", "both"]),
    ];
    for (name, values) in others {
        if random.chance(if matches!(name, "session_id" | "source" | "final") { 150 } else { rough / 3 }) {
            let value = pick(random, values);
            let made = field(random, name, value);
            fields.push(made);
        }
    }
    fields
}

/// An object of fields, in some order.
pub(crate) fn object(random: &mut Random, mut fields: Vec<Field>) -> String {
    if random.chance(100) {
        fields.sort_by_key(|_| random.bits());
    }
    let mut text = "{".to_owned();
    for (name, value, is_quoted) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        let value = if is_quoted { serde_json::to_string(&value).expect("a text") } else { value };
        text += &format!("\"{name}\":{value}");
    }
    text + "}"
}

/// A command; ids and accounts now and then wrong.
pub(crate) fn command(random: &mut Random, id: &str) -> Vec<Field> {
    let kinds = ["top_up", "top_up", "credit", "debit", "suspend", "activate", "buy_bundle", "promote", ""];
    let times =
        ["2026-03-05T14:00:00Z", "2026-03-05T14:00:00Z", "2026-03-09T00:00:00Z", "1772719200", "2025-01-01T00:00:00Z"];
    let mut fields = vec![("command_id", id.to_owned(), true)];
    for (name, values) in [
        ("kind", &kinds[..]),
        ("account_id", &["acme", "rich", "acme/meter-1", "mid", "nobody", ""]),
        ("issued_by", &["mid", "top", "mid", "acme", "nobody"]),
        ("effective_time", &times),
        ("amount", &["10.00", "5", "0.0001", "five", "-1", "1e2"]),
        ("currency", &["GBP", "GBP", "USD"]),
    ] {
        let is_left_out = random.chance(300) && name == "currency";
        if !is_left_out && !random.chance(20) {
            let value = pick(random, values);
            let made = field(random, name, value);
            fields.push(made);
        }
    }
    fields
}

pub(crate) fn tick(random: &mut Random) -> Vec<Field> {
    let times = [
        "2026-03-05T14:00:00Z",
        "2026-03-06T00:00:00Z",
        "2026-03-01T00:00:00Z",
        "1772719200000",
        "2027-06-01T00:00:00Z",
    ];
    let value = if random.chance(850) { pick(random, &times) } else { pick(random, &TIMES) };
    let mut fields = vec![field(random, "tick", value)];
    if random.chance(100) {
        fields.push(("note", "x".to_owned(), true));
    }
    fields
}

/// What could be of two kinds, or says that it is of another.
pub(crate) fn ambiguous(random: &mut Random, id: &str) -> Vec<Field> {
    let mut fields = match random.below(3) {
        0 => command(random, id),
        1 => tick(random),
        _ => usage(random, id, 50),
    };
    for _ in 0..random.between(1, 2) {
        let (name, values): (_, &[&str]) = *random.pick(&[
            ("tick", &["2026-03-05T14:00:00Z", "", "5"][..]),
            ("command_id", &["c", ""]),
            ("type", &["usage", "command", "tick", "Usage", "other", "5", ""]),
            ("quantity", &["5"]),
            ("kind", &["top_up", "x"]),
        ]);
        let value = pick(random, values);
        let made = field(random, name, value);
        // Twice the same field is a fault of its own.
        if random.chance(100) || !fields.iter().any(|(known, ..)| *known == name) {
            fields.push(made);
        }
    }
    fields
}

/// What is no record at all.
pub(crate) fn rubbish(random: &mut Random, id: &str) -> Vec<u8> {
    let whole = {
        let fields = usage(random, id, 0);
        object(random, fields)
    };
    match random.below(12) {
        0 => whole.as_bytes()[..random.index(whole.len())].to_vec(),
        1 => b"\0\0\0".to_vec(),
        2 => b"\xff\xfe{}".to_vec(),
        3 => b"[]".to_vec(),
        4 => b"5".to_vec(),
        5 => format!("{}{}", "[".repeat(300), "]".repeat(300)).into_bytes(),
        6 => whole.replacen('{', "{\"id\":\"other\",", 1).into_bytes(),
        7 => whole
            .replacen('{', "{\"attributes\":{\"a\":{\"tick\":[1,{\"id\":2}]},\"b\":true,\"c\":1e40},", 1)
            .into_bytes(),
        8 => format!("{whole}{whole}").into_bytes(),
        9 => whole.replace(':', "=").into_bytes(),
        10 => format!("\u{feff}{whole}").into_bytes(),
        _ => b"{}".to_vec(),
    }
}

/// Changes a few bytes.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.between(1, 3) {
        let at = random.index(bytes.len() + 1);
        match random.below(4) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.insert(at, *random.pick(b"\",;\n\r\0\\{}5 \xff\t")),
        }
    }
}

/// A line of JSON of any kind, without its line break. `number` makes ids new; `known` are lines that came before. Where
/// ids are `reused`, other records come under them as well.
pub(crate) fn line(random: &mut Random, number: usize, known: &[Vec<u8>], reused: Reused) -> Vec<u8> {
    let id = format!("r{number}");
    let mut line = match random.below(100) {
        0..12 if !known.is_empty() => random.pick(known).clone(),
        12..60 => {
            let fields = usage(random, &id, 20);
            object(random, fields).into_bytes()
        }
        60..74 => {
            let fields = usage(random, &id, 250);
            object(random, fields).into_bytes()
        }
        74..80 => {
            let fields = command(random, &format!("c{number}"));
            object(random, fields).into_bytes()
        }
        80..84 => {
            let fields = tick(random);
            object(random, fields).into_bytes()
        }
        84..90 => {
            let fields = ambiguous(random, &id);
            object(random, fields).into_bytes()
        }
        90..93 if reused == Reused::WithOthers => {
            // The same id with another quantity.
            let of = format!("r{}", random.index(number + 1));
            let fields = usage(random, &of, 0);
            object(random, fields).into_bytes()
        }
        93..95 if random.chance(3) => {
            format!("{{\"id\":\"{id}\",\"attributes\":{{\"x\":\"{}\"}}}}", "x".repeat(1_100_000)).into_bytes()
        }
        _ => rubbish(random, &id),
    };
    if random.chance(60) {
        mutate(random, &mut line);
    }
    line
}
