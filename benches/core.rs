//! The core on one thread: rating a leg of each kind, what the cost depends on and what not, and the steps around rating.
//!
//! The yardstick of the legs is a naive rating of the plainest leg with decimals only: billable quantity, price, one rounding, a new balance.
//! It has no bundles, tiers, sessions, reasons or segments, so a leg of the product does more in its time.
//!
//! Run: `cargo bench -p rater-testkit --bench core`, or with `-- PART OF A TITLE` for some of the tables.

#[path = "shared/codecs.rs"]
mod codecs;
#[path = "shared/measure.rs"]
mod measure;
#[path = "shared/table.rs"]
mod table;
#[path = "shared/world.rs"]
mod world;

use directory::Loaded;
use measure::{Subject, compare};
use pipeline::{Duplicates, Intaken, Place, RateShard, Task, Window, guide, intake_usage};
use rust_decimal::{Decimal, RoundingStrategy};
use std::hint::black_box;
use world::{Fields, document, granted, one_customer, ordinary, rate, records, rules, scattered, tasks, world};

const LEGS: usize = 100_000;
const ROUNDS: usize = 11;

const PLAIN: &str = "          - { service: data, price: 0.10/MB, increment: 1 KB }";
const TIERED: &str = "          - { service: data, increment: 1 KB, tiers: [ { up_to: 1 GB, price: 0.10/MB }, { up_to: 100 GB, price: 0.06/MB }, { price: 0.03/MB } ] }";
const PER_SESSION: &str = "          - { service: data, price: 0.10/MB, increment: 1 KB, per: session }";
const BANDS: &str = "          - { service: voice, increment: 1 s, bands: [ { days: Mon-Fri, hours: 08:00-18:00, price: 0.10/min }, { otherwise: true, price: 0.05/min } ] }";

/// A title and what prints its tables.
type Section = (&'static str, fn(&str));

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let sections: [Section; 8] = [
        ("rate: one leg", one_leg),
        ("rate: number of increments", increments),
        ("rate: number of zones", zones),
        ("rate: number of accounts", accounts),
        ("rate: number of bundles", bundles),
        ("rate and commit: number of sessions and endpoints", state),
        ("guide, intake, duplicates", around),
        ("decode and encode", codecs::all),
    ];
    for (title, section) in sections {
        if title.contains(&wanted) {
            section(title);
        }
    }
}

/// Reference data and records of which the legs are rated.
struct Case {
    loaded: Loaded,
    records: Vec<Intaken>,
}

impl Case {
    fn new(loaded: Loaded, fields: impl Fn(usize) -> Fields) -> Case {
        Case { loaded, records: records(LEGS, fields) }
    }

    fn tasks(&self) -> Vec<Task<'_>> {
        tasks(&self.loaded, &self.records)
    }
}

/// Rates `tasks`, from fresh state in each round.
fn legs<'s>(name: &str, loaded: &'s Loaded, tasks: &'s [Task<'s>], segments_each: usize) -> Subject<'s> {
    Subject::prepared(name, tasks.len(), move |watch| {
        let mut shard = granted(loaded);
        let (charges, segments) = watch.time(|| rate(&mut shard, tasks));
        assert!(charges == tasks.len() && segments >= charges * segments_each, "not what was to be measured");
    })
}

/// The yardstick: the plainest leg with decimals.
fn naive<'s>(records: &'s [Intaken]) -> Subject<'s> {
    let price = Decimal::new(10, 2);
    let per = Decimal::from(1_000_000);
    Subject::plain("yardstick: naive decimals, plainest leg", records.len(), move || {
        let mut balance = Decimal::ZERO;
        let mut out = Vec::with_capacity(world::BATCH);
        for batch in records.chunks(world::BATCH) {
            for intaken in batch {
                let billable = intaken.record.quantity.div_ceil(1000) * 1000;
                let exact = price * Decimal::from(billable) / per;
                let amount = exact.round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero);
                balance -= amount;
                out.push((amount, balance));
            }
            black_box(&out);
            out.clear();
        }
    })
}

