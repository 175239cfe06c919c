//! Writes generated reference data and usage into a directory: `rater-generate --seed 1 --records 1000000 --profile bench -o DIR`.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use testkit::generator::arguments::GeneratorArguments;
use testkit::generator::{self, EndpointForm, Parameters, UsageForm};

/// Generate reference data and usage for tests and benchmarks.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    generator: GeneratorArguments,
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
    let mut parameters = arguments.generator.parameters();
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
