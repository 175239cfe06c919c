//! Rating one leg: a total function of the leg and its payer's state.
//!
//! First all checks, in the order of precedence below, then pricing, and only then changes that cannot fail. A leg that
//! cannot be rated draws nothing and changes nothing (rule 3).
//!
//! | order | check | outcome |
//! | --- | --- | --- |
//! | 1 | payer closed | `account_closed` |
//! | 2 | payer suspended, by reference data or command | `account_suspended` |
//! | 3 | edge in another currency than the payer's account (rule 8) | `currency_mismatch` |
//! | 4 | sponsor, subscription type | `sponsor_not_allowed`, `subscription_type_not_allowed` |
//! | 5 | nothing used | charge of 0 (detail l) |
//! | 6 | bundles cover everything | charge of 0, `bundle` |
//! | 7 | the rest: free by intent, rate missing, blocked | charge of 0, or suspense (details k, m) |
//! | 8 | the rest has a rate | priced, capped, debited |

use crate::account::{Account, CapCounter, Member};
use crate::charge::{Charge, ChargeId, Delta, FeeOf, Notification, NotificationKind, Outputs, Segment, SegmentSource};
use crate::counter::Counter;
use crate::draw::{self, Place, Plan};
use crate::identity;
use crate::leg::{Leg, RateChoice, Status};
use crate::money::{Amount, Exact};
use crate::pricing::{self, Priced, ScopedCounter};
use crate::rate::{Rate, Scope};
use crate::reason::{ChargeReason, SuspenseReason};
use crate::session::{LegSession, SessionChange};
use smallvec::SmallVec;

/// Returns whether rating a leg touches the member (payer and endpoint) besides the account: without looking at the member, which may know
/// the leg's session besides ([`knows_session`](crate::knows_session)).
pub fn needs_member(leg: &Leg<'_>, account: &Account) -> bool {
    if account.member_bundles > 0 {
        return true;
    }
    match leg.rate {
        RateChoice::Rate(rate) => {
            leg.usage.session_id.is_some() && (rate.spec.scope == Scope::Session || rate.facts.has_connect)
        }
        RateChoice::NoTariff | RateChoice::Missing(_) => false,
    }
}

/// Rates a leg: on success exactly one usage charge (and fees of bundles it activated before it) has been added to `outputs`.
///
/// # Errors
/// The reason why the leg waits; neither state nor outputs have changed.
pub fn rate_leg<'a>(
    leg: &Leg<'a>,
    account: &mut Account,
    member: Option<&mut Member>,
    outputs: &mut Outputs<'a>,
) -> Result<(), SuspenseReason> {
    check_payer(leg, account)?;
    let session = member.as_deref().and_then(|member| LegSession::of(leg, member));
    if leg.usage.quantity == 0 {
        account.currency = Some(leg.edge.currency);
        let change = session.and_then(|session| session.change(leg.usage.event_time, false, None));
        if let (Some(change), Some(member)) = (change, member) {
            change.apply(member);
        }
        outputs.charges.push(charge_of(leg, ChargeReason::ZeroQuantity));
        return Ok(());
    }
    let plan = draw::plan(leg, account, member.as_deref());
    let rest = leg.usage.quantity - plan.covered;
    let verdict = judge(leg, plan.covered, rest, account, session.as_ref())?;
    let cap = verdict.rate.and_then(|rate| Cap::of(leg, rate, verdict.charged, account));
    let waived = cap.as_ref().map_or(Amount::ZERO, |cap| cap.waived);
    let amount = verdict.charged.checked_sub(waived).ok_or(SuspenseReason::AmountOverflow)?;
    check_balance(&plan, amount, account, member.as_deref())?;
    // After this point everything succeeds.
    settle(leg, plan, verdict, cap, amount, Payer { account, member }, outputs);
    Ok(())
}

