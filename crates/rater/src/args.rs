//! Options. Defaults and environment variables stand here and nowhere else; `rater config show` reads them from here.

#[cfg(feature = "kafka")]
mod topics;

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
    Rate(RateArgs),
    /// Run the pipeline on Kafka until it is told to stop
    #[cfg(feature = "kafka")]
    Run(Box<ServiceArgs>),
    /// The topics that `run` needs: what is missing or differs, and making it
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show messages of a topic, decoded
    #[cfg(feature = "kafka")]
    Tail(Box<TailArgs>),
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
    /// Usage, commands and ticks: .jsonl, .ndjson, .csv or .avro
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
}

/// `rater completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
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
    /// How long record ids are remembered behind the latest tick, in whole hours; `forever` has no end
    #[arg(long, env = "RATER_DUPLICATE_WINDOW", default_value = "forever", value_name = "LENGTH")]
    pub(crate) duplicate_window: String,
}

/// `rater run`. Every option may also stand in the file of `--config`, under its name.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Settings as TOML: options by their names, with `-` or as tables; flags and environment go before
    #[arg(long, env = "RATER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reference: ReferenceArgs,
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
}

/// `rater tail`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// The topic, by its full name
    pub(crate) topic: String,
    /// The last so many messages of each partition; `all` for all that are there
    #[arg(long, default_value = "10", value_name = "N", value_parser = parse_last)]
    pub(crate) last: LastMessages,
    /// Go on with those that come
    #[arg(long, short = 'F')]
    pub(crate) follow: bool,
    /// Only messages that hold this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// How many messages of each partition.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastMessages {
    /// All that are there.
    All,
    /// So many.
    Count(u32),
}

#[cfg(feature = "kafka")]
fn parse_last(text: &str) -> Result<LastMessages, String> {
    match text {
        "all" => Ok(LastMessages::All),
        number => number.parse().map(LastMessages::Count).map_err(|_| "a number, or `all`".to_owned()),
    }
}

/// How the cluster is reached.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaOptions {
    /// Some of the brokers, separated by commas
    #[arg(
        long,
        env = "RATER_KAFKA_BROKERS",
        default_value = "127.0.0.1:9092",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub(crate) kafka_brokers: Vec<String>,
    /// How connections are secured
    #[arg(long, env = "RATER_KAFKA_SECURITY", value_enum, default_value_t = KafkaSecurity::Plaintext, value_name = "HOW")]
    pub(crate) kafka_security: KafkaSecurity,
    /// Authorities to trust, PEM
    #[arg(long, env = "RATER_KAFKA_CA_FILE", value_name = "FILE")]
    pub(crate) kafka_ca_file: Option<PathBuf>,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
    #[arg(long, env = "RATER_KAFKA_MECHANISM", default_value = "PLAIN", value_name = "NAME")]
    pub(crate) kafka_mechanism: String,
    /// User
    #[arg(long, env = "RATER_KAFKA_USER", value_name = "NAME")]
    pub(crate) kafka_user: Option<String>,
    /// File with the password [default: the environment variable RATER_KAFKA_PASSWORD]
    #[arg(long, env = "RATER_KAFKA_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) kafka_password_file: Option<PathBuf>,
    /// A property of librdkafka; may be repeated
    #[arg(long, env = "RATER_KAFKA_PROPERTY", value_name = "NAME=VALUE", value_parser = parse_property, hide_env_values = true)]
    pub(crate) kafka_property: Vec<(String, String)>,
}

/// How connections are secured.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KafkaSecurity {
    /// Not at all.
    Plaintext,
    /// Encrypted.
    Tls,
    /// User and password, not encrypted.
    Sasl,
    /// Both.
    SaslTls,
}

/// The schema registry.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Schema registry")]
pub(crate) struct RegistryOptions {
    /// Address; without one messages say their schema by fingerprint
    #[arg(long, env = "RATER_REGISTRY_URL", value_name = "URL")]
    pub(crate) registry_url: Option<String>,
    /// User
    #[arg(long, env = "RATER_REGISTRY_USER", value_name = "NAME")]
    pub(crate) registry_user: Option<String>,
    /// File with the password [default: the environment variable RATER_REGISTRY_PASSWORD]
    #[arg(long, env = "RATER_REGISTRY_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) registry_password_file: Option<PathBuf>,
    /// Authorities to trust, PEM
    #[arg(long, env = "RATER_REGISTRY_CA_FILE", value_name = "FILE")]
    pub(crate) registry_ca_file: Option<PathBuf>,
}

