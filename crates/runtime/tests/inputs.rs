//! Inputs that grow, shrink, are replaced or end too early, between runs and while they are read: each row is rated once.
//!
//! Seeds are printed; `RATER_SEED` replays one, `RATER_ROUNDS` says how many histories are tried per form.

#[path = "folder/before.rs"]
mod before;
mod folder;

use folder::{messages, outputs, rate, reference, settings, stop_after, try_rate, usage, usage_lines, write};
use runtime::embedded::{InterruptedInputs, Report, RunError, RunSettings, read_progress, run};
use runtime::state::{Store, StoreError};
use runtime::wire::{CsvMapping, Ending, InputFormat, RawBatch, Splitter};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const HEADER: &str = "id,service,imsi,event_time,quantity,attributes.text";

fn row(id: &str, text: &str) -> String {
    format!("{id},data,001010000000001,2026-03-05T14:00:00Z,1000000,{text}")
}

fn append(path: &Path, contents: &str) {
    let mut file = OpenOptions::new().append(true).open(path).expect("opened");
    file.write_all(contents.as_bytes()).expect("written");
}

/// A suspended line: its input, its number and the reason.
type SuspendedLine = (String, i64, String);

/// How often each id was charged at level 1, and the lines that are suspended.
fn outcomes(out: &Path) -> (BTreeMap<String, u32>, Vec<SuspendedLine>) {
    let mut charged = BTreeMap::new();
    for charge in messages(out, "charges").iter().filter(|charge| charge["level"] == 1) {
        *charged.entry(charge["usage_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let suspended = messages(out, "suspense").into_iter().map(|message| {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        (text("file"), message["line"].as_i64().unwrap_or_default(), text("reason"))
    });
    (charged, suspended.collect())
}

fn ids(out: &Path) -> String {
    let (charged, _) = outcomes(out);
    charged.iter().map(|(id, times)| if *times == 1 { format!("{id} ") } else { format!("{id}*{times} ") }).collect()
}

fn unfinished(report: &Report) -> Vec<(u64, u64)> {
    report.unfinished.iter().map(|unfinished| (unfinished.place, unfinished.bytes)).collect()
}

#[test]
fn a_cut_last_line_is_rated_when_it_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    for (name, header, lines) in [
        ("usage.csv", format!("{HEADER}\n"), [row("a", ""), row("b", ""), row("c", "")]),
        ("usage.jsonl", String::new(), [usage("a"), usage("b"), usage("c")]),
    ] {
        let out = folder.path().join(format!("out-{name}"));
        let [a, b, c] = &lines;
        let whole = format!("{header}{a}\n{b}\n{c}\n");
        // Cut within b; cut right behind its last character, where it looks complete; cut within c.
        let starts = [header.len() + a.len() + 1, header.len() + a.len() + b.len() + 2];
        let cuts =
            [(starts[0] + 3, "a ", 1), (starts[1] - 1, "a ", 0), (starts[1], "a b ", 1), (starts[1] + 1, "a b ", 0)];
        for (cut, expected, received) in cuts {
            let input = write(folder.path(), name, &whole.as_bytes()[..cut]);
            let report = rate(&loaded, &settings(&[&input], &out));
            assert_eq!((ids(&out).as_str(), report.run.received), (expected, received), "{name} {cut}");
            let is_open = !whole[..cut].ends_with('\n');
            assert_eq!(report.unfinished.len(), usize::from(is_open), "{name} {cut}");
        }
        let input = write(folder.path(), name, &whole);
        let report = rate(&loaded, &settings(&[&input], &out));
        assert_eq!((ids(&out).as_str(), report.run.received, report.grown.len()), ("a b c ", 1, 1));
        assert_eq!(rate(&loaded, &settings(&[&input], &out)).skipped.len(), 1);
        let (_, suspended) = outcomes(&out);
        assert_eq!(suspended, []);
    }
}

