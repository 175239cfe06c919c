//! Metrics are what docs/metrics.md says, all there from the start, and bounded whatever is counted.
//!
//! `RATER_UPDATE=1 cargo test -p rater-runtime --test metrics_page` writes the page.

use rating::{Currency, Sum, Timestamp};
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceReport, ServiceSettings, StageName, WorkerReport};
use runtime::telemetry::catalog::{FAMILIES, Family, MAX_LAGS, MAX_SERIES, Values};
use runtime::telemetry::{CacheNumbers, ReferenceNumbers, Telemetry};
use runtime::worker::Report;
use runtime::worker::counts::{BatchCounts, BatchTimes, LevelLabel, SlowestSender, StageStatus};
use runtime::worker::log::Partition;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use testkit::deployment::{self, Shape};

const BEGIN: &str = "<!-- written from crates/runtime/src/telemetry/catalog.rs; change it there -->\n";
const END: &str = "<!-- end -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md")
}

fn values_of(values: Values) -> String {
    match values {
        Values::Set(values) => values().iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        Values::Bounded(how) => how.to_owned(),
    }
}

/// A section per metric, in the order of the catalog.
fn sections(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        text.push_str(&format!("\n### `{}`\n\n{}, {}\n\n", family.name, family.kind.name(), unit_of(family.name)));
        text.push_str(&format!("{}\n\n", family.help));
        for label in family.labels {
            text.push_str(&format!("- label `{}`: {}\n", label.name, values_of(label.values)));
        }
        text.push_str(&format!("- moves {}\n- {}\n", family.moves, family.todo));
    }
    text.push('\n');
    text
}

/// The unit, which is the last part of the name.
fn unit_of(name: &str) -> &'static str {
    match name.trim_end_matches("_total") {
        name if name.ends_with("_timestamp_seconds") => "in seconds since 1970",
        name if name.ends_with("_seconds") => "in seconds",
        name if name.ends_with("_bytes") => "in octets",
        name if name.ends_with("_amount") => "in units of the currency",
        _ => "a number",
    }
}

fn rewritten(page: &str, sections: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page has the mark where the metrics begin");
    let (_, after) = rest.split_once(END).expect("the page has the mark where the metrics end");
    format!("{before}{BEGIN}{sections}{END}{after}")
}

#[test]
fn the_page_says_what_the_catalog_says() {
    let written = fs::read_to_string(page()).expect("docs/metrics.md");
    let expected = rewritten(&written, &sections(FAMILIES));
    if std::env::var_os("RATER_UPDATE").is_some() {
        assert!(std::env::var_os("CI").is_none(), "pages are not updated in CI");
        fs::write(page(), expected).expect("docs/metrics.md can be written");
        return;
    }
    assert_eq!(written, expected, "docs/metrics.md is out of date; RATER_UPDATE=1 writes it");
    let (_, fewer) = FAMILIES.split_last().expect("metrics");
    assert_ne!(written, rewritten(&written, &sections(fewer)), "a metric that is missing is not noticed");
}

fn settings(workers: u16) -> ServiceSettings {
    let partitions = PartitionCounts { inputs: 2, intaken: 2, guided: 2, outputs: 2 };
    deployment::settings("127.0.0.1:1", "", Shape { partitions, skip_intake: false, workers, batch: 10 })
}

fn telemetry(currencies: &[Currency]) -> Telemetry {
    let cache = Some(CacheNumbers { hits: 7, bytes: 8, evictions: 9, ..CacheNumbers::default() });
    let confirmed = Timestamp::from_millis(1_500);
    let reference = ReferenceNumbers { confirmed, is_good: true, is_fresh: true, cache };
    Telemetry::new(&settings(2), currencies, Box::new(move || reference)).expect("telemetry")
}

fn currency(number: u8) -> Currency {
    Currency::parse(&format!("A{}{}", char::from(b'A' + number / 26), char::from(b'A' + number % 26))).expect("letters")
}

