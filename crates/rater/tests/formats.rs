//! Output folders of earlier versions, in `tests/formats`: the present program goes on in them, and what follows is what the version that made
//! them would have put out.
//!
//! `RATER_FREEZE=expectations` writes what is expected instead, with `RATER_KILL_BINARY` that of an earlier program.

mod support;

use std::path::Path;
use std::process::Command;
use support::rater;
use testkit::samples;

/// Outputs of a folder.
const OUTPUTS: [&str; 4] = ["charges", "balance-deltas", "notifications", "suspense"];

/// What a folder is told, one after the other: a name, the reference data, the clock, and the rest.
const STEPS: [(&str, &str, &str, &[&str]); 5] = [
    ("1-interrupted", "reference.yaml", "2026-04-01T00:00:00Z", &["interrupted.jsonl"]),
    ("2-after", "later.yaml", "2026-04-10T00:00:00Z", &["after.jsonl"]),
    ("3-recycled", "later.yaml", "2026-05-02T00:00:00Z", &["--recycle"]),
    ("4-late", "later.yaml", "2026-05-02T00:00:00Z", &["--recycle", "--recycle-late"]),
    (
        "5-again",
        "later.yaml",
        "2026-05-02T00:00:00Z",
        &["before.jsonl", "before.csv", "interrupted.jsonl", "after.jsonl"],
    ),
];

fn lines(folder: &Path, output: &str) -> Vec<serde_json::Value> {
    let path = folder.join("out").join(format!("{output}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

fn goes_on(sample: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = samples::folder().join(sample);
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} cannot be unpacked", archive.display());
    for name in ["before.jsonl", "before.csv", "interrupted.jsonl", "after.jsonl", "reference.yaml", "later.yaml"] {
        std::fs::copy(samples::folder().join(name), folder.path().join(name)).expect("copied");
    }
    let mut known = OUTPUTS.map(|output| lines(folder.path(), output).len());
    for (step, reference, now, rest) in STEPS {
        let common = ["rate", "--reference", reference, "--now", now, "--duplicate-window", "720 h", "--json"];
        let ran = rater(folder.path(), &[&common[..], rest].concat()).expect(0);
        let files = rest.iter().filter(|name| !name.starts_with("--")).count();
        let rated = ran.json()["already_rated"].as_array().map_or(0, Vec::len);
        assert_eq!(rated == files && files > 0, step == "5-again", "{sample}, {step}: {}", ran.stdout);
        for (output, known) in OUTPUTS.iter().zip(&mut known) {
            let found = lines(folder.path(), output);
            samples::compare(&format!("state/{step}-{output}.jsonl"), &found[std::mem::replace(known, found.len())..]);
        }
    }
}

#[test]
fn a_folder_of_format_1_goes_on() {
    goes_on("state-1.tar.gz");
}

#[test]
fn a_folder_of_format_2_goes_on() {
    goes_on("state-2.tar.gz");
}
