//! Reference data as the oracle sees it: a direct transcription of docs/reference-data.md, with what accounts and endpoints are as of a time.
//!
//! Deliberately validates next to nothing: refusing bad reference data is the product's business and has tests of its own.

use super::guide::endpoint_account;
use super::rates::{Bundle, Effective, Keys, Tariff, read_bundle, read_tariff};
use super::values;
use super::yaml::{self, Node};
use jiff::tz::TimeZone;

/// Everything in one reference file.
pub(super) struct Reference {
    pub(super) zones: Vec<Zone>,
    pub(super) tariffs: Vec<Tariff>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) accounts: Vec<Account>,
    pub(super) endpoints: Vec<Endpoint>,
}

pub(super) struct Zone {
    pub(super) name: String,
    /// (MCC, MNC); no MNC: the whole country.
    pub(super) networks: Vec<(String, Option<String>)>,
    pub(super) prefixes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Operator,
    Reseller,
    Customer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Suspended,
    Closed,
}

pub(super) struct Account {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) currency: String,
    pub(super) prepaid: bool,
    pub(super) zone: TimeZone,
    pub(super) grants: Vec<Grant>,
    /// What holds from each moment on, ascending; the first from the beginning of time.
    history: Vec<(i64, AccountFacts)>,
    /// The moments at which the reference data states a status.
    pub(super) statuses: Vec<(i64, Status)>,
}

#[derive(Clone)]
pub(super) struct AccountFacts {
    pub(super) parent: Option<String>,
    pub(super) tariff: Option<String>,
    pub(super) default_customer_tariff: Option<String>,
    pub(super) sponsors: Option<Vec<String>>,
    pub(super) subscription_types: Option<Vec<String>>,
    pub(super) properties: Vec<(String, String)>,
}

/// A bundle granted by the reference data.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) bundle: String,
    pub(super) at: i64,
    pub(super) endpoint: Option<String>,
}

pub(super) struct Endpoint {
    pub(super) name: String,
    active_from: i64,
    history: Vec<(i64, EndpointFacts)>,
    /// Each plan that is stated, with the customer of that moment.
    pub(super) plans: Vec<(String, Plan)>,
}

#[derive(Clone)]
pub(super) struct EndpointFacts {
    pub(super) customer: String,
    pub(super) inactive: bool,
    pub(super) imsis: Vec<String>,
    pub(super) iccid: Option<String>,
    pub(super) msisdn: Option<String>,
    pub(super) group: String,
    pub(super) plan: Option<Plan>,
}

#[derive(Clone)]
pub(super) struct Plan {
    pub(super) tariff: Option<String>,
    pub(super) prepaid: bool,
    pub(super) grants: Vec<Grant>,
}

