//! The embedded runtime on generated traffic: the same bytes whatever the batches, the threads and the interruptions.
//!
//! Seeds are printed; `RATER_SEED` replays one.

use directory::{Input, InputKind, Loaded};
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, Report, RunSettings, Until, run};
use runtime::wire::{Ending, OutputFormat};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use testkit::generator::{self, Parameters};

fn seed() -> u64 {
    let seed = std::env::var("RATER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("RATER_SEED={seed}");
    seed
}

fn generate(folder: &Path, records: u64) {
    let parameters = Parameters { records, ..Parameters::traffic(seed()) };
    generator::write_files(&parameters, folder).expect("generated files");
}

fn reference(folder: &Path, name: &str) -> Loaded {
    let bytes = std::fs::read(folder.join(name)).expect("reference data");
    match directory::load(vec![Input { name: name.to_owned(), bytes, kind: InputKind::Yaml }]) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

fn settings(inputs: &[&Path], output: &Path, format: OutputFormat) -> RunSettings {
    RunSettings {
        inputs: inputs.iter().map(|path| InputFile { path: path.to_path_buf(), format: None }).collect(),
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: output.to_owned(),
        format,
        threads: 2,
        batch_records: 500,
        commit_records: 700,
        now: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
        future_tolerance_ms: 0,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        // What waits is recycled months later in the time of ticks, and must not be too old.
        state_horizon_h: 400 * 24,
        past_tolerance_ms: None,
        doubts: pipeline::Doubts::default(),
        default_source: "file".to_owned(),
        until: Until::default(),
    }
}

fn rate(loaded: &Loaded, settings: &RunSettings) -> Report {
    run(loaded, settings, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// Every output file by name.
fn outputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("outputs").map(|entry| entry.expect("an entry"));
    // Hidden is what Rater keeps for itself: it tells files of the same bytes apart.
    let is_output = |entry: &std::fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_file()) && !entry.file_name().to_string_lossy().starts_with('.')
    };
    let files = entries.filter(is_output);
    files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path()).expect("a file")))
        .collect()
}

fn assert_same(expected: &BTreeMap<String, Vec<u8>>, actual: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), actual.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in expected {
        assert!(actual.get(name) == Some(bytes), "{what}: {name} differs");
    }
}

#[test]
fn outputs_do_not_depend_on_batches_and_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path(), 3000);
    let loaded = reference(folder.path(), "rating.yaml");
    let usage = folder.path().join("usage.jsonl");
    for format in [OutputFormat::JsonLines, OutputFormat::Csv, OutputFormat::Avro] {
        let mut expected = None;
        for (threads, batch_records) in [(1, 1_000_000), (2, 777), (3, 1), (8, 64)] {
            let out = folder.path().join(format!("out-{}-{threads}-{batch_records}", format.extension()));
            let report = rate(&loaded, &RunSettings { threads, batch_records, ..settings(&[&usage], &out, format) });
            assert_eq!(report.run.check(), Ok(()));
            assert!(
                report.run.guided > 1000 && report.run.duplicates > 0 && report.run.suspended > 0,
                "{:?}",
                report.run
            );
            let actual = outputs(&out);
            assert!(actual.values().all(|bytes| !bytes.is_empty()), "an output is empty");
            match &expected {
                None => expected = Some(actual),
                Some(expected) => {
                    assert_same(expected, &actual, &format!("{threads} threads, batches of {batch_records}"))
                }
            }
        }
    }
}

#[test]
fn an_interrupted_run_is_taken_up_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path(), 2000);
    let loaded = reference(folder.path(), "rating.yaml");
    let usage = folder.path().join("usage.jsonl");
    for format in [OutputFormat::JsonLines, OutputFormat::Avro] {
        let whole = folder.path().join(format!("whole-{}", format.extension()));
        rate(&loaded, &settings(&[&usage], &whole, format));
        let broken = folder.path().join(format!("broken-{}", format.extension()));
        let broken_settings =
            RunSettings { batch_records: 100, commit_records: 150, ..settings(&[&usage], &broken, format) };
        for stop_at in [100, 300, 700, 1000] {
            let stopped = catch_unwind(AssertUnwindSafe(|| {
                run(&loaded, &broken_settings, &mut |seen| assert!(seen.records < stop_at, "stopped on purpose"))
            }));
            assert!(stopped.is_err(), "the run was to be stopped");
        }
        rate(&loaded, &broken_settings);
        assert_same(&outputs(&whole), &outputs(&broken), format.extension());
    }
}

#[test]
fn a_rated_input_is_not_rated_again_and_another_one_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path(), 2000);
    let loaded = reference(folder.path(), "rating.yaml");
    let usage = folder.path().join("usage.jsonl");
    let lines = std::fs::read(&usage).expect("usage");
    let half = lines[..lines.len() / 2].iter().rposition(|byte| *byte == b'\n').expect("a line") + 1;
    let (first, second) = (folder.path().join("first.jsonl"), folder.path().join("second.jsonl"));
    std::fs::write(&first, &lines[..half]).expect("written");
    std::fs::write(&second, &lines[half..]).expect("written");

    let parts = folder.path().join("parts");
    let part = |inputs: &[&Path]| rate(&loaded, &settings(inputs, &parts, OutputFormat::JsonLines));
    part(&[&first]);
    let after_first = outputs(&parts);
    let again = part(&[&first]);
    assert_eq!(again.skipped.len(), 1);
    assert_eq!(again.run.received, 0);
    assert_same(&after_first, &outputs(&parts), "rated again");
    part(&[&first, &second]);

    let whole = folder.path().join("whole");
    rate(&loaded, &settings(&[&usage], &whole, OutputFormat::JsonLines));
    let (whole, parts) = (outputs(&whole), outputs(&parts));
    for name in ["charges.jsonl", "balance-deltas.jsonl", "notifications.jsonl"] {
        assert!(whole[name] == parts[name], "{name} differs");
    }
}

#[test]
fn what_waits_is_charged_once_when_it_is_recycled() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path(), 3000);
    let usage = folder.path().join("usage.jsonl");
    let out = folder.path().join("out");
    let before = rate(&reference(folder.path(), "rating.yaml"), &settings(&[&usage], &out, OutputFormat::JsonLines));
    let recycle = RunSettings { recycle: Recycle::Waiting, ..settings(&[], &out, OutputFormat::JsonLines) };
    let corrected = reference(folder.path(), "rating-2.yaml");
    let after = rate(&corrected, &recycle);
    assert_eq!(after.recycled.0, before.progress.open_suspense);
    assert!(after.recycled.1 > 0, "nothing was corrected by the second reference");
    // A record that waited as a whole may now wait on some of its levels.
    let waiting =
        |report: &Report| report.run.suspended + report.run.levels.values().map(|level| level.suspended).sum::<u64>();
    assert_eq!(before.progress.open_suspense, waiting(&before));
    assert_eq!(after.progress.open_suspense, waiting(&after));
    assert_eq!(after.run.duplicates, 0);
    let again = rate(&corrected, &recycle);
    assert_eq!(again.recycled, (after.progress.open_suspense, 0));
    let charges = std::fs::read_to_string(out.join("charges.jsonl")).expect("charges");
    let ids: Vec<String> = charges
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["charge_id"].to_string())
        .collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "a charge id stands twice");
}
