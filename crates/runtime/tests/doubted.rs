//! Values that can be misread: each is rated as it was meant, or its own record is suspended with words that quote it. Never in 1970, never at the
//! price of another number or network.

mod folder;

use folder::{messages, rate, reference, settings};
use pipeline::{InternationalPrefixes, Kind, Kinds, QuantityLimit, QuantityLimits};
use rating::{Timestamp, Unit};
use runtime::embedded::RunSettings;
use runtime::wire::{CsvMapping, InputFormat};

const ACCOUNTS: &str = "
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001, msisdn: 447700900001 }
";

/// One file and what becomes of it.
struct Case {
    name: &'static str,
    /// Rates of the only tariff, which holds from `from` on.
    rates: &'static str,
    from: &'static str,
    /// Further definitions, such as zones.
    more: &'static str,
    preset: fn() -> InputFormat,
    /// How the settings differ.
    change: fn(&mut RunSettings),
    input: &'static str,
    /// `charged ID AMOUNT` and `suspended LINE REASON`, the latter with a part of its detail behind a colon.
    expected: &'static [&'static str],
}

fn plain() -> InputFormat {
    InputFormat::Csv(CsvMapping::plain())
}

const CASE: Case = Case {
    name: "",
    rates: "{ service: data, price: 0.10/MB }",
    from: "1970-01-01T00:00:00Z",
    more: "",
    preset: plain,
    change: |_| {},
    input: "",
    expected: &[],
};

fn check(case: &Case) {
    let rates: String = case.rates.lines().map(|rate| format!("          - {}\n", rate.trim())).collect();
    let tariff = format!(
        "tariffs:\n  retail:\n    currency: GBP\n    versions:\n      - from: {}\n        rates:\n{rates}",
        case.from
    );
    let loaded = reference(&format!("format: rater/v1\n{}\n{tariff}{ACCOUNTS}", case.more));
    let folder = tempfile::tempdir().expect("a folder");
    let (input, out) = (folder.path().join("usage"), folder.path().join("out"));
    std::fs::write(&input, case.input).expect("written");
    let mut settings = settings(&[&input], &out);
    settings.inputs[0].format = Some((case.preset)());
    settings.now = Timestamp::parse("2026-11-30T00:00:00Z").expect("a time");
    settings.past_tolerance_ms = Some(3653 * 86_400_000);
    settings.doubts.limits = QuantityLimits::new([]);
    (case.change)(&mut settings);
    rate(&loaded, &settings);
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut actual: Vec<String> = messages(&out, "charges")
        .iter()
        .map(|charge| format!("charged {} {}", text(&charge["usage_id"]), text(&charge["amount"])))
        .collect();
    actual.extend(messages(&out, "suspense").iter().map(|waiting| {
        format!("suspended {} {}: {}", waiting["line"], text(&waiting["reason"]), text(&waiting["detail"]))
    }));
    assert_eq!(actual.len(), case.expected.len(), "{}: {actual:#?}", case.name);
    for (actual, expected) in actual.iter().zip(case.expected) {
        let (head, detail) = expected.split_once(": ").unwrap_or((expected, ""));
        let is_same =
            if detail.is_empty() { actual.split(": ").next() == Some(head) } else { actual.starts_with(head) };
        assert!(is_same && actual.contains(detail), "{}\n  expected {expected}\n  actual   {actual}", case.name);
    }
}

fn jsonl() -> InputFormat {
    InputFormat::JsonLines
}

