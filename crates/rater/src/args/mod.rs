//! Options. Defaults and environment variables stand here and nowhere else; `rater config show` reads them from here.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "kafka")]
mod suspense;
#[cfg(feature = "kafka")]
mod topics;

#[cfg(feature = "kafka")]
pub(crate) use kafka::*;
#[cfg(feature = "store")]
pub(crate) use store::*;
#[cfg(feature = "kafka")]
pub(crate) use suspense::{SuspenseArgs, SuspenseCommand};
#[cfg(feature = "kafka")]
pub(crate) use topics::{NewTopicOptions, TopicsArgs, TopicsCommand};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Rate usage records on every edge of an account hierarchy.
#[derive(Debug, Parser)]
#[command(name = "rater", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 fine, 1 findings, 2 usage, data or configuration, 3 surroundings unreachable, \
                        70 control totals broken.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What was given to the command of these names.
pub(crate) fn given<'m>(names: &[&str], matches: &'m clap::ArgMatches) -> &'m clap::ArgMatches {
    names.iter().fold(matches, |matches, name| matches.subcommand_matches(name).unwrap_or(matches))
}

/// A length of time, still as text: so that a mistake is told with its place.
pub(super) fn length_text(text: &str) -> Result<String, String> {
    crate::settings::length_ms(text).map(|_| text.to_owned())
}

/// Writers say whether a change reaches back as if nobody served longer than this.
#[cfg(feature = "store")]
fn lead_text(text: &str) -> Result<String, String> {
    match crate::settings::length_ms(text)? {
        0..=60_000 => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\" is more than 60 s")),
    }
}

/// For every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Colours; NO_COLOR is honoured by `auto`
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a runnable example: rating.yaml, usage.csv, tests/
    Init(InitArgs),
    /// Validate reference data as a whole
    Check(CheckArgs),
    /// Rate files into a folder
    Rate(Box<RateArgs>),
    /// Run the pipeline on Kafka until it is told to stop
    #[cfg(feature = "kafka")]
    Run(Box<ServiceArgs>),
    /// The topics that `run` needs: what is missing or differs, and making it
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Reference data in a store: fill it, change it, look at it
    #[cfg(feature = "store")]
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Show messages of a topic, decoded
    #[cfg(feature = "kafka")]
    Tail(Box<TailArgs>),
    /// What waits in the pipeline on Kafka: list it, look at it, have it tried again
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Suspense(SuspenseCommand),
    /// Flow, lag, suspense and money of running services, live
    #[cfg(feature = "kafka")]
    Top(TopArgs),
    /// Explain a rated record, level by level, or the code of an error
    Explain(ExplainArgs),
    /// Price hypothetical usage; nothing is changed
    Quote(QuoteArgs),
    /// Run the tables of tariff authors: scenarios in Markdown
    Test(TestArgs),
    /// Look at the settings of `rate` and `run`
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check or register the message contracts in a schema registry
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// `rater init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder to write into; created if need be
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

/// `rater check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Reference data: YAML, and CSV of endpoints [default: rating.yaml]
    pub(crate) files: Vec<PathBuf>,
    /// Explain the code of an error, such as R103
    #[arg(long, value_name = "CODE", conflicts_with = "files")]
    pub(crate) explain: Option<String>,
}

/// `rater rate`.
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Usage, commands and ticks: .jsonl, .ndjson, .csv or .avro; pipes too, and - for standard input
    #[arg(required_unless_present = "recycle")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) options: RateOptions,
    /// Try again what waits in the folder, before the files; not what came too late
    #[arg(long)]
    pub(crate) recycle: bool,
    /// Charge what came too late as well: you know that it was not charged before
    #[arg(long, requires = "recycle")]
    pub(crate) recycle_late: bool,
    /// The files are complete: a last line without a line break is a record, and a cut Avro block an error
    #[arg(long = "final")]
    pub(crate) is_final: bool,
    /// Rate other files although one was interrupted; that one can be finished later
    #[arg(long)]
    pub(crate) leave_interrupted: bool,
    /// Rate into a temporary folder and leave nothing behind
    #[arg(long, conflicts_with = "recycle")]
    pub(crate) dry_run: bool,
}

