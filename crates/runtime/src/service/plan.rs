//! What has to be done so that a cluster has the topics that are wanted, and what is left to people because it would lose messages or part
//! what belongs together.
//!
//! | difference | answer |
//! | --- | --- |
//! | a topic is missing | it is made |
//! | messages are kept too short, or may not be long enough | the setting is raised |
//! | more partitions of inputs are wanted, and intake spreads records anew | they are added, with those of intake's changelog |
//! | any other change of partitions, shorter retention, a wrong clean-up | refused, with the reason |
//!
//! Pure: what is there comes in, what is to be done goes out.

use super::names::StageName;
use super::topics::{CleanUp, DEFAULT_PARTITIONS, MAX_INPUT_BYTES, PartitionCounts, Role, WantedTopic};
use crate::kafka::{FoundTopic, MAX_MESSAGE_BYTES};
use std::collections::BTreeMap;

/// What was asked for beyond the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Partitions of each input; `None` is as many as there are, else [`DEFAULT_PARTITIONS`].
    pub inputs: Option<u32>,
    /// Those of the topic from intake to guide.
    pub intaken: Option<u32>,
    /// Those of the topic from guide to rate.
    pub guided: Option<u32>,
    /// Those of each output.
    pub outputs: Option<u32>,
    /// Copies of each partition of new topics; `None` leaves it to the cluster.
    pub replication: Option<u16>,
    /// Whether a retention was asked for, so that a longer one is a difference.
    pub retention: RetentionAsked,
    /// Guide reads the inputs itself.
    pub skip_intake: bool,
}

impl Asked {
    /// These numbers of partitions, and nothing else.
    pub fn partitions(counts: PartitionCounts, skip_intake: bool) -> Asked {
        let PartitionCounts { inputs, intaken, guided, outputs } = counts;
        let (inputs, intaken, guided, outputs) = (Some(inputs), Some(intaken), Some(guided), Some(outputs));
        Asked { inputs, intaken, guided, outputs, skip_intake, ..Asked::default() }
    }
}

/// Which retentions were asked for; the others are least values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionAsked {
    /// Of inputs.
    pub input: bool,
    /// Between stages.
    pub internal: bool,
    /// Of outputs.
    pub output: bool,
}

/// One thing that is to be said of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What differs.
    pub what: String,
    /// What harm that does, or would do.
    pub harm: String,
    /// What becomes of it.
    pub answer: Answer,
}

/// What becomes of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The topic gets this many partitions.
    Grow(u32),
    /// This setting is set.
    Set(&'static str, String),
    /// Nothing is done: it would lose messages or part what belongs together. People decide.
    Refuse,
    /// Nothing need be done.
    Hint,
}

/// What is to be done with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// As it has to be.
    pub wanted: WantedTopic,
    /// As it is; `None` if it is missing and will be made.
    pub found: Option<FoundTopic>,
    /// How many partitions it has to have.
    pub partitions: u32,
    /// What differs.
    pub findings: Vec<Finding>,
}

impl TopicPlan {
    /// Whether there is something to do or to decide.
    pub fn is_open(&self) -> bool {
        self.found.is_none() || self.findings.iter().any(|finding| finding.answer != Answer::Hint)
    }

    /// What is left to people.
    pub fn refused(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.answer == Answer::Refuse)
    }
}

