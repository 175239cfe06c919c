//! Folders that were damaged: a clear error or the very same outputs, never a panic and never another result.
//!
//! The seed is printed; `RATER_SEED` replays one, `RATER_ROUNDS` says how many places of the store are garbled.

mod folder;

use folder::{outputs, rate, reference, settings, stop_after, try_rate, usage_lines};
use runtime::embedded::{Limits, Recycle, Report, RunError, RunSettings, run_within};
use runtime::state::StoreError;
use runtime::wire::OutputFormat;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const LIMITS: Limits = Limits { ids_in_memory: 30, log_bytes: 500 };

/// A folder with two rated inputs, one of them half, and what the outputs are once all is rated.
struct Rated {
    folder: tempfile::TempDir,
    inputs: [PathBuf; 2],
    /// Whether the runs into the damaged folder also try again what waits.
    recycle: Recycle,
    expected: BTreeMap<String, Vec<u8>>,
}

impl Rated {
    /// The same, but with a folder that was left in good order: the first input is rated, the second is not begun.
    fn in_good_order() -> Rated {
        let rated = Rated { recycle: Recycle::Waiting, ..Rated::new() };
        let loaded = reference(folder::REFERENCE);
        for name in ["out", "whole"] {
            std::fs::remove_dir_all(rated.path(name)).expect("removed");
            let first = settings(&[&rated.inputs[0]], &rated.path(name));
            run_within(&loaded, &first, LIMITS, &mut |_| {}).expect("rated");
        }
        rated.run(&rated.path("whole")).expect("rated");
        Rated { expected: outputs(&rated.path("whole")), ..rated }
    }

    fn new() -> Rated {
        let folder = tempfile::tempdir().expect("a folder");
        let inputs = ["first.jsonl", "second.jsonl"].map(|name| folder.path().join(name));
        let unknown = usage_lines(900..920).replace("001010000000001", "999");
        std::fs::write(&inputs[0], usage_lines(0..60) + &unknown).expect("written");
        std::fs::write(&inputs[1], usage_lines(30..120)).expect("written");
        let rated = Rated { folder, inputs, recycle: Recycle::Nothing, expected: BTreeMap::new() };
        rated.run(&rated.path("whole")).expect("rated");
        let expected = outputs(&rated.path("whole"));
        let out = rated.path("out");
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            let mut seen = |seen: runtime::embedded::Seen<'_>| {
                assert!(!seen.input.contains("second") || seen.records < 50, "stopped on purpose");
            };
            run_within(&reference(folder::REFERENCE), &rated.settings(&out), LIMITS, &mut seen).map(|_| ())
        }));
        assert!(stopped.is_err(), "the run was to be stopped");
        Rated { expected, ..rated }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self, out: &Path) -> RunSettings {
        RunSettings { recycle: self.recycle, ..settings(&[&self.inputs[0], &self.inputs[1]], out) }
    }

    fn run(&self, out: &Path) -> Result<Report, RunError> {
        run_within(&reference(folder::REFERENCE), &self.settings(out), LIMITS, &mut |_| {})
    }

    /// A copy of the half-rated folder.
    fn copy(&self, name: &str) -> PathBuf {
        let (from, to) = (self.path("out"), self.path(name));
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("removed");
        }
        for folder in ["", ".rater"] {
            std::fs::create_dir_all(to.join(folder)).expect("made");
            for entry in std::fs::read_dir(from.join(folder)).expect("entries") {
                let path = entry.expect("an entry").path();
                if path.is_file() {
                    std::fs::copy(&path, to.join(folder).join(path.file_name().expect("a name"))).expect("copied");
                }
            }
        }
        to
    }

    /// Damages a copy; what comes of it has to be an error, or the same as without.
    fn damaged(&self, what: &str, damage: impl FnOnce(&Path)) -> Option<RunError> {
        let out = self.copy("damaged");
        damage(&out);
        match catch_unwind(AssertUnwindSafe(|| self.run(&out))) {
            Ok(Ok(_)) => {
                let actual = outputs(&out);
                for (name, bytes) in &self.expected {
                    assert!(actual[name] == *bytes, "{what}: {name} differs, and nothing was said");
                }
                None
            }
            Ok(Err(error)) => {
                let text = error.to_string();
                assert!(!text.is_empty() && !text.contains('\n'), "{what}: {text}");
                Some(error)
            }
            Err(_) => panic!("{what}: a panic"),
        }
    }
}

