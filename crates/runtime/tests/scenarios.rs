//! Every file under `tests/scenarios/` passes, in memory and as files.

use directory::Loaded;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, RunSettings, Until};
use runtime::engine::{BatchOutput, Encoded};
use runtime::scenario::{FileReport, InputLine, Scenario, ScenarioFile, Step, load_reference, parse, run};
use runtime::session::Session;
use runtime::wire::{Ending, OutputFormat};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios")
}

/// All scenario files, by name.
fn files() -> Vec<ScenarioFile> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scenarios");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = format!("tests/scenarios/{}", path.file_name().expect("a name").to_string_lossy());
        let text = std::fs::read_to_string(path).expect("a scenario file");
        parse(&name, &text).unwrap_or_else(|errors| panic!("{errors}"))
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_scenario_passes() {
    let reports: Vec<FileReport> = files().iter().map(run).collect();
    let failed: Vec<String> = reports.iter().filter(|report| !report.has_passed()).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn every_case_of_the_issue_has_a_file() {
    let names: Vec<String> = files().into_iter().map(|file| file.name).collect();
    for case in [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17, 19, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36] {
        let prefix = format!("tests/scenarios/case-{case:02}-");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "case {case} is missing");
    }
}

/// What a scenario puts out, message for message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Messages {
    charges: Vec<String>,
    deltas: Vec<String>,
    notifications: Vec<String>,
    /// Record, level and reason: where it stood differs between a file and a scenario.
    suspense: Vec<String>,
}

impl Messages {
    fn take(&mut self, output: &BatchOutput) {
        let lines = |encoded: &Encoded| -> Vec<String> {
            encoded.messages().map(|message| String::from_utf8_lossy(message).trim_end().to_owned()).collect()
        };
        self.charges.extend(lines(&output.charges));
        self.deltas.extend(lines(&output.deltas));
        self.notifications.extend(lines(&output.notifications));
        self.suspense.extend(lines(&output.suspense).iter().map(|line| place_free(line)));
    }

    fn read(folder: &Path) -> Messages {
        let lines = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(folder.join(name)).expect("an output");
            text.lines().map(str::to_owned).collect()
        };
        Messages {
            charges: lines("charges.jsonl"),
            deltas: lines("balance-deltas.jsonl"),
            notifications: lines("notifications.jsonl"),
            suspense: lines("suspense.jsonl").iter().map(|line| place_free(line)).collect(),
        }
    }
}

fn place_free(line: &str) -> String {
    let suspense: serde_json::Value = serde_json::from_str(line).expect("JSON");
    format!("{} {} {} {}", suspense["usage_id"], suspense["level"], suspense["reason"], suspense["attempt"])
}

/// The steps in a session.
fn in_memory(scenario: &Scenario, references: &[Loaded]) -> Messages {
    let mut messages = Messages::default();
    let mut references = references.iter();
    let mut session: Option<Session> = None;
    for step in &scenario.steps {
        let output = match (step, &mut session) {
            (Step::Expect(_), _) => continue,
            (Step::Reference { .. }, Some(session)) => {
                session.replace_reference(references.next().expect("reference data")).expect("replaced")
            }
            (Step::Reference { .. }, none) => {
                let loaded = references.next().expect("reference data");
                let (started, output) = Session::start(loaded, &scenario.settings).expect("started");
                *none = Some(started);
                output
            }
            (Step::Input(lines), Some(session)) => session.feed("usage.jsonl", text_of(lines).as_bytes()).expect("fed"),
            (Step::Recycle { .. }, Some(session)) => session.recycle().expect("recycled"),
            (Step::Input(_) | Step::Recycle { .. }, None) => panic!("reference data comes first"),
        };
        messages.take(&output);
    }
    messages
}

fn text_of(lines: &[InputLine]) -> String {
    lines.iter().flat_map(|line| [line.json.as_str(), "\n"]).collect()
}

/// The same steps as runs into a folder: what stands between two changes of the reference data, or two recyclings, is one file.
fn as_files(scenario: &Scenario, references: &[Loaded], folder: &Path) -> Messages {
    let output = folder.join("out");
    let rate = |loaded: &Loaded, input: Option<PathBuf>, recycle: Recycle| {
        let settings = RunSettings {
            inputs: input.into_iter().map(|path| InputFile { path, format: None }).collect(),
            ending: Ending::MayGrow,
            interrupted: InterruptedInputs::ComeFirst,
            recycle,
            output: output.clone(),
            format: OutputFormat::JsonLines,
            threads: 2,
            batch_records: 2,
            commit_records: 3,
            now: scenario.settings.latest_event,
            future_tolerance_ms: 0,
            duplicate_window_h: scenario.settings.duplicate_window_h,
            command_memory_h: scenario.settings.command_memory_h,
            state_horizon_h: scenario.settings.state_horizon_h,
            past_tolerance_ms: None,
            doubts: pipeline::Doubts::default(),
            default_source: scenario.settings.default_source.clone(),
            // A scenario says itself how late it is.
            until: Until::Ticks,
        };
        let report = runtime::embedded::run(loaded, &settings, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.skipped, Vec::<String>::new(), "an input was taken for another");
    };
    let mut references = references.iter();
    let mut current: Option<&Loaded> = None;
    let mut waiting = String::new();
    let mut files = 0;
    let mut flush = |loaded: Option<&Loaded>, waiting: &mut String| {
        let Some(loaded) = loaded else { return };
        files += 1;
        let path = folder.join(format!("usage-{files}.jsonl"));
        // Empty lines in front tell files of equal records apart.
        std::fs::write(&path, "\n".repeat(files) + waiting).expect("written");
        waiting.clear();
        rate(loaded, Some(path), Recycle::Nothing);
    };
    for step in &scenario.steps {
        match step {
            Step::Expect(_) => {}
            Step::Reference { .. } => {
                flush(current, &mut waiting);
                current = references.next();
            }
            Step::Input(lines) => waiting.push_str(&text_of(lines)),
            Step::Recycle { .. } => {
                flush(current, &mut waiting);
                rate(current.expect("reference data"), None, Recycle::WaitingAndLate);
            }
        }
    }
    flush(current, &mut waiting);
    Messages::read(&output)
}

#[test]
fn the_same_scenarios_give_the_same_messages_as_files() {
    let mut charges = 0;
    for file in files() {
        for scenario in &file.scenarios {
            let yamls = scenario.steps.iter().filter_map(|step| match step {
                Step::Reference { yaml, .. } => Some(yaml),
                Step::Input(_) | Step::Recycle { .. } | Step::Expect(_) => None,
            });
            let references: Vec<Loaded> = yamls
                .map(|yaml| load_reference(&file.name, yaml).unwrap_or_else(|errors| panic!("{errors}")))
                .collect();
            let folder = tempfile::tempdir().expect("a folder");
            let expected = in_memory(scenario, &references);
            let actual = as_files(scenario, &references, folder.path());
            assert_eq!(actual, expected, "{}: {}", file.name, scenario.title);
            charges += expected.charges.len();
        }
    }
    assert!(charges > 200, "only {charges} charges were compared");
}
