//! Which rights on a cluster each party needs, as Kafka's access rules name them.

use super::names::TopicNames;
use super::topics::{Role, WantedTopic};
use crate::wire::Message;

/// What a right is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// All groups whose names begin so.
    Groups(String),
    /// All transactional ids that begin so.
    TransactionalIds(String),
    /// A group of the reader's own.
    OwnGroup,
}

/// A right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Who needs it: `rater` (what `rater run` logs in as), `mediation`, `billing`, `operations`, `customer care`.
    pub party: &'static str,
    /// What may be done.
    pub operations: &'static [&'static str],
    /// With what.
    pub resource: Resource,
}

const READ: &[&str] = &["Read", "Describe"];
const WRITE: &[&str] = &["Write", "Describe"];
const READ_AND_WRITE: &[&str] = &["Read", "Write", "Describe"];

/// All rights, by party. Nobody but `rater` writes or reads ticks and retries, and it writes none of the inputs.
pub fn rights(names: &TopicNames, topics: &[WantedTopic]) -> Vec<Right> {
    let on = |party, operations, name: &String| Right { party, operations, resource: Resource::Topic(name.clone()) };
    let mut rights: Vec<Right> = (topics.iter())
        .map(|topic| match topic.role {
            Role::Usage | Role::Commands => on("rater", READ, &topic.name),
            Role::Ticks | Role::Retries | Role::Intaken | Role::Guided | Role::Waiting | Role::Changelog(_) => {
                on("rater", READ_AND_WRITE, &topic.name)
            }
            Role::Output(_) => on("rater", WRITE, &topic.name),
        })
        .collect();
    let own = format!("{}rater-", names.prefix);
    rights.push(Right { party: "rater", operations: READ, resource: Resource::Groups(own.clone()) });
    rights.push(Right { party: "rater", operations: WRITE, resource: Resource::TransactionalIds(own) });
    let mut readers = Vec::new();
    for topic in topics {
        let (party, operations) = match topic.role {
            Role::Usage => ("mediation", WRITE),
            Role::Commands => ("billing", WRITE),
            Role::Output(Message::Charge | Message::BalanceDelta | Message::CommandReply) => ("billing", READ),
            Role::Output(Message::Suspense) => ("operations", READ),
            Role::Output(Message::Notification | Message::LifeEvent) => ("customer care", READ),
            Role::Waiting => ("operations", READ_AND_WRITE),
            Role::Ticks | Role::Retries | Role::Intaken | Role::Guided | Role::Changelog(_) => continue,
        };
        rights.push(on(party, operations, &topic.name));
        if operations.contains(&"Read") && !readers.contains(&party) {
            readers.push(party);
        }
    }
    rights.extend(readers.into_iter().map(|party| Right { party, operations: READ, resource: Resource::OwnGroup }));
    rights.sort_by_key(|right| match right.party {
        "rater" => 0,
        "mediation" => 1,
        "billing" => 2,
        "operations" => 3,
        _ => 4,
    });
    rights
}
