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
        }
    }

    /// 2000 records; the seed decides on accounts and endpoints.
    #[must_use]
    pub fn traffic(seed: u64) -> Self {
        Self { profile: Profile::Traffic, records: 2000, ..Self::bench(seed) }
    }
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
