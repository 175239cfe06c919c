//! Rating one leg: a total function of the leg and its payer's state.
//!
//! First all checks, in the order of precedence below, then pricing, and only then changes that cannot fail. A leg that
//! cannot be rated draws nothing and changes nothing (rule 3).
//!
//! | order | check | outcome |
//! | --- | --- | --- |
//! | 0 | before the state horizon, and nobody said to charge it all the same | `too_old_to_rate` |
//! | 1 | payer closed | `account_closed` |
//! | 2 | payer suspended, by reference data or command | `account_suspended` |
//! | 3 | edge in another currency than the payer's account (rule 8) | `currency_mismatch` |
//! | 4 | sponsor, subscription type | `sponsor_not_allowed`, `subscription_type_not_allowed` |
//! | 5 | nothing used | charge of 0 (detail l) |
//! | 6 | bundles cover everything | charge of 0, `bundle` |
//! | 7 | the rest: free by intent, rate missing, blocked | charge of 0, or suspense (details k, m) |
//! | 8 | the rest has a rate | priced, capped, debited |

use crate::account::{CapCounter, Head};
use crate::bundle::{ElementClass, Instance};
use crate::calendar::Timestamp;
use crate::charge::{Charge, ChargeId, FeeOf, Segment, SegmentSource};
use crate::counter::Counter;
use crate::draw::{self, Drawn, Plan};
use crate::effect::{Cause, Delta, Effect, LifeEvent, LifeEventKind, Notification, NotificationKind, Shared};
use crate::identity;
use crate::leg::{Edge, Leg, RateChoice, Status};
use crate::money::{Amount, Exact};
use crate::pricing::{self, Priced, ScopedCounter};
use crate::quantity::Unit;
use crate::rate::{Rate, Scope};
use crate::reason::{ChargeReason, SuspenseReason};
use crate::session::{KnownPayer, LegSession, SessionChange};
use crate::state::{AccountNumber, HashedKey, State};
use crate::table::RowPlace;
use smallvec::SmallVec;

/// Rates a leg: on success exactly one usage charge (and fees of bundles it activated before it) has been added to `effects`.
///
/// # Errors
/// The reason why the leg waits; neither state nor effects have changed.
pub fn rate_leg<'a>(
    leg: &Leg<'a>,
    state: &mut State,
    account: AccountNumber,
    effects: &mut Vec<Effect<'a>>,
) -> Result<(), SuspenseReason> {
    if leg.is_too_old() && !leg.is_late {
        return Err(SuspenseReason::TooOldToRate);
    }
    check_payer(leg, state.head(account))?;
    if leg.is_too_old() && leg.usage.quantity > 0 {
        return rate_late(leg, state, account, effects);
    }
    let session = if leg.is_too_old() { None } else { LegSession::of(leg, state, account) };
    if leg.usage.quantity == 0 {
        note_currency(leg, state, account);
        let change = session.and_then(|session| session.change(leg.usage.event_time, false, None));
        if let Some(change) = change {
            change.apply(state);
        }
        effects.push(Effect::Charge(charge_of(leg, ChargeReason::ZeroQuantity, state.clock())));
        return Ok(());
    }
    let plan = draw::plan(leg, state, account);
    let rest = leg.usage.quantity - plan.covered;
    let verdict = judge(leg, plan.covered, rest, KnownPayer { state, account, session: session.as_ref() })?;
    let cap = verdict.rate.map(|rate| Cap::of(leg, rate, verdict.charged, state, account)).transpose()?.flatten();
    let waived = cap.as_ref().map_or(Amount::ZERO, |cap| cap.waived);
    let amount = verdict.charged.checked_sub(waived).ok_or(SuspenseReason::AmountOverflow)?;
    check_balance(&plan, amount, state, account)?;
    // After this point everything succeeds.
    settle(leg, plan, verdict, cap, amount, (state, account), effects);
    Ok(())
}