fn tell(telemetry: &Telemetry, stage: StageName, report: Report<'_>) {
    telemetry.tell(&ServiceReport::Worker(WorkerReport { stage, number: 0, report }));
}

/// Lines of our own metrics that are series, by the name of their family.
fn series(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("rater_")) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family =
            ["_bucket", "_sum", "_count"].iter().fold(name, |name, part| name.strip_suffix(part).unwrap_or(name));
        series.entry(family.to_owned()).or_default().push(line.to_owned());
    }
    series
}

#[test]
fn every_metric_of_the_catalog_is_there_from_the_start_and_no_other() {
    let page = telemetry(&[currency(0)]).page().expect("a page");
    let shown = series(&page);
    let mut names = BTreeSet::new();
    for Family { name, kind, labels, help, .. } in FAMILIES {
        assert!(names.insert(*name), "{name} is there twice");
        // What is told of partitions comes with the first of them.
        let comes_later = labels.iter().any(|label| label.name == "topic");
        assert!(page.contains(&format!("# TYPE {name} {}\n", kind.name())) || comes_later, "{name}");
        assert!(page.contains(&format!("# HELP {name} {help}\n")) || comes_later, "{name}");
        let expected: usize = labels
            .iter()
            .map(|label| match (label.name, label.values) {
                (_, Values::Set(values)) => values().len(),
                ("currency", _) => 2,
                ("topic" | "partition", _) => 0,
                (_, Values::Bounded(_)) => 1,
            })
            .product();
        let lines = shown.get(*name).map(Vec::as_slice).unwrap_or_default();
        let counted = lines.iter().filter(|line| !line.contains("_bucket{") && !line.contains("_sum{")).count();
        assert_eq!(counted, expected, "{name}: {lines:#?}");
    }
    let unknown: Vec<&String> = shown.keys().filter(|name| !names.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in the catalog");
}

#[test]
fn whatever_is_counted_the_number_of_series_is_bounded() {
    let currencies: Vec<Currency> = (0..200).map(currency).collect();
    let telemetry = telemetry(&currencies);
    let mut counts = BatchCounts::default();
    for level in 0..=u8::MAX {
        for currency in &currencies {
            counts.amounts.push((LevelLabel::of(level), *currency, Sum::from_unscaled(1)));
        }
    }
    let all: Vec<(Partition, u64)> = (0..10_000).map(|number| (Partition { topic: 0, number }, 1)).collect();
    for stage in StageName::ALL {
        let (times, status) = (BatchTimes::default(), StageStatus::default());
        tell(&telemetry, stage, Report::Committed { received: 1, sent: 1, counts: &counts, times, status });
        tell(&telemetry, stage, Report::Behind(&all));
    }
    let page = telemetry.page().expect("a page");
    let shown = series(&page);
    let total: usize = shown.values().map(Vec::len).sum();
    assert!(total <= MAX_SERIES, "{total} series");
    let lags = &shown["rater_consumer_lag_records"];
    assert_eq!(lags.len(), MAX_LAGS);
    let behind: u64 = lags.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(behind, 10_000 * StageName::ALL.len() as u64, "what has no series of its own is added up");
}

#[test]
fn a_committed_batch_is_counted_once_and_an_aborted_one_not_at_all() {
    let telemetry = telemetry(&[currency(0)]);
    let mut counts = BatchCounts::default();
    counts.records[0][1] = 3;
    counts.usage[0][1] = 4_000;
    counts.legs[8][0] = 2;
    counts.suspended[1] = 5;
    counts.amounts.push((LevelLabel::Above, currency(0), Sum::from_unscaled(i128::from(u64::MAX))));
    counts.amounts.push((LevelLabel::L0, currency(1), Sum::from_unscaled(1)));
    counts.ages.counts[2] = 7;
    counts.ages.sum_ms = 7_000;
    let held_by =
        |partition, behind_ms| Some(Box::new(SlowestSender { topic: "intaken".to_owned(), partition, behind_ms }));
    let at = |ms| Some(Timestamp::from_millis(ms));
    let status = StageStatus {
        clock: at(2_500),
        entries: 9,
        due_behind_ms: 1_500,
        complete_to: at(1_000),
        held_by: held_by(3, 60_500),
        ..StageStatus::default()
    };
    let partition = Partition { topic: 0, number: 1 };
    tell(&telemetry, StageName::Rate, Report::Assigned(&[partition]));
    tell(&telemetry, StageName::Rate, Report::Aborted("no room"));
    let committed = |received, counts, status| {
        let times = BatchTimes::default();
        tell(&telemetry, StageName::Rate, Report::Committed { received, sent: 1, counts, times, status });
    };
    let nothing = BatchCounts::default();
    committed(0, &nothing, StageStatus { held_by: held_by(2, 9_000), ..StageStatus::default() });
    committed(1, &counts, status);
    tell(&telemetry, StageName::Rate, Report::Mismatch("sequence"));
    tell(&telemetry, StageName::Rate, Report::Behind(&[(partition, 12)]));
    let page = telemetry.page().expect("a page");
    assert_eq!(series(&page)["rater_clock_held_seconds"].len(), 1, "the slowest sender was another one before");
    let lines = [
        "rater_records_total{outcome=\"duplicate\",service=\"data\"} 3",
        "rater_usage_bytes_total{outcome=\"duplicate\"} 4000",
        "rater_legs_total{level=\"8+\",outcome=\"charged\"} 2",
        "rater_suspended_total{reason=\"invalid_record\"} 5",
        "rater_record_age_seconds_bucket{stage=\"rate\",le=\"0.5\"} 0",
        "rater_record_age_seconds_bucket{stage=\"rate\",le=\"1\"} 7",
        "rater_record_age_seconds_count{stage=\"rate\"} 7",
        "rater_record_age_seconds_sum{stage=\"rate\"} 7",
        "rater_batch_duration_seconds_count{phase=\"commit\",stage=\"rate\"} 2",
        "rater_transactions_total{result=\"committed\",stage=\"rate\"} 2",
        "rater_slices_total{stage=\"rate\"} 1",
        "rater_slices_total{stage=\"cycle\"} 0",
        "rater_clock_held_seconds{partition=\"3\",stage=\"rate\",topic=\"intaken\"} 60.5",
        "rater_complete_to_timestamp_seconds 1",
        "rater_due_behind_seconds{stage=\"rate\"} 1.5",
        "rater_transactions_total{result=\"aborted\",stage=\"rate\"} 1",
        "rater_control_mismatches_total{check=\"sequence\"} 1",
        "rater_clock_timestamp_seconds{stage=\"rate\"} 2.5",
        "rater_state_entries{stage=\"rate\"} 9",
        "rater_workers{stage=\"rate\",state=\"running\"} 1",
        "rater_workers{stage=\"rate\",state=\"starting\"} 1",
        "rater_consumer_lag_records{partition=\"1\",topic=\"guided\"} 12",
        "rater_directory_snapshot_timestamp_seconds 1.5",
        "rater_reference_reload_successful 1",
        "rater_directory_lookups_total{result=\"hit\"} 7",
    ];
    for line in lines {
        assert!(page.contains(&format!("{line}\n")), "no {line} in\n{page}");
    }
    let other =
        page.lines().find(|line| line.starts_with("rater_charged_amount_total{currency=\"other\",level=\"0\"}"));
    assert!(other.is_some_and(|line| !line.ends_with(" 0")), "{other:?}");
    // Its partition is gone, so is its lag.
    tell(&telemetry, StageName::Rate, Report::Released(&[partition]));
    assert!(!telemetry.page().expect("a page").contains("rater_consumer_lag_records"));
}
