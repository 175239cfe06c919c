//! Tariffs, aliases and bundles as written, and which rate of a tariff applies to a record.
//!
//! Owns rules 5, 9 and 14 as far as they pick a rate; what the rate costs is in `price`.

use super::reference::{Reference, ZoneFit, text_entries};
use super::values::{self, Length, Mode, Units};
use super::yaml::Node;
use jiff::tz::TimeZone;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

/// What of a record rates and allowances may be keyed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) service: String,
    pub(super) mcc: Option<String>,
    pub(super) mnc: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) rating_group: Option<String>,
    pub(super) apn: Option<String>,
    pub(super) rat: Option<String>,
    pub(super) direction: Option<String>,
    pub(super) sponsor: Option<String>,
}

/// What a rate or an element asks of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    service: String,
    zone: Option<String>,
    /// In the order of [`FURTHER_KEYS`].
    further: [Option<String>; 5],
}

const FURTHER_KEYS: [&str; 5] = ["rating_group", "apn", "rat", "direction", "sponsor"];

/// How specific a match is, least first: number of keys given, then the zone (rule 9).
pub(super) type Fit = (usize, ZoneFit);

impl Matcher {
    fn read(node: &Node) -> Result<Self, String> {
        Ok(Self {
            service: node.text("service").ok_or("no service")?.to_owned(),
            zone: node.text("zone").filter(|zone| *zone != "root").map(str::to_owned),
            further: FURTHER_KEYS.map(|key| node.text(key).map(str::to_owned)),
        })
    }

    /// The name of the zone that it asks for.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.as_deref().unwrap_or("root")
    }

    /// How specifically this matches; nothing if it does not.
    pub(super) fn fit(&self, reference: &Reference, keys: &Keys) -> Option<Fit> {
        let given = [&keys.rating_group, &keys.apn, &keys.rat, &keys.direction, &keys.sponsor];
        let fits = |(wanted, given): (&Option<String>, &Option<String>)| wanted.is_none() || wanted == given;
        if self.service != keys.service || !self.further.iter().zip(given).all(fits) {
            return None;
        }
        let zone = reference.zone_fit(self.zone.as_deref(), keys)?;
        Some((self.further.iter().flatten().count(), zone))
    }
}

pub(super) enum Tariff {
    Master(Master),
    Alias { name: String, of: String, markups: Vec<(i64, Vec<(String, String)>)> },
}

pub(super) struct Master {
    name: String,
    units: Units,
    scale: u32,
    mode: Mode,
    zone: TimeZone,
    codes: Vec<(String, String)>,
    versions: Vec<Version>,
}

#[derive(Clone)]
struct Version {
    from: i64,
    cap: Option<BigRational>,
    rates: Vec<Rate>,
}

#[derive(Clone)]
pub(super) struct Rate {
    pub(super) matcher: Matcher,
    pub(super) pricing: Pricing,
    pub(super) increment: BigInt,
    pub(super) minimum: BigInt,
    pub(super) free: BigInt,
    pub(super) connect: BigRational,
    pub(super) per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Record,
    Session,
    Month,
}

#[derive(Clone)]
pub(super) enum Pricing {
    Blocked,
    Unit(BigRational),
    /// Graduated.
    Tiers(Vec<Tier>),
    Package {
        size: BigInt,
        price: BigRational,
    },
    Bands(Vec<Band>),
}

#[derive(Clone)]
pub(super) struct Tier {
    pub(super) up_to: Option<BigInt>,
    pub(super) price: BigRational,
    pub(super) flat: BigRational,
}

#[derive(Clone)]
pub(super) struct Band {
    /// The rest of the week, which the other bands leave.
    pub(super) otherwise: bool,
    /// From Monday.
    pub(super) days: [bool; 7],
    /// Seconds of the day, half-open.
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) connect: BigRational,
    pub(super) price: BigRational,
}

