//! Reading of endpoints.

use super::account::{mode, or_nothing};
use super::bundle::grants;
use super::fields::{Reader, Thing};
use super::shape;
use super::zone::each;
use crate::model::{Endpoint, EndpointChange, EndpointStatus, Group, Identities, IdentityKind, Plan};
use crate::value::{parse_identity, parse_time};
use crate::yaml::{Entry, Node, Value};

pub(super) fn read(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Endpoint> {
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::ENDPOINT)?;
    let customer = fields.get("customer").and_then(|node| reader.name(thing, "customer", node));
    let identities = IdentityKind::ALL.map(|kind| {
        fields.get(kind.as_str()).and_then(|node| identities(reader, thing, kind, node)).unwrap_or_default()
    });
    let group = fields.get("group").and_then(|node| group(reader, thing, node)).unwrap_or_default();
    let active = reader.optional(&fields, "active", parse_time).map(|active| active.value);
    let plan = or_nothing(fields.get("plan"), |node| plan(reader, thing, node)).flatten();
    let mut changes = Vec::new();
    for item in fields.get("changes").and_then(|node| reader.list(thing, "changes", node)).unwrap_or_default() {
        changes.extend(change(reader, thing, item));
    }
    Some(Endpoint { customer: customer?, identities, group, active, plan: plan.map(Box::new), changes })
}

/// An identity, or a list of IMSIs.
fn identities(reader: &mut Reader<'_>, thing: Thing<'_>, kind: IdentityKind, node: &Node<'_>) -> Option<Identities> {
    let parse = |text: &str| parse_identity(kind, text);
    match (kind, &node.value) {
        (IdentityKind::Imsi, Value::List(_)) => Some(each(reader, thing, kind.as_str(), node, parse).into()),
        (IdentityKind::Imsi | IdentityKind::Iccid | IdentityKind::Msisdn, _) => {
            reader.value(thing, kind.as_str(), node, parse).map(Identities::One)
        }
    }
}

fn group(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<Group> {
    // `group: none` is a word and `group: ~` is a mistake; only the first is text.
    let name = reader.name(thing, "group", node)?;
    Some(group_of(&name.value))
}

/// The group of this name.
pub(super) fn group_of(name: &str) -> Group {
    match name {
        "none" => Group::Without,
        "default" => Group::Default,
        other => Group::Named(Box::from(other)),
    }
}

fn plan(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<Plan> {
    let fields = reader.object(thing, node.span, node, &shape::PLAN)?;
    let tariff = fields.get("tariff").and_then(|node| reader.name(thing, "tariff", node));
    let mode = mode(reader, &fields);
    Some(Plan { span: node.span, tariff, mode, bundles: grants(reader, &fields) })
}

fn change(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<EndpointChange> {
    let fields = reader.object(thing, node.span, node, &shape::ENDPOINT_CHANGE)?;
    let from = reader.optional(&fields, "from", parse_time);
    let customer = fields.get("customer").and_then(|node| reader.name(thing, "customer", node));
    let status = fields.get("status").and_then(|node| reader.word(thing, "status", node, shape::ENDPOINT_STATUS));
    let identities = IdentityKind::ALL.map(|kind| {
        let new = or_nothing(fields.get(kind.as_str()), |node| identities(reader, thing, kind, node));
        new.map(Option::unwrap_or_default)
    });
    let plan = or_nothing(fields.get("plan"), |node| plan(reader, thing, node));
    let group = fields.get("group").and_then(|node| group(reader, thing, node));
    Some(EndpointChange {
        span: node.span,
        from: from?,
        customer,
        status: status.map(|status| [EndpointStatus::Active, EndpointStatus::Inactive][status.value]),
        identities,
        plan: plan.map(|plan| plan.map(Box::new)),
        group,
    })
}
