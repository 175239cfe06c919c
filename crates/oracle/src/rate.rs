//! One leg: status, allowances, tariff, money, in this order (rules 3 to 15).

use super::Oracle;
use super::allowances::{self, Drawer, Drawn, Instance};
use super::guide::{PayerKind, Step};
use super::outcome::{Charge, ChargeKind, ChargeReason, Delta, Leg, News, Notification, PricedBy, Reason};
use super::price::{Counter, Use};
use super::rates::{Effective, Per, Pricing, Rate};
use super::record::Record;
use super::reference::Status;
use super::values::{amount_text, local, round, units_of};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use std::collections::BTreeMap;

/// (payer, payee, tariff, what the rate asks of a record, scope): rule 12.
pub(super) type CounterKey = (String, String, String, String, Scope);
/// (payer, payee, session): the connect fee is due once, whatever tariff or version prices the session (detail c).
pub(super) type SessionKey = (String, String, String);
/// (payer, payee, tariff, month): detail f.
pub(super) type CapKey = (String, String, String, (i16, i8));

/// In what increments, minimum, free units and tiers count; records count in nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// A session restarts with a new version (detail c).
    Session { id: String, version: Vec<i64> },
    /// A month's counters go on (detail c).
    Month(i16, i8),
}

/// What prices the units that no bundle covers.
enum TariffOf {
    Free,
    Missing,
    Named(String),
}

/// The rate that a leg's use counts in.
struct Applicable {
    /// The payer's tariff, an alias under its own name.
    tariff: String,
    effective: Effective,
    rate: Rate,
}

/// What the tariff made of the uncovered units.
#[derive(Default)]
struct Priced {
    amount: BigRational,
    billable: BigInt,
    waived: BigRational,
    connect: BigRational,
    by: Option<PricedBy>,
}

impl Oracle {
    pub(super) fn rate_leg(&mut self, record: &Record, step: &Step) -> Leg {
        let mut fees = Vec::new();
        let session = session_of(record, step);
        if let Some(session) = &session {
            self.forget_if_old(session);
        }
        let result = self.charge_for(record, step, &mut fees);
        // Whatever took the use moves the last event of its session.
        if result.is_ok()
            && let Some(last) = session.and_then(|session| self.sessions.get_mut(&session))
        {
            *last = record.event_time.max(*last);
        }
        Leg { level: step.level, payer: step.payer.clone(), payee: step.payee.clone(), fees, result }
    }

    fn charge_for(&mut self, record: &Record, step: &Step, fees: &mut Vec<Charge>) -> Result<Charge, Reason> {
        if self.horizon().is_some_and(|horizon| record.event_time < horizon) {
            return Err(Reason::TooOldToRate);
        }
        self.check_payer(record, step)?;
        if record.quantity == 0 {
            self.keep_currency(&step.payer);
            return Ok(self.book(record, step, ChargeReason::ZeroQuantity, &Drawn::default(), Priced::default()));
        }

        // Bundles first, on copies: what waits draws nothing.
        let is_of_edge = |instance: &&Instance| instance.payer == step.payer && instance.payee == step.payee;
        let mut instances: Vec<Instance> = self.instances.iter().filter(is_of_edge).cloned().collect();
        let drawer = Drawer {
            reference: &self.reference,
            keys: &record.keys,
            endpoint: step.endpoint.as_deref(),
            event_time: record.event_time,
            money: step.prepaid.then(|| self.money.get(&step.payer).cloned().unwrap_or_default().balance),
        };
        let drawn = allowances::draw(drawer, &mut instances, &BigInt::from(record.quantity));

        let (reason, rated) = self.rate_for(record, step, &drawn)?;

        // From here on nothing can fail.
        self.keep_currency(&step.payer);
        for changed in instances {
            if let Some(instance) = self.instances.iter_mut().find(|known| known.id == changed.id) {
                *instance = changed;
            }
        }
        for instance in &drawn.unpaid {
            if self.unpaid.insert(instance.clone()) {
                self.tell(&step.payer, &record.id, News::ActivationFailed(instance.clone()));
            }
        }
        for (instance, fee) in &drawn.activated {
            fees.push(self.book_fee(instance, fee, record.event_time));
        }
        self.tell_thresholds(record, step, &drawn);
        let priced = match rated {
            Some(applicable) => self.price(record, step, &drawn, &applicable),
            None => Priced::default(),
        };
        let charge = self.book(record, step, reason, &drawn, priced);
        if !fees.is_empty() || charge.delta_sequence.is_some() {
            self.tell_if_exhausted(&step.payer, step.prepaid, &record.id);
        }
        Ok(charge)
    }