/// `rater explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Id of a usage record or command, or a code such as R103
    pub(crate) id: String,
    /// Only this level: 0 endpoint to customer, 1 customer to its parent, and so on up
    #[arg(long, value_name = "N")]
    pub(crate) level: Option<u8>,
    /// Folder that the record was rated into
    #[arg(short, long, env = "RATER_OUTPUT", default_value = "out", value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) reference: ReferenceArgs,
    #[command(flatten)]
    pub(crate) records: RecordOptions,
}

/// `rater quote`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true).args(["endpoint", "imsi", "iccid", "msisdn", "account"])))]
pub(crate) struct QuoteArgs {
    /// Name of the endpoint
    #[arg(long, value_name = "NAME")]
    pub(crate) endpoint: Option<String>,
    /// Its IMSI
    #[arg(long, value_name = "DIGITS")]
    pub(crate) imsi: Option<String>,
    /// Its ICCID
    #[arg(long, value_name = "DIGITS")]
    pub(crate) iccid: Option<String>,
    /// Its phone number
    #[arg(long, value_name = "DIGITS")]
    pub(crate) msisdn: Option<String>,
    /// Name of the account, for use that no endpoint makes
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// data, voice, sms or any other service
    #[arg(long, default_value = "data", value_name = "NAME")]
    pub(crate) service: String,
    /// How much, such as "4 MB" (1 MB = 1000 KB), "90 s", 1500
    #[arg(long)]
    pub(crate) quantity: String,
    /// Event time, RFC 3339 [default: the clock of the machine]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Network it is used on, such as 234-15
    #[arg(long, value_name = "MCC-MNC")]
    pub(crate) network: Option<String>,
    /// Called number
    #[arg(long, value_name = "DIGITS")]
    pub(crate) destination: Option<String>,
    /// up, down, mo, mt
    #[arg(long)]
    pub(crate) direction: Option<String>,
    /// Access point name
    #[arg(long)]
    pub(crate) apn: Option<String>,
    /// Radio access type
    #[arg(long)]
    pub(crate) rat: Option<String>,
    /// Rating group
    #[arg(long, value_name = "N")]
    pub(crate) rating_group: Option<i64>,
    /// Sponsor operator
    #[arg(long, value_name = "NAME")]
    pub(crate) sponsor: Option<String>,
    /// Subscription type
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription_type: Option<String>,
    /// Only this level
    #[arg(long, value_name = "N")]
    pub(crate) level: Option<u8>,
    #[command(flatten)]
    pub(crate) reference: ReferenceArgs,
}

/// `rater test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Scenario files, or folders of them
    #[arg(default_value = "tests")]
    pub(crate) paths: Vec<PathBuf>,
    /// Rewrite tables of expectations that differ; refused where CI is set
    #[arg(long)]
    pub(crate) update: bool,
    /// Write results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Name rates, aliases and bundle elements that no scenario uses
    #[arg(long)]
    pub(crate) coverage: bool,
}

/// `rater config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting of `rate`, or of another command, its value and where it comes from
    Show(Box<ShowArgs>),
    /// Print the page docs/configuration.md
    Page,
}

/// `rater config show`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) rate: RateOptions,
    #[command(subcommand)]
    pub(crate) of: Option<ShowOf>,
}

/// Whose settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ShowOf {
    /// Those of `run`, with what stands in its file
    #[cfg(feature = "kafka")]
    Run(Box<ServiceArgs>),
    /// Those of `topics`, with what stands in its file
    #[cfg(feature = "kafka")]
    Topics(Box<TopicsArgs>),
    /// Those of `directory`, with what stands in its file
    #[cfg(feature = "store")]
    Directory(Box<MigrateArgs>),
}