impl Reference {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let root = yaml::read(text)?;
        if root.text("format") != Some("rater/v1") {
            return Err("format is not rater/v1".to_owned());
        }
        let reference = Self {
            zones: root.entries("zones").iter().map(|(name, node)| read_zone(name, node)).collect(),
            tariffs: read_all(&root, "tariffs", read_tariff)?,
            bundles: read_all(&root, "bundles", read_bundle)?,
            accounts: read_all(&root, "accounts", read_account)?,
            endpoints: read_all(&root, "endpoints", read_endpoint)?,
        };
        reference.check_tariffs()?;
        Ok(reference)
    }

    /// Refuses names of tariffs that mean nothing and cycles of aliases, so that rating can follow them blindly.
    fn check_tariffs(&self) -> Result<(), String> {
        for tariff in &self.tariffs {
            let mut current = tariff;
            for _ in 0..=self.tariffs.len() {
                let Tariff::Alias { of, .. } = current else {
                    break;
                };
                current = self.tariff(of).ok_or_else(|| format!("no tariff {of:?}"))?;
            }
            if matches!(current, Tariff::Alias { .. }) {
                return Err(format!("tariff {:?} is an alias of itself", tariff.name()));
            }
            Effective::at(self, tariff.name(), i64::MAX)?;
        }
        let of_accounts = self.accounts.iter().flat_map(|account| &account.history);
        let of_accounts = of_accounts.flat_map(|(_, facts)| [&facts.tariff, &facts.default_customer_tariff]);
        let plans = self.endpoints.iter().flat_map(|endpoint| &endpoint.plans);
        let used = of_accounts.chain(plans.map(|(_, plan)| &plan.tariff)).flatten();
        match used.into_iter().find(|name| self.tariff(name).is_none()) {
            Some(unknown) => Err(format!("no tariff {unknown:?}")),
            None => Ok(()),
        }
    }

    pub(super) fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    pub(super) fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }

    pub(super) fn bundle(&self, name: &str) -> Option<&Bundle> {
        self.bundles.iter().find(|bundle| bundle.name == name)
    }

    pub(super) fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    pub(super) fn tariff(&self, name: &str) -> Option<&Tariff> {
        self.tariffs.iter().find(|tariff| tariff.name() == name)
    }

    /// Whether an endpoint is at or below `account`, or has it as its own, at `moment` or later: tried wherever anything changes.
    pub(super) fn is_ever_below(&self, endpoint: &str, account: &str, moment: i64) -> bool {
        let Some(endpoint) = self.endpoint(endpoint) else {
            return false;
        };
        let of_accounts = self.accounts.iter().flat_map(|account| account.history.iter().map(|(from, _)| *from));
        let of_endpoint = endpoint.history.iter().map(|(from, _)| *from);
        let mut moments = of_accounts.chain(of_endpoint).filter(|from| *from > moment).chain([moment]);
        moments.any(|moment| {
            let EndpointFacts { customer, plan, .. } = endpoint.at(moment);
            let is_own = plan.is_some() && endpoint_account(customer, &endpoint.name) == account;
            is_own || customer == account || self.above(customer, moment).iter().any(|above| above == account)
        })
    }

    /// The names of the accounts above `account` as of `moment`, nearest first, the operator last.
    pub(super) fn above(&self, account: &str, moment: i64) -> Vec<String> {
        let mut above: Vec<String> = Vec::new();
        let mut current = account.to_owned();
        while let Some(parent) = self.account(&current).and_then(|account| account.at(moment).parent.clone()) {
            if above.contains(&parent) || parent == account {
                break;
            }
            above.push(parent.clone());
            current = parent;
        }
        above
    }
}

impl Account {
    /// What holds at `moment`.
    pub(super) fn at(&self, moment: i64) -> &AccountFacts {
        at(&self.history, moment)
    }
}

impl Endpoint {
    /// What holds at `moment`.
    pub(super) fn at(&self, moment: i64) -> &EndpointFacts {
        at(&self.history, moment)
    }

    /// The plan that `customer` gave it last, up to `moment`: what becomes of the SIM later leaves the account in place.
    pub(super) fn plan_of(&self, customer: &str, moment: i64) -> Option<&Plan> {
        let earlier = self.history.iter().filter(|(from, facts)| *from <= moment && facts.customer == customer);
        earlier.filter_map(|(_, facts)| facts.plan.as_ref()).next_back()
    }

    /// Whether it may be used at `moment` (rule 7).
    pub(super) fn is_active(&self, moment: i64) -> bool {
        let facts = self.at(moment);
        moment >= self.active_from && !facts.inactive && facts.group != "none"
    }
}

fn at<T>(history: &[(i64, T)], moment: i64) -> &T {
    let mut found = &history[0].1;
    for (from, facts) in history {
        if *from <= moment {
            found = facts;
        }
    }
    found
}

/// Reads every entry of the map `key`.
fn read_all<T>(root: &Node, key: &str, read: impl Fn(&str, &Node) -> Result<T, String>) -> Result<Vec<T>, String> {
    let entries = root.entries(key);
    entries.iter().map(|(name, node)| read(name, node).map_err(|error| format!("{key} {name:?}: {error}"))).collect()
}

