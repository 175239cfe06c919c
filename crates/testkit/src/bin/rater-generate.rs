//! Writes generated reference data and usage into a directory: `rater-generate --seed 1 --records 1000000 --profile bench -o DIR`.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use testkit::generator::{self, EndpointForm, Parameters, UsageForm};

/// Generate reference data and usage for tests and benchmarks.
#[derive(Parser)]
struct Arguments {
    /// Equal seeds give equal files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What kind of files
    #[arg(long, value_enum, default_value_t = ProfileArgument::Bench)]
    profile: ProfileArgument,
    /// Number of usage records [default: the profile's]
    #[arg(long)]
    records: Option<u64>,
    /// Number of endpoints [default: the profile's]
    #[arg(long)]
    endpoints: Option<u64>,
    /// Number of customers [default: the profile's]
    #[arg(long)]
    customers: Option<u64>,
    /// Where endpoints are written [default: the profile's]
    #[arg(long, value_enum)]
    endpoints_in: Option<EndpointsArgument>,
    /// Form of the usage [default: the profile's]
    #[arg(long, value_enum)]
    usage: Option<UsageArgument>,
    /// Directory of the files
    #[arg(short, long)]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileArgument {
    Bench,
    Traffic,
}

#[derive(Clone, Copy, ValueEnum)]
enum EndpointsArgument {
    Csv,
    Yaml,
}

#[derive(Clone, Copy, ValueEnum)]
enum UsageArgument {
    Json,
    Csv,
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let parameters = parameters(&arguments);
    match generator::write_files(&parameters, &arguments.output) {
        Ok(()) => {
            eprintln!("seed {}: {} records in {}", parameters.seed, parameters.records, arguments.output.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

fn parameters(arguments: &Arguments) -> Parameters {
    let mut parameters = match arguments.profile {
        ProfileArgument::Bench => Parameters::bench(arguments.seed),
        ProfileArgument::Traffic => Parameters::traffic(arguments.seed),
    };
    parameters.records = arguments.records.unwrap_or(parameters.records);
    parameters.endpoints = arguments.endpoints.unwrap_or(parameters.endpoints).max(1);
    parameters.customers = arguments.customers.unwrap_or(parameters.customers).max(1);
    match arguments.endpoints_in {
        Some(EndpointsArgument::Csv) => parameters.endpoint_form = EndpointForm::Csv,
        Some(EndpointsArgument::Yaml) => parameters.endpoint_form = EndpointForm::Yaml,
        None => {}
    }
    match arguments.usage {
        Some(UsageArgument::Json) => parameters.usage_form = UsageForm::Json,
        Some(UsageArgument::Csv) => parameters.usage_form = UsageForm::Csv,
        Some(UsageArgument::Both) => parameters.usage_form = UsageForm::Both,
        None => {}
    }
    parameters
}
