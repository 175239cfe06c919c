//! Control totals in a line, and for tools.

use super::edges::number;
use super::money;
use crate::console::Paint;
use pipeline::ControlTotals;
use rating::{CauseKind, Sum};
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
    for (currency, of) in totals.by_currency().unwrap_or_default() {
        let shown = |sum: Sum| money(currency.as_str(), sum.to_decimal());
        if totals.money.contains_key(&(CauseKind::Usage, currency)) || of.charged > 0 {
            line.push_str(&format!("   charges = deltas = {} {tick}", shown(of.charges)));
        }
        if of.moves > 0 {
            line.push_str(&format!("   commands = deltas = {} {tick}", shown(of.moved)));
        }
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
    let by_currency = totals.by_currency().unwrap_or_default();
    let sums = by_currency.iter().map(|(currency, of)| {
        json!({ "currency": currency.as_str(), "charges": of.charges.to_string(), "deltas": of.deltas.to_string() })
    });
    let causes = totals.money.iter().map(|((cause, currency), of)| {
        json!({
            "cause": cause.name(), "currency": currency.as_str(),
            "charges": of.charges.to_string(), "charge_deltas": of.deltas.to_string(),
            "moved": of.moved.to_string(), "moved_deltas": of.moved_deltas.to_string(),
        })
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
        "causes": causes.collect::<Vec<_>>(),
        "balanced": totals.check().is_ok(),
    })
}
