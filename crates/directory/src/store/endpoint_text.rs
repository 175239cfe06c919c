//! Endpoints as the store keeps them, written from their model.
//!
//! Every field of the model is named here, so that a new one is an error of the compiler until it is written as well.

use super::definition::write_scalar;
use crate::model::{Endpoint, EndpointChange, EndpointStatus, Grant, Group, Identities, IdentityKind, Plan};
use rating::Mode;
use std::fmt::Write;

/// The body of an endpoint.
pub fn endpoint_text(endpoint: &Endpoint) -> String {
    let Endpoint { customer, identities, group, active, plan, changes } = endpoint;
    let mut map = Map::new();
    map.text("customer", &customer.value);
    for (kind, identities) in IdentityKind::ALL.into_iter().zip(identities) {
        if !identities.as_slice().is_empty() {
            map.identities(kind, identities);
        }
    }
    if *group != Group::Default {
        map.text("group", group_name(group));
    }
    if let Some(active) = active {
        map.text("active", &active.to_string());
    }
    if let Some(plan) = plan {
        map.raw("plan", &plan_text(plan));
    }
    if !changes.is_empty() {
        map.list("changes", changes.iter().map(change_text));
    }
    map.end()
}

pub(super) fn group_name(group: &Group) -> &str {
    match group {
        Group::Without => "none",
        Group::Default => "default",
        Group::Named(name) => name,
    }
}

fn change_text(change: &EndpointChange) -> String {
    let EndpointChange { span: _, from, customer, status, identities, plan, group } = change;
    let mut map = Map::new();
    map.text("from", &from.value.to_string());
    if let Some(customer) = customer {
        map.text("customer", &customer.value);
    }
    if let Some(status) = status {
        map.text(
            "status",
            match status {
                EndpointStatus::Active => "active",
                EndpointStatus::Inactive => "inactive",
            },
        );
    }
    for (kind, identities) in IdentityKind::ALL.into_iter().zip(identities) {
        if let Some(identities) = identities {
            map.identities(kind, identities);
        }
    }
    match plan {
        Some(Some(plan)) => map.raw("plan", &plan_text(plan)),
        Some(None) => map.raw("plan", "~"),
        None => {}
    }
    if let Some(group) = group {
        map.text("group", group_name(group));
    }
    map.end()
}

pub(super) fn plan_text(plan: &Plan) -> String {
    let Plan { span: _, tariff, mode, bundles } = plan;
    let mut map = Map::new();
    if let Some(tariff) = tariff {
        map.text("tariff", &tariff.value);
    }
    match mode {
        Mode::Postpaid => {}
        Mode::Prepaid => map.text("mode", "prepaid"),
    }
    if !bundles.is_empty() {
        map.list("bundles", bundles.iter().map(grant_text));
    }
    map.end()
}

pub(super) fn grant_text(grant: &Grant) -> String {
    let Grant { span: _, bundle, at, endpoint } = grant;
    let mut map = Map::new();
    map.text("bundle", &bundle.value);
    if let Some(at) = at {
        map.text("at", &at.value.to_string());
    }
    if let Some(endpoint) = endpoint {
        map.text("endpoint", &endpoint.value);
    }
    map.end()
}

/// A mapping in flow style as it grows.
struct Map(String);

impl Map {
    fn new() -> Map {
        Map(String::from("{"))
    }

    fn raw(&mut self, key: &str, value: &str) {
        let separator = if self.0.len() == 1 { "" } else { ", " };
        let _ = write!(self.0, "{separator}{key}: {value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, "");
        write_scalar(value, &mut self.0);
    }

    /// None, one, or a list.
    fn identities(&mut self, kind: IdentityKind, identities: &Identities) {
        match identities {
            Identities::None => self.raw(kind.as_str(), "~"),
            Identities::One(one) => self.text(kind.as_str(), &one.value.to_string()),
            Identities::Several(_) => {
                let scalar = |text: String| {
                    let mut scalar = String::new();
                    write_scalar(&text, &mut scalar);
                    scalar
                };
                self.list(kind.as_str(), identities.texts().into_iter().map(scalar));
            }
        }
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        self.raw(key, &format!("[{}]", items.join(", ")));
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
