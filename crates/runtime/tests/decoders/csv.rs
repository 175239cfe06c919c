//! CSV.

use super::{cut, field};
use pipeline::Field;
use runtime::wire::{CsvMapping, Decoder, InputFormat};
use std::path::Path;

const HEADER: &str = "id,service,quantity,event_time,imsi,note";

fn plain() -> InputFormat {
    InputFormat::Csv(CsvMapping::plain())
}

fn row(id: &str) -> String {
    format!("{id},data,5,2026-01-01T00:00:00Z,001,n")
}

/// The outcomes of rows behind the header, each up to the detail.
fn outcomes(rows: &str) -> Vec<String> {
    let cut = cut(plain(), format!("{HEADER}\n{rows}").as_bytes()).expect("a header");
    assert!(cut.error.is_none(), "{}", cut.error_text());
    cut.outcomes().iter().map(|text| text.replace(" data 5 octets 2026-01-01T00:00:00Z", "")).collect()
}

fn header_error(header: &str) -> String {
    cut(plain(), header.as_bytes()).err().map_or("no error".to_owned(), |error| error.to_string())
}

#[test]
fn cells_with_and_without_quotation_marks() {
    for (rows, expected) in [
        (row("r1"), vec!["2 usage file/r1"]),
        (row("\"r,1\""), vec!["2 usage file/r,1"]),
        (row("\"r\"\"1\"\"\""), vec!["2 usage file/r\"1\""]),
        (row("\"\"\"\""), vec!["2 usage file/\""]),
        // Within a cell that does not begin with one, a quotation mark is a character.
        (row("5\" pipe"), vec!["2 usage file/5\" pipe"]),
        (format!("{}\n{}", row("5\" pipe"), row("6\" pipe")), vec!["2 usage file/5\" pipe", "3 usage file/6\" pipe"]),
        (row("\"\""), vec!["2 invalid_record: id: is missing"]),
        (row(""), vec!["2 invalid_record: id: is missing"]),
        (row(" r1 "), vec!["2 usage file/ r1 "]),
        (row("\"r1\"x"), vec!["2 undecodable: cell 1: text after the closing quotation mark"]),
        (row("\"r1\" "), vec!["2 undecodable: cell 1: text after the closing quotation mark"]),
        ("r1,data,5,2026-01-01T00:00:00Z,001".to_owned(), vec!["2 undecodable: 5 cells instead of 6"]),
        (row("r1,x"), vec!["2 undecodable: 7 cells instead of 6"]),
        (row("r1") + ",,", vec!["2 usage file/r1"]),
        (row("r1") + ",,x", vec!["2 undecodable: 8 cells instead of 6"]),
        (row("r1").replace(',', ";"), vec!["2 undecodable: 1 cells instead of 6"]),
        (row("r1").replace("5", "5.0"), vec!["2 usage file/r1"]),
        (row("r1").replace("5", "5.5"), vec!["2 invalid_record: quantity: is not a whole number: \"5.5\""]),
        (
            row("r1").replace("5", "1.2E+09"),
            vec![
                "2 invalid_record: quantity: is not a whole number in full (a spreadsheet drops digits for an exponent): \"1.2E+09\"",
            ],
        ),
        (row("r1").replace("5", "-5"), vec!["2 invalid_record: quantity: is negative: \"-5\""]),
        (
            row("r1").replace("5", "9223372036854775808"),
            vec!["2 invalid_record: quantity: is not a whole number of 64 bits: \"9223372036854775808\""],
        ),
        (row("r1").replace("5", ""), vec!["2 invalid_record: quantity: is missing"]),
    ] {
        assert_eq!(outcomes(&rows), expected, "{rows}");
    }
}

#[test]
fn line_breaks_belong_to_quoted_cells() {
    let rows = format!("{},\"a\nb\r\nc\"\r\n\n{}", row("r1").trim_end_matches(",n"), row("r2"));
    assert_eq!(outcomes(&rows), ["2 usage file/r1", "6 usage file/r2"]);
    let cut = cut(plain(), format!("{HEADER}\n{rows}").as_bytes()).expect("a header");
    assert!(cut.records[0].1.ends_with(b"\"a\nb\r\nc\""), "the original bytes, without the last line break");
}

