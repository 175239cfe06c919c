//! What waits, its copies and the window, in folders and sessions: any history charges each record once, in any cut of it.
//!
//! `RATER_RECYCLED_SEEDS=1000` tries more histories, `RATER_RECYCLED_SEED=7` those of one seed, `RATER_RECYCLED_SHOW=r1` shows
//! what happens to a record.

mod folder;

use folder::{messages, outputs, rate, reference, settings, stop_after, tick, usage, usage_at, usage_lines, write};
use pipeline::Intent;
use runtime::embedded::{Recycle, RunSettings};
use runtime::session::{Session, Settings};
use runtime::state::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const METER_3: &str = "  meter-3: { customer: acme, imsi: 001010000000003 }\n";

fn unknown(id: &str) -> String {
    usage(id).replace("001010000000001", "001010000000003") + "\n"
}

fn with_meter_3() -> directory::Loaded {
    reference(&format!("{}{METER_3}", folder::REFERENCE))
}

/// The reference data in three steps: an endpoint turns up, then rates.
fn steps() -> [directory::Loaded; 4] {
    let with_endpoint = format!("{}{METER_3}", folder::REFERENCE);
    let dear = "- { service: gold, price: 900000000000000000/unit }";
    let with_rate =
        with_endpoint.replace(dear, &format!("{dear}\n          - {{ service: sms, price: 0.01/message }}"));
    let with_all = with_rate.replace(
        "{ service: data, price: 0.10/MB }",
        "{ service: data, price: 0.10/MB }, { service: sms, price: 0.005/message }",
    );
    assert!(with_rate != with_endpoint && with_all != with_rate);
    [folder::REFERENCE, &with_endpoint, &with_rate, &with_all].map(reference)
}

#[test]
fn what_waits_in_a_session_is_recycled_as_of_its_own_input() {
    let mut session = Session::new(&reference(folder::REFERENCE), &Settings::default()).expect("started");
    for input in ["one", "two", "two"] {
        let output = session.feed(input, unknown(input).as_bytes()).expect("rated");
        assert_eq!(output.charges.messages().count(), 0);
    }
    session.replace_reference(&with_meter_3()).expect("replaced");
    let output = session.recycle().expect("recycled");
    assert_eq!((output.charges.messages().count(), output.totals.duplicates), (4, 0));
    assert_eq!((output.resolved, session.open_suspense().count()), (vec![0, 1], 0));
}

#[test]
fn late_copies_on_one_line_of_files_of_one_name_are_charged_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let loaded = reference(folder::REFERENCE);
    let of = |inputs: &[&Path], recycle| RunSettings { duplicate_window_h: Some(2), recycle, ..settings(inputs, &out) };
    let clock = write(folder.path(), "clock.jsonl", tick("2026-03-07T00:00:00Z"));
    rate(&loaded, &of(&[&clock], Recycle::Nothing));
    for number in 0..3 {
        let lines = usage("r1") + "\n" + &usage(&format!("other-{number}")) + "\n";
        let input = write(folder.path(), "usage.jsonl", lines);
        assert_eq!(rate(&loaded, &of(&[&input], Recycle::Nothing)).run.suspended, 2);
    }
    let report = rate(&loaded, &of(&[], Recycle::WaitingAndLate));
    assert_eq!((report.run.guided, report.run.duplicates, report.progress.open_suspense), (4, 2, 0));
}

#[test]
fn a_copy_that_comes_when_its_record_has_left_and_waits_longer_than_the_window_is_charged_once() {
    for wait in [7, 30] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let of =
            |inputs: &[&Path], recycle| RunSettings { duplicate_window_h: Some(48), recycle, ..settings(inputs, &out) };
        let first = write(folder.path(), "1.jsonl", unknown("r1") + &tick("2026-04-01T00:00:00Z"));
        rate(&reference(folder::REFERENCE), &of(&[&first], Recycle::Nothing));
        rate(&with_meter_3(), &of(&[], Recycle::Waiting));
        let copy = write(folder.path(), "2.jsonl", unknown("r1") + "\n" + &tick("2026-04-02T00:00:00Z"));
        assert_eq!(rate(&with_meter_3(), &of(&[&copy], Recycle::Nothing)).run.duplicates, 1);
        let later = write(folder.path(), "3.jsonl", tick(&format!("2026-05-{wait:02}T00:00:00Z")));
        rate(&with_meter_3(), &of(&[&later], Recycle::Nothing));
        rate(&with_meter_3(), &of(&[], Recycle::WaitingAndLate));
        assert_eq!(messages(&out, "charges").len(), 2);
    }
}

