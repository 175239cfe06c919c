//! What was used and charged per level, payer and payee: the table a person sees after a run.
//!
//! Endpoints of one customer share a row; their number is counted from the state. Quantities of different units and amounts of
//! different currencies are never added.

use hashbrown::HashMap;
use pipeline::ControlMismatch;
use rating::charge::{Charge, SegmentSource};
use rating::{Currency, Shared, Sum, Unit};
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
    pub charged: Sum,
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

impl Summary {
    /// What payers earn on rows: what their own payers pay them for the same use, less what they pay for it. Only where both are in one
    /// currency. Endpoints and accounts that resell nothing have no margin, nor do fees, which are no use. An account that paid several payees on one
    /// level has one margin, in the first of its rows.
    pub fn margins(&self) -> BTreeMap<&RowKey, Sum> {
        type Account<'s> = (u8, &'s str, Unit);
        let mut income: HashMap<Account<'_>, (Currency, Option<Sum>)> = HashMap::new();
        let mut paid: BTreeMap<Account<'_>, (&RowKey, Option<Sum>)> = BTreeMap::new();
        for (key, row) in self.rows.iter().filter(|(_, row)| row.used > 0) {
            let account = (key.level.saturating_add(1), &*key.payee, key.unit);
            let known = income.entry(account).or_insert((key.currency, Some(Sum::ZERO)));
            let is_same = known.0 == key.currency;
            known.1 = known.1.filter(|_| is_same).and_then(|sum| sum.checked_add(row.charged));
            if key.level > 0 {
                let known = paid.entry((key.level, &*key.payer, key.unit)).or_insert((key, Some(Sum::ZERO)));
                let is_same = known.0.currency == key.currency;
                known.1 = known.1.filter(|_| is_same).and_then(|sum| sum.checked_add(row.charged));
            }
        }
        let margin = |(account, (key, paid)): (Account<'_>, (_, Option<Sum>))| {
            let (currency, earned) = income.get(&account)?;
            let key: &RowKey = key;
            (*currency == key.currency).then_some(())?;
            Some((key, earned.as_ref()?.checked_sub(paid?)?))
        };
        paid.into_iter().filter_map(margin).collect()
    }
}

/// Sums on the edges of one snapshot, found by an address in it: cheap enough for every charge.
#[derive(Debug, Default)]
pub(crate) struct EdgeSums {
    /// By the edge; for the edges of endpoints, which share a row, by the name of their payee.
    sums: HashMap<(usize, Unit), (RowKey, Row)>,
    /// On edges that are of no snapshot, and may go at any moment.
    others: BTreeMap<RowKey, Row>,
}

impl EdgeSums {
    pub(crate) fn add(&mut self, charge: &Charge<'_>) -> Result<(), ControlMismatch> {
        let edge = &*charge.edge;
        let address = match (&charge.edge, edge.level) {
            (Shared::Of(_), 0) => Some(edge.payee.as_str().as_ptr() as usize),
            (Shared::Of(edge), _) => Some(std::ptr::from_ref(*edge) as usize),
            (Shared::Kept(_), _) => None,
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
        let row =
            Row { charges: 1, used: charge.quantity.into(), covered: covered.sum(), charged: charge.amount.into() };
        let key = || RowKey {
            level: edge.level,
            payer: if edge.level == 0 { String::new() } else { edge.payer.as_str().to_owned() },
            payee: edge.payee.as_str().to_owned(),
            currency: edge.currency,
            unit: charge.unit,
        };
        match address {
            Some(address) => {
                let known = self.sums.entry((address, charge.unit)).or_insert_with(|| (key(), Row::default()));
                known.1.add(&row)
            }
            None => self.others.entry(key()).or_default().add(&row),
        }
    }

    /// Moves the sums into a summary; afterwards the edges may go.
    pub(crate) fn fold_into(&mut self, summary: &mut Summary) -> Result<(), ControlMismatch> {
        let of_snapshot = self.sums.drain().map(|(_, row)| row);
        for (key, row) in of_snapshot.chain(std::mem::take(&mut self.others)) {
            summary.rows.entry(key).or_default().add(&row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(rows: &[(u8, &str, &str, &str, i128)]) -> Summary {
        let rows = rows.iter().map(|(level, payer, payee, currency, charged)| {
            let currency = Currency::parse(currency).unwrap();
            let key = RowKey {
                level: *level,
                payer: (*payer).to_owned(),
                payee: (*payee).to_owned(),
                currency,
                unit: Unit::Octets,
            };
            (key, Row { charges: 1, used: 1, covered: 0, charged: Sum::from_unscaled(*charged) })
        });
        Summary { rows: rows.collect() }
    }

    fn margins(rows: &[(u8, &str, &str, &str, i128)]) -> Vec<(u8, String, i128)> {
        let summary = summary(rows);
        summary.margins().iter().map(|(key, margin)| (key.level, key.payer.clone(), margin.unscaled())).collect()
    }

    #[test]
    fn a_margin_is_what_comes_in_less_what_goes_out_on_the_next_level() {
        let rows = [
            (0, "", "acme", "GBP", 160),
            (1, "acme", "beta", "GBP", 45),
            (1, "direct", "beta", "GBP", 5),
            (2, "beta", "alpha", "GBP", 80),
        ];
        assert_eq!(margins(&rows), [(1, "acme".to_owned(), 115), (2, "beta".to_owned(), -30)]);
    }

    #[test]
    fn amounts_of_two_currencies_have_no_margin() {
        let rows = [(1, "a", "beta", "EUR", 9), (1, "b", "beta", "GBP", 5), (2, "beta", "top", "GBP", 3)];
        assert_eq!(margins(&rows), []);
        assert_eq!(margins(&[(1, "a", "beta", "EUR", 9), (2, "beta", "top", "GBP", 3)]), []);
    }

    #[test]
    fn an_account_that_moved_has_one_margin() {
        let rows = [(1, "a", "beta", "GBP", 9), (2, "beta", "new", "GBP", 3), (2, "beta", "old", "GBP", 4)];
        assert_eq!(margins(&rows), [(2, "beta".to_owned(), 2)]);
    }
}
