//! What happened, as rows of the tables that expect it. Read from the messages that were put out, not from inside the engine.

use super::section::Subject;
use super::value::{shown_amount, shown_quantity};
use crate::session::Session;
use directory::Loaded;
use rating::bundle::Phase;
use rating::{AccountId, Instance, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;

/// Messages since the last comparison, by subject.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) charges: Vec<Value>,
    pub(super) suspense: Vec<Value>,
    pub(super) deltas: Vec<Value>,
    pub(super) notifications: Vec<Value>,
    pub(super) duplicates: u64,
    /// Deltas per account, for the table of balances.
    pub(super) moved: BTreeMap<String, u64>,
}

fn text<'v>(message: &'v Value, field: &str) -> &'v str {
    message.get(field).and_then(Value::as_str).unwrap_or("")
}

fn integer(message: &Value, field: &str) -> Option<i64> {
    message.get(field).and_then(Value::as_i64)
}

fn number(message: &Value, field: &str) -> String {
    integer(message, field).map_or(String::new(), |number| number.to_string())
}

fn money(message: &Value, field: &str) -> String {
    match text(message, field) {
        "" => String::new(),
        amount => shown_amount(amount),
    }
}

fn segments(charge: &Value) -> impl Iterator<Item = &Value> {
    charge.get("segments").and_then(Value::as_array).into_iter().flatten()
}

fn first<'v>(charge: &'v Value, field: &str) -> &'v str {
    segments(charge).map(|segment| text(segment, field)).find(|value| !value.is_empty()).unwrap_or("")
}

/// One cell of a charge.
pub(super) fn charge(charge: &Value, column: &str) -> String {
    let unit = text(charge, "unit");
    let sum = |field: &str, sources: &[&str]| {
        let counted =
            segments(charge).filter(|segment| sources.is_empty() || sources.contains(&text(segment, "source")));
        counted.filter_map(|segment| integer(segment, field)).fold(0, i64::saturating_add)
    };
    let part = |source: &str| {
        let amounts = segments(charge).filter(|segment| text(segment, "source") == source);
        let sum: Decimal = amounts.filter_map(|segment| text(segment, "amount").parse::<Decimal>().ok()).sum();
        if sum.is_zero() { String::new() } else { shown_amount(&sum.to_string()) }
    };
    match column {
        "usage" => text(charge, "usage_id").to_owned(),
        "source" => text(charge, "usage_source").to_owned(),
        "level" => number(charge, "level"),
        "payer" => text(charge, "payer_id").to_owned(),
        "payee" => text(charge, "payee_id").to_owned(),
        "endpoint" => text(charge, "endpoint_id").to_owned(),
        "quantity" => shown_quantity(integer(charge, "quantity").unwrap_or(0), unit),
        "covered" => shown_quantity(sum("quantity", &["allowance"]), unit),
        "uncovered" => shown_quantity(integer(charge, "quantity").unwrap_or(0) - sum("quantity", &["allowance"]), unit),
        "billable" => shown_quantity(sum("billable_quantity", &[]), unit),
        "free" => shown_quantity(sum("quantity", &["free"]), unit),
        "connect" => part("connect"),
        "flat" => part("flat"),
        "drawn" => {
            let drawn = segments(charge).filter(|segment| text(segment, "source") == "allowance");
            let one = |segment: &Value| {
                let quantity = shown_quantity(integer(segment, "quantity").unwrap_or(0), unit);
                format!("{} {quantity}", text(segment, "bundle_id"))
            };
            drawn.map(one).collect::<Vec<_>>().join(", ")
        }
        "bundle" => first(charge, "bundle_id").to_owned(),
        "tariff" => first(charge, "tariff_id").to_owned(),
        "version" => first(charge, "tariff_version").to_owned(),
        "zone" => first(charge, "zone").to_owned(),
        "amount" | "waived" | "balance_after" => money(charge, column),
        plain => text(charge, plain).to_owned(),
    }
}

/// One cell of something suspended.
pub(super) fn suspense(suspense: &Value, column: &str) -> String {
    match column {
        "usage" => text(suspense, "usage_id").to_owned(),
        "level" | "attempt" => number(suspense, column),
        plain => text(suspense, plain).to_owned(),
    }
}

/// One cell of a delta.
pub(super) fn delta(delta: &Value, column: &str) -> String {
    match column {
        "account" => text(delta, "account_id").to_owned(),
        "command" => text(delta, "command_id").to_owned(),
        "sequence" => number(delta, column),
        "amount" | "balance_after" => money(delta, column),
        plain => text(delta, plain).to_owned(),
    }
}

