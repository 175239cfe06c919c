//! Options of commands that work with the directory's store.

use super::length_text;
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// `rater directory`.
#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Make the tables of the store, or bring them up to date
    Migrate(Box<MigrateArgs>),
    /// Fill the store from reference data: all of it or nothing
    Load(Box<LoadArgs>),
    /// Show what files would change in the store and from when, and do it with --yes
    Apply(Box<ApplyArgs>),
    /// Write what the store holds, as reference data
    Dump(Box<DumpArgs>),
    /// Show what files say otherwise than the store
    Diff(Box<DiffArgs>),
    /// Show an endpoint, and who is charged for it at a moment
    Get(Box<GetArgs>),
    /// Show what was written, when and by whom, and what it makes a candidate for re-rating
    Changes(Box<ChangesArgs>),
    /// Compare every row of the store with its copies, and mend those that differ with --mend
    Verify(Box<VerifyArgs>),
}

impl DirectoryCommand {
    /// The options of the store, and the command's name.
    pub(crate) fn store(&self) -> (&StoreArgs, &'static str) {
        match self {
            DirectoryCommand::Migrate(args) => (&args.store, "migrate"),
            DirectoryCommand::Load(args) => (&args.store, "load"),
            DirectoryCommand::Apply(args) => (&args.store, "apply"),
            DirectoryCommand::Dump(args) => (&args.store, "dump"),
            DirectoryCommand::Diff(args) => (&args.store, "diff"),
            DirectoryCommand::Get(args) => (&args.store, "get"),
            DirectoryCommand::Changes(args) => (&args.store, "changes"),
            DirectoryCommand::Verify(args) => (&args.store, "verify"),
        }
    }
}

/// For each of them.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Settings as TOML: options by their names, with `-` or as tables; flags and environment go before
    #[arg(long, env = "RATER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

impl StoreArgs {
    /// The file of settings.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// How the store is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreOptions {
    /// Some of the nodes of Scylla or Cassandra, separated by commas
    #[arg(
        long,
        env = "RATER_STORE_NODES",
        default_value = "127.0.0.1:9042",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        hide_env_values = true
    )]
    pub(crate) store_nodes: Vec<String>,
    /// Keyspace with the tables
    #[arg(long, env = "RATER_STORE_KEYSPACE", default_value = "rater", value_name = "NAME")]
    pub(crate) store_keyspace: String,
    /// Data centre whose nodes are asked first [default: none is preferred]
    #[arg(long, env = "RATER_STORE_DATACENTER", value_name = "NAME")]
    pub(crate) store_datacenter: Option<String>,
    /// How connections are secured
    #[arg(long, env = "RATER_STORE_SECURITY", value_enum, default_value_t = StoreSecurity::Plaintext, value_name = "HOW")]
    pub(crate) store_security: StoreSecurity,
    /// Authorities to trust, PEM [default: those of the system]
    #[arg(long, env = "RATER_STORE_CA_FILE", value_name = "FILE")]
    pub(crate) store_ca_file: Option<PathBuf>,
    /// User
    #[arg(long, env = "RATER_STORE_USER", value_name = "NAME")]
    pub(crate) store_user: Option<String>,
    /// File with the password [default: the environment variable RATER_STORE_PASSWORD]
    #[arg(long, env = "RATER_STORE_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) store_password_file: Option<PathBuf>,
    /// How long a look-up may take, 500 ms to 2 s
    #[arg(long, env = "RATER_STORE_TIMEOUT", default_value = "1 s", value_name = "LENGTH", value_parser = timeout_text)]
    pub(crate) store_timeout: String,
    /// How many copies answer a read or a write
    #[arg(long, env = "RATER_STORE_CONSISTENCY", value_enum, default_value_t = StoreConsistency::LocalQuorum, value_name = "LEVEL")]
    pub(crate) store_consistency: StoreConsistency,
    /// How far writers agree on who is next; `local-serial` needs all of them in one data centre
    #[arg(long, env = "RATER_STORE_SERIAL_CONSISTENCY", value_enum, default_value_t = StoreSerial::LocalSerial, value_name = "LEVEL")]
    pub(crate) store_serial_consistency: StoreSerial,
}

/// How connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreSecurity {
    /// Not at all.
    Plaintext,
    /// Encrypted.
    Tls,
}

/// How many copies answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreConsistency {
    /// Most of those in the data centre.
    LocalQuorum,
    /// Most of all.
    Quorum,
}

/// How far writers agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreSerial {
    /// In the data centre.
    LocalSerial,
    /// Everywhere.
    Serial,
}

/// `rater directory migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Copies of each row in a new keyspace, for `migrate`: separated by commas, or a number alone for a test without data centres
    #[arg(long, env = "RATER_STORE_REPLICATION", value_delimiter = ',', value_name = "DATACENTER=N")]
    pub(crate) store_replication: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Who writes, and why.
#[derive(Debug, Args)]
pub(crate) struct WriteOptions {
    /// Who writes, for the change log [default: the user of this machine]
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Why, for the change log
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) note: String,
    /// Give up what somebody else is writing, though they may still be at it: what they wrote counts for nothing then
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `rater directory load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Reference data: YAML, and CSV of endpoints [default: rating.yaml]
    pub(crate) files: Vec<PathBuf>,
    /// Where the store holds something: make it hold these files and nothing else
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) write: WriteOptions,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory apply`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["files", "remove"])))]
pub(crate) struct ApplyArgs {
    /// New definitions of what they name: YAML, and CSV of endpoints. What they do not name stays
    pub(crate) files: Vec<PathBuf>,
    /// Remove a definition, such as endpoint:meter-1; may be repeated
    #[arg(long, value_name = "KIND:NAME")]
    pub(crate) remove: Vec<directory::store::Removal>,
    /// Do it
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) write: WriteOptions,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// File for the definitions [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// File for endpoints as CSV; those that a row cannot hold stay with the others
    #[arg(long, value_name = "FILE")]
    pub(crate) endpoints: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Reference data: YAML, and CSV of endpoints [default: rating.yaml]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Name of the endpoint, or imsi:DIGITS, iccid:DIGITS, msisdn:DIGITS
    pub(crate) endpoint: String,
    /// As of when, RFC 3339 [default: the clock of the machine]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory changes`.
#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// What this version changed [default: all versions written since --since, without what they changed]
    #[arg(value_name = "VERSION")]
    pub(crate) number: Option<u64>,
    /// Versions written for so long
    #[arg(long, default_value = "7 days", value_name = "LENGTH", value_parser = length_text, conflicts_with = "number")]
    pub(crate) since: String,
    /// Only what has to be rated again: what was charged by what held before
    #[arg(long)]
    pub(crate) retroactive: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `rater directory verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Write what should stand there, as a version of its own
    #[arg(long)]
    pub(crate) mend: bool,
    #[command(flatten)]
    pub(crate) write: WriteOptions,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

fn timeout_text(text: &str) -> Result<String, String> {
    match crate::settings::length_ms(text)? {
        500..=2_000 => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\" is not between 500 ms and 2 s")),
    }
}
