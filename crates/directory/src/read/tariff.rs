//! Reading of tariffs.

use rating::rate::Scope;
use rating::{Currency, Rounding, RoundingMode, TimeZone, Unit};
use rust_decimal::Decimal;

use super::fields::{Fields, Least, Reader, Thing, enumerate};
use super::{shape, texts, usage_match};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{
    Alias, Band, BandTime, Markup, Master, Pricing, Rate, Reference, Spanned, Tariff, Tier, Version, WrittenMarkup,
};
use crate::value::{self, DaySet, MINUTES_PER_DAY, UnitSystem};
use crate::yaml::{Entry, Node, Value};

pub(super) fn read(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Tariff> {
    let is_alias = match &entry.value.value {
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "alias_of"),
        Value::Scalar(_) | Value::List(_) | Value::Broken => false,
    };
    match is_alias {
        true => alias(reader, thing, entry).map(|alias| Tariff::Alias(Box::new(alias))),
        false => master(reader, thing, entry).map(|master| Tariff::Master(Box::new(master))),
    }
}

/// What `units` of a tariff or bundle says.
pub(super) fn unit_system(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>) -> UnitSystem {
    let word = fields.get("units").and_then(|node| reader.word(fields.thing, "units", node, shape::UNIT_SYSTEMS));
    match word {
        Some(Spanned { value: 1, .. }) => UnitSystem::Binary,
        Some(_) | None => UnitSystem::Decimal,
    }
}

fn master(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Master> {
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::TARIFF)?;
    let units = unit_system(reader, &fields);
    let rounding = fields.get("rounding").and_then(|node| rounding(reader, thing, node)).unwrap_or_default();
    let time_zone =
        reader.optional(&fields, "time_zone", value::parse_zone).map_or_else(TimeZone::utc, |zone| zone.value);
    let codes = fields.get("codes").map(|node| texts(reader, thing, "codes", node)).unwrap_or_default();
    let currency = reader.optional(&fields, "currency", value::parse_currency);
    let mut versions = Vec::new();
    let items = fields.get("versions").and_then(|node| reader.full_list(thing, "versions", node));
    let complete = items.is_some();
    for item in items.unwrap_or_default() {
        versions.extend(version(reader, thing, item, units, currency.map(|currency| currency.value)));
    }
    versions.shrink_to_fit();
    Some(Master { currency: currency?, units, rounding, time_zone, codes, versions }).filter(|_| complete)
}