#[test]
fn what_is_called_final_is_complete_and_may_grow_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let complete = |inputs: &[&Path]| RunSettings { ending: Ending::IsComplete, ..settings(inputs, &out) };
    let start = format!("{HEADER}\n{}\n{}", row("a", ""), row("b", "x"));
    let input = write(folder.path(), "usage.csv", &start);
    assert_eq!(unfinished(&rate(&loaded, &settings(&[&input], &out))), [(3, row("b", "x").len() as u64)]);
    assert_eq!(rate(&loaded, &complete(&[&input])).run.guided, 1);
    for _ in 0..2 {
        assert_eq!(rate(&loaded, &settings(&[&input], &out)).skipped.len(), 1);
    }
    // Its line ends after all, and another one follows.
    append(&input, &format!("\r\n{}\n", row("c", "")));
    assert_eq!(rate(&loaded, &settings(&[&input], &out)).run.guided, 1);
    assert_eq!(ids(&out), "a b c ");
    // It was not complete: the line that it becomes has another payload.
    append(&input, &row("d", "x"));
    assert_eq!(rate(&loaded, &complete(&[&input])).run.guided, 1);
    append(&input, "yz");
    assert_eq!(unfinished(&rate(&loaded, &settings(&[&input], &out))).len(), 1);
    append(&input, &format!("\n{}\n", row("e", "")));
    let report = rate(&loaded, &settings(&[&input], &out));
    assert_eq!((report.run.guided, report.run.suspended), (1, 1));
    assert_eq!(ids(&out), "a b c d e ");
    assert_eq!(outcomes(&out).1, [(input.display().to_string(), 5, "duplicate_conflict".to_owned())]);
}

#[test]
fn nothing_to_rate_is_not_success_in_silence() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    for (name, contents, is_empty, open) in [
        ("none.csv", "", true, 0),
        ("half.csv", "id,service,qua", false, 1),
        ("header.csv", "id,service,quantity,event_time\n", true, 0),
        ("none.jsonl", "", true, 0),
        ("blank.jsonl", "\n  \n\n", true, 0),
        ("one.jsonl", "{\"id\":", false, 1),
        ("none.avro", "", true, 0),
        ("half.avro", "Obj\u{1}\u{4}", false, 1),
    ] {
        let input = write(folder.path(), name, contents);
        let report = rate(&loaded, &settings(&[&input], &out));
        assert_eq!((report.empty.len(), report.unfinished.len()), (usize::from(is_empty), open), "{name}");
        assert_eq!(report.progress.inputs.len(), 0, "{name}");
    }
    // Headers, and nothing else, in common: each is an input of its own.
    let header = format!("{HEADER}\n");
    let first = write(folder.path(), "day.csv", &header);
    rate(&loaded, &settings(&[&first], &out));
    let second = write(folder.path(), "other.csv", format!("{header}{}\n", row("a", "")));
    rate(&loaded, &settings(&[&second], &out));
    append(&first, &format!("{}\n", row("b", "")));
    rate(&loaded, &settings(&[&first], &out));
    assert_eq!(ids(&out), "a b ");
    for (name, contents) in
        [("wide.csv", &b"\xff\xfei\0d\0"[..]), ("wide.jsonl", b"{\0\"\0i\0"), ("u.jsonl", b"\x1f\x8b\x08\0\0")]
    {
        let input = write(folder.path(), name, contents);
        let error = try_rate(&loaded, &settings(&[&input], &out)).err();
        assert!(matches!(error, Some(RunError::Input(..))), "{name}: {error:?}");
    }
}

