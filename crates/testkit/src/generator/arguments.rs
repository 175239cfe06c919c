//! The parameters as options of a program: all programs that generate understand the same ones.

use super::Parameters;
use clap::{Args, ValueEnum};

/// What is generated.
#[derive(Args, Clone, Debug)]
pub struct GeneratorArguments {
    /// Equal seeds give equal streams
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What kind of stream
    #[arg(long, value_enum, default_value_t = ProfileArgument::Bench)]
    pub profile: ProfileArgument,
    /// Number of usage records [default: the profile's]
    #[arg(long)]
    pub records: Option<u64>,
    /// Number of endpoints [default: the profile's]
    #[arg(long)]
    pub endpoints: Option<u64>,
    /// Number of customers [default: the profile's]
    #[arg(long)]
    pub customers: Option<u64>,
}

/// A profile by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArgument {
    /// Ordinary records on four levels, for measurements
    Bench,
    /// Everything that can be rated, and much that cannot
    Traffic,
}

impl GeneratorArguments {
    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let mut parameters = match self.profile {
            ProfileArgument::Bench => Parameters::bench(self.seed),
            ProfileArgument::Traffic => Parameters::traffic(self.seed),
        };
        parameters.records = self.records.unwrap_or(parameters.records);
        parameters.endpoints = self.endpoints.unwrap_or(parameters.endpoints).max(1);
        parameters.customers = self.customers.unwrap_or(parameters.customers).max(1);
        parameters
    }
}
