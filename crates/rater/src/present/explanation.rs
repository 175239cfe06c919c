//! Why a record was charged what it was, level by level.

use super::money::money;
use super::quantity::{exact, per};
use crate::console::Paint;
use rating::{SuspenseReason, Unit};
use runtime::engine::{BundleCandidate, LegTrace, RateCandidate};
use runtime::explain::Explanation;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most rejected candidates named in a line.
const MAX_REJECTED: usize = 4;
/// Most lines about bundles that were not drawn from.
const MAX_BUNDLES: usize = 8;

/// What stands above an explanation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heading<'h> {
    /// A record by its id, with its place.
    Record(&'h str),
    /// Nothing that was ever sent.
    Quote,
}

/// The explanation, or one level of it.
pub(crate) fn text(explanation: &Explanation, heading: Heading<'_>, level: Option<u8>, paint: Paint) -> String {
    let mut lines = vec![heading_line(explanation, heading, paint)];
    if explanation.is_duplicate {
        lines.push("  sent before; nothing was charged again".to_owned());
    }
    for waiting in explanation.suspense.iter().filter(|waiting| waiting["level"].is_null()) {
        lines.push(format!("  {}", waits(waiting, paint)));
    }
    for leg in explanation.legs.iter().filter(|leg| level.is_none_or(|level| level == leg.level)) {
        lines.push(String::new());
        leg_lines(explanation, leg, paint, &mut lines);
    }
    for fee in explanation.charges.iter().filter(|charge| text_of(charge, "kind") != "usage") {
        let bundle = fee["segments"].get(0).map_or("", |segment| text_of(segment, "bundle_id"));
        lines.push(format!("\nfee     {} for {bundle}", owes(fee, paint)));
    }
    let is_command = explanation.legs.is_empty() && !explanation.is_duplicate && explanation.suspense.is_empty();
    for told in explanation.notifications.iter().filter(|_| is_command) {
        lines.push(format!("  told    {}", notified(told)));
    }
    lines.join("\n") + "\n"
}

/// `r2  4 MB data  meter-2  234-15  2026-03-05T14:05:00Z  usage.csv:3`
fn heading_line(explanation: &Explanation, heading: Heading<'_>, paint: Paint) -> String {
    let id = match heading {
        Heading::Record(id) => id,
        Heading::Quote => "quote",
    };
    let mut parts = vec![paint.bold(id)];
    let usage = explanation.charges.iter().find(|charge| text_of(charge, "kind") == "usage");
    let network = explanation.legs.first().and_then(|leg| leg.network.clone());
    if let Some(usage) = usage {
        let quantity = exact(unit_of(usage), integer(usage, "quantity"));
        parts.push(format!("{quantity} {}", text_of(usage, "service")));
        parts.extend(optional(usage, "endpoint_id"));
        parts.extend(network);
        parts.push(text_of(usage, "event_time").to_owned());
    } else {
        parts.extend(network);
    }
    match heading {
        Heading::Record(_) => parts.push(paint.dim(&format!("{}:{}", explanation.input, explanation.place))),
        Heading::Quote => {}
    }
    parts.join("  ")
}

fn leg_lines(explanation: &Explanation, leg: &LegTrace, paint: Paint, lines: &mut Vec<String>) {
    let of_level = |message: &&Value| message["level"].as_u64() == Some(leg.level.into());
    let is_usage = |message: &&Value| of_level(message) && text_of(message, "kind") == "usage";
    let charge = explanation.charges.iter().find(is_usage);
    let waiting = explanation.suspense.iter().find(of_level);
    lines.push(match (charge, waiting) {
        (Some(charge), _) => format!("level {}  {}", leg.level, owes(charge, paint)),
        (None, Some(waiting)) => {
            format!("level {}  {} -> {}  {}", leg.level, leg.payer, leg.payee, waits(waiting, paint))
        }
        (None, None) => format!("level {}  {} -> {}  was charged before", leg.level, leg.payer, leg.payee),
    });
    zone_line(&leg.rates, lines);
    let told: Vec<&Value> =
        explanation.notifications.iter().filter(|told| text_of(told, "account_id") == leg.payer).collect();
    bundle_lines(&leg.bundles, charge, &told, lines);
    if let Some(charge) = charge {
        charge_lines(charge, lines);
    } else if let Some((tariff, version)) = &leg.tariff {
        lines.push(format!("  tariff  {tariff}@{}", day_of(&version.to_string())));
    }
    for told in told.iter().filter(|told| text_of(told, "kind") != "allowance_threshold") {
        lines.push(format!("  told    {}", notified(told)));
    }
}

