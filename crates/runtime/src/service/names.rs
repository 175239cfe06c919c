//! The topics of a deployment.

use crate::wire::Message;

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageName {
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
}

impl StageName {
    /// All, in the order of the flow.
    pub const ALL: [StageName; 5] =
        [StageName::Intake, StageName::Guide, StageName::Rate, StageName::Recycle, StageName::Cycle];

    /// The name in options, groups and logs.
    pub fn name(self) -> &'static str {
        match self {
            StageName::Intake => "intake",
            StageName::Guide => "guide",
            StageName::Rate => "rate",
            StageName::Recycle => "recycle",
            StageName::Cycle => "cycle",
        }
    }
}

/// Names of topics: a prefix, so that several deployments fit into one cluster, and the fixed names of the contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    /// Stands before the name of every topic of ours, and of groups and transactional ids.
    pub prefix: String,
    /// Topics with usage, by their full names: others write them.
    pub usage: Vec<String>,
    /// Topics with account commands, by their full names.
    pub commands: Vec<String>,
}

impl TopicNames {
    /// One topic for usage and one for commands.
    pub fn new(prefix: &str) -> TopicNames {
        TopicNames {
            prefix: prefix.to_owned(),
            usage: vec![format!("{prefix}usage")],
            commands: vec![format!("{prefix}account-commands")],
        }
    }

    /// Everything that comes from outside.
    pub fn inputs(&self) -> Vec<String> {
        self.usage.iter().chain(&self.commands).cloned().collect()
    }

    /// From recycling to the stage that reads the inputs: what is tried again, and what waits. Only Rater writes it.
    pub fn retries(&self) -> String {
        format!("{}retries", self.prefix)
    }

    /// Ticks: only Rater writes them, and each stage that keeps time reads them beside its inputs.
    pub fn ticks(&self) -> String {
        format!("{}ticks", self.prefix)
    }

    /// From intake to guide.
    pub fn intaken(&self) -> String {
        format!("{}intaken", self.prefix)
    }

    /// From guide to rate.
    pub fn guided(&self) -> String {
        format!("{}guided", self.prefix)
    }

    /// From all stages to recycling: what waits.
    pub fn waiting(&self) -> String {
        format!("{}waiting", self.prefix)
    }

    /// State of a stage.
    pub fn changelog(&self, stage: StageName) -> String {
        format!("{}{}-changelog", self.prefix, stage.name())
    }

    /// Where a message goes.
    pub fn output(&self, message: Message) -> String {
        format!("{}{}", self.prefix, message.file_stem())
    }

    /// The group in which a process holds its name.
    pub fn group_of_instance(&self, instance: &str) -> String {
        format!("{}rater-instance-{instance}", self.prefix)
    }

    /// The group of a stage.
    pub fn group(&self, stage: StageName) -> String {
        format!("{}rater-{}", self.prefix, stage.name())
    }
}
