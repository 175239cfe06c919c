//! Pricing what no bundle covered: billable quantity, increments in their scope, tiers, packages, bands, connect fee
//! (rules 10 to 13). Nothing here changes state; the caller applies what comes back.
//!
//! A scope (record, session, month) is a pair of running sums, units and exact amount. A record adds to the units; what that
//! adds to the billable units is priced; the charge is the rounded sum so far less what was already charged (rule 12). The work
//! does not depend on the number of increments.

use crate::bands::{self, Timed};
use crate::charge::{Segment, SegmentSource};
use crate::counter::Counter;
use crate::identity;
use crate::leg::Leg;
use crate::money::{Amount, Exact, UnitPrice};
use crate::quantity::{MAX_QUANTITY, Unit};
use crate::rate::{Band, Pricing, PricingSpec, Rate, Scope, Tier};
use crate::reason::SuspenseReason;
use crate::session::{KnownPayer, counter_keys};
use crate::state::HashedKey;
use smallvec::SmallVec;

/// The price of the uncovered rest of a leg, and the state that goes with it.
#[derive(Debug)]
pub struct Priced<'a> {
    /// Segments of this rate.
    pub segments: SmallVec<[Segment<'a>; 1]>,
    /// Rounded, before caps; never negative.
    pub charged: Amount,
    /// The scope's counter afterwards, where it outlives the record.
    pub counter: Option<ScopedCounter>,
    /// A unit was priced where a session may have a connect fee: from now on the fee, perhaps none, is settled.
    pub connects: bool,
}

/// A counter with its place.
#[derive(Clone, Copy, Debug)]
pub struct ScopedCounter {
    /// Session or month; never record.
    pub scope: Scope,
    /// Key among the counters of the endpoint's sessions or of the account.
    pub key: u128,
    /// The counter.
    pub counter: Counter,
}

/// Billable units of a scope (rule 10): 0 if nothing is left to price, else
/// `max(minimum - covered, ceil(units / increment) * increment)`. `None` on overflow.
///
/// Free units come off first (detail i); covered units lower the minimum and are never rounded (detail a).
pub fn billable(rate: &Rate, uncovered: u64, covered: u64) -> Option<u64> {
    let priced = uncovered.saturating_sub(rate.spec.free);
    if priced == 0 {
        return Some(0);
    }
    let rounded = priced.checked_next_multiple_of(rate.spec.increment)?;
    // What no message can hold is not cut to what it can.
    Some(rounded.max(rate.spec.minimum.saturating_sub(covered))).filter(|units| *units <= MAX_QUANTITY)
}

/// Prices `uncovered` units of a leg after `covered` units of it came from bundles.
///
/// # Errors
/// `amount_overflow`, `duration_too_long`, `blocked`, `unit_mismatch`.
pub(crate) fn price<'a>(
    leg: &Leg<'a>,
    rate: &'a Rate,
    covered: u64,
    uncovered: u64,
    payer: KnownPayer<'_>,
) -> Result<Priced<'a>, SuspenseReason> {
    if rate.is_blocked() {
        return Err(SuspenseReason::Blocked);
    }
    if rate.spec.unit != leg.usage.unit {
        return Err(SuspenseReason::UnitMismatch);
    }
    let place = CounterPlace::of(leg, rate);
    let before = place.and_then(|place| place.recall(leg, payer)).copied().unwrap_or_default();
    let span = Span::new(rate, &before, covered, uncovered).ok_or(SuspenseReason::AmountOverflow)?;
    let mut pricer = Pricer { rate, leg, segments: SmallVec::new(), exact: Exact::ZERO };
    pricer.free(span.free);
    let band_connect = pricer.span(&span)?;
    let connects = rate.facts.has_connect && span.billed_to > span.billed_from;
    if connects && band_connect > 0 && payer.session.is_none_or(|session| !session.is_connected(leg, rate, payer.state))
    {
        pricer.fee(SegmentSource::Connect(rate), band_connect)?;
    }
    let priced = before.priced.checked_add(pricer.exact).ok_or(SuspenseReason::AmountOverflow)?;
    let total = priced.round(rate.facts.rounding).ok_or(SuspenseReason::AmountOverflow)?;
    let charged = total.checked_sub(before.charged).ok_or(SuspenseReason::AmountOverflow)?.max(Amount::ZERO);
    let counter = place.map(|place| ScopedCounter {
        scope: place.scope,
        key: place.key,
        counter: Counter {
            uncovered: span.uncovered_total,
            covered: span.covered_total,
            billed: span.billed_to,
            priced,
            charged: total.max(before.charged),
            connected: false,
            whole_blocks: true,
            last_event: before.last_event.max(leg.usage.event_time),
        },
    });
    Ok(Priced { segments: pricer.segments, charged, counter, connects })
}

