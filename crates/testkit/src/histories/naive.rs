//! What a world says, by scanning its facts from the first to the last: slow, and simple enough to be believed.

use super::world::{Field, Version, World};

/// A question: what a record names, and its event time.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// IMSI, ICCID and MSISDN.
    pub identities: [Option<String>; 3],
    /// Name of an endpoint.
    pub endpoint: Option<String>,
    /// Name of an account.
    pub account: Option<String>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// The answer in words: the endpoint and its edges from below, or why there are none.
#[must_use]
pub fn answer(world: &World, version: &Version, question: &Question) -> String {
    let facts = Known { world, version, at: question.at };
    let holders: Vec<Option<&str>> = (0..3)
        .filter_map(|kind| question.identities[kind].as_deref().map(|digits| facts.holder(kind, digits)))
        .chain(question.endpoint.as_deref().map(|name| version.endpoints.get(name).map(String::as_str)))
        .collect();
    let mut found = holders.iter().flatten();
    let first = found.next();
    if found.any(|other| Some(other) != first) {
        return "identity_conflict".to_owned();
    }
    // Nobody's identity beside somebody's is a contradiction as well.
    if first.is_some() && holders.contains(&None) {
        return "identity_conflict".to_owned();
    }
    let edges = match (first, &question.account) {
        (Some(endpoint), named) => {
            let edges = facts.edges_of_endpoint(endpoint);
            let is_in = |account: &String| edges.iter().any(|edge| edge.payer == *account || edge.payee == *account);
            if named.as_ref().is_some_and(|account| !is_in(account)) {
                return "identity_conflict".to_owned();
            }
            if !facts.is_active(endpoint) {
                return "endpoint_inactive".to_owned();
            }
            edges
        }
        (None, Some(account)) if holders.is_empty() => match account.split_once('/') {
            Some((_, endpoint)) => {
                let edges =
                    version.endpoints.get(endpoint).map(|name| facts.edges_of_endpoint(name)).unwrap_or_default();
                if version.endpoints.contains(endpoint) && !facts.is_active(endpoint) {
                    return "endpoint_inactive".to_owned();
                }
                if edges.first().is_none_or(|edge| edge.payer != *account) {
                    return "unknown_endpoint".to_owned();
                }
                let endpoint = Some(endpoint.to_owned());
                return in_words(endpoint.as_deref(), &edges);
            }
            None => facts.edges_above(account),
        },
        (None, _) => return "unknown_endpoint".to_owned(),
    };
    if edges.is_empty() {
        return "unknown_endpoint".to_owned();
    }
    in_words(first.copied(), &edges)
}

fn in_words(endpoint: Option<&str>, edges: &[Edge]) -> String {
    let mut text = endpoint.unwrap_or("-").to_owned();
    for Edge { payer, payee, status, tariff } in edges {
        text.push_str(&format!(" {payer}>{payee}:{status}:{tariff}"));
    }
    text
}

struct Edge {
    payer: String,
    payee: String,
    status: String,
    tariff: String,
}

struct Known<'w> {
    world: &'w World,
    version: &'w Version,
    at: i64,
}

impl<'w> Known<'w> {
    /// The last that is said about a subject up to the moment; `None` if that takes it away, or nothing is said.
    fn last(&self, subject: &str, field: Field) -> Option<&'w str> {
        let mut last = None;
        for (place, fact) in self.world.facts.iter().enumerate() {
            let is_activation = field == Field::Status && fact.field == Field::Activation;
            let is_known = place < self.version.facts || is_activation;
            if is_known && fact.at <= self.at && fact.subject == subject && (fact.field == field || is_activation) {
                last = fact.value.as_deref();
            }
        }
        last
    }

    fn holder(&self, kind: usize, digits: &str) -> Option<&'w str> {
        let mut endpoints = self.version.endpoints.iter().map(String::as_str);
        endpoints.find(|endpoint| self.last(endpoint, Field::Identity(kind)) == Some(digits))
    }

    /// Inactive before the first activation, if there is one to come.
    fn is_active(&self, endpoint: &str) -> bool {
        let status = self.last(endpoint, Field::Status);
        let status = status.unwrap_or(if self.world.waits(endpoint) { "inactive" } else { "active" });
        status == "active" && self.last(endpoint, Field::Group) != Some("none")
    }

    fn edges_of_endpoint(&self, endpoint: &str) -> Vec<Edge> {
        let Some(customer) = self.last(endpoint, Field::Above) else { return Vec::new() };
        let own = self.last(endpoint, Field::Plan).map(|plan| Edge {
            payer: format!("{customer}/{endpoint}"),
            payee: customer.to_owned(),
            status: "active".to_owned(),
            tariff: match plan.split_once('/') {
                Some(("", _)) | None => "missing".to_owned(),
                Some((tariff, _)) => tariff.to_owned(),
            },
        });
        own.into_iter().chain(self.edges_above(customer)).collect()
    }

    fn edges_above(&self, account: &str) -> Vec<Edge> {
        let mut edges = Vec::new();
        let mut payer = account;
        while let Some(payee) = self.last(payer, Field::Above) {
            let is_customer = payer.starts_with('c');
            let default = if is_customer { self.last(payee, Field::DefaultTariff) } else { None };
            let none = if is_customer { "missing" } else { "none" };
            edges.push(Edge {
                payer: payer.to_owned(),
                payee: payee.to_owned(),
                status: self.last(payer, Field::Status).unwrap_or("active").to_owned(),
                tariff: self.last(payer, Field::Tariff).or(default).unwrap_or(none).to_owned(),
            });
            payer = payee;
        }
        edges
    }
}
