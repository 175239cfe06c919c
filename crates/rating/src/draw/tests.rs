//! The index of bundles against a full sort by rule 15 (B16).

use super::*;
use crate::bundle::{Allowance, BundleScope, BundleTemplate, Element, Starts};
use crate::bundles::InstanceKey;
use crate::calendar::{Length, TimeZone};
use crate::id::{AccountKind, Currency};
use crate::leg::{Edge, RateChoice, Status};
use crate::matching::{MatchKeys, UsageMatch};
use crate::quantity::Unit;
use crate::usage::UsageRecord;
use crate::zone::{Plmn, Zone};

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % end
    }

    fn chance(&mut self, of_100: u64) -> bool {
        self.below(100) < of_100
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

const DAY_MS: i64 = 86_400_000;
/// Long after the first instant, so that there is a before.
const START_MS: i64 = 1_700_000_000_000;

fn at(day: u64) -> Timestamp {
    Timestamp::from_millis(START_MS + day as i64 * DAY_MS)
}

fn edge(payee: &str, mode: Mode) -> Edge {
    Edge {
        payer: AccountId::new("acme"),
        payer_kind: AccountKind::Customer,
        payee: AccountId::new(payee),
        level: 1,
        currency: Currency::parse("GBP").expect("a currency"),
        mode,
        status: Status::Active,
        time_zone: TimeZone::named("Europe/London").expect("a zone"),
        sponsors: None,
        subscription_types: None,
        properties: Arc::new([]),
    }
}

fn zones() -> Vec<Arc<Zone>> {
    let network = |text: &str| Plmn::parse(text).expect("a network");
    let zones = [
        Zone::root(),
        Zone::new("uk", vec![network("234")], Vec::new()),
        Zone::new("one", vec![network("234-15")], Vec::new()),
        Zone::new("some", vec![network("234-15"), network("262-01")], Vec::new()),
        Zone::new("de", vec![network("262")], Vec::new()),
    ];
    zones.into_iter().map(Arc::new).collect()
}

fn template(number: u64, zones: &[Arc<Zone>], random: &mut Random) -> BundleTemplate {
    let elements = (0..1 + random.below(3)).map(|_| Element {
        priority: random.below(2) as u32,
        applies: UsageMatch {
            service: random.one_of(&["data", "data", "data", "sms"]).into(),
            zone: random.one_of(zones),
            keys: MatchKeys {
                rating_group: random.chance(20).then_some(10),
                apn: random.chance(10).then(|| "iot".into()),
                ..MatchKeys::default()
            }
            .into(),
        },
        unit: Unit::Octets,
        amount: random.chance(85).then(|| random.below(40) * 10),
        class: if random.chance(20) { ElementClass::FairUse } else { ElementClass::Standard },
    });
    BundleTemplate {
        id: format!("bundle-{number}").into(),
        elements: elements.collect(),
        currency: Currency::parse("GBP").expect("a currency"),
        fee: random
            .chance(40)
            .then(|| Amount::from_unscaled(i128::from(random.below(4)) * 1_000_000_000).expect("small")),
        starts: random.one_of(&[Starts::Date, Starts::FirstUse, Starts::Activation]),
        lasts: random.one_of(&[None, Some(Length::Days(3)), Some(Length::Months(1)), Some(Length::Hours(30))]),
        scope: BundleScope::Customer,
        promotional: random.chance(25),
        warn_at: Box::new([50, 100]),
    }
}

/// An account with instances in all phases, some of them bought of the same template and at the same instant.
fn state(random: &mut Random) -> (State, AccountNumber) {
    let zones = zones();
    let templates: Vec<_> = (0..1 + random.below(8)).map(|number| template(number, &zones, random)).collect();
    let mut state = State::with_undo();
    let account = state.account(&AccountId::new("acme"));
    state.head_mut(account).balance =
        Amount::from_unscaled(i128::from(random.below(6)) * 1_000_000_000).expect("small");
    let zone = TimeZone::named("Europe/London").expect("a zone");
    for number in 0..random.below(120) {
        let of = random.one_of(&templates);
        let known = state.dictionary.template(&of);
        let granted_at = at(random.below(40));
        let mut instance = Instance {
            id: format!("i-{}", random.below(1_000)).into(),
            template: known,
            payee: AccountId::new(random.one_of(&["beta", "beta", "beta", "gamma"])),
            endpoint: random.chance(10).then(|| Arc::from("meter-2")),
            granted_at,
            phase: random.one_of(&[Phase::Pending, Phase::Armed, Phase::Armed]),
            terminated_at: random.chance(15).then(|| at(random.below(60))),
            statuses: Vec::new(),
            allowances: vec![Allowance::default(); of.elements.len()].into(),
            activation_failed: false,
        };
        if random.chance(15) {
            instance.statuses.push((at(random.below(30)), Status::Suspended));
            instance.statuses.push((at(30 + random.below(30)), Status::Active));
        }
        if random.chance(65) {
            activate(&zone, &mut instance, granted_at);
        }
        let holder = random.chance(40).then(|| Arc::from("meter-1"));
        if holder.is_some() && instance.endpoint.is_some() {
            instance.endpoint.clone_from(&holder);
        }
        let id: Arc<str> = format!("{}-{number}", instance.id).into();
        instance.id = id.clone();
        state.bundles.add(&InstanceKey { account, holder, id }, instance);
    }
    state.take_changes(1, |_| {});
    state.settle();
    (state, account)
}

fn usage(random: &mut Random) -> UsageRecord {
    let service = random.one_of(&["data", "data", "data", "sms"]);
    let mut usage = UsageRecord::new("u", "s", service, at(random.below(70)));
    usage.quantity = 1 + random.below(600);
    usage.unit = Unit::Octets;
    usage.network = Plmn::parse(random.one_of(&["234-15", "234-30", "262-01", "310-410"]));
    usage.rating_group = random.chance(50).then_some(10);
    usage.apn = random.chance(50).then(|| "iot".into());
    usage
}

/// Rule 15 to the letter: every candidate, sorted anew after each activation.
fn by_sorting(leg: &Leg<'_>, state: &State, account: AccountNumber) -> Plan {
    let mut plan = Plan::default();
    let mut all: Vec<Candidate<'_>> = Vec::new();
    for (place, key, instance) in state.bundles.rows.iter() {
        let ownership = match &key.holder {
            Some(holder) if leg.endpoint == Some(holder) => Ownership::Own,
            Some(_) => continue,
            None => Ownership::Shared,
        };
        let balance = Amount::from_unscaled(i128::from(i64::MAX)).expect("rich");
        for (element, what) in instance.template.elements.iter().enumerate() {
            // Fair use of an armed bundle is a candidate once the bundle is active.
            if !matches!(rejection(leg, balance, instance, element), None | Some(Rejection::ArmedFairUse)) {
                continue;
            }
            let (needs_activation, effective, end) = match instance.phase {
                Phase::Active { start, end } => (false, start, end),
                Phase::Armed | Phase::Pending => {
                    let end = instance
                        .template
                        .lasts
                        .and_then(|length| leg.edge.time_zone.plus(leg.usage.event_time, length));
                    (true, instance.granted_at, end)
                }
            };
            let order = Order {
                class: match (what.class, needs_activation) {
                    (ElementClass::FairUse, _) => Class::FairUse,
                    (ElementClass::Standard, true) => Class::Armed,
                    (ElementClass::Standard, false) => Class::Active,
                },
                priority: what.priority,
                specificity: Reverse(what.applies.specificity(leg.usage).expect("it fits")),
                expiry: end.unwrap_or(Timestamp::FAR_FUTURE),
                ownership,
                origin: Origin::of(instance),
                effective,
                id: &instance.id,
                element,
            };
            all.push(Candidate { order, place, instance, needs_activation });
        }
    }
    let (mut wanted, mut money) = (leg.usage.quantity, state.head(account).balance);
    while wanted > 0 {
        all.sort_by(|a, b| b.order.cmp(&a.order));
        let Some(candidate) = all.pop() else { break };
        if candidate.needs_activation {
            if candidate.order.class == Class::FairUse || plan.failed.contains(&candidate.place) {
                continue;
            }
            let after = money.checked_sub(candidate.fee()).expect("small");
            if leg.edge.mode == Mode::Prepaid && !candidate.fee().is_zero() && after < Amount::ZERO {
                plan.failed.push(candidate.place);
                continue;
            }
            money = after;
            plan.activations.push(candidate.place);
            for other in all.iter_mut().filter(|other| other.place == candidate.place) {
                other.needs_activation = false;
                if other.order.class == Class::Armed {
                    other.order.class = Class::Active;
                }
                other.order.effective = leg.usage.event_time;
            }
        }
        let units = candidate.left().map_or(wanted, |left| left.min(wanted));
        plan.draws.push(Draw { place: candidate.place, element: candidate.order.element, units });
        plan.covered += units;
        wanted -= units;
    }
    plan
}

/// Draws as planned, as rating does.
fn carry_out(plan: &Plan, leg: &Leg<'_>, state: &mut State) {
    for place in &plan.activations {
        state.bundles.change(*place, |instance| activate(&leg.edge.time_zone, instance, leg.usage.event_time));
    }
    for draw in &plan.draws {
        take(&mut state.bundles, draw);
    }
}

/// `RATER_DRAWN_LEGS` says how many legs; `RATER_DRAWN_SEED` where to begin.
#[test]
fn draws_are_those_of_a_full_sort_by_rule_15() {
    let setting =
        |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (legs, first) = (setting("RATER_DRAWN_LEGS", 20_000), setting("RATER_DRAWN_SEED", 1));
    let (mut done, mut seed, mut drawn, mut activated, mut failed) = (0, first, 0, 0, 0);
    while done < legs {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut state, account) = state(&mut random);
        let edges = [edge("beta", Mode::Prepaid), edge("beta", Mode::Postpaid), edge("gamma", Mode::Postpaid)];
        for step in 0..50 {
            let (usage, edge) = (usage(&mut random), random.one_of(&[0, 0, 1, 2]));
            let leg = Leg {
                usage: &usage,
                usage_key: 0,
                endpoint: Some(random.one_of(&["meter-1", "meter-2"])),
                edge: &edges[edge],
                ancestors: "",
                rate: RateChoice::NoTariff,
                horizon: Timestamp::EPOCH,
                is_late: false,
            };
            let plan = plan(&leg, &state, account);
            assert_eq!(plan, by_sorting(&leg, &state, account), "seed {seed}, leg {step}");
            (drawn, activated, failed) =
                (drawn + plan.draws.len(), activated + plan.activations.len(), failed + plan.failed.len());
            carry_out(&plan, &leg, &mut state);
            match random.below(8) {
                0 => state.undo(),
                1 | 2 => {
                    state.take_changes(1, |_| {});
                    state.settle();
                }
                3 => {
                    // What is put back after a restart stands in the same order.
                    state.settle();
                    state.bundles.index_all();
                }
                _ => {}
            }
            done += 1;
        }
        seed += 1;
    }
    assert!(
        drawn as u64 > legs / 3 && activated as u64 > legs / 200 && failed as u64 > legs / 200,
        "{drawn} {activated} {failed}"
    );
}
