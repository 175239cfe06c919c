//! Options of `rater topics`.

use super::{KafkaOptions, TopicOptions, length_text};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rater topics`.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Show what `apply` would do, what differs and what harm that does, and who needs which rights
    Plan(Box<TopicsArgs>),
    /// Make what is missing, and mend what can be mended without losing messages or parting what belongs together
    Apply(Box<TopicsArgs>),
}

/// Both of them. Those of `rater run` may stand in the same file.
#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    /// Settings as TOML: options by their names, with `-` or as tables; flags and environment go before
    #[arg(long, env = "RATER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,
    #[command(flatten)]
    pub(crate) topics: TopicOptions,
    #[command(flatten)]
    pub(crate) new: NewTopicOptions,
}

/// How topics are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "New topics")]
pub(crate) struct NewTopicOptions {
    /// Partitions of each topic with usage or commands [default: what is there, else 8]
    #[arg(long, env = "RATER_INPUT_PARTITIONS", value_name = "N", value_parser = partitions())]
    pub(crate) input_partitions: Option<u32>,
    /// Partitions between intake and guide: as many workers of guide can share the work [default: what is there, else 8]
    #[arg(long, env = "RATER_INTAKEN_PARTITIONS", value_name = "N", value_parser = partitions())]
    pub(crate) intaken_partitions: Option<u32>,
    /// Partitions between guide and rate, a power of two: as many workers of rate can share the work [default: what is there, else 8]
    #[arg(long, env = "RATER_GUIDED_PARTITIONS", value_name = "N", value_parser = partitions())]
    pub(crate) guided_partitions: Option<u32>,
    /// Partitions of each topic that leaves [default: what is there, else 8]
    #[arg(long, env = "RATER_OUTPUT_PARTITIONS", value_name = "N", value_parser = partitions())]
    pub(crate) output_partitions: Option<u32>,
    /// Copies of each partition of new topics [default: the cluster's]
    #[arg(long, env = "RATER_REPLICATION", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) replication: Option<u16>,
    /// How long usage and commands are kept [default: at least 7 days, commands 30]
    #[arg(long, env = "RATER_INPUT_RETENTION", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) input_retention: Option<String>,
    /// How long messages between stages are kept [default: at least 3 days]
    #[arg(long, env = "RATER_INTERNAL_RETENTION", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) internal_retention: Option<String>,
    /// How long outputs are kept [default: at least 30 days, suspense 90]
    #[arg(long, env = "RATER_OUTPUT_RETENTION", value_name = "LENGTH", value_parser = length_text)]
    pub(crate) output_retention: Option<String>,
}

fn partitions() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000)
}
