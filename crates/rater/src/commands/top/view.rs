//! What a page of metrics says at a glance: flow, stages, money, what waits.

use super::page::Page;
use crate::console::Paint;
use crate::present::{Align, Table};
use directory::visible;
use serde_json::{Value, json};
use std::time::Duration;

const STAGES: [&str; 5] = ["intake", "guide", "rate", "recycle", "cycle"];
const OUTCOMES: [&str; 3] = ["guided", "duplicate", "suspended"];

/// Two looks, and the time between them.
pub(super) struct View<'v> {
    pub(super) before: &'v Page,
    pub(super) now: &'v Page,
    pub(super) between: Duration,
    /// The machine's clock, in seconds since 1970.
    pub(super) clock_s: f64,
}

impl View<'_> {
    /// How much a counter grew in a second. A process that was started anew counts from 0.
    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let grown = self.now.sum(name, labels) - self.before.sum(name, labels);
        grown.max(0.0) / self.between.as_secs_f64().max(0.001)
    }

    /// Milliseconds of a batch in one phase, over the time between the looks, or over all time if there was no batch.
    fn batch_ms(&self, stage: &str, phase: &str) -> Option<f64> {
        let labels = [("stage", stage), ("phase", phase)];
        let of = |page: &Page, what: &str| page.sum(&format!("rater_batch_duration_seconds_{what}"), &labels);
        let (sum, count) = (of(self.now, "sum"), of(self.now, "count"));
        let (new_sum, new_count) = (sum - of(self.before, "sum"), count - of(self.before, "count"));
        let (sum, count) = if new_count > 0.0 { (new_sum, new_count) } else { (sum, count) };
        (count > 0.0).then(|| 1000.0 * sum / count)
    }

    fn age(&self, since: Option<f64>) -> String {
        since.map_or("–".to_owned(), |since| length(self.clock_s - since))
    }

    /// Everything as text.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let received: f64 =
            OUTCOMES.iter().map(|outcome| self.rate("rater_records_total", &[("outcome", outcome)])).sum();
        let of = |outcome| self.rate("rater_records_total", &[("outcome", outcome)]);
        text.push_str(&format!(
            "{}  {}/s = {}/s guided + {}/s duplicates + {}/s suspended\n\n",
            paint.bold("records"),
            number(received),
            number(of("guided")),
            number(of("duplicate")),
            number(of("suspended"))
        ));
        text.push_str(&self.stages().render(paint));
        let lags = self.now.by("rater_consumer_lag_records", "topic", &[]);
        let lags: Vec<String> =
            lags.iter().map(|(topic, lag)| format!("{} {}", visible(topic), number(*lag))).collect();
        text.push_str(&format!(
            "\n{}  {}\n",
            paint.bold("behind"),
            if lags.is_empty() { "–".to_owned() } else { lags.join("  ") }
        ));
        text.push('\n');
        text.push_str(&self.money().render(paint));
        let open = self.now.sum("rater_suspense_open_records", &[]);
        let oldest = self.now.least("rater_suspense_oldest_timestamp_seconds", &[]);
        text.push_str(&format!("\n{}  {} open, oldest {}", paint.bold("suspense"), number(open), self.age(oldest)));
        for (reason, count) in self.now.by("rater_suspended_total", "reason", &[]) {
            if count > 0.0 {
                text.push_str(&format!("  {} {}", visible(&reason), number(count)));
            }
        }
        let confirmed = self.now.least("rater_directory_snapshot_timestamp_seconds", &[]);
        text.push_str(&format!("\n{}  confirmed {} ago\n", paint.bold("directory"), self.age(confirmed)));
        let mismatches = self.now.sum("rater_control_mismatches_total", &[]);
        text.push_str(&match mismatches > 0.0 {
            true => paint.bad(&format!("control totals: {} mismatches\n", number(mismatches))),
            false => paint.good("control totals balance\n"),
        });
        text
    }

    fn stages(&self) -> Table {
        let mut table = Table::new(&[
            ("STAGE", Align::Left),
            ("WORKERS", Align::Left),
            ("BATCHES/S", Align::Right),
            ("NOT COMMITTED", Align::Right),
            ("EXECUTE MS", Align::Right),
            ("COMMIT MS", Align::Right),
            ("ENTRIES", Align::Right),
            ("CLOCK", Align::Right),
        ]);
        for stage in STAGES {
            let workers = self.now.by("rater_workers", "state", &[("stage", stage)]);
            let workers: Vec<String> = workers
                .iter()
                .filter(|(_, count)| **count > 0.0)
                .map(|(state, count)| format!("{} {state}", number(*count)))
                .collect();
            if workers.is_empty() {
                continue;
            }
            let transactions =
                |result| self.now.sum("rater_transactions_total", &[("stage", stage), ("result", result)]);
            let clock = self.now.least("rater_clock_timestamp_seconds", &[("stage", stage)]);
            let ms = |phase| self.batch_ms(stage, phase).map_or("–".to_owned(), |ms| format!("{ms:.1}"));
            let cells = vec![
                stage.to_owned(),
                workers.join(", "),
                number(self.rate("rater_transactions_total", &[("stage", stage), ("result", "committed")])),
                number(transactions("aborted") + transactions("uncertain")),
                ms("execute"),
                ms("commit"),
                number(self.now.sum("rater_state_entries", &[("stage", stage)])),
                self.age(clock),
            ];
            table.row(cells, "");
        }
        table
    }

    fn money(&self) -> Table {
        let mut table = Table::new(&[
            ("LEVEL", Align::Right),
            ("CHARGES/S", Align::Right),
            ("CURRENCY", Align::Left),
            ("CHARGED/S", Align::Right),
            ("CHARGED SINCE THE START", Align::Right),
        ]);
        for (level, charges) in self.now.by("rater_charges_total", "level", &[]) {
            if charges <= 0.0 {
                continue;
            }
            let per_second = number(self.rate("rater_charges_total", &[("level", &level)]));
            for (currency, amount) in self.now.by("rater_charged_amount_total", "currency", &[("level", &level)]) {
                if amount > 0.0 {
                    let labels = [("level", &*level), ("currency", &*currency)];
                    let rate = self.rate("rater_charged_amount_total", &labels);
                    let cells = vec![
                        level.clone(),
                        per_second.clone(),
                        currency.clone(),
                        format!("{rate:.2}"),
                        format!("{amount:.2}"),
                    ];
                    table.row(cells, "");
                }
            }
        }
        table
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let outcomes = OUTCOMES.map(|outcome| (outcome, self.rate("rater_records_total", &[("outcome", outcome)])));
        let stages = STAGES.map(|stage| {
            let labels = [("stage", stage), ("result", "committed")];
            let about = json!({
                "workers": self.now.by("rater_workers", "state", &[("stage", stage)]),
                "batches_per_second": self.rate("rater_transactions_total", &labels),
                "state_entries": self.now.sum("rater_state_entries", &[("stage", stage)]),
            });
            (stage, about)
        });
        json!({
            "records_per_second": outcomes.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "stages": stages.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "lag_records": self.now.by("rater_consumer_lag_records", "topic", &[]),
            "suspense_open": self.now.sum("rater_suspense_open_records", &[]),
            "charges": self.now.by("rater_charges_total", "level", &[]),
            "control_mismatches": self.now.sum("rater_control_mismatches_total", &[]),
        })
    }
}

/// A number of things, short.
fn number(value: f64) -> String {
    match value {
        value if value >= 10_000_000.0 => format!("{:.1} M", value / 1e6),
        value if value >= 10_000.0 => format!("{:.1} k", value / 1e3),
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// A length of time, short.
fn length(seconds: f64) -> String {
    match seconds.max(0.0) {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_short() {
        assert_eq!(
            [0.0, 7.0, 7.25, 123.4, 12_345.0, 12_345_678.0].map(number),
            ["0", "7", "7.2", "123", "12.3 k", "12.3 M"]
        );
        assert_eq!([-1.0, 90.0, 600.0, 7_200.0, 864_000.0].map(length), ["0 s", "90 s", "10 min", "2 h", "10 days"]);
    }
}
