//! What comes in: a small world of accounts, with usage, commands, ticks and requests that depend on nothing but the seed.
//!
//! The reference data has editions, of which one after the other is in force while a seed runs: prices differ, an endpoint turns up late, and so do rates.
//! The last edition is in force when things no longer break, so that whatever can ever be rated is.

use crate::generator::random::Random;
use crate::simulation::faults::CALM_MS;
use crate::simulation::{Input, LAST_INPUT_MS, Simulation};
use directory::snapshot::Snapshot;
use directory::{Directory, InputKind, Loaded, Needs, Unavailable};
use runtime::stages::RecycleRequest;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Partitions of the topic of usage, and of the others that have more than one.
pub(super) const USAGE_PARTITIONS: u32 = 3;
pub(super) const PARTITIONS: u32 = 2;
/// Hours for which record ids are remembered, and state.
pub(super) const WINDOW_H: u32 = 3;
pub(super) const STATE_HORIZON_H: u32 = 5;
/// Source of records that name none.
pub(super) const SOURCE: &str = "file";
/// 1 May 2024, 00:00 UTC: when a simulation begins, in milliseconds since 1970. Long ago, so that a stage that looks at the wall clock is found out.
const BEGIN_MS: i64 = 1_714_521_600_000;
/// Milliseconds of the world in a virtual one: 600 virtual milliseconds are an hour.
const SCALE: i64 = 6_000;
const EDITIONS: usize = 4;
/// Virtual milliseconds from one thing that comes in to the next.
const STEP_MS: u64 = 130;
/// Virtual milliseconds for which an edition is in force, and for which an outage lasts at least.
const EDITION_MS: u64 = 350;
const SLOT_MS: u64 = 50;
const OUTAGE_SLOTS: usize = 6;

/// The time of the world at a virtual millisecond, in milliseconds since 1970.
pub(super) fn time_ms(at_ms: u64) -> i64 {
    BEGIN_MS + at_ms.cast_signed() * SCALE
}

/// The same as text.
fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| "never".to_owned(), |at| at.to_string())
}

fn hours(hours: i64) -> i64 {
    hours * 3_600_000
}

/// The reference data of an edition.
fn reference(edition: usize) -> String {
    let cents = 10 + edition;
    let late = if edition > 0 { "\n  late-1: { customer: cogs, imsi: 001010000000009 }" } else { "" };
    let sms = if edition > 1 { ", { service: sms, price: 0.01/message }" } else { "" };
    let at = |hour: i64| time(BEGIN_MS + hours(hour));
    let dusk = dusk(edition, at);
    let (first, second, third) = (at(1), at(3), at(9));
    format!(
        "format: rater/v1
zones:
  uk: {{ networks: [234] }}
  eu: {{ networks: [262, 208-{cents}] }}
tariffs:
  retail:
    currency: GBP
    versions: [{{ from: 2024-01-01T00:00:00Z, rates: [{{ service: data, price: 0.{cents}/MB }}, {{ service: sms, price: 0.02/message }}] }}]
  wholesale:
    currency: GBP
    versions: [{{ from: 2024-01-01T00:00:00Z, rates: [{{ service: data, price: 0.0{cents}/MB, increment: 100 KB }}{sms}] }}]
bundles:
  pack: {{ currency: GBP, lasts: 2 hours, elements: [{{ service: data, zone: uk, amount: 2.{edition} MB }}] }}
  dear: {{ price: 2.50 GBP, lasts: 1 hours, elements: [{{ service: data, zone: eu, amount: 2 MB }}] }}
  armed: {{ currency: GBP, starts: first_use, lasts: 1 hours, elements: [{{ service: data, amount: 0.{cents} MB }}] }}
  own: {{ currency: GBP, scope: endpoint, lasts: 3 hours, elements: [{{ service: data, zone: uk, amount: 1 MB }}] }}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  alpha: {{ kind: reseller, parent: northstar, currency: GBP, tariff: wholesale, bundles: [{{ bundle: dear, at: {second} }}] }}
  beta: {{ kind: reseller, parent: alpha, currency: GBP, tariff: wholesale }}
  acme: {{ kind: customer, parent: beta, currency: GBP, tariff: retail, bundles: [armed, {{ bundle: pack, at: {first} }}, {{ bundle: dear, at: {third} }}] }}
  bolt: {{ kind: customer, parent: alpha, currency: GBP, tariff: retail, mode: prepaid, bundles: [{{ bundle: dear, at: {first} }}, {{ bundle: own, endpoint: bolt-1, at: {second} }}] }}
  cogs: {{ kind: customer, parent: beta, currency: GBP, tariff: retail, bundles: [{{ bundle: pack, at: {third} }}] }}
  dusk: {{ kind: customer, parent: beta, currency: GBP, tariff: retail{dusk} }}
endpoints:
  acme-1: {{ customer: acme, imsi: 001010000000001 }}
  acme-2: {{ customer: acme, imsi: 001010000000002, plan: {{ tariff: retail }} }}
  bolt-1: {{ customer: bolt, imsi: 001010000000003 }}
  cogs-1: {{ customer: cogs, imsi: 001010000000004 }}{late}
"
    )
}

