//! Why a record was charged what it was, level by level.

use super::money::money;
use super::quantity::{exact, per};
use crate::console::Paint;
use rating::{SuspenseReason, Unit};
use runtime::engine::{BundleCandidate, LegTrace, RateCandidate};
use runtime::explain::{Booked, Difference, Explanation, Outcome, Side, Today};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most rejected candidates named in a line.
const MAX_REJECTED: usize = 4;
/// Most lines about bundles that were not drawn from.
const MAX_BUNDLES: usize = 8;

/// What is shown: what was booked where that is known, with the candidates that today's reference data has.
#[derive(Clone, Copy)]
struct Shown<'e> {
    charges: &'e [Value],
    suspense: &'e [Value],
    notifications: &'e [Value],
    legs: &'e [LegTrace],
}

impl<'e> Shown<'e> {
    fn today(today: &'e Today) -> Shown<'e> {
        let Today { legs, charges, suspense, notifications, is_duplicate: _ } = today;
        Shown { charges, suspense, notifications, legs }
    }

    fn booked(explanation: &'e Explanation) -> Shown<'e> {
        let Booked { charges, suspense, notifications, .. } = &explanation.booked;
        let legs = explanation.today.as_ref().map_or(&[][..], |today| &today.legs);
        Shown { charges, suspense, notifications, legs }
    }

    fn usage(self, level: u64) -> Option<&'e Value> {
        let is_usage = |charge: &&Value| text_of(charge, "kind") == "usage";
        self.charges.iter().filter(is_usage).find(|charge| charge["level"].as_u64() == Some(level))
    }

    fn suspended(self, level: u64) -> Option<&'e Value> {
        self.suspense.iter().find(|message| message["level"].as_u64() == Some(level))
    }

    fn leg(self, level: u64) -> Option<&'e LegTrace> {
        self.legs.iter().find(|leg| u64::from(leg.level) == level)
    }

    fn levels(self) -> BTreeSet<u64> {
        let usage = self.charges.iter().filter(|charge| text_of(charge, "kind") == "usage");
        let of_messages = usage.chain(self.suspense).filter_map(|message| message["level"].as_u64());
        of_messages.chain(self.legs.iter().map(|leg| leg.level.into())).collect()
    }

    fn fees(self) -> impl Iterator<Item = &'e Value> {
        self.charges.iter().filter(|charge| text_of(charge, "kind") != "usage")
    }
}

/// The explanation of a record, or one level of it.
pub(crate) fn text(explanation: &Explanation, id: &str, level: Option<u8>, paint: Paint) -> String {
    let shown = Shown::booked(explanation);
    let mut lines = vec![heading_line(shown, Some((id, explanation)), paint)];
    match explanation.booked.outcome {
        Outcome::Duplicate => lines.push("  sent before; nothing was charged again".to_owned()),
        Outcome::Nothing if explanation.today.as_ref().is_ok_and(|today| !today.legs.is_empty()) => {
            lines.push("  nothing was booked".to_owned());
        }
        Outcome::Nothing | Outcome::Booked | Outcome::Suspended => {}
    }
    for waiting in shown.suspense.iter().filter(|waiting| waiting["level"].is_null()) {
        lines.push(format!("  {}", waits(waiting, paint)));
    }
    let once = explanation.booked.resolved.iter().filter(|message| message["level"].is_null());
    for message in once.filter(|_| explanation.booked.outcome == Outcome::Booked) {
        let name = text_of(message, "reason");
        lines.push(format!("  {}", paint.dim(&format!("was suspended as {name} before it was recycled"))));
    }
    let legs = if explanation.booked.outcome == Outcome::Booked { shown.levels() } else { BTreeSet::new() };
    for number in legs.into_iter().filter(|number| level.is_none_or(|level| u64::from(level) == *number)) {
        lines.push(String::new());
        let difference = explanation.differences.iter().find(|of| of.level.map(u64::from) == Some(number));
        leg_lines(shown, number, difference.is_some(), paint, &mut lines);
        if let (Some(difference), Ok(today)) = (difference, &explanation.today) {
            today_lines(difference, Shown::today(today), number, paint, &mut lines);
        }
    }
    end_lines(shown, &mut lines, paint);
    for difference in &explanation.differences {
        let is_shown = explanation.booked.outcome == Outcome::Booked && difference.level.is_some();
        if !is_shown && difference.level.is_none_or(|of| level.is_none_or(|level| level == of)) {
            lines.push(format!("\n{}", difference_line(difference, paint)));
        }
    }
    if let Err(why) = &explanation.today {
        lines.push(format!("\nwhat today's reference data would give is not known: {why}"));
    }
    joined(&lines)
}

