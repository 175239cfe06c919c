//! Drawing bundles: which allowances may cover a leg, in which order (rule 15), and how much each gives. Planning changes nothing;
//! `take` cannot fail.

use crate::account::{Account, Member};
use crate::bundle::{AllowanceDraw, ElementClass, Instance, Phase};
use crate::calendar::Timestamp;
use crate::leg::{Leg, Mode};
use crate::matching::Specificity;
use crate::money::Amount;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::sync::Arc;

/// Where an instance is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the member: the endpoint's own.
    Own(usize),
    /// In the account: shared.
    Pool(usize),
}

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
    /// The instance.
    pub place: Place,
    /// Position of the element.
    pub element: usize,
    /// Units.
    pub units: u64,
}

/// What bundles do for a leg.
#[derive(Debug, Default)]
pub struct Plan {
    /// Draws in burn-down order.
    pub draws: SmallVec<[Draw; 2]>,
    /// Armed instances that become active, in order.
    pub activations: SmallVec<[Place; 1]>,
    /// Armed instances that a prepaid account could not pay for.
    pub failed: SmallVec<[Place; 1]>,
    /// Units covered.
    pub covered: u64,
}

/// The burn-down order of rule 15, smallest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    class: Class,
    priority: u32,
    specificity: Reverse<Specificity>,
    expiry: Timestamp,
    ownership: Ownership,
    origin: Origin,
    effective: Timestamp,
    id: Arc<str>,
    element: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Active,
    Armed,
    FairUse,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ownership {
    Own,
    Shared,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Promotional,
    Paid,
}

struct Candidate {
    order: Order,
    place: Place,
    left: Option<u64>,
    fee: Amount,
    needs_activation: bool,
}

/// Plans the draws for a leg; touches nothing.
pub fn plan(leg: &Leg<'_>, account: &Account, member: Option<&Member>) -> Plan {
    let mut plan = Plan::default();
    if account.pools.is_empty() && member.is_none_or(|member| member.bundles.is_empty()) {
        return plan;
    }
    let mut candidates: SmallVec<[Candidate; 4]> = SmallVec::new();
    for (place, instance) in instances(account, member) {
        for element in 0..instance.template.elements.len() {
            if let Ok(candidate) = candidate(leg, place, instance, element) {
                candidates.push(candidate);
            }
        }
    }
    // Descending, so that the next one is at the end.
    candidates.sort_unstable_by(|a, b| b.order.cmp(&a.order));
    let mut wanted = leg.usage.quantity;
    let mut money = account.balance;
    while let Some(candidate) = candidates.pop() {
        if wanted == 0 {
            break;
        }
        if candidate.needs_activation {
            let class = candidate.order.class;
            if class == Class::FairUse || plan.failed.contains(&candidate.place) {
                continue;
            }
            let after_fee = money.checked_sub(candidate.fee);
            let is_short = after_fee.is_none_or(|rest| rest < Amount::ZERO);
            if leg.edge.mode == Mode::Prepaid && !candidate.fee.is_zero() && is_short {
                plan.failed.push(candidate.place);
                continue;
            }
            money = after_fee.unwrap_or(money);
            plan.activations.push(candidate.place);
            // From its first unit on it is active, and so are its other allowances (rule 15): as if each unit were a record.
            for other in candidates.iter_mut().filter(|other| other.place == candidate.place) {
                other.needs_activation = false;
                other.order.class = match other.order.class {
                    Class::Active | Class::Armed => Class::Active,
                    Class::FairUse => Class::FairUse,
                };
                other.order.effective = leg.usage.event_time;
            }
            candidates.sort_unstable_by(|a, b| b.order.cmp(&a.order));
        }
        let units = candidate.left.map_or(wanted, |left| left.min(wanted));
        plan.draws.push(Draw { place: candidate.place, element: candidate.order.element, units });
        plan.covered += units;
        wanted -= units;
    }
    plan
}

/// Every instance that a leg of this payer and endpoint might draw from.
pub fn instances<'s>(account: &'s Account, member: Option<&'s Member>) -> impl Iterator<Item = (Place, &'s Instance)> {
    let own = member.into_iter().flat_map(|member| member.bundles.iter().enumerate());
    let shared = account.pools.iter().enumerate();
    own.map(|(at, instance)| (Place::Own(at), instance)).chain(shared.map(|(at, pool)| (Place::Pool(at), pool)))
}

/// Why an element would not be drawn from, `None` if it could be: for explanations.
pub fn rejection(
    leg: &Leg<'_>,
    account: &Account,
    place: Place,
    instance: &Instance,
    element: usize,
) -> Option<Rejection> {
    match candidate(leg, place, instance, element) {
        Err(rejection) => Some(rejection),
        Ok(found) if found.needs_activation && found.order.class == Class::FairUse => Some(Rejection::ArmedFairUse),
        Ok(found) if found.needs_activation && leg.edge.mode == Mode::Prepaid && found.fee > account.balance => {
            Some(Rejection::NoMoney)
        }
        Ok(_) => None,
    }
}

