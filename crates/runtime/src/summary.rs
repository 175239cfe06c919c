//! What was used and charged per level, payer and payee: the table a person sees after a run.
//!
//! Endpoints of one customer share a row; their number is counted from the state. Quantities of different units and amounts of
//! different currencies are never added.

use hashbrown::HashMap;
use pipeline::ControlMismatch;
use rating::charge::{Charge, SegmentSource};
use rating::{Amount, Currency, Unit};
use std::collections::BTreeMap;

/// Identifies a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Level of the edge.
    pub level: u8,
    /// The payer; empty for the endpoints of the payee.
    pub payer: String,
    /// The payee.
    pub payee: String,
    /// The payer's currency.
    pub currency: Currency,
    /// Base unit of the quantities.
    pub unit: Unit,
}

/// What stands in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Charges.
    pub charges: u64,
    /// Units used.
    pub used: u128,
    /// Units covered by bundles.
    pub covered: u128,
    /// Amount charged.
    pub charged: Amount,
}

impl Row {
    fn add(&mut self, other: &Row) -> Result<(), ControlMismatch> {
        let charged = self.charged.checked_add(other.charged).ok_or_else(|| ControlMismatch {
            check: "money_range",
            detail: "a sum of charges is out of range".to_owned(),
        })?;
        *self = Row {
            charges: self.charges + other.charges,
            used: self.used + other.used,
            covered: self.covered + other.covered,
            charged,
        };
        Ok(())
    }
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// In the order in which they are shown.
    pub rows: BTreeMap<RowKey, Row>,
}

/// Sums on the edges of one snapshot, found by an address in it: cheap enough for every charge.
#[derive(Debug, Default)]
pub(crate) struct EdgeSums {
    /// By the edge; for the edges of endpoints, which share a row, by the name of their payee.
    sums: HashMap<(usize, Unit), (RowKey, Row)>,
}

impl EdgeSums {
    pub(crate) fn add(&mut self, charge: &Charge<'_>) -> Result<(), ControlMismatch> {
        let edge = charge.edge;
        let address = match edge.level {
            0 => edge.payee.as_str().as_ptr() as usize,
            _ => std::ptr::from_ref(edge) as usize,
        };
        let covered = charge.segments.iter().map(|segment| match segment.source {
            SegmentSource::Allowance(_) => u128::from(segment.quantity),
            SegmentSource::Tariff { .. }
            | SegmentSource::Free(_)
            | SegmentSource::Connect(_)
            | SegmentSource::Flat(_)
            | SegmentSource::Cap(_)
            | SegmentSource::NoTariff => 0,
        });
        let row = Row { charges: 1, used: charge.quantity.into(), covered: covered.sum(), charged: charge.amount };
        let known = self.sums.entry((address, charge.unit)).or_insert_with(|| {
            let payer = if edge.level == 0 { String::new() } else { edge.payer.as_str().to_owned() };
            let payee = edge.payee.as_str().to_owned();
            (RowKey { level: edge.level, payer, payee, currency: edge.currency, unit: charge.unit }, Row::default())
        });
        known.1.add(&row)
    }

    /// Moves the sums into a summary; afterwards the edges may go.
    pub(crate) fn fold_into(&mut self, summary: &mut Summary) -> Result<(), ControlMismatch> {
        for (_, (key, row)) in self.sums.drain() {
            summary.rows.entry(key).or_default().add(&row)?;
        }
        Ok(())
    }
}
