//! Seeded generators of reference data and usage: the same parameters give the same bytes.
//!
//! Owns what the files of a test or a benchmark contain. It knows the forms of docs/reference-data.md and nothing of what the product or the oracle
//! makes of them: expected results are not its business.

pub mod arguments;
mod bench;
mod files;
pub mod random;
pub mod record;
pub mod stream;
pub mod traffic;

use std::io;
use std::num::NonZeroU32;
use std::path::Path;

/// What kind of files are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Large files of ordinary records on four levels, for measurements.
    Bench,
    /// Everything that can be rated, in small: `rating.yaml` and `usage.jsonl`, then `rating-2.yaml` and `usage-2.jsonl`.
    Traffic,
}

/// How endpoints are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointForm {
    /// In `endpoints.csv`.
    Csv,
    /// In `rating.yaml`.
    Yaml,
}

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageForm {
    /// `usage.jsonl`, ticks included.
    Json,
    /// `usage.csv`, which holds usage only.
    Csv,
    /// Both files, with the same usage.
    Both,
}

/// Everything that decides the content of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Equal seeds give equal files.
    pub seed: u64,
    /// What kind of files.
    pub profile: Profile,
    /// Number of usage records, duplicates and broken ones included.
    pub records: u64,
    /// Number of endpoints.
    pub endpoints: u64,
    /// Number of customers.
    pub customers: u64,
    /// How endpoints are written.
    pub endpoint_form: EndpointForm,
    /// How usage is written.
    pub usage_form: UsageForm,
    /// When events happen; for [`Profile::Bench`] only.
    pub times: Times,
}

/// When the events of a stream happen, and under which name its records run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The source that records name: an id counts within it.
    pub source: String,
    /// Milliseconds since 1970 at which the stream begins.
    pub start_ms: i64,
    /// Records are spread evenly over so many milliseconds.
    pub span_ms: u64,
    /// How long before it arrives an event has happened: at most so many milliseconds for half of them, twice as many for a quarter, and so on.
    pub delay_ms: u64,
}

impl Times {
    /// 30 days from 1 January 2026: the same for all files of a seed.
    #[must_use]
    pub fn fixed() -> Self {
        Self { source: "pgw-1".to_owned(), start_ms: 1_767_225_600_000, span_ms: 30 * 86_400_000, delay_ms: 5_000 }
    }

    /// No event is earlier, in milliseconds since 1970.
    #[must_use]
    pub fn earliest_ms(&self) -> i64 {
        let longest_ms = i64::try_from(self.delay_ms << bench::DELAY_DOUBLINGS).unwrap_or(0);
        self.start_ms.saturating_sub(longest_ms)
    }

    /// From a moment on, as fast as records are sent, under a name that no other start has.
    #[must_use]
    pub fn live(now_ms: i64, records: u64, per_second: NonZeroU32) -> Self {
        let span_ms = records.saturating_mul(1000) / u64::from(per_second.get());
        Self { source: format!("load-{now_ms}"), start_ms: now_ms, span_ms, delay_ms: 500 }
    }
}

impl Parameters {
    /// A million records of 100,000 endpoints under 200 customers.
    #[must_use]
    pub fn bench(seed: u64) -> Self {
        Self {
            seed,
            profile: Profile::Bench,
            records: 1_000_000,
            endpoints: 100_000,
            customers: 200,
            endpoint_form: EndpointForm::Csv,
            usage_form: UsageForm::Json,
            times: Times::fixed(),
        }
    }

    /// 2000 records; the seed decides on accounts and endpoints.
    #[must_use]
    pub fn traffic(seed: u64) -> Self {
        Self { profile: Profile::Traffic, records: 2000, ..Self::bench(seed) }
    }
}

/// Returns the message that says that it is so late, in milliseconds since 1970.
#[must_use]
pub fn tick(at_ms: i64) -> Vec<u8> {
    bench::tick_line(at_ms).into_bytes()
}

/// Writes the files of `parameters` into `directory`, which is created if need be.
///
/// # Errors
/// When a file or the directory cannot be written.
pub fn write_files(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    match parameters.profile {
        Profile::Bench => bench::write(parameters, directory),
        Profile::Traffic => traffic::write(parameters, directory),
    }
}

/// Writes the reference data that the stream of `parameters` starts with into `directory`, which is created if need be: the same files as
/// those of [`write_files`].
///
/// # Errors
/// When a file or the directory cannot be written.
pub fn write_reference(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    match parameters.profile {
        Profile::Bench => bench::write_reference(parameters, directory),
        Profile::Traffic => traffic::write_reference(parameters, directory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn a_live_stream_happens_as_it_is_sent() {
        let rate = NonZeroU32::new(10).expect("not 0");
        let now_ms = 1_800_000_000_000;
        let parameters =
            Parameters { records: 100, endpoints: 10, times: Times::live(now_ms, 100, rate), ..Parameters::bench(1) };
        let mut number = 0;
        let seen = bench::each(&parameters, |item| {
            if let bench::Item::Usage { record, is_copy: false } = item {
                assert_eq!(record.source, "load-1800000000000");
                // Record 50 is sent five seconds after the start, and happened before.
                assert!(record.event_time_ms <= now_ms + number * 100, "{number}: {}", record.event_time_ms);
                assert!(record.event_time_ms >= parameters.times.earliest_ms(), "{number}: {}", record.event_time_ms);
            }
            number += 1;
            Ok(())
        });
        seen.expect("nothing to fail");
        assert_eq!(number, 100);
    }
}