/// `rater completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Where reference data comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Directory")]
pub(crate) struct DirectoryOptions {
    /// Where reference data comes from
    #[arg(long, env = "RATER_DIRECTORY", value_enum, default_value_t = DirectorySource::Files, value_name = "WHAT")]
    pub(crate) directory: DirectorySource,
    /// Memory for the endpoints of a store, in MiB
    #[cfg(feature = "store")]
    #[arg(long, env = "RATER_DIRECTORY_MEMORY_MIB", default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) directory_memory_mib: u32,
    /// What the endpoints of a store are read by ahead of the records, from the start on, as far as memory goes; separated by commas [default: nothing, they are read when they are looked up]
    #[cfg(feature = "store")]
    #[arg(long, env = "RATER_DIRECTORY_PRELOAD", value_enum, value_delimiter = ',', value_name = "KINDS")]
    pub(crate) directory_preload: Vec<PreloadKind>,
    /// How often a store is asked whether anything has changed
    #[cfg(feature = "store")]
    #[arg(long, env = "RATER_DIRECTORY_POLL", default_value = "200 ms", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) directory_poll: String,
    /// For how long what a store confirmed is served while it does not answer: changes are written this long before they take effect
    #[cfg(feature = "store")]
    #[arg(long, env = "RATER_DIRECTORY_LEAD", default_value = "60 s", value_name = "LENGTH", value_parser = lead_text)]
    pub(crate) directory_lead: String,
    #[cfg(feature = "store")]
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

/// Where reference data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectorySource {
    /// `--reference` and `--endpoints`.
    Files,
    /// Scylla or Cassandra, as `rater directory` fills it.
    #[cfg(feature = "store")]
    Store,
}

/// What endpoints are looked up by.
#[cfg(feature = "store")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PreloadKind {
    /// Their IMSIs.
    Imsi,
    /// Their ICCIDs.
    Iccid,
    /// Their MSISDNs.
    Msisdn,
    /// Their names.
    Name,
}

/// Where the reference data is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reference data")]
pub(crate) struct ReferenceArgs {
    /// Reference data; may be repeated [default: rating.yaml beside the first file, else in the current folder]
    #[arg(short, long, env = "RATER_REFERENCE", value_name = "FILE")]
    pub(crate) reference: Vec<PathBuf>,
    /// Endpoints as CSV; may be repeated
    #[arg(long, env = "RATER_ENDPOINTS", value_name = "FILE")]
    pub(crate) endpoints: Vec<PathBuf>,
}

/// The settings of `rater rate`: what `rater config show` lists.
#[derive(Debug, Args)]
pub(crate) struct RateOptions {
    #[command(flatten)]
    pub(crate) reference: ReferenceArgs,
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    #[command(flatten)]
    pub(crate) input: InputOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
    #[command(flatten)]
    pub(crate) records: RecordOptions,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// How files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputOptions {
    /// Form of the files [default: by the ending of each name]
    #[arg(long, env = "RATER_INPUT_FORMAT", value_enum, value_name = "FORM")]
    pub(crate) input_format: Option<Form>,
    /// Names of CSV columns
    #[arg(long, env = "RATER_PRESET", value_enum, default_value_t = Preset::Plain)]
    pub(crate) preset: Preset,
    /// Take a field from another CSV column; may be repeated
    #[arg(long, env = "RATER_MAP", value_name = "FIELD=COLUMN", value_parser = parse_map)]
    pub(crate) map: Vec<(String, String)>,
}

/// How results are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Folder of outputs and state
    #[arg(short, long, env = "RATER_OUTPUT", default_value = "out", value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// Form of the outputs
    #[arg(short, long, env = "RATER_FORMAT", value_enum, default_value_t = Form::Jsonl, value_name = "FORM")]
    pub(crate) format: Form,
    /// End with code 1 if anything waits in the folder afterwards
    #[arg(long, env = "RATER_FAIL_ON_SUSPENSE")]
    pub(crate) fail_on_suspense: bool,
}

