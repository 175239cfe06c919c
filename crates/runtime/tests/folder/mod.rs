//! Runs into folders, for tests: a small reference, settings, and what stands in the outputs.
#![allow(dead_code, reason = "each test binary uses its own part of the helper")]

use directory::{Input, InputKind, Loaded};
use pipeline::duplicates::DEFAULT_STATE_HORIZON_H;
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, Report, RunError, RunSettings, Until, run};
use runtime::wire::{Ending, OutputFormat};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Two customers of a reseller; `gold` is so dear that sums leave the range of an amount.
pub(crate) const REFERENCE: &str = r#"
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions:
      - from: 2026-01-01T00:00:00Z
        rates:
          - { service: data, price: 0.20/MB, increment: 1 KB, per: session }
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
  meter-2: { customer: rich, imsi: 001010000000002 }
"#;

pub(crate) fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, contents).expect("written");
    path
}

pub(crate) fn tick(at: &str) -> String {
    format!("{{\"tick\":\"{at}\"}}\n")
}

pub(crate) fn reference(yaml: &str) -> Loaded {
    let input = Input { name: "rating.yaml".to_owned(), bytes: yaml.as_bytes().to_vec(), kind: InputKind::Yaml };
    match directory::load(vec![input]) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

pub(crate) fn settings(inputs: &[&Path], output: &Path) -> RunSettings {
    RunSettings {
        inputs: inputs.iter().map(|path| InputFile { path: path.to_path_buf(), format: None }).collect(),
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: output.to_owned(),
        format: OutputFormat::JsonLines,
        threads: 2,
        batch_records: 10,
        commit_records: 20,
        now: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
        future_tolerance_ms: 0,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
        past_tolerance_ms: None,
        doubts: pipeline::Doubts::default(),
        default_source: "file".to_owned(),
        until: Until::default(),
    }
}

pub(crate) fn rate(loaded: &Loaded, settings: &RunSettings) -> Report {
    let report = try_rate(loaded, settings).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.run.check(), Ok(()));
    report
}

pub(crate) fn try_rate(loaded: &Loaded, settings: &RunSettings) -> Result<Report, RunError> {
    run(loaded, settings, &mut |_| {})
}

/// Stops a run, as a kill would, once so many records were taken in.
pub(crate) fn stop_after(loaded: &Loaded, settings: &RunSettings, records: u64) {
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        run(loaded, settings, &mut |seen| assert!(seen.records < records, "stopped on purpose")).map(|_| ())
    }));
    assert!(stopped.is_err(), "the run was to be stopped");
}

/// Every output file by name.
pub(crate) fn outputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("outputs").map(|entry| entry.expect("an entry"));
    // Hidden is what Rater keeps for itself.
    let is_output = |entry: &std::fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_file()) && !entry.file_name().to_string_lossy().starts_with('.')
    };
    let files = entries.filter(is_output);
    files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path()).expect("a file")))
        .collect()
}

/// The messages of an output in JSON lines.
pub(crate) fn messages(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("an output");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A megabyte on the first meter.
pub(crate) fn usage(id: &str) -> String {
    usage_at(id, "2026-03-05T14:00:00Z")
}

pub(crate) fn usage_at(id: &str, event_time: &str) -> String {
    format!(
        r#"{{"id":"{id}","service":"data","quantity":1000000,"event_time":"{event_time}","imsi":"001010000000001"}}"#
    )
}

/// Lines of so many records, from a number on.
pub(crate) fn usage_lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| usage(&format!("r{number}")) + "\n").collect()
}
