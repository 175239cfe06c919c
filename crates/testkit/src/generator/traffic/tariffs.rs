//! Random tariffs: every kind of price, scope and key, several versions, aliases.
//!
//! Owns that no two rates of a version overlap with equal specificity: the zones of one grade share no network and no prefix, and the further keys
//! of a service are nested.

use super::{Edition, START_MS, moment, push_field};
use crate::generator::random::Random;
use crate::generator::record::time_text;
use std::fmt::Write as _;

/// Zones of one grade and prefix length share nothing that a record could match.
pub(super) const ZONES: [(&str, &str); 13] = [
    ("nowhere", "{ networks: [999] }"),
    ("uk", "{ networks: [234, 235] }"),
    ("fr", "{ networks: [208] }"),
    ("us", "{ networks: [310, 311] }"),
    ("uk-net15", "{ networks: [234-15] }"),
    ("us-net410", "{ networks: [310-410] }"),
    ("us-net41", "{ networks: [\"310-41\"] }"),
    ("preferred", "{ networks: [234-10, 208-01, 262-01] }"),
    ("mixture", "{ networks: [311, 262-02] }"),
    ("uk-mobile", "{ networks: [234, 235], to: [\"447\"] }"),
    ("calls-44", "{ to: [\"44\"] }"),
    ("calls-447", "{ to: [\"447\"] }"),
    ("calls-1-33", "{ to: [\"1\", \"33\"] }"),
];
/// Those without called prefixes, for any service.
const PLACES: [&str; 8] = ["uk", "fr", "us", "uk-net15", "us-net410", "us-net41", "preferred", "mixture"];
const CALLED: [&str; 6] = ["uk", "uk-mobile", "calls-44", "calls-447", "calls-1-33", "preferred"];

pub(super) const CURRENCIES: [&str; 2] = ["GBP", "EUR"];
const UNITS: [&str; 3] = ["", "    units: binary\n", "    units: decimal\n"];
const ROUNDINGS: [&str; 9] = [
    "",
    "",
    "    rounding: { scale: 2, mode: half-up }\n",
    "    rounding: { scale: 2, mode: half-even }\n",
    "    rounding: { scale: 3, mode: half-even }\n",
    "    rounding: { scale: 4, mode: up }\n",
    "    rounding: { scale: 2, mode: down }\n",
    "    rounding: { scale: 0, mode: half-up }\n",
    "    rounding: { scale: 10, mode: half-up }\n",
];
const TIME_ZONES: [&str; 4] = ["", "", "    time_zone: Europe/London\n", "    time_zone: America/New_York\n"];

pub(super) struct Tariff {
    pub(super) name: String,
    pub(super) currency: &'static str,
    body: Body,
}

enum Body {
    Master { head: String, versions: Vec<Version> },
    Alias { of: String, markup: String },
}

struct Version {
    from: String,
    cap: Option<&'static str>,
    /// The line, and from when on it is there.
    rates: Vec<(String, Edition, Edition)>,
}

/// What a service is priced in.
struct Service {
    name: &'static str,
    prices: &'static [&'static str],
    increments: &'static [&'static str],
    minimums: &'static [&'static str],
    frees: &'static [&'static str],
    sizes: &'static [&'static str],
    tiers: &'static [[&'static str; 2]],
    zones: &'static [&'static str],
}

const SERVICES: [Service; 4] = [
    Service {
        name: "data",
        prices: &[
            "0.15/MB",
            "0.10/MB",
            "0.004/MiB",
            "0.010/MiB",
            "0/MB",
            "0.0333/MB",
            "1.00/GB",
            "0.10/100 KB",
            "0.0001/KB",
            "0.07/MB",
            "0.005/10 KB",
        ],
        increments: &["1 KB", "10 KB", "100 KB", "1 MB", "1 KiB", "7"],
        minimums: &["100 KB", "500 KB", "1 MB", "50 KB"],
        frees: &["100 KB", "1 MB", "5 MB"],
        sizes: &["1 MB", "10 MB", "250 KB"],
        tiers: &[["1 MB", "5 MB"], ["10 MB", "50 MB"], ["300 KB", "100 MB"]],
        zones: &PLACES,
    },
    Service {
        name: "voice",
        prices: &["0.10/min", "0.0333/min", "1.00/s", "0.5/s", "0/s", "0.015/6 s", "0.07/min"],
        increments: &["1 s", "6 s", "60 s", "30 s"],
        minimums: &["60 s", "30 s", "10 s"],
        frees: &["30 s", "1 min", "10 min"],
        sizes: &["1 min", "10 min"],
        tiers: &[["1 min", "5 min"], ["100 s", "1000 s"]],
        zones: &CALLED,
    },
    Service {
        name: "sms",
        prices: &["0.05/message", "0.005/message", "0/message", "0.10/message"],
        increments: &["1 message", "5 messages"],
        minimums: &["3 messages"],
        frees: &["1 message", "10 messages"],
        sizes: &["10 messages", "3 messages"],
        tiers: &[["2 messages", "20 messages"], ["10 messages", "50 messages"]],
        zones: &CALLED,
    },
    Service {
        name: "sensor-event",
        prices: &["0.5/unit", "0.001/unit", "0.01/100 units"],
        increments: &["1 unit", "10 units"],
        minimums: &["5 units"],
        frees: &["3 units"],
        sizes: &["50 units"],
        tiers: &[["10 units", "100 units"]],
        zones: &PLACES,
    },
];