/// Notes covered units in the scope of a rate that was not needed, because they lower its minimum (detail a).
pub(crate) fn note_covered(leg: &Leg<'_>, rate: &Rate, covered: u64, payer: KnownPayer<'_>) -> Option<ScopedCounter> {
    if rate.spec.minimum == 0 || rate.spec.unit != leg.usage.unit {
        return None;
    }
    let place = CounterPlace::of(leg, rate)?;
    let mut counter = place.recall(leg, payer).copied().unwrap_or_default();
    // It lowers a minimum, which is no more than that.
    counter.covered = counter.covered.saturating_add(covered);
    counter.last_event = counter.last_event.max(leg.usage.event_time);
    Some(ScopedCounter { scope: place.scope, key: place.key, counter })
}

/// Where the counter of a leg and rate lives.
#[derive(Clone, Copy)]
struct CounterPlace {
    /// Session or month.
    scope: Scope,
    key: u128,
    /// The key by which older programs found it, if that was another one.
    older_key: Option<u128>,
}

impl CounterPlace {
    /// The place; `None` for what counts within the record. The payee is part of a month's key, so that a move starts afresh (rule 6).
    fn of(leg: &Leg<'_>, rate: &Rate) -> Option<CounterPlace> {
        match rate.spec.scope {
            Scope::Record => None,
            Scope::Session => {
                let (key, older_key) = counter_keys(leg, rate)?;
                Some(CounterPlace { scope: Scope::Session, key, older_key })
            }
            Scope::Month => {
                let month = leg.edge.time_zone.month_of(leg.usage.event_time);
                let key = identity::month_counter_key(month, &leg.edge.payee, rate.key);
                Some(CounterPlace { scope: Scope::Month, key, older_key: None })
            }
        }
    }

    /// The counter, unless it lies behind what is remembered: whether it was dropped from memory already does not matter.
    fn recall<'s>(self, leg: &Leg<'_>, payer: KnownPayer<'s>) -> Option<&'s Counter> {
        let KnownPayer { state, account, session } = payer;
        if leg.is_too_old() {
            return None;
        }
        match self.scope {
            Scope::Month => {
                let counter = state.counters.get(&HashedKey { key: self.key, account });
                counter.filter(|counter| counter.is_remembered_month(leg.horizon))
            }
            Scope::Session | Scope::Record => session?.counter(leg, state, self.key, self.older_key),
        }
    }
}

/// What a record adds to its scope.
struct Span {
    uncovered_total: u64,
    covered_total: u64,
    billed_from: u64,
    billed_to: u64,
    /// Free units used by this record.
    free: u64,
    /// Units of this record that are neither covered nor free.
    used: u64,
    /// Units into the record at which its first newly billed increment starts.
    offset: u64,
}

impl Span {
    fn new(rate: &Rate, before: &Counter, covered: u64, uncovered: u64) -> Option<Span> {
        let uncovered_total = before.uncovered.checked_add(uncovered)?;
        let covered_total = before.covered.checked_add(covered)?;
        let billed_from = billed_before(rate, before)?;
        // A lowered minimum never turns into a credit (rule 10), so what was billed stays billed.
        let billed_to = billed_after(rate, billed_from, billable(rate, uncovered_total, covered_total)?)?;
        let free_before = before.uncovered.min(rate.spec.free);
        let free = uncovered_total.min(rate.spec.free) - free_before;
        let ahead = billed_from.saturating_sub(before.uncovered - free_before);
        Some(Span {
            uncovered_total,
            covered_total,
            billed_from,
            billed_to,
            free,
            used: uncovered - free,
            offset: covered.checked_add(free)?.checked_add(ahead)?,
        })
    }
}

/// Units billed before a record. What an older program billed of a package are the units used of its blocks, all of which were charged.
fn billed_before(rate: &Rate, before: &Counter) -> Option<u64> {
    match rate.spec.pricing {
        PricingSpec::Package { size, .. } if !before.whole_blocks => before.billed.checked_next_multiple_of(size),
        PricingSpec::Package { .. }
        | PricingSpec::Unit(_)
        | PricingSpec::Tiers(_)
        | PricingSpec::Bands(_)
        | PricingSpec::Blocked => Some(before.billed),
    }
}

/// Units billed after a record: a package bills whole blocks, of which the first begins where the last one ended. `None` beyond what a message
/// can hold.
fn billed_after(rate: &Rate, billed_from: u64, billable: u64) -> Option<u64> {
    let missing = billable.saturating_sub(billed_from);
    let added = match rate.spec.pricing {
        PricingSpec::Package { size, .. } => missing.checked_next_multiple_of(size)?,
        PricingSpec::Unit(_) | PricingSpec::Tiers(_) | PricingSpec::Bands(_) | PricingSpec::Blocked => missing,
    };
    billed_from.checked_add(added).filter(|units| *units <= MAX_QUANTITY)
}