#[test]
fn digits_that_are_no_milliseconds() {
    check(&Case {
        name: "seconds, a day number, dates, ticks and time stamps of gateways",
        input: "id,service,quantity,event_time,imsi\n\
                a,data,1000000,1772719200,001010000000001\n\
                b,data,1000000,46086,001010000000001\n\
                c,data,1000000,46086.58333,001010000000001\n\
                d,data,1000000,20260305,001010000000001\n\
                e,data,1000000,20260305140000,001010000000001\n\
                f,data,1000000,1772719200000000,001010000000001\n\
                g,data,1000000,1772719200000000000,001010000000001\n\
                h,data,1000000,2603051400002B0000,001010000000001\n\
                i,data,1000000,260305140000,001010000000001\n\
                j,data,1000000,1772719200000,001010000000001\n\
                k,data,1000000,1772719200.500,001010000000001\n\
                l,data,1000000,1.7727192E+12,001010000000001\n\
                m,data,1000000,05/03/2026 14:00,001010000000001\n",
        expected: &[
            "charged j 0.1",
            "suspended 2 past_event: it looks like seconds since 1970 (2026-03-05T14:00:00Z)",
            "suspended 3 past_event: it looks like a day number of a spreadsheet (2026-03-05T00:00:00Z)",
            "suspended 4 invalid_record: \"46086.58333\"; it looks like a day number of a spreadsheet",
            "suspended 5 past_event: it looks like a date YYYYMMDD (2026-03-05T00:00:00Z)",
            "suspended 6 invalid_record: \"20260305140000\"; it looks like a date and time",
            "suspended 7 invalid_record: it looks like microseconds since 1970",
            "suspended 8 invalid_record: it looks like nanoseconds since 1970",
            "suspended 9 invalid_record: it looks like a time stamp of TS 32.298 (2026-03-05T14:00:00Z)",
            "suspended 10 past_event: it looks like a date and time without an offset",
            "suspended 12 invalid_record: it looks like seconds since 1970",
            "suspended 13 invalid_record: a number whose digits a spreadsheet has dropped",
            "suspended 14 invalid_record: \"05/03/2026 14:00\"",
        ],
        ..CASE
    });
    check(&Case {
        name: "no tolerance makes milliseconds of seconds, and no bundle is drawn in 1970",
        from: "2026-01-01T00:00:00Z",
        change: |settings| settings.past_tolerance_ms = None,
        preset: jsonl,
        input: "{\"id\":\"a\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":1772719200,\"imsi\":\"001010000000001\"}\n\
                {\"id\":\"b\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"46086\",\"imsi\":\"001010000000001\"}\n\
                {\"command_id\":\"c\",\"kind\":\"top_up\",\"amount\":\"5\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\"effective_time\":1772719200}\n\
                {\"tick\":1772719200}\n",
        expected: &[
            "suspended 1 past_event: seconds since 1970",
            "suspended 2 past_event: a day number",
            "suspended 3 invalid_record: effective_time: 1772719200 as milliseconds since 1970",
            "suspended 4 invalid_record: tick: 1772719200 as milliseconds since 1970",
        ],
        ..CASE
    });
    check(&Case {
        name: "usage of long ago",
        input: "id,service,quantity,event_time,imsi\n\
                a,data,1000000,2016-11-28T23:59:59Z,001010000000001\n\
                b,data,1000000,2016-11-30T00:00:00Z,001010000000001\n\
                c,data,1000000,1004572800000,001010000000001\n",
        expected: &[
            "charged b 0.1",
            "suspended 2 past_event: event_time 2016-11-28T23:59:59Z (\"2016-11-28T23:59:59Z\") is before 2016-11-29T00:00:00Z",
            "suspended 4 past_event: event_time 2001-11-01T00:00:00Z (\"1004572800000\")",
        ],
        ..CASE
    });
}