/// Compares what is wanted with what is there.
///
/// # Errors
/// A number of partitions that cannot work, in words.
pub fn plan(
    wanted: Vec<WantedTopic>,
    found: &BTreeMap<String, FoundTopic>,
    asked: &Asked,
) -> Result<Vec<TopicPlan>, String> {
    if let Some(guided) = asked.guided.filter(|guided| !guided.is_power_of_two()) {
        return Err(format!("{guided} partitions of guided legs: a power of two is needed"));
    }
    let own = |topic: &WantedTopic| {
        let there = found.get(&topic.name).map(|found| found.partitions);
        asked_of(topic.role, asked).or(there).unwrap_or(DEFAULT_PARTITIONS)
    };
    let most = |is_read: fn(Role) -> bool| wanted.iter().filter(|topic| is_read(topic.role)).map(own).max();
    let is_input = |role| matches!(role, Role::Usage | Role::Commands);
    let read_by = |stage| match stage {
        StageName::Intake => most(is_input),
        StageName::Guide if asked.skip_intake => most(is_input),
        StageName::Guide => most(|role| role == Role::Intaken),
        StageName::Rate => most(|role| role == Role::Guided),
        StageName::Recycle => most(|role| role == Role::Waiting),
        // It reads ticks.
        StageName::Cycle => Some(1),
    };
    let partitions: Vec<u32> = (wanted.iter())
        .map(|topic| match topic.role {
            Role::Changelog(stage) => read_by(stage).unwrap_or(DEFAULT_PARTITIONS),
            Role::Ticks => 1,
            Role::Retries => most(is_input).unwrap_or(DEFAULT_PARTITIONS),
            Role::Usage | Role::Commands | Role::Intaken | Role::Guided | Role::Waiting | Role::Output(_) => own(topic),
        })
        .collect();
    let plans = wanted.into_iter().zip(partitions).map(|(wanted, partitions)| {
        let found = found.get(&wanted.name).cloned();
        let findings = found.as_ref().map(|found| compare(&wanted, partitions, found, asked)).unwrap_or_default();
        TopicPlan { wanted, found, partitions, findings }
    });
    Ok(plans.collect())
}

fn asked_of(role: Role, asked: &Asked) -> Option<u32> {
    match role {
        Role::Usage | Role::Commands => asked.inputs,
        Role::Intaken => asked.intaken,
        Role::Guided => asked.guided,
        Role::Waiting | Role::Output(_) => asked.outputs,
        Role::Ticks => Some(1),
        Role::Retries | Role::Changelog(_) => None,
    }
}

fn compare(wanted: &WantedTopic, partitions: u32, found: &FoundTopic, asked: &Asked) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(compare_partitions(wanted.role, partitions, found, asked));
    findings.extend(compare_clean_up(wanted, found, asked));
    findings.extend(compare_length(wanted.role, found));
    findings.extend(compare_clock(wanted, found));
    findings.extend(safety(found));
    findings
}

fn compare_partitions(role: Role, wanted: u32, found: &FoundTopic, asked: &Asked) -> Option<Finding> {
    let there = found.partitions;
    let refuse = |harm: &str| {
        let what = format!("{there} partitions, {wanted} wanted");
        Some(Finding { what, harm: harm.to_owned(), answer: Answer::Refuse })
    };
    let grow = |harm: &str| {
        let what = format!("{there} partitions, {wanted} wanted");
        Some(Finding { what, harm: harm.to_owned(), answer: Answer::Grow(wanted) })
    };
    match role {
        Role::Guided if !there.is_power_of_two() => {
            let what = format!("{there} partitions, which is no power of two");
            let harm = "accounts cannot be spread over them: the pipeline does not start";
            Some(Finding { what, harm: harm.to_owned(), answer: Answer::Refuse })
        }
        // One that has more than is read is as good.
        Role::Changelog(_) | Role::Retries if there >= wanted => None,
        Role::Retries => {
            grow("partitions of the inputs from which nothing could be tried again: the pipeline does not start")
        }
        Role::Changelog(StageName::Intake) => {
            grow("partitions of the inputs without a place for state: the pipeline does not start")
        }
        Role::Changelog(_) => refuse(
            "what its stage reads has more partitions than there is state for: the pipeline does not start, and state that was made for \
             fewer partitions is now apart from its records",
        ),
        _ if there == wanted => None,
        Role::Ticks => {
            refuse("ticks in other partitions than the first are never read: delete the topic and have it made anew")
        }
        Role::Usage | Role::Commands | Role::Intaken | Role::Guided | Role::Waiting | Role::Output(_)
            if there > wanted =>
        {
            refuse("Kafka takes no partitions away; a topic that is made anew loses its messages")
        }
        Role::Usage | Role::Commands if !asked.skip_intake => grow(
            "stop the pipeline first; messages of one key that are not read yet may be overtaken by later ones in another partition",
        ),
        Role::Usage | Role::Commands => {
            refuse("copies of a record would come to another partition than the first one, and be charged again")
        }
        Role::Intaken => refuse("copies of a record would meet other state than the first one, and be charged again"),
        Role::Waiting => refuse("what waits again would come to another partition than before"),
        Role::Guided => refuse("accounts would come to partitions that do not have their balances"),
        Role::Output(_) => refuse("later messages of an account would come to another partition than earlier ones"),
    }
}