fn zone_line(rates: &[RateCandidate], lines: &mut Vec<String>) {
    if rates.is_empty() {
        return;
    }
    let name = |rate: &RateCandidate| match &*rate.keys {
        "" => rate.zone.clone(),
        keys => format!("{} with {keys}", rate.zone),
    };
    let chosen = rates.iter().find(|rate| rate.rejected.is_none()).map_or("none".to_owned(), name);
    let rejected: Vec<String> =
        rates.iter().filter_map(|rate| Some(format!("{}: {}", name(rate), rate.rejected.as_deref()?))).collect();
    let mut line = format!("  zone    {chosen}");
    if !rejected.is_empty() {
        let shown: Vec<&str> = rejected.iter().take(MAX_REJECTED).map(|text| &**text).collect();
        let more = rejected.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!("; {more} more") };
        line.push_str(&format!(" ({}{more})", shown.join("; ")));
    }
    lines.push(line);
}

fn bundle_lines(candidates: &[BundleCandidate], charge: Option<&Value>, told: &[&Value], lines: &mut Vec<String>) {
    let mut label = "bundle";
    let mut push = |text: String| {
        lines.push(format!("  {label:<6}  {text}"));
        label = "";
    };
    let drawn = || segments(charge).filter(|segment| text_of(segment, "source") == "allowance");
    for segment in drawn() {
        let unit = charge.map_or(Unit::Units, unit_of);
        let quantity = exact(unit, integer(segment, "quantity"));
        let left = match (segment["allowance_before"].as_u64(), segment["allowance_after"].as_u64()) {
            (Some(before), Some(0)) => format!("{quantity} of {} left, used up", exact(unit, before)),
            (Some(before), Some(after)) => {
                format!("{quantity} of {} left, {} stay", exact(unit, before), exact(unit, after))
            }
            _ => format!("{quantity} of unlimited"),
        };
        let is_of_it = |told: &&&Value| {
            text_of(told, "kind") == "allowance_threshold"
                && text_of(told, "allowance_id") == text_of(segment, "allowance_id")
        };
        let thresholds: Vec<String> =
            told.iter().filter(is_of_it).map(|told| format!("{} %", told["threshold_percent"])).collect();
        let notified = if thresholds.is_empty() {
            String::new()
        } else {
            format!(" -> allowance {} notified", thresholds.join(", "))
        };
        push(format!("{}: {left}{notified}", text_of(segment, "bundle_id")));
    }
    // A pool may hold many instances of one bundle, turned down for one reason.
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for candidate in candidates {
        let id = format!("{}:{}", candidate.instance, candidate.element);
        let is_drawn = drawn().any(|segment| text_of(segment, "allowance_id") == id);
        if !is_drawn {
            *others.entry((&candidate.bundle, candidate.rejected.unwrap_or("not needed"))).or_default() += 1;
        }
    }
    let more = others.len().saturating_sub(MAX_BUNDLES);
    for ((bundle, reason), count) in others.into_iter().take(MAX_BUNDLES) {
        let count = if count == 1 { String::new() } else { format!(" ({count} elements)") };
        push(format!("{bundle}: {reason}{count}"));
    }
    if more > 0 {
        push(format!("… {more} more"));
    }
}

fn charge_lines(charge: &Value, lines: &mut Vec<String>) {
    let (currency, unit) = (currency_of(charge), unit_of(charge));
    let mut sum = Some(Decimal::ZERO);
    let mut parts = 0;
    for segment in segments(Some(charge)) {
        let amount = amount(segment, "amount");
        sum = sum.and_then(|sum| sum.checked_add(amount));
        parts += usize::from(!amount.is_zero());
        let quantity = exact(unit, integer(segment, "quantity"));
        let shown = money(currency, amount);
        match text_of(segment, "source") {
            "allowance" => {}
            "tariff" => {
                let billable = exact(unit, integer(segment, "billable_quantity"));
                let billed = if billable == quantity { quantity } else { format!("{quantity} billed as {billable}") };
                let price = money(currency, self::amount(segment, "unit_price"));
                let per = segment["per_units"].as_u64().map_or(String::new(), |units| per(unit, units));
                let tariff = tariff_of(segment);
                lines.push(format!("  tariff  {tariff}: {billed} x {price}/{per} = {shown}"));
            }
            "no_tariff" => lines.push(format!("  tariff  none: {quantity} are free by intent")),
            "free" => lines.push(format!("  free    {}: {quantity}", tariff_of(segment))),
            "cap" => lines.push(format!("  cap     {shown} waived")),
            source => lines.push(format!("  {source:<6}  {}: {shown}", tariff_of(segment))),
        }
    }
    let rounded = amount(charge, "amount");
    if let Some(sum) = sum.filter(|sum| parts > 1 || *sum != rounded) {
        let rounding = if sum == rounded { String::new() } else { format!(", rounded {}", money(currency, rounded)) };
        lines.push(format!("  sum     {}{rounding}", money(currency, sum)));
    }
    if let Some(delta) = optional(charge, "delta_id") {
        let balance = money(currency, amount(charge, "balance_after"));
        lines.push(format!("  delta   {delta}: {}, balance {balance}", money(currency, -rounded)));
    }
}