/// Rates a leg by its tariff alone: what was known at its event time is not known any more, so it neither sees nor changes bundles, counters and caps.
fn rate_late<'a>(
    leg: &Leg<'a>,
    state: &mut State,
    account: AccountNumber,
    effects: &mut Vec<Effect<'a>>,
) -> Result<(), SuspenseReason> {
    let verdict = judge(leg, 0, leg.usage.quantity, KnownPayer { state, account, session: None })?;
    let amount = verdict.charged;
    let reason = if verdict.rate.is_some() { ChargeReason::Late } else { verdict.reason };
    let verdict = Verdict { reason, month_counter: None, session_change: None, ..verdict };
    let plan = Plan::default();
    check_balance(&plan, amount, state, account)?;
    settle(leg, plan, verdict, None, amount, (state, account), effects);
    Ok(())
}

/// The account has the edge's currency from its first charge on.
fn note_currency(leg: &Leg<'_>, state: &mut State, account: AccountNumber) {
    if state.head(account).currency != Some(leg.edge.currency) {
        state.head_mut(account).currency = Some(leg.edge.currency);
    }
}

fn check_payer(leg: &Leg<'_>, account: &Head) -> Result<(), SuspenseReason> {
    // Which command held before the horizon is not known any more.
    let by_command = if leg.is_too_old() { Status::Active } else { account.status_at(leg.usage.event_time) };
    if leg.edge.status == Status::Closed || by_command == Status::Closed {
        return Err(SuspenseReason::AccountClosed);
    }
    if leg.edge.status == Status::Suspended || by_command == Status::Suspended {
        return Err(SuspenseReason::AccountSuspended);
    }
    if account.currency.is_some_and(|currency| currency != leg.edge.currency) {
        return Err(SuspenseReason::CurrencyMismatch);
    }
    let allowed = |list: &Option<std::sync::Arc<[Box<str>]>>, used: &Option<Box<str>>| match (list, used) {
        (Some(list), Some(used)) => list.contains(used),
        (None, _) | (_, None) => true,
    };
    if !allowed(&leg.edge.sponsors, &leg.usage.sponsor) {
        return Err(SuspenseReason::SponsorNotAllowed);
    }
    if !allowed(&leg.edge.subscription_types, &leg.usage.subscription_type) {
        return Err(SuspenseReason::SubscriptionTypeNotAllowed);
    }
    Ok(())
}

/// How the leg is charged, decided before anything changes.
struct Verdict<'a> {
    reason: ChargeReason,
    segments: SmallVec<[Segment<'a>; 1]>,
    /// Rounded, before caps.
    charged: Amount,
    rate: Option<&'a Rate>,
    month_counter: Option<(u128, Counter)>,
    session_change: Option<SessionChange>,
}

fn judge<'a>(leg: &Leg<'a>, covered: u64, rest: u64, payer: KnownPayer<'_>) -> Result<Verdict<'a>, SuspenseReason> {
    let verdict = |reason, counter: Option<ScopedCounter>, connects| {
        let (month_counter, session_counter) = match counter {
            Some(ScopedCounter { scope: Scope::Month, key, counter }) => (Some((key, counter)), None),
            Some(ScopedCounter { scope: Scope::Session | Scope::Record, key, counter }) => (None, Some((key, counter))),
            None => (None, None),
        };
        let session_change =
            payer.session.and_then(|session| session.change(leg.usage.event_time, connects, session_counter));
        let (segments, charged, rate) = (SmallVec::new(), Amount::ZERO, None);
        Verdict { reason, segments, charged, rate, month_counter, session_change }
    };
    match leg.rate {
        RateChoice::Rate(rate) if rest > 0 => {
            let Priced { segments, charged, counter, connects } = pricing::price(leg, rate, covered, rest, payer)?;
            let rate = Some(rate);
            Ok(Verdict { segments, charged, rate, ..verdict(ChargeReason::Rated, counter, connects) })
        }
        RateChoice::Rate(rate) => {
            let counter = pricing::note_covered(leg, rate, covered, payer);
            Ok(verdict(ChargeReason::Bundle, counter, false))
        }
        RateChoice::NoTariff if rest > 0 => {
            let segment = Segment { source: SegmentSource::NoTariff, quantity: rest, billable: 0, amount: Exact::ZERO };
            let segments = SmallVec::from_elem(segment, 1);
            Ok(Verdict { segments, ..verdict(ChargeReason::NoTariff, None, false) })
        }
        RateChoice::Missing(reason) if rest > 0 => Err(reason),
        RateChoice::NoTariff | RateChoice::Missing(_) => Ok(verdict(ChargeReason::Bundle, None, false)),
    }
}

