//! A folder taken up again: stopped anywhere, with small limits, after broken or planned inputs, with files that change under one name.

mod folder;

use folder::{
    messages, outputs, rate, reference, settings, stop_after, tick, try_rate, usage, usage_at, usage_lines, write,
};
use runtime::embedded::{Limits, Recycle, RunError, RunSettings, read_progress, run_within};
use runtime::wire::{Ending, OutputFormat};
use std::path::Path;

/// Records of one session, ticks that move the window over them, duplicates near and far, and bad ones.
fn traffic() -> String {
    let mut lines = String::new();
    for hour in 0..24 {
        let at = |minute: u32| format!("2026-03-05T{hour:02}:{minute:02}:00Z");
        for minute in [1, 2, 3] {
            // Each record, and one of an earlier hour a second time.
            for hour in [hour, hour / 2] {
                let line = usage_at(&format!("r{hour}-{minute}"), &format!("2026-03-05T{hour:02}:{minute:02}:00Z"));
                lines += &line.replace("\"imsi\"", &format!("\"session_id\":\"s{}\",\"imsi\"", hour / 4));
                lines.push('\n');
            }
        }
        lines += "{\"broken\n";
        lines += &usage(&format!("u{hour}")).replace("001010000000001", "999");
        lines.push('\n');
        if hour % 3 == 2 {
            lines += &tick(&at(30));
        }
    }
    lines
}

const SMALL: Limits = Limits { ids_in_memory: 7, log_bytes: 64 };

#[test]
fn stopped_at_every_commit_with_small_limits_nothing_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = write(folder.path(), "usage.jsonl", traffic());
    let loaded = reference(folder::REFERENCE);
    for (window, format) in
        [(None, OutputFormat::JsonLines), (Some(5), OutputFormat::JsonLines), (Some(5), OutputFormat::Avro)]
    {
        let name = format!("{}-{window:?}", format.extension());
        let whole = folder.path().join(format!("whole-{name}"));
        let of = |out: &Path| RunSettings {
            duplicate_window_h: window,
            command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
            format,
            batch_records: 4,
            commit_records: 4,
            ..settings(&[&input], out)
        };
        let plain = RunSettings { batch_records: 1000, commit_records: 100_000, ..of(&whole) };
        let report = rate(&loaded, &plain);
        assert!(report.run.duplicates > 20 && report.run.guided > 70, "{:?}", report.run);
        assert_eq!(report.run.suspended > 48, window.is_some(), "too late or not: {:?}", report.run);
        let broken = folder.path().join(format!("broken-{name}"));
        let mut stops = 0;
        loop {
            // Each run gets a little further: past one or two commits, and some way into what is not committed.
            let stop_at = stops * 7 + 5;
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut seen =
                    |seen: runtime::embedded::Seen<'_>| assert!(seen.records < stop_at, "stopped on purpose");
                run_within(&loaded, &of(&broken), SMALL, &mut seen)
            }));
            match ended {
                Ok(report) => {
                    report.unwrap_or_else(|error| panic!("{error}"));
                    break;
                }
                Err(_) => stops += 1,
            }
        }
        assert!(stops > 20, "{stops} stops");
        let (expected, actual) = (outputs(&whole), outputs(&broken));
        for (name, bytes) in &expected {
            assert!(actual[name] == *bytes, "{name} differs after {stops} stops");
        }
        let progress = read_progress(&broken).expect("readable").expect("a folder");
        assert!(!progress.sealed_ids.is_empty(), "ids were moved out of memory");
        assert_eq!(progress.totals, report.progress.totals);
        assert_eq!(progress.summary, report.progress.summary);
    }
}

