//! What the topics of a deployment have to be like.
//!
//! | kind | cleaned up | why |
//! | --- | --- | --- |
//! | inputs, internal, outputs | by age, counted from the broker's clock | a record's own time says nothing of when it may go: one that arrives late would be deleted unread |
//! | changelogs | compacted, in small segments, at once | state is the last entry of each key, and the segment that is written is never compacted |
//!
//! Messages of ours may be [`MAX_MESSAGE_BYTES`] long: what waits in suspense carries its original.

use super::names::{StageName, TopicNames};
use crate::kafka::MAX_MESSAGE_BYTES;
use crate::wire::Message;

/// How many partitions topics get that are not there yet, where nobody says otherwise.
pub const DEFAULT_PARTITIONS: u32 = 8;

/// The longest message of an input: with what surrounds its original in suspense it is still one that can be written.
pub const MAX_INPUT_BYTES: u32 = MAX_MESSAGE_BYTES / 2;

/// How many partitions new topics get.
#[derive(Clone, Copy, Debug)]
pub struct PartitionCounts {
    /// Each topic that comes from outside.
    pub inputs: u32,
    /// From intake to guide.
    pub intaken: u32,
    /// From guide to rate: a power of two.
    pub guided: u32,
    /// Each topic that leaves.
    pub outputs: u32,
}

/// Which topic it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Usage, from outside.
    Usage,
    /// Account commands, from outside.
    Commands,
    /// Ticks.
    Ticks,
    /// From recycling to the stage that reads the inputs.
    Retries,
    /// From intake to guide.
    Intaken,
    /// From guide to rate.
    Guided,
    /// From all stages to recycling.
    Waiting,
    /// State of a stage.
    Changelog(StageName),
    /// What leaves.
    Output(Message),
}

impl Role {
    /// Whether its number of partitions is a setting; those of a changelog and of retries follow from what is read, ticks have one.
    pub fn has_own_partitions(self) -> bool {
        match self {
            Role::Usage | Role::Commands | Role::Intaken | Role::Guided | Role::Waiting | Role::Output(_) => true,
            Role::Ticks | Role::Retries | Role::Changelog(_) => false,
        }
    }

    /// What it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Role::Usage => "usage: mediation writes",
            Role::Commands => "account commands: billing writes",
            Role::Ticks => "internal: ticks",
            Role::Retries => "internal: what is tried again",
            Role::Intaken => "internal: intake to guide",
            Role::Guided => "internal: guide to rate",
            Role::Waiting => "internal: what waits, to recycling",
            Role::Changelog(_) => "internal: state",
            Role::Output(Message::Charge) => "charges: billing reads",
            Role::Output(Message::BalanceDelta) => "balance deltas: billing reads",
            Role::Output(Message::Suspense) => "what waits: operations read",
            Role::Output(Message::Notification) => "notifications: customer care reads",
            Role::Output(Message::CommandReply) => "replies to commands: billing reads",
            Role::Output(Message::LifeEvent) => "what became of bundles and accounts: customer care reads",
        }
    }
}

/// How a topic is cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUp {
    /// The last message of each key is kept for ever: state.
    Compact,
    /// Messages are deleted after so many milliseconds.
    DeleteAfter(u64),
}

/// A topic as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTopic {
    /// Its name.
    pub name: String,
    /// Which it is.
    pub role: Role,
    /// How it is cleaned up.
    pub clean_up: CleanUp,
}

impl WantedTopic {
    /// The settings it gets when it is made.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = match self.clean_up {
            CleanUp::DeleteAfter(milliseconds) => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", milliseconds.to_string()),
                ("message.timestamp.type", "LogAppendTime".to_owned()),
            ],
            CleanUp::Compact => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", (64 << 20).to_string()),
                ("segment.ms", HOUR_MS.to_string()),
                // A tenth may be outdated; the broker's half makes a restore read twice as much.
                ("min.cleanable.dirty.ratio", "0.1".to_owned()),
                ("min.compaction.lag.ms", "0".to_owned()),
                // Who restores has seen an entry may still meet its deletion a day later.
                ("delete.retention.ms", DAY_MS.to_string()),
            ],
        };
        let longest = match self.role {
            Role::Usage | Role::Commands => MAX_INPUT_BYTES,
            Role::Ticks
            | Role::Retries
            | Role::Intaken
            | Role::Guided
            | Role::Waiting
            | Role::Changelog(_)
            | Role::Output(_) => MAX_MESSAGE_BYTES,
        };
        settings.push(("max.message.bytes", longest.to_string()));
        settings
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// For how long messages are kept at least, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those of inputs; else a week of usage, a month of commands.
    pub input: Option<u64>,
    /// Those between stages; else three days.
    pub internal: Option<u64>,
    /// Those of outputs; else a month, three of what waits.
    pub output: Option<u64>,
}

/// All topics of a deployment, in the order of the flow.
pub fn wanted(names: &TopicNames, retention: Retention, skip_intake: bool) -> Vec<WantedTopic> {
    let days = |set: Option<u64>, days: u64| CleanUp::DeleteAfter(set.unwrap_or(days * DAY_MS));
    let topic = |name, role, clean_up| WantedTopic { name, role, clean_up };
    let mut topics = Vec::new();
    for name in &names.usage {
        topics.push(topic(name.clone(), Role::Usage, days(retention.input, 7)));
    }
    for name in &names.commands {
        topics.push(topic(name.clone(), Role::Commands, days(retention.input, 30)));
    }
    topics.push(topic(names.ticks(), Role::Ticks, days(retention.internal, 3)));
    topics.push(topic(names.retries(), Role::Retries, days(retention.internal, 3)));
    if !skip_intake {
        topics.push(topic(names.intaken(), Role::Intaken, days(retention.internal, 3)));
    }
    topics.push(topic(names.guided(), Role::Guided, days(retention.internal, 3)));
    topics.push(topic(names.waiting(), Role::Waiting, days(retention.internal, 3)));
    for stage in StageName::ALL {
        if stage != StageName::Intake || !skip_intake {
            topics.push(topic(names.changelog(stage), Role::Changelog(stage), CleanUp::Compact));
        }
    }
    for message in Message::ALL {
        let least = match message {
            Message::Suspense => 90,
            Message::Charge
            | Message::BalanceDelta
            | Message::Notification
            | Message::CommandReply
            | Message::LifeEvent => 30,
        };
        topics.push(topic(names.output(*message), Role::Output(*message), days(retention.output, least)));
    }
    topics
}