/// What a record that nobody sent would be charged, or one level of it.
pub(crate) fn quote(today: &Today, level: Option<u8>, paint: Paint) -> String {
    let shown = Shown::today(today);
    let mut lines = vec![heading_line(shown, None, paint)];
    for waiting in shown.suspense.iter().filter(|waiting| waiting["level"].is_null()) {
        lines.push(format!("  {}", waits(waiting, paint)));
    }
    for leg in shown.legs.iter().filter(|leg| level.is_none_or(|level| level == leg.level)) {
        lines.push(String::new());
        leg_lines(shown, leg.level.into(), false, paint, &mut lines);
    }
    end_lines(shown, &mut lines, paint);
    joined(&lines)
}

/// The lines as a text. A break in a name would look like a line of its own; one before a line sets it apart.
fn joined(lines: &[String]) -> String {
    let line = |line: &String| match line.strip_prefix('\n') {
        Some(line) => format!("\n{}\n", line.replace('\n', "\\n")),
        None => format!("{}\n", line.replace('\n', "\\n")),
    };
    lines.iter().map(line).collect()
}

/// Fees, and what a command made known.
fn end_lines(shown: Shown<'_>, lines: &mut Vec<String>, paint: Paint) {
    for fee in shown.fees() {
        let bundle = fee["segments"].get(0).map_or("", |segment| text_of(segment, "bundle_id"));
        lines.push(format!("\nfee     {} for {bundle}", owes(fee, paint)));
    }
    let is_command = shown.levels().is_empty() && shown.suspense.is_empty();
    for told in shown.notifications.iter().filter(|_| is_command) {
        lines.push(format!("  told    {}", notified(told)));
    }
}

/// `r2  4 MB data  meter-2  234-15  2026-03-05T14:05:00Z  usage.csv:3`
fn heading_line(shown: Shown<'_>, record: Option<(&str, &Explanation)>, paint: Paint) -> String {
    let mut parts = vec![paint.bold(record.map_or("quote", |(id, _)| id))];
    let usage = shown.charges.iter().find(|charge| text_of(charge, "kind") == "usage");
    let network = shown.legs.first().and_then(|leg| leg.network.clone());
    if let Some(usage) = usage {
        let quantity = exact(unit_of(usage), integer(usage, "quantity"));
        parts.push(format!("{quantity} {}", text_of(usage, "service")));
        parts.extend(optional(usage, "endpoint_id"));
        parts.extend(network);
        parts.push(text_of(usage, "event_time").to_owned());
    } else {
        parts.extend(network);
    }
    if let Some((_, explanation)) = record.filter(|(_, explanation)| !explanation.input.is_empty()) {
        parts.push(paint.dim(&format!("{}:{}", explanation.input, explanation.place)));
    }
    parts.join("  ")
}

/// A level as it was booked. The candidates of today are left to [`today_lines`] where something else was booked.
fn leg_lines(shown: Shown<'_>, level: u64, differs: bool, paint: Paint, lines: &mut Vec<String>) {
    let (charge, leg) = (shown.usage(level), shown.leg(level));
    let parties = leg.map_or(String::new(), |leg| format!("{} -> {}  ", leg.payer, leg.payee));
    lines.push(match (charge, shown.suspended(level)) {
        (Some(charge), _) => format!("level {level}  {}", owes(charge, paint)),
        (None, Some(waiting)) => format!("level {level}  {parties}{}", waits(waiting, paint)),
        (None, None) => format!("level {level}  {parties}nothing was booked"),
    });
    let payer = charge.map(|charge| text_of(charge, "payer_id")).or(leg.map(|leg| &*leg.payer));
    let of_payer = |told: &&Value| payer == Some(text_of(told, "account_id"));
    let told: Vec<&Value> = shown.notifications.iter().filter(of_payer).collect();
    let candidates = leg.filter(|_| !differs);
    match candidates {
        Some(leg) => zone_line(&leg.rates, lines),
        None => zones_of(charge, lines),
    }
    bundle_lines(candidates.map_or(&[], |leg| &leg.bundles), charge, &told, lines);
    if let Some(charge) = charge {
        charge_lines(charge, lines);
    } else if let Some((tariff, version)) = candidates.and_then(|leg| leg.tariff.as_ref()) {
        lines.push(format!("  tariff  {tariff}@{}", day_of(&version.to_string())));
    }
    for told in told.iter().filter(|told| text_of(told, "kind") != "allowance_threshold") {
        lines.push(format!("  told    {}", notified(told)));
    }
}