#[test]
fn short_runs_do_not_leave_ever_longer_logs() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let limits = Limits { ids_in_memory: 100, log_bytes: 2000 };
    let mut sizes = Vec::new();
    for run in 0..40 {
        let at = |minute: u32| format!("2026-03-05T{:02}:{minute:02}:00Z", run % 24);
        let day = format!("2026-{:02}-{:02}T", 4 + run / 28, 1 + run % 28);
        let lines: String = (0..30)
            .map(|number| usage_at(&format!("r{run}-{number}"), &at(number)).replace("2026-03-05T", &day) + "\n")
            .collect();
        let input = write(folder.path(), "usage.jsonl", lines + &tick(&at(59).replace("2026-03-05T", &day)));
        let settings = RunSettings { duplicate_window_h: Some(24), ..settings(&[&input], &out) };
        run_within(&loaded, &settings, limits, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let store = runtime::state::Store::open(&out.join(".rater/state.redb")).expect("a store");
        let mut ids = 0;
        store.visit_ids(|part| ids += part.len() / 16).expect("ids");
        let (checkpoint, log) = store.visit_accounts(|_| Ok(())).expect("accounts");
        sizes.push((ids, checkpoint, log));
    }
    for (ids, checkpoint, log) in &sizes {
        assert!(*ids <= 130, "{sizes:?}");
        assert!(*log <= 2000.max(2 * checkpoint) + 1000, "{sizes:?}");
    }
    assert!(sizes.iter().any(|(_, checkpoint, _)| *checkpoint > 0), "{sizes:?}");
}

/// The same path, day after day, with other contents and other columns: what waits is read by the columns it came in.
#[test]
fn what_waits_is_recycled_in_its_own_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let known = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let row = |header: &str, cells: &str| format!("{header}\n{cells}\n");
    let days = [
        row(
            "id,service,quantity,quantity_up,event_time,imsi",
            "r1,data,1000000,5,2026-03-05T14:00:00Z,001010000000003",
        ),
        row(
            "id,service,quantity_up,quantity,event_time,imsi",
            "r2,data,5,2000000,2026-03-05T14:00:00Z,001010000000003",
        ),
    ];
    for day in days {
        let input = write(folder.path(), "usage.csv", day);
        assert_eq!(rate(&known, &settings(&[&input], &out)).run.suspended, 1);
    }
    let waiting = messages(&out, "suspense");
    assert_ne!(waiting[0]["file"], waiting[1]["file"], "two inputs, two names");
    let more = format!("{}  meter-3: {{ customer: acme, imsi: 001010000000003 }}\n", folder::REFERENCE);
    let report = rate(&reference(&more), &RunSettings { recycle: Recycle::Waiting, ..settings(&[], &out) });
    assert_eq!(report.recycled, (2, 2));
    let quantities: Vec<String> =
        messages(&out, "charges").iter().map(|charge| charge["quantity"].to_string()).collect();
    assert_eq!(quantities, ["1000000", "1000000", "2000000", "2000000"]);
}

/// An input that was planned behind one that broke must not hold the clock of the first run for ever.
#[test]
fn time_goes_on_after_a_run_that_did_not_reach_its_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let first = write(folder.path(), "first.jsonl", usage_lines(0..50));
    let never = write(folder.path(), "never.jsonl", usage_lines(50..60));
    stop_after(&loaded, &settings(&[&first, &never], &out), 30);
    rate(&loaded, &settings(&[&first], &out));
    let later = write(folder.path(), "later.jsonl", usage_at("l1", "2026-12-02T00:00:00Z") + "\n");
    let now = rating::Timestamp::parse("2026-12-03T00:00:00Z").expect("a time");
    let report = rate(&loaded, &RunSettings { now, ..settings(&[&later], &out) });
    assert_eq!((report.run.guided, report.run.suspended), (1, 0));
    // While an input is interrupted, the time of its first run holds.
    let other =
        write(folder.path(), "other.jsonl", usage_lines(100..150) + &usage_at("l2", "2026-12-09T00:00:00Z") + "\n");
    stop_after(&loaded, &RunSettings { now, ..settings(&[&other], &out) }, 30);
    let much_later = rating::Timestamp::parse("2027-01-01T00:00:00Z").expect("a time");
    let report = rate(&loaded, &RunSettings { now: much_later, ..settings(&[&other], &out) });
    assert_eq!(report.run.suspended, 1, "future_event, as it would have been without the stop");
}

