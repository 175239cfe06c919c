//! What every form of input is read as, what is refused and where, and that the three forms of output say the same.

mod avro;
mod csv;
mod encoders;
mod json;
#[path = "../support/mod.rs"]
mod support;

use pipeline::{IntakeRules, RawValue, intake_command, intake_usage};
use runtime::wire::{Decoded, Decoder, InputError, InputFormat, RawBatch, Splitter};
use std::io::Read;

/// Gives an input in pieces of one size: cutting must not depend on where a read ends.
struct Drip<'b> {
    rest: &'b [u8],
    piece: usize,
}

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.piece.min(out.len()).min(self.rest.len());
        let (now, later) = self.rest.split_at(count);
        out[..count].copy_from_slice(now);
        self.rest = later;
        Ok(count)
    }
}

/// The raw records of an input with their places, and why it could not be read further.
struct Cut {
    decoder: Decoder,
    records: Vec<(u64, Vec<u8>)>,
    error: Option<InputError>,
}

impl Cut {
    fn outcomes(&self) -> Vec<String> {
        self.records.iter().map(|(place, record)| format!("{place} {}", outcome(&self.decoder, record))).collect()
    }

    fn error_text(&self) -> String {
        self.error.as_ref().map_or(String::new(), ToString::to_string)
    }
}

fn cut_in_pieces(format: InputFormat, bytes: &[u8], piece: usize) -> Result<Cut, InputError> {
    let (mut splitter, decoder) = Splitter::open(Drip { rest: bytes, piece }, format)?;
    let mut cut = Cut { decoder, records: Vec::new(), error: None };
    loop {
        let mut batch = RawBatch::default();
        let filled = splitter.fill(&mut batch, 3);
        cut.records.extend((0..batch.len()).map(|at| (batch.place(at), batch.get(at).to_vec())));
        match filled {
            Ok(true) => {}
            Ok(false) => return Ok(cut),
            Err(error) => {
                cut.error = Some(error);
                return Ok(cut);
            }
        }
    }
}

/// Cuts an input, read at once and in small pieces, and insists that it makes no difference.
fn cut(format: InputFormat, bytes: &[u8]) -> Result<Cut, InputError> {
    let whole = cut_in_pieces(format.clone(), bytes, usize::MAX);
    for piece in [1, 7] {
        // Long lines would be read for a long time byte by byte.
        if bytes.len() > 100_000 {
            break;
        }
        match (&whole, cut_in_pieces(format.clone(), bytes, piece)) {
            (Ok(whole), Ok(dripped)) => {
                assert_eq!(whole.records, dripped.records, "in pieces of {piece}");
                assert_eq!(whole.error_text(), dripped.error_text(), "in pieces of {piece}");
            }
            (Err(whole), Err(dripped)) => assert_eq!(whole.to_string(), dripped.to_string(), "in pieces of {piece}"),
            (whole, dripped) => {
                panic!("in pieces of {piece}: {:?} and {:?}", whole.as_ref().err(), dripped.as_ref().err())
            }
        }
    }
    whole
}

/// What decoding and intake make of a record, as one line.
fn outcome(decoder: &Decoder, record: &[u8]) -> String {
    let rules = IntakeRules::new("file");
    let taken = decoder.decode(record).and_then(|decoded| match decoded {
        Decoded::Usage(raw) => intake_usage(&raw, &rules).map(|intaken| {
            let record = &intaken.record;
            let attributes = raw.attributes.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
            format!(
                "usage {}/{} {} {} {} {}{attributes}",
                record.source, record.id, record.service, record.quantity, record.unit, record.event_time
            )
        }),
        Decoded::Command(raw) => {
            intake_command(&raw, &rules).map(|(_, command)| format!("command {} {:?}", command.id, command.kind))
        }
        Decoded::Tick(instant) => Ok(format!("tick {instant}")),
    });
    taken.unwrap_or_else(|fault| format!("{}: {}", fault.reason.name(), fault.detail))
}

/// A field of a usage record as decoded.
fn field(decoder: &Decoder, record: &[u8], field: pipeline::Field) -> String {
    match decoder.decode(record) {
        Ok(Decoded::Usage(raw)) => match raw.get(field) {
            RawValue::Absent => "absent".to_owned(),
            RawValue::Text(text) => format!("text {text}"),
            RawValue::Integer(integer) => format!("integer {integer}"),
            RawValue::Number(number) => format!("number {number}"),
            RawValue::Other(what) => format!("other {what}"),
        },
        Ok(other) => format!("{other:?}"),
        Err(fault) => fault.detail,
    }
}

/// Checks every row of a table: what is given, and how the outcome begins.
fn check(decoder: &Decoder, rows: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (record, expected) in rows {
        let actual = outcome(decoder, record.as_bytes());
        if !actual.starts_with(expected) || expected.is_empty() {
            let shown: String = record.chars().take(300).collect();
            wrong.push_str(&format!("\n{shown}\n  expected {expected}\n  actual   {actual}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