/// An account without any usage: whatever it is told comes of the directory. Each edition says something else of it.
pub(super) const DUSK: &str = "dusk";
/// What it is told last, with the names above it.
pub(super) const DUSK_AT_LAST: (&str, &str) = ("closed", "northstar/alpha");

fn dusk(edition: usize, at: impl Fn(i64) -> String) -> String {
    let changes = match edition {
        0 => return String::new(),
        1 => format!("{{ from: {}, status: suspended }}", at(2)),
        2 => {
            format!("{{ from: {}, status: suspended }}, {{ from: {}, parent: alpha, status: active }}", at(2), at(4))
        }
        _ => format!(
            "{{ from: {}, parent: alpha }}, {{ from: {}, status: suspended }}, {{ from: {}, status: active }}, {{ from: {}, status: closed }}",
            at(3),
            at(5),
            at(8),
            at(12)
        ),
    };
    format!(", changes: [{changes}]")
}

/// The endpoints by IMSI, with their customers' lineage: who pays on each level, and the first level that there is.
pub(super) const ENDPOINTS: [(&str, &[&str]); 5] = [
    ("001010000000001", &["acme", "beta", "alpha"]),
    ("001010000000002", &["acme/acme-2", "acme", "beta", "alpha"]),
    ("001010000000003", &["bolt", "alpha"]),
    ("001010000000004", &["cogs", "beta", "alpha"]),
    (LATE_IMSI, &["cogs", "beta", "alpha"]),
];
/// Who pays for usage of an endpoint, level by level: an endpoint with a plan pays for itself on level 0, a customer always pays on level 1.
pub(super) fn lineage(imsi: &str) -> Vec<(u8, String)> {
    let payers = ENDPOINTS.iter().find(|(known, _)| *known == imsi).map_or(&[][..], |(_, payers)| payers);
    let first = u8::from(payers.first().is_some_and(|payer| !payer.contains('/')));
    (first..).zip(payers).map(|(level, payer)| (level, (*payer).to_owned())).collect()
}

/// The endpoint that turns up late.
pub(super) const LATE_IMSI: &str = "001010000000009";
/// Of nobody, ever.
pub(super) const UNKNOWN_IMSI: &str = "999990000000001";
const CUSTOMERS: [(&str, &str); 3] = [("acme", "beta"), ("bolt", "alpha"), ("cogs", "beta")];

/// The editions, read once.
pub(super) fn editions() -> &'static [Loaded] {
    static LOADED: OnceLock<Vec<Loaded>> = OnceLock::new();
    LOADED.get_or_init(|| {
        let load = |edition| {
            let bytes = reference(edition).into();
            let input = directory::Input { name: "simulation.yaml".to_owned(), bytes, kind: InputKind::Yaml };
            directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"))
        };
        (0..EDITIONS).map(load).collect()
    })
}

/// A directory of which now this and now that edition is in force, and which cannot always answer.
#[derive(Debug, Default)]
pub(super) struct Editions {
    edition: AtomicUsize,
    /// Somebody changes it all the time: another edition is in force after every few questions.
    is_restless: AtomicBool,
    asked: AtomicUsize,
    /// Nobody answers (2), or only about endpoints that are well known (1).
    outage: AtomicUsize,
}