/// Two inputs are one only if all says so; else each row has an outcome.
#[test]
fn a_common_beginning_makes_no_input_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let received = |name: &str, lines: String| {
        let input = write(folder.path(), name, lines);
        let run = rate(&loaded, &settings(&[&input], &out)).run;
        (run.guided, run.duplicates)
    };
    assert_eq!(received("a.jsonl", usage_lines(0..5)), (5, 0));
    assert_eq!(received("b.jsonl", usage_lines(0..7)), (2, 5), "another file that begins with it");
    assert_eq!(received("c.jsonl", usage_lines(0..3)), (0, 3), "a file that it begins with");
    assert_eq!(received("d.jsonl", usage_lines(0..5)), (0, 0), "a copy");
    assert_eq!(received("a.jsonl", usage_lines(0..8)), (1, 2), "the same path: it has grown, by two that b had");
    assert_eq!(received("a.jsonl", usage_lines(2..9)), (1, 6), "the same path, replaced");
    std::fs::rename(folder.path().join("a.jsonl"), folder.path().join("a.jsonl.1")).expect("renamed");
    append(&folder.path().join("a.jsonl.1"), &usage_lines(20..21));
    let renamed = folder.path().join("a.jsonl.1");
    let report = rate(&loaded, &settings(&[&renamed], &out));
    assert_eq!((report.run.received, report.grown.len()), (1, 1), "the same file under another name");
    assert_eq!(received("a.jsonl", usage_lines(30..31)), (1, 0), "and what took its place");
}

#[test]
fn an_interrupted_input_goes_on_where_it_stood_or_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let input = write(folder.path(), "usage.jsonl", usage_lines(0..60));
    stop_after(&loaded, &settings(&[&input], &out), 40);
    let other = write(folder.path(), "other.jsonl", usage_lines(100..105));
    let error = try_rate(&loaded, &settings(&[&other], &out)).expect_err("refused").to_string();
    assert!(error.contains("\"") && error.contains("usage.jsonl") && error.contains("--leave-interrupted"), "{error}");
    let left = RunSettings { interrupted: InterruptedInputs::AreLeft, ..settings(&[&other], &out) };
    assert_eq!(rate(&loaded, &left).run.guided, 5);
    // Elsewhere, and longer.
    let moved = write(folder.path(), "moved.jsonl", usage_lines(0..70));
    let report = rate(&loaded, &settings(&[&moved], &out));
    assert_eq!((report.progress.totals.guided, report.progress.totals.duplicates), (75, 0));
}

/// Runs, and changes the file once so many records were taken.
fn rate_while(input: &Path, out: &Path, after: u64, change: impl Fn(&Path)) -> Result<Report, RunError> {
    let settings = RunSettings { batch_records: 100, commit_records: 500, ..settings(&[input], out) };
    let mut is_changed = false;
    run(&reference(folder::REFERENCE), &settings, &mut |seen| {
        if !is_changed && seen.records >= after {
            is_changed = true;
            change(input);
        }
    })
}

#[test]
fn a_file_that_changes_while_it_is_read_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let lines = usage_lines(0..20_000);
    assert!(lines.len() > 2_000_000, "more than is read ahead");
    let new_path = |name: &str| (write(folder.path(), &format!("{name}.jsonl"), &lines), folder.path().join(name));
    let all_charged = |out: &Path, count: usize| {
        let (charged, suspended) = outcomes(out);
        assert_eq!((charged.len(), suspended), (count, vec![]));
        assert!(charged.values().all(|times| *times == 1));
    };

    for (name, left) in [("cut", 1_500_017), ("emptied", 0)] {
        let (input, out) = new_path(name);
        let error = rate_while(&input, &out, 300, |path| {
            OpenOptions::new().write(true).open(path).expect("opened").set_len(left).expect("cut");
        });
        assert!(matches!(error, Err(RunError::Shrunk { now, .. }) if now == left), "{name}: {error:?}");
        let before = read_progress(&out).expect("readable").expect("a folder").totals;
        assert!(before.guided >= 300 && before.guided < 20_000, "{name}: {}", before.guided);
        // Other inputs need not wait for it. What is left of it is rated, or was; the whole of it may have another name.
        let other = write(folder.path(), "other.jsonl", usage_lines(50_000..50_001));
        rate(&loaded, &settings(&[&other], &out));
        let report = rate(&loaded, &settings(&[&input], &out));
        assert_eq!(report.progress.totals.suspended, 0);
        let whole = write(folder.path(), &format!("{name}-copied.jsonl"), &lines);
        let before = report.progress.totals.received;
        let totals = rate(&loaded, &settings(&[&whole], &out)).progress.totals;
        all_charged(&out, 20_001);
        if left == 0 {
            assert_eq!(totals.received, 20_001, "from where it stood: {before} before");
        }
    }

    let (input, out) = new_path("grows");
    rate_while(&input, &out, 300, |path| append(path, &usage_lines(20_000..20_100))).expect("rated");
    rate(&loaded, &settings(&[&input], &out));
    let totals = read_progress(&out).expect("readable").expect("a folder").totals;
    assert_eq!((totals.guided, totals.duplicates), (20_100, 0));
    all_charged(&out, 20_100);

    let (input, out) = new_path("replaced");
    let beside = write(folder.path(), "beside.jsonl", usage_lines(30_000..30_200));
    rate_while(&input, &out, 300, |path| std::fs::rename(&beside, path).expect("renamed")).expect("rated");
    all_charged(&out, 20_000);
    assert_eq!(rate(&loaded, &settings(&[&input], &out)).run.guided, 200);
    all_charged(&out, 20_200);
}