fn candidate(leg: &Leg<'_>, place: Place, instance: &Instance, index: usize) -> Result<Candidate, Rejection> {
    let at = leg.usage.event_time;
    let element = instance.template.elements.get(index).ok_or(Rejection::NoMatch)?;
    if element.unit != leg.usage.unit {
        return Err(Rejection::NoMatch);
    }
    let specificity = element.applies.specificity(leg.usage).ok_or(Rejection::NoMatch)?;
    if instance.payee != leg.edge.payee {
        return Err(Rejection::OtherEdge);
    }
    if instance.endpoint.as_deref().is_some_and(|only| leg.endpoint != Some(only)) {
        return Err(Rejection::OtherEndpoint);
    }
    if instance.terminated_at.is_some_and(|end| end <= at) {
        return Err(Rejection::Ended);
    }
    if instance.is_suspended_at(at) {
        return Err(Rejection::Suspended);
    }
    let (needs_activation, effective, end) = match instance.phase {
        Phase::Pending => return Err(Rejection::Pending),
        Phase::Armed if at < instance.granted_at => return Err(Rejection::NotYetValid),
        Phase::Armed => (true, instance.granted_at, end_of(leg, instance, at)),
        Phase::Active { start, .. } if at < start => return Err(Rejection::NotYetValid),
        Phase::Active { end: Some(end), .. } if end <= at => return Err(Rejection::Ended),
        Phase::Active { start, end } => (false, start, end),
    };
    let left = instance.left(index);
    if left == Some(0) {
        return Err(Rejection::UsedUp);
    }
    let class = match (element.class, needs_activation) {
        (ElementClass::FairUse, _) => Class::FairUse,
        (ElementClass::Standard, true) => Class::Armed,
        (ElementClass::Standard, false) => Class::Active,
    };
    let order = Order {
        class,
        priority: element.priority,
        specificity: Reverse(specificity),
        expiry: end.unwrap_or(Timestamp::FAR_FUTURE),
        ownership: match place {
            Place::Own(_) => Ownership::Own,
            Place::Pool(_) => Ownership::Shared,
        },
        origin: if instance.template.promotional { Origin::Promotional } else { Origin::Paid },
        effective,
        id: instance.id.clone(),
        element: index,
    };
    let fee = instance.template.fee.unwrap_or(Amount::ZERO);
    Ok(Candidate { order, place, left, fee, needs_activation })
}

fn end_of(leg: &Leg<'_>, instance: &Instance, start: Timestamp) -> Option<Timestamp> {
    instance.template.lasts.and_then(|length| leg.edge.time_zone.plus(start, length))
}

/// The instance at a place of a plan.
pub(crate) fn instance_mut<'s>(
    account: &'s mut Account,
    member: Option<&'s mut Member>,
    place: Place,
) -> Option<&'s mut Instance> {
    match place {
        Place::Own(at) => member?.bundles.get_mut(at),
        Place::Pool(at) => account.pools.get_mut(at),
    }
}

/// Makes an instance active from `start` on.
pub(crate) fn activate(leg_zone: &crate::calendar::TimeZone, instance: &mut Instance, start: Timestamp) {
    let end = instance.template.lasts.and_then(|length| leg_zone.plus(start, length));
    instance.phase = Phase::Active { start, end };
}

/// Takes the units of a draw; returns what to tell, and the thresholds crossed (rule 25) as percentages.
pub(crate) fn take(instance: &mut Instance, draw: &Draw) -> (AllowanceDraw, SmallVec<[u8; 2]>) {
    let before = instance.left(draw.element);
    let granted = instance.template.elements.get(draw.element).and_then(|element| element.amount);
    let template = instance.template.clone();
    let mut crossed = SmallVec::new();
    if let Some(allowance) = instance.allowances.get_mut(draw.element) {
        allowance.used = allowance.used.saturating_add(draw.units);
        for (bit, percent) in template.warn_at.iter().enumerate().take(8) {
            let reached = granted
                .is_some_and(|granted| u128::from(allowance.used) * 100 >= u128::from(granted) * u128::from(*percent));
            if reached && allowance.warned & (1 << bit) == 0 {
                allowance.warned |= 1 << bit;
                crossed.push(*percent);
            }
        }
    }
    let told = AllowanceDraw {
        bundle: template.id.clone(),
        instance: instance.id.clone(),
        element: u16::try_from(draw.element).unwrap_or(u16::MAX),
        before,
        after: instance.left(draw.element),
    };
    (told, crossed)
}