fn read_zone(name: &str, node: &Node) -> Zone {
    let networks = texts(node, "networks").unwrap_or_default();
    let networks = networks
        .iter()
        .map(|text| match text.split_once('-') {
            Some((mcc, mnc)) => (mcc.to_owned(), Some(mnc.to_owned())),
            None => (text.clone(), None),
        })
        .collect();
    Zone { name: name.to_owned(), networks, prefixes: texts(node, "to").unwrap_or_default() }
}

/// The texts of the list under `key`.
fn texts(node: &Node, key: &str) -> Option<Vec<String>> {
    node.get(key).map(|list| list.items().iter().filter_map(Node::as_text).map(str::to_owned).collect())
}

/// The map of texts under `key`, by name.
pub(super) fn text_entries(node: &Node, key: &str) -> Vec<(String, String)> {
    let texts = node.entries(key).iter().filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())));
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}

fn owned(node: &Node, key: &str) -> Option<String> {
    node.text(key).map(str::to_owned)
}

fn read_account(name: &str, node: &Node) -> Result<Account, String> {
    let kind = match node.text("kind") {
        Some("operator") => Kind::Operator,
        Some("reseller") => Kind::Reseller,
        Some("customer") => Kind::Customer,
        other => return Err(format!("kind {other:?}")),
    };
    let mut facts = AccountFacts {
        parent: None,
        tariff: None,
        default_customer_tariff: None,
        sponsors: None,
        subscription_types: None,
        properties: Vec::new(),
    };
    let mut statuses = Vec::new();
    change_account(&mut facts, node);
    statuses.push((i64::MIN, read_status(node.text("status").unwrap_or("active"))?));
    let mut history = vec![(i64::MIN, facts.clone())];
    for change in node.list("changes") {
        let from = values::time(change.text("from").unwrap_or_default())?;
        change_account(&mut facts, change);
        if let Some(status) = change.text("status") {
            statuses.push((from, read_status(status)?));
        }
        history.push((from, facts.clone()));
    }
    Ok(Account {
        name: name.to_owned(),
        kind,
        currency: owned(node, "currency").ok_or("no currency")?,
        prepaid: node.text("mode") == Some("prepaid"),
        zone: values::zone(node.text("time_zone"))?,
        grants: read_grants(node)?,
        history,
        statuses,
    })
}

/// Takes over what `node` states; a key stated as null is gone from then on.
fn change_account(facts: &mut AccountFacts, node: &Node) {
    let stated = |key: &str| node.get_or_null(key).is_some();
    if stated("parent") {
        facts.parent = owned(node, "parent");
    }
    if stated("tariff") {
        facts.tariff = owned(node, "tariff");
    }
    if stated("default_customer_tariff") {
        facts.default_customer_tariff = owned(node, "default_customer_tariff");
    }
    if stated("sponsors") {
        facts.sponsors = texts(node, "sponsors");
    }
    if stated("properties") {
        facts.properties = text_entries(node, "properties");
    }
    if stated("subscription_types") {
        facts.subscription_types = texts(node, "subscription_types");
    }
}

fn read_status(text: &str) -> Result<Status, String> {
    match text {
        "active" => Ok(Status::Active),
        "suspended" => Ok(Status::Suspended),
        "closed" => Ok(Status::Closed),
        other => Err(format!("status {other:?}")),
    }
}

fn read_grants(node: &Node) -> Result<Vec<Grant>, String> {
    let read = |item: &Node| match item.as_text() {
        Some(name) => Ok(Grant { bundle: name.to_owned(), at: 0, endpoint: None }),
        None => Ok(Grant {
            bundle: owned(item, "bundle").ok_or("a grant without a bundle")?,
            at: item.text("at").map_or(Ok(0), values::time)?,
            endpoint: owned(item, "endpoint"),
        }),
    };
    node.list("bundles").iter().map(read).collect()
}