fn check_payer(leg: &Leg<'_>, account: &Account) -> Result<(), SuspenseReason> {
    let by_command = account.status_at(leg.usage.event_time);
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

fn judge<'a>(
    leg: &Leg<'a>,
    covered: u64,
    rest: u64,
    account: &Account,
    session: Option<&LegSession<'_>>,
) -> Result<Verdict<'a>, SuspenseReason> {
    let verdict = |reason, counter: Option<ScopedCounter>, connects| {
        let (month_counter, session_counter) = match counter {
            Some(ScopedCounter { scope: Scope::Month, key, counter }) => (Some((key, counter)), None),
            Some(ScopedCounter { scope: Scope::Session | Scope::Record, key, counter }) => (None, Some((key, counter))),
            None => (None, None),
        };
        let session_change =
            session.and_then(|session| session.change(leg.usage.event_time, connects, session_counter));
        let (segments, charged, rate) = (SmallVec::new(), Amount::ZERO, None);
        Verdict { reason, segments, charged, rate, month_counter, session_change }
    };
    match leg.rate {
        RateChoice::Rate(rate) if rest > 0 => {
            let Priced { segments, charged, counter, connects } =
                pricing::price(leg, rate, covered, rest, account, session)?;
            let rate = Some(rate);
            Ok(Verdict { segments, charged, rate, ..verdict(ChargeReason::Rated, counter, connects) })
        }
        RateChoice::Rate(rate) => {
            let counter = pricing::note_covered(leg, rate, covered, account, session);
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
    key: u128,
    counter: CapCounter,
    waived: Amount,
    notifies: bool,
    rate: &'a Rate,
}

impl<'a> Cap<'a> {
    fn of(leg: &Leg<'_>, rate: &'a Rate, charged: Amount, account: &Account) -> Option<Cap<'a>> {
        let cap = rate.facts.cap?;
        let month = leg.edge.time_zone.month_of(leg.usage.event_time);
        let key = identity::cap_key(&leg.edge.payee, &rate.facts.tariff_id, month);
        let fresh = CapCounter { charged: Amount::ZERO, notified: false, month };
        let mut counter = account.caps.get(&key).copied().unwrap_or(fresh);
        let room = cap.checked_sub(counter.charged).map_or(Amount::ZERO, |room| room.max(Amount::ZERO));
        let let_through = charged.min(room);
        let waived = charged.checked_sub(let_through)?;
        counter.charged = counter.charged.checked_add(let_through)?;
        let notifies = waived.is_positive() && !counter.notified;
        counter.notified |= notifies;
        Some(Cap { key, counter, waived, notifies, rate })
    }
}

/// The balance can take the amount and all fees: so that posting them cannot fail.
fn check_balance(
    plan: &Plan,
    amount: Amount,
    account: &Account,
    member: Option<&Member>,
) -> Result<(), SuspenseReason> {
    let mut total = amount;
    for place in &plan.activations {
        let instance = match place {
            Place::Own(at) => member.and_then(|member| member.bundles.get(*at)),
            Place::Pool(at) => account.pools.get(*at),
        };
        let fee = instance.and_then(|instance| instance.template.fee).unwrap_or(Amount::ZERO);
        total = total.checked_add(fee).ok_or(SuspenseReason::AmountOverflow)?;
    }
    account.balance.checked_sub(total).map(|_| ()).ok_or(SuspenseReason::AmountOverflow)
}

struct Payer<'s> {
    account: &'s mut Account,
    member: Option<&'s mut Member>,
}

fn settle<'a>(
    leg: &Leg<'a>,
    plan: Plan,
    verdict: Verdict<'a>,
    cap: Option<Cap<'a>>,
    amount: Amount,
    mut payer: Payer<'_>,
    outputs: &mut Outputs<'a>,
) {
    let last_delta = payer.account.delta_sequence;
    for place in &plan.failed {
        tell_failed_activation(leg, &mut payer, *place, outputs);
    }
    for place in &plan.activations {
        activate(leg, &mut payer, *place, outputs);
    }
    let mut charge = charge_of(leg, verdict.reason);
    for draw in &plan.draws {
        let Some(instance) = draw::instance_mut(payer.account, payer.member.as_deref_mut(), draw.place) else {
            continue;
        };
        let (told, crossed) = draw::take(instance, draw);
        for percent in crossed {
            outputs.notifications.push(notification(leg, threshold(leg, instance, draw.element, percent)));
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
        payer.account.caps.insert(cap.key, cap.counter);
        if cap.notifies {
            let kind = NotificationKind::CapReached { tariff: cap.rate.facts.tariff_id.clone() };
            outputs.notifications.push(notification(leg, kind));
        }
    }
    if let Some((key, counter)) = verdict.month_counter {
        payer.account.counters.set(key, counter);
    }
    if let (Some(change), Some(member)) = (verdict.session_change, payer.member.as_deref_mut()) {
        change.apply(member);
    }
    payer.account.currency = Some(leg.edge.currency);
    charge.delta = debit(payer.account, amount);
    outputs.charges.push(charge);
    // A balance that did not change reaches nothing (detail C).
    if payer.account.delta_sequence > last_delta {
        tell_exhausted(leg, payer.account, outputs);
    }
}

/// Debits an amount; a charge of 0 has no delta (detail A). The range was checked before.
fn debit(account: &mut Account, amount: Amount) -> Option<Delta> {
    if amount.is_zero() { None } else { account.post(amount.negated()) }
}

fn activate<'a>(leg: &Leg<'a>, payer: &mut Payer<'_>, place: Place, outputs: &mut Outputs<'a>) {
    let Some(instance) = draw::instance_mut(payer.account, payer.member.as_deref_mut(), place) else {
        return;
    };
    draw::activate(&leg.edge.time_zone, instance, leg.usage.event_time);
    let Some(fee) = instance.template.fee.filter(|fee| !fee.is_zero()) else {
        return;
    };
    let of = FeeOf { bundle: instance.template.id.clone(), instance: instance.id.clone() };
    let endpoint = fee_endpoint(leg.edge, leg.endpoint, instance);
    let mut charge = fee_charge(leg.edge, endpoint, leg.usage.event_time, of, fee);
    charge.delta = debit(payer.account, fee);
    outputs.charges.push(charge);
}