    /// Rule 7, then what of rule 9 concerns the account: in this order.
    fn check_payer(&self, record: &Record, step: &Step) -> Result<(), Reason> {
        match self.status(&step.payer, record.event_time) {
            Status::Closed => return Err(Reason::AccountClosed),
            Status::Suspended => return Err(Reason::AccountSuspended),
            Status::Active => {}
        }
        if !self.is_in_its_currency(&step.payer) {
            return Err(Reason::CurrencyMismatch);
        }
        let Some(account) = self.reference.account(&step.payer) else {
            return Ok(());
        };
        let facts = account.at(record.event_time);
        let is_refused = |allowed: &Option<Vec<String>>, used: &Option<String>| match (allowed, used) {
            (Some(allowed), Some(used)) => !allowed.contains(used),
            (None, _) | (_, None) => false,
        };
        if is_refused(&facts.sponsors, &record.keys.sponsor) {
            return Err(Reason::SponsorNotAllowed);
        }
        if is_refused(&facts.subscription_types, &record.subscription_type) {
            return Err(Reason::SubscriptionTypeNotAllowed);
        }
        Ok(())
    }

    /// The status of `account` at `moment`: suspended while the reference data or a command says so.
    pub(super) fn status(&self, account: &str, moment: i64) -> Status {
        let definition = self.reference.account(account);
        let stated = definition.map_or(Status::Active, |account| latest(account.statuses.iter().copied(), moment));
        match (stated, self.commanded_status(account, moment)) {
            (Status::Closed, _) | (_, Status::Closed) => Status::Closed,
            (Status::Suspended, _) | (_, Status::Suspended) => Status::Suspended,
            (Status::Active, Status::Active) => Status::Active,
        }
    }

    /// The status that commands gave to `account` as of `moment`.
    pub(super) fn commanded_status(&self, account: &str, moment: i64) -> Status {
        let of_account = self.statuses.iter().filter(|(name, _, _)| name == account);
        latest(of_account.map(|(_, from, status)| (*from, *status)), moment)
    }

    /// The reason of the charge, and the rate that the use counts in; or why the leg waits.
    fn rate_for(
        &self,
        record: &Record,
        step: &Step,
        drawn: &Drawn,
    ) -> Result<(ChargeReason, Option<Applicable>), Reason> {
        let covered_in_full = drawn.rest.is_zero();
        let tariff = match (self.tariff_of(record, step), covered_in_full) {
            (TariffOf::Free | TariffOf::Missing, true) => return Ok((ChargeReason::Bundle, None)),
            (TariffOf::Free, false) => return Ok((ChargeReason::NoTariff, None)),
            (TariffOf::Missing, false) => return Err(Reason::TariffMissing),
            (TariffOf::Named(tariff), _) => tariff,
        };
        let effective = Effective::at(&self.reference, &tariff, record.event_time).ok().flatten();
        let found = effective.and_then(|effective| {
            let rate = effective.rate(&self.reference, &record.keys)?.clone();
            Some(Applicable { tariff, effective, rate })
        });
        let is_blocked = found.as_ref().is_some_and(|found| matches!(found.rate.pricing, Pricing::Blocked));
        match (covered_in_full, found) {
            // The rate is looked up nevertheless: covered units lower the minimum of its session or month (detail a).
            (true, found) => Ok((ChargeReason::Bundle, found.filter(|_| !is_blocked))),
            (false, None) => Err(Reason::NoRate),
            (false, Some(_)) if is_blocked => Err(Reason::Blocked),
            (false, Some(found)) => Ok((ChargeReason::Rated, Some(found))),
        }
    }