/// Wholes that turn into several legs, legs that are charged one step later, what is charged at once and what never is, over several batches of
/// recycling: stopped behind each of its commits and repeated, the folder ends as an undisturbed one.
#[test]
fn recycling_that_is_stopped_and_repeated_ends_as_an_undisturbed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = steps();
    let line = |number: u32| {
        let line = usage(&format!("r{number}")).replace("001010000000001", "001010000000003");
        match number % 3 {
            0 => line.replace("\"data\",\"quantity\":1000000", "\"sms\",\"quantity\":1") + "\n",
            1 => line + "\n",
            _ => line.replace("001010000000003", "001010000000009") + "\n",
        }
    };
    let first = write(folder.path(), "first.jsonl", (0..3500).map(line).collect::<String>());
    let next: Vec<PathBuf> = (0..3)
        .map(|run| write(folder.path(), &format!("next-{run}.jsonl"), usage_lines(5000 + run * 50..5050 + run * 50)))
        .collect();
    let run = |name: &str, stops: &[u64]| {
        let out = folder.path().join(name);
        let of = |inputs: &[&Path], recycle, commit_records| RunSettings {
            recycle,
            commit_records,
            batch_records: 1000,
            ..settings(inputs, &out)
        };
        rate(&steps[0], &of(&[&first], Recycle::Nothing, 100_000));
        let mut again = 0;
        for (next, step) in next.iter().zip(1..) {
            for commit_records in stops {
                stop_after(&steps[step], &of(&[next], Recycle::Waiting, *commit_records), 1);
            }
            again += rate(&steps[step], &of(&[next], Recycle::Waiting, 2500)).recycled.0;
        }
        (outputs(&out), again)
    };
    let (undisturbed, all) = run("undisturbed", &[]);
    assert!(all > 3500 * 2, "{all} tried again");
    for (name, stops) in [("once", &[1500][..]), ("at each", &[3000, 1, 1]), ("lost", &[100_000, 1500, 2500])] {
        let (stopped, rest) = run(name, stops);
        assert!(rest < all, "{name}: {rest} of {all} were left");
        for (file, bytes) in &undisturbed {
            assert!(stopped[file] == *bytes, "{name}: {file} differs");
        }
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What is done one after the other: what waits is recycled, then lines are rated, each with the step of the reference data.
struct History {
    runs: Vec<(String, Recycle, usize)>,
    /// Ids that were sent as usage.
    ids: BTreeSet<String>,
}

/// What became of an id, as far as a history has to know.
#[derive(Clone, Copy)]
enum Sent {
    Never,
    /// Nobody knows of a copy in time.
    TooLate,
    Waits,
    /// Everything was charged, and the id is known for a window from this hour on.
    Charged(i64),
}

const WINDOW_H: i64 = 6;
const IDS: u64 = 12;

/// The step of the reference data that charges all of an id at once.
fn step_of(number: usize) -> usize {
    [1, 3, 3, 0][number % 4]
}

fn line_of(number: usize) -> String {
    let line = usage_at(&format!("r{number}"), &format!("2026-03-01T{:02}:10:00Z", number * 2));
    let sms = |line: String| line.replace("\"data\",\"quantity\":1000000", "\"sms\",\"quantity\":1");
    let unknown = |line: String| line.replace("001010000000001", "001010000000003");
    match number % 4 {
        0 => unknown(line),
        1 => sms(line),
        2 => unknown(sms(line)),
        _ => line,
    }
}

/// A `truthful` history calls nothing uncharged that was charged and is forgotten; another one does, and has copies of another time.
fn history(seed: u64, truthful: bool) -> History {
    let mut random = Random(seed);
    let (mut runs, mut sent, mut clock) = (Vec::new(), [Sent::Never; IDS as usize], None);
    let count = 4 + random.below(5);
    for run in 0..count {
        let mut lines = String::new();
        let recycle = [Recycle::Nothing, Recycle::Waiting, Recycle::WaitingAndLate][random.below(3) as usize];
        let step = ((run * 4 / count) as usize).saturating_sub(random.below(2) as usize);
        for (number, sent) in sent.iter_mut().enumerate() {
            let is_tried = match sent {
                Sent::Waits => recycle != Recycle::Nothing,
                Sent::TooLate => recycle == Recycle::WaitingAndLate,
                Sent::Never | Sent::Charged(_) => false,
            };
            if is_tried {
                let hour = 2 * number as i64;
                *sent =
                    if step_of(number) <= step { Sent::Charged(hour.max(clock.unwrap_or(hour))) } else { Sent::Waits };
            }
        }
        for _ in 0..random.below(25) {
            if random.below(12) == 0 {
                let hour = clock.unwrap_or(0) + [0, 1, 2, 5, 30][random.below(5) as usize];
                lines += &tick(&format!("2026-03-{:02}T{:02}:30:00Z", 1 + hour / 24, hour % 24));
                clock = Some(hour);
                continue;
            }
            let number = random.below(IDS) as usize;
            let hour = 2 * number as i64;
            let horizon = clock.map_or(i64::MIN, |clock| clock - WINDOW_H);
            let mut line = line_of(number);
            if random.below(40) == 0 {
                line = line.replace("imsi", "\n");
            } else if truthful {
                let sent = &mut sent[number];
                match sent {
                    Sent::Charged(known) if *known < horizon => continue,
                    Sent::Never if hour < horizon => *sent = Sent::TooLate,
                    Sent::Never if step_of(number) <= step => *sent = Sent::Charged(hour),
                    Sent::Never => *sent = Sent::Waits,
                    Sent::Charged(_) | Sent::TooLate | Sent::Waits => {}
                }
            }
            match random.below(8) {
                0 => line = line.replace("\"quantity\":1", "\"quantity\":2"),
                1 if !truthful => line = line.replace("2026-03-01T", "2026-03-02T"),
                _ => {}
            }
            lines += &(line + "\n");
        }
        runs.push((lines + &"\n".repeat(run as usize + 1), recycle, step));
    }
    let is_sent = |(number, sent): (usize, &Sent)| (!matches!(sent, Sent::Never)).then(|| format!("r{number}"));
    History { runs, ids: sent.iter().enumerate().filter_map(is_sent).collect() }
}

struct Cut {
    batch_records: usize,
    commit_records: u64,
    threads: usize,
}

const CUTS: [Cut; 5] = [
    Cut { batch_records: 1024, commit_records: 100_000, threads: 1 },
    Cut { batch_records: 1, commit_records: 1, threads: 1 },
    Cut { batch_records: 2, commit_records: 5, threads: 2 },
    Cut { batch_records: 7, commit_records: 1, threads: 3 },
    Cut { batch_records: 1024, commit_records: 3, threads: 2 },
];

/// Outputs of a history in a folder, where it is checked that exactly what waits holds its id.
fn outcome(history: &History, cut: &Cut, steps: &[directory::Loaded]) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let of = |inputs: &[&Path], recycle| RunSettings {
        duplicate_window_h: Some(WINDOW_H as u32),
        recycle,
        batch_records: cut.batch_records,
        commit_records: cut.commit_records,
        threads: cut.threads,
        ..settings(inputs, &out)
    };
    for (lines, recycle, step) in &history.runs {
        let input = write(folder.path(), "usage.jsonl", lines);
        rate(&steps[*step], &of(&[&input], *recycle));
        check_held(&out);
    }
    for _ in 0..2 {
        rate(&steps[3], &of(&[], Recycle::WaitingAndLate));
        check_held(&out);
    }
    let path = folder.path().to_string_lossy().into_owned();
    let without_path = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").replace(&path, "");
    outputs(&out).into_iter().map(|(name, bytes)| (name, without_path(bytes))).collect()
}