fn read_endpoint(name: &str, node: &Node) -> Result<Endpoint, String> {
    let mut facts = EndpointFacts {
        customer: String::new(),
        inactive: false,
        imsis: Vec::new(),
        iccid: None,
        msisdn: None,
        group: "default".to_owned(),
        plan: None,
    };
    let mut plans = Vec::new();
    change_endpoint(&mut facts, node, &mut plans)?;
    let mut history = vec![(i64::MIN, facts.clone())];
    for change in node.list("changes") {
        change_endpoint(&mut facts, change, &mut plans)?;
        history.push((values::time(change.text("from").unwrap_or_default())?, facts.clone()));
    }
    let active_from = node.text("active").map_or(Ok(i64::MIN), values::time)?;
    Ok(Endpoint { name: name.to_owned(), active_from, history, plans })
}

/// Takes over what `node` states; a plan stated as null is gone from then on.
fn change_endpoint(facts: &mut EndpointFacts, node: &Node, plans: &mut Vec<(String, Plan)>) -> Result<(), String> {
    if let Some(customer) = owned(node, "customer") {
        facts.customer = customer;
    }
    if let Some(group) = owned(node, "group") {
        facts.group = group;
    }
    if let Some(status) = node.text("status") {
        facts.inactive = status == "inactive";
    }
    if node.get_or_null("imsi").is_some() {
        let listed = node.list("imsi").iter().filter_map(Node::as_text).map(str::to_owned);
        facts.imsis = owned(node, "imsi").into_iter().chain(listed).collect();
    }
    for (key, identity) in [("iccid", &mut facts.iccid), ("msisdn", &mut facts.msisdn)] {
        if node.get_or_null(key).is_some() {
            *identity = owned(node, key);
        }
    }
    match node.get_or_null("plan") {
        None => {}
        Some(Node::Null) => facts.plan = None,
        Some(stated) => {
            let prepaid = stated.text("mode") == Some("prepaid");
            let plan = Plan { tariff: owned(stated, "tariff"), prepaid, grants: read_grants(stated)? };
            plans.push((facts.customer.clone(), plan.clone()));
            facts.plan = Some(plan);
        }
    }
    Ok(())
}

/// How closely a zone fits a record, least first: length of the called prefix, then root, country, group, network (rule 9).
pub(super) type ZoneFit = (usize, u8);

impl Reference {
    /// How `zone` fits a record on network (`mcc`, `mnc`) that calls `destination`; nothing if it does not match.
    pub(super) fn zone_fit(&self, zone: Option<&str>, keys: &Keys) -> Option<ZoneFit> {
        let zone = match zone {
            None | Some("root") => return Some((0, 0)),
            Some(name) => self.zone(name)?,
        };
        let mcc = keys.mcc.as_deref();
        let on_network = |(zone_mcc, zone_mnc): &(String, Option<String>)| {
            Some(zone_mcc.as_str()) == mcc && (zone_mnc.is_none() || *zone_mnc == keys.mnc)
        };
        if !zone.networks.is_empty() && !zone.networks.iter().any(on_network) {
            return None;
        }
        let mut prefix_length = 0;
        if !zone.prefixes.is_empty() {
            let called = keys.destination.as_deref()?;
            let called = called.strip_prefix('+').unwrap_or(called);
            // A dollar sign ends the number: only the whole number fits, and it beats every prefix.
            let is_fitting = |prefix: &&String| match prefix.strip_suffix('$') {
                Some(number) => called == number,
                None => called.starts_with(prefix.as_str()),
            };
            let fitting = zone.prefixes.iter().filter(is_fitting);
            prefix_length = fitting.map(String::len).max()?;
        }
        let countries_only = zone.networks.iter().all(|(_, mnc)| mnc.is_none());
        let grade = match (zone.networks.len(), countries_only) {
            (0, _) => 0,
            (_, true) => 1,
            (1, false) => 3,
            (_, false) => 2,
        };
        Some((prefix_length, grade))
    }
}
