//! Pipes, named pipes, standard input, and two runs at once: what a shell can give to `rater rate`.

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{Ran, command, example, rater, write};

fn lines(numbers: std::ops::Range<u32>) -> String {
    let line = |number| {
        format!(
            "{{\"id\":\"p{number}\",\"service\":\"data\",\"quantity\":1000,\"event_time\":\"2026-03-05T14:00:00Z\",\
             \"imsi\":\"001010000000001\",\"mcc\":\"234\",\"mnc\":\"15\"}}\n"
        )
    };
    numbers.map(line).collect()
}

/// How often each record was charged at level 1.
fn charged(out: &Path) -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(out.join("charges.jsonl")).unwrap_or_default();
    let mut charged = BTreeMap::new();
    for line in text.lines() {
        let charge: Value = serde_json::from_str(line).expect("JSON");
        if charge["level"] == 1 {
            *charged.entry(charge["usage_id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
    }
    charged
}

fn assert_charged(out: &Path, count: usize) {
    let charged = charged(out);
    assert_eq!(charged.len(), count);
    assert!(charged.values().all(|times| *times == 1), "{charged:?}");
}

fn shell(folder: &Path, script: &str) -> Ran {
    let mut shell = Command::new("bash");
    shell.current_dir(folder).env("RATER", env!("CARGO_BIN_EXE_rater")).args(["-c", script]);
    Ran::from(shell.output().expect("bash runs"))
}

/// Each costs a gigabyte or minutes where nothing bounds it, and has its one outcome; the records around it are charged.
#[test]
fn a_record_that_is_absurd_costs_neither_memory_nor_its_neighbours() {
    let folder = example();
    let good = lines(0..2);
    let (first, second) = good.split_at(good.find('\n').expect("two lines") + 1);
    let with = |field: &str, value: &str| first.trim_end().replace("p0", "p9").replace(field, value);
    let million = |part: &str| part.repeat(1_000_000 / part.len());
    let attributes = (0..60_000).map(|at| format!("\"{at:x}\":1.5,")).collect::<String>();
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(30_000_000));
    let cases = [
        (
            "long",
            long,
            "undecodable",
            "is longer than 1048576 bytes: it has 30000009, of which the first 1048576 are kept",
        ),
        ("deep", with("\"quantity\"", &format!("\"x\":{},\"quantity\"", million("["))), "undecodable", ""),
        ("exponent", with("1000,", "1e999999999,"), "undecodable", "number out of range"),
        ("digits", with("1000,", &format!("{},", million("1"))), "undecodable", "number out of range"),
        ("text", with("1000,", &format!("\"{}\",", million("9"))), "invalid_record", "quantity: "),
        (
            "key",
            with("\"quantity\"", &format!("\"{}\"", million("quantity"))),
            "invalid_record",
            "quantity: is missing",
        ),
        (
            "attributes",
            with("\"quantity\"", &format!("\"attributes\":{{{attributes}\"x\":[]}},\"x\"")),
            "invalid_record",
            "",
        ),
    ];
    for (name, line, reason, detail) in cases {
        write(folder.path(), "u.jsonl", &format!("{first}{line}\n{second}"));
        shell(folder.path(), &format!("ulimit -v 3000000; \"$RATER\" rate u.jsonl -o {name}")).expect(0);
        assert_charged(&folder.path().join(name), 2);
        let suspense = std::fs::read_to_string(folder.path().join(name).join("suspense.jsonl")).expect("suspense");
        let suspended: Value = serde_json::from_str(suspense.trim_end()).expect("one thing");
        let (found, told) = (suspended["reason"].as_str(), suspended["detail"].as_str().unwrap_or_default());
        assert_eq!((found, suspended["line"].as_u64()), (Some(reason), Some(2)), "{name}: {told}");
        assert!(told.contains(detail) && told.len() < 2000, "{name}: {told}");
    }
}

#[test]
fn pipes_are_read_in_one_pass_and_known_by_what_came_through_them() {
    let folder = example();
    write(folder.path(), "u.jsonl", &lines(0..3));
    for (name, script) in [
        ("device", "cat u.jsonl | \"$RATER\" rate /dev/stdin --input-format jsonl -o OUT"),
        ("dash", "cat u.jsonl | \"$RATER\" rate - --input-format jsonl -o OUT"),
        ("redirected", "\"$RATER\" rate - --input-format jsonl -o OUT < u.jsonl"),
        ("substitution", "\"$RATER\" rate <(cat u.jsonl) --input-format jsonl -o OUT"),
        ("here", "\"$RATER\" rate - --input-format jsonl -o OUT <<END\n$(cat u.jsonl)\nEND"),
        ("named", "mkfifo p.jsonl; (cat u.jsonl > p.jsonl &); timeout 60 \"$RATER\" rate p.jsonl -o OUT"),
        ("two", "\"$RATER\" rate <(head -1 u.jsonl) <(tail -2 u.jsonl) --input-format jsonl -o OUT"),
    ] {
        let first = shell(folder.path(), &script.replace("OUT", name)).expect(0);
        assert!(first.stdout.contains("3 in = 3 rated ✓"), "{name}: {}", first.stdout);
        assert_charged(&folder.path().join(name), 3);
        if name != "two" {
            let file = rater(folder.path(), &["rate", "u.jsonl", "-o", name]).expect(0);
            assert!(file.stdout.starts_with("u.jsonl  already rated\n"), "{name}: {}", file.stdout);
        }
        assert_charged(&folder.path().join(name), 3);
    }
    // What follows is rated once, whichever way it comes.
    write(folder.path(), "u.jsonl", &lines(0..5));
    let more = shell(folder.path(), "cat u.jsonl | \"$RATER\" rate - --input-format jsonl -o dash").expect(0);
    assert!(more.stdout.contains("3 duplicates"), "{}", more.stdout);
    assert_charged(&folder.path().join("dash"), 5);
}

#[test]
fn what_is_no_input_is_refused_by_name() {
    let folder = example();
    let refused = |script: &str, part: &str| {
        let ran = shell(folder.path(), script).expect(2);
        assert!(ran.stderr.contains(part), "{script}: {}", ran.stderr);
        assert!(!folder.path().join("out").exists(), "{script}");
    };
    refused("\"$RATER\" rate - < usage.csv", "--input-format");
    refused("\"$RATER\" rate /dev/stdin < usage.csv", "--input-format");
    refused("\"$RATER\" rate tests", "tests: is a folder");
    refused("\"$RATER\" rate - - --input-format csv < usage.csv", "can be read once");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s.csv")).expect("a socket");
    refused("\"$RATER\" rate s.csv", "s.csv: is a socket");
}

#[test]
fn a_last_line_that_is_cut_is_told() {
    let folder = example();
    write(folder.path(), "u.jsonl", (lines(0..2) + "{\"id\":\"p2\"").as_str());
    let ran = rater(folder.path(), &["rate", "u.jsonl", "-o", "o"]).expect(0);
    assert!(ran.stdout.contains("unfinished  u.jsonl:3  "), "{}", ran.stdout);
    assert!(ran.stdout.contains("--final") && ran.stderr.contains("--final"), "{} {}", ran.stdout, ran.stderr);
    let json = rater(folder.path(), &["rate", "u.jsonl", "-o", "o", "--json"]).expect(0).json();
    assert_eq!(json["unfinished"][0]["line"], 3);
    assert_eq!(json["already_rated"][0], "u.jsonl");
    rater(folder.path(), &["rate", "u.jsonl", "-o", "o", "--fail-on-suspense"]).expect(1);
    let last = rater(folder.path(), &["rate", "u.jsonl", "-o", "o", "--final"]).expect(0);
    assert!(last.stdout.contains("3 in = 2 rated + 1 suspended"), "{}", last.stdout);
    write(folder.path(), "none.csv", "");
    let none = rater(folder.path(), &["rate", "none.csv", "-o", "none"]).expect(0);
    assert!(none.stdout.starts_with("none.csv  has no records\n"), "{}", none.stdout);
}

/// Feeds a run through its standard input; the pipe stays open.
fn feed(folder: &Path, text: &str) -> Child {
    let mut child = command(folder)
        .args(["rate", "-", "--input-format", "jsonl", "-o", "o", "--commit-records", "1000", "--batch-records", "100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.as_mut().expect("a pipe").write_all(text.as_bytes()).expect("taken");
    child
}

#[test]
fn a_stream_that_was_killed_goes_on_when_it_is_given_again() {
    let folder = example();
    let whole = lines(0..20_000);
    let out = folder.path().join("o");
    let mut killed = feed(folder.path(), whole.get(..2_000_000).expect("a part"));
    let is_committed = || std::fs::metadata(out.join("charges.jsonl")).is_ok_and(|file| file.len() > 200_000);
    for _ in 0..600 {
        if is_committed() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    killed.kill().expect("killed");
    killed.wait().expect("it ends");
    // Another stream is another input, and one that begins alike and differs is refused: it could not be read again.
    let mut other = feed(folder.path(), &lines(30_000..30_003));
    drop(other.stdin.take());
    assert_eq!(other.wait().expect("it ends").code(), Some(0));
    let alike = lines(0..800) + &lines(40_000..60_000);
    write(folder.path(), "alike.jsonl", &alike);
    let refused = shell(folder.path(), "cat alike.jsonl | \"$RATER\" rate - --input-format jsonl -o o").expect(2);
    assert!(refused.stderr.contains("--leave-interrupted"), "{}", refused.stderr);
    write(folder.path(), "whole.jsonl", &whole);
    shell(folder.path(), "cat whole.jsonl | \"$RATER\" rate - --input-format jsonl -o o").expect(0);
    let totals = rater(folder.path(), &["rate", "whole.jsonl", "-o", "o", "--json"]).expect(0).json();
    assert_eq!(totals["already_rated"][0], "whole.jsonl");
    assert_eq!((&totals["totals"]["rated"], &totals["totals"]["duplicates"]), (&Value::from(20_003), &Value::from(0)));
    assert_charged(&out, 20_003);
}

#[test]
fn of_two_first_runs_into_a_folder_one_wins() {
    let folder = example();
    for name in ["a", "b"] {
        let text: String = lines(0..2000).replace("\"p", &format!("\"{name}"));
        write(folder.path(), &format!("{name}.jsonl"), &text);
    }
    for round in 0..8 {
        let out = format!("out-{round}");
        let start = |name: &str| {
            let mut run = command(folder.path());
            run.args(["rate", &format!("{name}.jsonl"), "-o", &out, "-q"]);
            run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs")
        };
        let runs = [start("a"), start("b")];
        let ended = runs.map(|run| Ran::from(run.wait_with_output().expect("it ends")));
        let won = ended.iter().filter(|ran| ran.code == 0).count();
        for refused in ended.iter().filter(|ran| ran.code != 0) {
            assert_eq!(refused.code, 3, "{}", refused.stderr);
            assert!(refused.stderr.contains("another process uses this output folder"), "{}", refused.stderr);
        }
        assert!(won > 0, "nobody won");
        assert_charged(&folder.path().join(&out), 2000 * won);
        for name in ["a", "b"] {
            rater(folder.path(), &["rate", &format!("{name}.jsonl"), "-o", &out, "-q"]).expect(0);
        }
        assert_charged(&folder.path().join(&out), 4000);
    }
}

#[test]
fn looking_at_a_folder_does_not_stop_a_run() {
    let folder = example();
    write(folder.path(), "u.jsonl", &lines(0..200));
    rater(folder.path(), &["rate", "usage.csv", "-o", "o"]).expect(0);
    let looks: Vec<Child> = (0..3)
        .map(|_| {
            let mut look = command(folder.path());
            look.args(["explain", "r1", "-o", "o"]).stdout(Stdio::null()).stderr(Stdio::null());
            look.spawn().expect("the program runs")
        })
        .collect();
    rater(folder.path(), &["rate", "u.jsonl", "-o", "o"]).expect(0);
    for mut look in looks {
        look.wait().expect("it ends");
    }
}