/// Topics.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Topics")]
pub(crate) struct TopicOptions {
    /// Stands before the names of all topics and groups
    #[arg(long, env = "RATER_TOPIC_PREFIX", default_value = "", value_name = "TEXT")]
    pub(crate) topic_prefix: String,
    /// Topics with usage [default: usage, behind the prefix]
    #[arg(long, env = "RATER_USAGE_TOPICS", value_delimiter = ',', value_name = "NAME")]
    pub(crate) usage_topics: Vec<String>,
    /// Topics with account commands [default: account-commands, behind the prefix]
    #[arg(long, env = "RATER_COMMAND_TOPICS", value_delimiter = ',', value_name = "NAME")]
    pub(crate) command_topics: Vec<String>,
    /// Guide reads usage itself: all copies of a record come to the same partition already
    #[arg(long, env = "RATER_SKIP_INTAKE")]
    pub(crate) skip_intake: bool,
}

/// How it runs.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct ServiceOptions {
    /// Which stage runs here
    #[arg(long, env = "RATER_STAGE", value_enum, default_value_t = StageOption::All, value_name = "STAGE")]
    pub(crate) stage: StageOption,
    /// Workers of each stage that runs here
    #[arg(long, env = "RATER_WORKERS", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,
    /// Messages to a transaction at most
    #[arg(long, env = "RATER_BATCH_MESSAGES", default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch_messages: u32,
    /// Bytes to a transaction at most
    #[arg(long, env = "RATER_BATCH_BYTES", default_value_t = 4_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) batch_bytes: u32,
    /// How long a transaction waits for more
    #[arg(long, env = "RATER_BATCH_WAIT", default_value = "100 ms", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) batch_wait: String,
    /// Names this process among all that run [default: name of the machine and number of the process]
    #[arg(long, env = "RATER_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// How often ticks are written; `never` where others write them
    #[arg(long, env = "RATER_TICK_EVERY", default_value = "10 s", value_name = "LENGTH", value_parser = length_or_never)]
    pub(crate) tick_every: String,
    /// How often what is unavailable is asked for again, a second apart at most, before a worker stops
    #[arg(long, env = "RATER_ATTEMPTS", default_value_t = 180, value_name = "N")]
    pub(crate) attempts: u32,
    /// Where Kafka has forgotten a group's position after idle days: go on from the position in the state
    #[arg(long, env = "RATER_POSITIONS_FROM_STATE")]
    pub(crate) positions_from_state: bool,
    /// Source of records that name none
    #[arg(long, env = "RATER_SOURCE", default_value = "kafka", value_name = "NAME")]
    pub(crate) source: String,
    /// How far ahead of now an event may lie
    #[arg(long, env = "RATER_FUTURE_TOLERANCE", default_value = "1 h", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) future_tolerance: String,
    /// How long record ids are remembered behind the clock of ticks, in whole hours; `forever` has no end
    #[arg(long, env = "RATER_DUPLICATE_WINDOW", default_value = "72 h", value_name = "LENGTH", value_parser = window_text)]
    pub(crate) duplicate_window: String,
}

/// Which stages run in a process.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageOption {
    /// Decodes, validates, routes by record id.
    Intake,
    /// Removes duplicates, finds lineages and rates.
    Guide,
    /// Owns accounts.
    Rate,
    /// All three.
    All,
}

/// A length of time, still as text: so that a mistake is told with its place.
#[cfg(feature = "kafka")]
fn length_text(text: &str) -> Result<String, String> {
    crate::settings::length_ms(text).map(|_| text.to_owned())
}

#[cfg(feature = "kafka")]
fn length_or_never(text: &str) -> Result<String, String> {
    if text == "never" { Ok(text.to_owned()) } else { length_text(text) }
}

#[cfg(feature = "kafka")]
fn window_text(text: &str) -> Result<String, String> {
    crate::settings::hours(text).map(|_| text.to_owned())
}

#[cfg(feature = "kafka")]
fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE, such as linger.ms=20".to_owned()),
    }
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
    /// Packet gateway records of 3GPP TS 32.298.
    #[value(name = "3gpp-pgw")]
    Pgw,
}

fn parse_map(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => Ok((field.to_owned(), column.to_owned())),
        Some(_) | None => Err("write FIELD=COLUMN, such as imsi=servedIMSI".to_owned()),
    }
}

/// `rater schema`.
#[cfg(feature = "kafka")]
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Say of each topic whether its contract is registered, or could be
    Check(SchemaArgs),
    /// Register the contract of each topic, with compatibility FULL_TRANSITIVE
    Register(SchemaArgs),
}

#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
}