fn check_held(out: &Path) {
    let store = Store::open(&out.join(".rater/state.redb")).expect("a store");
    let mut held = 0;
    store.visit_held(|_, entry| held += u64::from(entry.count)).expect("held ids");
    let waiting = store.open_suspense(0, 100_000).expect("what waits");
    let to_be_held = waiting.iter().filter(|(_, open)| Intent::of(open.reason, open.level).was_held()).count();
    assert_eq!(held, to_be_held as u64, "ids that are held for what waits");
}

fn seeds() -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    match read("RATER_RECYCLED_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..read("RATER_RECYCLED_SEEDS").unwrap_or(6),
    }
}

#[test]
fn any_history_charges_each_record_once() {
    let steps = steps();
    for seed in seeds().start * 4..seeds().end * 4 {
        println!("seed {seed}");
        let history = history(seed, true);
        if let Ok(id) = std::env::var("RATER_RECYCLED_SHOW") {
            for (lines, recycle, step) in &history.runs {
                println!("{recycle:?} at step {step}");
                let shown = lines.lines().filter(|line| line.contains("tick") || line.contains(&format!("\"{id}\"")));
                shown.for_each(|line| println!("  {line}"));
            }
        }
        let outputs = outcome(&history, &CUTS[seed as usize % CUTS.len()], &steps);
        let mut found: BTreeMap<(String, u64), u32> = BTreeMap::new();
        for charge in outputs["charges.jsonl"].lines() {
            let charge: serde_json::Value = serde_json::from_str(charge).expect("JSON");
            let id = charge["usage_id"].as_str().expect("an id").to_owned();
            *found.entry((id, charge["level"].as_u64().expect("a level"))).or_default() += 1;
        }
        assert!(found.values().all(|count| *count == 1), "seed {seed}: {found:?}");
        let complete: BTreeSet<_> = found.keys().map(|(id, _)| id.clone()).collect();
        assert_eq!((&complete, found.len()), (&history.ids, 2 * history.ids.len()), "seed {seed}: lost");
    }
}

#[test]
fn any_history_has_the_same_outcome_however_it_is_cut() {
    let steps = steps();
    for seed in seeds() {
        println!("seed {seed}");
        let history = history(seed, seed % 4 == 0);
        let expected = outcome(&history, &CUTS[0], &steps);
        for cut in &CUTS[1..] {
            let other = outcome(&history, cut, &steps);
            for (name, text) in &expected {
                let Cut { batch_records, commit_records, threads } = cut;
                let differ = text.lines().zip(other[name].lines()).find(|(one, other)| one != other);
                let cut = format!("{batch_records} {commit_records} {threads}");
                assert!(other[name] == *text, "seed {seed}: {name} at {cut}: {differ:#?}");
            }
        }
    }
}