#[test]
fn numbers_and_times_in_other_words() {
    check(&Case {
        name: "whole numbers are whole, and the same payload",
        rates: "{ service: voice, price: 0.06/min }",
        input: "id,service,quantity,event_time,imsi\n\
                1,voice,136.298,2026-03-05T14:00:00Z,001010000000001\n\
                2,voice,60.000000,2026-03-05T14:00:00Z,001010000000001\n\
                3,voice,00:02:16,2026-03-05T14:00:00Z,001010000000001\n\
                2,voice,60,2026-03-05T14:00:00.0009Z,001010000000001\n\
                4,voice,60.,2026-03-05T14:00:00Z,001010000000001\n\
                5,voice,\"60,0\",2026-03-05T14:00:00Z,001010000000001\n",
        expected: &[
            "charged 2 0.06",
            "charged 4 0.06",
            "suspended 2 invalid_record: quantity: is not a whole number: \"136.298\"",
            "suspended 4 invalid_record: quantity: is not a whole number: \"00:02:16\"",
            "suspended 7 invalid_record: \"60,0\"",
        ],
        ..CASE
    });
    check(&Case {
        name: "times finer than a millisecond",
        preset: jsonl,
        input: "{\"id\":\"a\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00.376645589Z\",\"imsi\":\"001010000000001\"}\n\
                {\"id\":\"b\",\"service\":\"data\",\"quantity\":1e6,\"event_time\":\"2026-03-05T14:00:00.108182Z\",\"imsi\":\"001010000000001\"}\n\
                {\"id\":\"c\",\"service\":\"data\",\"quantity\":1000000.0,\"event_time\":\"2026-03-05 14:00:00.123456+00:00\",\"imsi\":\"001010000000001\"}\n\
                {\"id\":\"c\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05t14:00:00.123z\",\"imsi\":\"001010000000001\"}\n",
        expected: &["charged a 0.1", "charged b 0.1", "charged c 0.1"],
        ..CASE
    });
    check(&Case {
        name: "what is only carried holds nothing up",
        input: "id,service,quantity,event_time,imsi,final,sequence,end_time,imei,,\n\
                a,data,1000000,2026-03-05T14:00:00Z,001010000000001,True,1.5,46086,?,,\n\
                b,data,1000000,2026-03-05T14:00:00Z,001010000000001,t,x,,,,\n\
                c,data,1000000,2026-03-05T14:00:00Z,001010000000001,maybe,,later,,,,,\n\
                a,data,1000000,2026-03-05T14:00:00Z,001010000000001,True,1.5,46086,?,,\n\
                c,data,1000000,2026-03-05T14:00:00Z,001010000000001,maybe,,sooner,,,\n",
        expected: &["charged a 0.1", "charged b 0.1", "charged c 0.1", "suspended 6 duplicate_conflict"],
        ..CASE
    });
    check(&Case {
        name: "quantities that no record has",
        rates: "{ service: data, price: 0.10/MB }\n{ service: voice, price: 0.06/min }\n{ service: water, price: 1/unit }",
        change: |settings| {
            let limit = |service: &str, quantity, unit| QuantityLimit { service: service.into(), quantity, unit };
            settings.doubts.limits =
                QuantityLimits::new([limit("water", 10, None), limit("sms", 1, Some(Unit::Messages))]);
        },
        input: "id,service,quantity,event_time,imsi\n\
                a,data,9223372036854775807,2026-03-05T14:00:00Z,001010000000001\n\
                b,voice,2678401,2026-03-05T14:00:00Z,001010000000001\n\
                c,water,11,2026-03-05T14:00:00Z,001010000000001\n\
                d,water,10,2026-03-05T14:00:00Z,001010000000001\n\
                e,voice,60,2026-03-05T14:00:00Z,001010000000001\n\
                f,voice,18446744073709551615,2026-03-05T14:00:00Z,001010000000001\n",
        expected: &[
            "charged d 10",
            "charged e 0.06",
            "suspended 2 implausible_quantity: quantity: 9223372036854775807 octets is more than 1000000000000000, the limit of \"data\"",
            "suspended 3 implausible_quantity: 2678401 seconds is more than 2678400",
            "suspended 4 implausible_quantity: 11 units is more than 10",
            "suspended 7 invalid_record: is not a whole number of 64 bits: \"18446744073709551615\"",
        ],
        ..CASE
    });
}

const CALLS: &str = "{ service: voice, price: 0.90/min }\n{ service: voice, zone: uk, price: 0.02/min }";
const ZONES: &str = "zones:\n  uk: { to: [44] }\n";