fn one_leg(title: &str) {
    let data = |at| Fields { quantity: ordinary(at), ..Fields::default() };
    let in_session = |at| Fields { session: Some(format!("session-{}", scattered(at, 1000))), ..data(at) };
    let call = |at| Fields {
        service: "voice",
        quantity: 1 + scattered(at, 3600),
        event_time_ms: world::NOON_MS + i64::try_from(scattered(at + LEGS, 7 * 86_400)).unwrap_or(0) * 1000,
        ..Fields::default()
    };
    let plain = Case::new(one_customer(PLAIN), data);
    let pool = Case::new(pooled("1000000 GB", 1), data);
    let tiered = Case::new(one_customer(TIERED), data);
    let session = Case::new(one_customer(PER_SESSION), in_session);
    let bands = Case::new(one_customer(BANDS), call);
    let split = Case::new(small_bundles(), |at| Fields {
        imsi: imsi(at as u64 % SPLIT_ENDPOINTS),
        quantity: ordinary(at),
        ..Fields::default()
    });
    let chain = Case { loaded: four_levels(1000), records: four_level_records(1000, LEGS / 4) };
    let all = [&plain, &pool, &split, &tiered, &session, &bands, &chain].map(Case::tasks);
    let [plain_tasks, pool_tasks, split_tasks, tiered_tasks, session_tasks, bands_tasks, chain_tasks] = &all;
    let mut subjects = [
        naive(&plain.records),
        legs("tariff only", &plain.loaded, plain_tasks, 1),
        legs("covered by a bundle", &pool.loaded, pool_tasks, 1),
        Subject::prepared("split: bundle, then tariff", LEGS, |watch| {
            // Each endpoint has one bundle, which its first record uses up: so state is renewed when each had one record.
            for batch in split_tasks.chunks(SPLIT_ENDPOINTS as usize) {
                let mut shard = granted(&split.loaded);
                let seen = watch.time(|| rate(&mut shard, batch));
                assert!(seen == (batch.len(), 2 * batch.len()), "a leg was not split");
            }
        }),
        legs("graduated tiers per month", &tiered.loaded, tiered_tasks, 1),
        legs("increments per session", &session.loaded, session_tasks, 1),
        legs("time bands, voice", &bands.loaded, bands_tasks, 1),
        legs("four levels, tariff only", &chain.loaded, chain_tasks, 1),
    ];
    compare(title, "legs", ROUNDS, &mut subjects);
}

fn increments(title: &str) {
    let quantity = |increments: u64| {
        move |at| Fields {
            quantity: increments * 1000,
            session: Some(format!("session-{}", scattered(at, 1000))),
            ..Fields::default()
        }
    };
    let cases: Vec<[Case; 2]> = [PLAIN, PER_SESSION, TIERED]
        .iter()
        .map(|rates| [10, 1_000_000_000].map(|count| Case::new(one_customer(rates), quantity(count))))
        .collect();
    let tasks: Vec<[Vec<Task<'_>>; 2]> = cases.iter().map(|pair| [pair[0].tasks(), pair[1].tasks()]).collect();
    for (name, (pair, tasks)) in ["per record", "per session", "tiers per month"].iter().zip(cases.iter().zip(&tasks)) {
        let mut subjects = [
            legs(&format!("{name}, 10 increments"), &pair[0].loaded, &tasks[0], 1),
            legs(&format!("{name}, 1,000,000,000 increments"), &pair[1].loaded, &tasks[1], 1),
        ];
        compare(&format!("{title}, {name} (at most 1.10)"), "legs", 2 * ROUNDS, &mut subjects);
    }
}

/// A tariff with a zone for each of `count` networks.
fn zoned(count: usize) -> Loaded {
    let networks = (0..count).map(network);
    let zones: Vec<String> = networks
        .clone()
        .enumerate()
        .map(|(at, (mcc, mnc))| format!("  z{at}: {{ networks: [ \"{mcc}-{mnc}\" ] }}"))
        .collect();
    let rates: Vec<String> = (0..count)
        .map(|at| format!("          - {{ service: data, zone: z{at}, price: 0.10/MB, increment: 1 KB }}"))
        .collect();
    let yaml = document(
        &rates.join("\n"),
        "",
        "  acme: { kind: customer, parent: op, currency: GBP, tariff: t }",
        "  meter: { customer: acme, imsi: \"234150000000001\" }",
    );
    world(yaml.replacen("tariffs:", &format!("zones:\n{}\ntariffs:", zones.join("\n")), 1))
}

fn network(at: usize) -> (String, String) {
    (format!("{}", 200 + at / 100), format!("{:02}", at % 100))
}

fn zones(title: &str) {
    let on_networks = |count: u64| {
        move |at| Fields {
            quantity: ordinary(at),
            network: network(scattered(at, count) as usize),
            ..Fields::default()
        }
    };
    let few = Case::new(zoned(10), on_networks(10));
    let many = Case::new(zoned(10_000), on_networks(10));
    let scattered = Case { loaded: zoned(10_000), records: records(LEGS, on_networks(10_000)) };
    let mut subjects = [
        guide_and_rate("10 zones", &few),
        guide_and_rate("10,000 zones, the same records", &many),
        guide_and_rate("10,000 zones, records on all of them", &scattered),
    ];
    compare(&format!("{title} in the tariff (guide and rate)"), "legs", ROUNDS, &mut subjects);
}

/// Guides and rates, batch by batch.
fn guide_and_rate<'s>(name: &str, case: &'s Case) -> Subject<'s> {
    Subject::plain(name, LEGS, || {
        let mut shard = RateShard::default();
        for batch in case.records.chunks(world::BATCH) {
            black_box(rate(&mut shard, &tasks(&case.loaded, batch)));
        }
    })
}

