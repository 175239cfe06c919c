//! Bundle instances and the order in which a record draws on them (rules 15 to 19).
//!
//! Works on copies: the caller takes the result over only if the rest of the leg can be rated, for a leg that waits draws nothing (rule 3).

use super::outcome::Draw;
use super::rate::latest;
use super::rates::{Bundle, Fit, Keys};
use super::reference::{Reference, Status};
use super::values::{Length, units_of};
use jiff::tz::TimeZone;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A bundle as bought: a copy of its template, bound to the edge it was bought on (rules 6 and 16).
#[derive(Clone)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) template: Bundle,
    pub(super) payer: String,
    pub(super) payee: String,
    /// Whose use it covers; nothing: a pool.
    pub(super) endpoint: Option<String>,
    /// The zone of its calendar.
    pub(super) zone: TimeZone,
    /// When it was bought.
    pub(super) effective: i64,
    pub(super) state: State,
    /// Suspensions and resumptions, each from a moment on, in order of arrival.
    pub(super) statuses: Vec<(i64, Status)>,
    /// When it was cancelled.
    pub(super) ended: Option<i64>,
    /// What is left of each element of the template; nothing: unlimited.
    pub(super) left: Vec<Option<BigInt>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for the command `activate`.
    Pending,
    /// Waits for the first unit drawn from it.
    Armed,
    /// Valid in the half-open time `from..until`; no end: for ever.
    Active { from: i64, until: Option<i64> },
}

impl Instance {
    /// Whether it lives at `moment`, so that a template's name in a command can mean it.
    pub(super) fn lives(&self, moment: i64) -> bool {
        let expired = matches!(self.state, State::Active { until: Some(until), .. } if until <= moment);
        self.ended.is_none() && !expired
    }

    /// Makes it active from `moment`.
    pub(super) fn activate(&mut self, moment: i64) {
        self.state = State::Active { from: moment, until: self.would_expire(moment) };
    }

    fn would_expire(&self, start: i64) -> Option<i64> {
        self.template.lasts.as_ref().and_then(|lasts: &Length| lasts.after(start, &self.zone).ok())
    }

    /// Whether a record of `endpoint` at `moment` may draw on it, as far as time, state and scope go.
    fn is_open(&self, endpoint: Option<&str>, moment: i64) -> bool {
        let in_time = match self.state {
            State::Pending => false,
            State::Armed => self.effective <= moment,
            State::Active { from, until } => from <= moment && until.is_none_or(|until| moment < until),
        };
        let suspended = latest(self.statuses.iter().copied(), moment) == Status::Suspended;
        let in_scope = self.endpoint.is_none() || self.endpoint.as_deref() == endpoint;
        in_time && !suspended && in_scope && self.ended.is_none_or(|ended| moment < ended)
    }
}

/// Who draws.
pub(super) struct Drawer<'a> {
    pub(super) reference: &'a Reference,
    pub(super) keys: &'a Keys,
    pub(super) endpoint: Option<&'a str>,
    pub(super) event_time: i64,
    /// What a prepaid payer can spend on fees of bundles that become active; nothing: a postpaid payer.
    pub(super) money: Option<BigRational>,
}

/// What a record drew.
#[derive(Default)]
pub(super) struct Drawn {
    /// Base units per instance id.
    pub(super) covered: BTreeMap<String, BigInt>,
    /// Each draw, in order.
    pub(super) draws: Vec<Draw>,
    /// What nothing covered.
    pub(super) rest: BigInt,
    /// The instances that became active, with their fees, in order.
    pub(super) activated: Vec<(Instance, BigRational)>,
    /// The instances that should have become active and could not be paid, in order.
    pub(super) unpaid: Vec<String>,
}

/// The order of rule 15, best first.
type Rank = (u8, i64, Reverse<Fit>, (bool, i64), bool, bool, i64, String, usize);

/// Draws `quantity` from `instances`, all of which belong to the edge. Looks for the best allowance again after each draw, because a draw
/// may activate an instance, whose other allowances then rank as active.
pub(super) fn draw(mut drawer: Drawer<'_>, instances: &mut [Instance], quantity: &BigInt) -> Drawn {
    let mut drawn = Drawn { rest: quantity.clone(), ..Drawn::default() };
    let mut unaffordable: Vec<usize> = Vec::new();
    while !drawn.rest.is_zero() {
        let mut best: Option<(Rank, usize, usize)> = None;
        for (index, instance) in instances.iter().enumerate() {
            if unaffordable.contains(&index) || !instance.is_open(drawer.endpoint, drawer.event_time) {
                continue;
            }
            for element in 0..instance.template.elements.len() {
                if let Some(rank) = rank(&drawer, instance, element)
                    && best.as_ref().is_none_or(|(known, _, _)| rank < *known)
                {
                    best = Some((rank, index, element));
                }
            }
        }
        let Some((_, index, element)) = best else {
            break;
        };
        let instance = &mut instances[index];
        if instance.state == State::Armed {
            if let Some(fee) = instance.template.fee.clone().filter(|fee| !fee.is_zero()) {
                match &mut drawer.money {
                    Some(money) if *money < fee => {
                        drawn.unpaid.push(instance.id.clone());
                        unaffordable.push(index);
                        continue;
                    }
                    Some(money) => *money -= &fee,
                    None => {}
                }
                drawn.activated.push((instance.clone(), fee));
            }
            instance.activate(drawer.event_time);
        }
        let before = instance.left[element].clone();
        let taken = before.clone().map_or(drawn.rest.clone(), |before| before.min(drawn.rest.clone()));
        instance.left[element] = before.as_ref().map(|before| before - &taken);
        drawn.draws.push(Draw {
            instance: instance.id.clone(),
            element,
            units: units_of(&taken),
            before: before.as_ref().map(units_of),
            after: instance.left[element].as_ref().map(units_of),
        });
        drawn.rest -= &taken;
        *drawn.covered.entry(instance.id.clone()).or_default() += taken;
    }
    drawn
}

/// Where element number `element` of `instance` stands in the order; nothing if it cannot be drawn.
fn rank(drawer: &Drawer<'_>, instance: &Instance, element: usize) -> Option<Rank> {
    let definition = &instance.template.elements[element];
    if instance.left[element].as_ref().is_some_and(Zero::is_zero) {
        return None;
    }
    let fit = definition.matcher.fit(drawer.reference, drawer.keys)?;
    let (class, expiry, since) = match (instance.state, definition.fair_use) {
        // Fair use of an armed bundle is not drawn (detail r).
        (State::Pending, _) | (State::Armed, true) => return None,
        (State::Active { from, until }, false) => (0, until, from),
        (State::Armed, false) => (1, instance.would_expire(drawer.event_time), instance.effective),
        (State::Active { from, until }, true) => (2, until, from),
    };
    Some((
        class,
        definition.priority,
        Reverse(fit),
        (expiry.is_none(), expiry.unwrap_or_default()),
        instance.endpoint.is_none(),
        !instance.template.promotional,
        since,
        instance.id.clone(),
        element,
    ))
}