    /// Rule 5.
    fn tariff_of(&self, record: &Record, step: &Step) -> TariffOf {
        let at = |account: &str| self.reference.account(account).map(|account| account.at(record.event_time).clone());
        match step.payer_kind {
            PayerKind::EndpointAccount => {
                let endpoint = step.endpoint.as_deref().and_then(|name| self.reference.endpoint(name));
                let plan = endpoint.and_then(|endpoint| endpoint.at(record.event_time).plan.clone());
                plan.and_then(|plan| plan.tariff).map_or(TariffOf::Missing, TariffOf::Named)
            }
            PayerKind::Customer => {
                let own = at(&step.payer).and_then(|facts| facts.tariff);
                let default = || at(&step.payee).and_then(|facts| facts.default_customer_tariff);
                own.or_else(default).map_or(TariffOf::Missing, TariffOf::Named)
            }
            PayerKind::Reseller => {
                at(&step.payer).and_then(|facts| facts.tariff).map_or(TariffOf::Free, TariffOf::Named)
            }
        }
    }

    /// Counts and prices the use, rounds once, and applies the cap.
    fn price(&mut self, record: &Record, step: &Step, drawn: &Drawn, applicable: &Applicable) -> Priced {
        let Applicable { tariff, effective, rate } = applicable;
        let (month, _, _) = local(record.event_time, &step.zone);
        let edge = (step.payer.clone(), step.payee.clone(), tariff.to_owned());
        let session_key = session_of(record, step);
        let scope = match (rate.per, session_key.clone()) {
            (Per::Record, _) | (Per::Session, None) => None,
            (Per::Session, Some((_, _, id))) => Some(Scope::Session { id, version: effective.version.clone() }),
            (Per::Month, _) => Some(Scope::Month(month.0, month.1)),
        };
        let counter_key =
            scope.map(|scope| (edge.0.clone(), edge.1.clone(), edge.2.clone(), format!("{:?}", rate.matcher), scope));
        if let (Some((_, _, _, _, Scope::Session { .. })), Some(session)) = (&counter_key, &session_key) {
            self.sessions.entry(session.clone()).or_insert(record.event_time);
        }
        let mut fresh = Counter::default();
        let counter = match counter_key {
            Some(key) => self.counters.entry(key).or_default(),
            None => &mut fresh,
        };

        let covered: BigInt = drawn.covered.values().sum();
        if drawn.rest.is_zero() {
            counter.cover(&covered);
            return Priced::default();
        }
        let added = counter.add(
            rate,
            &effective.zone,
            &Use {
                runs_in_time: record.keys.service == "voice",
                event_time: record.event_time,
                covered: &covered,
                uncovered: &drawn.rest,
                connect_is_due: session_key.as_ref().is_none_or(|key| !self.connected.contains(key)),
            },
        );
        let rounded = round(&counter.exact, effective.scale, effective.mode);
        let amount = (rounded - &counter.charged).max(BigRational::zero());
        counter.charged += &amount;
        if let Some(key) = session_key
            && !added.billable.is_zero()
            && Effective::ever_connects(&self.reference, tariff)
        {
            self.sessions.entry(key.clone()).or_insert(record.event_time);
            self.connected.insert(key);
        }

        let mut charged = amount.clone();
        if let Some(cap) = &effective.cap {
            let capped = self.capped.entry((edge.0, edge.1, edge.2, month)).or_default();
            charged = charged.min((cap - &capped.charged).max(BigRational::zero()));
            capped.charged += &charged;
            if charged < amount && !std::mem::replace(&mut capped.told, true) {
                self.tell(&step.payer, &record.id, News::CapReached(tariff.clone()));
            }
        }
        let waived = &amount - &charged;
        let by = PricedBy {
            tariff: tariff.clone(),
            version: effective.version.iter().copied().max().unwrap_or_default(),
            zone: rate.matcher.zone_name().to_owned(),
            codes: effective.codes.clone(),
            free: units_of(&added.free),
            billed: added.billed.iter().map(|(price, units)| (price.clone(), units_of(units))).collect(),
            exact: added.exact,
        };
        Priced { amount: charged, billable: added.billable, waived, connect: added.connect, by: Some(by) }
    }

