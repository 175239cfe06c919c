//! The accounts and endpoints of a reference, their changes, and how all of it is written as YAML.

use super::bundles::{Bundle, random_bundles};
use super::tariffs::{CURRENCIES, Tariff, ZONES, random_tariffs};
use super::{DAY_MS, Edition, START_MS, moment, push_field};
use crate::generator::random::Random;
use crate::generator::record::time_text;
use jiff::{Timestamp, tz::TimeZone};
use std::fmt::Write as _;

const ZONES_OF_TIME: [&str; 4] = ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata"];

pub(super) struct World {
    tariffs: Vec<Tariff>,
    pub(super) bundles: Vec<Bundle>,
    /// Parents before children; the operator is the first.
    pub(super) accounts: Vec<Account>,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Operator,
    Reseller,
    Customer,
}

pub(super) struct Account {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) parent: Option<usize>,
    pub(super) currency: &'static str,
    /// Everything else, for each edition.
    rest: [String; 2],
}

pub(super) struct Endpoint {
    pub(super) name: String,
    /// The customer at first.
    pub(super) customer: usize,
    pub(super) imsi: String,
    /// Of another sponsor operator.
    pub(super) second_imsi: Option<String>,
    pub(super) iccid: String,
    pub(super) msisdn: String,
    /// Has an account of its own at first.
    pub(super) has_plan: bool,
    since: Edition,
    rest: [String; 2],
}

