//! Control totals: the proof, batch by batch, that every record and every leg had exactly one outcome, and that the deltas of every cause sum to what it
//! moves (ACCEPTANCE-2, L11).

use crate::rate::{RateOutcome, RatedTask};
use rating::{CauseKind, Charge, CommandKind, Currency, Effect, Posting, Reply, Sum};
use std::collections::BTreeMap;
use std::fmt;

/// Counts and sums of one batch or of a whole run; they add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlTotals {
    /// Records, commands and ticks read.
    pub received: u64,
    /// Records guided to legs.
    pub guided: u64,
    /// Records (and commands) recognised as sent before.
    pub duplicates: u64,
    /// Records that wait as a whole.
    pub suspended: u64,
    /// Commands that came through.
    pub commands: u64,
    /// Ticks.
    pub ticks: u64,
    /// Legs per level.
    pub levels: BTreeMap<u8, LevelTotals>,
    /// Money per kind of cause and currency.
    pub money: BTreeMap<(CauseKind, Currency), MoneyTotals>,
}

/// Legs of one level, in records and in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelTotals {
    /// Legs guided.
    pub legs: u64,
    /// Units guided.
    pub units: u128,
    /// Legs charged, 0 included.
    pub charged: u64,
    /// Units charged.
    pub charged_units: u128,
    /// Legs that wait.
    pub suspended: u64,
    /// Units that wait.
    pub suspended_units: u128,
}

/// Money of one kind of cause, in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoneyTotals {
    /// Sum of charges.
    pub charges: Sum,
    /// Sum of deltas that carry a charge id (negative).
    pub deltas: Sum,
    /// Charges that are not 0.
    pub charged: u64,
    /// Charges that have deltas.
    pub posted: u64,
    /// Deltas without a charge id.
    pub moves: u64,
    /// What they move, as their cause says.
    pub moved: Sum,
    /// Sum of deltas without a charge id.
    pub moved_deltas: Sum,
}

impl MoneyTotals {
    /// Adds other totals; `None` out of range.
    #[must_use]
    pub fn checked_add(&self, other: &MoneyTotals) -> Option<MoneyTotals> {
        Some(MoneyTotals {
            charges: self.charges.checked_add(other.charges)?,
            deltas: self.deltas.checked_add(other.deltas)?,
            charged: self.charged + other.charged,
            posted: self.posted + other.posted,
            moves: self.moves + other.moves,
            moved: self.moved.checked_add(other.moved)?,
            moved_deltas: self.moved_deltas.checked_add(other.moved_deltas)?,
        })
    }

    fn add_charge(&mut self, charge: &Charge<'_>) -> Option<()> {
        self.charges = self.charges.checked_add(charge.amount)?;
        self.charged += u64::from(!charge.amount.is_zero());
        for delta in &charge.deltas {
            self.deltas = self.deltas.checked_add(delta.amount)?;
        }
        self.posted += u64::from(!charge.deltas.is_empty());
        Some(())
    }

    fn add_posting(&mut self, posting: &Posting<'_>) -> Option<()> {
        self.moves += 1;
        self.moved_deltas = self.moved_deltas.checked_add(posting.delta.amount)?;
        Some(())
    }

    /// Adds what an applied command says that it moves, whatever was posted.
    fn add_reply(&mut self, reply: &Reply<'_>) -> Option<()> {
        self.moved = self.moved.checked_add(match &reply.command.kind {
            CommandKind::TopUp(amount) | CommandKind::Credit(amount) => *amount,
            CommandKind::Debit(amount) => amount.negated(),
            CommandKind::BuyBundle { .. }
            | CommandKind::CancelBundle(_)
            | CommandKind::SuspendBundle(_)
            | CommandKind::ActivateBundle(_)
            | CommandKind::SuspendAccount
            | CommandKind::ActivateAccount => return Some(()),
        })?;
        Some(())
    }
}

/// A broken control total: the run stops before anything is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMismatch {
    /// Which total.
    pub check: &'static str,
    /// The figures.
    pub detail: String,
}

impl fmt::Display for ControlMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control total {}: {}", self.check, self.detail)
    }
}

impl std::error::Error for ControlMismatch {}