fn store(out: &Path) -> PathBuf {
    out.join(".rater/state.redb")
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("a file");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn without_damage_it_goes_on() {
    let rated = Rated::new();
    assert!(rated.damaged("nothing", |_| {}).is_none());
    assert!(rated.damaged("once more", |out| rated.run(out).map(|_| ()).expect("rated")).is_none());
}

#[test]
fn a_store_that_was_cut() {
    let rated = Rated::new();
    let length = std::fs::metadata(store(&rated.path("out"))).expect("a store").len() as usize;
    for length in [0, 1, 63, 64, 320, 4096, 5000, length / 2, length - 4096, length - 1] {
        let error =
            rated.damaged(&format!("{length} bytes"), |out| change(&store(out), |bytes| bytes.truncate(length)));
        // The end of the file may hold nothing yet.
        let is_fine = matches!(error, Some(RunError::Store(_) | RunError::OutputExists(_)));
        assert!(is_fine || (error.is_none() && length > 10_000), "{length} bytes: {error:?}");
    }
    let error = rated.damaged("not a store", |out| std::fs::write(store(out), b"hello").expect("written"));
    assert!(matches!(error, Some(RunError::Store(_))), "{error:?}");
    let error = rated.damaged("no state", |out| std::fs::remove_dir_all(out.join(".rater")).expect("removed"));
    assert!(matches!(error, Some(RunError::OutputExists(_))), "{error:?}");
}

#[test]
fn a_store_that_was_garbled() {
    let seed = std::env::var("RATER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let rounds = std::env::var("RATER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25);
    println!("RATER_SEED={seed} RATER_ROUNDS={rounds}");
    let mut random: u64 = seed;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for rated in [Rated::new(), Rated::in_good_order()] {
        let whole = std::fs::read(store(&rated.path("out"))).expect("a store");
        let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        let mut noticed = 0;
        for round in 0..rounds {
            let at = used[next(used.len())];
            let (length, value) = ([1, 1, 8, 200][round % 4], next(256) as u8);
            let what = format!("{length} bytes at {at} set to {value}");
            let error = rated.damaged(&what, |out| {
                change(&store(out), |bytes| bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = value));
            });
            noticed += u32::from(error.is_some());
        }
        println!("{noticed} of {rounds} were noticed; the others touched nothing that is used");
        let error = rated.damaged("every page", |out| {
            change(&store(out), |bytes| {
                bytes.iter_mut().skip(4096).filter(|byte| **byte != 0).for_each(|byte| *byte ^= 1)
            });
        });
        assert!(matches!(error, Some(RunError::Store(_))), "{error:?}");
    }
}

#[test]
fn outputs_that_were_touched() {
    let rated = Rated::new();
    for name in ["charges.jsonl", "balance-deltas.jsonl", "suspense.jsonl"] {
        let error = rated.damaged("missing", |out| std::fs::remove_file(out.join(name)).expect("removed"));
        assert!(matches!(&error, Some(RunError::OutputMissing(path)) if path.ends_with(name)), "{error:?}");
        assert!(!rated.path("damaged").join(name).exists(), "and it is not made anew");
        let error = rated.damaged("shorter", |out| {
            change(&out.join(name), |bytes| bytes.truncate(10));
        });
        assert!(matches!(&error, Some(RunError::OutputTouched(path)) if path.ends_with(name)), "{error:?}");
        let error = rated.damaged("edited", |out| change(&out.join(name), |bytes| bytes[9] ^= 1));
        assert!(matches!(&error, Some(RunError::OutputEdited(path)) if path.ends_with(name)), "{error:?}");
        let error = rated.damaged("longer", |out| change(&out.join(name), |bytes| bytes.extend(b"{\"half a charge")));
        assert!(error.is_none(), "what was not committed is cut off: {error:?}");
    }
    // Nothing was notified, so nothing is missed.
    let error = rated.damaged("empty", |out| std::fs::remove_file(out.join("notifications.jsonl")).expect("removed"));
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn a_witness_that_was_lost() {
    for rated in [Rated::new(), Rated::in_good_order()] {
        let lost = |damage: fn(&Path)| {
            let error = rated.damaged("the witness", |out| damage(&out.join(".last-commit")));
            assert!(error.is_none(), "the checksums of the state are enough: {error:?}");
        };
        lost(|witness| std::fs::remove_file(witness).expect("removed"));
        lost(|witness| std::fs::write(witness, b"").expect("written"));
        lost(|witness| change(witness, |bytes| bytes.truncate(30)));
        lost(|witness| std::fs::write(witness, b"{\"version\":2}").expect("written"));
        let error = rated.damaged("the witness and an output", |out| {
            std::fs::remove_file(out.join(".last-commit")).expect("removed");
            change(&out.join("charges.jsonl"), |bytes| bytes[9] ^= 1);
        });
        assert!(matches!(error, Some(RunError::OutputEdited(_))), "{error:?}");
    }
}

#[test]
fn record_ids_on_the_disk() {
    let rated = Rated::new();
    let files = |out: &Path| -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(out.join(".rater")).expect("entries").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ids-"))).collect()
    };
    let count = files(&rated.path("out")).len();
    assert!(count > 0);
    let mut noticed = 0;
    for at in 0..count {
        for damage in [0, 1, 2] {
            let error = rated.damaged("ids", |out| {
                let path = &files(out)[at];
                match damage {
                    0 => std::fs::remove_file(path).expect("removed"),
                    1 => change(path, |bytes| bytes.truncate(bytes.len() - 16)),
                    _ => change(path, |bytes| bytes.swap(3, 19)),
                }
            });
            // A file of a commit that did not come to be is not missed.
            assert!(matches!(error, None | Some(RunError::Ids(_))), "{error:?}");
            noticed += u32::from(error.is_some());
        }
    }
    assert!(noticed >= 3, "{noticed}");
}

