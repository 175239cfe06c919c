//! Outputs and state that somebody changed between two runs: named, and nothing goes on.

use crate::support::{Ran, example, rater, write};
use std::path::Path;

const OUTPUTS: [&str; 3] = ["charges", "balance-deltas", "suspense"];

/// Rates the example into a folder.
fn rated(folder: &Path, out: &str, form: &str) {
    rater(folder, &["rate", "usage.csv", "--format", form, "-o", out]).expect(0);
}

/// More usage of the same endpoints.
fn write_more(folder: &Path) {
    let usage = std::fs::read_to_string(folder.join("usage.csv")).expect("usage");
    write(folder, "more.csv", &usage.replace("\nr", "\nmore-"));
}

fn go_on(folder: &Path, out: &str, form: &str) -> Ran {
    rater(folder, &["rate", "more.csv", "--format", form, "-o", out])
}

/// Everything of a folder, by path.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.ends_with("lock") {
            found.push((path.clone(), std::fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// Insists that a run is refused by a code that names a file, and that nothing is changed by it.
#[track_caller]
fn assert_refused(folder: &Path, form: &str, code: &str, name: &str) {
    let before = contents(&folder.join("out"));
    let said = go_on(folder, "out", form).expect(2).stderr;
    assert!(said.starts_with(&format!("error[{code}]: ")) && said.contains(name), "{said}");
    let json = rater(folder, &["rate", "more.csv", "--format", form, "--json"]).expect(2).json();
    assert_eq!((&json["error"]["kind"], &json["error"]["code"]), (&"folder".into(), &code.into()), "{json:#}");
    let outputs = |all: Vec<(std::path::PathBuf, Vec<u8>)>| -> Vec<_> {
        all.into_iter().filter(|(path, _)| !path.ends_with("state.redb")).collect()
    };
    assert!(outputs(contents(&folder.join("out"))) == outputs(before), "nothing is changed");
}

#[test]
fn an_output_that_was_edited_is_named() {
    for form in ["jsonl", "csv", "avro"] {
        let folder = example();
        let path = folder.path();
        write_more(path);
        rated(path, "out", form);
        // Another run's, with the same length and other bytes.
        let usage = std::fs::read_to_string(path.join("usage.csv")).expect("usage");
        write(path, "other.csv", &usage.replace("\nr", "\nq"));
        rater(path, &["rate", "other.csv", "--format", form, "-o", "other"]).expect(0);
        for output in OUTPUTS {
            let file = format!("{output}.{form}");
            let (whole, out) =
                (std::fs::read(path.join("out").join(&file)).expect("an output"), path.join("out").join(&file));
            let mut edits = vec![
                ("output_cut", whole[..whole.len() - 1].to_vec()),
                ("output_edited", [&whole[..], b"{}\n"].concat()),
                ("output_edited", [&whole[..9], b"\n", &whole[9..]].concat()),
                ("output_edited", std::fs::read(path.join("other").join(&file)).expect("an output")),
            ];
            for at in [0, whole.len() / 2, whole.len() - 1] {
                let mut edited = whole.clone();
                edited[at] ^= 1;
                edits.push(("output_edited", edited));
            }
            for (code, edited) in edits {
                if edited == whole {
                    continue;
                }
                // Shorter is shorter, whatever it holds.
                let code = if edited.len() < whole.len() { "output_cut" } else { code };
                std::fs::write(&out, edited).expect("written");
                assert_refused(path, form, code, &file);
            }
            std::fs::remove_file(&out).expect("removed");
            assert_refused(path, form, "output_missing", &file);
            // What is put back is known by its bytes.
            std::fs::write(&out, whole).expect("written");
        }
        go_on(path, "out", form).expect(0);
        go_on(path, "out", form).expect(0);
    }
}

#[test]
fn folders_are_moved_and_copied_as_a_whole_only() {
    let folder = example();
    let path = folder.path();
    write_more(path);
    rated(path, "out", "jsonl");
    copy(&path.join("out"), &path.join("moved"));
    std::fs::rename(path.join("moved"), path.join("again")).expect("moved");
    go_on(path, "again", "jsonl").expect(0);

    // Emptied, it is a new one, whatever was left behind.
    let hidden = path.join("emptied/.last-commit");
    copy(&path.join("again"), &path.join("emptied"));
    std::fs::remove_dir_all(path.join("emptied/.rater")).expect("removed");
    for output in ["notifications", "command-replies", "life-events"].iter().chain(&OUTPUTS) {
        std::fs::remove_file(path.join(format!("emptied/{output}.jsonl"))).expect("removed");
    }
    assert!(hidden.exists());
    go_on(path, "emptied", "jsonl").expect(0);

    // Outputs of one folder beside the state of another: each is whole, and they do not belong together.
    for output in OUTPUTS {
        let (ours, theirs) = (format!("out/{output}.jsonl"), format!("again/{output}.jsonl"));
        let own = std::fs::read(path.join(&ours)).expect("an output");
        let other = std::fs::read(path.join(&theirs)).expect("an output");
        std::fs::write(path.join(&ours), &other).expect("written");
        assert_refused(path, "jsonl", "output_edited", output);
        std::fs::write(path.join(&ours), own).expect("written");
    }
    go_on(path, "out", "jsonl").expect(0);
}

#[test]
fn a_state_of_another_time_or_folder_is_named() {
    let folder = example();
    let path = folder.path();
    write_more(path);
    rated(path, "out", "jsonl");
    copy(&path.join("out"), &path.join("older"));
    go_on(path, "out", "jsonl").expect(0);
    copy(&path.join("out"), &path.join("latest"));
    let put = |from: &str, name: &str| {
        let to = path.join("out").join(name);
        if to.is_dir() {
            std::fs::remove_dir_all(&to).expect("removed");
        }
        copy(&path.join(from).join(name), &to);
    };
    write(path, "more.csv", "id,service,quantity,event_time,imsi\nz,data,1,2026-03-05T14:00:00Z,001010000000001\n");
    for name in [".rater", ".rater/state.redb"] {
        put("older", name);
        assert_refused(path, "jsonl", "state_older", "state.redb");
        put("latest", name);
    }
    // As many commits, and other ones.
    let usage = std::fs::read_to_string(path.join("usage.csv")).expect("usage");
    for (file, id) in [("1.csv", "\nx"), ("2.csv", "\ny")] {
        write(path, file, &usage.replace("\nr", id));
        rater(path, &["rate", file, "-o", "foreign"]).expect(0);
    }
    put("foreign", ".rater/state.redb");
    assert_refused(path, "jsonl", "state_foreign", "state.redb");
    // One more of them: the state is ahead of the witness, but the outputs are not its.
    rater(path, &["rate", "more.csv", "-o", "foreign"]).expect(0);
    put("foreign", ".rater/state.redb");
    let said = go_on(path, "out", "jsonl").expect(2).stderr;
    assert!(said.starts_with("error[output_"), "{said}");
    put("latest", ".rater/state.redb");
    go_on(path, "out", "jsonl").expect(0);
}