fn accounts(title: &str) {
    let customers = |count: u64| {
        let lines: Vec<String> = (0..count)
            .map(|at| format!("  customer-{at}: {{ kind: customer, parent: op, currency: GBP, tariff: t }}"))
            .collect();
        let loaded = world(document(PLAIN, "", &lines.join("\n"), ""));
        Case::new(loaded, |at| Fields {
            quantity: ordinary(at),
            account: Some(format!("customer-{}", scattered(at, count))),
            ..Fields::default()
        })
    };
    let (few, many) = (customers(100), customers(100_000));
    let (few_tasks, many_tasks) = (few.tasks(), many.tasks());
    let mut few_shard = RateShard::default();
    let mut many_shard = RateShard::default();
    let mut subjects = [
        Subject::plain("100 accounts", LEGS, || {
            rate(&mut few_shard, &few_tasks);
        }),
        Subject::plain("100,000 accounts", LEGS, || {
            rate(&mut many_shard, &many_tasks);
        }),
    ];
    compare(title, "legs", ROUNDS, &mut subjects);
}

/// Of one endpoint with sessions, or of one customer with endpoints in a session each, every commit changes a few.
fn state(title: &str) {
    const AT_ONCE: usize = 50;
    const MANY: usize = 9_750;
    let number = |at: usize, count: usize| (at / world::BATCH * AT_ONCE + at % AT_ONCE) % count;
    let sessions = |count: usize| {
        Case::new(one_customer(PER_SESSION), move |at| Fields {
            quantity: ordinary(at),
            session: Some(format!("session-{}", number(at, count))),
            ..Fields::default()
        })
    };
    let endpoints = |count: usize| {
        let imsi = |at: usize| format!("23415{at:010}");
        let lines: Vec<String> =
            (0..count).map(|at| format!("  meter-{at}: {{ customer: acme, imsi: \"{}\" }}", imsi(at))).collect();
        let acme = "  acme: { kind: customer, parent: op, currency: GBP, tariff: t }";
        Case::new(world(document(PER_SESSION, "", acme, &lines.join("\n"))), move |at| Fields {
            quantity: ordinary(at),
            imsi: imsi(number(at, count)),
            session: Some("session".to_owned()),
            ..Fields::default()
        })
    };
    let cases = [
        (format!("{AT_ONCE} sessions of an endpoint"), sessions(AT_ONCE)),
        (format!("{MANY} sessions, {AT_ONCE} of them in a commit"), sessions(MANY)),
        (format!("{AT_ONCE} endpoints of a customer"), endpoints(AT_ONCE)),
        (format!("{MANY} endpoints, {AT_ONCE} of them in a commit"), endpoints(MANY)),
    ];
    let tasks: Vec<Vec<Task<'_>>> = cases.iter().map(|(_, case)| case.tasks()).collect();
    let mut subjects: Vec<Subject<'_>> = cases
        .iter()
        .zip(&tasks)
        .map(|((name, _), tasks)| {
            let mut shard = RateShard::with_undo();
            Subject::plain(name, tasks.len(), move || {
                for batch in tasks.chunks(world::BATCH) {
                    rate(&mut shard, batch);
                    shard.state.take_changes(1, |row| _ = black_box(row));
                    shard.state.settle();
                }
            })
        })
        .collect();
    compare(title, "legs", ROUNDS, &mut subjects);
}

/// A customer with a number of pools of its own.
fn pooled(amount: &str, count: usize) -> Loaded {
    let each = |at| format!("  pool-{at}:\n    currency: GBP\n    elements: [ {{ service: data, amount: {amount} }} ]");
    let bundles: Vec<String> = (0..count).map(each).collect();
    let names: Vec<String> = (0..count).map(|at| format!("pool-{at}")).collect();
    world(document(
        PLAIN,
        &bundles.join("\n"),
        &format!(
            "  acme: {{ kind: customer, parent: op, currency: GBP, tariff: t, bundles: [ {} ] }}",
            names.join(", ")
        ),
        "  meter: { customer: acme, imsi: \"234150000000001\" }",
    ))
}

