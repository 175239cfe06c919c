//! Every case of `tests/doors`, through the program: what each row became, counted from the outputs alone.

#![cfg(unix)]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::{Ran, command};

const NOW: [&str; 2] = ["--now", "2026-11-30T00:00:00Z"];

#[derive(Default)]
struct Case {
    files: Vec<(String, String)>,
    run: Vec<String>,
    expect: Vec<String>,
}

/// Takes a case apart: its fenced blocks.
fn parse(text: &str) -> Case {
    let mut case = Case::default();
    let mut block: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(about)) => block = Some((about.to_owned(), String::new())),
            (None, None) => {}
            (Some(_), Some(_)) => {
                let (about, body) = block.take().unwrap_or_default();
                let lines = || body.lines().map(str::to_owned).collect();
                match about.split_once(' ') {
                    Some(("file", name)) => case.files.push((name.to_owned(), body)),
                    _ if about == "run" => case.run = lines(),
                    _ if about == "expect" => case.expect = lines(),
                    _ => panic!("a block of {about}"),
                }
            }
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    case
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r")
}

/// Does what a line of `run` says; the answer of the program, if it was run.
fn perform(folder: &Path, line: &str) -> Option<Value> {
    let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = rest.splitn(2, ' ');
    let (name, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match what {
        "write" => std::fs::write(folder.join(name), unescaped(text)).expect("written"),
        "append" => {
            let mut file = std::fs::OpenOptions::new().append(true).open(folder.join(name)).expect("a file");
            file.write_all(unescaped(text).as_bytes()).expect("appended");
        }
        "fifo" => {
            let (pipe, from) = (folder.join(name), folder.join(text));
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.is_ok_and(|status| status.success()), "{} cannot be made", pipe.display());
            // It waits for whoever reads.
            std::thread::spawn(move || std::fs::copy(from, pipe));
        }
        "rate" => return Some(rate(folder, rest, 0)),
        "refuses" => {
            rate(folder, rest.trim_start_matches("rate "), 2);
        }
        other => panic!("{other} is nothing that can be done"),
    }
    None
}

fn rate(folder: &Path, rest: &str, code: i32) -> Value {
    let (arguments, input) = rest.split_once(" < ").map_or((rest, None), |(arguments, file)| (arguments, Some(file)));
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = command(folder);
    command.arg("rate").args(NOW).arg("--json");
    for (option, default) in [("--reference", "rating.yaml"), ("-o", "out")] {
        if !arguments.contains(&option) {
            command.args([option, default]);
        }
    }
    command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the program runs");
    if let (Some(file), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(&std::fs::read(folder.join(file)).expect("a file")).expect("read to the end");
    }
    Ran::from(child.wait_with_output().expect("the program ends")).expect(code).json()
}

/// Something that is suspended: its place, reason, level, id and detail.
type Suspended = (String, String, Option<u64>, Option<String>, String);

/// What the outputs of all folders say.
#[derive(Default)]
struct Found {
    charges: Vec<(String, u64, String)>,
    /// Everything that was suspended and is not charged now.
    suspended: Vec<Suspended>,
    deltas: Vec<(String, String)>,
    refused: Vec<(String, String)>,
}