/// Each physical line of these files but the header is charged or suspended, exactly once.
#[test]
fn line_ends_and_marks_swallow_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let r = |id: &str, text: &str| row(id, text);
    let middle = "id,service,attributes.text,imsi,event_time,quantity";
    let m = |id: &str, text: &str| format!("{id},data,{text},001010000000001,2026-03-05T14:00:00Z,1000000");
    for (what, header, end, rows, expected) in [
        ("two open marks", HEADER, "\n", vec![r("a", "\"5"), r("b", "x"), r("c", "\""), r("d", "x")], "b d "),
        ("marks in the middle", middle, "\n", vec![m("a", "\"5"), m("b", "x"), m("c", "\""), m("d", "x")], "b d "),
        ("side by side", middle, "\n", vec![m("a", "\"5"), m("b", "\""), m("c", "x")], "c "),
        ("a mark that closes", HEADER, "\n", vec![r("a", "\"5"), r("b", "x\""), r("c", "")], "b c "),
        ("at the end", HEADER, "\n", vec![r("a", ""), r("b", "\"5")], "a "),
        ("short rows between", HEADER, "\n", vec![r("a", "\"5"), "b,data".to_owned(), r("c", "\"")], ""),
        ("inches", HEADER, "\n", vec![r("a", "5\""), r("b", "6\""), r("c", "\"7\"\"\"")], "a b c "),
        ("doubled", HEADER, "\n", vec![r("a", "\"\"\"5"), r("b", "x"), r("c", "\"\"\""), r("d", "")], "b d "),
        ("classic Mac", HEADER, "\r", vec![r("a", ""), r("b", "x"), r("c", "")], "a b c "),
        ("classic Mac with marks", HEADER, "\r", vec![r("a", "\"5"), r("b", "x"), r("c", "\"")], "b "),
        ("twice returned", HEADER, "\r\r\n", vec![r("a", ""), r("b", "x"), r("c", "")], "a b c "),
        ("Windows", HEADER, "\r\n", vec![r("a", "\"5"), r("b", "x"), r("c", "\"")], "b "),
    ] {
        for bom in ["", "\u{feff}"] {
            let text = format!("{bom}{header}{end}{}{end}", rows.join(end));
            let out = folder.path().join(format!("{what}{}", bom.len()));
            let input = write(folder.path(), "usage.csv", text);
            let report = rate(&loaded, &settings(&[&input], &out));
            assert_eq!(ids(&out), expected, "{what}");
            let (charged, suspended) = outcomes(&out);
            assert_eq!(charged.len() + suspended.len(), rows.len(), "{what}: {suspended:?}");
            assert_eq!(report.run.received, rows.len() as u64, "{what}");
        }
    }
    // A cell with line breaks is still a cell, and mixed line ends are line ends.
    let text = format!("{HEADER}\r{}\n{}\r\n{}\r", r("a", "\"x\n\ny\""), r("b", ""), r("c", "\"x\ry\""));
    let input = write(folder.path(), "cells.csv", text);
    let out = folder.path().join("cells");
    assert_eq!(rate(&loaded, &settings(&[&input], &out)).run.received, 3);
    assert_eq!(ids(&out), "a b c ");
    for (end, count) in [("\r", 3), ("\r\r\n", 3), ("\n \t\n", 3), ("\n\n", 3)] {
        let lines = [usage("a"), "{\"id\":".to_owned(), usage("b")].join(end) + end;
        let input = write(folder.path(), "usage.jsonl", lines);
        let out = folder.path().join(format!("json{}", end.escape_debug()));
        assert_eq!(rate(&loaded, &settings(&[&input], &out)).run.received, count, "{end:?}");
        assert_eq!((ids(&out).as_str(), outcomes(&out).1.len()), ("a b ", 1), "{end:?}");
    }
    let input = write(
        folder.path(),
        "nul.jsonl",
        [usage("a"), "\0\0\0".to_owned(), usage("b\\u0000"), usage("c")].join("\n") + "\n",
    );
    let out = folder.path().join("nul");
    rate(&loaded, &settings(&[&input], &out));
    assert_eq!((ids(&out).as_str(), outcomes(&out).1.len()), ("a c ", 2));
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Csv,
    Avro,
}

