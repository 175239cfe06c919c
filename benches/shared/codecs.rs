//! Decoding of usage records and encoding of charges and deltas, one record or charge at a time, in memory.
//!
//! The yardstick is `serde_json` on the same JSON text: into a `Value` and out of it.

use crate::measure::{Subject, compare};
use crate::{four_level_records, four_levels};
use pipeline::times::read_time;
use pipeline::{Field, RateShard, RawUsage, RawValue};
use rating::Effect;
use runtime::wire::{Decoded, Decoder, Encoder, InputFormat, OutputFormat, RawBatch, Splitter};
use std::hint::black_box;
use testkit::generator::{Parameters, UsageForm, write_files};

const RECORDS: u64 = 20_000;
const ROUNDS: usize = 15;

pub(crate) fn all(title: &str) {
    decode(title);
    encode(title);
}

/// A form of input: its name, the raw records, and their decoder.
struct Form {
    name: &'static str,
    batch: RawBatch,
    decoder: Decoder,
}

impl Form {
    fn new(name: &'static str, bytes: &[u8], format: InputFormat) -> Form {
        let (mut splitter, decoder) = Splitter::open(bytes, format).expect("an input");
        let mut batch = RawBatch::default();
        splitter.fill(&mut batch, usize::MAX).expect("records");
        Form { name, batch, decoder }
    }

    fn usage(&self) -> impl Iterator<Item = RawUsage<'_>> {
        (0..self.batch.len()).filter_map(|at| match self.decoder.decode(self.batch.get(at)) {
            Ok(Decoded::Usage(usage)) => Some(usage),
            Ok(Decoded::Command(_) | Decoded::Tick(_)) => None,
            Err(fault) => panic!("{fault:?}"),
        })
    }
}

fn decode(title: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let parameters = Parameters { records: RECORDS, usage_form: UsageForm::Both, ..Parameters::bench(7) };
    write_files(&parameters, folder.path()).expect("generated files");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a generated file");
    let json = Form::new("JSON", &read("usage.jsonl"), InputFormat::JsonLines);
    let csv = Form::new("CSV", &read("usage.csv"), InputFormat::Csv(runtime::wire::CsvMapping::plain()));
    let avro = Form::new("Avro", &container(json.usage()), InputFormat::Avro);
    let yardstick = Subject::plain("yardstick: serde_json into a Value", json.batch.len(), || {
        for at in 0..json.batch.len() {
            black_box(serde_json::from_slice::<serde_json::Value>(json.batch.get(at)).expect("JSON"));
        }
    });
    let mut subjects = vec![yardstick];
    for form in [&json, &csv, &avro] {
        subjects.push(Subject::plain(form.name, form.batch.len(), || {
            form.usage().for_each(|usage| drop(black_box(usage)))
        }));
    }
    let sizes = [&json, &csv, &avro].map(|form| form.batch.byte_count() / form.batch.len());
    compare(
        &format!("{title}: decode a record of {sizes:?} bytes (JSON, CSV, Avro)"),
        "records",
        ROUNDS,
        &mut subjects,
    );
}

/// Usage as an Avro container, by the project's schema.
fn container<'a>(records: impl Iterator<Item = RawUsage<'a>>) -> Vec<u8> {
    const SYNC: &[u8; 16] = b"rater-benchmarks";
    let schema = include_str!("../../schemas/usage-record.avsc");
    let mut out = b"Obj\x01".to_vec();
    long(1, &mut out);
    text("avro.schema", &mut out);
    text(schema, &mut out);
    out.push(0);
    out.extend_from_slice(SYNC);
    let mut block = Vec::new();
    let count = records.map(|record| datum(&record, &mut block)).count();
    long(count as i64, &mut out);
    long(block.len() as i64, &mut out);
    out.extend_from_slice(&block);
    out.extend_from_slice(SYNC);
    out
}

/// The fields of the schema are those of [`Field`] in their order, then the attributes; from `end_time` on they may be absent.
fn datum(record: &RawUsage<'_>, out: &mut Vec<u8>) {
    for field in Field::ALL {
        let value = record.get(*field);
        if *field > Field::EventTime {
            long(i64::from(*value != RawValue::Absent), out);
            if *value == RawValue::Absent {
                continue;
            }
        }
        match (field, value) {
            (Field::EventTime | Field::EndTime, RawValue::Text(time)) => {
                long(read_time(time).expect("a time").millis(), out);
            }
            (Field::Final, RawValue::Text(flag)) => out.push(u8::from(flag == "true")),
            (Field::Unit, RawValue::Absent) => text("octets", out),
            (_, RawValue::Integer(integer)) => long(*integer, out),
            (_, RawValue::Text(value)) => text(value, out),
            (_, RawValue::Absent | RawValue::Number(_) | RawValue::Other(_)) => panic!("{}: {value:?}", field.name()),
        }
    }
    // No attributes.
    out.push(0);
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value.as_bytes());
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn charge_of(effect: Effect<'_>) -> Option<rating::Charge<'_>> {
    match effect {
        Effect::Charge(charge) => Some(charge),
        Effect::Posting(_) | Effect::Notification(_) | Effect::LifeEvent(_) | Effect::Reply(_) => None,
    }
}

fn encode(title: &str) {
    let (loaded, records) = (four_levels(1000), four_level_records(1000, RECORDS as usize / 4));
    let tasks = crate::tasks(&loaded, &records);
    let mut effects = Vec::new();
    RateShard::default().execute(tasks.iter().copied(), &mut effects, &mut Vec::new());
    let charges: Vec<_> = effects.into_iter().filter_map(charge_of).collect();
    let encode_all = |format: OutputFormat, out: &mut [Vec<u8>; 2]| {
        let encoder = Encoder::new(format, &loaded.version());
        out.iter_mut().for_each(Vec::clear);
        for charge in &charges {
            encoder.charge(charge, &mut out[0]);
            charge.balance_deltas().for_each(|delta| encoder.delta(&delta, &mut out[1]));
        }
        black_box(&out);
    };
    let mut lines = [Vec::new(), Vec::new()];
    encode_all(OutputFormat::JsonLines, &mut lines);
    let values = lines.each_ref().map(|lines| {
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect::<Vec<serde_json::Value>>()
    });
    let mut yardstick_out = Vec::new();
    let yardstick = Subject::plain("yardstick: serde_json out of a Value", charges.len(), move || {
        yardstick_out.clear();
        for value in values.iter().flatten() {
            serde_json::to_writer(&mut yardstick_out, value).expect("JSON");
            yardstick_out.push(b'\n');
        }
        black_box(&yardstick_out);
    });
    let mut subjects = vec![yardstick];
    for format in [OutputFormat::Avro, OutputFormat::JsonLines, OutputFormat::Csv] {
        let mut out = [Vec::new(), Vec::new()];
        encode_all(format, &mut out);
        let size = (out[0].len() + out[1].len()) / charges.len();
        let name = format!("{}, {size} bytes", format.extension());
        subjects.push(Subject::plain(&name, charges.len(), move || encode_all(format, &mut out)));
    }
    compare(&format!("{title}: encode a charge and its delta"), "charges", ROUNDS, &mut subjects);
}
