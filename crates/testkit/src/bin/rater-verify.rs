//! Reads everything that a deployment on Kafka read and wrote, and checks it: `rater-verify --brokers localhost:9092 --reference DIR`.
//!
//! Exit codes: 0 no difference, 1 differences, 2 what is asked for cannot be verified, 3 surroundings that do not answer.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use testkit::verify::{self, EngineReference, Takes, Verification, VerifyError};

/// Check everything that a deployment read and wrote.
#[derive(Parser)]
struct Arguments {
    /// Brokers, as `host:port`, separated by commas
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// A property of librdkafka, such as security.protocol=SASL_SSL; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// Stands before the names of all topics
    #[arg(long, default_value = "")]
    topic_prefix: String,
    /// Topics that take usage and commands [default: usage takes usage and account-commands takes commands, behind the prefix]
    #[arg(long, value_delimiter = ',')]
    inputs: Vec<String>,
    /// Hours for which the deployment remembers ids of records: what is too late is checked; needs --command-memory
    #[arg(long, value_name = "HOURS", requires = "command_memory")]
    duplicate_window: Option<u32>,
    /// Hours for which it remembers ids of commands
    #[arg(long, value_name = "HOURS", requires = "duplicate_window")]
    command_memory: Option<u32>,
    /// Guide reads the inputs itself
    #[arg(long)]
    skip_intake: bool,
    /// The schema registry that messages name schemas by
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Source of records that name none
    #[arg(long, default_value = "kafka")]
    source: String,
    /// Directory with rating.yaml and endpoints.csv: compare with the embedded engine
    #[arg(long, value_name = "DIRECTORY")]
    reference: Option<PathBuf>,
    /// Threads of the engine
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Wait at most so many seconds until all stages have read everything
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                VerifyError::Surroundings(_) => ExitCode::from(3),
                VerifyError::Refused(_) => ExitCode::from(2),
            }
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, VerifyError> {
    let mut what = Verification::new(&arguments.brokers, &arguments.topic_prefix);
    what.connection.properties.extend(arguments.properties.iter().cloned());
    if !arguments.inputs.is_empty() {
        what.layout.inputs = arguments.inputs.iter().map(|name| (name.clone(), Takes::Both)).collect();
    }
    what.window_h = arguments.duplicate_window.zip(arguments.command_memory).map(|(window, memory)| [window, memory]);
    what.layout.skip_intake = arguments.skip_intake;
    what.registry.clone_from(&arguments.registry);
    what.default_source.clone_from(&arguments.source);
    what.wait = Duration::from_secs(arguments.wait);
    if let Some(directory) = &arguments.reference {
        what.reference = Some(EngineReference { threads: arguments.threads, ..EngineReference::load(directory)? });
    }
    let is_watched = std::io::stderr().is_terminal();
    let report = verify::verify(&what, &mut |step| {
        if is_watched {
            eprintln!("{step} ...");
        }
    })?;
    let text = if arguments.json { format!("{}\n", report.json()) } else { report.to_string() };
    // Whoever does not read the table is told by the exit code.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
