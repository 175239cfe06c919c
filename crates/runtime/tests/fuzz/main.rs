//! Mutated samples for everything that reads foreign bytes: never a panic, never long, never much memory; what is accepted keeps its
//! promises, and libraries that read the same agree.
//!
//! `RATER_SEED` replays a seed, `RATER_ROUNDS` says how many rounds each target gets.

mod framed;
mod mutate;
mod samples;

use mutate::Mutator;
use pipeline::{Fault, IntakeRules, intake_command, intake_usage};
use runtime::embedded::Progress;
use runtime::state::Stored;
use runtime::wire::{CsvMapping, Decoded, Decoder, InputFormat, RawBatch, Splitter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longest time for one small input. Generous: the machine may be busy.
const LONGEST: Duration = Duration::from_secs(5);

/// Most memory of the whole process. Samples have a few kilobytes.
const MOST_MIB: u64 = 256;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Feeds mutated samples to `check`, which panics where a promise is broken.
fn fuzz(target: &str, default_rounds: u64, samples: &[Vec<u8>], check: impl Fn(&[u8])) {
    let (seed, rounds) = (number("RATER_SEED", 1), number("RATER_ROUNDS", default_rounds));
    println!("{target}: RATER_SEED={seed} RATER_ROUNDS={rounds}");
    for sample in samples {
        check(sample);
    }
    let started = Instant::now();
    for round in 0..rounds {
        let input = Mutator::new(seed, target, round).mutate(samples);
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            let shown: String = input.iter().take(4000).map(|byte| format!("{byte:02x}")).collect();
            panic!("{target}: RATER_SEED={seed}, round {round}: {} bytes {shown}", input.len());
        }
        assert!(begun.elapsed() < LONGEST, "{target}: RATER_SEED={seed}, round {round}: took {:?}", begun.elapsed());
    }
    println!("{target}: {rounds} rounds in {:?}, peak {} MiB", started.elapsed(), peak_mib());
    assert!(peak_mib() < MOST_MIB, "{target}: RATER_SEED={seed}: {} MiB", peak_mib());
}

/// The most memory this process ever had, where the system tells.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Decodes and takes in; what passes is what intake promises.
fn take(decoder: &Decoder, record: &[u8]) -> bool {
    accept(decoder.decode(record))
}

/// Takes in what was decoded.
fn accept(decoded: Result<Decoded<'_>, Fault>) -> bool {
    let rules = IntakeRules::new("file");
    let is_name = |text: &str| !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    match decoded {
        Err(fault) => {
            assert!(!fault.detail.is_empty(), "a fault says what is wrong");
            return false;
        }
        Ok(Decoded::Tick(instant)) => assert!(instant.is_plausible()),
        Ok(Decoded::Command(raw)) => {
            if let Ok((_, command)) = intake_command(&raw, &rules) {
                assert!(is_name(&command.id) && is_name(command.account_id.as_str()) && is_name(&command.issued_by));
                assert!(command.effective_time.is_plausible());
            }
        }
        Ok(Decoded::Usage(raw)) => {
            if let Ok(intaken) = intake_usage(&raw, &rules) {
                let record = &intaken.record;
                assert!(is_name(&record.id) && is_name(&record.source) && is_name(&record.service));
                assert!(record.quantity <= i64::MAX as u64 && record.event_time.is_plausible());
                for text in [&record.imsi, &record.endpoint_id, &record.session_id, &record.apn].into_iter().flatten() {
                    assert!(is_name(text));
                }
            }
        }
    }
    true
}

#[test]
fn json_lines() {
    let decoder = Decoder::json_lines();
    fuzz("json", 400_000, &samples::json_lines(), |line| {
        let is_taken = take(&decoder, line);
        if is_taken {
            let text = serde_json::from_slice::<Box<serde_json::value::RawValue>>(line);
            assert!(text.is_ok_and(|text| text.get().starts_with('{')), "the library does not read it");
        }
    });
}

#[test]
fn csv_rows() {
    for (name, mapping) in [("csv-plain", CsvMapping::plain()), ("csv-pgw", CsvMapping::pgw_summed())] {
        let (header, rows) = samples::csv(&mapping);
        let (_, decoder) = Splitter::open(&*header, InputFormat::Csv(mapping)).expect("a header");
        fuzz(name, 200_000, &rows, |row| {
            take(&decoder, row);
        });
    }
}

