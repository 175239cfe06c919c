//! The table of a folder: what was used and charged per level, payer and payee.

use super::table::{Align, Table};
use super::{money, quantity};
use crate::console::Paint;
use rating::{Currency, Sum};
use runtime::summary::{Row, RowKey, Summary};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most rows of one level in one table; the largest amounts are shown.
const MAX_ROWS: usize = 12;
/// What stands where nothing does.
const NOTHING: &str = "–";
const HEADER: [(&str, Align); 7] = [
    ("LEVEL", Align::Right),
    ("PAYER -> PAYEE", Align::Left),
    ("USED", Align::Right),
    ("BUNDLE", Align::Right),
    ("TARIFF", Align::Right),
    ("CHARGED", Align::Right),
    ("PAYER'S MARGIN (usage only)", Align::Right),
];

/// A table per currency.
pub(crate) fn tables(summary: &Summary, endpoint_accounts: &BTreeMap<String, u64>, paint: Paint) -> String {
    let margins = summary.margins();
    let currencies: BTreeSet<Currency> = summary.rows.keys().map(|key| key.currency).collect();
    let table = |currency: &Currency| {
        let rows: Vec<_> = summary.rows.iter().filter(|(key, _)| key.currency == *currency).collect();
        let mut table = Table::new(&HEADER);
        for level in rows.chunk_by(|(a, _), (b, _)| a.level == b.level) {
            add_level(&mut table, level, &margins, endpoint_accounts);
        }
        table.render(paint)
    };
    currencies.iter().map(table).collect::<Vec<_>>().join("\n")
}

fn add_level(
    table: &mut Table,
    rows: &[(&RowKey, &Row)],
    margins: &BTreeMap<&RowKey, Sum>,
    endpoint_accounts: &BTreeMap<String, u64>,
) {
    let shown: BTreeSet<&RowKey> = {
        let mut largest: Vec<_> = rows.to_vec();
        largest.sort_by_key(|(key, row)| (Reverse(row.charged), *key));
        largest.iter().take(MAX_ROWS).map(|(key, _)| *key).collect()
    };
    for (key, row) in rows.iter().filter(|(key, _)| shown.contains(key)) {
        let margin = margins.get(key);
        let remark = if margin.is_some_and(|margin| is_loss(*margin)) { "below cost" } else { "" };
        let units = |value: u128| if value == 0 { NOTHING.to_owned() } else { quantity(key.unit, value) };
        let cells = vec![
            key.level.to_string(),
            format!("{} -> {}", payer(key, endpoint_accounts), key.payee),
            // Nothing used and yet charged: fees of bundles.
            if row.used == 0 && row.charged.is_positive() { "fees".to_owned() } else { units(row.used) },
            units(row.covered),
            units(row.used.saturating_sub(row.covered)),
            money(key.currency.as_str(), row.charged.to_decimal()),
            margin.map_or(NOTHING.to_owned(), |margin| money(key.currency.as_str(), margin.to_decimal())),
        ];
        table.row(cells, remark);
    }
    let hidden: Vec<_> = rows.iter().filter(|(key, _)| !shown.contains(key)).collect();
    let Some((key, _)) = hidden.first() else { return };
    let charged = hidden.iter().try_fold(Sum::ZERO, |sum, (_, row)| sum.checked_add(row.charged));
    let charged = charged.map_or(String::new(), |sum| format!(", {}", money(key.currency.as_str(), sum.to_decimal())));
    let losses = hidden.iter().filter(|(key, _)| margins.get(key).is_some_and(|margin| is_loss(*margin))).count();
    let losses = if losses == 0 { String::new() } else { format!(", {losses} of them below cost") };
    table.text(format!("{:>5}  … {} more{charged}{losses}", key.level, hidden.len()));
}

fn is_loss(margin: Sum) -> bool {
    !margin.is_zero() && !margin.is_positive()
}

fn payer(key: &RowKey, endpoint_accounts: &BTreeMap<String, u64>) -> String {
    if !key.payer.is_empty() {
        return key.payer.clone();
    }
    match endpoint_accounts.get(&key.payee) {
        Some(1) => "1 endpoint".to_owned(),
        Some(count) => format!("{count} endpoints"),
        None => "endpoints".to_owned(),
    }
}

/// All rows for tools: amounts are text, quantities base units.
pub(crate) fn to_json(summary: &Summary, endpoint_accounts: &BTreeMap<String, u64>) -> Value {
    let margins = summary.margins();
    let rows = summary.rows.iter().map(|(key, row)| {
        let is_endpoints = key.payer.is_empty();
        json!({
            "level": key.level,
            "payer": if is_endpoints { Value::Null } else { json!(key.payer) },
            "endpoints": if is_endpoints { json!(endpoint_accounts.get(&key.payee)) } else { Value::Null },
            "payee": key.payee,
            "unit": key.unit.name(),
            "charges": row.charges,
            "used": number(row.used),
            "covered": number(row.covered),
            "currency": key.currency.as_str(),
            "charged": row.charged.to_string(),
            "margin": margins.get(key).map(ToString::to_string),
        })
    });
    rows.collect()
}

/// A JSON number where one holds it; text beyond 64 bits.
pub(crate) fn number(value: u128) -> Value {
    u64::try_from(value).map_or_else(|_| json!(value.to_string()), |value| json!(value))
}
