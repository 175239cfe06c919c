//! The core on one thread: legs per second of several kinds, and guiding.
//!
//! The yardstick is a naive rating of the plainest leg with decimals only: billable quantity, price, one rounding, a new balance. It has no
//! bundles, tiers, sessions, reasons or segments, so a leg of the product does more for its time.
//!
//! Run: `cargo bench -p rater-testkit --bench core`

#[path = "measure.rs"]
mod measure;

use directory::{Input, InputKind, Loaded, load};
use measure::{Subject, compare};
use pipeline::{IntakeRules, Intaken, RateShard, Task, Work, guide};
use rating::{Outputs, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};
use std::hint::black_box;

const LEGS: usize = 100_000;
const ROUNDS: usize = 15;

/// One customer under one operator, with a rate as given; `bundles` are granted.
fn reference(rate: &str, bundle_amount: Option<&str>) -> Loaded {
    let bundle = bundle_amount.map_or(String::new(), |amount| {
        format!("bundles:\n  pool:\n    currency: GBP\n    elements: [ {{ service: data, amount: {amount} }} ]\n")
    });
    let grants = if bundle_amount.is_some() { ", bundles: [ pool ]" } else { "" };
    let yaml = format!(
        "format: rater/v1
tariffs:
  t: {{ currency: GBP, versions: [ {{ from: 2020-01-01T00:00:00Z, rates: [ {rate} ] }} ] }}
{bundle}accounts:
  op: {{ kind: operator, currency: GBP }}
  acme: {{ kind: customer, parent: op, currency: GBP, tariff: t{grants} }}
endpoints:
  meter: {{ customer: acme, imsi: \"234150000000001\" }}
"
    );
    match load(vec![Input { name: "bench.yaml".to_owned(), bytes: yaml.into_bytes(), kind: InputKind::Yaml }]) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

fn records(quantity: impl Fn(u64) -> u64, session: bool) -> Vec<Intaken> {
    let rules = IntakeRules { default_source: "bench".into(), latest_event: Timestamp::LATEST };
    let record = |at: u64| {
        let mut raw = pipeline::RawUsage::default();
        let mut set = |field, text: String| raw.set(field, pipeline::RawValue::Text(text.into()));
        set(pipeline::Field::Id, format!("r{at}"));
        set(pipeline::Field::Service, "data".to_owned());
        set(pipeline::Field::Quantity, quantity(at).to_string());
        set(pipeline::Field::EventTime, "2026-03-05T14:00:00Z".to_owned());
        set(pipeline::Field::Imsi, "234150000000001".to_owned());
        if session {
            set(pipeline::Field::SessionId, format!("s{}", at % 1000));
        }
        pipeline::intake_usage(&raw, &rules).expect("a valid record")
    };
    (0..LEGS as u64).map(record).collect()
}

/// Rates all records from fresh state; the state is built before the clock runs.
struct Leg {
    loaded: Loaded,
    records: Vec<Intaken>,
}

impl Leg {
    fn run(&self, shard: &mut RateShard) {
        let tasks = self.records.iter().flat_map(|intaken| {
            let guided = guide(intaken, &self.loaded.snapshot, Timestamp::EPOCH).expect("a known endpoint");
            guided.legs().map(|leg| Task { position: 0, work: Work::Leg(leg) })
        });
        let tasks: Vec<Task<'_>> = tasks.collect();
        let (mut outputs, mut rated) = (Outputs::default(), Vec::new());
        for tasks in tasks.chunks(1024) {
            outputs.charges.clear();
            outputs.notifications.clear();
            rated.clear();
            shard.execute(tasks.iter().copied(), &mut outputs, &mut rated);
            black_box(&outputs);
        }
    }
}

fn main() {
    println!("one thread; legs include guiding of one level unless said otherwise");
    let plain = "{ service: data, price: 0.10/MB, increment: 1 KB }";
    let tiered = "{ service: data, increment: 1 KB, tiers: [ { up_to: 1 GB, price: 0.10/MB }, { up_to: 100 GB, price: 0.06/MB }, { price: 0.03/MB } ] }";
    let session = "{ service: data, price: 0.10/MB, increment: 100 KB, per: session }";
    let quantity = |at: u64| 1_000 + at * 7919 % 5_000_000;
    let tariff_only = Leg { loaded: reference(plain, None), records: records(quantity, false) };
    let tiers = Leg { loaded: reference(tiered, None), records: records(quantity, false) };
    let sessions = Leg { loaded: reference(session, None), records: records(quantity, true) };

    let price = Decimal::new(10, 2);
    let per = Decimal::from(1_000_000);
    let naive = || {
        let mut balance = Decimal::ZERO;
        let mut out = Vec::with_capacity(LEGS);
        for intaken in &tariff_only.records {
            let billable = intaken.record.quantity.div_ceil(1000) * 1000;
            let exact = price * Decimal::from(billable) / per;
            let amount = exact.round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero);
            balance -= amount;
            out.push((amount, balance));
        }
        black_box(out);
    };
    let mut shards: Vec<RateShard> = (0..3).map(|_| RateShard::default()).collect();
    let [a, b, c] = shards.as_mut_slice() else { unreachable!() };
    compare(
        "rate, one level",
        ROUNDS,
        &mut [
            Subject { name: "yardstick: decimals, plainest leg", work: LEGS as u64, call: Box::new(naive) },
            Subject { name: "tariff only", work: LEGS as u64, call: Box::new(|| tariff_only.run(a)) },
            Subject { name: "graduated tiers per month", work: LEGS as u64, call: Box::new(|| tiers.run(b)) },
            Subject { name: "increments per session", work: LEGS as u64, call: Box::new(|| sessions.run(c)) },
        ],
    );
    bundle_split(&tariff_only);
    increments();
    guiding(&tariff_only);
}

/// Every record is split between a bundle and the tariff: the bundle holds less than the first record, and state is fresh each time.
fn bundle_split(yardstick: &Leg) {
    let split = Leg {
        loaded: reference("{ service: data, price: 0.10/MB, increment: 1 KB }", Some("unlimited")),
        records: records(|at| 1_000 + at * 7919 % 5_000_000, false),
    };
    let with_bundle = || {
        let mut shard = RateShard::default();
        testkit_grant(&split.loaded, &mut shard);
        shard
    };
    let mut covered = with_bundle();
    let mut plain = RateShard::default();
    compare(
        "rate, one level, with a bundle",
        ROUNDS,
        &mut [
            Subject { name: "yardstick: tariff only", work: LEGS as u64, call: Box::new(|| yardstick.run(&mut plain)) },
            Subject { name: "covered by a bundle", work: LEGS as u64, call: Box::new(|| split.run(&mut covered)) },
        ],
    );
}
