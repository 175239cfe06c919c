//! From when on two definitions of one thing give different answers.
//!
//! A definition becomes what holds from each of its moments on, as text; the first moment at which two such texts differ is the effect.
//! What a definition says about all times (a zone, the currency of a tariff) differs from the beginning, or where its first version begins.

use super::change::{Effect, read_endpoint, read_one};
use super::definition::{Kind, with_tree, write_node};
use super::endpoint_text::{grant_text, group_name, plan_text};
use crate::model::{Account, BEGINNING, Endpoint, Spanned};
use crate::value::{Digits, parse_time};
use crate::yaml::{Entry, Node, Value};
use rating::Timestamp;
use std::collections::BTreeSet;

/// What holds from when on, ascending, without repetitions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Timeline(Vec<(Timestamp, String)>);

/// From when on answers differ, for a thing that was one body and is another; none is not there.
pub(super) fn effect(kind: Kind, old: Option<&str>, new: Option<&str>) -> Effect {
    let timeline = |body: Option<&str>| body.map_or_else(Timeline::default, |body| timeline_of(kind, body));
    let differs = first_difference(&timeline(old), &timeline(new));
    let granted = match (kind, old, new) {
        (Kind::Account, Some(old), Some(new)) => {
            grants(old).symmetric_difference(&grants(new)).map(|(at, _)| *at).min()
        }
        _ => None,
    };
    Effect::of(differs.into_iter().chain(granted).min())
}

fn first_difference(old: &Timeline, new: &Timeline) -> Option<Timestamp> {
    let moments: BTreeSet<Timestamp> = old.0.iter().chain(&new.0).map(|(from, _)| *from).collect();
    moments.into_iter().find(|moment| old.at(*moment) != new.at(*moment))
}

impl Timeline {
    fn push(&mut self, from: Timestamp, text: String) {
        if self.0.last().is_none_or(|(_, last)| *last != text) {
            self.0.push((from, text));
        }
    }

    fn at(&self, moment: Timestamp) -> Option<&str> {
        let after = self.0.partition_point(|(from, _)| *from <= moment);
        after.checked_sub(1).map(|last| &*self.0[last].1)
    }
}

fn timeline_of(kind: Kind, body: &str) -> Timeline {
    match kind {
        Kind::Zone | Kind::Bundle => Timeline(vec![(BEGINNING, body.to_owned())]),
        Kind::Tariff => dated(body),
        Kind::Account => match read_one(kind, "x", body) {
            Some(model) => model.accounts.get("x").map_or_else(Timeline::default, account),
            None => Timeline(vec![(BEGINNING, body.to_owned())]),
        },
        Kind::Endpoint => match read_endpoint("x", body) {
            Some(found) => endpoint(&found),
            None => Timeline(vec![(BEGINNING, body.to_owned())]),
        },
    }
}

/// A tariff: its versions or dated mark-ups, each together with everything that is not dated.
fn dated(body: &str) -> Timeline {
    let mut timeline = Timeline::default();
    with_tree(body, |root| {
        let Value::Map(entries) = &root.value else { return };
        let is_dated = |entry: &&Entry<'_>| matches!(&*entry.key, "versions" | "markup");
        let mut fixed = String::new();
        for entry in entries.iter().filter(|entry| !is_dated(entry)) {
            fixed.push_str(&entry.key);
            write_node(&entry.value, None, &mut fixed);
        }
        match entries.iter().find(is_dated).map(|entry| (&*entry.key, &entry.value)) {
            Some((key, Node { value: Value::List(items), .. })) => {
                // Before its first version a tariff has no rate; an alias is its master, before its first mark-up.
                if key == "markup" {
                    timeline.push(BEGINNING, fixed.clone());
                }
                for item in items {
                    let (from, text) = part(item);
                    timeline.push(from, format!("{fixed}{text}"));
                }
            }
            other => {
                if let Some((_, node)) = other {
                    write_node(node, None, &mut fixed);
                }
                timeline.push(BEGINNING, fixed);
            }
        }
    });
    timeline
}

/// A version or a mark-up: its moment, and the rest of it.
fn part(item: &Node<'_>) -> (Timestamp, String) {
    let mut from = BEGINNING;
    let mut text = String::new();
    if let Value::Map(entries) = &item.value {
        for entry in entries {
            match (&*entry.key, &entry.value.value) {
                ("from", Value::Scalar(scalar)) => from = parse_time(&scalar.text).unwrap_or(BEGINNING),
                (key, _) => {
                    text.push_str(key);
                    write_node(&entry.value, None, &mut text);
                }
            }
        }
    }
    (from, text)
}