/// Contents of a file, and how many rows they have.
fn contents(form: Form, tag: &str, random: &mut Random) -> (Vec<u8>, u64) {
    let count = 10 + random.below(90);
    let id = |number: usize, random: &mut Random| {
        // Now and then one that was there before.
        format!("{tag}{}", if random.below(8) == 0 { random.below(number + 1) } else { number })
    };
    match form {
        Form::Json | Form::Csv => {
            let ends =
                [&["\n"][..], &["\r\n"], &["\r"], &["\n", "\r\n", "\r", "\n\n", "\r\r\n", "\n  \n"]][random.below(4)];
            let mut text = ["", "\u{feff}"][random.below(2)].to_owned();
            if matches!(form, Form::Csv) {
                text += HEADER;
                text += ends[0];
            }
            for number in 0..count {
                let id = id(number, random);
                let line = match (form, random.below(12)) {
                    (Form::Csv, 0) => row(&id, "\"5"),
                    (Form::Csv, 1) => row(&id, "x\""),
                    (Form::Csv, 2) => format!("{id},data"),
                    (Form::Csv, 3) => row(&id, "\"a, b\""),
                    (Form::Csv, _) => row(&id, ""),
                    (_, 0) => format!("{{\"id\":\"{id}\""),
                    (_, 1) => "x".to_owned(),
                    (_, _) => usage(&id),
                };
                text += &line;
                text += ends[random.below(ends.len())];
            }
            (text.into_bytes(), count as u64)
        }
        Form::Avro => {
            let schema = apache_avro::Schema::parse_str(
                r#"{"type":"record","name":"U","fields":[{"name":"id","type":"string"},{"name":"service","type":"string"},
                    {"name":"quantity","type":"long"},{"name":"event_time","type":"long"},{"name":"imsi","type":"string"}]}"#,
            )
            .expect("a schema");
            let mut writer = apache_avro::Writer::new(&schema, Vec::new()).expect("a writer");
            for number in 0..count {
                let mut record = apache_avro::types::Record::new(&schema).expect("a record");
                record.put("id", id(number, random));
                record.put("service", "data");
                record.put("quantity", 1_000_000_i64);
                record.put("event_time", 1_772_719_200_000_i64);
                record.put("imsi", ["001010000000001", "999"][usize::from(random.below(10) == 0)]);
                writer.append_value(record).expect("a value");
                if random.below(7) == 0 {
                    writer.flush().expect("a block");
                }
            }
            (writer.into_inner().expect("bytes"), count as u64)
        }
    }
}

