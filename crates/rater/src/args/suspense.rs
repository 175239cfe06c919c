//! Options of `rater suspense`.

use super::{KafkaOptions, RegistryOptions, TopicOptions};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rater suspense`.
#[derive(Debug, Subcommand)]
pub(crate) enum SuspenseCommand {
    /// List what waits
    Ls(Box<SuspenseArgs>),
    /// Show what waits with all that is known of it, the original included
    Show(Box<SuspenseArgs>),
    /// Have it tried again: a plan, and with --apply the request itself
    Recycle(Box<SuspenseArgs>),
    /// Give it up, for good: a plan, and with --apply the request itself
    WriteOff(Box<SuspenseArgs>),
}

impl SuspenseCommand {
    /// The options, whichever it is.
    pub(crate) fn args(&self) -> &SuspenseArgs {
        match self {
            SuspenseCommand::Ls(args)
            | SuspenseCommand::Show(args)
            | SuspenseCommand::Recycle(args)
            | SuspenseCommand::WriteOff(args) => args,
        }
    }
}

/// All of them. Those of `rater run` may stand in the same file.
#[derive(Debug, Args)]
pub(crate) struct SuspenseArgs {
    /// Ids of records or commands [default: all; `write-off` needs ids or reasons]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Only what waits for this reason; may be repeated
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(crate) reason: Vec<String>,
    /// `recycle`: also what came too late to tell whether it was charged before
    #[arg(long)]
    pub(crate) late: bool,
    /// `write-off`: why, for whoever asks later; needed there
    #[arg(long, value_name = "TEXT", value_parser = because)]
    pub(crate) because: Option<String>,
    /// `recycle`, `write-off`: do it
    #[arg(long)]
    pub(crate) apply: bool,
    /// Settings as TOML: options by their names, with `-` or as tables; flags and environment go before
    #[arg(long, env = "RATER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
}

fn reason(text: &str) -> Result<String, String> {
    let known = rating::SuspenseReason::parse(text);
    if known.is_some() { Ok(text.to_owned()) } else { Err("no such reason; docs/suspense.md lists them".to_owned()) }
}

/// Longest explanation, in bytes: it is a header of every message about what is given up.
const MAX_BECAUSE_BYTES: usize = 500;

fn because(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why".to_owned()),
        text if text.len() > MAX_BECAUSE_BYTES || text.chars().any(char::is_control) => {
            Err(format!("one line of at most {MAX_BECAUSE_BYTES} bytes"))
        }
        text => Ok(text.to_owned()),
    }
}