fn rounding(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<Rounding> {
    let fields = reader.object(thing, node.span, node, &shape::ROUNDING)?;
    let default = Rounding::default();
    let scale = reader.optional(&fields, "scale", value::parse_integer::<u32>);
    let mode = fields.get("mode").and_then(|node| reader.word(thing, "mode", node, shape::ROUNDING_MODES));
    let mode = mode.map_or(default.mode(), |mode| {
        [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Up, RoundingMode::Down][mode.value]
    });
    let Some(scale) = scale else { return Rounding::new(default.scale(), mode) };
    let rounding = Rounding::new(scale.value, mode);
    if rounding.is_none() {
        let message = format!("{thing}: scale: {} is out of range", scale.value);
        reader.report(Diagnostic::new(Code::OutOfRange, scale.span, message).help("scales go from 0 to 10"));
    }
    rounding
}

fn version(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    node: &Node<'_>,
    units: UnitSystem,
    currency: Option<Currency>,
) -> Option<Version> {
    let fields = reader.object(thing, node.span, node, &shape::VERSION)?;
    let from = reader.optional(&fields, "from", value::parse_time);
    let cap = reader.amount(&fields, "cap", currency);
    let (mut rates, mut loose_zones) = (Vec::new(), Vec::new());
    let items = fields.get("rates").and_then(|node| reader.full_list(thing, "rates", node)).unwrap_or_default();
    for item in items {
        match rate(reader, thing, item, units, currency) {
            Ok(rate) => rates.push(rate),
            Err(zone) => loose_zones.extend(zone),
        }
    }
    rates.shrink_to_fit();
    Some(Version { span: node.span, from: from?, cap, rates, loose_zones })
}

/// A rate. If anything about it is wrong, only the zone that it names, because half a rate would only cause errors that are none.
fn rate(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    node: &Node<'_>,
    units: UnitSystem,
    currency: Option<Currency>,
) -> Result<Rate, Option<Reference>> {
    let before = reader.flaws;
    let fields = reader.object(thing, node.span, node, &shape::RATE).ok_or(None)?;
    let applies = usage_match(reader, &fields);
    let mut measured = Vec::new();
    let pricing = pricing(reader, &fields, units, currency, &mut measured);
    let increment = reader.quantity(&fields, "increment", Least::One, units, &mut measured);
    let minimum = reader.quantity(&fields, "minimum", Least::Zero, units, &mut measured);
    let free = reader.quantity(&fields, "free", Least::Zero, units, &mut measured);
    let connect = reader.money(&fields, "connect", currency);
    let per = fields.get("per").and_then(|node| reader.word(thing, "per", node, shape::SCOPES));
    if let Some(pricing) = &pricing {
        refuse_useless_keys(reader, &fields, pricing);
    }
    let (service, zone, keys) = applies.ok_or(None)?;
    let Some(pricing) = pricing.filter(|_| reader.flaws == before) else { return Err(zone) };
    let per = match (per, &pricing) {
        (Some(per), _) => [Scope::Record, Scope::Session, Scope::Month][per.value],
        (None, Pricing::Tiers(_)) => Scope::Month,
        (None, Pricing::Price(_) | Pricing::Bands(_) | Pricing::Package { .. } | Pricing::Blocked) => Scope::Record,
    };
    measured.shrink_to_fit();
    Ok(Rate {
        span: node.span,
        service,
        zone,
        keys,
        pricing,
        increment: increment.map_or(1, |increment| increment.value),
        minimum: minimum.map_or(0, |minimum| minimum.value),
        per,
        free: free.map_or(0, |free| free.value),
        connect: connect.unwrap_or_default(),
        measured,
    })
}

const WAYS_TO_PRICE: [&str; 5] = ["price", "tiers", "bands", "package", "blocked"];

/// The one way in which a rate prices.
fn pricing(
    reader: &mut Reader<'_>,
    fields: &Fields<'_, '_, '_>,
    units: UnitSystem,
    currency: Option<Currency>,
    measured: &mut Vec<Spanned<Unit>>,
) -> Option<Pricing> {
    let thing = fields.thing;
    let blocked = reader.flag(fields, "blocked");
    let says_unblocked = matches!(blocked, Some(Spanned { value: false, .. }));
    let given: Vec<_> = WAYS_TO_PRICE
        .iter()
        .filter(|key| **key != "blocked" || !says_unblocked)
        .filter_map(|key| fields.entry(key))
        .collect();
    let entry = match given[..] {
        [one] => one,
        [] => {
            let message = format!("{thing}: a rate has no price");
            reader.report(
                Diagnostic::new(Code::KeysExclude, fields.span, message)
                    .help(format!("give it {}", enumerate(&WAYS_TO_PRICE))),
            );
            return None;
        }
        [first, second, ..] => {
            let message = format!("{thing}: \"{}\" and \"{}\" do not go together in one rate", first.key, second.key);
            reader.report(
                Diagnostic::new(Code::KeysExclude, second.key_span, message)
                    .label("a second way to price")
                    .related(first.key_span, "the first"),
            );
            return None;
        }
    };
    let node = &entry.value;
    match &*entry.key {
        "price" => reader.price(thing, node, units, measured).map(Pricing::Price),
        "tiers" => {
            let items = reader.full_list(thing, "tiers", node)?;
            let tiers: Vec<Tier> =
                items.iter().filter_map(|item| tier(reader, thing, item, units, currency, measured)).collect();
            (tiers.len() == items.len()).then_some(Pricing::Tiers(tiers))
        }
        "bands" => {
            let items = reader.full_list(thing, "bands", node)?;
            if items.len() > MAX_BANDS {
                let message = format!("{thing}: a rate has {} bands", items.len());
                reader.report(
                    Diagnostic::new(Code::OutOfRange, node.span, message)
                        .help(format!("at most {MAX_BANDS} are possible")),
                );
                return None;
            }
            let bands: Vec<Band> =
                items.iter().filter_map(|item| band(reader, thing, item, units, currency, measured)).collect();
            (bands.len() == items.len()).then_some(Pricing::Bands(bands))
        }
        "package" => {
            let fields = reader.object(thing, node.span, node, &shape::PACKAGE)?;
            let size = reader.quantity(&fields, "size", Least::One, units, measured);
            let price = reader.money(&fields, "price", currency);
            Some(Pricing::Package { size: size?.value, price: price? })
        }
        _ => blocked.map(|_| Pricing::Blocked),
    }
}

/// Bands of one rate; more than every hour of a week has no meaning, and positions are kept in a byte.
const MAX_BANDS: usize = 168;

/// Keys that would change nothing are refused: whoever wrote them expects something of them.
fn refuse_useless_keys(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>, pricing: &Pricing) {
    let (useless, why): (&[&str], &str) = match pricing {
        Pricing::Price(_) | Pricing::Tiers(_) | Pricing::Package { .. } => (&[], ""),
        Pricing::Bands(_) => (&["connect"], "each band carries its own"),
        Pricing::Blocked => (&["increment", "minimum", "per", "free", "connect"], "a blocked rate bills nothing"),
    };
    for entry in useless.iter().filter_map(|key| fields.entry(key)) {
        let way = if matches!(pricing, Pricing::Blocked) { "blocked" } else { "bands" };
        let message = format!("{}: \"{}\" and \"{way}\" do not go together in one rate", fields.thing, entry.key);
        reader.report(Diagnostic::new(Code::KeysExclude, entry.key_span, message).label(why));
    }
}

fn tier(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    node: &Node<'_>,
    units: UnitSystem,
    currency: Option<Currency>,
    measured: &mut Vec<Spanned<Unit>>,
) -> Option<Tier> {
    let before = reader.flaws;
    let fields = reader.object(thing, node.span, node, &shape::TIER)?;
    let up_to = reader.quantity(&fields, "up_to", Least::One, units, measured);
    let flat = reader.money(&fields, "flat", currency).unwrap_or_default();
    let price = fields.get("price").and_then(|node| reader.price(thing, node, units, measured));
    Some(Tier { span: node.span, up_to, price: price?, flat }).filter(|_| reader.flaws == before)
}

fn band(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    node: &Node<'_>,
    units: UnitSystem,
    currency: Option<Currency>,
    measured: &mut Vec<Spanned<Unit>>,
) -> Option<Band> {
    let before = reader.flaws;
    let fields = reader.object(thing, node.span, node, &shape::BAND)?;
    let days = reader.optional(&fields, "days", value::parse_days);
    let hours = reader.optional(&fields, "hours", value::parse_hours);
    let otherwise = matches!(reader.flag(&fields, "otherwise"), Some(Spanned { value: true, .. }));
    if let Some(span) =
        days.as_ref().map(|days| days.span).or(hours.as_ref().map(|hours| hours.span)).filter(|_| otherwise)
    {
        let message = format!("{thing}: \"otherwise\" goes together with neither \"days\" nor \"hours\"");
        reader.report(Diagnostic::new(Code::KeysExclude, span, message));
    }
    let time = match otherwise {
        true => BandTime::Otherwise,
        false => BandTime::At(
            days.map_or(DaySet::ALL, |days| days.value),
            hours.map_or(0..MINUTES_PER_DAY, |hours| hours.value),
        ),
    };
    let connect = reader.money(&fields, "connect", currency).unwrap_or(Decimal::ZERO);
    let price = fields.get("price").and_then(|node| reader.price(thing, node, units, measured));
    Some(Band { span: node.span, time, connect, price: price? }).filter(|_| reader.flaws == before)
}

fn alias(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Alias> {
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::ALIAS)?;
    let of = fields.get("alias_of").and_then(|node| reader.name(thing, "alias_of", node));
    let mut markups = Vec::new();
    match fields.get("markup") {
        None => {}
        Some(Node { value: Value::List(items), .. }) => {
            for item in items {
                markups.extend(dated_markup(reader, thing, item));
            }
        }
        Some(node) => {
            if let Some(entries) = reader.map(thing, "markup", node) {
                markups.push(Markup { from: None, prices: markup_prices(reader, thing, entries) });
            }
        }
    }
    Some(Alias { of: of?, markups })
}

fn dated_markup(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<Markup> {
    let Value::Map(entries) = &node.value else {
        reader.wrong_kind(thing, "markup", node, "a map");
        return None;
    };
    reader.require(thing, node.span, &shape::MARKUP, entries, &[]);
    let from = entries.iter().find(|entry| entry.key == "from");
    let from = from.and_then(|entry| reader.value(thing, "from", &entry.value, value::parse_time));
    let prices = markup_prices(reader, thing, entries);
    Some(Markup { from: Some(from?), prices })
}

fn markup_prices(reader: &mut Reader<'_>, thing: Thing<'_>, entries: &[Entry<'_>]) -> Vec<WrittenMarkup> {
    let mut prices = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key != "from") {
        if !value::is_name(&entry.key) {
            reader.value_error(thing, "markup", entry.key_span, super::bad_name(&entry.key));
            continue;
        }
        if let Some(price) = reader.value(thing, "markup", &entry.value, value::parse_price) {
            prices.push(WrittenMarkup {
                service: Spanned { value: Box::from(&*entry.key), span: entry.key_span },
                price,
            });
        }
    }
    prices
}
