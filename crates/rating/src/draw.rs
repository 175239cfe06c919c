//! Drawing bundles: which allowances may cover a leg, in which order (rule 15), and how much each gives. Planning changes nothing;
//! `take` cannot fail.
//!
//! Candidates come from the [index](crate::bundles) one by one, the first first, until the leg is covered: what a leg costs does not depend on how much more can be drawn. What
//! comes before and cannot be drawn (suspended, cancelled, not to be paid for) is looked at and passed over.

use crate::bundle::{AllowanceDraw, ElementClass, Instance, Phase};
use crate::bundles::{ActiveKey, ArmedKey, Bundles, Group, Origin, Shelved};
use crate::calendar::Timestamp;
use crate::id::AccountId;
use crate::leg::{Leg, Mode};
use crate::matching::Specificity;
use crate::money::Amount;
use crate::ordered::Entries;
use crate::state::{AccountNumber, State};
use crate::table::RowPlace;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::sync::Arc;

/// Why an element does not cover a leg: for explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another service, zone, key or unit.
    NoMatch,
    /// Granted on the edge to another payee (rule 6).
    OtherEdge,
    /// Granted to another endpoint.
    OtherEndpoint,
    /// The event is earlier than the grant or the activation (rule 17).
    NotYetValid,
    /// The event is at or after the end.
    Ended,
    /// Suspended at the event time.
    Suspended,
    /// Waits for its activation.
    Pending,
    /// Nothing left.
    UsedUp,
    /// Fair use of an armed bundle is not drawn (detail r).
    ArmedFairUse,
    /// Prepaid, and the balance does not cover the fee (detail x).
    NoMoney,
}

impl Rejection {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Rejection::NoMatch => "does not cover this use",
            Rejection::OtherEdge => "granted by another payee",
            Rejection::OtherEndpoint => "belongs to another endpoint",
            Rejection::NotYetValid => "not yet valid at the event time",
            Rejection::Ended => "ended before the event time",
            Rejection::Suspended => "suspended at the event time",
            Rejection::Pending => "not activated",
            Rejection::UsedUp => "used up",
            Rejection::ArmedFairUse => "fair use is not drawn from an armed bundle",
            Rejection::NoMoney => "no money for the fee",
        }
    }
}

/// Units taken from one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Where the instance stands.
    pub place: RowPlace,
    /// Position of the element.
    pub element: usize,
    /// Units.
    pub units: u64,
}

/// What bundles do for a leg.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Draws in burn-down order.
    pub draws: SmallVec<[Draw; 2]>,
    /// Armed instances that become active, in order.
    pub activations: SmallVec<[RowPlace; 1]>,
    /// Armed instances that a prepaid account could not pay for.
    pub failed: SmallVec<[RowPlace; 1]>,
    /// Units covered.
    pub covered: u64,
}

/// The burn-down order of rule 15, smallest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order<'s> {
    class: Class,
    priority: u32,
    specificity: Reverse<Specificity>,
    expiry: Timestamp,
    ownership: Ownership,
    origin: Origin,
    effective: Timestamp,
    id: &'s str,
    element: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Active,
    Armed,
    FairUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ownership {
    Own,
    Shared,
}

#[derive(Clone, Debug)]
struct Candidate<'s> {
    order: Order<'s>,
    place: RowPlace,
    instance: &'s Instance,
    needs_activation: bool,
}

impl Candidate<'_> {
    fn left(&self) -> Option<u64> {
        self.instance.left(self.order.element)
    }

    fn fee(&self) -> Amount {
        self.instance.template.fee.unwrap_or(Amount::ZERO)
    }
}

/// Candidates of one group, in order.
struct Stream<'s> {
    entries: Listing<'s>,
    class: Class,
    priority: u32,
    specificity: Reverse<Specificity>,
    ownership: Ownership,
    /// The first of those that are left.
    first: Option<Candidate<'s>>,
}

