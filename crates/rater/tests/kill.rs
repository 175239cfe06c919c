//! The process is killed at random moments and started again until it is done: its outputs are those of an undisturbed run, byte for byte.
//!
//! | variable | default | meaning |
//! | --- | --- | --- |
//! | `RATER_SEED` | fixed | of the file and of the moments; printed |
//! | `RATER_KILL_RECORDS` | 60000 | records in the file |
//! | `RATER_KILL_COUNT` | 20 | kills per output form |
//! | `RATER_KILL_COMMIT_RECORDS` | 1000 | records between two commits |
//! | `RATER_KILL_BINARY` | the one just built | another binary, such as that of a release |

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Ran, command};
use testkit::generator::random::Random;
use testkit::generator::{self, Parameters, UsageForm};

/// Starts after which a run that makes no progress is given up.
const MAX_STARTS: usize = 2000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn rate(folder: &Path, output: &str, format: &str) -> Command {
    let commit_records = number("RATER_KILL_COMMIT_RECORDS", 1000).to_string();
    let mut command = command(folder);
    command.args(["rate", "usage.jsonl", "--endpoints", "endpoints.csv", "--now", "2030-01-01T00:00:00Z"]);
    command.args(["--batch-records", "500", "--commit-records", &commit_records, "-o", output, "-f", format]);
    command
}

fn start(folder: &Path, output: &str, format: &str) -> Child {
    let mut command = rate(folder, output, format);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs")
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

/// How a start ended.
enum End {
    Killed,
    Finished,
}

/// Starts the run and kills it after a pause, if it is not done by then; without a pause it is waited for.
fn start_and_kill(folder: &Path, output: &str, format: &str, pause: Option<Duration>) -> End {
    let mut child = start(folder, output, format);
    if let Some(pause) = pause {
        std::thread::sleep(pause);
        // On Unix this is SIGKILL: nothing of the program runs after it.
        child.kill().expect("it can be killed");
    }
    match child.wait().expect("it ends").code() {
        None => End::Killed,
        Some(0) => End::Finished,
        Some(other) => panic!("a start ended with {other} instead of going on"),
    }
}

/// What a folder says of itself when it is asked again: its table and its totals.
fn state(folder: &Path, output: &str, format: &str) -> Value {
    let asked = rate(folder, output, format).arg("--json").output().expect("the program runs");
    let answer = Ran::from(asked).expect(0).json();
    assert_eq!(answer["already_rated"][0], "usage.jsonl");
    json!([answer["rows"], answer["totals"], answer["waiting"]])
}

#[test]
fn killed_runs_end_with_the_bytes_of_an_undisturbed_one() {
    let seed = number("RATER_SEED", 20_261_121);
    println!("RATER_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let records = number("RATER_KILL_RECORDS", 60_000);
    let parameters = Parameters {
        records,
        endpoints: records / 20 + 1,
        customers: 40,
        usage_form: UsageForm::Json,
        ..Parameters::bench(seed)
    };
    generator::write_files(&parameters, folder.path()).expect("generated files");
    for format in ["jsonl", "avro"] {
        compare(folder.path(), format, &mut Random::new(seed));
    }
}

fn compare(folder: &Path, format: &str, random: &mut Random) {
    let whole = format!("whole-{format}");
    let began = Instant::now();
    Ran::from(rate(folder, &whole, format).output().expect("the program runs")).expect(0);
    let duration = began.elapsed();
    let expected_state = state(folder, &whole, format);
    let expected = outputs(&folder.join(&whole));
    assert!(expected.get(&format!("charges.{format}")).is_some_and(|bytes| !bytes.is_empty()), "there are no charges");

    let wanted = number("RATER_KILL_COUNT", 20);
    let (mut kills, mut mid_way, mut starts, mut folders) = (0, 0, 0, 0);
    while kills < wanted {
        let output = format!("killed-{format}-{folders}");
        folders += 1;
        loop {
            starts += 1;
            assert!(starts < MAX_STARTS, "no end after {starts} starts");
            // Short enough for several kills on the way, long enough for some progress between them.
            let longest = u64::try_from((duration / 3).as_micros()).expect("a short time").max(1);
            let pause = (kills < wanted).then(|| Duration::from_micros(random.below(longest)));
            match start_and_kill(folder, &output, format, pause) {
                End::Killed => {
                    kills += 1;
                    let charges = folder.join(&output).join(format!("charges.{format}"));
                    mid_way += u64::from(charges.metadata().is_ok_and(|charges| charges.len() > 10_000));
                }
                End::Finished => break,
            }
        }
        let actual = outputs(&folder.join(&output));
        assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, bytes) in &expected {
            assert!(actual.get(name) == Some(bytes), "{output}: {name} differs after {kills} kills");
        }
        assert_eq!(state(folder, &output, format), expected_state, "{output} after {kills} kills");
    }
    println!(
        "{format}: {kills} kills, {mid_way} with charges on the disk, {folders} folders, {duration:?} undisturbed"
    );
    assert!(mid_way > 0, "no kill came after the first commit");
}