struct Pricer<'a, 'l> {
    rate: &'a Rate,
    leg: &'l Leg<'a>,
    segments: SmallVec<[Segment<'a>; 1]>,
    exact: Exact,
}

impl<'a> Pricer<'a, '_> {
    fn free(&mut self, units: u64) {
        if units > 0 {
            let source = SegmentSource::Free(self.rate);
            self.segments.push(Segment { source, quantity: units, billable: 0, amount: Exact::ZERO });
        }
    }

    /// Prices newly billed units; returns the connect fee of the band of the first of them.
    fn span(&mut self, span: &Span) -> Result<i128, SuspenseReason> {
        let units = span.billed_to - span.billed_from;
        match (&self.rate.pricing, &self.rate.spec.pricing) {
            (Pricing::Unit(per_unit), PricingSpec::Unit(price)) => {
                self.push(*price, span.used, units, *per_unit, units)?;
                Ok(self.rate.connect)
            }
            (Pricing::Tiers(tiers), PricingSpec::Tiers(specs)) => {
                self.tiers(tiers, |index| specs[index].price, span)?;
                Ok(self.rate.connect)
            }
            (Pricing::Package { size, price }, PricingSpec::Package { price: written, .. }) => {
                let blocks = units / *size;
                if let Some(per_package) = UnitPrice::new(*written, *size) {
                    self.push(per_package, span.used, units, *price, blocks)?;
                }
                Ok(self.rate.connect)
            }
            (Pricing::Bands { bands, week }, PricingSpec::Bands(specs)) => {
                self.bands(bands, week, |index| specs[index].price, span)
            }
            (Pricing::Blocked, _) => Err(SuspenseReason::Blocked),
            (Pricing::Unit(_) | Pricing::Tiers(_) | Pricing::Package { .. } | Pricing::Bands { .. }, _) => {
                unreachable!("a rate is compiled from its own specification")
            }
        }
    }

    /// `steps` are units, or packages, at `price` over the rate's denominator.
    fn push(
        &mut self,
        unit_price: UnitPrice,
        quantity: u64,
        billable: u64,
        price: i128,
        steps: u64,
    ) -> Result<(), SuspenseReason> {
        let amount = self.amount(price, steps)?;
        self.exact = self.exact.checked_add(amount).ok_or(SuspenseReason::AmountOverflow)?;
        let source = SegmentSource::Tariff { rate: self.rate, unit_price };
        self.segments.push(Segment { source, quantity, billable, amount });
        Ok(())
    }

    fn amount(&self, price: i128, steps: u64) -> Result<Exact, SuspenseReason> {
        let numerator = price.checked_mul(i128::from(steps)).ok_or(SuspenseReason::AmountOverflow)?;
        Exact::new(numerator, self.rate.denominator).ok_or(SuspenseReason::AmountOverflow)
    }

    fn fee(&mut self, source: SegmentSource<'a>, fee: i128) -> Result<(), SuspenseReason> {
        let amount = self.amount(fee, 1)?;
        self.exact = self.exact.checked_add(amount).ok_or(SuspenseReason::AmountOverflow)?;
        self.segments.push(Segment { source, quantity: 0, billable: 0, amount });
        Ok(())
    }

    fn tiers(&mut self, tiers: &[Tier], price: impl Fn(usize) -> UnitPrice, span: &Span) -> Result<(), SuspenseReason> {
        let (from, to) = (span.billed_from, span.billed_to);
        let mut quantity = span.used;
        for (index, tier) in tiers.iter().enumerate() {
            let is_last = to <= tier.to;
            let units = to.min(tier.to).saturating_sub(from.max(tier.from));
            let is_current = (tier.from..tier.to).contains(&from) || (is_last && tier.to == from);
            if units == 0 && !(is_last && is_current) {
                continue;
            }
            let used = if is_last { quantity } else { quantity.min(units) };
            quantity -= used;
            self.push(price(index), used, units, tier.per_unit, units)?;
            if units > 0 && from <= tier.from && tier.flat > 0 {
                self.fee(SegmentSource::Flat(self.rate), tier.flat)?;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Each increment costs the price of the band in which it starts (rule 13); data takes the band of its event time (detail e).
    fn bands(
        &mut self,
        bands: &[Band],
        week: &[(u16, u8)],
        price: impl Fn(usize) -> UnitPrice,
        span: &Span,
    ) -> Result<i128, SuspenseReason> {
        let zone = &self.rate.facts.time_zone;
        let event_time = self.leg.usage.event_time;
        let units = span.billed_to - span.billed_from;
        let parts = if self.rate.spec.unit == Unit::Seconds {
            let start = event_time.plus_seconds(span.offset).ok_or(SuspenseReason::AmountOverflow)?;
            let timed = Timed { start, increment: self.rate.spec.increment, quantity: span.used, billable: units };
            timed.over(zone, week)?
        } else {
            bands::at_once(zone, week, event_time, span.used, units)?
        };
        for part in &parts {
            self.push(price(part.band), part.quantity, part.billable, bands[part.band].per_unit, part.billable)?;
        }
        Ok(parts.first().map_or(0, |first| bands[first.band].connect))
    }
}