/// The endpoint that the fee of an instance names: none for a pool, whichever endpoint used it or was named in the command.
pub(crate) fn fee_endpoint<'a>(
    edge: &'a crate::leg::Edge,
    named: Option<&'a str>,
    instance: &crate::bundle::Instance,
) -> Option<&'a str> {
    let own = instance.endpoint.as_deref()?;
    // The account of an endpoint has its endpoint in its name.
    let of_account = edge.payer.as_str().split_once('/').map(|(_, endpoint)| endpoint);
    named.into_iter().chain(of_account).find(|endpoint| *endpoint == own)
}

/// The fee of a bundle instance that becomes active (rule 19): charged by the payee of the edge.
pub(crate) fn fee_charge<'a>(
    edge: &'a crate::leg::Edge,
    endpoint: Option<&'a str>,
    event_time: crate::calendar::Timestamp,
    of: FeeOf,
    fee: Amount,
) -> Charge<'a> {
    let base = identity::fee_base(&edge.payer, &of.instance, event_time);
    Charge {
        id: ChargeId { base, level: edge.level, revision: 0 },
        edge,
        usage: None,
        endpoint,
        event_time,
        quantity: 0,
        unit: crate::quantity::Unit::Units,
        amount: fee,
        waived: Amount::ZERO,
        reason: ChargeReason::BundleFee,
        segments: SmallVec::new(),
        delta: None,
        rate: None,
        fee_of: Some(of),
    }
}

fn charge_of<'a>(leg: &Leg<'a>, reason: ChargeReason) -> Charge<'a> {
    Charge {
        id: ChargeId { base: leg.usage_key, level: leg.edge.level, revision: 0 },
        edge: leg.edge,
        usage: Some(leg.usage),
        endpoint: leg.endpoint,
        event_time: leg.usage.event_time,
        quantity: leg.usage.quantity,
        unit: leg.usage.unit,
        amount: Amount::ZERO,
        waived: Amount::ZERO,
        reason,
        segments: SmallVec::new(),
        delta: None,
        rate: None,
        fee_of: None,
    }
}

fn notification<'a>(leg: &Leg<'a>, kind: NotificationKind) -> Notification<'a> {
    Notification {
        kind,
        account: &leg.edge.payer,
        endpoint: leg.endpoint,
        caused_by: &leg.usage.id,
        cause_key: leg.usage_key,
        event_time: leg.usage.event_time,
    }
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

fn tell_failed_activation<'a>(leg: &Leg<'a>, payer: &mut Payer<'_>, place: Place, outputs: &mut Outputs<'a>) {
    let Some(instance) = draw::instance_mut(payer.account, payer.member.as_deref_mut(), place) else {
        return;
    };
    if !instance.activation_failed {
        instance.activation_failed = true;
        let kind =
            NotificationKind::ActivationFailed { bundle: instance.template.id.clone(), instance: instance.id.clone() };
        outputs.notifications.push(notification(leg, kind));
    }
}

fn tell_exhausted<'a>(leg: &Leg<'a>, account: &mut Account, outputs: &mut Outputs<'a>) {
    if account.take_exhausted(leg.edge.mode) {
        let kind = NotificationKind::BalanceExhausted { balance: account.balance, currency: leg.edge.currency };
        outputs.notifications.push(notification(leg, kind));
    }
}
