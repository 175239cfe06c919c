//! Random bundles: several elements, fair use, all starts, scopes, lengths and thresholds.

use super::tariffs::CURRENCIES;
use super::{Edition, push_field};
use crate::generator::random::Random;
use jiff::{Span, ToSpan};
use std::fmt::Write as _;

/// What bundles cost.
pub(super) const FEES: [&str; 4] = ["5.00", "0.50", "12.3456", "1.00"];

pub(super) struct Bundle {
    pub(super) name: String,
    pub(super) currency: &'static str,
    pub(super) for_one_endpoint: bool,
    /// How long it lasts, if it ends and starts at a date.
    pub(super) lasts: Option<Span>,
    /// A grant must say when it starts.
    pub(super) needs_date: bool,
    head: String,
    /// The second edition's may differ: what was bought before keeps its copy.
    elements: [Vec<String>; 2],
}

impl Bundle {
    pub(super) fn write(&self, edition: Edition, text: &mut String) {
        let elements = match edition {
            Edition::First => &self.elements[0],
            Edition::Second => &self.elements[1],
        };
        let _ = writeln!(text, "  {}:\n{}    elements:", self.name, self.head);
        for element in elements {
            let _ = writeln!(text, "      - {element}");
        }
    }
}

pub(super) fn random_bundles(random: &mut Random) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    for currency in CURRENCIES {
        for number in 0..random.between(5, 9) {
            bundles.push(bundle(format!("{}-bundle-{number}", currency.to_lowercase()), currency, random));
        }
    }
    bundles
}

fn bundle(name: String, currency: &'static str, random: &mut Random) -> Bundle {
    let mut head = String::new();
    let _ = match random.below(2) {
        0 => writeln!(head, "    currency: {currency}"),
        _ => writeln!(head, "    price: {} {currency}", random.pick(&FEES)),
    };
    let starts = *random.pick(&["date", "first_use", "first_use", "activation"]);
    let lasts = *random.pick(&["", "", "", "1 month", "30 days", "36 hours", "2 weeks", "10 days", "1 year"]);
    let for_one_endpoint = random.chance(350);
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(head, "    {key}: {value}");
    };
    line("starts", starts);
    if !lasts.is_empty() {
        line("lasts", lasts);
    }
    if for_one_endpoint {
        line("scope", "endpoint");
    }
    if random.chance(300) {
        line("promotional", "true");
    }
    if random.chance(200) {
        line("units", "binary");
    }
    match random.below(4) {
        0 => line("warn_at", "[80 %, 100 %]"),
        1 => line("warn_at", "[50 %]"),
        2 => line("warn_at", "[25 %, 50 %, 75 %, 90 %, 100 %]"),
        _ => {}
    }
    // Most of its elements compete for the same use.
    let service = random.below(10);
    let first: Vec<String> = (0..random.between(1, 5)).map(|_| element(service, random)).collect();
    let second = if random.chance(300) { vec![element(service, random)] } else { first.clone() };
    let needs_date = starts == "date" && !lasts.is_empty();
    let lasts = needs_date.then(|| span(lasts));
    Bundle { lasts, name, currency, for_one_endpoint, needs_date, head, elements: [first, second] }
}

/// A length such as `2 weeks`.
fn span(text: &str) -> Span {
    let (count, unit) = text.split_once(' ').unwrap_or((text, ""));
    let count: i64 = count.parse().unwrap_or(0);
    match unit.trim_end_matches('s') {
        "hour" => count.hours(),
        "day" => count.days(),
        "week" => count.weeks(),
        "month" => count.months(),
        _ => count.years(),
    }
}

fn element(usual: u64, random: &mut Random) -> String {
    let (service, amounts): (&str, &[&str]) = match if random.chance(800) { usual } else { random.below(10) } {
        0..5 => ("data", &["100 KB", "250 KB", "100 KB", "1 MB", "5 MB", "20 MB", "1 GB", "2.5 MB"]),
        5..8 => ("voice", &["5 min", "100 s", "10 h"]),
        8 => ("sms", &["10 messages", "100 messages"]),
        _ => ("sensor-event", &["20 units", "100"]),
    };
    let mut text = format!("{{ service: {service}");
    let mut maybe = |random: &mut Random, per_mille, key: &str, values: &[&str]| {
        let value = *random.pick(values);
        push_field(&mut text, key, random.chance(per_mille).then_some(value));
    };
    maybe(random, 500, "priority", &["1", "2", "3"]);
    match service {
        "voice" | "sms" => maybe(random, 600, "zone", &["uk", "uk-mobile", "calls-44", "calls-1-33"]),
        _ => maybe(random, 400, "zone", &["uk", "uk", "uk-net15", "preferred", "fr", "mixture"]),
    }
    maybe(random, 80, "rating_group", &["1", "2"]);
    maybe(random, 60, "apn", &["iot.example", "corp.example"]);
    maybe(random, 40, "rat", &["lte", "nb-iot"]);
    maybe(random, 40, "direction", &["outgoing"]);
    maybe(random, 40, "sponsor", &["orange"]);
    if random.chance(150) {
        let amount = if random.chance(700) { "unlimited" } else { *random.pick(amounts) };
        let _ = write!(text, ", amount: {amount}, fair_use: true }}");
    } else {
        let amount = if random.chance(30) { "unlimited" } else { *random.pick(amounts) };
        let _ = write!(text, ", amount: {amount} }}");
    }
    text
}