/// What a cap does to a charge (detail f: per edge, tariff and month, after rounding).
struct Cap<'a> {
    key: HashedKey,
    counter: CapCounter,
    waived: Amount,
    notifies: bool,
    rate: &'a Rate,
}

impl<'a> Cap<'a> {
    fn of(
        leg: &Leg<'_>,
        rate: &'a Rate,
        charged: Amount,
        state: &State,
        account: AccountNumber,
    ) -> Result<Option<Cap<'a>>, SuspenseReason> {
        let Some(cap) = rate.facts.cap else { return Ok(None) };
        let month = leg.edge.time_zone.month_of(leg.usage.event_time);
        let key = HashedKey { key: identity::cap_key(&leg.edge.payee, &rate.facts.tariff_id, month), account };
        let fresh = CapCounter { charged: Amount::ZERO, notified: false, month };
        let mut counter = state.caps.get(&key).copied().unwrap_or(fresh);
        let room = cap.checked_sub(counter.charged).map_or(Amount::ZERO, |room| room.max(Amount::ZERO));
        let let_through = charged.min(room);
        let waived = charged.checked_sub(let_through).ok_or(SuspenseReason::AmountOverflow)?;
        counter.charged = counter.charged.checked_add(let_through).ok_or(SuspenseReason::AmountOverflow)?;
        let notifies = waived.is_positive() && !counter.notified;
        counter.notified |= notifies;
        Ok(Some(Cap { key, counter, waived, notifies, rate }))
    }
}

/// The balance can take the amount and all fees: so that posting them cannot fail.
fn check_balance(plan: &Plan, amount: Amount, state: &State, account: AccountNumber) -> Result<(), SuspenseReason> {
    let mut total = amount;
    for place in &plan.activations {
        let instance = state.bundles.at(*place).expect("a plan names instances that are there");
        let fee = instance.template.fee.unwrap_or(Amount::ZERO);
        total = total.checked_add(fee).ok_or(SuspenseReason::AmountOverflow)?;
    }
    state.head(account).balance.checked_sub(total).map(|_| ()).ok_or(SuspenseReason::AmountOverflow)
}

