//! Charges and balance deltas: identifiers once, sequences without gaps, balances that are sums, and each charge with its deltas.

use super::avro::{Found, Layout, money};
use super::hash_of;
use super::report::Report;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a charge says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge<'d> {
    pub(super) id: &'d str,
    pub(super) kind: &'d str,
    pub(super) usage: Option<(&'d str, &'d str)>,
    pub(super) level: Option<i64>,
    pub(super) payer: &'d str,
    amount: i128,
    currency: &'d str,
    delta: Option<(&'d str, i64, i128)>,
    /// The version of the reference data by which its leg was guided.
    pub(super) version: Option<&'d str>,
}

impl<'d> Charge<'d> {
    pub(super) fn read(layout: &Layout, datum: &'d [u8]) -> Result<Charge<'d>, String> {
        let found = layout.read(datum)?;
        let of = |name: &str| layout.place(name).and_then(|at| found.get(at).copied()).unwrap_or(Found::Null);
        let text = |name: &str| of(name).text().ok_or_else(|| format!("no {name}"));
        let delta = match (of("delta_id").text(), of("delta_sequence").long(), of("balance_after").decimal()) {
            (Some(id), Some(sequence), Some(balance)) => Some((id, sequence, balance)),
            _ => None,
        };
        Ok(Charge {
            id: text("charge_id")?,
            kind: text("kind")?,
            usage: of("usage_source").text().zip(of("usage_id").text()),
            level: of("level").long(),
            payer: text("payer_id")?,
            amount: of("amount").decimal().ok_or("no amount")?,
            currency: text("currency")?,
            delta,
            version: of("directory_version").text(),
        })
    }

    /// The bytes before and behind the version of the reference data: what the charge says, whichever version that was.
    pub(super) fn content(&self, datum: &'d [u8]) -> [&'d [u8]; 2] {
        let version = self.version.unwrap_or_default();
        let start = version.as_ptr().addr().checked_sub(datum.as_ptr().addr());
        match start.filter(|start| !version.is_empty() && start + version.len() <= datum.len()) {
            Some(start) => [&datum[..start], &datum[start + version.len()..]],
            None => [datum, &[]],
        }
    }

    pub(super) fn show(&self) -> String {
        format!("{} {} {}", self.id, money(self.amount), self.currency)
    }
}

/// What a balance delta says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta<'d> {
    pub(super) id: &'d str,
    pub(super) account: &'d str,
    sequence: i64,
    amount: i128,
    currency: &'d str,
    balance_after: i128,
    charge: Option<&'d str>,
}

impl<'d> Delta<'d> {
    pub(super) fn read(layout: &Layout, datum: &'d [u8]) -> Result<Delta<'d>, String> {
        let found = layout.read(datum)?;
        let of = |name: &str| layout.place(name).and_then(|at| found.get(at).copied()).unwrap_or(Found::Null);
        let text = |name: &str| of(name).text().ok_or_else(|| format!("no {name}"));
        Ok(Delta {
            id: text("delta_id")?,
            account: text("account_id")?,
            sequence: of("sequence").long().ok_or("no sequence")?,
            amount: of("amount").decimal().ok_or("no amount")?,
            currency: text("currency")?,
            balance_after: of("balance_after").decimal().ok_or("no balance")?,
            charge: of("charge_id").text(),
        })
    }

    pub(super) fn show(&self) -> String {
        format!("{} of {} {} {}", self.id, self.account, money(self.amount), self.currency)
    }
}

#[derive(Debug, Default)]
struct Account {
    sequence: i64,
    balance: i128,
}

/// A charge whose deltas are not all seen.
#[derive(Clone, Copy, Debug)]
struct Claim {
    amount: i128,
    /// Hash of the last delta's id, its sequence and the balance after it.
    delta: Option<(u64, i64, i128)>,
    paid: i128,
    last: Option<(u64, i64, i128)>,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<String, Account>,
    charge_ids: HashSet<u64>,
    /// Sums of charges and of the deltas that name one, by currency.
    sums: BTreeMap<String, (i128, i128)>,
    /// Those of the partitions that are being read.
    claims: HashMap<u64, Claim>,
    charges: u64,
    deltas: u64,
}

impl Ledger {
    pub(super) fn charge(&mut self, charge: &Charge<'_>, report: &mut Report) {
        self.charges += 1;
        let id = hash_of(&[charge.id.as_bytes()]);
        if !self.charge_ids.insert(id) {
            return report.differ(|| format!("charge {} is there twice", charge.show()));
        }
        self.sums.entry(charge.currency.to_owned()).or_default().0 += charge.amount;
        let delta = charge.delta.map(|(id, sequence, balance)| (hash_of(&[id.as_bytes()]), sequence, balance));
        if delta.is_none() != (charge.amount == 0) {
            report.differ(|| format!("charge {}: a delta is named or not, and should not or should", charge.show()));
        }
        if delta.is_some() {
            self.claims.insert(id, Claim { amount: charge.amount, delta, paid: 0, last: None });
        }
    }

    pub(super) fn delta(&mut self, delta: &Delta<'_>, report: &mut Report) {
        self.deltas += 1;
        if !self.accounts.contains_key(delta.account) {
            self.accounts.insert(delta.account.to_owned(), Account::default());
        }
        let Some(account) = self.accounts.get_mut(delta.account) else { return };
        if delta.sequence != account.sequence + 1 {
            let last = account.sequence;
            report.differ(|| format!("delta {}: sequence {} comes after {last}", delta.show(), delta.sequence));
        }
        account.sequence = delta.sequence;
        account.balance += delta.amount;
        if delta.balance_after != account.balance {
            let (said, sum) = (money(delta.balance_after), money(account.balance));
            report.differ(|| format!("delta {}: says balance {said}, the sum is {sum}", delta.show()));
            account.balance = delta.balance_after;
        }
        let Some(charge) = delta.charge else { return };
        self.sums.entry(delta.currency.to_owned()).or_default().1 += delta.amount;
        match self.claims.get_mut(&hash_of(&[charge.as_bytes()])) {
            Some(claim) => {
                claim.paid += delta.amount;
                claim.last = Some((hash_of(&[delta.id.as_bytes()]), delta.sequence, delta.balance_after));
            }
            None => report.differ(|| format!("delta {}: no charge {charge} that names a delta", delta.show())),
        }
    }

    /// Charges and deltas of some partitions are all seen.
    pub(super) fn close_partitions(&mut self, report: &mut Report) {
        for (id, claim) in self.claims.drain() {
            if claim.paid != -claim.amount || claim.last != claim.delta {
                let (amount, paid) = (money(claim.amount), money(claim.paid));
                report.differ(|| {
                    format!("charge (hash {id:016x}) of {amount}: its deltas are {paid}, or not as it says")
                });
            }
        }
    }

    pub(super) fn finish(self, report: &mut Report) {
        report.end("charges, each once", self.charges, self.charge_ids.len());
        let numbered: i64 = self.accounts.values().map(|account| account.sequence).sum();
        report.end_equal("deltas, numbered without gaps", numbered, i64::try_from(self.deltas).unwrap_or(i64::MAX));
        for (currency, (charges, deltas)) in self.sums {
            report.end_equal(&format!("charges = deltas, {currency}"), money(charges), money(-deltas));
        }
    }
}