/// A history of one file: it grows, is cut, is replaced and comes back, runs are stopped; in the end it is whole. Compared with rating the whole
/// file at once.
fn history(form: Form, random: &mut Random) {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let name = match form {
        Form::Json => "usage.jsonl",
        Form::Csv => "usage.csv",
        Form::Avro => "usage.avro",
    };
    let (whole, rows) = contents(form, "r", random);
    let input = write(folder.path(), name, &whole);
    let once = folder.path().join("once");
    let expected = rate(&loaded, &settings(&[&input], &once)).progress.totals;
    assert_eq!(expected.received, rows, "each row has an outcome");

    let out = folder.path().join("out");
    let mut length = 0;
    let mut is_stopped = false;
    let (mut others, mut is_plain) = (0, true);
    for _ in 0..1 + random.below(6) {
        match random.below(6) {
            0 if !is_stopped && length > 0 => {
                let shorter = random.below(length);
                std::fs::write(&input, &whole[..shorter]).expect("written");
                is_plain = false;
            }
            1 if !is_stopped => {
                let (other, rows) = contents(form, "x", random);
                others += rows;
                std::fs::write(&input, other).expect("written");
                is_plain = false;
            }
            _ => {
                length += random.below(whole.len() - length + 1);
                std::fs::write(&input, &whole[..length]).expect("written");
            }
        }
        let settings = RunSettings {
            batch_records: 1 + random.below(9),
            commit_records: 1 + random.below(20) as u64,
            ..settings(&[&input], &out)
        };
        let stop_at = if random.below(2) == 0 { 1 + random.below(60) as u64 } else { u64::MAX };
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run(&loaded, &settings, &mut |seen| assert!(seen.records < stop_at, "stopped on purpose"))
        }));
        match ended {
            Ok(report) => {
                report.unwrap_or_else(|error| panic!("{error}"));
                is_stopped = false;
            }
            Err(_) => {
                // What is interrupted has to come back before anything else.
                let progress = read_progress(&out).expect("readable").expect("a folder");
                is_stopped = progress.inputs.iter().any(|known| known.is_interrupted());
                if is_stopped {
                    rate(&loaded, &settings);
                    is_stopped = false;
                }
            }
        }
    }
    std::fs::write(&input, &whole).expect("written");
    let totals = rate(&loaded, &settings(&[&input], &out)).progress.totals;
    let (actual, wanted) = (outcomes(&out), outcomes(&once));
    assert!(actual.0.values().all(|times| *times == 1), "{:?}", actual.0);
    let of_file: BTreeMap<_, _> = actual.0.iter().filter(|(id, _)| id.starts_with('r')).collect();
    assert_eq!(of_file, wanted.0.iter().collect());
    if is_plain {
        assert_eq!(totals, expected);
        assert!(outputs(&out) == outputs(&once), "the outputs are those of one run");
    } else {
        assert!(totals.received <= 7 * (rows + others), "{totals:?}");
    }
}

#[test]
fn any_history_of_a_file_charges_what_rating_it_at_once_does() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, rounds) = (number("RATER_SEED", 20_261_130), number("RATER_ROUNDS", 40));
    for form in [Form::Json, Form::Csv, Form::Avro] {
        for round in 0..rounds {
            let seed = seed + round;
            println!("RATER_SEED={seed} RATER_ROUNDS=1 {form:?}");
            history(form, &mut Random(seed));
        }
    }
}

/// The lines of a text, by any line break.
fn physical_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let (line, after) = rest.split_at(at);
        lines.push(line);
        rest = after.strip_prefix("\r\n").unwrap_or_else(|| after.get(1..).unwrap_or_default());
    }
    lines.push(rest);
    lines
}