impl World {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut world = World {
            tariffs: random_tariffs(random),
            bundles: random_bundles(random),
            accounts: vec![Account {
                name: "northstar".to_owned(),
                kind: Kind::Operator,
                parent: None,
                currency: CURRENCIES[0],
                rest: [String::new(), String::new()],
            }],
            endpoints: Vec::new(),
        };
        let depth = random.between(2, 6);
        world.add_resellers(depth, random);
        for number in 0..random.between(2, 7) {
            let parent = world.pick_parent(random);
            let currency = world.accounts[parent].currency;
            world.add(format!("customer-{number}"), Kind::Customer, parent, currency);
        }
        let customers: Vec<usize> = world.positions(Kind::Customer);
        for number in 0..random.between(5, 25) {
            world.add_endpoint(number, *random.pick(&customers), random);
        }
        for position in 1..world.accounts.len() {
            let rest = world.account_details(position, random);
            world.accounts[position].rest = rest;
        }
        world.endpoint_details(random);
        world
    }

    fn positions(&self, kind: Kind) -> Vec<usize> {
        (0..self.accounts.len()).filter(|position| self.accounts[*position].kind == kind).collect()
    }

    /// A chain that makes the hierarchy `depth` edges deep, and some more beside it.
    fn add_resellers(&mut self, depth: u64, random: &mut Random) {
        for number in 0..depth - 1 + random.below(4) {
            let in_chain = number < depth - 1;
            let parent = if in_chain { self.accounts.len() - 1 } else { self.pick_parent(random) };
            let currency = if random.chance(200) { *random.pick(&CURRENCIES) } else { self.accounts[parent].currency };
            self.add(format!("reseller-{number}"), Kind::Reseller, parent, currency);
        }
    }

    fn pick_parent(&self, random: &mut Random) -> usize {
        // Deep ones are likelier, so that most records have many levels.
        let parents = self.accounts.iter().take_while(|account| account.kind != Kind::Customer).count();
        if random.chance(600) { parents - 1 } else { random.index(parents) }
    }

    fn add(&mut self, name: String, kind: Kind, parent: usize, currency: &'static str) {
        let rest = [String::new(), String::new()];
        self.accounts.push(Account { name, kind, parent: Some(parent), currency, rest });
    }

    fn add_endpoint(&mut self, number: u64, customer: usize, random: &mut Random) {
        self.endpoints.push(Endpoint {
            name: format!("meter-{number}"),
            customer,
            imsi: format!("00101{number:010}"),
            second_imsi: number.is_multiple_of(3).then(|| format!("00102{number:010}")),
            iccid: format!("8944{number:015}"),
            msisdn: format!("44770{number:07}"),
            has_plan: random.chance(600),
            since: if random.chance(60) { Edition::Second } else { Edition::First },
            rest: [String::new(), String::new()],
        });
    }

    pub(super) fn tariff(&self, currency: &str, random: &mut Random) -> String {
        let fitting: Vec<&Tariff> = self.tariffs.iter().filter(|tariff| tariff.currency == currency).collect();
        random.pick(&fitting).name.clone()
    }

    /// Whether `position` is `other` or below it, at first.
    fn is_below(&self, position: usize, other: usize) -> bool {
        let mut current = Some(position);
        while let Some(at) = current {
            if at == other {
                return true;
            }
            current = self.accounts[at].parent;
        }
        false
    }

    /// Grants for `account`: the text of a list, and each bundle at most once.
    fn grants(&self, account: usize, currency: &str, may_be_for_endpoints: bool, random: &mut Random) -> Vec<String> {
        let below: Vec<&Endpoint> =
            self.endpoints.iter().filter(|endpoint| self.is_below(endpoint.customer, account)).collect();
        let mut grants = Vec::new();
        for bundle in self.bundles.iter().filter(|bundle| bundle.currency == currency) {
            if !random.chance(350) || (bundle.for_one_endpoint && (!may_be_for_endpoints || below.is_empty())) {
                continue;
            }
            let mut text = format!("{{ bundle: {}", bundle.name);
            // Before the first change, so that the endpoint or its plan is still there.
            let is_early = bundle.for_one_endpoint || !may_be_for_endpoints;
            let date = if is_early { START_MS - some_ms(random, 10) } else { moment(random) - some_ms(random, 10) };
            let date = time_text(date);
            let is_dated = bundle.needs_date || random.chance(300);
            push_field(&mut text, "at", is_dated.then_some(&*date));
            if bundle.for_one_endpoint {
                // One that exists from the start.
                let known: Vec<_> = below.iter().filter(|endpoint| endpoint.since == Edition::First).collect();
                if known.is_empty() {
                    continue;
                }
                push_field(&mut text, "endpoint", Some(&random.pick(&known).name));
            } else if !is_dated {
                grants.push(bundle.name.clone());
                continue;
            }
            grants.push(text + " }");
        }
        grants
    }

    fn account_details(&self, position: usize, random: &mut Random) -> [String; 2] {
        let account = &self.accounts[position];
        let currency = account.currency;
        let mut common = String::new();
        let mut first = String::new();
        let mut second = String::new();
        let own_tariff = if account.kind == Kind::Reseller { 800 } else { 700 };
        if random.chance(own_tariff) {
            push_field(&mut common, "tariff", Some(&self.tariff(currency, random)));
        } else if account.kind == Kind::Customer && random.chance(600) {
            // Missing at first, perhaps; mended later.
            push_field(&mut second, "tariff", Some(&self.tariff(currency, random)));
        }
        if account.kind == Kind::Reseller && random.chance(500) {
            push_field(&mut common, "default_customer_tariff", Some(&self.tariff(currency, random)));
        }
        push_field(&mut common, "mode", random.chance(300).then_some("prepaid"));
        push_field(&mut common, "time_zone", random.chance(400).then_some(*random.pick(&ZONES_OF_TIME)));
        push_field(&mut first, "status", random.chance(20).then_some("suspended"));
        push_field(
            &mut common,
            "sponsors",
            random.chance(150).then_some(*random.pick(&["[orange]", "[orange, tele]"])),
        );
        push_field(&mut common, "subscription_types", random.chance(100).then_some("[basic, gold]"));
        push_field(&mut common, "properties", random.chance(200).then_some("{ crm: C-17, region: \"7\" }"));
        let grants = self.grants(position, currency, true, random);
        let later = self.grants(position, currency, true, random);
        let second_grants: Vec<String> = later
            .into_iter()
            .filter(|grant| random.chance(300) && !grants.iter().any(|known| bundle_of(known) == bundle_of(grant)))
            .collect();
        let changes = self.account_changes(position, random);
        let lists =
            |grants: &[String]| format!(", bundles: [{}], changes: [{}]", grants.join(", "), changes.join(", "));
        let all: Vec<String> = grants.iter().cloned().chain(second_grants).collect();
        [format!("{common}{first}{}", lists(&grants)), format!("{common}{second}{}", lists(&all))]
    }

    fn account_changes(&self, position: usize, random: &mut Random) -> Vec<String> {
        let account = &self.accounts[position];
        let moments = moments_of_change(random);
        let mut changes = Vec::new();
        for from in moments {
            let mut text = format!("{{ from: {}", time_text(from));
            match random.below(7) {
                0 | 1 => push_field(&mut text, "parent", self.other_parent(position, random).as_deref()),
                2 => push_field(&mut text, "tariff", Some(&self.tariff(account.currency, random))),
                3 => {
                    changes.push(format!("{text}, status: suspended }}"));
                    text = format!("{{ from: {}, status: active", time_text(from + some_ms(random, 4)));
                }
                4 if random.chance(80) => {
                    // Nothing changes after that.
                    changes.push(text + ", status: closed }");
                    return changes;
                }
                5 if account.kind == Kind::Reseller => {
                    push_field(&mut text, "default_customer_tariff", Some(&self.tariff(account.currency, random)));
                }
                5 => push_field(&mut text, "sponsors", Some("[orange]")),
                _ => push_field(&mut text, "properties", Some("{ crm: C-18 }")),
            }
            if text.contains(", ") {
                changes.push(text + " }");
            }
        }
        changes
    }

    /// Another parent, that leaves no circle: an account before it, of the same currency so that defaults fit.
    fn other_parent(&self, position: usize, random: &mut Random) -> Option<String> {
        let account = &self.accounts[position];
        let fits = |other: &&Account| {
            other.kind != Kind::Customer && (account.kind == Kind::Reseller || other.currency == account.currency)
        };
        let others: Vec<&Account> = self.accounts[..position].iter().filter(fits).collect();
        (!others.is_empty()).then(|| random.pick(&others).name.clone())
    }

    fn endpoint_details(&mut self, random: &mut Random) {
        for position in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[position];
            let mut common = String::new();
            let mut first = String::new();
            if endpoint.has_plan {
                let plan = self.plan(endpoint.customer, true, random);
                push_field(&mut common, "plan", Some(&plan));
            }
            push_field(&mut first, "group", random.chance(30).then_some("none"));
            let active = random.chance(100).then(|| time_text(START_MS + some_ms(random, 6)));
            push_field(&mut common, "active", active.as_deref());
            let changes = self.endpoint_changes(position, random);
            let _ = write!(common, ", changes: [{}]", changes.join(", "));
            self.endpoints[position].rest = [format!("{common}{first}"), common];
        }
    }

    fn plan(&self, customer: usize, with_bundles: bool, random: &mut Random) -> String {
        let currency = self.accounts[customer].currency;
        let mut text = String::from("{ mode: ");
        text.push_str(if random.chance(400) { "prepaid" } else { "postpaid" });
        let tariff = random.chance(900).then(|| self.tariff(currency, random));
        push_field(&mut text, "tariff", tariff.as_deref());
        if with_bundles {
            let grants = self.grants(customer, currency, false, random);
            push_field(
                &mut text,
                "bundles",
                (!grants.is_empty()).then(|| format!("[{}]", grants.join(", "))).as_deref(),
            );
        }
        text + " }"
    }

    fn endpoint_changes(&self, position: usize, random: &mut Random) -> Vec<String> {
        let endpoint = &self.endpoints[position];
        let mut customer = endpoint.customer;
        let moments = moments_of_change(random);
        let mut changes = Vec::new();
        for (number, from) in moments.into_iter().enumerate() {
            let mut text = format!("{{ from: {}", time_text(from));
            match random.below(6) {
                0 | 1 => {
                    let others = self.positions(Kind::Customer);
                    customer = *random.pick(&others);
                    push_field(&mut text, "customer", Some(&self.accounts[customer].name));
                    // The plan is said again, for it is the new customer's.
                    let plan = if endpoint.has_plan { self.plan(customer, false, random) } else { "~".to_owned() };
                    push_field(&mut text, "plan", Some(&plan));
                }
                2 | 3 => {
                    changes.push(format!("{text}, status: inactive }}"));
                    text = format!("{{ from: {}, status: active", time_text(from + some_ms(random, 4)));
                }
                4 => push_field(&mut text, "imsi", Some(&format!("\"00101{:010}\"", 1000 * (position + 1) + number))),
                _ => {
                    let plan = if random.chance(300) { "~".to_owned() } else { self.plan(customer, false, random) };
                    push_field(&mut text, "plan", Some(&plan));
                }
            }
            changes.push(text + " }");
        }
        changes
    }

    /// Endpoints and the moments at which a bundle that was granted to an account above them ends, in UTC.
    pub(super) fn ends(&self) -> Vec<(usize, i64)> {
        let mut ends = Vec::new();
        for (position, account) in self.accounts.iter().enumerate() {
            for grant in account.rest[0].split("{ bundle: ").skip(1) {
                let mut words = grant.split([',', ' ']).filter(|word| !word.is_empty());
                let (name, at) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
                let lasts = self.bundles.iter().find(|bundle| bundle.name == name).and_then(|bundle| bundle.lasts);
                let (Some(lasts), Ok(at)) = (lasts, at.parse::<Timestamp>()) else {
                    continue;
                };
                let end = at.to_zoned(TimeZone::UTC).saturating_add(lasts).timestamp().as_millisecond();
                let below = |endpoint: &usize| self.is_below(self.endpoints[*endpoint].customer, position);
                ends.extend((0..self.endpoints.len()).filter(below).map(|endpoint| (endpoint, end)));
            }
        }
        ends
    }

    pub(super) fn yaml(&self, edition: Edition) -> String {
        let which = match edition {
            Edition::First => 0,
            Edition::Second => 1,
        };
        let mut text = String::from("format: rater/v1\nzones:\n");
        for (name, zone) in ZONES {
            let _ = writeln!(text, "  {name}: {zone}");
        }
        text.push_str("tariffs:\n");
        self.tariffs.iter().for_each(|tariff| tariff.write(edition, &mut text));
        text.push_str("bundles:\n");
        self.bundles.iter().for_each(|bundle| bundle.write(edition, &mut text));
        text.push_str("accounts:\n");
        for account in &self.accounts {
            let kind = match account.kind {
                Kind::Operator => "operator",
                Kind::Reseller => "reseller",
                Kind::Customer => "customer",
            };
            let parent =
                account.parent.map(|parent| format!(", parent: {}", self.accounts[parent].name)).unwrap_or_default();
            let Account { name, currency, rest, .. } = account;
            let _ = writeln!(text, "  {name}: {{ kind: {kind}, currency: {currency}{parent}{} }}", rest[which]);
        }
        text.push_str("endpoints:\n");
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.since <= edition) {
            let Endpoint { name, imsi, second_imsi, iccid, msisdn, rest, .. } = endpoint;
            let customer = &self.accounts[endpoint.customer].name;
            let imsis = match second_imsi {
                Some(second) => format!("[\"{imsi}\", \"{second}\"]"),
                None => format!("\"{imsi}\""),
            };
            let _ = writeln!(
                text,
                "  {name}: {{ customer: {customer}, imsi: {imsis}, iccid: \"{iccid}\", msisdn: \"{msisdn}\"{} }}",
                rest[which]
            );
        }
        text
    }
}

/// None to three moments, ascending, far enough apart for what begins at one to end before the next.
fn moments_of_change(random: &mut Random) -> Vec<i64> {
    let mut next = START_MS;
    let mut moments = Vec::new();
    for _ in 0..random.below(5).saturating_sub(1) {
        next += 5 * 86_400_000 + some_ms(random, 20);
        moments.push(next);
    }
    moments
}

/// Up to this many days, in milliseconds.
fn some_ms(random: &mut Random, days: u64) -> i64 {
    i64::try_from(1 + random.below(days * DAY_MS)).unwrap_or(1)
}

/// The bundle that a grant's text names.
fn bundle_of(grant: &str) -> &str {
    let text = grant.trim_start_matches("{ bundle: ");
    text.split([',', ' ']).next().unwrap_or(text)
}