#[test]
fn called_numbers() {
    let input = "id,service,quantity,event_time,imsi,destination\n\
                 a,voice,60,2026-03-05T14:00:00Z,001010000000001,442079460000\n\
                 b,voice,60,2026-03-05T14:00:00Z,001010000000001,+442079460000\n\
                 c,voice,60,2026-03-05T14:00:00Z,001010000000001,00442079460000\n\
                 d,voice,60,2026-03-05T14:00:00Z,001010000000001,011442079460000\n\
                 e,voice,60,2026-03-05T14:00:00Z,001010000000001,44 2079-460000\n\
                 f,voice,60,2026-03-05T14:00:00Z,001010000000001,0011442079460000\n\
                 g,voice,60,2026-03-05T14:00:00Z,001010000000001,+44(0)2079460000\n\
                 h,voice,60,2026-03-05T14:00:00Z,001010000000001,000\n";
    check(&Case {
        name: "prefixes are doubted",
        rates: CALLS,
        more: ZONES,
        input,
        expected: &[
            "charged a 0.02",
            "charged b 0.02",
            "charged e 0.02",
            "charged h 0.9",
            "suspended 4 invalid_record: destination: begins with 00; --international-prefix says what that means: \"00442079460000\"",
            "suspended 5 invalid_record: destination: begins with 011",
            "suspended 7 invalid_record: destination: begins with 00",
            "suspended 8 invalid_record: is not all digits: \"+44(0)2079460000\"",
        ],
        ..CASE
    });
    check(&Case {
        name: "prefixes are taken away",
        rates: CALLS,
        more: ZONES,
        change: |settings| {
            let prefixes = ["00", "011", "0011"].map(Box::from);
            settings.doubts.international = InternationalPrefixes::Stripped(Box::new(prefixes));
        },
        input,
        expected: &[
            "charged a 0.02",
            "charged b 0.02",
            "charged c 0.02",
            "charged d 0.02",
            "charged e 0.02",
            "charged f 0.02",
            "charged h 0.9",
            "suspended 8 invalid_record",
        ],
        ..CASE
    });
    check(&Case {
        name: "what misses every rate is named in full, and so are units that differ",
        rates: "{ service: voice, zone: uk, price: 0.02/min }\n{ service: data, apn: iot, price: 1/MB }\n{ service: sms, price: 1/message }",
        more: ZONES,
        preset: jsonl,
        input: "{\"id\":\"a\",\"service\":\"voice\",\"quantity\":60,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"destination\":\"33123\",\"mcc\":\"234\",\"mnc\":\"15\",\"apn\":\"ims\",\"direction\":\"mo\"}\n\
                {\"id\":\"b\",\"service\":\"sms\",\"quantity\":60,\"unit\":\"seconds\",\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\"}\n\
                {\"id\":\"c\",\"service\":\"data\",\"quantity\":60,\"event_time\":\"2026-03-05T14:00:00Z\",\"IMSI\":\"001010000000001\"}\n",
        expected: &[
            "suspended 1 no_rate: no rate for voice to 33123 on 234-15, APN \"ims\", direction \"mo\" at 2026-03-05T14:00:00Z",
            "suspended 2 unit_mismatch: the record counts seconds, the rate of sms counts messages",
            "suspended 3 invalid_record: field \"IMSI\" looks like imsi",
        ],
        ..CASE
    });
}

