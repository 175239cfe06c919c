//! Options of commands that talk to Kafka.

use super::{DirectoryOptions, ReferenceArgs, length_text};
use clap::{Args, Subcommand, ValueEnum};
use runtime::kafka::Secret;
use std::path::PathBuf;

/// `rater run`. Every option may also stand in the file of `--config`, under its name.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Settings as TOML: options by their names, with `-` or as tables; flags and environment go before
    #[arg(long, env = "RATER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reference: ReferenceArgs,
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryOptions,
}

/// `rater tail`.
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

/// `rater top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Where services serve their metrics; several are added up
    #[arg(default_value = "127.0.0.1:9464", value_name = "HOST:PORT")]
    pub(crate) addresses: Vec<String>,
    /// How often it looks
    #[arg(long, default_value = "2 s", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) every: String,
    /// Look twice, show once
    #[arg(long)]
    pub(crate) once: bool,
}

/// How many messages of each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastMessages {
    /// All that are there.
    All,
    /// So many.
    Count(u32),
}

fn parse_last(text: &str) -> Result<LastMessages, String> {
    match text {
        "all" => Ok(LastMessages::All),
        number => number.parse().map(LastMessages::Count).map_err(|_| "a number, or `all`".to_owned()),
    }
}

/// How the cluster is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaOptions {
    /// Some of the brokers, separated by commas
    #[arg(
        long,
        env = "RATER_KAFKA_BROKERS",
        default_value = "127.0.0.1:9092",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        hide_env_values = true
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
    #[arg(long, env = "RATER_KAFKA_PROPERTY", value_name = "NAME=VALUE", value_parser = PropertyOption::parse, hide_env_values = true)]
    pub(crate) kafka_property: Vec<PropertyOption>,
}

/// How connections are secured.
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
#[derive(Debug, Args)]
#[command(next_help_heading = "Schema registry")]
pub(crate) struct RegistryOptions {
    /// Address; without one messages say their schema by fingerprint
    #[arg(long, env = "RATER_REGISTRY_URL", value_name = "URL", hide_env_values = true)]
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
    /// Give what leaves headers of CloudEvents 1.0 (binary mode), with this URI as their source, such as /rater/uk [default: no such headers]
    #[arg(long, env = "RATER_CLOUDEVENTS_SOURCE", value_name = "URI", hide_env_values = true)]
    pub(crate) cloudevents_source: Option<String>,
    /// Guide reads usage itself: all copies of a record come to the same partition already
    #[arg(long, env = "RATER_SKIP_INTAKE")]
    pub(crate) skip_intake: bool,
}

/// How it runs.
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
    /// Bytes of suspended messages that recycle keeps in memory; the rest stands in a scratch file
    #[arg(long, env = "RATER_SUSPENSE_MEMORY", default_value_t = 67_108_864, value_name = "N")]
    pub(crate) suspense_memory: u64,
    /// Folder of the scratch file, which is made anew at each start [default: the system's folder for what is temporary]
    #[arg(long, env = "RATER_SCRATCH_FOLDER", value_name = "FOLDER")]
    pub(crate) scratch_folder: Option<PathBuf>,
    /// Names this process among all that run: no two have one at the same time [default: name of the machine, number of the process and moment of its start]
    #[arg(long, env = "RATER_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// How often ticks are written; `never` where another process does
    #[arg(long, env = "RATER_TICK_EVERY", default_value = "10 s", value_name = "LENGTH", value_parser = length_or_never)]
    pub(crate) tick_every: String,
    /// How often what is unavailable is asked for again, a second apart at most, before a worker stops
    #[arg(long, env = "RATER_ATTEMPTS", default_value_t = 180, value_name = "N")]
    pub(crate) attempts: u32,
    /// How long one call into the client library, the store or the disk may take before the process ends, with code 3
    #[arg(long, env = "RATER_CALL_LIMIT", default_value = "60 s", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) call_limit: String,
    /// Where Kafka has forgotten a group's position after idle days: go on from the position in the state
    #[arg(long, env = "RATER_POSITIONS_FROM_STATE")]
    pub(crate) positions_from_state: bool,
    /// A topic that was made anew under its old name: read it from its beginning, once, though the state was made from another; with `=mirrored` behind the name go on
    /// in it where the state is, because a mirror has kept all offsets; several are separated by commas
    #[arg(long = "topic-made-anew", env = "RATER_TOPIC_MADE_ANEW", value_name = "TOPIC", value_delimiter = ',')]
    pub(crate) topics_made_anew: Vec<String>,
    /// A topic whose messages may be gone before they were processed: go on behind the gap, and count it; several are separated by commas
    #[arg(long = "skip-gap", env = "RATER_SKIP_GAP", value_name = "TOPIC", value_delimiter = ',')]
    pub(crate) skip_gaps: Vec<String>,
    /// A message of an internal topic that Rater did not write: pass it over, and count it; several are separated by commas
    #[arg(
        long = "skip-message",
        env = "RATER_SKIP_MESSAGE",
        value_name = "TOPIC:PARTITION:OFFSET",
        value_delimiter = ','
    )]
    pub(crate) skip_messages: Vec<String>,
    /// What becomes of bundles that reference data grant: `buy` them when they are due, each once, or `ignore` them, where commands buy them
    #[arg(long, env = "RATER_GRANTS", value_enum, default_value_t = GrantsOption::Buy, value_name = "WHAT")]
    pub(crate) grants: GrantsOption,
    /// How often, by the clock of ticks, all endpoints of a store are gone through for bundles that their plans grant and for what their accounts are told, 1 min at least; what changes is read at once
    #[arg(long, env = "RATER_CYCLE_EVERY", default_value = "1 h", value_name = "LENGTH")]
    pub(crate) cycle_every: String,
    /// Source of records that name none
    #[arg(long, env = "RATER_SOURCE", default_value = "kafka", value_name = "NAME")]
    pub(crate) source: String,
    /// How far ahead of now an event may lie
    #[arg(long, env = "RATER_FUTURE_TOLERANCE", default_value = "1 h", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) future_tolerance: String,
    #[command(flatten)]
    pub(crate) doubts: super::DoubtOptions,
    /// How long record ids are remembered behind the clock of ticks, in whole hours; `forever` has no end
    #[arg(long, env = "RATER_DUPLICATE_WINDOW", default_value = "72 h", value_name = "LENGTH", value_parser = window_text)]
    pub(crate) duplicate_window: String,
    /// How long ids of commands are remembered, from their arrival on, in whole hours; for ever where record ids are. A command that takes effect earlier is refused
    #[arg(long, env = "RATER_COMMAND_MEMORY", default_value = "35 days", value_name = "LENGTH", value_parser = horizon_text)]
    pub(crate) command_memory: String,
    /// How long bundles, sessions, months and caps are remembered behind the clock of ticks, in whole hours; never shorter than a finite --duplicate-window. Usage from before is too old to be rated
    #[arg(long, env = "RATER_STATE_HORIZON", default_value = "45 d", value_name = "LENGTH", value_parser = horizon_text)]
    pub(crate) state_horizon: String,
}