#[test]
fn a_folder_is_used_by_one_at_a_time() {
    let rated = Rated::new();
    let mut held = None;
    let error = rated.damaged("in use", |out| held = Some(runtime::state::Store::open(&store(out)).expect("a store")));
    assert!(matches!(error, Some(RunError::Store(StoreError::InUse))), "{error:?}");
    drop(held);
    assert!(rated.run(&rated.path("damaged")).is_ok(), "afterwards it goes on");
}

#[test]
fn another_form_and_another_version() {
    let rated = Rated::new();
    let loaded = reference(folder::REFERENCE);
    let out = rated.copy("other");
    let before = outputs(&out);
    let error = try_rate(&loaded, &RunSettings { format: OutputFormat::Csv, ..rated.settings(&out) }).err();
    assert!(matches!(error, Some(RunError::OtherFormat { .. })), "{error:?}");
    assert_eq!(outputs(&out), before);
    let error = rated.damaged("a later version", |out| set_format(out, 99));
    assert!(matches!(error, Some(RunError::Store(StoreError::Format(99)))), "{error:?}");
    // One from before goes on, and is of this version then.
    let out = rated.copy("an earlier version");
    set_format(&out, 1);
    assert!(rated.run(&out).is_ok());
    assert_eq!(format_of(&out), 4);
}

const META: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");

fn set_format(out: &Path, format: u8) {
    let database = redb::Database::create(store(out)).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    transaction.open_table(META).expect("a table").insert("format", &[format][..]).expect("written");
    transaction.commit().expect("committed");
}

fn format_of(out: &Path) -> u8 {
    let database = redb::Database::create(store(out)).expect("a database");
    let transaction = redb::ReadableDatabase::begin_read(&database).expect("a transaction");
    let table = transaction.open_table(META).expect("a table");
    redb::ReadableTable::get(&table, "format").expect("read").expect("a format").value()[0]
}

#[test]
fn an_input_that_changed_while_it_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let (input, out) = (folder.path().join("usage.jsonl"), folder.path().join("out"));
    std::fs::write(&input, usage_lines(0..60)).expect("written");
    stop_after(&loaded, &settings(&[&input], &out), 40);
    for contents in [usage_lines(0..10), usage_lines(1..60), String::new()] {
        std::fs::write(&input, contents).expect("written");
        let error = try_rate(&loaded, &settings(&[&input], &out)).err();
        assert!(matches!(error, Some(RunError::Interrupted { .. })), "{error:?}");
    }
    std::fs::remove_file(&input).expect("removed");
    let error = try_rate(&loaded, &settings(&[&input], &out)).err();
    assert!(matches!(error, Some(RunError::File(..))), "{error:?}");
    // It may have grown meanwhile.
    std::fs::write(&input, usage_lines(0..61)).expect("written");
    let totals = rate(&loaded, &settings(&[&input], &out)).progress.totals;
    assert_eq!((totals.guided, totals.duplicates), (61, 0));
}
