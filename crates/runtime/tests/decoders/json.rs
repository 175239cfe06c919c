//! JSON lines.

use super::{check, cut, field, outcome};
use pipeline::Field;
use runtime::wire::{Decoder, InputFormat};

const REST: &str = r#""service":"data","event_time":"2026-01-01T00:00:00Z","imsi":"001010000000001""#;

fn line(fields: &str) -> String {
    format!("{{{fields},{REST}}}")
}

fn check_lines(rows: &[(&str, &str)]) {
    let lines: Vec<String> = rows.iter().map(|(fields, _)| line(fields)).collect();
    let rows: Vec<(&str, &str)> =
        lines.iter().zip(rows).map(|(line, (_, expected))| (line.as_str(), *expected)).collect();
    check(&Decoder::json_lines(), &rows);
}

#[test]
fn quantities_are_whole_numbers_or_wait() {
    check_lines(&[
        (r#""id":"r","quantity":5"#, "usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (r#""id":"r","quantity":"5""#, "usage file/r data 5 octets"),
        (r#""id":"r","quantity":0"#, "usage file/r data 0 octets"),
        (r#""id":"r","quantity":-0"#, "usage file/r data 0 octets"),
        (r#""id":"r","quantity":9223372036854775807"#, "usage file/r data 9223372036854775807"),
        (r#""id":"r","quantity":9223372036854775808"#, "invalid_record: quantity: is not a whole number of 64 bits"),
        (r#""id":"r","quantity":18446744073709551616"#, "invalid_record: quantity: is not a whole number of 64 bits"),
        (r#""id":"r","quantity":123456789012345678901234567890"#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":-1"#, "invalid_record: quantity: is negative"),
        (r#""id":"r","quantity":-9223372036854775808"#, "invalid_record: quantity: is negative"),
        (r#""id":"r","quantity":1.5"#, "invalid_record: quantity: is not a whole number: 1.5"),
        (r#""id":"r","quantity":"136.298""#, "invalid_record: quantity: is not a whole number: \"136.298\""),
        (r#""id":"r","quantity":"00:02:16""#, "invalid_record: quantity: is not a whole number: \"00:02:16\""),
        (r#""id":"r","quantity":1.0"#, "usage file/r data 1 octets"),
        (r#""id":"r","quantity":"136.000000""#, "usage file/r data 136 octets"),
        (r#""id":"r","quantity":1200.0000000000"#, "usage file/r data 1200 octets"),
        (r#""id":"r","quantity":9007199254740993.0"#, "usage file/r data 9007199254740993 octets"),
        (r#""id":"r","quantity":1e3"#, "usage file/r data 1000 octets"),
        (r#""id":"r","quantity":1.5e3"#, "usage file/r data 1500 octets"),
        (r#""id":"r","quantity":"1e3""#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":1e400"#, "undecodable: column"),
        (r#""id":"r","quantity":"NaN""#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":" 5""#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":NaN"#, "undecodable: column"),
        (r#""id":"r","quantity":+5"#, "undecodable: column"),
        (r#""id":"r","quantity":05"#, "undecodable: column"),
        (r#""id":"r","quantity":0x5"#, "undecodable: column"),
        (r#""id":"r","quantity":true"#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":null"#, "invalid_record: quantity: is missing"),
        (r#""id":"r","quantity":"""#, "invalid_record: quantity: is missing"),
        (r#""id":"r","quantity":[5]"#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r","quantity":{"n":5}"#, "invalid_record: quantity: is not a whole number"),
        (r#""id":"r""#, "invalid_record: quantity: is missing"),
    ]);
}

#[test]
fn names_and_texts() {
    let long = "x".repeat(257);
    let just = "x".repeat(256);
    check_lines(&[
        (r#""id":"\u0061\/\"\\","quantity":5"#, "usage file/a/\"\\ data"),
        (r#""\u0069d":"r","quantity":5"#, "usage file/r data"),
        (r#""id":"\ud834\udd1e ✓","quantity":5"#, "usage file/𝄞 ✓ data"),
        (r#""id":"\ud834","quantity":5"#, "undecodable: column"),
        (r#""id":"\x","quantity":5"#, "undecodable: column"),
        (r#""id":7,"quantity":5"#, "usage file/7 data"),
        (r#""id":1.5,"quantity":5"#, "invalid_record: id: is not text"),
        (r#""id":["r"],"quantity":5"#, "invalid_record: id: is not text"),
        (r#""id":null,"quantity":5"#, "invalid_record: id: is missing"),
        (r#""id":"","quantity":5"#, "invalid_record: id: is missing"),
        (r#""id":"a\u0000b","quantity":5"#, "invalid_record: id: is longer than 256 bytes or holds control characters"),
        (r#""id":"a\u0085b","quantity":5"#, "invalid_record: id: is longer than 256 bytes or holds control characters"),
        (&format!(r#""id":"{long}","quantity":5"#), "invalid_record: id: is longer than 256 bytes"),
        (&format!(r#""id":"{just}","quantity":5"#), "usage file/xxx"),
        (r#""id":"r","source":"pgw","quantity":5"#, "usage pgw/r"),
        (r#""id":"r","quantity":5,"unknown":{"deep":[1,{"er":null}]}"#, "usage file/r"),
        (r#""id":"r","quantity":5,"unit":"seconds""#, "usage file/r data 5 seconds"),
        (r#""id":"r","quantity":5,"unit":"bytes""#, "invalid_record: unit: is none of"),
        (r#""id":"r","quantity":5,"mcc":234,"mnc":"15""#, "usage file/r"),
        (r#""id":"r","quantity":5,"mcc":"23""#, "invalid_record: mcc: mcc of 3 digits"),
        (r#""id":"r","quantity":5,"msisdn":"+44 7700-900001""#, "usage file/r"),
        (
            r#""id":"r","quantity":5,"msisdn":"+0044""#,
            "invalid_record: msisdn: no country code begins with 0: \"+0044\"",
        ),
        (r#""id":"r","quantity":5,"msisdn":"anonymous""#, "invalid_record: msisdn: is not all digits: \"anonymous\""),
        (r#""id":"r","quantity":5,"iccid":89882806660010000012"#, "usage file/r"),
        (r#""id":"r","quantity":5,"mcc":310,"mnc":410"#, "usage file/r"),
        (
            r#""id":"r","quantity":5,"mcc":310,"mnc":10"#,
            "invalid_record: mnc: is a number, which has no leading zeros; its digits as text are needed: 10",
        ),
        (r#""id":"r","quantity":5,"mcc":310,"mnc":0"#, "invalid_record: mnc: is a number"),
        (r#""id":"r","quantity":5,"mcc":1,"mnc":"01""#, "invalid_record: mcc: is a number"),
        (r#""id":"r","quantity":5,"mcc":310.0,"mnc":"410""#, "invalid_record: mcc: is a number"),
        (r#""id":"r","quantity":5,"destination":"00442079460000""#, "invalid_record: destination: begins with 00;"),
        (r#""id":"r","quantity":5,"destination":"011442079460000""#, "invalid_record: destination: begins with 011;"),
        (r#""id":"r","quantity":5,"destination":"000""#, "usage file/r"),
        (
            r#""id":"r","quantity":5,"destination":"a\u001b[31m""#,
            "invalid_record: destination: is longer than 256 bytes or holds control characters: \"a\\u{1b}[31m\"",
        ),
        (r#""id":"r","quantity":5,"id":"s""#, "undecodable: column 27: a field is given twice"),
        (r#""id":"r","quantity":5,"unknown":1,"unknown":2"#, "usage file/r"),
    ]);
}

#[test]
fn what_is_only_carried_holds_nothing_up() {
    check_lines(&[
        (r#""id":"r","quantity":5,"end_time":"2026-01-01T01:00:00+01:00""#, "usage file/r"),
        (r#""id":"r","quantity":5,"end_time":"later""#, "usage file/r"),
        (r#""id":"r","quantity":5,"end_time":1.5"#, "usage file/r"),
        (r#""id":"r","quantity":5,"final":true"#, "usage file/r"),
        (r#""id":"r","quantity":5,"final":"yes""#, "usage file/r"),
        (r#""id":"r","quantity":5,"imei":["1"]"#, "usage file/r"),
        (r#""id":"r","quantity":5,"sequence":"1.5""#, "usage file/r"),
        (r#""id":"r","quantity":5,"sequence":1,"closing_cause":{}"#, "usage file/r"),
    ]);
}

#[test]
fn times_have_an_offset_and_are_plausible() {
    let rows = [
        (r#""2026-01-01T00:00:00Z""#, "usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (r#""2026-01-01T02:00:00.250+02:00""#, "usage file/r data 5 octets 2026-01-01T00:00:00.25Z"),
        ("1767225600000", "usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (r#""1767225600000""#, "usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        ("0", "past_event: event_time: 0 as milliseconds since 1970"),
        (
            "1772719200",
            "past_event: event_time: 1772719200 as milliseconds since 1970 is 1970-01-21T12:25:19.2Z; it looks like seconds since 1970 (2026-03-05T14:00:00Z)",
        ),
        (
            "1772719200.5",
            "invalid_record: event_time: is not a time with an offset between 1970 and 2200: \"1772719200.5\"; it looks like seconds",
        ),
        (
            r#""2603051400002B0000""#,
            "invalid_record: event_time: is not a time with an offset between 1970 and 2200: \"2603051400002B0000\"; it looks like a time stamp of TS 32.298",
        ),
        ("-1", "invalid_record: event_time: is not a time"),
        (r#""2026-01-01T00:00:00""#, "invalid_record: event_time: is not a time"),
        (r#""2026-02-30T00:00:00Z""#, "invalid_record: event_time: is not a time"),
        (r#""2026-01-01T00:00:00.0019Z""#, "usage file/r data 5 octets 2026-01-01T00:00:00.001Z"),
        (r#""2201-01-01T00:00:00Z""#, "invalid_record: event_time: is not a time"),
        ("9223372036854775807", "invalid_record: event_time: is not a time"),
        (r#""""#, "invalid_record: event_time: is missing"),
        ("1.5", "invalid_record: event_time: is not a time"),
        ("true", "invalid_record: event_time: is not a time"),
    ];
    let lines = rows.map(|(time, expected)| {
        (format!(r#"{{"id":"r","quantity":5,"service":"data","imsi":"1","event_time":{time}}}"#), expected)
    });
    check(&Decoder::json_lines(), &lines.each_ref().map(|(line, expected)| (line.as_str(), *expected)));
}

#[test]
fn attributes_are_texts() {
    check_lines(&[
        (
            r#""id":"r","quantity":5,"attributes":{"a":"1","b":2,"c":null,"d":true}"#,
            "usage file/r data 5 octets 2026-01-01T00:00:00Z a=1 b=2 d=true",
        ),
        // As written, digit by digit.
        (
            r#""id":"r","quantity":5,"attributes":{"a":1.50,"b":"x"}"#,
            "usage file/r data 5 octets 2026-01-01T00:00:00Z a=1.50 b=x",
        ),
        (
            r#""id":"r","quantity":5,"attributes":{"a":1e2,"b":[1, 2]}"#,
            "usage file/r data 5 octets 2026-01-01T00:00:00Z a=1e2 b=[1, 2]",
        ),
        (
            r#""id":"r","quantity":5,"attributes":{"a":18446744073709551616}"#,
            "usage file/r data 5 octets 2026-01-01T00:00:00Z a=18446744073709551616",
        ),
        (
            r#""id":"r","quantity":5,"attributes":{"a":"1","b":"2","a":"3"}"#,
            "undecodable: column 61: an attribute is given twice",
        ),
        (r#""id":"r","quantity":5,"attributes":{"tick":"1","command_id":"c"}"#, "usage file/r"),
        (r#""id":"r","quantity":5,"attributes":null"#, "usage file/r"),
        (r#""id":"r","quantity":5,"attributes":"a""#, "undecodable: attributes: is not an object"),
        (r#""id":"r","quantity":5,"attributes":[1]"#, "undecodable: attributes: is not an object"),
        (r#""id":"r","quantity":5,"attributes":{},"attributes":{}"#, "undecodable: column"),
    ]);
}

#[test]
fn what_is_not_an_object_cannot_be_decoded() {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!(r#"{{"id":"r","unknown":{nested}}}"#);
    check(
        &Decoder::json_lines(),
        &[
            ("5", "undecodable: column"),
            ("[]", "undecodable: column"),
            ("null", "undecodable: column"),
            ("{", "undecodable: column"),
            ("{}", "invalid_record: id: is missing; service: is missing; quantity: is missing; event_time: is missing"),
            ("{} ", "invalid_record"),
            ("{} {}", "undecodable: column"),
            ("{}x", "undecodable: column"),
            ("\u{feff}{}", "undecodable: column"),
            ("{'id':1}", "undecodable: column"),
            ("{\"id\":1,}", "undecodable: column"),
            (&nested, "undecodable: column"),
            // What no field takes is passed over, however deep.
            (&deep, "invalid_record: service: is missing"),
        ],
    );
    let decoder = Decoder::json_lines();
    assert_eq!(outcome(&decoder, b"{\"id\":\"\xff\"}"), "undecodable: byte 8: is not UTF-8");
    assert_eq!(outcome(&decoder, b"{\"unknown\":\"\xc3\"}"), "undecodable: byte 13: is not UTF-8");
    assert!(outcome(&decoder, b"{\"id\":\"r\"\0}").starts_with("undecodable: column"), "a zero byte");
}

#[test]
fn commands_and_ticks() {
    let rest = r#""account_id":"acme","issued_by":"beta","effective_time":"2026-01-01T00:00:00Z""#;
    let long = "n".repeat(1025);
    let commands = [
        (r#""command_id":"c","kind":"top_up","amount":"5.10""#, "command c TopUp(5.1)"),
        (r#""command_id":"c","kind":"top_up","amount":5.10"#, "command c TopUp(5.1)"),
        (r#""command_id":"c","kind":"top_up","amount":0.1234567891"#, "command c TopUp(0.1234567891)"),
        (r#""command_id":"c","kind":"top_up","amount":0.12345678912"#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"1e3""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"1_000""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"-1""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"0""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"1000000000000000000""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"top_up","amount":"5","amount":"500""#, "undecodable: column"),
        (r#""command_id":"c","kind":"top_up","amount":["5"]"#, "invalid_record: amount: is neither text nor a number"),
        (r#""command_id":"c","kind":"top_up""#, "invalid_record: amount"),
        (r#""command_id":"c","kind":"suspend""#, "command c SuspendAccount"),
        (r#""command_id":"c","kind":"suspend","bundle_id":null"#, "command c SuspendAccount"),
        (r#""command_id":"c","kind":"suspend","bundle_id":"b""#, "command c SuspendBundle"),
        (
            r#""command_id":"c","kind":"suspend","bundle_id":"\ud800""#,
            "invalid_record: bundle_id: is not text in Unicode",
        ),
        (
            r#""command_id":"c","kind":"suspend","bundle_id":{}"#,
            "invalid_record: bundle_id: is neither text nor a number",
        ),
        (r#""command_id":"c","kind":"suspend","bundle_id":"""#, "invalid_record: bundle_id: is empty"),
        (r#""command_id":"c\u0007","kind":"suspend""#, "invalid_record: command_id: is empty, longer"),
        (r#""command_id":"","kind":"suspend""#, "invalid_record: command_id: is empty, longer"),
        (r#""command_id":"c","kind":"explode""#, "invalid_record: kind: \"explode\" is not known"),
        (r#""command_id":"c","kind":"suspend","expires_at":5"#, "invalid_record: expires_at: not supported yet"),
        (&format!(r#""command_id":"c","kind":"suspend","note":"{long}""#), "invalid_record: note: is longer than"),
        (r#""command_id":null,"kind":"suspend""#, "invalid_record: id: is missing"),
    ];
    let lines = commands.map(|(fields, expected)| (format!("{{{fields},{rest}}}"), expected));
    let decoder = Decoder::json_lines();
    check(&decoder, &lines.each_ref().map(|(line, expected)| (line.as_str(), *expected)));
    check(
        &decoder,
        &[
            (r#"{"tick":"2026-01-01T00:00:00Z"}"#, "tick 2026-01-01T00:00:00Z"),
            (r#"{"tick":1767225600000}"#, "tick 2026-01-01T00:00:00Z"),
            (r#"{"tick":"soon"}"#, "invalid_record: tick: is not a time"),
            (r#"{"tick":1.5}"#, "invalid_record: tick: is not a time"),
            (r#"{"tick":-1}"#, "invalid_record: tick: is not a time"),
            (r#"{"tick":null}"#, "invalid_record: id: is missing"),
        ],
    );
}

#[test]
fn the_kind_is_named_or_follows_from_the_fields() {
    let usage = r#""id":"r","service":"data","quantity":5,"event_time":"2026-01-01T00:00:00Z","imsi":"1""#;
    let command = r#""command_id":"c","kind":"suspend","account_id":"acme","issued_by":"beta","effective_time":"2026-01-01T00:00:00Z""#;
    let tick = r#""tick":"2026-01-01T00:00:00Z""#;
    let rows = [
        (
            format!("{{{usage},{tick}}}"),
            "wrong_kind: could be a tick (field `tick`) or usage (field `service`); name its kind in the field `type`",
        ),
        (format!("{{{usage},\"tick\":12345}}"), "wrong_kind: could be a tick"),
        (format!("{{{usage},\"tick\":null}}"), "usage file/r"),
        (format!("{{{usage},\"tick\":\"\"}}"), "usage file/r"),
        (
            format!("{{{usage},\"command_id\":\"x\"}}"),
            "wrong_kind: could be a command (field `command_id`) or usage (field `service`)",
        ),
        (format!("{{{usage},\"command_id\":null}}"), "usage file/r"),
        (format!("{{{usage},\"command_id\":\"\"}}"), "usage file/r"),
        (format!("{{{usage},{command}}}"), "wrong_kind: could be a command"),
        (
            format!("{{{tick},{command}}}"),
            "wrong_kind: could be a tick (field `tick`) or a command (field `command_id`)",
        ),
        (format!("{{{tick},\"imsi\":\"1\"}}"), "wrong_kind: could be a tick (field `tick`) or usage (field `imsi`)"),
        (
            format!("{{{tick},\"amount\":\"5\",\"kind\":\"credit\"}}"),
            "wrong_kind: could be a tick (field `tick`) or a command (field `amount`)",
        ),
        (format!("{{{tick},\"source\":\"x\",\"id\":\"t1\",\"note\":\"n\"}}"), "tick 2026-01-01T00:00:00Z"),
        (
            format!("{{{command},\"source\":\"crm\",\"id\":\"7\",\"msisdn\":\"447700900001\"}}"),
            "command c SuspendAccount",
        ),
        (format!("{{{command},\"quantity\":1}}"), "wrong_kind: could be a command"),
        (format!("{{{usage},\"amount\":\"5.00\",\"currency\":\"GBP\",\"kind\":\"x\",\"note\":\"y\"}}"), "usage file/r"),
        (format!("{{\"type\":\"usage\",{usage},{tick}}}"), "usage file/r"),
        (format!("{{{usage},\"command_id\":\"x\",\"type\":\"usage\"}}"), "usage file/r"),
        (format!("{{{usage},\"type\":\"s1.fast\"}}"), "usage file/r"),
        (format!("{{{usage},\"type\":\"Usage\"}}"), "usage file/r"),
        (format!("{{{usage},\"type\":7}}"), "usage file/r"),
        (format!("{{{usage},\"type\":[\"command\"]}}"), "usage file/r"),
        (format!("{{{usage},{tick},\"type\":null}}"), "wrong_kind: could be a tick"),
        (
            format!("{{{usage},\"type\":\"command\"}}"),
            "wrong_kind: `type` says a command, but only usage has a field `service`",
        ),
        (
            format!("{{{usage},\"type\":\"tick\"}}"),
            "wrong_kind: `type` says a tick, but only usage has a field `service`",
        ),
        (
            format!("{{{command},\"type\":\"usage\"}}"),
            "wrong_kind: `type` says usage, but only a command has a field `command_id`",
        ),
        (format!("{{{command},\"quantity\":1,\"type\":\"command\"}}"), "command c SuspendAccount"),
        (format!("{{{tick},\"imsi\":\"1\",\"type\":\"tick\"}}"), "tick 2026-01-01T00:00:00Z"),
        (r#"{"type":"tick"}"#.to_owned(), "invalid_record: tick: is missing"),
        (r#"{"type":"command"}"#.to_owned(), "invalid_record: command_id: is missing"),
        (format!("{{{usage},\"type\":\"usage\",\"type\":\"tick\"}}"), "undecodable: column"),
        (format!("{{{usage},\"\\u0074ick\":5}}"), "wrong_kind: could be a tick"),
    ];
    check(&Decoder::json_lines(), &rows.each_ref().map(|(line, expected)| (line.as_str(), *expected)));
}

#[test]
fn lines_end_as_they_like() {
    let good = line(r#""id":"r","quantity":5"#);
    let input = format!("\u{feff}{good}\r\n\n   \r\n{good}\n\t\n{{\n{good}");
    let cut = cut(InputFormat::JsonLines, input.as_bytes()).expect("an input");
    assert!(cut.error.is_none());
    let outcomes: Vec<String> = cut.outcomes().iter().map(|text| text.chars().take(12).collect()).collect();
    assert_eq!(outcomes, ["1 usage file", "4 usage file", "6 undecodabl", "7 usage file"]);
    assert_eq!(cut.records[0].1, good.as_bytes(), "neither byte order mark nor line break");
    assert!(super::cut(InputFormat::JsonLines, b"").expect("an input").records.is_empty());
    assert!(super::cut(InputFormat::JsonLines, b"\xef\xbb\xbf\n\n").expect("an input").records.is_empty());
}

#[test]
fn a_long_line_is_cut_and_its_neighbours_are_not() {
    let good = line(r#""id":"r","quantity":5"#);
    for length in [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(length - 9));
        assert_eq!(long.len(), length);
        let input = format!("{good}\n{long}\n{good}\n");
        let cut = cut(InputFormat::JsonLines, input.as_bytes()).expect("an input");
        let outcomes: Vec<String> = cut.outcomes().iter().map(|text| text.chars().take(22).collect()).collect();
        let middle = if length < 1 << 20 { "2 invalid_record: id: " } else { "2 undecodable: is long" };
        assert_eq!(outcomes, ["1 usage file/r data 5 ", middle, "3 usage file/r data 5 "], "{length} bytes");
        assert_eq!(cut.records[1].1, long.as_bytes()[..length.min(1 << 20)]);
    }
}

#[test]
fn numbers_keep_their_kind() {
    let decoder = Decoder::json_lines();
    for (text, expected) in [
        (r#"{"sequence":1}"#, "integer 1"),
        (r#"{"sequence":"1"}"#, "text 1"),
        (r#"{"sequence":1.25}"#, "number 1.25"),
        (r#"{"sequence":false}"#, "text false"),
        (r#"{"sequence":null}"#, "absent"),
        (r#"{"sequence":18446744073709551615}"#, "number 18446744073709551615"),
        (r#"{"sequence":[]}"#, "other a list"),
        (r#"{"sequence":{}}"#, "other an object"),
    ] {
        assert_eq!(field(&decoder, text.as_bytes(), Field::Sequence), expected, "{text}");
    }
}
