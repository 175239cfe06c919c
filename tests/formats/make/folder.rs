//! Makes the folder of `state-3.tar.gz`: rates `phases-before.jsonl`, `before.jsonl` and `before.csv` with few record ids in memory, then stops
//! in the middle of `interrupted.jsonl`, behind a commit.
//!
//! It was compiled as a test of `rater-runtime` in the source that the sample is of, and is not compiled today.
//! `RATER_FREEZE_FROM` names the folder of this sample's inputs, `RATER_FREEZE_INTO` a folder whose name is kept in the state.

use directory::{Input, InputKind, Loaded};
use pipeline::Doubts;
use pipeline::duplicates::{DEFAULT_COMMAND_HOURS, DEFAULT_STATE_HORIZON_H};
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Limits, Recycle, RunSettings, run_within};
use runtime::wire::{Ending, OutputFormat};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

fn settings(inputs: &[PathBuf], output: &Path, format: OutputFormat) -> RunSettings {
    RunSettings {
        inputs: inputs.iter().map(|path| InputFile { path: path.clone(), format: None }).collect(),
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: output.to_owned(),
        format,
        threads: 1,
        batch_records: 5,
        commit_records: 5,
        now: Timestamp::parse("2026-04-01T00:00:00Z").expect("a time"),
        future_tolerance_ms: 3_600_000,
        past_tolerance_ms: None,
        doubts: Doubts::default(),
        duplicate_window_h: Some(720),
        command_memory_h: DEFAULT_COMMAND_HOURS,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
        default_source: "file".to_owned(),
    }
}

#[test]
fn freeze() {
    let from = PathBuf::from(std::env::var_os("RATER_FREEZE_FROM").expect("RATER_FREEZE_FROM"));
    let into = PathBuf::from(std::env::var_os("RATER_FREEZE_INTO").expect("RATER_FREEZE_INTO"));
    let read = |name: &str| {
        let bytes = std::fs::read(from.join(name)).expect("reference data");
        Input { name: name.to_owned(), bytes: bytes.into(), kind: InputKind::Yaml }
    };
    let inputs = ["reference.yaml", "phases.yaml"].map(read);
    let loaded: Loaded = directory::load(inputs.into()).unwrap_or_else(|refused| panic!("{refused}"));
    let limits = Limits { ids_in_memory: 20, log_bytes: 20_000 };
    let inputs = ["phases-before.jsonl", "before.jsonl", "before.csv"].map(|name| into.join(name));
    let interrupted = [into.join("interrupted.jsonl")];
    for path in inputs.iter().chain(&interrupted) {
        std::fs::copy(from.join(path.file_name().expect("a name")), path).expect("copied");
    }
    for format in [OutputFormat::JsonLines] {
        let output = into.join("out");
        let first = settings(&inputs, &output, format);
        let report = run_within(&loaded, &first, limits, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        println!("{:?}\n{:?}", report.run, report.suspended);
        let second = settings(&interrupted, &output, format);
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            run_within(&loaded, &second, limits, &mut |seen| assert!(seen.records < 25, "stopped on purpose"))
        }));
        assert!(stopped.is_err(), "the run was to be stopped");
    }
}