enum Listing<'s> {
    Active(Entries<'s, ActiveKey, Shelved>),
    /// With the end that each would have.
    Armed(Entries<'s, ArmedKey, Shelved>, Timestamp),
    /// One that an activation has made drawable.
    Single,
}

impl<'s> Stream<'s> {
    /// Goes on to the next candidate that can be drawn from, and is not to be passed over.
    fn advance(&mut self, leg: &Leg<'_>, bundles: &'s Bundles, passes_over: impl Fn(RowPlace) -> bool) {
        let at = leg.usage.event_time;
        let Stream { entries, class, priority, specificity, ownership, .. } = self;
        let order = |expiry, origin, effective, id: &'s str, element| Order {
            class: *class,
            priority: *priority,
            specificity: *specificity,
            expiry,
            ownership: *ownership,
            origin,
            effective,
            id,
            element,
        };
        let next = loop {
            let (order, shelved, needs_activation) = match entries {
                Listing::Single => break None,
                Listing::Active(entries) => {
                    let Some((key, shelved)) = entries.next() else { break None };
                    if key.effective > at || shelved.until <= at {
                        continue;
                    }
                    (order(key.expiry, key.origin, key.effective, &key.id, key.element), shelved, false)
                }
                Listing::Armed(entries, expiry) => {
                    let Some((key, shelved)) = entries.next() else { break None };
                    if key.granted_at > at || shelved.until <= at {
                        continue;
                    }
                    (order(*expiry, key.origin, key.granted_at, &key.id, key.element), shelved, true)
                }
            };
            let instance = bundles.at(shelved.place).expect("what stands in the index is there");
            // Only an instance with several elements comes again.
            let was_decided = needs_activation && instance.template.elements.len() > 1 && passes_over(shelved.place);
            if !was_decided
                && instance.endpoint.as_deref().is_none_or(|only| leg.endpoint == Some(only))
                && !instance.is_suspended_at(at)
            {
                break Some(Candidate { order, place: shelved.place, instance, needs_activation });
            }
        };
        self.first = next;
    }

    fn single(candidate: Candidate<'s>) -> Stream<'s> {
        let Order { class, priority, specificity, ownership, .. } = candidate.order;
        Stream { entries: Listing::Single, class, priority, specificity, ownership, first: Some(candidate) }
    }
}

/// Plans the draws for a leg; touches nothing.
pub fn plan(leg: &Leg<'_>, state: &State, account: AccountNumber) -> Plan {
    let mut plan = Plan::default();
    let bundles = &state.bundles;
    if !bundles.has_any(account) {
        return plan;
    }
    let mut streams: SmallVec<[Stream<'_>; 2]> = SmallVec::new();
    for (shelf, ownership) in
        bundles.shelves(account, leg.endpoint).into_iter().zip([Ownership::Own, Ownership::Shared])
    {
        let groups = shelf.into_iter().flat_map(|shelf| shelf.groups_of(leg.usage.unit, &leg.usage.service));
        for group in groups.filter(|group| !group.is_empty() && group.payee == leg.edge.payee) {
            let Some(specificity) = group.applies.specificity(leg.usage) else { continue };
            add_streams(leg, group, specificity, ownership, &mut streams);
        }
    }
    streams.iter_mut().for_each(|stream| stream.advance(leg, bundles, |_| false));
    let mut wanted = leg.usage.quantity;
    let mut money = state.head(account).balance;
    while wanted > 0 {
        let first = streams.iter().enumerate().filter_map(|(at, stream)| Some((at, &stream.first.as_ref()?.order)));
        let Some((at, _)) = first.min_by(|(_, a), (_, b)| a.cmp(b)) else { break };
        let candidate = streams[at].first.take().expect("the stream that was chosen has a candidate");
        let is_to_be_paid = candidate.needs_activation;
        if is_to_be_paid {
            let after_fee = money.checked_sub(candidate.fee());
            let is_short = after_fee.is_none_or(|rest| rest < Amount::ZERO);
            if leg.edge.mode == Mode::Prepaid && !candidate.fee().is_zero() && is_short {
                plan.failed.push(candidate.place);
                pass_over(leg, bundles, &plan, &mut streams, at);
                continue;
            }
            money = after_fee.unwrap_or(money);
            plan.activations.push(candidate.place);
        }
        let units = candidate.left().map_or(wanted, |left| left.min(wanted));
        plan.draws.push(Draw { place: candidate.place, element: candidate.order.element, units });
        plan.covered += units;
        wanted -= units;
        if is_to_be_paid {
            pass_over(leg, bundles, &plan, &mut streams, at);
            // From its first unit on it is active, and so are its other allowances (rule 15): as if each unit were a record.
            streams.extend(activated_with(leg, &candidate).map(Stream::single));
        } else {
            streams[at].advance(leg, bundles, |place| is_decided(&plan, place));
        }
    }
    plan
}

fn add_streams<'s>(
    leg: &Leg<'_>,
    group: &'s Group,
    specificity: Specificity,
    ownership: Ownership,
    streams: &mut SmallVec<[Stream<'s>; 2]>,
) {
    let at = leg.usage.event_time;
    let mut add = |class, entries| {
        let (priority, specificity) = (group.priority, Reverse(specificity));
        streams.push(Stream { entries, class, priority, specificity, ownership, first: None });
    };
    if !group.active.is_empty() {
        let class = match group.class {
            ElementClass::Standard => Class::Active,
            ElementClass::FairUse => Class::FairUse,
        };
        // What has ended by then stands before.
        let first = || ActiveKey {
            expiry: Timestamp::from_millis(at.millis().saturating_add(1)),
            origin: Origin::Promotional,
            effective: Timestamp::from_millis(i64::MIN),
            id: Arc::from(""),
            element: 0,
        };
        add(class, Listing::Active(group.active.from(|key| key.expiry <= at, first)));
    }
    // Fair use of an armed bundle is not drawn (detail r).
    if group.class == ElementClass::Standard {
        for (lasts, armed) in group.armed.iter().filter(|(_, armed)| !armed.is_empty()) {
            let end = lasts.and_then(|length| leg.edge.time_zone.plus(at, length));
            add(Class::Armed, Listing::Armed(armed.iter(), end.unwrap_or(Timestamp::FAR_FUTURE)));
        }
    }
}

/// Returns whether the plan has decided on an armed instance.
fn is_decided(plan: &Plan, place: RowPlace) -> bool {
    plan.activations.contains(&place) || plan.failed.contains(&place)
}

/// Lets every stream go on that stands at an instance on which was decided, and the one from which it was taken.
fn pass_over<'s>(leg: &Leg<'_>, bundles: &'s Bundles, plan: &Plan, streams: &mut [Stream<'s>], taken_from: usize) {
    for (at, stream) in streams.iter_mut().enumerate() {
        let stands_there = stream.first.as_ref().is_some_and(|first| {
            first.needs_activation && first.instance.template.elements.len() > 1 && is_decided(plan, first.place)
        });
        if stands_there || at == taken_from {
            stream.advance(leg, bundles, |place| is_decided(plan, place));
        }
    }
}