/// What today's reference data would give instead.
fn today_lines(difference: &Difference, today: Shown<'_>, level: u64, paint: Paint, lines: &mut Vec<String>) {
    lines.push(difference_line(difference, paint));
    let charge = today.usage(level);
    let mut inner = Vec::new();
    match today.leg(level) {
        Some(leg) => {
            zone_line(&leg.rates, &mut inner);
            bundle_lines(&leg.bundles, charge, &[], &mut inner);
        }
        None => zones_of(charge, &mut inner),
    }
    if let Some(charge) = charge {
        charge_lines(charge, &mut inner);
    }
    // Balances of today follow from all that came before: they say nothing about this record.
    let inner = inner.into_iter().filter(|line| !line.starts_with("  delta"));
    lines.extend(inner.map(|line| format!("        {}", line.trim_start_matches("  "))));
}

/// `  differs today: acme owes beta £0.45, £0.15 more`
fn difference_line(difference: &Difference, paint: Paint) -> String {
    let (booked, today) = (&difference.booked, &difference.today);
    let mut line = format!("  {} {}", paint.warn("differs today:"), side(today));
    let amount = |of: &Side| of.amount.as_deref().and_then(|amount| amount.parse::<Decimal>().ok());
    let both = amount(booked).zip(amount(today)).filter(|_| booked.currency == today.currency);
    match both.and_then(|(booked, today)| today.checked_sub(booked)) {
        Some(more) if more.is_zero() => line.push_str(", made up in another way"),
        Some(more) => {
            let currency = today.currency.as_deref().unwrap_or_default();
            let word = if more.is_sign_negative() { "less" } else { "more" };
            line.push_str(&format!(", {} {word}", money(currency, more.abs())));
        }
        None => line.push_str(&format!("; booked: {}", side(booked))),
    }
    line
}

fn side(side: &Side) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match &side.amount {
        Some(amount) => {
            let amount = money(side.currency.as_deref().unwrap_or_default(), amount.parse().unwrap_or_default());
            format!("{} owes {} {amount}", text(&side.payer), text(&side.payee))
        }
        None => match &side.reason {
            Some(reason) => format!("{} ({reason})", side.outcome),
            None => side.outcome.to_owned(),
        },
    }
}

/// The zones by which a charge was priced, where candidates are not known.
fn zones_of(charge: Option<&Value>, lines: &mut Vec<String>) {
    let zones: BTreeSet<&str> = segments(charge).filter_map(|segment| segment["zone"].as_str()).collect();
    if !zones.is_empty() {
        lines.push(format!("  zone    {}", zones.into_iter().collect::<Vec<_>>().join(", ")));
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
    let Booked { outcome, charges, deltas, suspense, resolved, notifications } = &explanation.booked;
    let of_level = |messages: &[Value]| of_level(messages, level);
    let differences = explanation.differences.iter().filter(|of| is_wanted(of.level.map(u64::from), level));
    let differences = differences.map(|difference| {
        let Difference { level, booked, today } = difference;
        json!({ "level": level, "booked": booked.to_json(), "today": today.to_json() })
    });
    json!({
        "file": explanation.input,
        "line": explanation.place,
        "original": String::from_utf8_lossy(&explanation.original),
        "outcome": outcome.name(),
        "duplicate": *outcome == Outcome::Duplicate,
        "other_reference": explanation.is_other_reference,
        "charges": of_level(charges),
        "deltas": deltas,
        "suspense": of_level(suspense),
        "resolved_suspense": of_level(resolved),
        "notifications": notifications,
        "today": explanation.today.as_ref().ok().map(|today| today_json(today, level)),
        "today_unknown": explanation.today.as_ref().err(),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// What reference data makes of a record, for tools.
pub(crate) fn today_json(today: &Today, level: Option<u8>) -> Value {
    let Today { legs, charges, suspense, notifications, is_duplicate } = today;
    let legs = legs.iter().filter(|leg| is_wanted(Some(leg.level.into()), level)).map(|leg| {
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
    json!({
        "duplicate": is_duplicate,
        "legs": legs.collect::<Vec<_>>(),
        "charges": of_level(charges, level),
        "suspense": of_level(suspense, level),
        "notifications": notifications,
    })
}

fn is_wanted(of: Option<u64>, level: Option<u8>) -> bool {
    level.is_none_or(|level| of.is_none_or(|of| of == u64::from(level)))
}

fn of_level(messages: &[Value], level: Option<u8>) -> Vec<Value> {
    messages.iter().filter(|message| is_wanted(message["level"].as_u64(), level)).cloned().collect()
}