/// How it is rated.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunOptions {
    /// Threads that rate [default: as many as the machine runs at once]
    #[arg(long, env = "RATER_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Records to a batch
    #[arg(long, env = "RATER_BATCH_RECORDS", default_value_t = runtime::embedded::DEFAULT_BATCH_RECORDS as u32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_records: u32,
    /// Records between two commits
    #[arg(long, env = "RATER_COMMIT_RECORDS", default_value_t = runtime::embedded::DEFAULT_COMMIT_RECORDS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) commit_records: u64,
    /// What time it is, RFC 3339 [default: the clock of the machine]
    #[arg(long, env = "RATER_NOW", value_name = "TIME")]
    pub(crate) now: Option<String>,
    /// Up to when work that falls due by itself is done at the end, RFC 3339; `none` is as far as ticks say [default: the latest usage charged in the folder, without ticks]
    #[arg(long, env = "RATER_UNTIL", value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// What a record is measured against.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordOptions {
    /// Source of records that name none
    #[arg(long, env = "RATER_SOURCE", default_value = "file", value_name = "NAME")]
    pub(crate) source: String,
    /// How far ahead of now an event may lie
    #[arg(long, env = "RATER_FUTURE_TOLERANCE", default_value = "1 h", value_name = "LENGTH")]
    pub(crate) future_tolerance: String,
    #[command(flatten)]
    pub(crate) doubts: DoubtOptions,
    /// Kinds of records that are taken, separated by commas; any other is suspended [default: all]
    #[arg(long, env = "RATER_ONLY", value_enum, value_delimiter = ',', value_name = "KINDS")]
    pub(crate) only: Vec<KindOption>,
    /// How long record ids are remembered behind the latest tick, in whole hours; `forever` has no end
    #[arg(long, env = "RATER_DUPLICATE_WINDOW", default_value = "forever", value_name = "LENGTH")]
    pub(crate) duplicate_window: String,
    /// How long ids of commands are remembered, from their arrival on, in whole hours; for ever where record ids are. A command that takes effect earlier is refused
    #[arg(long, env = "RATER_COMMAND_MEMORY", default_value = "35 days", value_name = "LENGTH")]
    pub(crate) command_memory: String,
    /// How long bundles, sessions, months and caps are remembered behind the latest tick, in whole hours; never shorter than a finite --duplicate-window. Usage from before is too old to be rated
    #[arg(long, env = "RATER_STATE_HORIZON", default_value = "45 d", value_name = "LENGTH")]
    pub(crate) state_horizon: String,
}

/// What is doubted of usage.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct DoubtOptions {
    /// How far behind now usage may lie; `forever` has no end
    #[arg(long, env = "RATER_PAST_TOLERANCE", default_value = "10 years", value_name = "LENGTH", value_parser = past_text)]
    pub(crate) past_tolerance: String,
    /// Largest quantity of one record of a service, such as "data=10 TB"; several are separated by commas [default: data 1 PB, voice 31 days, sms 1000000; docs/input.md has the others]
    #[arg(long, env = "RATER_MAX_QUANTITY", value_delimiter = ',', value_name = "SERVICE=QUANTITY", value_parser = crate::settings::quantity_limit)]
    pub(crate) max_quantity: Vec<pipeline::QuantityLimit>,
    /// Prefixes that are dialled in front of a country code and are no part of a called number, separated by commas; `none` where zones have them [default: numbers that begin with 00 or 011 are suspended]
    #[arg(long, env = "RATER_INTERNATIONAL_PREFIX", value_delimiter = ',', value_name = "DIGITS", value_parser = prefix_text)]
    pub(crate) international_prefix: Vec<String>,
}

fn past_text(text: &str) -> Result<String, String> {
    crate::settings::past_ms(text).map(|_| text.to_owned())
}

fn prefix_text(text: &str) -> Result<String, String> {
    let is_prefix = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_prefix || text == "none" { Ok(text.to_owned()) } else { Err("write digits such as 00, or none".to_owned()) }
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindOption {
    /// Measured use.
    Usage,
    /// Account commands.
    Command,
    /// Ticks.
    Tick,
}

/// Forms of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// JSON lines.
    Jsonl,
    /// Rows with a header.
    Csv,
    /// Avro containers.
    Avro,
}

/// Names of CSV columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// Named like the fields of schemas/usage-record.avsc.
    Plain,
    /// Packet gateway records of 3GPP TS 32.298, one row per container.
    #[value(name = "3gpp-pgw")]
    Pgw,
    /// The same, one row per rating group: its containers have been added up.
    #[value(name = "3gpp-pgw-summed")]
    PgwSummed,
}

fn parse_map(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => Ok((field.to_owned(), column.to_owned())),
        Some(_) | None => Err("write FIELD=COLUMN, such as imsi=servedIMSI".to_owned()),
    }
}
