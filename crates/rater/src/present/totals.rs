//! Control totals in a line, and for tools.

use super::edges::number;
use super::money;
use crate::console::Paint;
use pipeline::ControlTotals;
use runtime::embedded::Progress;
use serde_json::{Value, json};

/// `5 in = 3 rated + 1 duplicate + 1 suspended ✓   charges = deltas = £3.17 ✓` of a folder. Commands that reference data gave are left out,
/// because they came from no input; what waited and was tried again counts again.
pub(crate) fn line(progress: &Progress, paint: Paint) -> String {
    let totals = &progress.totals;
    let commands = totals.commands.saturating_sub(progress.granted.len() as u64);
    let received = totals.received.saturating_sub(totals.commands - commands);
    let read: u64 = progress.inputs.iter().map(|input| input.records).sum();
    let again = match received.saturating_sub(read) {
        0 => String::new(),
        again => format!(" ({again} again)"),
    };
    let mut parts = vec![format!("{} rated", totals.guided)];
    let mut part = |count: u64, one: &str, many: &str| match count {
        0 => {}
        1 => parts.push(format!("1 {one}")),
        count => parts.push(format!("{count} {many}")),
    };
    part(totals.duplicates, "duplicate", "duplicates");
    part(totals.suspended, "suspended", "suspended");
    part(commands, "command", "commands");
    part(totals.ticks, "tick", "ticks");
    let tick = tick(totals, paint);
    let mut line = format!("{received} in{again} = {} {tick}", parts.join(" + "));
    let legs: u64 = totals.levels.values().map(|level| level.suspended).sum();
    if legs > 0 {
        let charged: u64 = totals.levels.values().map(|level| level.charged).sum();
        line.push_str(&format!("   {} legs = {charged} charged + {legs} suspended {tick}", charged + legs));
    }
    for (currency, money_totals) in &totals.money {
        let charges = money(currency.as_str(), money_totals.charges.to_decimal());
        line.push_str(&format!("   charges = deltas = {charges} {tick}"));
    }
    line
}

/// A run whose totals do not balance has stopped before; this shows what was proved, not what was hoped.
fn tick(totals: &ControlTotals, paint: Paint) -> String {
    match totals.check() {
        Ok(()) => paint.good("✓"),
        Err(_) => paint.bad("✗"),
    }
}

/// All totals.
pub(crate) fn to_json(totals: &ControlTotals) -> Value {
    let levels = totals.levels.iter().map(|(level, of)| {
        json!({
            "level": level,
            "legs": of.legs, "units": number(of.units),
            "charged": of.charged, "charged_units": number(of.charged_units),
            "suspended": of.suspended, "suspended_units": number(of.suspended_units),
        })
    });
    let sums = totals.money.iter().map(|(currency, of)| {
        json!({ "currency": currency.as_str(), "charges": of.charges.to_string(), "deltas": of.deltas.to_string() })
    });
    json!({
        "received": totals.received,
        "rated": totals.guided,
        "duplicates": totals.duplicates,
        "suspended": totals.suspended,
        "commands": totals.commands,
        "ticks": totals.ticks,
        "levels": levels.collect::<Vec<_>>(),
        "money": sums.collect::<Vec<_>>(),
        "balanced": totals.check().is_ok(),
    })
}
