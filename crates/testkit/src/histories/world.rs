//! Worlds from a seed, and their text.

use crate::generator::random::Random;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The beginning of all histories; facts that hold from ever on stand at `i64::MIN`.
const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;
const TARIFFS: usize = 4;
const RESELLERS: usize = 4;
const CUSTOMERS: usize = 7;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// IMSI, ICCID or MSISDN.
    Identity(usize),
    /// Customer of an endpoint, parent of an account.
    Above,
    /// `active`, `inactive`, `suspended`.
    Status,
    /// The moment from which an endpoint is active at first; it is known in every version.
    Activation,
    /// Endpoint group.
    Group,
    /// A plan, as `tariff/mode`.
    Plan,
    /// Own tariff of an account.
    Tariff,
    /// What direct customers without one use.
    DefaultTariff,
}

/// From a moment on, something holds.
#[derive(Clone, Debug)]
pub struct Fact {
    /// First moment, in milliseconds since 1970.
    pub at: i64,
    /// Account or endpoint.
    pub subject: String,
    /// What about it.
    pub field: Field,
    /// The value; `None` takes it away.
    pub value: Option<String>,
}

/// A state of the reference data.
#[derive(Clone, Debug)]
pub struct Version {
    /// How many of the facts are known.
    pub facts: usize,
    /// Endpoints that are there.
    pub endpoints: BTreeSet<String>,
}

/// A world.
#[derive(Debug)]
pub struct World {
    /// In the order of their moments.
    pub facts: Vec<Fact>,
    /// First to last.
    pub versions: Vec<Version>,
    /// All endpoints of any version.
    pub endpoints: Vec<String>,
    /// Moments at which an endpoint becomes active for the first time.
    activations: BTreeMap<String, i64>,
    /// Every identity that somebody holds at some time, and some that nobody does.
    pub identities: [Vec<String>; 3],
}

/// Who holds what at the moment that is being generated.
struct Making<'r> {
    random: &'r mut Random,
    facts: Vec<Fact>,
    held: BTreeMap<(String, usize), String>,
    free: [Vec<String>; 3],
    all: [Vec<String>; 3],
    next: u64,
}

impl World {
    /// A world of so many endpoints.
    #[must_use]
    pub fn new(random: &mut Random, endpoints: usize) -> World {
        let mut making = Making {
            random,
            facts: Vec::new(),
            held: BTreeMap::new(),
            free: Default::default(),
            all: Default::default(),
            next: 0,
        };
        making.accounts();
        let names: Vec<String> = (0..endpoints).map(|number| format!("e{number}")).collect();
        let mut activations = BTreeMap::new();
        for name in &names {
            if let Some(at) = making.endpoint(name) {
                activations.insert(name.clone(), at);
            }
        }
        let first = making.facts.len();
        let moments = making.events(&names);
        for (name, at) in &activations {
            making.fact(*at, name, Field::Activation, Some("active".to_owned()));
        }
        let Making { mut facts, all, .. } = making;
        // An activation comes before whatever else happens at its moment.
        facts.sort_by_key(|fact| (fact.at, fact.field != Field::Activation));
        let versions = versions(random, first, facts.len(), moments, &names);
        World { facts, versions, endpoints: names, activations, identities: all }
    }

    /// Zones, tariffs and accounts of a version.
    #[must_use]
    pub fn catalog_text(&self, version: &Version) -> String {
        let mut text = "format: rater/v1\ntariffs:\n".to_owned();
        for tariff in 0..TARIFFS {
            let _ = writeln!(
                text,
                "  t{tariff}: {{ currency: GBP, versions: [{{ from: 2020-01-01T00:00:00Z, rates: \
                 [{{ service: data, zone: root, price: 0.0{tariff}/MB }}] }}] }}"
            );
        }
        text.push_str("accounts:\n");
        let mut accounts: Vec<&str> = Vec::new();
        for fact in self.facts.iter().filter(|fact| !fact.subject.starts_with('e')) {
            if !accounts.contains(&&*fact.subject) {
                accounts.push(&fact.subject);
            }
        }
        for account in accounts {
            let kind = match account.chars().next() {
                Some('o') => "operator",
                Some('r') => "reseller",
                _ => "customer",
            };
            let _ = writeln!(text, "  {account}: {{ kind: {kind}, currency: GBP, {} }}", self.body(account, version));
        }
        text
    }

    /// The definition of an endpoint in a version, in flow style.
    #[must_use]
    pub fn definition(&self, endpoint: &str, version: &Version) -> String {
        let active = self.activations.get(endpoint).map_or(String::new(), |at| format!("active: {}, ", time(*at)));
        format!("{{ {active}{} }}", self.body(endpoint, version))
    }

    /// Whether an endpoint is inactive until a moment of its own.
    pub(super) fn waits(&self, endpoint: &str) -> bool {
        self.activations.contains_key(endpoint)
    }