impl Tariff {
    /// One or two lines of YAML per part.
    pub(super) fn write(&self, edition: Edition, text: &mut String) {
        match &self.body {
            Body::Alias { of, markup } => {
                let _ = writeln!(text, "  {}: {{ alias_of: {of}, markup: {markup} }}", self.name);
            }
            Body::Master { head, versions } => {
                let _ = write!(text, "  {}:\n    currency: {}\n{head}    versions:\n", self.name, self.currency);
                for Version { from, cap, rates } in versions {
                    let _ = writeln!(text, "      - from: {from}");
                    if let Some(cap) = cap {
                        let _ = writeln!(text, "        cap: {cap}");
                    }
                    let _ = writeln!(text, "        rates:");
                    for (rate, _, _) in rates.iter().filter(|(_, from, to)| *from <= edition && edition <= *to) {
                        let _ = writeln!(text, "          - {rate}");
                    }
                }
            }
        }
    }
}

/// Several masters and aliases in each currency.
pub(super) fn random_tariffs(random: &mut Random) -> Vec<Tariff> {
    let mut tariffs = Vec::new();
    for currency in CURRENCIES {
        let code = currency.to_lowercase();
        let masters = random.between(4, 7);
        for number in 0..masters {
            tariffs.push(master(format!("{code}-{number}"), currency, random));
        }
        for number in 0..random.between(1, 3) {
            let chained = number > 0 && random.chance(500);
            let of = if chained {
                format!("{code}-alias-{}", number - 1)
            } else {
                format!("{code}-{}", random.below(masters))
            };
            let body = Body::Alias { of, markup: markup(random) };
            tariffs.push(Tariff { name: format!("{code}-alias-{number}"), currency, body });
        }
    }
    tariffs
}

fn markup(random: &mut Random) -> String {
    let amount = |random: &mut Random| *random.pick(&["0.05/MB", "0.001/MB", "0.0001/KB", "0.25/GB"]);
    if random.chance(500) {
        return format!("{{ data: {} }}", amount(random));
    }
    let first = moment(random);
    let second = first + i64::try_from(random.between(1, 20 * 86_400)).unwrap_or(1) * 1000;
    let first_amount = amount(random);
    format!(
        "[{{ from: {}, data: {first_amount} }}, {{ from: {}, data: {} }}]",
        time_text(first),
        time_text(second),
        amount(random)
    )
}

fn master(name: String, currency: &'static str, random: &mut Random) -> Tariff {
    let mut head = format!("{}{}{}", random.pick(&UNITS), random.pick(&ROUNDINGS), random.pick(&TIME_ZONES));
    if random.chance(300) {
        head.push_str("    codes: { ledger: \"4000\", tax: vat-20 }\n");
    }
    let mut starts = vec!["2026-01-01T00:00:00Z".to_owned()];
    if random.chance(100) {
        starts = vec![time_text(START_MS + 86_400_000)];
    }
    let mut next = START_MS + 2 * 86_400_000;
    for _ in 0..random.below(3) {
        next += i64::try_from(random.between(1, 20 * 86_400_000)).unwrap_or(1);
        starts.push(time_text(next));
    }
    let shapes: Vec<Shape> = SERVICES.iter().flat_map(|service| shapes(service, random)).collect();
    let cap = random.chance(250).then(|| *random.pick(&["2.00", "0.5", "25.00", "0.333"]));
    let mut versions = Vec::new();
    for (index, from) in starts.into_iter().enumerate() {
        let mut rates = Vec::new();
        // A mark-up needs a price that it adds to.
        rates.push(("{ service: data, zone: nowhere, price: 1/MB }".to_owned(), Edition::First, Edition::Second));
        for shape in &shapes {
            if index > 0 && random.chance(40) {
                continue;
            }
            shape.lines(random, &mut rates);
        }
        versions.push(Version { from, cap, rates });
    }
    Tariff { name, currency, body: Body::Master { head, versions } }
}