/// The other allowances of an instance that a leg has just activated, as far as they fit it.
fn activated_with<'s>(leg: &Leg<'_>, activated: &Candidate<'s>) -> impl Iterator<Item = Candidate<'s>> {
    let Candidate { order, place, instance, .. } = activated.clone();
    let event_time = leg.usage.event_time;
    let fits = move |(index, element): (usize, &'s crate::bundle::Element), leg: &Leg<'_>| {
        let is_other = index != order.element && element.unit == leg.usage.unit && instance.left(index) != Some(0);
        let specificity = if is_other { element.applies.specificity(leg.usage)? } else { return None };
        let class = match element.class {
            ElementClass::Standard => Class::Active,
            ElementClass::FairUse => Class::FairUse,
        };
        let order = Order {
            class,
            priority: element.priority,
            specificity: Reverse(specificity),
            effective: event_time,
            element: index,
            ..order.clone()
        };
        Some(Candidate { order, place, instance, needs_activation: false })
    };
    let all: SmallVec<[Candidate<'s>; 2]> =
        instance.template.elements.iter().enumerate().filter_map(|each| fits(each, leg)).collect();
    all.into_iter()
}

/// Every instance that a leg of this payer and endpoint might draw from: for explanations.
pub fn instances<'s>(state: &'s State, payer: &AccountId, endpoint: Option<&str>) -> Vec<&'s Instance> {
    let Some(account) = state.known_account(payer) else { return Vec::new() };
    let bundles = &state.bundles;
    let own = endpoint.into_iter().flat_map(|endpoint| bundles.places(account, Some(endpoint)));
    own.chain(bundles.places(account, None)).filter_map(|place| bundles.at(place)).collect()
}

