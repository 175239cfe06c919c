//! Control totals: the proof, batch by batch, that every record and every leg had exactly one outcome and every charge its delta.

use crate::rate::{RateOutcome, RatedTask};
use rating::charge::Charge;
use rating::{Currency, Sum};
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
    /// Money per currency.
    pub money: BTreeMap<Currency, MoneyTotals>,
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

/// Money of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoneyTotals {
    /// Sum of charges.
    pub charges: Sum,
    /// Sum of deltas that carry a charge id (negative).
    pub deltas: Sum,
    /// Charges that are not 0.
    pub charged: u64,
    /// Deltas that carry a charge id.
    pub posted: u64,
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

impl ControlTotals {
    /// Counts a leg as guided.
    pub fn guided_leg(&mut self, level: u8, quantity: u64) {
        let totals = self.levels.entry(level).or_default();
        totals.legs += 1;
        totals.units += u128::from(quantity);
    }

    /// Counts the outcomes of legs.
    pub fn rated(&mut self, tasks: &[RatedTask]) {
        for task in tasks {
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
                RateOutcome::Applied | RateOutcome::Refused(_) => {}
            }
        }
    }

    /// Adds the money of charges.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn charged(&mut self, charges: &[Charge<'_>]) -> Result<(), ControlMismatch> {
        let overflow =
            || ControlMismatch { check: "money_range", detail: "a sum of charges is out of range".to_owned() };
        for charge in charges {
            let money = self.money.entry(charge.edge.currency).or_default();
            money.charges = money.charges.checked_add(charge.amount).ok_or_else(overflow)?;
            money.charged += u64::from(!charge.amount.is_zero());
            if let Some(delta) = charge.delta {
                money.deltas = money.deltas.checked_add(delta.amount).ok_or_else(overflow)?;
                money.posted += 1;
            }
        }
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
        for (currency, theirs) in &other.money {
            let ours = self.money.entry(*currency).or_default();
            let sum = ours.charges.checked_add(theirs.charges).zip(ours.deltas.checked_add(theirs.deltas));
            let (charges, deltas) = sum.ok_or_else(|| ControlMismatch {
                check: "money_range",
                detail: format!("the sum of charges in {currency} is out of range"),
            })?;
            *ours = MoneyTotals {
                charges,
                deltas,
                charged: ours.charged + theirs.charged,
                posted: ours.posted + theirs.posted,
            };
        }
        Ok(())
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
        for (currency, money) in &self.money {
            if !money.charges.cancels(money.deltas) || money.charged != money.posted {
                let detail = format!("{currency}: charges {}, deltas {}", money.charges, money.deltas);
                return Err(ControlMismatch { check: "charges_deltas", detail });
            }
        }
        Ok(())
    }
}