/// A tariff as of one moment, mark-ups added.
pub(super) struct Effective {
    /// Every effective date that made it: one for the master's version and one for each mark-up in force.
    pub(super) version: Vec<i64>,
    pub(super) cap: Option<BigRational>,
    pub(super) scale: u32,
    pub(super) mode: Mode,
    pub(super) zone: TimeZone,
    pub(super) codes: Vec<(String, String)>,
    rates: Vec<Rate>,
}

impl Tariff {
    pub(super) fn name(&self) -> &str {
        match self {
            Tariff::Master(master) => &master.name,
            Tariff::Alias { name, .. } => name,
        }
    }
}

impl Effective {
    /// The version of tariff `name` in force at `moment`; nothing if there is none.
    pub(super) fn at(reference: &Reference, name: &str, moment: i64) -> Result<Option<Self>, String> {
        match reference.tariff(name).ok_or_else(|| format!("no tariff {name:?}"))? {
            Tariff::Master(master) => {
                Ok(master.versions.iter().rfind(|version| version.from <= moment).map(|version| Self {
                    version: vec![version.from],
                    cap: version.cap.clone(),
                    scale: master.scale,
                    mode: master.mode,
                    zone: master.zone.clone(),
                    codes: master.codes.clone(),
                    rates: version.rates.clone(),
                }))
            }
            Tariff::Alias { of, markups, .. } => {
                let Some(mut effective) = Self::at(reference, of, moment)? else {
                    return Ok(None);
                };
                if let Some((from, services)) = markups.iter().rfind(|(from, _)| *from <= moment) {
                    effective.version.push(*from);
                    let units = master_units(reference, of)?;
                    for (service, markup) in services {
                        let markup = values::price(markup, units)?;
                        let concerned = effective.rates.iter_mut().filter(|rate| rate.matcher.service == *service);
                        concerned.for_each(|rate| rate.mark_up(&markup));
                    }
                }
                Ok(Some(effective))
            }
        }
    }

    /// Whether some rate of tariff `name` has a connect fee, in any of its versions.
    pub(super) fn ever_connects(reference: &Reference, name: &str) -> bool {
        match reference.tariff(name) {
            None => false,
            Some(Tariff::Alias { of, .. }) => Self::ever_connects(reference, of),
            Some(Tariff::Master(master)) => {
                master.versions.iter().flat_map(|version| &version.rates).any(Rate::has_connect)
            }
        }
    }

    /// The most specific rate that matches `keys`.
    pub(super) fn rate(&self, reference: &Reference, keys: &Keys) -> Option<&Rate> {
        let mut best: Option<(Fit, &Rate)> = None;
        for rate in &self.rates {
            if let Some(fit) = rate.matcher.fit(reference, keys)
                && best.is_none_or(|(known, _)| fit > known)
            {
                best = Some((fit, rate));
            }
        }
        best.map(|(_, rate)| rate)
    }
}

/// The meaning of KB and MB in the master at the end of the chain of aliases that starts at `name`.
fn master_units(reference: &Reference, name: &str) -> Result<Units, String> {
    match reference.tariff(name).ok_or_else(|| format!("no tariff {name:?}"))? {
        Tariff::Master(master) => Ok(master.units),
        Tariff::Alias { of, .. } => master_units(reference, of),
    }
}

impl Rate {
    fn has_connect(&self) -> bool {
        match &self.pricing {
            Pricing::Bands(bands) => bands.iter().any(|band| !band.connect.is_zero()),
            Pricing::Blocked => false,
            Pricing::Unit(_) | Pricing::Tiers(_) | Pricing::Package { .. } => !self.connect.is_zero(),
        }
    }

    /// Adds to unit prices only: plain, tier and band prices (rule 14, detail j).
    fn mark_up(&mut self, markup: &BigRational) {
        match &mut self.pricing {
            Pricing::Blocked | Pricing::Package { .. } => {}
            Pricing::Unit(price) => *price += markup,
            Pricing::Tiers(tiers) => tiers.iter_mut().for_each(|tier| tier.price += markup),
            Pricing::Bands(bands) => bands.iter_mut().for_each(|band| band.price += markup),
        }
    }
}