/// Why an element would not be drawn from, `None` if it could be: for explanations.
pub fn rejection(leg: &Leg<'_>, balance: Amount, instance: &Instance, index: usize) -> Option<Rejection> {
    let at = leg.usage.event_time;
    let Some(element) = instance.template.elements.get(index) else { return Some(Rejection::NoMatch) };
    if element.unit != leg.usage.unit || element.applies.specificity(leg.usage).is_none() {
        return Some(Rejection::NoMatch);
    }
    if instance.payee != leg.edge.payee {
        return Some(Rejection::OtherEdge);
    }
    if instance.endpoint.as_deref().is_some_and(|only| leg.endpoint != Some(only)) {
        return Some(Rejection::OtherEndpoint);
    }
    if instance.terminated_at.is_some_and(|end| end <= at) {
        return Some(Rejection::Ended);
    }
    if instance.is_suspended_at(at) {
        return Some(Rejection::Suspended);
    }
    let is_used_up = instance.left(index) == Some(0);
    match instance.phase {
        Phase::Pending => Some(Rejection::Pending),
        Phase::Active { start, .. } if at < start => Some(Rejection::NotYetValid),
        Phase::Active { end: Some(end), .. } if end <= at => Some(Rejection::Ended),
        Phase::Armed if at < instance.granted_at => Some(Rejection::NotYetValid),
        Phase::Active { .. } | Phase::Armed if is_used_up => Some(Rejection::UsedUp),
        Phase::Active { .. } => None,
        Phase::Armed if element.class == ElementClass::FairUse => Some(Rejection::ArmedFairUse),
        Phase::Armed => {
            let fee = instance.template.fee.unwrap_or(Amount::ZERO);
            (leg.edge.mode == Mode::Prepaid && fee > balance).then_some(Rejection::NoMoney)
        }
    }
}

/// Makes an instance active from `start` on.
pub(crate) fn activate(leg_zone: &crate::calendar::TimeZone, instance: &mut Instance, start: Timestamp) {
    let end = instance.template.lasts.and_then(|length| leg_zone.plus(start, length));
    instance.phase = Phase::Active { start, end };
}

/// What was drawn from an element, and what is to be told of it.
pub(crate) struct Drawn {
    pub(crate) told: AllowanceDraw,
    /// The thresholds crossed (rule 25), as percentages.
    pub(crate) crossed: SmallVec<[u8; 2]>,
}

/// Takes the units of a draw.
pub(crate) fn take(bundles: &mut Bundles, draw: &Draw) -> Drawn {
    let (drawn, is_used_up) = bundles.change_beside(draw.place, |instance| {
        let template = &instance.template;
        let granted = template.elements.get(draw.element).and_then(|element| element.amount);
        let allowance = instance.allowances.get_mut(draw.element).expect("every element has an allowance");
        let left = |used: u64| granted.map(|granted| granted.saturating_sub(used));
        let before = left(allowance.used);
        // More than 2^64 units of an unlimited allowance are as many as can be told.
        allowance.used = allowance.used.saturating_add(draw.units);
        let mut crossed = SmallVec::new();
        for (bit, percent) in template.warn_at.iter().enumerate().take(8) {
            let reached = granted
                .is_some_and(|granted| u128::from(allowance.used) * 100 >= u128::from(granted) * u128::from(*percent));
            if reached && allowance.warned & (1 << bit) == 0 {
                allowance.warned |= 1 << bit;
                crossed.push(*percent);
            }
        }
        let after = left(allowance.used);
        let told = AllowanceDraw {
            bundle: template.id.clone(),
            instance: instance.id.clone(),
            element: u16::try_from(draw.element).unwrap_or(u16::MAX),
            before,
            after,
        };
        (Drawn { told, crossed }, after == Some(0))
    });
    if is_used_up {
        bundles.used_up(draw.place, draw.element);
    }
    drawn
}

#[cfg(test)]
mod tests;