impl Editions {
    pub(super) fn choose(&self, edition: usize) {
        self.edition.store(edition, Ordering::Relaxed);
    }

    fn now(&self) -> &'static Arc<Snapshot> {
        &editions()[self.edition.load(Ordering::Relaxed)].snapshot
    }
}

impl Directory for Editions {
    fn whole(&self) -> Option<&Arc<Snapshot>> {
        None
    }

    fn snapshot_for(&self, needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable> {
        match self.can_answer(needs) {
            true => {
                let asked = self.asked.fetch_add(1, Ordering::Relaxed);
                if self.is_restless.load(Ordering::Relaxed) && asked.is_multiple_of(4) {
                    self.choose((self.edition.load(Ordering::Relaxed) + 1) % EDITIONS);
                }
                Ok(self.now().clone())
            }
            false => Err(Unavailable("the directory does not answer".to_owned())),
        }
    }

    fn can_answer(&self, needs: &Needs<'_>) -> bool {
        match self.outage.load(Ordering::Relaxed) {
            0 => true,
            // Some are always at hand.
            1 => {
                needs.records().all(|record| record.identities.iter().flatten().all(|code| code.ends_with(['1', '3'])))
            }
            _ => false,
        }
    }
}

/// Writes what comes in, and lets the directory change and fail.
pub(super) fn fill(simulation: &mut Simulation, seed: u64, directory: &Arc<Editions>) {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut traffic = Traffic { random: &mut random, sent: Vec::new(), next: 0 };
    for step in 0..60_u64 {
        let at_ms = step * STEP_MS + traffic.random.below(STEP_MS);
        match traffic.random.below(10) {
            0 | 1 => feed_tick(simulation, at_ms),
            2 | 3 => {
                let (partition, line) = traffic.command(at_ms);
                traffic.feed(simulation, at_ms, partition, &line);
            }
            4 if !traffic.sent.is_empty() => {
                let (partition, line) = traffic.copy();
                traffic.feed(simulation, at_ms, partition, &line);
            }
            _ => {
                let (partition, line) = traffic.usage(at_ms);
                traffic.feed(simulation, at_ms, partition, &line);
            }
        }
    }
    // Somebody has mended what could be mended.
    let request = RecycleRequest::default().message();
    for (partition, at_ms) in
        (0..PARTITIONS).flat_map(|partition| [(partition, CALM_MS + 3_000), (partition, CALM_MS + 8_000)])
    {
        simulation.feed(at_ms, "waiting", partition, Input::Plain(&request));
    }
    // Whatever was restored after all that is used once more.
    for (number, at_ms) in (0..).zip((CALM_MS + 6_300..CALM_MS + 6_800).step_by(60)) {
        let (imsi, _) = ENDPOINTS[number % ENDPOINTS.len()];
        let (partition, line) = traffic.record(imsi, at_ms, "data");
        simulation.feed(at_ms, "usage", partition, Input::Plain(line.as_bytes()));
    }
    // Something new for every partition after everything else: positions that were forgotten are known again.
    let after = [500, 3_500, 4_500, 8_300].map(|after| CALM_MS + after);
    for at_ms in (8_000..CALM_MS).step_by(500).chain(after).chain([LAST_INPUT_MS]) {
        feed_tick(simulation, at_ms);
    }
    let outages: Vec<usize> = (0..=CALM_MS / SLOT_MS)
        .map(|_| match random.below(1000) {
            0..50 => 1,
            50..80 => 2,
            _ => 0,
        })
        .collect();
    let directory = Arc::clone(directory);
    simulation.every(SLOT_MS, CALM_MS, move |at_ms| {
        // Most outages last longer than a batch, so that it is aborted or taken away while some of it waits.
        let slot = (at_ms / SLOT_MS) as usize;
        let lately = &outages[(slot + 1).saturating_sub(OUTAGE_SLOTS)..=slot];
        let is_over = at_ms >= CALM_MS;
        let outage = if is_over { 0 } else { lately.iter().copied().max().unwrap_or(0) };
        directory.outage.store(outage, Ordering::Relaxed);
        directory.is_restless.store(!is_over, Ordering::Relaxed);
        directory.choose(if is_over { EDITIONS - 1 } else { (at_ms / EDITION_MS) as usize % EDITIONS });
    });
}

fn feed_tick(simulation: &mut Simulation, at_ms: u64) {
    let tick = format!("{{\"tick\":\"{}\"}}", time(time_ms(at_ms)));
    simulation.feed(at_ms, "ticks", 0, Input::Plain(tick.as_bytes()));
}

struct Traffic<'r> {
    random: &'r mut Random,
    sent: Vec<String>,
    next: u32,
}