    /// All of a version as one text.
    #[must_use]
    pub fn text(&self, version: &Version) -> String {
        let mut text = self.catalog_text(version);
        text.push_str("endpoints:\n");
        for endpoint in &version.endpoints {
            let _ = writeln!(text, "  {endpoint}: {}", self.definition(endpoint, version));
        }
        text
    }

    /// Everything that is known of a subject: what holds from ever on, then changes.
    fn body(&self, subject: &str, version: &Version) -> String {
        let known = self.facts[..version.facts].iter().filter(|fact| fact.subject == subject);
        let mut by_moment: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for fact in known {
            if fact.field == Field::Activation || (fact.at == i64::MIN && fact.value.is_none()) {
                continue;
            }
            let fields = by_moment.entry(fact.at).or_default();
            fields.push(field_text(subject, fact));
        }
        let first = by_moment.remove(&i64::MIN).unwrap_or_default().join(", ");
        let changes: Vec<String> =
            by_moment.iter().map(|(at, fields)| format!("{{ from: {}, {} }}", time(*at), fields.join(", "))).collect();
        match changes.is_empty() {
            true => first,
            false if first.is_empty() => format!("changes: [{}]", changes.join(", ")),
            false => format!("{first}, changes: [{}]", changes.join(", ")),
        }
    }

    /// A moment at which something may be asked: often one at which something happens, or the last before it.
    pub fn moment(&self, random: &mut Random) -> i64 {
        let at = self.facts[random.index(self.facts.len())].at.max(START_MS);
        match random.below(4) {
            0 => at,
            1 => at - 1,
            _ => at + i64::try_from(random.below(20 * DAY_MS)).unwrap_or(0),
        }
    }
}

fn field_text(subject: &str, fact: &Fact) -> String {
    let key = match fact.field {
        Field::Identity(kind) => ["imsi", "iccid", "msisdn"][kind],
        Field::Above if subject.starts_with('e') => "customer",
        Field::Above => "parent",
        Field::Status | Field::Activation => "status",
        Field::Group => "group",
        Field::Plan => "plan",
        Field::Tariff => "tariff",
        Field::DefaultTariff => "default_customer_tariff",
    };
    match (&fact.value, fact.field) {
        (None, _) => format!("{key}: ~"),
        (Some(digits), Field::Identity(_)) => format!("{key}: \"{digits}\""),
        (Some(plan), Field::Plan) => match plan.split_once('/').unwrap_or(("", plan)) {
            ("", mode) => format!("plan: {{ mode: {mode} }}"),
            (tariff, mode) => format!("plan: {{ tariff: {tariff}, mode: {mode} }}"),
        },
        (Some(value), _) => format!("{key}: {value}"),
    }
}

fn time(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|error| error.to_string(), |at| at.to_string())
}

/// Each version knows more facts than the one before; some endpoints are not there at first, some go.
fn versions(random: &mut Random, first: usize, all: usize, count: usize, names: &[String]) -> Vec<Version> {
    let mut facts = first + random.index(all - first + 1);
    let mut endpoints: BTreeSet<String> = names.iter().filter(|_| random.chance(900)).cloned().collect();
    let mut versions = vec![Version { facts, endpoints: endpoints.clone() }];
    for _ in 1..count.clamp(2, 4) {
        facts += random.index(all - facts + 1);
        for _ in 0..random.below(3) {
            endpoints.insert(random.pick(names).clone());
            endpoints.remove(random.pick(names));
        }
        versions.push(Version { facts, endpoints: endpoints.clone() });
    }
    versions
}