    /// Debits the payer and writes the charge.
    fn book(&mut self, record: &Record, step: &Step, reason: ChargeReason, drawn: &Drawn, priced: Priced) -> Charge {
        let (balance_after, delta_sequence) = self.post(&step.payer, &-&priced.amount, "charge");
        Charge {
            kind: ChargeKind::Usage,
            payer: step.payer.clone(),
            payee: step.payee.clone(),
            amount: amount_text(&priced.amount),
            reason,
            currency: self.currency(&step.payer),
            event_time: record.event_time,
            endpoint: step.endpoint.clone(),
            properties: self.properties(&step.payer, record.event_time),
            draws: drawn.draws.clone(),
            covered: drawn.covered.iter().map(|(id, units)| (id.clone(), units_of(units))).collect(),
            uncovered: units_of(&drawn.rest),
            billable: units_of(&priced.billable),
            priced_by: priced.by,
            waived: amount_text(&priced.waived),
            connect: amount_text(&priced.connect),
            balance_after,
            delta_sequence,
        }
    }

    /// Charges the fee of a bundle instance that becomes active (rule 19).
    pub(super) fn book_fee(&mut self, instance: &Instance, amount: &BigRational, moment: i64) -> Charge {
        let (balance_after, delta_sequence) = self.post(&instance.payer, &-amount, "charge");
        Charge {
            kind: ChargeKind::BundleFee(instance.id.clone()),
            payer: instance.payer.clone(),
            payee: instance.payee.clone(),
            amount: amount_text(amount),
            reason: ChargeReason::BundleFee,
            currency: self.currency(&instance.payer),
            event_time: moment,
            endpoint: instance.endpoint.clone(),
            properties: self.properties(&instance.payer, moment),
            draws: Vec::new(),
            covered: BTreeMap::new(),
            uncovered: 0,
            billable: 0,
            priced_by: None,
            waived: "0".to_owned(),
            connect: "0".to_owned(),
            balance_after,
            delta_sequence,
        }
    }

    /// Changes the balance of `account`; an amount of 0 has no delta (detail A). Answers the balance and the delta's number.
    pub(super) fn post(&mut self, account: &str, amount: &BigRational, kind: &str) -> (String, Option<u64>) {
        let money = self.money.entry(account.to_owned()).or_default();
        if amount.is_zero() {
            return (amount_text(&money.balance), None);
        }
        money.balance += amount;
        money.sequence += 1;
        if money.balance.is_positive() {
            money.exhausted = false;
        }
        let balance_after = amount_text(&money.balance);
        self.deltas.push(Delta {
            account: account.to_owned(),
            sequence: money.sequence,
            kind: kind.to_owned(),
            amount: amount_text(amount),
            balance_after: balance_after.clone(),
        });
        (balance_after, Some(money.sequence))
    }

    /// An endpoint's account has none.
    fn properties(&self, account: &str, moment: i64) -> Vec<(String, String)> {
        self.reference.account(account).map(|account| account.at(moment).properties.clone()).unwrap_or_default()
    }

    /// Whether the reference data give an account the currency that it had before.
    pub(super) fn is_in_its_currency(&self, account: &str) -> bool {
        self.currencies.get(account).is_none_or(|known| *known == self.currency(account))
    }

    pub(super) fn keep_currency(&mut self, account: &str) {
        let currency = self.currency(account);
        self.currencies.entry(account.to_owned()).or_insert(currency);
    }