pub(super) fn read_tariff(name: &str, node: &Node) -> Result<Tariff, String> {
    if let Some(of) = node.text("alias_of") {
        let dated = node.list("markup");
        let markups = if dated.is_empty() {
            vec![(i64::MIN, read_markup(node.entries("markup")))]
        } else {
            let read = |node: &Node| match node {
                Node::Map(entries) => Ok((values::time(node.text("from").unwrap_or_default())?, read_markup(entries))),
                Node::Null | Node::Text(_) | Node::List(_) => Err("a mark-up that is no map".to_owned()),
            };
            dated.iter().map(read).collect::<Result<_, String>>()?
        };
        return Ok(Tariff::Alias { name: name.to_owned(), of: of.to_owned(), markups });
    }
    let units = Units::read(node.text("units"))?;
    let rounding = node.get("rounding");
    let scale = rounding.and_then(|rounding| rounding.text("scale")).unwrap_or("6");
    let versions = node.list("versions").iter().map(|version| read_version(version, units));
    Ok(Tariff::Master(Master {
        name: name.to_owned(),
        units,
        scale: scale.parse().map_err(|_| format!("scale {scale:?}"))?,
        mode: Mode::read(rounding.and_then(|rounding| rounding.text("mode")))?,
        zone: values::zone(node.text("time_zone"))?,
        codes: text_entries(node, "codes"),
        versions: versions.collect::<Result<_, String>>()?,
    }))
}

fn read_markup(entries: &[(String, Node)]) -> Vec<(String, String)> {
    let services = entries.iter().filter(|(service, _)| service != "from");
    services.filter_map(|(service, price)| Some((service.clone(), price.as_text()?.to_owned()))).collect()
}

fn read_version(node: &Node, units: Units) -> Result<Version, String> {
    Ok(Version {
        from: values::time(node.text("from").unwrap_or_default())?,
        cap: node.text("cap").map(|text| values::money(text).map(|(cap, _)| cap)).transpose()?,
        rates: node.list("rates").iter().map(|rate| read_rate(rate, units)).collect::<Result<_, String>>()?,
    })
}

fn read_rate(node: &Node, units: Units) -> Result<Rate, String> {
    let quantity = |key: &str, default: &str| values::quantity(node.text(key).unwrap_or(default), units);
    let pricing = if node.text("blocked") == Some("true") {
        Pricing::Blocked
    } else if let Some(price) = node.text("price") {
        Pricing::Unit(values::price(price, units)?)
    } else if let Some(package) = node.get("package") {
        let price = values::money(package.text("price").unwrap_or_default())?.0;
        Pricing::Package { size: values::quantity(package.text("size").unwrap_or_default(), units)?, price }
    } else if node.get("bands").is_some() {
        Pricing::Bands(node.list("bands").iter().map(|band| read_band(band, units)).collect::<Result<_, String>>()?)
    } else {
        Pricing::Tiers(node.list("tiers").iter().map(|tier| read_tier(tier, units)).collect::<Result<_, String>>()?)
    };
    let per = match (node.text("per"), &pricing) {
        (Some("record"), _) => Per::Record,
        (Some("session"), _) => Per::Session,
        (Some("month"), _) | (None, Pricing::Tiers(_)) => Per::Month,
        (None, _) => Per::Record,
        (Some(other), _) => return Err(format!("per {other:?}")),
    };
    Ok(Rate {
        matcher: Matcher::read(node)?,
        pricing,
        increment: quantity("increment", "1")?,
        minimum: quantity("minimum", "0")?,
        free: quantity("free", "0")?,
        connect: optional_money(node, "connect")?,
        per,
    })
}

fn optional_money(node: &Node, key: &str) -> Result<BigRational, String> {
    node.text(key).map_or(Ok(BigRational::zero()), |text| values::money(text).map(|(amount, _)| amount))
}

fn read_tier(node: &Node, units: Units) -> Result<Tier, String> {
    Ok(Tier {
        up_to: node.text("up_to").map(|text| values::quantity(text, units)).transpose()?,
        price: values::price(node.text("price").unwrap_or_default(), units)?,
        flat: optional_money(node, "flat")?,
    })
}

