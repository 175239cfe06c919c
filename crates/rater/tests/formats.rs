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

/// One continuation of a folder.
struct Step {
    /// Begins the names of its expectations.
    name: &'static str,
    reference: &'static [&'static str],
    now: &'static str,
    rest: &'static [&'static str],
}

const INTERRUPTED: Step = Step {
    name: "1-interrupted",
    reference: &["reference.yaml"],
    now: "2026-04-01T00:00:00Z",
    rest: &["interrupted.jsonl"],
};
/// Goes on in the accounts of `phases.yaml`, which the other steps never meet.
const PHASES: Step = Step {
    name: "phases",
    reference: &["reference.yaml", "phases.yaml"],
    now: "2026-04-02T00:00:00Z",
    rest: &["phases-after.jsonl"],
};
const AFTER: Step =
    Step { name: "2-after", reference: &["later.yaml"], now: "2026-04-10T00:00:00Z", rest: &["after.jsonl"] };
const RECYCLED: Step =
    Step { name: "3-recycled", reference: &["later.yaml"], now: "2026-05-02T00:00:00Z", rest: &["--recycle"] };
const LATE: Step = Step {
    name: "4-late",
    reference: &["later.yaml"],
    now: "2026-05-02T00:00:00Z",
    rest: &["--recycle", "--recycle-late"],
};
const AGAIN: Step = Step {
    name: "5-again",
    reference: &["later.yaml"],
    now: "2026-05-02T00:00:00Z",
    rest: &["before.jsonl", "before.csv", "interrupted.jsonl", "after.jsonl"],
};

/// Inputs and reference data.
const FILES: [&str; 9] = [
    "before.jsonl",
    "before.csv",
    "interrupted.jsonl",
    "after.jsonl",
    "phases-before.jsonl",
    "phases-after.jsonl",
    "reference.yaml",
    "later.yaml",
    "phases.yaml",
];

fn lines(folder: &Path, output: &str) -> Vec<serde_json::Value> {
    let path = folder.join("out").join(format!("{output}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

fn goes_on(sample: &str, expected: &str, steps: &[Step]) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = samples::folder().join(sample);
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} cannot be unpacked", archive.display());
    for name in FILES {
        std::fs::copy(samples::folder().join(name), folder.path().join(name)).expect("copied");
    }
    let mut known = OUTPUTS.map(|output| lines(folder.path(), output).len());
    for Step { name: step, reference, now, rest } in steps {
        let mut arguments = vec!["rate", "--now", now, "--duplicate-window", "720 h", "--json"];
        reference.iter().for_each(|reference| arguments.extend(["--reference", reference]));
        let ran = rater(folder.path(), &[&arguments[..], rest].concat()).expect(0);
        let files = rest.iter().filter(|name| !name.starts_with("--")).count();
        let rated = ran.json()["already_rated"].as_array().map_or(0, Vec::len);
        assert_eq!(rated == files && files > 0, *step == "5-again", "{sample}, {step}: {}", ran.stdout);
        for (output, known) in OUTPUTS.iter().zip(&mut known) {
            let found = lines(folder.path(), output);
            samples::compare(
                &format!("{expected}/{step}-{output}.jsonl"),
                &found[std::mem::replace(known, found.len())..],
            );
        }
    }
}

#[test]
fn a_folder_of_format_1_goes_on() {
    goes_on("state-1.tar.gz", "state", &[INTERRUPTED, AFTER, RECYCLED, LATE, AGAIN]);
}

#[test]
fn a_folder_of_format_2_goes_on() {
    goes_on("state-2.tar.gz", "state", &[INTERRUPTED, AFTER, RECYCLED, LATE, AGAIN]);
}

#[test]
fn a_folder_of_format_4_goes_on() {
    goes_on("state-4.tar.gz", "state-3", &[INTERRUPTED, PHASES, AFTER, RECYCLED, LATE, AGAIN]);
}

#[test]
fn a_folder_of_format_3_goes_on() {
    goes_on("state-3.tar.gz", "state-3", &[INTERRUPTED, PHASES, AFTER, RECYCLED, LATE, AGAIN]);
}

#[test]
fn a_folder_of_format_5_goes_on() {
    goes_on("state-5.tar.gz", "state-3", &[INTERRUPTED, PHASES, AFTER, RECYCLED, LATE, AGAIN]);
}