#[test]
fn a_mark_that_is_never_closed_costs_its_own_line_only() {
    let open = row("\"r1");
    for (rows, expected) in [
        (format!("{open}\n{}\n{}\n", row("r2"), row("r3")), ["file/r2", "file/r3"]),
        (format!("{open}\n{}\n{}\n", row("\"r2\""), row("\"r3\"")), ["file/r2", "file/r3"]),
        (format!("{open}\n{}\n{}", row("\"r,2\""), row("r3")), ["file/r,2", "file/r3"]),
        (format!("{open}\r\n{}\r\n{}", row("r\"2"), row("r3")), ["file/r\"2", "file/r3"]),
    ] {
        let actual = outcomes(&rows);
        assert_eq!(actual.len(), 3, "{rows}\n{actual:?}");
        assert!(actual[0].starts_with("2 undecodable: "), "{}", actual[0]);
        assert_eq!(actual[1], format!("3 usage {}", expected[0]));
        assert_eq!(actual[2], format!("4 usage {}", expected[1]));
    }
}

#[test]
fn many_marks_that_are_never_closed_take_no_longer() {
    let rows: String = (0..20_000).map(|number| row(&format!("\"r{number}")) + "\n").collect();
    let started = std::time::Instant::now();
    let outcomes = outcomes(&rows);
    assert_eq!(outcomes.len(), 20_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn a_long_row_is_cut_and_its_neighbours_are_not() {
    for long in ["x".repeat(2_000_000), format!("\"{}", "x\n".repeat(800_000))] {
        let rows = format!("{}\n{}\n{}\n", row("r1"), row(&long), row("r3"));
        let outcomes = outcomes(&rows);
        assert_eq!(outcomes.first().map(String::as_str), Some("2 usage file/r1"));
        let between = &outcomes[1..outcomes.len() - 1];
        assert!(between.iter().all(|text| text.contains(" undecodable: ") || text.contains(" invalid_record: ")));
        let last = rows.lines().count() + 1;
        assert_eq!(outcomes.last(), Some(&format!("{last} usage file/r3")));
    }
}

#[test]
fn headers_are_read_or_refused() {
    let unmarked = row("r1");
    for header in ["\u{feff}", "", "\""] {
        let quoted = if header == "\"" { HEADER.replace(',', "\",\"") } else { HEADER.to_owned() };
        let end = if header == "\"" { "\"" } else { "" };
        let cut = cut(plain(), format!("{header}{quoted}{end}\r\n{unmarked}\r\n").as_bytes()).expect("a header");
        assert!(cut.outcomes()[0].starts_with("2 usage file/r1"), "{:?}", cut.outcomes());
    }
    assert!(cut(plain(), HEADER.as_bytes()).expect("a header").records.is_empty());
    for (header, expected) in [
        ("", "header: column \"id\" is missing"),
        ("\n", "header: column \"id\" is missing"),
        ("id,service,event_time\n", "header: column \"quantity\" is missing"),
        ("id,service,quantity,event_time,id\n", "header: column \"id\" is given twice"),
        ("id;service;quantity;event_time\n", "header: column \"id\" is missing"),
        ("id,\"service\nr1,data\n", "header: a quotation mark is not closed"),
        ("id,\"service\"x,quantity\n", "header: cell 2: text after the closing quotation mark"),
    ] {
        assert!(header_error(header).starts_with(expected), "{header}: {}", header_error(header));
    }
    let error = cut(plain(), b"id,serv\xffice\n").err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.starts_with("header: invalid utf-8")));
    assert!(header_error(&"x".repeat(2_000_000)).starts_with("header: is longer than"), "too long");
}

/// A megabyte of column names must not take longer than reading it.
#[test]
fn a_header_of_many_columns_is_refused_at_once() {
    let names: Vec<String> = (0..120_000).map(|number| number.to_string()).collect();
    let started = std::time::Instant::now();
    assert!(header_error(&names.join(",")).contains("column \"id\" is missing"));
    let twins = header_error(&",".repeat(1_000_000));
    assert!(twins.len() < 1000, "{} bytes", twins.len());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn delimiters() {
    let with = |delimiter| InputFormat::Csv(CsvMapping { delimiter, ..CsvMapping::plain() });
    for delimiter in [';', '\t', '|'] {
        let text = format!("{HEADER}\n{}\n", row("\"r,1\"")).replace("r,1", "r*1").replace(',', &delimiter.to_string());
        let cut = cut(with(delimiter), text.as_bytes()).expect("a header");
        assert!(cut.outcomes()[0].starts_with("2 usage file/r*1 data 5"), "{:?}", cut.outcomes());
    }
    for delimiter in ['"', '\n', '\r', 'é'] {
        let error = cut(with(delimiter), HEADER.as_bytes()).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.starts_with("header: the delimiter is ")), "{delimiter:?}");
    }
}

