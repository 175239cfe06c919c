//! What the topics of a deployment have to be like.

use super::names::{StageName, TopicNames};
use crate::wire::Message;

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
    /// How many partitions it gets if it is not there.
    pub partitions: u32,
    /// How it is cleaned up.
    pub clean_up: CleanUp,
    /// What it is for, and who reads and writes it.
    pub purpose: &'static str,
}

const DAY_MS: u64 = 86_400_000;

/// All topics of a deployment.
pub fn wanted(names: &TopicNames, counts: PartitionCounts, skip_intake: bool) -> Vec<WantedTopic> {
    let topic = |name, partitions, clean_up, purpose| WantedTopic { name, partitions, clean_up, purpose };
    let mut topics = Vec::new();
    for name in &names.usage {
        topics.push(topic(name.clone(), counts.inputs, CleanUp::DeleteAfter(7 * DAY_MS), "usage: mediation writes"));
    }
    for name in &names.commands {
        topics.push(topic(name.clone(), counts.inputs, CleanUp::DeleteAfter(30 * DAY_MS), "commands: billing writes"));
    }
    let internal = CleanUp::DeleteAfter(3 * DAY_MS);
    if !skip_intake {
        topics.push(topic(names.intaken(), counts.intaken, internal, "internal: intake to guide"));
    }
    topics.push(topic(names.guided(), counts.guided, internal, "internal: guide to rate"));
    for (stage, partitions) in [
        (StageName::Intake, if skip_intake { 0 } else { counts.inputs }),
        (StageName::Guide, if skip_intake { counts.inputs } else { counts.intaken }),
        (StageName::Rate, counts.guided),
    ] {
        if partitions > 0 {
            topics.push(topic(names.changelog(stage), partitions, CleanUp::Compact, "internal: state"));
        }
    }
    for message in Message::ALL {
        let (days, purpose) = match message {
            Message::Charge => (30, "charges: billing reads"),
            Message::BalanceDelta => (30, "balance deltas: billing reads"),
            Message::Suspense => (90, "what waits: operations reads"),
            Message::Notification => (30, "notifications: customer care reads"),
            Message::CommandReply => (30, "replies to commands: billing reads"),
        };
        topics.push(topic(names.output(*message), counts.outputs, CleanUp::DeleteAfter(days * DAY_MS), purpose));
    }
    topics
}