#[test]
fn avro_datums() {
    // The library makes room for as many items as an array claims to have.
    apache_avro::util::max_allocation_bytes(1 << 20);
    for (name, text, samples) in samples::datums() {
        let schema = apache_avro::Schema::parse_str(&text).expect("a schema");
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().expect("a reader");
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().expect("a writer");
        let decoder = samples::avro_decoder(&text);
        fuzz(&format!("avro-{name}"), 60_000, &samples, |datum| {
            take(&decoder, datum);
            // What the library reads and would write the same way is read.
            let read = catch_unwind(AssertUnwindSafe(|| {
                let value = reader.read_value(&mut &*datum).ok()?;
                writer.write_value_to_vec(value).ok()
            }));
            if read.ok().flatten().is_some_and(|written| written == datum) {
                let ours = decoder.decode(datum).map_err(|fault| fault.reason);
                let is_undecodable = matches!(ours, Err(rating::SuspenseReason::Undecodable));
                assert!(!is_undecodable, "the library reads it: {:?}", ours.err());
            }
        });
    }
}

/// Cuts an input to its end; every record is decoded.
fn cut(bytes: &[u8], format: InputFormat) {
    let Ok((mut splitter, decoder)) = Splitter::open(bytes, format) else { return };
    let mut total = 0;
    let mut last = 0;
    loop {
        let mut batch = RawBatch::default();
        let filled = splitter.fill(&mut batch, 100);
        for at in 0..batch.len() {
            assert!(batch.place(at) > last, "places count up");
            last = batch.place(at);
            total += batch.get(at).len();
            take(&decoder, batch.get(at));
        }
        match filled {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
        }
    }
    // A deflated block may be larger than the file, by the ratio that deflate can reach.
    assert!(total <= bytes.len() * 1100, "{total} bytes of records");
}

#[test]
fn containers() {
    fuzz("container", 60_000, &samples::containers(), |bytes| cut(bytes, InputFormat::Avro));
}

#[test]
fn files_of_lines() {
    let mut samples = vec![samples::json_lines().join(&b'\n')];
    for mapping in [CsvMapping::plain(), CsvMapping::pgw_summed()] {
        let (header, rows) = samples::csv(&mapping);
        samples.push([header, rows.join(&b'\n')].concat());
    }
    fuzz("lines", 30_000, &samples, |bytes| {
        cut(bytes, InputFormat::JsonLines);
        for mapping in [CsvMapping::plain(), CsvMapping::pgw_summed()] {
            cut(bytes, InputFormat::Csv(mapping));
        }
    });
}