/// What becomes of bundles that reference data grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrantsOption {
    /// They are bought when they are due.
    Buy,
    /// They are not bought.
    Ignore,
}

/// What it shows of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics and log")]
pub(crate) struct TelemetryOptions {
    /// Where /metrics, /healthz and /readyz are served; `off` for nowhere
    #[arg(long, env = "RATER_LISTEN", default_value = "127.0.0.1:9464", value_name = "ADDRESS:PORT", value_parser = address_or_off)]
    pub(crate) listen: String,
    /// Form of the log on stderr
    #[arg(long, env = "RATER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORM")]
    pub(crate) log_format: LogFormat,
    /// Least level that is logged [default: info; error with --quiet, debug with --verbose]
    #[arg(long, env = "RATER_LOG", value_enum, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
    /// Log what identifies a person, such as the IMSI of a record that waits, at any level: else only at debug
    #[arg(long, env = "RATER_LOG_PERSONAL_DATA")]
    pub(crate) log_personal_data: bool,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line per event, for people.
    Text,
    /// An object per line.
    Json,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Somebody must act.
    Error,
    /// It goes on, but not as it should.
    Warn,
    /// Partitions come and go; something waits.
    Info,
    /// Every batch.
    Debug,
    /// Everything.
    Trace,
}

fn address_or_off(text: &str) -> Result<String, String> {
    match text {
        "off" => Ok(text.to_owned()),
        address => address
            .parse::<std::net::SocketAddr>()
            .map(|_| address.to_owned())
            .map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9464 or [::1]:9464, or off".to_owned()),
    }
}

/// Which stages run in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageOption {
    /// Decodes, validates, routes by record id.
    Intake,
    /// Removes duplicates, finds lineages and rates.
    Guide,
    /// Owns accounts.
    Rate,
    /// Keeps what waits until it is tried again.
    Recycle,
    /// Does what the directory and time cause.
    Cycle,
    /// All five.
    All,
}

fn length_or_never(text: &str) -> Result<String, String> {
    if text == "never" { Ok(text.to_owned()) } else { length_text(text) }
}

fn horizon_text(text: &str) -> Result<String, String> {
    crate::settings::horizon_hours(text).map(|_| text.to_owned())
}

fn window_text(text: &str) -> Result<String, String> {
    crate::settings::hours(text).map(|_| text.to_owned())
}

/// A property of the client library.
#[derive(Clone, Debug)]
pub(crate) enum PropertyOption {
    /// Its name and value.
    Named(String, Secret),
    /// Some other text. Whoever parses options shows what is none, and it may be a secret: so it is refused later.
    Malformed,
}

impl PropertyOption {
    #[expect(clippy::unnecessary_wraps, reason = "as a parser of values has to be")]
    fn parse(text: &str) -> Result<PropertyOption, String> {
        Ok(match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => PropertyOption::Named(name.to_owned(), Secret::new(value)),
            Some(_) | None => PropertyOption::Malformed,
        })
    }
}

/// `rater schema`.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Say of each topic whether its contract is registered, or could be
    Check(SchemaArgs),
    /// Register the contract of each topic, with compatibility FULL_TRANSITIVE
    Register(SchemaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
}
