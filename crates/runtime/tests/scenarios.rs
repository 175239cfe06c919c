//! Every file under `tests/scenarios/` passes, in memory and as files.

use runtime::scenario::{FileReport, ScenarioFile, parse, run};
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