    /// The currency of an account: of its customer, for an endpoint's.
    fn currency(&self, account: &str) -> String {
        let owner = account.split_once('/').map_or(account, |(customer, _)| customer);
        self.reference.account(owner).map(|account| account.currency.clone()).unwrap_or_default()
    }
}

/// How long sessions are remembered behind the clock, which counts in whole hours.
const STATE_HORIZON_MS: i64 = 45 * 24 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;

/// Which session of the edge a record belongs to. A gateway numbers its sessions, and those of one endpoint, for itself; without an endpoint the named
/// account takes its place.
fn session_of(record: &Record, step: &Step) -> Option<SessionKey> {
    let named = if step.endpoint.is_some() { &None } else { &record.account_id };
    let session = record.session_id.as_ref().map(|id| format!("{}/{:?}/{named:?}/{id}", record.source, step.endpoint));
    session.map(|session| (step.payer.clone(), step.payee.clone(), session))
}

impl Oracle {
    /// The state horizon: what lies before it is not rated.
    fn horizon(&self) -> Option<i64> {
        self.clock.map(|clock| clock.div_euclid(HOUR_MS) * HOUR_MS - STATE_HORIZON_MS)
    }

    /// Forgets a session whose last event lies behind the state horizon.
    fn forget_if_old(&mut self, session: &SessionKey) {
        let horizon = self.horizon();
        let last = self.sessions.get(session);
        if last.zip(horizon).is_none_or(|(last, horizon)| *last >= horizon) {
            return;
        }
        self.sessions.remove(session);
        self.connected.remove(session);
        let (payer, payee, name) = session;
        let is_of_it = |key: &CounterKey| match &key.4 {
            Scope::Session { id, .. } => key.0 == *payer && key.1 == *payee && id == name,
            Scope::Month(..) => false,
        };
        self.counters.retain(|key, _| !is_of_it(key));
    }
}

/// What a cap let through in a month.
#[derive(Default)]
pub(super) struct Capped {
    charged: BigRational,
    /// Its first waiver was told (detail J).
    told: bool,
}

/// What the latest statement up to `moment` says; of two for the same moment, the second.
pub(super) fn latest(statements: impl Iterator<Item = (i64, Status)>, moment: i64) -> Status {
    let mut latest = (i64::MIN, Status::Active);
    for (from, status) in statements {
        if from <= moment && from >= latest.0 {
            latest = (from, status);
        }
    }
    latest.1
}

impl Oracle {
    pub(super) fn tell(&mut self, account: &str, caused_by: &str, news: News) {
        self.notifications.push(Notification { account: account.to_owned(), caused_by: caused_by.to_owned(), news });
    }

    /// After a change of the balance: told once until it is positive again (detail C).
    pub(super) fn tell_if_exhausted(&mut self, account: &str, prepaid: bool, caused_by: &str) {
        let money = self.money.entry(account.to_owned()).or_default();
        if prepaid && !money.balance.is_positive() && !std::mem::replace(&mut money.exhausted, true) {
            let balance = amount_text(&money.balance);
            self.tell(account, caused_by, News::BalanceExhausted(balance));
        }
    }

    /// Rule 25: each threshold that a draw crosses; what is left only sinks, so each is crossed once.
    fn tell_thresholds(&mut self, record: &Record, step: &Step, drawn: &Drawn) {
        for draw in &drawn.draws {
            let (Some(before), Some(after)) = (draw.before, draw.after) else {
                continue;
            };
            let Some(instance) = self.instances.iter().find(|instance| instance.id == draw.instance) else {
                continue;
            };
            let granted = instance.template.elements[draw.element].amount.as_ref().map_or(0, units_of);
            let is_reached = |left: u128, percent: u32| (granted - left) * 100 >= granted * u128::from(percent);
            for percent in instance.template.warn_at.clone() {
                if is_reached(after, percent) && !is_reached(before, percent) {
                    let news = News::AllowanceThreshold {
                        instance: draw.instance.clone(),
                        element: draw.element,
                        percent,
                        remaining: after,
                    };
                    self.tell(&step.payer, &record.id, news);
                }
            }
        }
    }
}