fn compare_clean_up(wanted: &WantedTopic, found: &FoundTopic, asked: &Asked) -> Option<Finding> {
    let policy = found.settings.get("cleanup.policy").map_or("delete", String::as_str);
    let refuse = |what: String, harm: &str| Some(Finding { what, harm: harm.to_owned(), answer: Answer::Refuse });
    match wanted.clean_up {
        CleanUp::Compact if policy == "compact" => None,
        CleanUp::Compact => refuse(
            format!("cleanup.policy is {policy}, not compact"),
            "state is deleted by age, and may be already: look whether it is complete before you set it to compact, or delete the topic if \
             the pipeline never ran",
        ),
        CleanUp::DeleteAfter(_) if policy != "delete" => refuse(
            format!("cleanup.policy is {policy}, not delete"),
            "of the messages of one key only the last is kept: the others are lost, if they were not read in time",
        ),
        CleanUp::DeleteAfter(least) => {
            let kept = found.settings.get("retention.ms").and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
            // Negative is for ever.
            let kept = u64::try_from(kept).unwrap_or(u64::MAX);
            let what = || format!("messages are kept {}, {} wanted", length(kept), length(least));
            if kept < least {
                let harm = "what is not read by then is lost".to_owned();
                return Some(Finding { what: what(), harm, answer: Answer::Set("retention.ms", least.to_string()) });
            }
            let is_asked = match wanted.role {
                Role::Usage | Role::Commands => asked.retention.input,
                Role::Ticks | Role::Retries | Role::Intaken | Role::Guided | Role::Waiting => asked.retention.internal,
                Role::Output(_) => asked.retention.output,
                Role::Changelog(_) => false,
            };
            (is_asked && kept > least).then(|| {
                let harm = "a shorter time deletes messages at once".to_owned();
                Finding { what: what(), harm, answer: Answer::Refuse }
            })
        }
    }
}

fn compare_length(role: Role, found: &FoundTopic) -> Option<Finding> {
    let longest: u64 = found.settings.get("max.message.bytes")?.parse().ok()?;
    let limit = u64::from(MAX_MESSAGE_BYTES);
    match role {
        Role::Usage | Role::Commands => (longest > u64::from(MAX_INPUT_BYTES)).then(|| Finding {
            what: format!("max.message.bytes is {longest}"),
            harm: format!(
                "a message above {MAX_INPUT_BYTES} bytes might not fit into suspense: the pipeline would stop at it"
            ),
            answer: Answer::Hint,
        }),
        Role::Ticks => None,
        Role::Retries | Role::Intaken | Role::Guided | Role::Waiting | Role::Changelog(_) | Role::Output(_) => {
            (longest < limit).then(|| Finding {
                what: format!("max.message.bytes is {longest}, {limit} wanted"),
                harm: "the pipeline stops at a message that is longer".to_owned(),
                answer: Answer::Set("max.message.bytes", limit.to_string()),
            })
        }
    }
}

fn compare_clock(wanted: &WantedTopic, found: &FoundTopic) -> Option<Finding> {
    let CleanUp::DeleteAfter(_) = wanted.clean_up else { return None };
    let is_by_writer = found.is_dated_by_writers();
    let (harm, answer) = match wanted.role {
        Role::Usage | Role::Commands => (
            "a message whose writer says that it is old may be deleted before it is read: prefer LogAppendTime",
            Answer::Hint,
        ),
        Role::Ticks => (
            "a tick is measured by when it was appended: the pipeline does not start without",
            Answer::Set("message.timestamp.type", "LogAppendTime".to_owned()),
        ),
        // Our own messages carry the time at which they are written.
        Role::Retries | Role::Intaken | Role::Guided | Role::Waiting | Role::Changelog(_) | Role::Output(_) => {
            return None;
        }
    };
    let what = "message.timestamp.type is CreateTime".to_owned();
    is_by_writer.then(|| Finding { what, harm: harm.to_owned(), answer })
}