#[test]
fn networks_and_access_points() {
    check(&Case {
        name: "network codes as numbers",
        rates: "{ service: data, zone: us410, price: 1/MB }\n{ service: data, zone: us10, price: 4/MB }\n{ service: data, price: 99/MB }",
        more: "zones:\n  us410: { networks: [310-410] }\n  us10: { networks: [310-10] }\n",
        preset: jsonl,
        input: "{\"id\":\"n0\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":310,\"mnc\":410}\n\
                {\"id\":\"n1\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":310,\"mnc\":10}\n\
                {\"id\":\"n2\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":310,\"mnc\":0}\n\
                {\"id\":\"n4\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":\"310\",\"mnc\":10}\n\
                {\"id\":\"n5\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":\"310\",\"mnc\":\"10\"}\n\
                {\"id\":\"n6\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"mcc\":1,\"mnc\":\"01\"}\n",
        expected: &[
            "charged n0 1",
            "charged n5 4",
            "suspended 2 invalid_record: mnc: is a number, which has no leading zeros; its digits as text are needed: 10",
            "suspended 3 invalid_record: mnc: is a number",
            "suspended 4 invalid_record: mnc: is a number",
            "suspended 6 invalid_record: mcc: is a number",
        ],
        ..CASE
    });
    for (name, rates, input, expected) in [
        (
            "APN in other letters and with its operator",
            "{ service: data, price: 9/MB }\n{ service: data, apn: IOT.provider, price: 0.01/MB }",
            "id,service,quantity,event_time,imsi,apn\n\
             1,data,1000000,2026-03-05T14:00:00Z,001010000000001,iot.provider\n\
             2,data,1000000,2026-03-05T14:00:00Z,001010000000001,Iot.Provider\n\
             3,data,1000000,2026-03-05T14:00:00Z,001010000000001,iot.provider.mnc015.mcc234.gprs\n\
             4,data,1000000,2026-03-05T14:00:00Z,001010000000001,iot.provider.mnc15.mcc234.gprs\n",
            &["charged 1 0.01", "charged 2 0.01", "charged 3 0.01", "charged 4 9"] as &[&str],
        ),
        (
            "RAT in other letters and as a number",
            "{ service: data, price: 9/MB }\n{ service: data, rat: eutran, price: 0.02/MB }",
            "id,service,quantity,event_time,imsi,rat\n\
             1,data,1000000,2026-03-05T14:00:00Z,001010000000001,EUTRAN\n\
             2,data,1000000,2026-03-05T14:00:00Z,001010000000001,6\n\
             3,data,1000000,2026-03-05T14:00:00Z,001010000000001,E-UTRAN\n\
             4,data,1000000,2026-03-05T14:00:00Z,001010000000001,5\n",
            &["charged 1 0.02", "charged 2 0.02", "charged 3 0.02", "charged 4 9"],
        ),
        (
            "direction and sponsor in other letters",
            "{ service: data, price: 9/MB }\n{ service: data, direction: UP, sponsor: orange, price: 0.03/MB }",
            "id,service,quantity,event_time,imsi,direction,sponsor\n\
             1,data,1000000,2026-03-05T14:00:00Z,001010000000001,up,Orange\n\
             2,data,1000000,2026-03-05T14:00:00Z,001010000000001,Up,ORANGE\n\
             3,data,1000000,2026-03-05T14:00:00Z,001010000000001,UP,orange\n\
             4,data,1000000,2026-03-05T14:00:00Z,001010000000001,down,orange\n",
            &["charged 1 0.03", "charged 2 0.03", "charged 3 0.03", "charged 4 9"],
        ),
    ] {
        check(&Case { name, rates, input, expected, ..CASE });
    }
}

#[test]
fn kinds_and_containers() {
    let input = "{\"id\":\"a\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\"}\n\
                 {\"command_id\":\"z\",\"kind\":\"top_up\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\"effective_time\":\"2026-03-05T14:00:00Z\",\"amount\":\"1000.00\",\"currency\":\"GBP\"}\n\
                 {\"tick\":\"2026-03-05T14:00:00Z\"}\n\
                 {\"id\":\"b\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"tick\":12345}\n";
    check(&Case {
        name: "usage only",
        preset: jsonl,
        change: |settings| settings.doubts.accepts = Kinds::only(Kind::Usage),
        input,
        expected: &[
            "charged a 0.1",
            "suspended 2 wrong_kind: is a command; taken here: usage",
            "suspended 3 wrong_kind: is a tick; taken here: usage",
            "suspended 4 wrong_kind: could be a tick (field `tick`) or usage (field `service`)",
        ],
        ..CASE
    });
    check(&Case {
        name: "every kind",
        preset: jsonl,
        input,
        expected: &["charged a 0.1", "suspended 4 wrong_kind"],
        ..CASE
    });
    check(&Case {
        name: "containers with equal figures",
        preset: || InputFormat::Csv(CsvMapping::pgw()),
        input: "chargingID,recordSequenceNumber,recordOpeningTime,servedIMSI,servingNodePLMNIdentifier,rATType,ratingGroup,timeOfFirstUsage,datavolumeFBCUplink,datavolumeFBCDownlink\n\
                1207,1,2026-03-05T14:00:00Z,001010000000001,23415,6,10,1,1000000,0\n\
                1207,1,2026-03-05T14:00:00Z,001010000000001,23415,6,10,2,1000000.0,\n",
        expected: &["charged 1207-1-10-1 0.1", "charged 1207-1-10-2 0.1"],
        ..CASE
    });
}