impl Traffic<'_> {
    fn feed(&mut self, simulation: &mut Simulation, at_ms: u64, partition: u32, line: &str) {
        let input = match self.random.below(12) {
            0 => Input::Aborted(line.as_bytes()),
            1 => Input::Committed(line.as_bytes()),
            _ => Input::Plain(line.as_bytes()),
        };
        simulation.feed(at_ms, "usage", partition, input);
        self.sent.push(line.to_owned());
    }

    fn partition(&mut self) -> u32 {
        self.random.below(u64::from(USAGE_PARTITIONS)) as u32
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// A record, which may have happened some hours ago.
    fn record(&mut self, imsi: &str, at_ms: u64, service: &str) -> (u32, String) {
        let id = self.number();
        let back = if self.random.chance(300) { hours(self.random.below(5).cast_signed()) } else { 0 };
        let event = (time_ms(at_ms) - back).max(BEGIN_MS);
        let (quantity, unit) = match service {
            "data" => (self.random.between(1, 30) * 50_000, "octets"),
            _ => (self.random.between(1, 3), "messages"),
        };
        let mcc = *self.random.pick(&["234", "262", "310"]);
        let line = format!(
            "{{\"id\":\"r{id}\",\"source\":\"s\",\"service\":\"{service}\",\"quantity\":{quantity},\"unit\":\"{unit}\",\
             \"event_time\":\"{}\",\"imsi\":\"{imsi}\",\"mcc\":\"{mcc}\",\"mnc\":\"15\"}}",
            time(event)
        );
        (self.partition(), line)
    }

    fn usage(&mut self, at_ms: u64) -> (u32, String) {
        let imsi = match self.random.below(20) {
            0 => UNKNOWN_IMSI,
            1..4 => LATE_IMSI,
            _ => ENDPOINTS[self.random.index(ENDPOINTS.len() - 1)].0,
        };
        let service = match self.random.below(12) {
            0 => "fax",
            1 | 2 => "sms",
            _ => "data",
        };
        let (partition, line) = self.record(imsi, at_ms, service);
        match self.random.below(25) {
            0 => (partition, line.replace("quantity", "amount")),
            _ => (partition, line),
        }
    }

    /// The same again, or something else under the same id, anywhere.
    fn copy(&mut self) -> (u32, String) {
        let line = self.random.pick(&self.sent).clone();
        let line = if self.random.chance(200) { line.replace("\"mnc\":\"15\"", "\"mnc\":\"01\"") } else { line };
        (self.partition(), line)
    }

    fn command(&mut self, at_ms: u64) -> (u32, String) {
        let id = self.number();
        let (account, parent) = *self.random.pick(&CUSTOMERS);
        let (kind, rest) = match self.random.below(10) {
            0 | 1 => ("top_up", ",\"amount\":\"5.00\"".to_owned()),
            2..8 => {
                let bundle = *self.random.pick(&["pack", "dear", "armed", "pack", "armed", "no-such"]);
                ("buy_bundle", format!(",\"bundle_id\":\"{bundle}\""))
            }
            8 => ("suspend", String::new()),
            _ => ("activate", String::new()),
        };
        let ahead = if kind == "suspend" || kind == "activate" { hours(self.random.below(3).cast_signed()) } else { 0 };
        let issuer = if self.random.chance(100) { "cogs" } else { parent };
        let line = format!(
            "{{\"command_id\":\"c{id}\",\"kind\":\"{kind}\",\"account_id\":\"{account}\",\"issued_by\":\"{issuer}\",\
             \"effective_time\":\"{}\"{rest}}}",
            time(time_ms(at_ms) + ahead)
        );
        (self.partition(), line)
    }
}