fn settle<'a>(
    leg: &Leg<'a>,
    plan: Plan,
    verdict: Verdict<'a>,
    cap: Option<Cap<'a>>,
    amount: Amount,
    (state, account): (&mut State, AccountNumber),
    effects: &mut Vec<Effect<'a>>,
) {
    let last_delta = state.head(account).delta_sequence;
    for place in &plan.failed {
        tell_failed_activation(leg, state, *place, last_delta, effects);
    }
    for place in &plan.activations {
        activate(leg, state, account, *place, effects);
    }
    let mut charge = charge_of(leg, verdict.reason, state.clock());
    let sequence = state.head(account).delta_sequence;
    for draw in &plan.draws {
        let Drawn { told, crossed } = draw::take(&mut state.bundles, draw);
        for percent in crossed {
            let instance = state.bundles.at(draw.place).expect("an instance that was drawn from is there");
            effects.push(Effect::Notification(notification(
                leg,
                threshold(leg, instance, draw.element, percent),
                sequence,
            )));
        }
        if told.after == Some(0) {
            let instance = state.bundles.at(draw.place).expect("an instance that was drawn from is there");
            // What comes after is fair use: the bundle is depleted once.
            let is_standard = instance.template.elements[draw.element].class == ElementClass::Standard;
            if is_standard && instance.is_used_up() {
                effects.push(Effect::LifeEvent(life_event(leg, instance, state.clock())));
            }
        }
        let source = SegmentSource::Allowance(told);
        charge.segments.push(Segment { source, quantity: draw.units, billable: 0, amount: Exact::ZERO });
    }
    if charge.segments.is_empty() {
        charge.segments = verdict.segments;
    } else {
        charge.segments.extend(verdict.segments);
    }
    charge.amount = amount;
    charge.rate = verdict.rate;
    if let Some(cap) = cap {
        charge.waived = cap.waived;
        if cap.waived.is_positive() {
            let source = SegmentSource::Cap(cap.rate);
            let amount = Exact::from(cap.waived.negated());
            charge.segments.push(Segment { source, quantity: 0, billable: 0, amount });
        }
        state.caps.set(&cap.key, cap.counter);
        if cap.notifies {
            let kind = NotificationKind::CapReached { tariff: cap.rate.facts.tariff_id.clone() };
            effects.push(Effect::Notification(notification(leg, kind, sequence)));
        }
    }
    if let Some((key, counter)) = verdict.month_counter {
        state.counters.set(&HashedKey { key, account }, counter);
    }
    if let Some(change) = verdict.session_change {
        change.apply(state);
    }
    note_currency(leg, state, account);
    charge.deltas = debit(state, account, amount);
    effects.push(Effect::Charge(charge));
    // A balance that did not change reaches nothing (detail C).
    if state.head(account).delta_sequence > last_delta {
        tell_exhausted(leg, state.head_mut(account), effects);
    }
}

/// Debits an amount; a charge of 0 has no delta (detail A). The range was checked before.
pub(crate) fn debit(state: &mut State, account: AccountNumber, amount: Amount) -> SmallVec<[Delta; 1]> {
    if amount.is_zero() {
        return SmallVec::new();
    }
    let delta = state.head_mut(account).post(amount.negated());
    SmallVec::from_buf([delta.expect("the range was checked before")])
}

fn activate<'a>(
    leg: &Leg<'a>,
    state: &mut State,
    account: AccountNumber,
    place: RowPlace,
    effects: &mut Vec<Effect<'a>>,
) {
    let booked_time = state.clock();
    let (event, fee) = state.bundles.change(place, |instance| {
        draw::activate(&leg.edge.time_zone, instance, leg.usage.event_time);
        let fee = fee_charge(&(leg.edge.into(), leg.ancestors.into()), (cause_of(leg), booked_time), instance);
        (life_event(leg, instance, booked_time), fee)
    });
    effects.push(Effect::LifeEvent(event));
    // A bundle without a fee is activated all the same.
    let Some(mut charge) = fee else { return };
    charge.deltas = debit(state, account, charge.amount);
    effects.push(Effect::Charge(charge));
}

/// The fee of a bundle instance that becomes active at the instant of a cause (rule 19): charged by the payee of the edge, without its delta. It names
/// the endpoint that holds the instance, and none for a pool, whichever endpoint used it. `None` where there is no fee.
pub(crate) fn fee_charge<'a>(
    (edge, ancestors): &(Shared<'a, Edge>, Shared<'a, str>),
    (cause, booked_time): (Cause<'a>, Option<Timestamp>),
    instance: &Instance,
) -> Option<Charge<'a>> {
    let fee = instance.template.fee.filter(|fee| !fee.is_zero())?;
    let base = identity::fee_base(&edge.payer, &instance.id, cause.time());
    Some(Charge {
        id: ChargeId { base, level: edge.level, revision: 0 },
        edge: edge.clone(),
        ancestors: ancestors.clone(),
        cause,
        endpoint: instance.endpoint.clone().map(Shared::Kept),
        event_time: cause.time(),
        booked_time,
        quantity: 0,
        unit: Unit::Units,
        amount: fee,
        waived: Amount::ZERO,
        reason: ChargeReason::BundleFee,
        segments: SmallVec::new(),
        deltas: SmallVec::new(),
        rate: None,
        fee_of: Some(FeeOf { bundle: instance.template.id.clone(), instance: instance.id.clone() }),
    })
}