/// A writer's schema of one field `attributes`.
fn schema_of(attributes: &str) -> String {
    format!(r#"{{"type":"record","name":"UsageRecord","fields":[{{"name":"attributes","type":{attributes}}}]}}"#)
}

/// A few bytes of a record may stand for much more, by what the schema says of them. Without a bound each of these costs minutes or gigabytes.
#[test]
fn records_that_claim_more_than_they_are() {
    let count = |claimed: i64| {
        let mut bytes = Vec::new();
        let mut left = (claimed << 1 ^ claimed >> 63).cast_unsigned();
        while left > 0x7f {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    };
    let nulls = (0..9_000).map(|at| format!(r#"{{"name":"n{at}","type":"null"}},"#)).collect::<String>();
    let nulls = format!(r#"{{"type":"record","name":"N","fields":[{nulls}{{"name":"last","type":"int"}}]}}"#);
    let symbol = format!(r#"{{"type":"enum","name":"E","symbols":["{}"]}}"#, "s".repeat(200_000));
    let list = |items: &str| schema_of(&format!(r#"{{"type":"array","items":{items}}}"#));
    let map = |values: &str| schema_of(&format!(r#"{{"type":"map","values":{values}}}"#));
    let named = |entries: i32| {
        (0..entries).flat_map(|at| [6, b'0' + (at % 10) as u8, b'0' + (at / 10 % 10) as u8, b'0' + (at / 100) as u8, 0])
    };
    let cases: [(&str, String, Vec<u8>, Option<usize>); 9] = [
        ("fields without bytes", list(&nulls), [count(500_000), vec![0; 500_001]].concat(), None),
        ("a long symbol", map(&symbol), [count(1_000), named(1_000).collect(), vec![0]].concat(), Some(1_000)),
        ("nulls", list(r#""null""#), [count(1 << 60), vec![0]].concat(), None),
        (
            "records of nulls",
            list(r#"{"type":"record","name":"N","fields":[]}"#),
            [count(1 << 60), vec![0]].concat(),
            None,
        ),
        ("fixed of nothing", list(r#"{"type":"fixed","name":"F","size":0}"#), [count(1 << 60), vec![0]].concat(), None),
        ("a negative count", list(r#""long""#), [count(i64::MIN), count(1 << 61), vec![0]].concat(), None),
        ("a count of everything", map(r#""string""#), [count(i64::MAX), vec![0]].concat(), None),
        ("a length of everything", schema_of(r#""string""#), [count(i64::MAX), vec![0]].concat(), None),
        (
            "lists of lists",
            list(r#"{"type":"array","items":{"type":"array","items":"null"}}"#),
            [count(1 << 60), vec![2; 900_000]].concat(),
            None,
        ),
    ];
    for (what, schema, datum, attributes) in cases {
        let decoder = samples::avro_decoder(&schema);
        match (decoder.decode(&datum), attributes) {
            (Ok(Decoded::Usage(usage)), Some(count)) => assert_eq!(usage.attributes.len(), count, "{what}"),
            (decoded, attributes) => assert!(decoded.is_err() && attributes.is_none(), "{what}: {decoded:?}"),
        }
        assert!(peak_mib() < MOST_MIB, "{what}: {} MiB", peak_mib());
    }
}

/// What can be read is written and read again as the same.
fn survives<T: Stored + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let mut rest = bytes;
    match T::read(&mut rest) {
        Ok(value) => {
            let mut written = Vec::new();
            value.write(&mut written);
            let mut again = &*written;
            assert_eq!(T::read(&mut again).as_ref(), Ok(&value));
            assert!(again.is_empty(), "{} bytes left", again.len());
        }
        Err(corrupt) => assert!(!corrupt.to_string().is_empty()),
    }
}

#[test]
fn stored_state() {
    let stored = samples::stored();
    assert!(stored.parts.len() > 1 || stored.parts[0].len() > 1_000, "samples");
    fuzz("progress", 60_000, &[stored.progress], survives::<Progress>);
    fuzz("numbers", 200_000, &samples::numbers(), |bytes| {
        survives::<u128>(bytes);
        survives::<i128>(bytes);
        survives::<u64>(bytes);
        survives::<i64>(bytes);
        survives::<bool>(bytes);
        survives::<String>(bytes);
        survives::<Vec<u64>>(bytes);
        survives::<Option<i64>>(bytes);
        survives::<rating::Amount>(bytes);
        survives::<rating::Exact>(bytes);
        survives::<rating::Currency>(bytes);
        survives::<Vec<runtime::state::RunInfo>>(bytes);
    });
    fuzz("checkpoint", 15_000, &stored.parts, |bytes| {
        let mut engine = samples::engine();
        if engine.restore_accounts(bytes).is_ok() && engine.restored().is_ok() {
            // What was read is written and read again.
            let parts = engine.checkpoint();
            let mut again = samples::engine();
            parts.iter().for_each(|part| again.restore_accounts(part).expect("its own part"));
            again.restored().expect("its own state");
            assert_eq!(again.accounts(), engine.accounts());
            assert_eq!(again.instances().count(), engine.instances().count());
        }
        engine.restore_ids(bytes);
    });
}

#[test]
fn descriptions_of_inputs() {
    fuzz("description", 60_000, &samples::descriptions(), |bytes| {
        if let Ok(decoder) = Decoder::from_description(bytes) {
            take(&decoder, bytes);
            let again = Decoder::from_description(&decoder.describe()).expect("its own description");
            assert_eq!(again.describe(), decoder.describe());
        }
    });
}