fn tariff_of(segment: &Value) -> String {
    format!("{}@{}", text_of(segment, "tariff_id"), day_of(text_of(segment, "tariff_version")))
}

/// A time as a day, if it is the first moment of one.
fn day_of(time: &str) -> &str {
    time.strip_suffix("T00:00:00Z").unwrap_or(time)
}

fn owes(charge: &Value, paint: Paint) -> String {
    let amount = money(currency_of(charge), amount(charge, "amount"));
    format!("{} owes {} {}", text_of(charge, "payer_id"), text_of(charge, "payee_id"), paint.bold(&amount))
}

fn waits(waiting: &Value, paint: Paint) -> String {
    let name = text_of(waiting, "reason");
    let remedy = SuspenseReason::parse(name).map_or("", SuspenseReason::remedy);
    format!("{} {name}: {}; {remedy}", paint.warn("waits:"), text_of(waiting, "detail"))
}

fn notified(told: &Value) -> String {
    let about = ["bundle_id", "tariff_id", "reason"].into_iter().find_map(|name| optional(told, name));
    let about = about.map_or(String::new(), |about| format!(" {about}"));
    let balance = optional(told, "balance")
        .and_then(|balance| Some(format!(", balance {}", money(currency_of(told), balance.parse().ok()?))));
    format!("{}{about}{}", text_of(told, "kind"), balance.unwrap_or_default())
}

fn segments(charge: Option<&Value>) -> impl Iterator<Item = &Value> {
    charge.and_then(|charge| charge["segments"].as_array()).into_iter().flatten()
}

fn text_of<'v>(message: &'v Value, name: &str) -> &'v str {
    message[name].as_str().unwrap_or_default()
}

fn optional(message: &Value, name: &str) -> Option<String> {
    message[name].as_str().map(str::to_owned)
}

fn integer(message: &Value, name: &str) -> u64 {
    message[name].as_u64().unwrap_or_default()
}

fn amount(message: &Value, name: &str) -> Decimal {
    text_of(message, name).parse().unwrap_or_default()
}

fn unit_of(charge: &Value) -> Unit {
    Unit::parse(text_of(charge, "unit")).unwrap_or(Unit::Units)
}

fn currency_of(message: &Value) -> &str {
    text_of(message, "currency")
}

/// The same for tools.
pub(crate) fn to_json(explanation: &Explanation, level: Option<u8>) -> Value {
    let is_wanted = |of: Option<u64>| level.is_none_or(|level| of.is_none_or(|of| of == u64::from(level)));
    let legs = explanation.legs.iter().filter(|leg| is_wanted(Some(leg.level.into()))).map(|leg| {
        let rates =
            leg.rates.iter().map(|rate| json!({ "zone": rate.zone, "keys": rate.keys, "rejected": rate.rejected }));
        let bundles = leg.bundles.iter().map(|bundle| {
            json!({
                "bundle": bundle.bundle, "instance": bundle.instance, "element": bundle.element,
                "left": bundle.left, "rejected": bundle.rejected,
            })
        });
        let tariff = leg.tariff.as_ref().map(|(id, version)| json!({ "id": id, "version": version.to_string() }));
        json!({
            "level": leg.level, "payer": leg.payer, "payee": leg.payee, "tariff": tariff, "network": leg.network,
            "rates": rates.collect::<Vec<_>>(), "bundles": bundles.collect::<Vec<_>>(),
        })
    });
    let of_level = |messages: &[Value]| -> Vec<Value> {
        messages.iter().filter(|message| is_wanted(message["level"].as_u64())).cloned().collect()
    };
    json!({
        "file": explanation.input,
        "line": explanation.place,
        "original": String::from_utf8_lossy(&explanation.original),
        "duplicate": explanation.is_duplicate,
        "other_reference": explanation.is_other_reference,
        "legs": legs.collect::<Vec<_>>(),
        "charges": of_level(&explanation.charges),
        "suspense": of_level(&explanation.suspense),
        "notifications": explanation.notifications,
    })
}