fn cause_of<'a>(leg: &Leg<'a>) -> Cause<'a> {
    Cause::Usage(leg.usage, leg.usage_key)
}

fn charge_of<'a>(leg: &Leg<'a>, reason: ChargeReason, booked_time: Option<Timestamp>) -> Charge<'a> {
    Charge {
        id: ChargeId { base: leg.usage_key, level: leg.edge.level, revision: 0 },
        edge: leg.edge.into(),
        ancestors: leg.ancestors.into(),
        cause: cause_of(leg),
        endpoint: leg.endpoint.map(Shared::Of),
        event_time: leg.usage.event_time,
        booked_time,
        quantity: leg.usage.quantity,
        unit: leg.usage.unit,
        amount: Amount::ZERO,
        waived: Amount::ZERO,
        reason,
        segments: SmallVec::new(),
        deltas: SmallVec::new(),
        rate: None,
        fee_of: None,
    }
}

fn life_event<'a>(leg: &Leg<'a>, instance: &Instance, booked_time: Option<Timestamp>) -> LifeEvent<'a> {
    LifeEvent {
        account: leg.edge.payer.clone(),
        ancestors: leg.ancestors.into(),
        kind: LifeEventKind::of_bundle(instance, leg.usage.event_time),
        cause: cause_of(leg),
        booked_time,
    }
}

fn notification<'a>(leg: &Leg<'a>, kind: NotificationKind, sequence: u64) -> Notification<'a> {
    let (account, endpoint) = (leg.edge.payer.clone(), leg.endpoint.map(Shared::Of));
    Notification { kind, account, endpoint, sequence: Some(sequence), cause: cause_of(leg) }
}

fn threshold(leg: &Leg<'_>, instance: &crate::bundle::Instance, element: usize, percent: u8) -> NotificationKind {
    let period_start = match instance.phase {
        crate::bundle::Phase::Active { start, .. } => start,
        crate::bundle::Phase::Pending | crate::bundle::Phase::Armed => instance.granted_at,
    };
    NotificationKind::AllowanceThreshold {
        bundle: instance.template.id.clone(),
        instance: instance.id.clone(),
        element: u16::try_from(element).unwrap_or(u16::MAX),
        percent,
        remaining: instance.left(element).unwrap_or(u64::MAX),
        unit: leg.usage.unit,
        period_start,
    }
}

fn tell_failed_activation<'a>(
    leg: &Leg<'a>,
    state: &mut State,
    place: RowPlace,
    sequence: u64,
    effects: &mut Vec<Effect<'a>>,
) {
    let instance = state.bundles.at(place).expect("a plan names instances that are there");
    if !instance.activation_failed {
        let kind =
            NotificationKind::ActivationFailed { bundle: instance.template.id.clone(), instance: instance.id.clone() };
        effects.push(Effect::Notification(notification(leg, kind, sequence)));
        state.bundles.change_beside(place, |instance| instance.activation_failed = true);
    }
}

fn tell_exhausted<'a>(leg: &Leg<'a>, account: &mut Head, effects: &mut Vec<Effect<'a>>) {
    if account.take_exhausted(leg.edge.mode) {
        let kind = NotificationKind::BalanceExhausted { balance: account.balance, currency: leg.edge.currency };
        effects.push(Effect::Notification(notification(leg, kind, account.delta_sequence)));
    }
}