/// One cell of a notification.
pub(super) fn notification(notification: &Value, column: &str) -> String {
    match column {
        "account" => text(notification, "account_id").to_owned(),
        "threshold" => number(notification, "threshold_percent"),
        "usage" => text(notification, "caused_by").to_owned(),
        "bundle" => text(notification, "bundle_id").to_owned(),
        "instance" => text(notification, "allowance_id").to_owned(),
        "endpoint" => text(notification, "endpoint_id").to_owned(),
        "remaining" => integer(notification, "remaining")
            .map_or(String::new(), |left| shown_quantity(left, text(notification, "unit"))),
        "balance" => money(notification, "balance"),
        "tariff" => text(notification, "tariff_id").to_owned(),
        plain => text(notification, plain).to_owned(),
    }
}

/// Where a scenario stands: what accounts and bundles are asked about.
pub(super) struct Standing<'s> {
    pub(super) session: &'s Session,
    pub(super) loaded: &'s Loaded,
    /// The latest moment that was spoken of.
    pub(super) now: Timestamp,
}

impl Standing<'_> {
    /// Rows of balances: of the accounts that are asked about, and of those that were moved.
    pub(super) fn balances(
        &self,
        asked: &[&str],
        moved: &BTreeMap<String, u64>,
    ) -> Vec<BTreeMap<&'static str, String>> {
        let mut names: Vec<&str> = asked.to_vec();
        names.extend(moved.keys().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        let row = |name: &str| {
            let balance = match self.session.account(name) {
                Some(head) => shown_amount(&head.balance.to_decimal().to_string()),
                None if self.is_known(name) => "0".to_owned(),
                None => return None,
            };
            let deltas = moved.get(name).copied().unwrap_or(0).to_string();
            Some(BTreeMap::from([("account", name.to_owned()), ("balance", balance), ("deltas", deltas)]))
        };
        names.into_iter().filter_map(row).collect()
    }

    fn is_known(&self, name: &str) -> bool {
        self.loaded.model.accounts.find(name).is_some()
            || self.loaded.snapshot.edge_of(&AccountId::new(name), self.now).is_some()
    }

    /// Rows of allowances of the accounts that are asked about; of all of them, if none is.
    pub(super) fn allowances(&self, asked: &[&str]) -> Vec<BTreeMap<&'static str, String>> {
        let is_asked = |account: &AccountId| asked.is_empty() || asked.contains(&account.as_str());
        let mut instances: Vec<_> = self.session.instances().filter(|(account, _)| is_asked(account)).collect();
        instances
            .sort_by_key(|(account, instance)| (*account, &instance.template.id, &instance.id, &instance.endpoint));
        let elements = instances.into_iter().flat_map(|(account, instance)| {
            (0..instance.template.elements.len()).map(move |element| (account, instance, element))
        });
        elements.map(|(account, instance, element)| self.allowance(account, instance, element)).collect()
    }

    fn allowance(&self, account: &AccountId, instance: &Instance, element: usize) -> BTreeMap<&'static str, String> {
        let unit = instance.template.elements.get(element).map_or("units", |element| element.unit.name());
        let quantity = |units: u64| shown_quantity(i64::try_from(units).unwrap_or(i64::MAX), unit);
        let used = instance.allowances.get(element).map_or(0, |allowance| allowance.used);
        let (start, end) = match instance.phase {
            Phase::Active { start, end } => (Some(start), end),
            Phase::Pending | Phase::Armed => (None, None),
        };
        let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
        BTreeMap::from([
            ("account", account.to_string()),
            ("bundle", instance.template.id.to_string()),
            ("instance", instance.id.to_string()),
            ("endpoint", instance.endpoint.as_deref().unwrap_or("").to_owned()),
            ("element", (element + 1).to_string()),
            ("left", instance.left(element).map_or("unlimited".to_owned(), quantity)),
            ("used", quantity(used)),
            ("state", instance.state_at(self.now).to_owned()),
            ("payee", instance.payee.to_string()),
            ("start", time(start)),
            ("end", time(end)),
        ])
    }
}

impl Happened {
    /// Takes what a comparison of this subject is about, one list of messages for another.
    pub(super) fn take(&mut self, subject: Subject) -> Vec<Value> {
        match subject {
            Subject::Charges => std::mem::take(&mut self.charges),
            Subject::Suspense => std::mem::take(&mut self.suspense),
            Subject::Deltas => std::mem::take(&mut self.deltas),
            Subject::Notifications => std::mem::take(&mut self.notifications),
            Subject::Allowances | Subject::Balances | Subject::Duplicates => Vec::new(),
        }
    }
}