impl Making<'_> {
    fn fact(&mut self, at: i64, subject: &str, field: Field, value: Option<String>) {
        self.facts.push(Fact { at, subject: subject.to_owned(), field, value });
    }

    fn accounts(&mut self) {
        self.fact(i64::MIN, "op", Field::Status, Some("active".to_owned()));
        for reseller in 0..RESELLERS {
            let name = format!("r{reseller}");
            let parent = self.reseller_above(reseller);
            self.fact(i64::MIN, &name, Field::Above, Some(parent));
            self.maybe_tariff(i64::MIN, &name, Field::Tariff);
            self.maybe_tariff(i64::MIN, &name, Field::DefaultTariff);
        }
        for customer in 0..CUSTOMERS {
            let name = format!("c{customer}");
            let parent = self.reseller_above(RESELLERS);
            self.fact(i64::MIN, &name, Field::Above, Some(parent));
            self.maybe_tariff(i64::MIN, &name, Field::Tariff);
        }
    }

    /// The operator or a reseller with a lower number, so that there is never a circle.
    fn reseller_above(&mut self, below: usize) -> String {
        match self.random.index(below + 1) {
            0 => "op".to_owned(),
            number => format!("r{}", number - 1),
        }
    }

    fn tariff(&mut self) -> String {
        format!("t{}", self.random.index(TARIFFS))
    }

    fn maybe_tariff(&mut self, at: i64, account: &str, field: Field) {
        let value = self.random.chance(600).then(|| self.tariff());
        self.fact(at, account, field, value);
    }

    fn customer(&mut self) -> String {
        format!("c{}", self.random.index(CUSTOMERS))
    }

    fn plan(&mut self) -> String {
        let tariff = if self.random.chance(800) { self.tariff() } else { String::new() };
        format!("{tariff}/{}", self.random.pick(&["prepaid", "postpaid"]))
    }

    /// A new endpoint; when it becomes active, if it is not from the start.
    fn endpoint(&mut self, name: &str) -> Option<i64> {
        let customer = self.customer();
        self.fact(i64::MIN, name, Field::Above, Some(customer));
        for kind in 0..3 {
            if self.random.chance(800) {
                let digits = self.fresh(kind);
                self.held.insert((name.to_owned(), kind), digits.clone());
                self.fact(i64::MIN, name, Field::Identity(kind), Some(digits));
            }
        }
        if self.random.chance(300) {
            let plan = self.plan();
            self.fact(i64::MIN, name, Field::Plan, Some(plan));
        }
        if self.random.chance(100) {
            self.fact(i64::MIN, name, Field::Group, Some("none".to_owned()));
        }
        let days = self.random.below(60);
        self.random.chance(300).then(|| START_MS + i64::try_from(days * DAY_MS).unwrap_or(0))
    }

    fn fresh(&mut self, kind: usize) -> String {
        self.next += 1;
        let digits = match kind {
            0 => format!("00101{:010}", self.next),
            1 => format!("894400000000{:07}", self.next),
            _ => format!("4477{:08}", self.next),
        };
        self.all[kind].push(digits.clone());
        digits
    }

    /// What happens; how many moments there are.
    fn events(&mut self, names: &[String]) -> usize {
        let mut at = START_MS;
        let mut moments = 0;
        for _ in 0..names.len() * 3 {
            // Now and then several things happen at one moment.
            if self.random.chance(800) {
                at += i64::try_from(self.random.between(1, DAY_MS)).unwrap_or(1);
                moments += 1;
            }
            match self.random.below(10) {
                0 => self.account_event(at),
                1 | 2 => {
                    let (name, customer) = (self.random.pick(names).clone(), self.customer());
                    self.endpoint_fact(at, &name, Field::Above, Some(customer));
                }
                3 => {
                    let name = self.random.pick(names).clone();
                    let plan = self.random.chance(600).then(|| self.plan());
                    self.endpoint_fact(at, &name, Field::Plan, plan);
                }
                4 => {
                    let (name, status) = (self.random.pick(names).clone(), *self.random.pick(&["active", "inactive"]));
                    self.endpoint_fact(at, &name, Field::Status, Some(status.to_owned()));
                }
                5 => {
                    let (name, group) = (self.random.pick(names).clone(), *self.random.pick(&["none", "default", "g"]));
                    self.endpoint_fact(at, &name, Field::Group, Some(group.to_owned()));
                }
                _ => self.identity_event(at, names),
            }
        }
        moments
    }

    /// What holds of a subject from a moment on is said once.
    fn is_said(&self, at: i64, subject: &str, field: Field) -> bool {
        let now = self.facts.iter().rev().take_while(|fact| fact.at == at);
        now.into_iter().any(|fact| fact.subject == subject && fact.field == field)
    }

    fn endpoint_fact(&mut self, at: i64, name: &str, field: Field, value: Option<String>) {
        if !self.is_said(at, name, field) {
            self.fact(at, name, field, value);
        }
    }

    /// A SIM, card or number goes; its holder may get another, which somebody else may have had.
    fn identity_event(&mut self, at: i64, names: &[String]) {
        let (name, kind) = (self.random.pick(names).clone(), self.random.index(3));
        let place = (name.clone(), kind);
        if self.is_said(at, &name, Field::Identity(kind)) {
            return;
        }
        let new = match self.random.below(10) {
            0 | 1 => None,
            2 | 3 => Some(self.fresh(kind)),
            _ if self.free[kind].is_empty() => Some(self.fresh(kind)),
            _ => {
                let at = self.random.index(self.free[kind].len());
                Some(self.free[kind].swap_remove(at))
            }
        };
        let old = match &new {
            Some(digits) => self.held.insert(place, digits.clone()),
            None => self.held.remove(&place),
        };
        self.free[kind].extend(old);
        self.fact(at, &name, Field::Identity(kind), new);
    }

    fn account_event(&mut self, at: i64) {
        let reseller = self.random.index(RESELLERS);
        let is_reseller = self.random.chance(400);
        let name = if is_reseller { format!("r{reseller}") } else { self.customer() };
        let (field, value) = match self.random.below(4) {
            0 => {
                let parent = self.reseller_above(if is_reseller { reseller } else { RESELLERS });
                (Field::Above, Some(parent))
            }
            1 => (Field::Status, Some((*self.random.pick(&["active", "suspended"])).to_owned())),
            2 if is_reseller => (Field::DefaultTariff, self.random.chance(600).then(|| self.tariff())),
            _ => (Field::Tariff, self.random.chance(600).then(|| self.tariff())),
        };
        self.endpoint_fact(at, &name, field, value);
    }
}