/// Marks, delimiters and line breaks at random: each line is in exactly one record, in order, and no record has two lines that could be rows.
#[test]
fn whatever_the_marks_each_line_is_in_one_record() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, rounds) = (number("RATER_SEED", 20_261_130), number("RATER_ROUNDS", 40) * 500);
    println!("RATER_SEED={seed} RATER_ROUNDS={}", rounds / 500);
    let random = &mut Random(seed);
    let mut several = 0;
    for _ in 0..rounds {
        let header = "id,quantity,event_time,service";
        let pieces =
            ["\"", "\"", ",", ",", ",", "\n", "\r\n", "\r", "a", "b c", "\"\"", "x,y,z,w\n", ",\"", "\",", "\"\n"];
        let body: String = (0..random.below(40)).map(|_| pieces[random.below(pieces.len())]).collect();
        let text = format!("{header}\n{body}");
        let format = InputFormat::Csv(CsvMapping::plain());
        let (mut splitter, _) = Splitter::open(text.as_bytes(), format).expect("a header");
        let mut batch = RawBatch::default();
        while splitter.fill(&mut batch, usize::MAX).expect("readable") {}
        assert_eq!(splitter.taken().bytes, text.len() as u64);
        let lines: Vec<&str> = physical_lines(&body);
        let mut next = 0;
        for at in 0..batch.len() {
            let record = std::str::from_utf8(batch.get(at)).expect("text");
            let of_record = physical_lines(record);
            while lines.get(next).is_some_and(|line| line.trim_ascii().is_empty()) {
                next += 1;
            }
            assert_eq!(batch.place(at), next as u64 + 2, "{text:?}");
            assert_eq!(lines.get(next..next + of_record.len()), Some(&of_record[..]), "{text:?}");
            next += of_record.len();
            let rows = of_record.iter().filter(|line| line.matches(',').count() >= 3).count();
            assert!(rows <= 1, "{record:?} holds several rows of {text:?}");
            several += u32::from(of_record.len() > 1);
        }
        assert!(lines.iter().skip(next).all(|line| line.trim_ascii().is_empty()), "{text:?}");
    }
    assert!(several > 0, "no cell held a line break");
}

#[test]
fn folders_of_before_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let rows = |numbers: std::ops::Range<u32>| -> String {
        numbers.map(|number| row(&format!("r{number}"), "") + "\n").collect()
    };
    // A cell with a line break and a delimiter was one row then, and is two now.
    let text = format!("{HEADER}\n{}{}\n{}", rows(0..5), row("cell", "\"a,\nb\""), rows(5..60));
    let out = folder.path().join("out");
    let input = write(folder.path(), "usage.csv", &text);
    stop_after(&loaded, &settings(&[&input], &out), 40);
    let records = read_progress(&out).expect("readable").expect("a folder").inputs[0].records;
    before::as_before(&out, &input, records - 1);
    let changed = write(folder.path(), "usage.csv", text.replace("r59", "x59"));
    let error = try_rate(&loaded, &settings(&[&changed], &out)).err();
    assert!(matches!(error, Some(RunError::Interrupted { bytes: None, .. })), "{error:?}");
    write(folder.path(), "usage.csv", &text);
    rate(&loaded, &settings(&[&input], &out));
    let (charged, _) = outcomes(&out);
    assert_eq!((charged.len(), charged.values().all(|times| *times == 1)), (60, true), "{charged:?}");
    // Done, given again, under another name, and grown.
    before::as_before(&out, &input, 61);
    let copy = write(folder.path(), "copy.csv", &text);
    assert_eq!(rate(&loaded, &settings(&[&input, &copy], &out)).skipped.len(), 2);
    append(&input, &rows(60..63));
    let run = rate(&loaded, &settings(&[&input], &out)).run;
    assert_eq!((run.guided, run.duplicates), (3, 0));
    assert_eq!(rate(&loaded, &settings(&[&input], &out)).skipped.len(), 1);
}

#[test]
fn a_store_is_never_made_in_place_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| match Store::open(&path) {
                Ok(_) | Err(StoreError::InUse) => {}
                Err(error) => panic!("{error}"),
            });
        }
    });
    Store::open(&path).expect("a store");
}