/// An account without its grants: they are commands with moments of their own.
fn account(account: &Account) -> Timeline {
    let mut timeline = Timeline::default();
    let fixed = (account.kind.value, account.currency.value, account.mode, account.time_zone.name());
    for (from, state) in account.states() {
        let name = |reference: Option<&crate::model::Reference>| reference.map(|reference| reference.value.clone());
        let text = format!(
            "{fixed:?} {:?}",
            (
                name(state.parent),
                name(state.tariff),
                name(state.default_customer_tariff),
                state.status,
                state.sponsors,
                state.subscription_types,
                state.properties,
            )
        );
        timeline.push(from, text);
    }
    timeline
}

fn endpoint(endpoint: &Endpoint) -> Timeline {
    let mut timeline = Timeline::default();
    for (from, state) in endpoint.states() {
        let digits = |held: &[Spanned<Digits>]| held.iter().map(|held| held.value).collect::<BTreeSet<Digits>>();
        let identities = state.identities.map(digits);
        let plan = state.plan.map(plan_text);
        let text = format!("{:?}", (&state.customer.value, state.status, identities, plan, group_name(state.group)));
        timeline.push(from, text);
    }
    timeline
}

/// The grants of an account, by the moments at which they are carried out.
fn grants(body: &str) -> BTreeSet<(Timestamp, String)> {
    let model = read_one(Kind::Account, "x", body);
    let account = model.as_ref().and_then(|model| model.accounts.get("x"));
    let all = account.map_or(&[][..], |account| &account.bundles);
    all.iter().map(|grant| (grant.at.map_or(Timestamp::EPOCH, |at| at.value), grant_text(grant))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, old: &str, new: &str, expected: &str) {
        let body = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let effect = effect(kind, body(old).as_deref(), body(new).as_deref());
        assert_eq!(effect.to_json(), expected, "{old} -> {new}");
        let back = super::effect(kind, body(new).as_deref(), body(old).as_deref());
        assert_eq!(back, effect);
    }

    #[test]
    fn effects_begin_where_answers_differ() {
        use Kind::{Account, Endpoint, Tariff, Zone};
        check(Zone, "{networks: [234]}", "{networks: [235]}", "always");
        let versions = |prices: &[(&str, &str)]| {
            let part =
                |(from, price): &(&str, &str)| format!("{{from: {from}, rates: [{{service: data, price: {price}}}]}}");
            let parts: Vec<String> = prices.iter().map(part).collect();
            format!("{{currency: GBP, versions: [{}]}}", parts.join(", "))
        };
        let (january, june) = ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
        let one = versions(&[(january, "1/MB")]);
        check(Tariff, &one, &versions(&[(january, "1/MB"), (june, "2/MB")]), june);
        check(Tariff, &one, &versions(&[(january, "3/MB")]), january);
        check(Tariff, &one, &one.replace("GBP", "EUR"), january);
        check(Tariff, &one, "", january);
        check(Tariff, "{alias_of: a}", "{alias_of: a, markup: [{from: 2026-06-01T00:00:00Z, data: 1/MB}]}", june);
        let account = "{kind: customer, parent: a, currency: GBP}";
        let suspended =
            format!("{{kind: customer, parent: a, currency: GBP, changes: [{{from: {june}, status: suspended}}]}}");
        check(Account, account, &suspended, june);
        check(Account, account, "{kind: customer, parent: b, currency: GBP}", "always");
        let granted = format!("{{kind: customer, parent: a, currency: GBP, bundles: [{{bundle: b, at: {june}}}]}}");
        check(Account, account, &granted, june);
        check(Account, account, "{kind: customer, parent: a, currency: GBP, status: active}", "never");
        check(Endpoint, "{customer: a}", &format!("{{customer: a, changes: [{{from: {june}, customer: b}}]}}"), june);
        check(Endpoint, "", "{customer: a}", "always");
        // It is known from the beginning, and waits until then as inactive.
        check(Endpoint, "{customer: a, active: 2026-01-01T00:00:00Z}", "{customer: a}", "always");
        check(
            Endpoint,
            "{customer: a, active: 2026-01-01T00:00:00Z}",
            "{customer: a, active: 2026-06-01T00:00:00Z}",
            january,
        );
    }
}
