//! Where what was booked and what today's reference data would give differ.

use super::{Booked, Outcome, Today};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A level, or the record as a whole, for which today's reference data would give something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The level; `None` for the record as a whole, and for fees.
    pub level: Option<u8>,
    /// What was booked.
    pub booked: Side,
    /// What today's reference data would give.
    pub today: Side,
}

/// One side of a [`Difference`]: what is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `charged`, `suspended`, `duplicate` or `nothing`.
    pub outcome: &'static str,
    /// Who pays.
    pub payer: Option<String>,
    /// Who charges.
    pub payee: Option<String>,
    /// How much, as exact decimal text.
    pub amount: Option<String>,
    /// In this currency.
    pub currency: Option<String>,
    /// Why it is suspended, or why the charge has its amount.
    pub reason: Option<String>,
    /// How the amount is made up: what of each segment does not depend on what was rated before it.
    made_of: Vec<Value>,
}

impl Side {
    fn charged(charge: &Value) -> Side {
        let text = |name: &str| charge[name].as_str().map(str::to_owned);
        let kept = [
            "source",
            "quantity",
            "billable_quantity",
            "unit_price",
            "per_units",
            "amount",
            "tariff_id",
            "tariff_version",
            "zone",
            "bundle_id",
        ];
        let segment = |segment: &Value| kept.iter().map(|name| segment[*name].clone()).collect();
        Side {
            outcome: "charged",
            payer: text("payer_id"),
            payee: text("payee_id"),
            amount: text("amount"),
            currency: text("currency"),
            reason: text("reason"),
            made_of: charge["segments"].as_array().into_iter().flatten().map(segment).collect(),
        }
    }

    fn suspended(message: &Value) -> Side {
        Side { outcome: "suspended", reason: message["reason"].as_str().map(str::to_owned), ..Side::default() }
    }

    fn outcome(outcome: &'static str) -> Side {
        Side { outcome, ..Side::default() }
    }

    /// The same for tools.
    pub fn to_json(&self) -> Value {
        let Side { outcome, payer, payee, amount, currency, reason, made_of: _ } = self;
        json!({
            "outcome": outcome, "payer_id": payer, "payee_id": payee, "amount": amount, "currency": currency, "reason": reason,
        })
    }
}

/// What is compared of either side.
struct Messages<'m> {
    is_duplicate: bool,
    charges: &'m [Value],
    suspense: &'m [Value],
}

impl Messages<'_> {
    fn levels(&self) -> BTreeSet<u8> {
        let usage = self.charges.iter().filter(|charge| charge["kind"] == "usage");
        usage.chain(self.suspense).filter_map(level_of).collect()
    }

    fn whole(&self) -> Option<Side> {
        if self.is_duplicate {
            return Some(Side::outcome("duplicate"));
        }
        self.suspense.iter().find(|message| message["level"].is_null()).map(Side::suspended)
    }

    fn of(&self, level: u8) -> Side {
        let is_here = |message: &&Value| level_of(message) == Some(level);
        let charge = self.charges.iter().filter(|charge| charge["kind"] == "usage").find(is_here);
        let suspended = || self.suspense.iter().find(is_here).map(Side::suspended);
        charge.map(Side::charged).or_else(suspended).unwrap_or_else(|| Side::outcome("nothing"))
    }

    fn fees(&self) -> impl Iterator<Item = (&str, Side)> {
        let fees = self.charges.iter().filter(|charge| charge["kind"] != "usage");
        fees.map(|fee| (fee["charge_id"].as_str().unwrap_or_default(), Side::charged(fee)))
    }
}

fn level_of(message: &Value) -> Option<u8> {
    message["level"].as_u64().and_then(|level| u8::try_from(level).ok())
}

/// Compares both, level by level, then fees.
pub(super) fn between(booked: &Booked, today: &Today) -> Vec<Difference> {
    let booked = Messages {
        is_duplicate: booked.outcome == Outcome::Duplicate,
        charges: &booked.charges,
        suspense: &booked.suspense,
    };
    let today = Messages { is_duplicate: today.is_duplicate, charges: &today.charges, suspense: &today.suspense };
    let mut found = Vec::new();
    let mut compare = |level, booked: Side, today: Side| {
        if booked != today {
            found.push(Difference { level, booked, today });
        }
    };
    match (booked.whole(), today.whole()) {
        (None, None) => {}
        (Some(whole), Some(other)) => compare(None, whole, other),
        (whole, other) => {
            let levels = || Side::outcome("charged by level");
            compare(None, whole.unwrap_or_else(levels), other.unwrap_or_else(levels));
        }
    }
    for level in booked.levels().union(&today.levels()) {
        compare(Some(*level), booked.of(*level), today.of(*level));
    }
    let others: Vec<(&str, Side)> = today.fees().collect();
    for (id, fee) in booked.fees() {
        let other = others.iter().find(|(other, _)| *other == id).map(|(_, side)| side.clone());
        compare(None, fee, other.unwrap_or_else(|| Side::outcome("nothing")));
    }
    for (id, fee) in &others {
        if !booked.fees().any(|(known, _)| known == *id) {
            compare(None, Side::outcome("nothing"), fee.clone());
        }
    }
    found
}