fn read_band(node: &Node, units: Units) -> Result<Band, String> {
    let (start, end) = match node.text("hours") {
        None => (0, 86_400),
        Some(hours) => {
            let (start, end) = hours.split_once('-').ok_or_else(|| format!("hours {hours:?}"))?;
            (second_of_day(start)?, second_of_day(end)?)
        }
    };
    Ok(Band {
        otherwise: node.text("otherwise") == Some("true"),
        days: node.text("days").map_or(Ok([true; 7]), read_days)?,
        start,
        end,
        connect: optional_money(node, "connect")?,
        price: values::price(node.text("price").unwrap_or_default(), units)?,
    })
}

fn second_of_day(text: &str) -> Result<i64, String> {
    let parse = |part: &str| part.parse::<i64>().map_err(|_| format!("time of day {text:?}"));
    let (hour, minute) = text.split_once(':').ok_or_else(|| format!("time of day {text:?}"))?;
    Ok(parse(hour)? * 3600 + parse(minute)? * 60)
}

fn read_days(text: &str) -> Result<[bool; 7], String> {
    let number = |name: &str| {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        names.iter().position(|known| *known == name.trim()).ok_or_else(|| format!("day {name:?}"))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Ok(days)
}

/// The template of a bundle.
#[derive(Clone)]
pub(super) struct Bundle {
    pub(super) name: String,
    pub(super) fee: Option<BigRational>,
    pub(super) currency: Option<String>,
    pub(super) starts: Starts,
    pub(super) lasts: Option<Length>,
    pub(super) for_one_endpoint: bool,
    pub(super) promotional: bool,
    /// Percent used of an allowance that its owner is told of.
    pub(super) warn_at: Vec<u32>,
    pub(super) elements: Vec<Element>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starts {
    Date,
    FirstUse,
    Activation,
}

#[derive(Clone)]
pub(super) struct Element {
    pub(super) matcher: Matcher,
    pub(super) priority: i64,
    /// Nothing: unlimited.
    pub(super) amount: Option<BigInt>,
    pub(super) fair_use: bool,
}

pub(super) fn read_bundle(name: &str, node: &Node) -> Result<Bundle, String> {
    let units = Units::read(node.text("units"))?;
    let price = node.text("price").map(values::money).transpose()?;
    let (fee, price_currency) = price.map_or((None, None), |(fee, currency)| (Some(fee), currency));
    let starts = match node.text("starts") {
        None | Some("date") => Starts::Date,
        Some("first_use") => Starts::FirstUse,
        Some("activation") => Starts::Activation,
        Some(other) => return Err(format!("starts {other:?}")),
    };
    Ok(Bundle {
        name: name.to_owned(),
        fee,
        currency: node.text("currency").map(str::to_owned).or(price_currency),
        starts,
        lasts: node.text("lasts").map(Length::read).transpose()?,
        for_one_endpoint: node.text("scope") == Some("endpoint"),
        promotional: node.text("promotional") == Some("true"),
        warn_at: if node.get("warn_at").is_some() {
            node.list("warn_at").iter().map(read_percent).collect::<Result<_, String>>()?
        } else {
            vec![100]
        },
        elements: node
            .list("elements")
            .iter()
            .map(|element| read_element(element, units))
            .collect::<Result<_, String>>()?,
    })
}

fn read_percent(node: &Node) -> Result<u32, String> {
    let text = node.as_text().unwrap_or_default();
    text.trim_end_matches('%').trim().parse().map_err(|_| format!("percent {text:?}"))
}

fn read_element(node: &Node, units: Units) -> Result<Element, String> {
    let priority = node.text("priority").unwrap_or("1");
    let amount = match node.text("amount") {
        Some("unlimited") => None,
        Some(text) => Some(values::quantity(text, units)?),
        None => return Err("an element without amount".to_owned()),
    };
    Ok(Element {
        matcher: Matcher::read(node)?,
        priority: priority.parse().map_err(|_| format!("priority {priority:?}"))?,
        amount,
        fair_use: node.text("fair_use") == Some("true"),
    })
}