#[test]
fn a_broken_container_is_rated_up_to_its_break_and_the_folder_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let schema = apache_avro::Schema::parse_str(
        r#"{"type":"record","name":"U","fields":[{"name":"id","type":"string"},{"name":"service","type":"string"},
            {"name":"quantity","type":"long"},{"name":"event_time","type":"long"},{"name":"imsi","type":"string"}]}"#,
    )
    .expect("a schema");
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).expect("a writer");
    for number in 0..33 {
        let mut record = apache_avro::types::Record::new(&schema).expect("a record");
        record.put("id", format!("r{number}"));
        record.put("service", "data");
        record.put("quantity", 1_000_000_i64);
        record.put("event_time", 1_772_719_200_000_i64);
        record.put("imsi", "001010000000001");
        writer.append_value(record).expect("a value");
        if number % 3 == 2 {
            writer.flush().expect("a block");
        }
    }
    let whole = writer.into_inner().expect("bytes");
    let broken = write(folder.path(), "usage.avro", &whole[..whole.len() - 5]);
    let complete = RunSettings { ending: Ending::IsComplete, ..settings(&[&broken], &out) };
    for _ in 0..2 {
        let error = try_rate(&loaded, &complete).err();
        assert!(matches!(error, Some(RunError::Input(..))), "{error:?}");
        assert_eq!(messages(&out, "charges").len(), 60, "everything in front of the break, on two levels");
    }
    let other = write(folder.path(), "other.jsonl", usage("x1") + "\n");
    assert_eq!(rate(&loaded, &settings(&[&other], &out)).run.guided, 1, "other inputs need not wait");
    let mended = write(folder.path(), "usage.avro", &whole);
    let report = rate(&loaded, &settings(&[&mended], &out));
    assert_eq!((report.run.guided, report.run.duplicates), (3, 0), "what was behind the break");
}

/// Ids that a narrow window has let go are not known any more, also when the window is made wider.
#[test]
fn a_wider_window_does_not_charge_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let first = write(folder.path(), "first.jsonl", usage("r1") + "\n" + &tick("2026-03-07T00:00:00Z"));
    rate(&loaded, &RunSettings { duplicate_window_h: Some(2), ..settings(&[&first], &out) });
    for (window, name) in [(Some(1000), "wider"), (None, "for ever")] {
        let again = write(folder.path(), &format!("{name}.jsonl"), usage("r1") + "\n" + &" ".repeat(name.len()));
        let report = rate(&loaded, &RunSettings { duplicate_window_h: window, ..settings(&[&again], &out) });
        assert_eq!((report.run.guided, report.run.suspended), (0, 1), "{name}: too late to tell");
    }
    let new = write(folder.path(), "new.jsonl", usage_at("r2", "2026-03-07T00:00:00Z") + "\n");
    assert_eq!(rate(&loaded, &RunSettings { duplicate_window_h: Some(1000), ..settings(&[&new], &out) }).run.guided, 1);
}

/// What came too late may have been charged before: recycling leaves it alone unless told otherwise, and then charges one of its copies.
#[test]
fn what_came_too_late_is_not_charged_by_accident() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(folder::REFERENCE);
    let out = folder.path().join("out");
    let lines = [tick("2026-03-07T00:00:00Z"), usage("r1"), "\n".to_owned(), usage("r1"), "\n".to_owned()].concat();
    let input = write(folder.path(), "usage.jsonl", lines);
    let of = |inputs: &[&Path]| RunSettings { duplicate_window_h: Some(2), ..settings(inputs, &out) };
    assert_eq!(rate(&loaded, &of(&[&input])).run.suspended, 2);
    let report = rate(&loaded, &RunSettings { recycle: Recycle::Waiting, ..of(&[]) });
    assert_eq!((report.recycled, report.progress.open_suspense), ((0, 0), 2));
    let report = rate(&loaded, &RunSettings { recycle: Recycle::WaitingAndLate, ..of(&[]) });
    assert_eq!((report.recycled, report.run.guided, report.run.duplicates), ((2, 2), 1, 1));
    let again = write(folder.path(), "again.jsonl", usage("r1") + "\n");
    let report = rate(&loaded, &of(&[&again]));
    assert_eq!((report.run.duplicates, report.progress.open_suspense), (1, 0), "known for a window from its charge on");
}