fn messages(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

fn text(message: &Value, name: &str) -> String {
    message[name].as_str().unwrap_or_default().to_owned()
}

fn read(folder: &Path, found: &mut Found) {
    for charge in messages(folder, "charges").iter().filter(|charge| charge["kind"] == "usage") {
        let level = charge["level"].as_u64().expect("a level");
        found.charges.push((text(charge, "usage_id"), level, text(charge, "amount")));
    }
    for message in messages(folder, "suspense") {
        let place = format!("{}:{}", text(&message, "file"), message["line"]);
        let id = message["usage_id"].as_str().map(str::to_owned);
        let (reason, detail) = (text(&message, "reason"), text(&message, "detail"));
        // Tried again, it is suspended once more.
        found.suspended.retain(|(known, _, level, ..)| (known, *level) != (&place, message["level"].as_u64()));
        found.suspended.push((place, reason, message["level"].as_u64(), id, detail));
    }
    for delta in messages(folder, "balance-deltas").iter().filter(|delta| delta["command_id"].is_string()) {
        found.deltas.push((text(delta, "command_id"), text(delta, "amount")));
    }
    for told in messages(folder, "notifications").iter().filter(|told| told["kind"] == "command_refused") {
        found.refused.push((text(told, "caused_by"), text(told, "reason")));
    }
    let charged: BTreeSet<&String> = found.charges.iter().map(|(id, ..)| id).collect();
    found.suspended.retain(|(_, _, _, id, _)| id.as_ref().is_none_or(|id| !charged.contains(id)));
}

fn count(answers: &BTreeMap<String, Value>, name: &str) -> u64 {
    answers.values().map(|answer| answer["totals"][name].as_u64().unwrap_or_default()).sum()
}

/// Compares everything that was found with what is expected; what is wrong, in words.
fn compare(expect: &[String], mut found: Found, answers: &BTreeMap<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut charged, mut waiting) = (BTreeSet::new(), 0);
    charged.extend(found.charges.iter().map(|(id, ..)| id.clone()));
    waiting += found.suspended.iter().filter(|(.., level, _, _)| level.is_none()).count() as u64;
    let commands = (found.deltas.len() + found.refused.len()) as u64;
    let outcomes = charged.len() as u64 + waiting + commands + count(answers, "duplicates") + count(answers, "ticks");
    for line in expect {
        let words: Vec<&str> = line.split(' ').collect();
        let is_right = match words[..] {
            ["charge", id, level, amount] => {
                let expected = (id.to_owned(), level.parse().expect("a level"), amount.to_owned());
                take(&mut found.charges, |charge| *charge == expected)
            }
            ["waits", place, reason] => take(&mut found.suspended, |(known, why, ..)| known == place && why == reason),
            ["outcome", id, ref amount @ ..] => {
                let fits =
                    |charge: &(String, u64, String)| charge.0 == id && amount.first().is_none_or(|of| charge.2 == *of);
                take(&mut found.charges, fits) || take(&mut found.suspended, |(.., known, _)| known.as_deref() == Some(id))
                    // Of a record that cannot be read, nobody knows the id.
                    || take(&mut found.suspended, |(.., known, _)| known.is_none())
            }
            ["detail", place, ..] => {
                let part = words[2..].join(" ");
                // Taken already by `waits`: looked for in all of them.
                found.suspended.iter().any(|(known, .., detail)| known == place && detail.contains(&part))
            }
            ["delta", command, amount] => take(&mut found.deltas, |delta| (&*delta.0, &*delta.1) == (command, amount)),
            ["refused", command, reason] => take(&mut found.refused, |told| (&*told.0, &*told.1) == (command, reason)),
            ["duplicates", number] => count(answers, "duplicates").to_string() == number,
            ["ticks", number] => count(answers, "ticks").to_string() == number,
            ["rows", number] => {
                let is_right = outcomes.to_string() == number;
                if !is_right {
                    wrong.push(format!("{outcomes} outcomes of {number} rows"));
                }
                is_right
            }
            _ => panic!("{line} is nothing that can be expected"),
        };
        if !is_right {
            wrong.push(format!("not so: {line}"));
        }
    }
    wrong.extend(found.charges.iter().map(|charge| format!("also charged: {charge:?}")));
    wrong.extend(found.suspended.iter().map(|message| format!("also suspended: {message:?}")));
    wrong.extend(found.deltas.iter().chain(&found.refused).map(|command| format!("also of a command: {command:?}")));
    wrong
}

/// Takes the first that fits out of a list; `false` if none does.
fn take<T>(list: &mut Vec<T>, fits: impl FnMut(&T) -> bool) -> bool {
    let at = list.iter().position(fits);
    at.map(|at| list.remove(at)).is_some()
}

fn check(path: &Path) -> Vec<String> {
    let case = parse(&std::fs::read_to_string(path).expect("a case"));
    let folder = tempfile::tempdir().expect("a folder");
    for (name, contents) in &case.files {
        support::write(folder.path(), name, contents);
    }
    // Totals are of a folder over all its runs: the last answer counts.
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    for line in &case.run {
        if let Some(answer) = perform(folder.path(), line) {
            answers.insert(text(&answer, "folder"), answer);
        }
    }
    let mut found = Found::default();
    for output in answers.keys() {
        read(&folder.path().join(output), &mut found);
    }
    // Details are asked for before what they belong to is taken.
    let mut expect = case.expect.clone();
    expect.sort_by_key(|line| !line.starts_with("detail "));
    compare(&expect, found, &answers)
}

#[test]
fn every_row_at_every_door_has_its_one_outcome() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/doors");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md") && !path.ends_with("README.md"))
        .collect();
    paths.sort();
    assert!(paths.len() > 20, "only {} cases", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let found = std::panic::catch_unwind(|| check(&path));
        let faults = found.unwrap_or_else(|_| vec!["it could not be run".to_owned()]);
        println!("{name}: {}", if faults.is_empty() { "right" } else { "wrong" });
        wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