fn safety(found: &FoundTopic) -> Option<Finding> {
    let in_sync: Option<u32> = found.settings.get("min.insync.replicas").and_then(|text| text.parse().ok());
    let hint = |what: String, harm: &str| Some(Finding { what, harm: harm.to_owned(), answer: Answer::Hint });
    match (found.replication, in_sync) {
        (0 | 1, _) => hint("one copy".to_owned(), "a broker that is lost takes messages with it: 3 are usual"),
        (copies, Some(in_sync)) if in_sync >= copies => hint(
            format!("{copies} copies, min.insync.replicas {in_sync}"),
            "one broker that is away stops the pipeline: min.insync.replicas 2 of 3 copies is usual",
        ),
        (copies, Some(1)) => hint(
            format!("{copies} copies, min.insync.replicas 1"),
            "what one broker alone has taken may be lost with it: 2 of 3 copies is usual",
        ),
        (_, _) => None,
    }
}

/// A length of time in the largest unit that it is a whole number of.
pub fn length(milliseconds: u64) -> String {
    if milliseconds >= i64::MAX as u64 {
        return "for ever".to_owned();
    }
    let units = [(86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{milliseconds} ms"), |(unit, name)| format!("{} {name}", milliseconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::TopicNames;
    use crate::service::topics::{Retention, wanted};

    /// Topics as `apply` makes them, with so many copies, of which so many have to have a message.
    fn cluster(replication: u32, in_sync: &str) -> BTreeMap<String, FoundTopic> {
        let plans =
            plan(wanted(&TopicNames::new(""), Retention::default(), false), &BTreeMap::new(), &Asked::default());
        let made = plans.expect("a plan").into_iter().map(|plan| {
            assert!(plan.is_open(), "{} is missing", plan.wanted.name);
            let own = plan.wanted.settings().into_iter().map(|(name, value)| (name.to_owned(), value));
            let settings = own.chain([("min.insync.replicas".to_owned(), in_sync.to_owned())]).collect();
            (plan.wanted.name.clone(), FoundTopic::new(plan.partitions, replication, settings))
        });
        made.collect()
    }

    /// What is said of one topic.
    fn said(found: &BTreeMap<String, FoundTopic>, asked: &Asked, name: &str) -> Vec<(String, Answer)> {
        let plans = plan(wanted(&TopicNames::new(""), Retention::default(), asked.skip_intake), found, asked);
        let plans = plans.expect("a plan");
        let topic = plans.iter().find(|plan| plan.wanted.name == name).expect("the topic");
        topic.findings.iter().map(|finding| (finding.what.clone(), finding.answer.clone())).collect()
    }

    #[test]
    fn copies_are_a_hint_and_nothing_to_do() {
        let cases = [
            (1, "1", Some("one copy")),
            (2, "1", Some("2 copies, min.insync.replicas 1")),
            (2, "2", Some("2 copies, min.insync.replicas 2")),
            (3, "3", Some("3 copies, min.insync.replicas 3")),
            (3, "2", None),
        ];
        for (replication, in_sync, expected) in cases {
            let found = cluster(replication, in_sync);
            let hint = expected.map(|what| (what.to_owned(), Answer::Hint));
            assert_eq!(said(&found, &Asked::default(), "guided"), hint.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn where_the_inputs_differ_the_largest_needs_places_for_its_state() {
        let mut found = cluster(3, "2");
        found.get_mut("account-commands").expect("the topic").partitions = 12;
        let grow = vec![("8 partitions, 12 wanted".to_owned(), Answer::Grow(12))];
        assert_eq!(said(&found, &Asked::default(), "intake-changelog"), grow);
        // Without intake guide keeps that state, and which record it was may lie in any of them.
        let skipped = Asked { skip_intake: true, ..Asked::default() };
        let refuse = vec![("8 partitions, 12 wanted".to_owned(), Answer::Refuse)];
        assert_eq!(said(&found, &skipped, "guide-changelog"), refuse);
    }

    #[test]
    fn writers_that_date_their_messages_are_a_hint() {
        let mut found = cluster(3, "2");
        let usage = found.get_mut("usage").expect("the topic");
        usage.settings.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        usage.settings.insert("max.message.bytes".to_owned(), "5000000".to_owned());
        let said: Vec<Answer> =
            said(&found, &Asked::default(), "usage").into_iter().map(|(_, answer)| answer).collect();
        assert_eq!(said, [Answer::Hint, Answer::Hint]);
    }

    #[test]
    fn lengths_are_said_in_whole_units() {
        let cases = [
            (0, "0 ms"),
            (1500, "1500 ms"),
            (5000, "5 s"),
            (90_000, "90 s"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(length(milliseconds), expected);
        }
        assert_eq!(length(u64::MAX), "for ever");
    }
}