fn bundles(title: &str) {
    let data = |at| Fields { quantity: ordinary(at), ..Fields::default() };
    let cases = [1, 10, 100].map(|count| (count, Case::new(pooled("1000000 GB", count), data)));
    let tasks: Vec<Vec<Task<'_>>> = cases.iter().map(|(_, case)| case.tasks()).collect();
    let mut subjects: Vec<Subject<'_>> = cases
        .iter()
        .zip(&tasks)
        .map(|((count, case), tasks)| {
            let name = format!("{count} bundles of the account match");
            // Fewer legs where each costs more.
            legs(&name, &case.loaded, &tasks[..LEGS / count], 1)
        })
        .collect();
    compare(title, "legs", ROUNDS, &mut subjects);
}

/// Endpoints of the split: each has a bundle that is smaller than any record.
const SPLIT_ENDPOINTS: u64 = 1000;

fn imsi(number: u64) -> String {
    format!("00101{number:010}")
}

fn small_bundles() -> Loaded {
    let grants: Vec<String> = (0..SPLIT_ENDPOINTS).map(|at| format!("{{ bundle: small, endpoint: e{at} }}")).collect();
    let endpoints: Vec<String> =
        (0..SPLIT_ENDPOINTS).map(|at| format!("  e{at}: {{ customer: acme, imsi: \"{}\" }}", imsi(at))).collect();
    world(document(
        PLAIN,
        "  small:\n    currency: GBP\n    scope: endpoint\n    elements: [ { service: data, amount: 999 B } ]",
        &format!(
            "  acme: {{ kind: customer, parent: op, currency: GBP, tariff: t, bundles: [ {} ] }}",
            grants.join(", ")
        ),
        &endpoints.join("\n"),
    ))
}

/// Operator, reseller, reseller, customers of 100 endpoints each with a plan: four levels, each with the plain tariff.
fn four_levels(endpoints: u64) -> Loaded {
    let customers: Vec<String> = (0..endpoints.div_ceil(100))
        .map(|at| format!("  customer-{at}: {{ kind: customer, parent: beta, currency: GBP, tariff: t }}"))
        .collect();
    let endpoints: Vec<String> = (0..endpoints)
        .map(|at| {
            format!("  e{at}: {{ customer: customer-{}, imsi: \"{}\", plan: {{ tariff: t }} }}", at / 100, imsi(at))
        })
        .collect();
    let accounts = format!(
        "  alpha: {{ kind: reseller, parent: op, currency: GBP, tariff: t }}
  beta: {{ kind: reseller, parent: alpha, currency: GBP, tariff: t }}
{}",
        customers.join("\n")
    );
    world(document(PLAIN, "", &accounts, &endpoints.join("\n")))
}

fn four_level_records(endpoints: u64, count: usize) -> Vec<Intaken> {
    records(count, |at| Fields { imsi: imsi(scattered(at, endpoints)), quantity: ordinary(at), ..Fields::default() })
}

fn around(title: &str) {
    let few = Case { loaded: four_levels(1000), records: four_level_records(1000, LEGS) };
    let many = Case { loaded: four_levels(100_000), records: four_level_records(100_000, LEGS) };
    let raws: Vec<_> = (0..LEGS)
        .map(|at| {
            let fields = Fields { imsi: imsi(scattered(at, 1000)), quantity: ordinary(at), ..Fields::default() };
            world::raw(at, &fields)
        })
        .collect();
    let rules = rules();
    let guide_all = |case: &Case| {
        for intaken in &case.records {
            let guided = guide(intaken, &case.loaded.snapshot, rating::Timestamp::EPOCH);
            for leg in guided.unwrap_or_else(|reason| panic!("{reason:?}")).legs() {
                black_box(leg);
            }
        }
    };
    let admit_all = |duplicates: &mut Duplicates, expected: pipeline::Admission| {
        for intaken in &few.records {
            let admission = duplicates.admit(intaken.identity_at(Place(0)), None);
            assert!(admission == expected, "{admission:?}");
        }
    };
    let mut seen = Duplicates::new(Window::FOREVER);
    admit_all(&mut seen, pipeline::Admission::New);
    let mut subjects = [
        naive(&few.records),
        Subject::plain("guide, four levels, 1,000 endpoints", LEGS, || guide_all(&few)),
        Subject::plain("guide, four levels, 100,000 endpoints", LEGS, || guide_all(&many)),
        Subject::plain("intake of a decoded record", LEGS, || {
            for raw in &raws {
                black_box(intake_usage(raw, &rules)).unwrap_or_else(|fault| panic!("{fault:?}"));
            }
        }),
        Subject::prepared("duplicates: a new id, the table growing", LEGS, |watch| {
            let mut duplicates = Duplicates::new(Window::FOREVER);
            watch.time(|| admit_all(&mut duplicates, pipeline::Admission::New));
        }),
        Subject::plain("duplicates: a known id among 100,000", LEGS, || {
            admit_all(&mut seen, pipeline::Admission::Duplicate);
        }),
    ];
    compare(title, "records", ROUNDS, &mut subjects);
}
