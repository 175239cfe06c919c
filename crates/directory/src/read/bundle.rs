//! Reading of bundles and of grants.

use rating::{BundleScope, Starts};

use super::fields::{Fields, Least, Reader, Thing};
use super::tariff::unit_system;
use super::{shape, usage_match};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Bundle, Element, Grant};
use crate::value::{self, UnitSystem};
use crate::yaml::{Entry, Node, Value};

/// Thresholds of one bundle: what has notified is kept in the bits of a byte.
const MAX_THRESHOLDS: usize = 8;

pub(super) fn read(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Bundle> {
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::BUNDLE)?;
    let before = reader.flaws;
    let currency = currency(reader, &fields, entry);
    let price = reader.amount(&fields, "price", None);
    let lasts = reader.optional(&fields, "lasts", value::parse_length);
    let starts = fields.get("starts").and_then(|node| reader.word(thing, "starts", node, shape::STARTS));
    let scope = fields.get("scope").and_then(|node| reader.word(thing, "scope", node, shape::BUNDLE_SCOPES));
    let promotional = reader.flag(&fields, "promotional");
    let warn_at = fields.get("warn_at").map_or_else(|| vec![100], |node| warn_at(reader, thing, node));
    let units = unit_system(reader, &fields);
    let mut elements = Vec::new();
    let items = fields.get("elements").and_then(|node| reader.full_list(thing, "elements", node)).unwrap_or_default();
    for item in items {
        elements.extend(element(reader, thing, item, units));
    }
    if reader.flaws != before && elements.is_empty() {
        return None;
    }
    elements.shrink_to_fit();
    Some(Bundle {
        currency: currency?,
        price,
        starts: starts.map_or(Starts::Date, |word| [Starts::Date, Starts::FirstUse, Starts::Activation][word.value]),
        lasts: lasts.map(|lasts| lasts.value),
        scope: scope.map_or(BundleScope::Customer, |word| [BundleScope::Customer, BundleScope::Endpoint][word.value]),
        promotional: promotional.is_some_and(|promotional| promotional.value),
        warn_at,
        elements,
    })
}

/// The currency of the price or of the key `currency`, which have to agree.
fn currency(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>, entry: &Entry<'_>) -> Option<rating::Currency> {
    let thing = fields.thing;
    let explicit = reader.optional(fields, "currency", value::parse_currency);
    if fields.get("currency").is_some() && explicit.is_none() {
        return None;
    }
    // Errors of the price itself are reported where it is read as money.
    let price = fields.get("price").and_then(|node| match &node.value {
        Value::Scalar(scalar) => Some((node.span, value::parse_money(&scalar.text).ok()?.currency)),
        Value::List(_) | Value::Map(_) | Value::Broken => None,
    });
    match (explicit, price) {
        (Some(explicit), Some((span, Some(currency)))) if currency != explicit.value => {
            let message = format!("{thing}: the price is in {currency}, but the bundle is in {}", explicit.value);
            reader.report(
                Diagnostic::new(Code::BundleCurrency, span, message).related(explicit.span, "the bundle's currency"),
            );
            None
        }
        (Some(explicit), _) => Some(explicit.value),
        (None, Some((_, Some(currency)))) => Some(currency),
        (None, Some((span, None))) => {
            let message = format!("{thing}: the price does not say its currency");
            reader.report(Diagnostic::new(Code::BundleCurrency, span, message).help("write it like `5.00 GBP`"));
            None
        }
        (None, None) => {
            if fields.get("price").is_none() {
                let message = format!("{thing}: neither \"price\" nor \"currency\" says the currency");
                reader.report(Diagnostic::new(Code::BundleCurrency, entry.key_span, message).label("needs `currency`"));
            }
            None
        }
    }
}

fn warn_at(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Vec<u8> {
    let mut all: Vec<u8> = Vec::new();
    for item in reader.list(thing, "warn_at", node).unwrap_or_default() {
        let Some(percent) = reader.value(thing, "warn_at", item, value::parse_percent) else { continue };
        if all.contains(&percent.value) {
            let message = format!("{thing}: warn_at: {} % is listed twice", percent.value);
            reader.report(Diagnostic::new(Code::ListedTwice, percent.span, message));
            continue;
        }
        all.push(percent.value);
    }
    if all.len() > MAX_THRESHOLDS {
        let message = format!("{thing}: warn_at: there are {} thresholds", all.len());
        reader.report(
            Diagnostic::new(Code::OutOfRange, node.span, message)
                .help(format!("at most {MAX_THRESHOLDS} are possible")),
        );
    }
    all.sort_unstable();
    all
}

fn element(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>, units: UnitSystem) -> Option<Element> {
    let before = reader.flaws;
    let fields = reader.object(thing, node.span, node, &shape::ELEMENT)?;
    let applies = usage_match(reader, &fields);
    let priority = reader.optional(&fields, "priority", value::parse_integer::<u32>);
    let fair_use = reader.flag(&fields, "fair_use");
    let mut measured = Vec::new();
    let unlimited =
        matches!(fields.get("amount"), Some(Node { value: Value::Scalar(scalar), .. }) if scalar.text == "unlimited");
    let amount = if unlimited { None } else { reader.quantity(&fields, "amount", Least::One, units, &mut measured) };
    if reader.flaws != before {
        return None;
    }
    measured.shrink_to_fit();
    let (service, zone, keys) = applies?;
    Some(Element {
        span: node.span,
        priority: priority.map_or(1, |priority| priority.value),
        service,
        zone,
        keys,
        amount: amount.map(|amount| amount.value),
        fair_use: fair_use.is_some_and(|fair_use| fair_use.value),
        measured,
    })
}

/// Grants of an account or a plan: names, or maps with more about them.
pub(super) fn grants(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>) -> Vec<Grant> {
    let thing = fields.thing;
    let Some(items) = fields.get("bundles").and_then(|node| reader.list(thing, "bundles", node)) else {
        return Vec::new();
    };
    items.iter().filter_map(|item| grant(reader, thing, item)).collect()
}

fn grant(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<Grant> {
    if matches!(node.value, Value::Scalar(_)) {
        let bundle = reader.name(thing, "bundles", node)?;
        return Some(Grant { span: node.span, bundle, at: None, endpoint: None });
    }
    let before = reader.flaws;
    let fields = reader.object(thing, node.span, node, &shape::GRANT)?;
    let bundle = fields.get("bundle").and_then(|node| reader.name(thing, "bundle", node));
    let at = reader.optional(&fields, "at", value::parse_time);
    let endpoint = fields.get("endpoint").and_then(|node| reader.name(thing, "endpoint", node));
    Some(Grant { span: node.span, bundle: bundle?, at, endpoint }).filter(|_| reader.flaws == before)
}