fn out_of_range(currency: Currency) -> ControlMismatch {
    ControlMismatch { check: "money_range", detail: format!("a sum of charges in {currency} is out of range") }
}

impl ControlTotals {
    /// Money per currency, over all causes.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn by_currency(&self) -> Result<BTreeMap<Currency, MoneyTotals>, ControlMismatch> {
        let mut sums: BTreeMap<Currency, MoneyTotals> = BTreeMap::new();
        for ((_, currency), money) in &self.money {
            let sum = sums.entry(*currency).or_default();
            *sum = sum.checked_add(money).ok_or_else(|| out_of_range(*currency))?;
        }
        Ok(sums)
    }

    /// Counts a leg as guided.
    pub fn guided_leg(&mut self, level: u8, quantity: u64) {
        let totals = self.levels.entry(level).or_default();
        totals.legs += 1;
        totals.units += u128::from(quantity);
    }

    /// Counts the outcomes of legs.
    pub fn rated(&mut self, tasks: &[RatedTask]) {
        for task in tasks {
            if task.outcome == RateOutcome::Ticked {
                continue;
            }
            let totals = self.levels.entry(task.level).or_default();
            match task.outcome {
                RateOutcome::Charged => {
                    totals.charged += 1;
                    totals.charged_units += u128::from(task.quantity);
                }
                RateOutcome::Suspended(_) => {
                    totals.suspended += 1;
                    totals.suspended_units += u128::from(task.quantity);
                }
                RateOutcome::Applied | RateOutcome::Refused(_) | RateOutcome::Learnt | RateOutcome::Ticked => {}
            }
        }
    }

    /// Adds the money of effects.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn add_effects(&mut self, effects: &[Effect<'_>]) -> Result<(), ControlMismatch> {
        // Nearly all effects of a batch have one kind of cause and one currency.
        let mut run: Option<((CauseKind, Currency), MoneyTotals)> = None;
        for effect in effects {
            let key = match effect {
                Effect::Charge(charge) => (charge.cause.kind(), charge.edge.currency),
                Effect::Posting(posting) => (posting.cause.kind(), posting.edge.currency),
                Effect::Reply(reply) if reply.outcome.is_ok() => (CauseKind::Command, reply.currency),
                Effect::Notification(_) | Effect::LifeEvent(_) | Effect::Reply(_) => continue,
            };
            if let Some((done, sums)) = run.take_if(|(present, _)| *present != key) {
                self.add_money(done, &sums)?;
            }
            let (_, sums) = run.get_or_insert((key, MoneyTotals::default()));
            let added = match effect {
                Effect::Charge(charge) => sums.add_charge(charge),
                Effect::Posting(posting) => sums.add_posting(posting),
                Effect::Reply(reply) => sums.add_reply(reply),
                Effect::Notification(_) | Effect::LifeEvent(_) => Some(()),
            };
            added.ok_or_else(|| out_of_range(key.1))?;
        }
        run.map_or(Ok(()), |(key, sums)| self.add_money(key, &sums))
    }

    fn add_money(&mut self, key: (CauseKind, Currency), sums: &MoneyTotals) -> Result<(), ControlMismatch> {
        let ours = self.money.entry(key).or_default();
        *ours = ours.checked_add(sums).ok_or_else(|| out_of_range(key.1))?;
        Ok(())
    }

    /// Adds the totals of another batch.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn add(&mut self, other: &ControlTotals) -> Result<(), ControlMismatch> {
        self.received += other.received;
        self.guided += other.guided;
        self.duplicates += other.duplicates;
        self.suspended += other.suspended;
        self.commands += other.commands;
        self.ticks += other.ticks;
        for (level, theirs) in &other.levels {
            let ours = self.levels.entry(*level).or_default();
            ours.legs += theirs.legs;
            ours.units += theirs.units;
            ours.charged += theirs.charged;
            ours.charged_units += theirs.charged_units;
            ours.suspended += theirs.suspended;
            ours.suspended_units += theirs.suspended_units;
        }
        for (key, theirs) in &other.money {
            self.add_money(*key, theirs)?;
        }
        // So that they can be shown and stored over all causes.
        self.by_currency().map(|_| ())
    }

    /// Checks that everything adds up.
    ///
    /// # Errors
    /// The first total that does not.
    pub fn check(&self) -> Result<(), ControlMismatch> {
        self.check_records()?;
        self.check_legs()
    }

    /// Checks that every record had one outcome.
    ///
    /// # Errors
    /// It had none, or several.
    pub fn check_records(&self) -> Result<(), ControlMismatch> {
        let outcomes = self.guided + self.duplicates + self.suspended + self.commands + self.ticks;
        if self.received != outcomes {
            let detail = format!("{} received, {outcomes} outcomes", self.received);
            return Err(ControlMismatch { check: "records", detail });
        }
        Ok(())
    }

    /// Checks that every leg had one outcome, and every charge its delta.
    ///
    /// # Errors
    /// The first total that does not add up.
    pub fn check_legs(&self) -> Result<(), ControlMismatch> {
        for (level, totals) in &self.levels {
            if totals.legs != totals.charged + totals.suspended {
                let detail = format!(
                    "level {level}: {} legs, {} charged, {} suspended",
                    totals.legs, totals.charged, totals.suspended
                );
                return Err(ControlMismatch { check: "legs", detail });
            }
            if totals.units != totals.charged_units + totals.suspended_units {
                let detail = format!("level {level}: units guided and units with an outcome differ");
                return Err(ControlMismatch { check: "units", detail });
            }
        }
        for ((cause, currency), money) in &self.money {
            let cause = cause.name();
            if !money.charges.cancels(money.deltas) || money.charged != money.posted {
                let detail = format!("{cause}, {currency}: charges {}, deltas {}", money.charges, money.deltas);
                return Err(ControlMismatch { check: "charges_deltas", detail });
            }
            if money.moved != money.moved_deltas {
                let detail = format!("{cause}, {currency}: moves {}, deltas {}", money.moved, money.moved_deltas);
                return Err(ControlMismatch { check: "causes_deltas", detail });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rating::{
        AccountId, AccountKind, Amount, Cause, Command, Delta, DeltaKind, Edge, Mode, Status, TimeZone, Timestamp,
    };

    /// What a top-up of 5 is posted as, however often.
    fn check_postings(amounts: &[i128]) -> Result<(), ControlMismatch> {
        let amount = |units: i128| Amount::from_unscaled(units).expect("an amount");
        let currency = Currency::parse("GBP").expect("a currency");
        let edge = Edge {
            payer: AccountId::new("acme"),
            payer_kind: AccountKind::Customer,
            payee: AccountId::new("beta"),
            level: 1,
            currency,
            mode: Mode::Prepaid,
            status: Status::Active,
            time_zone: TimeZone::utc(),
            sponsors: None,
            subscription_types: None,
            properties: [].into(),
        };
        let command = Command {
            id: "t1".into(),
            kind: CommandKind::TopUp(amount(5)),
            account_id: AccountId::new("acme"),
            issued_by: "beta".into(),
            effective_time: Timestamp::EPOCH,
            currency: None,
            note: None,
            reference: None,
        };
        let mut effects: Vec<Effect<'_>> = Vec::new();
        for (sequence, posted) in (1..).zip(amounts) {
            effects.push(Effect::Posting(Posting {
                edge: (&edge).into(),
                ancestors: "".into(),
                delta: Delta { sequence, amount: amount(*posted), balance_after: amount(*posted) },
                kind: DeltaKind::TopUp,
                cause: Cause::Command(&command, 1),
                booked_time: None,
            }));
        }
        let (outcome, deltas) = (Ok(()), Default::default());
        effects.push(Effect::Reply(Reply { command: &command, outcome, currency, deltas, sequence: 1 }));
        let mut totals = ControlTotals::default();
        totals.add_effects(&effects)?;
        totals.check()
    }

    #[test]
    fn what_a_command_moves_is_posted_once_and_in_full() {
        assert_eq!(check_postings(&[5]), Ok(()));
        assert_eq!(check_postings(&[2, 3]), Ok(()));
        for wrong in [&[][..], &[5, 5], &[4], &[-5]] {
            assert_eq!(check_postings(wrong).map_err(|mismatch| mismatch.check), Err("causes_deltas"), "{wrong:?}");
        }
    }
}