/// What stays the same in all versions of a rate: all but its prices.
struct Shape {
    service: &'static Service,
    matching: String,
    kind: Kind,
    scope: String,
    missing_at_first: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Unit,
    Tiers([&'static str; 2]),
    Package(&'static str),
    Bands,
    /// In the first edition only.
    Blocked,
    BlockedForEver,
}

/// The rates of one service: a general one, some zones, and nested further keys.
fn shapes(service: &'static Service, random: &mut Random) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let further: &[&str] = match random.below(5) {
        0 => &["rating_group: 2", "rating_group: 2, apn: iot.example", "rating_group: 1"],
        1 => &["apn: iot.example", "apn: iot.example, rat: lte", "apn: corp.example"],
        2 => &["direction: outgoing", "direction: incoming", "direction: outgoing, sponsor: orange"],
        3 => &["sponsor: orange", "sponsor: tele, rat: nb-iot"],
        _ => &[],
    };
    if random.chance(880) {
        shapes.push(shape(service, String::new(), random));
    }
    for zone in service.zones {
        if random.chance(250) {
            shapes.push(shape(service, format!(", zone: {zone}"), random));
        }
    }
    for key in further {
        if random.chance(600) {
            shapes.push(shape(service, format!(", {key}"), random));
        }
        if random.chance(200) {
            let zone = random.pick(service.zones);
            shapes.push(shape(service, format!(", zone: {zone}, {key}"), random));
        }
    }
    shapes
}

fn shape(service: &'static Service, matching: String, random: &mut Random) -> Shape {
    let size = *random.pick(service.sizes);
    let kind = match random.below(100) {
        0..55 => Kind::Unit,
        55..70 => Kind::Tiers(*random.pick(service.tiers)),
        70..80 => Kind::Package(size),
        80..94 => Kind::Bands,
        94..98 => Kind::Blocked,
        _ => Kind::BlockedForEver,
    };
    let mut scope = String::new();
    if !matches!(kind, Kind::Blocked | Kind::BlockedForEver) {
        let pick = |random: &mut Random, per_mille, values: &[&'static str]| {
            random.chance(per_mille).then(|| *random.pick(values))
        };
        push_field(&mut scope, "increment", pick(random, 600, service.increments));
        push_field(&mut scope, "minimum", pick(random, 200, service.minimums));
        push_field(&mut scope, "free", pick(random, 150, service.frees));
        push_field(&mut scope, "per", pick(random, 600, &["record", "session", "session", "month"]));
        if !matches!(kind, Kind::Bands) {
            push_field(&mut scope, "connect", pick(random, 150, &["0.05", "1.00", "0.0033"]));
        }
    }
    Shape { service, matching, kind, scope, missing_at_first: random.chance(40) }
}

impl Shape {
    /// Adds the rate with fresh prices; what is blocked at first becomes a price in the second edition.
    fn lines(&self, random: &mut Random, rates: &mut Vec<(String, Edition, Edition)>) {
        let mut price = || *random.pick(self.service.prices);
        let head = format!("{{ service: {}{}", self.service.name, self.matching);
        let scope = &self.scope;
        let since = if self.missing_at_first { Edition::Second } else { Edition::First };
        let text = match self.kind {
            Kind::Unit => format!("price: {}{scope}", price()),
            Kind::Tiers([first, second]) => format!(
                "tiers: [{{ up_to: {first}, price: {} }}, {{ up_to: {second}, price: {}, flat: 0.50 }}, {{ price: {} }}]{scope}",
                price(),
                price(),
                price()
            ),
            Kind::Package(size) => {
                let money = *random.pick(&["1.00", "0.25", "0.0333"]);
                format!("package: {{ size: {size}, price: {money} }}{scope}")
            }
            Kind::Bands => format!(
                "bands: [{{ days: Mon-Fri, hours: 08:00-18:00, connect: 0.10, price: {} }}, {{ days: \"Sat,Sun\", price: {} }}, {{ otherwise: true, connect: 0.02, price: {} }}]{scope}",
                price(),
                price(),
                price()
            ),
            Kind::Blocked => {
                rates.push((format!("{head}, blocked: true }}"), since, Edition::First));
                rates.push((format!("{head}, price: {} }}", price()), Edition::Second, Edition::Second));
                return;
            }
            Kind::BlockedForEver => "blocked: true".to_owned(),
        };
        rates.push((format!("{head}, {text} }}"), since, Edition::Second));
    }
}
