//! Sends generated usage and commands to Kafka: `rater-load --brokers localhost:9092 --records 1000000 --rate 20000`.
//!
//! Exit codes: 0 all delivered, 2 usage, 3 messages that did not arrive or surroundings that do not answer.

use clap::{Parser, ValueEnum};
use std::io::{IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use testkit::generator::arguments::GeneratorArguments;
use testkit::generator::{self, Parameters, Profile, Times};
use testkit::load::{self, Connection, Extra, Form, Load, LoadError, Sent};

/// Send generated usage and commands to Kafka.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    generator: GeneratorArguments,
    /// Brokers, as `host:port`, separated by commas
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// A property of librdkafka, such as security.protocol=SASL_SSL; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// Topic of usage
    #[arg(long, default_value = "usage")]
    usage_topic: String,
    /// Topic of commands
    #[arg(long, default_value = "account-commands")]
    commands_topic: String,
    /// Topic of ticks, which otherwise only Rater writes: for a deployment that runs with --tick-every never [default: none are sent]
    #[arg(long, value_name = "TOPIC")]
    ticks_topic: Option<String>,
    /// Records per second at most [default: as fast as possible]
    #[arg(long)]
    rate: Option<NonZeroU32>,
    /// Events happen now, and not in January 2026; each start names another source, so that nothing it sends was there before
    #[arg(long, requires = "rate")]
    live: bool,
    /// Usage records in a thousand that are sent again on another partition, beyond those of the profile
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    duplicates: u16,
    /// Messages at the wrong door, in a thousand usage records: commands among usage, usage among commands, ticks and retries among both
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    forged: u16,
    /// Topic of retries, which otherwise only Rater writes: some of the forged messages go there [default: none do]
    #[arg(long, value_name = "TOPIC", requires = "forged")]
    retries_topic: Option<String>,
    /// Commands in addition, in a thousand usage records of the profile bench: with copies, other payloads under one id, and old ones
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    orders: u16,
    /// Form of the messages
    #[arg(long, value_enum, default_value_t = FormArgument::Json)]
    form: FormArgument,
    /// A schema registry: Avro messages get its schema ids in place of fingerprints
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Write the reference data of the seed into this directory
    #[arg(long, value_name = "DIRECTORY")]
    reference: Option<PathBuf>,
    /// Write the reference data and send nothing
    #[arg(long, requires = "reference")]
    reference_only: bool,
    /// Send the purchases of bundles that the reference data grant, before everything else
    #[arg(long)]
    grants: bool,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormArgument {
    Json,
    Avro,
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
                LoadError::Surroundings(_) => ExitCode::from(3),
                LoadError::Refused(_) => ExitCode::from(2),
            }
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, LoadError> {
    let mut parameters = arguments.generator.parameters();
    if let (true, Some(rate)) = (arguments.live, arguments.rate) {
        if parameters.profile != Profile::Bench {
            return Err(LoadError::Refused("--live is for --profile bench".to_owned()));
        }
        parameters.times = Times::live(jiff::Timestamp::now().as_millisecond(), parameters.records, rate);
    }
    if let Some(directory) = &arguments.reference {
        generator::write_reference(&parameters, directory)
            .map_err(|error| LoadError::Surroundings(format!("{}: {error}", directory.display())))?;
        if arguments.reference_only {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let form = match (arguments.form, &arguments.registry) {
        (FormArgument::Json, None) => Form::Json,
        (FormArgument::Json, Some(_)) => return Err(LoadError::Refused("--registry is for --form avro".to_owned())),
        (FormArgument::Avro, None) => Form::SingleObject,
        (FormArgument::Avro, Some(url)) => Form::Confluent { registry: url.clone() },
    };
    let live = arguments.live.then_some(&parameters.times);
    let first = match arguments.grants {
        true => grants(&parameters, live, arguments.reference.as_deref())?,
        false => Vec::new(),
    };
    let load = Load {
        first,
        parameters,
        form,
        usage: arguments.usage_topic.clone(),
        commands: Some(arguments.commands_topic.clone()),
        ticks: arguments.ticks_topic.clone(),
        rate: arguments.rate,
        copies_per_mille: arguments.duplicates,
        extra: Extra {
            forged_per_mille: arguments.forged,
            retries: arguments.retries_topic.clone(),
            orders_per_mille: arguments.orders,
        },
    };
    let mut connection = Connection::new(&arguments.brokers);
    connection.properties.extend(arguments.properties.iter().cloned());
    let is_watched = std::io::stderr().is_terminal();
    let sent = load::run(&load, &connection, &mut |sent| {
        if is_watched {
            eprint!("\r{} of {} usage records, {}/s ", sent.usage, load.parameters.records, sent.per_second());
        }
    })?;
    if is_watched {
        eprintln!();
    }
    // Whoever does not read the figures is told by the exit code.
    let _ = writeln!(std::io::stdout(), "{}", if arguments.json { json(&sent) } else { text(&sent) });
    if sent.failed > 0 {
        eprintln!("error: {} messages did not arrive", sent.failed);
        return Ok(ExitCode::from(3));
    }
    Ok(ExitCode::SUCCESS)
}

/// The purchases, from the reference data of the seed.
fn grants(parameters: &Parameters, live: Option<&Times>, written: Option<&Path>) -> Result<Vec<Vec<u8>>, LoadError> {
    let refused = |error: &dyn std::fmt::Display| LoadError::Refused(format!("reference data: {error}"));
    match written {
        Some(directory) => load::grants(directory, live).map_err(|error| refused(&error)),
        None => {
            let directory = std::env::temp_dir().join(format!("rater-load-{}", std::process::id()));
            generator::write_reference(parameters, &directory).map_err(|error| refused(&error))?;
            let grants = load::grants(&directory, live);
            std::fs::remove_dir_all(&directory).map_err(|error| refused(&error))?;
            grants.map_err(|error| refused(&error))
        }
    }
}

fn text(sent: &Sent) -> String {
    format!(
        "{} usage records ({} copies), {} commands, {} ticks: {} messages, {} bytes in {}.{:03} s, {} records/s, {} failed",
        sent.usage,
        sent.copies,
        sent.commands,
        sent.ticks,
        sent.messages,
        sent.bytes,
        sent.elapsed.as_secs(),
        sent.elapsed.subsec_millis(),
        sent.per_second(),
        sent.failed
    )
}

fn json(sent: &Sent) -> String {
    serde_json::json!({
        "usage": sent.usage,
        "copies": sent.copies,
        "unfit": sent.unfit,
        "commands": sent.commands,
        "ticks": sent.ticks,
        "messages": sent.messages,
        "bytes": sent.bytes,
        "failed": sent.failed,
        "elapsed_ms": u64::try_from(sent.elapsed.as_millis()).unwrap_or(u64::MAX),
        "records_per_second": sent.per_second(),
    })
    .to_string()
}