/// A column that somebody named is there, or the file is refused: a rate may hang on it.
#[test]
fn fields_from_other_columns() {
    let mut mapping = CsvMapping::plain();
    mapping.set_column("rating_group", "RG");
    let text = "id,service,quantity,event_time,imsi,rating_group,RG\nr1,data,5,2026-01-01T00:00:00Z,001,1,2\n";
    let cut = cut(InputFormat::Csv(mapping.clone()), text.as_bytes()).expect("a header");
    assert_eq!(field(&cut.decoder, &cut.records[0].1, Field::RatingGroup), "text 2");
    let error = super::cut(InputFormat::Csv(mapping), text.replace("RG", "rg").as_bytes()).err();
    assert_eq!(
        error.map(|error| error.to_string()),
        Some(
            "header: column \"RG\" is missing; \"rating_group\" looks like it (--map rating_group=rating_group)"
                .to_owned()
        )
    );
    let mut mapping = CsvMapping::plain();
    mapping.set_column("ratinggroup", "RG");
    let error = super::cut(InputFormat::Csv(mapping), text.as_bytes()).err();
    assert!(error.is_some_and(|error| error.to_string().contains("\"ratinggroup\" is not a field")));
}

#[test]
fn attributes_are_columns() {
    let text = "id,service,quantity,event_time,imsi,attributes.subscription_type,attributes.x,attributes.\n\
                r1,data,5,2026-01-01T00:00:00Z,001,gold,,y\n";
    let cut = cut(plain(), text.as_bytes()).expect("a header");
    assert_eq!(cut.outcomes(), ["2 usage file/r1 data 5 octets 2026-01-01T00:00:00Z subscription_type=gold"]);
}

fn pgw() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pgw/usage.csv")).expect("the example")
}

#[test]
fn the_preset_for_packet_gateways() {
    let cut = cut(InputFormat::Csv(CsvMapping::pgw_summed()), &pgw()).expect("a header");
    let outcomes = cut.outcomes();
    assert_eq!(
        outcomes[..4],
        [
            "2 usage pgw-1/1207-1-10 data 3000000 octets 2026-03-05T14:00:00Z",
            "3 usage pgw-1/1207-1-20 data 250000 octets 2026-03-05T14:00:00Z",
            "4 usage pgw-1/1207-2-10 data 4000000 octets 2026-03-05T14:30:00Z",
            "5 usage pgw-1/1208-1-10 data 1000000 octets 2026-03-05T14:10:00Z",
        ]
    );
    assert!(outcomes[4].starts_with("6 invalid_record: quantity: is negative: \"-1\""), "{}", outcomes[4]);
    assert_eq!(outcomes.len(), 5);
    let (first, third) = (&cut.records[0].1, &cut.records[2].1);
    for (record, name, expected) in [
        (first, Field::Imsi, "text 001010000000001"),
        (first, Field::Msisdn, "text 447700900001"),
        (first, Field::Mcc, "text 234"),
        (first, Field::Mnc, "text 15"),
        (first, Field::Apn, "text internet"),
        (first, Field::Rat, "text eutran"),
        (first, Field::SessionId, "text 1207"),
        (first, Field::Sequence, "text 1"),
        (first, Field::RatingGroup, "text 10"),
        (first, Field::ClosingCause, "text 16"),
        (first, Field::QuantityUp, "text 1000000"),
        (first, Field::QuantityDown, "text 2000000"),
        (third, Field::Rat, "text nr"),
        (third, Field::Quantity, "integer 4000000"),
    ] {
        assert_eq!(field(&cut.decoder, record, name), expected, "{}", name.name());
    }
    let error = super::cut(plain(), &pgw()).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("column \"id\" is missing")), "the plain form of this file");
}