/// Recycling that was stopped half way goes on with what still waits, and charges each leg once.
#[test]
fn recycling_stopped_half_way_charges_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let unknown = usage_lines(0..3000).replace("001010000000001", "001010000000003");
    let input = write(folder.path(), "usage.jsonl", unknown);
    rate(&reference(folder::REFERENCE), &settings(&[&input], &out));
    let more = reference(&format!("{}  meter-3: {{ customer: acme, imsi: 001010000000003 }}\n", folder::REFERENCE));
    // The recycling itself reports nothing, so the stop comes with the first batch of an input behind it: what was recycled
    // beyond the last commit is lost and done again.
    let next = write(folder.path(), "next.jsonl", usage_lines(5000..5050));
    let recycle = RunSettings { recycle: Recycle::Waiting, commit_records: 1500, ..settings(&[&next], &out) };
    stop_after(&more, &recycle, 1);
    let charged = messages(&out, "charges").len();
    let report = rate(&more, &recycle);
    assert!(report.recycled.0 < 3000 && report.recycled.0 > 0, "{:?}, {charged} charges before", report.recycled);
    assert_eq!(report.progress.open_suspense, 0);
    let mut ids: Vec<String> = messages(&out, "charges").iter().map(|charge| charge["charge_id"].to_string()).collect();
    assert_eq!(ids.len(), 2 * 3050);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * 3050, "a charge id stands twice");
}

#[test]
fn a_tick_from_the_future_waits_and_the_clock_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines =
        tick("2199-01-01T00:00:00Z") + &usage("r1") + "\n" + &tick("2026-03-05T15:00:00Z") + &usage("r2") + "\n";
    let input = write(folder.path(), "usage.jsonl", lines);
    let out = folder.path().join("out");
    let settings = RunSettings { duplicate_window_h: Some(2), ..settings(&[&input], &out) };
    let report = rate(&reference(folder::REFERENCE), &settings);
    assert_eq!((report.run.guided, report.run.ticks, report.run.suspended), (2, 1, 1));
    assert_eq!(report.progress.clock, rating::Timestamp::parse("2026-03-05T15:00:00Z"));
}

/// A record that is suspended and every later copy of it are one record, whichever is recycled first (ACCEPTANCE-2, "Clarified", rule 26).
#[test]
fn a_suspended_record_and_its_copies_are_charged_once() {
    let tick_at = |day: u32| tick(&format!("2026-03-{day:02}T15:00:00Z"));
    let unknown = || usage("rx").replace("001010000000001", "001010000000003");
    let more = reference(&format!("{}  meter-3: {{ customer: acme, imsi: 001010000000003 }}\n", folder::REFERENCE));
    // The days of ticks before, between and behind the copies, and whether what waits is tried in vain before the last.
    for (days, in_vain) in [
        (&[5, 10, 20][..], true),
        (&[5, 10, 20], false),
        (&[5, 6, 20], true),
        (&[5, 10, 11, 12, 30], true),
        (&[4, 5, 5, 31], false),
    ] {
        for late in [Recycle::WaitingAndLate, Recycle::Waiting] {
            let folder = tempfile::tempdir().expect("a folder");
            let out = folder.path().join("out");
            let of = |inputs: &[&Path], recycle| RunSettings {
                duplicate_window_h: Some(72),
                recycle,
                ..settings(inputs, &out)
            };
            let before = reference(folder::REFERENCE);
            for (at, day) in days.iter().enumerate() {
                let is_last = at + 1 == days.len();
                let copy = if is_last { String::new() } else { unknown() + "\n" };
                let input = write(folder.path(), &format!("{at}.jsonl"), copy + &tick_at(*day) + &"\n".repeat(at + 1));
                rate(&before, &of(&[&input], Recycle::Nothing));
                if in_vain {
                    rate(&before, &of(&[], Recycle::Waiting));
                }
            }
            // Once without and once with what came too late, in either order.
            rate(&more, &of(&[], late));
            rate(&more, &of(&[], Recycle::WaitingAndLate));
            let report = rate(&more, &of(&[], Recycle::WaitingAndLate));
            assert_eq!(messages(&out, "charges").len(), 2, "{days:?} {in_vain} {late:?}: a charge on each level");
            assert_eq!(report.progress.open_suspense, 0);
            let totals = report.progress.totals;
            let again = totals.received - totals.ticks - totals.guided - totals.suspended;
            assert_eq!(again, totals.duplicates, "{days:?} {in_vain} {late:?}");
        }
    }
}