/// Two containers of one rating group with equal figures are two records.
#[test]
fn containers_of_a_rating_group_are_told_apart() {
    let header = "nodeID,chargingID,recordSequenceNumber,recordOpeningTime,servedIMSI,servingNodePLMNIdentifier,rATType,ratingGroup,datavolumeFBCUplink,datavolumeFBCDownlink";
    let row = "pgw-1,1207,1,2026-03-05T14:00:00Z,001010000000001,23415,6,10,1000000,0";
    let read = |more: &str, cells: [&str; 2]| {
        let text = format!("{header}{more}\n{row}{}\n{row}{}\n", cells[0], cells[1]);
        match cut(InputFormat::Csv(CsvMapping::pgw()), text.as_bytes()) {
            Ok(cut) => cut.outcomes(),
            Err(error) => vec![error.to_string()],
        }
    };
    let ids = |first: &str, second: &str| {
        let usage = |place: u8, id: &str| format!("{place} usage pgw-1/{id} data 1000000 octets 2026-03-05T14:00:00Z");
        vec![usage(2, first), usage(3, second)]
    };
    assert_eq!(read(",localSequenceNumber", [",1", ",2"]), ids("1207-1-10-1", "1207-1-10-2"));
    assert_eq!(
        read(",timeOfFirstUsage", [",2026-03-05T14:00:00Z", ",2026-03-05T14:10:00Z"]),
        ids("1207-1-10-2026-03-05T14:00:00Z", "1207-1-10-2026-03-05T14:10:00Z")
    );
    assert_eq!(read(",localSequenceNumber,timeOfFirstUsage", [",1,a", ",,b"]), ids("1207-1-10-1-a", "1207-1-10-b"));
    let neither = read(",localSequenceNumber", [",1", ","]);
    assert_eq!(neither[1], "3 invalid_record: id: is not text: nothing tells it from its neighbours");
    let refused = read("", ["", ""]);
    assert!(
        refused[0].starts_with("header: none of the columns localSequenceNumber, timeOfFirstUsage is there"),
        "{refused:?}"
    );
}

#[test]
fn columns_that_nothing_reads_may_be_empty_or_stand_twice() {
    let row = "a,data,5,2026-01-01T00:00:00Z,001";
    for (header, cells, expected) in [
        ("id,service,quantity,event_time,imsi,,", ",,", "2 usage file/a"),
        ("id,service,quantity,event_time,imsi,,,", ",,x,", "2 usage file/a"),
        ("id,service,quantity,event_time,imsi,note,note", ",1,2", "2 usage file/a"),
        ("id,service,quantity,event_time,imsi,imsi", ",001", "header: column \"imsi\" is given twice"),
        (
            "id,service,quantity,event_time,imsi,attributes.x,attributes.x",
            ",1,2",
            "header: column \"attributes.x\" is given twice",
        ),
        (
            "id,service,quantity,event_time,IMSI",
            "",
            "2 invalid_record: no identity: one of imsi, iccid, msisdn, endpoint_id, account_id is needed; column \"IMSI\" looks like imsi",
        ),
        (
            "id,service,quantity,timestamp,imsi",
            "",
            "header: column \"event_time\" is missing; \"timestamp\" looks like it (--map event_time=timestamp)",
        ),
        (
            "uuid,service,quantity,event_time,imsi",
            "",
            "header: column \"id\" is missing; \"uuid\" looks like it (--map id=uuid)",
        ),
    ] {
        let read = match cut(plain(), format!("{header}\n{row}{cells}\n").as_bytes()) {
            Ok(cut) => cut.outcomes().join("; "),
            Err(error) => error.to_string(),
        };
        assert!(read.starts_with(expected), "{header}: {read}");
    }
}

#[test]
fn a_decoder_comes_back_from_its_description() {
    let cut = cut(InputFormat::Csv(CsvMapping::pgw_summed()), &pgw()).expect("a header");
    let again = Decoder::from_description(&cut.decoder.describe()).expect("a decoder");
    for (_, record) in &cut.records {
        assert_eq!(super::outcome(&cut.decoder, record), super::outcome(&again, record));
    }
    assert!(Decoder::from_description(b"{\"form\":\"csv\"}").is_err());
    assert!(Decoder::from_description(b"").is_err());
}
