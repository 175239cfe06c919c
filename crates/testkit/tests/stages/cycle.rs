//! Bundles that reference data grant: bought on a log as in files, when they are due and once, however often the stage is undone and restored, and
//! whether its directory answers or not.

use super::memory::{Message, Roughness, Running, Topics};
use super::{Horizon, assert_same, load, rate_lines, undated};
use directory::cache::{Cache, CacheSettings, Clock};
use directory::snapshot::Snapshot;
use directory::{Directory, Needs, Unavailable};
use rating::Timestamp;
use runtime::grants::grant_lines;
use runtime::worker::Stage;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testkit::generator::random::Random;
use testkit::histories::memory::{Definition, MemoryRows, Write as Writing};
use testkit::stages;

/// More than leave with two commits (`SLICE` of cycle), all due at one instant.
const CUSTOMERS: usize = 2_300;

fn reference() -> String {
    let mut text = "
format: rater/v1
bundles:
  pack: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
  dear: { currency: GBP, price: 2.50, elements: [{ service: data, amount: 5 MB }] }
  own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 1 MB }] }
accounts:
  northstar: { kind: operator, currency: GBP }
"
    .to_owned();
    for number in 0..CUSTOMERS {
        let bundles = match number % 3 {
            0 => "[pack, { bundle: own, endpoint: e0, at: 2026-03-02T00:00:00Z }]",
            1 => "[{ bundle: dear, at: 2026-03-02T00:00:00Z }, { bundle: pack, at: 2026-05-01T00:00:00Z }]",
            _ => "[{ bundle: pack, at: 2026-03-02T00:00:00.001Z }]",
        };
        // Only one of them has the endpoint.
        let bundles = if number > 0 {
            bundles.replace(", { bundle: own, endpoint: e0, at: 2026-03-02T00:00:00Z }", "")
        } else {
            bundles.to_owned()
        };
        let _ =
            writeln!(text, "  c{number}: {{ kind: customer, parent: northstar, currency: GBP, bundles: {bundles} }}");
    }
    text.push_str("endpoints:\n  e0: { customer: c0, plan: { bundles: [pack] } }\n");
    text
}

/// A directory that does not answer every third time that it is asked.
#[derive(Debug)]
struct Sometimes {
    snapshot: Arc<Snapshot>,
    asked: AtomicU32,
}

impl Directory for Sometimes {
    fn can_answer(&self, _needs: &Needs<'_>) -> bool {
        true
    }

    fn whole(&self) -> Option<&Arc<Snapshot>> {
        None
    }

    fn snapshot_for(&self, _needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable> {
        match self.asked.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Err(Unavailable("not now".to_owned())),
            _ => Ok(self.snapshot.clone()),
        }
    }
}

fn topics() -> Topics {
    let mut topics = Topics::default();
    let outputs = ["balance-deltas", "notifications", "suspense", "waiting", "command-replies", "life-events"];
    for (topic, partitions) in
        [("ticks", 1), ("cycle-changelog", 1), ("guided", 4), ("rate-changelog", 4), ("charges", 2)]
            .into_iter()
            .chain(outputs.map(|topic| (topic, 2)))
    {
        topics.create(topic, partitions);
    }
    topics
}

fn tick(at: &str) -> Message {
    (None, Some(format!("{{\"tick\":\"{at}\"}}").into_bytes()))
}

#[test]
fn grants_are_carried_out_once_when_they_are_due() {
    let loaded = load(&reference());
    let until = "2026-03-02T00:00:00Z";
    let at = Timestamp::parse(until).expect("a time");
    let due: Vec<_> = loaded.grants().iter().filter(|grant| grant.at <= at).collect();
    let lines = grant_lines(&due, &loaded.snapshot);
    let lines: Vec<Vec<u8>> = (0..lines.len()).map(|line| lines.get(line).to_vec()).collect();
    let expected = rate_lines(&loaded, Horizon::FAR, &lines);
    for (seed, answers) in [(1, true), (2, false)] {
        let mut topics = topics();
        let directory: Arc<dyn Directory> = match answers {
            true => loaded.directory(),
            false => Arc::new(Sometimes { snapshot: loaded.snapshot.clone(), asked: AtomicU32::new(0) }),
        };
        let mut random = Random::new(seed);
        let rough = Roughness { undone: 300, restored: 200, largest_batch: 3 };
        let mut cycle = Running::new(stages::cycle(4, directory), &topics);
        for at in ["2026-02-01T00:00:00Z", "2026-03-01T23:59:59.999Z"] {
            topics.append("ticks", 0, tick(at));
            cycle.go_on(&mut topics, rough, &mut random);
        }
        // However often it is as late as that: a look that failed, and what was in hand when the partition went, come with a later one.
        for _ in 0..40 {
            topics.append("ticks", 0, tick(until));
            topics.append("ticks", 0, (None, Some(b"no tick".to_vec())));
            cycle.go_on(&mut topics, rough, &mut random);
        }
        let mut rate = Running::new(stages::rate(4, 1), &topics);
        rate.go_on(&mut topics, Roughness { largest_batch: 9, ..rough }, &mut random);
        let replies = topics.values_by_key("command-replies");
        assert_same("command-replies", &replies, &expected.replies);
        assert_eq!(
            replies.len(),
            CUSTOMERS.div_ceil(3) + CUSTOMERS.div_ceil(3) + 1,
            "one of three is due an instant later"
        );
        assert_same("charges", &undated(&topics.values_by_key("charges")), &undated(&expected.charges));
        assert_same("life-events", &undated(&topics.values_by_key("life-events")), &undated(&expected.life_events));
    }
}

/// Endpoints of a store: more than leave with one commit.
const ENDPOINTS: usize = 1_300;

fn plan(number: usize, changed: bool) -> String {
    match number % 4 {
        // The second change of the store gives it a plan.
        0 if changed => "{ customer: c1, plan: { bundles: [own] } }".to_owned(),
        0 => "{ customer: c1 }".to_owned(),
        1 => "{ customer: c1, plan: { bundles: [own, pack] } }".to_owned(),
        2 => "{ customer: c2, plan: { bundles: [{ bundle: pack, at: 2026-03-02T00:30:00Z }] } }".to_owned(),
        _ => "{ customer: c2, plan: { bundles: [{ bundle: pack, at: 2026-09-01T00:00:00Z }] } }".to_owned(),
    }
}

#[test]
fn plans_of_endpoints_in_a_store_are_bought_as_those_in_files() {
    let catalog = "
format: rater/v1
bundles:
  pack: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
  own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 1 MB }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  c1: { kind: customer, parent: northstar, currency: GBP, bundles: [pack] }
  c2: { kind: customer, parent: northstar, currency: GBP }
";
    let endpoints = |numbers: std::ops::Range<usize>, changed: bool| -> Vec<(String, String)> {
        numbers.map(|number| (format!("e{number}"), plan(number, changed))).collect()
    };
    let all = endpoints(0..ENDPOINTS, true);
    let whole: String = all.iter().map(|(name, text)| format!("  {name}: {text}\n")).collect();
    let loaded = load(&format!("{catalog}endpoints:\n{whole}"));
    let until = "2026-03-02T02:00:00Z";
    let at = Timestamp::parse(until).expect("a time");
    let due: Vec<_> = loaded.grants().iter().filter(|grant| grant.at <= at).collect();
    let lines = grant_lines(&due, &loaded.snapshot);
    let lines: Vec<Vec<u8>> = (0..lines.len()).map(|line| lines.get(line).to_vec()).collect();
    let expected = rate_lines(&loaded, Horizon::FAR, &lines);

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    for seed in [1, 2] {
        let rows = MemoryRows::default();
        let write = |catalog: Option<&str>, endpoints: &[(String, String)]| {
            let written = |(name, text): &(String, String)| {
                (name.clone(), Some(Definition { text: text.clone(), identities: Default::default() }))
            };
            let endpoints = endpoints.iter().map(written).collect();
            rows.commit(&Writing { catalog: catalog.map(str::to_owned), endpoints })
        };
        write(Some(catalog), &endpoints(0..ENDPOINTS, false));
        let settings = CacheSettings { poll: Duration::from_millis(1), ..CacheSettings::default() };
        let opened = Cache::open(rows.clone(), settings, Clock::monotonic(), |_| {});
        let cache = Arc::new(runtime.block_on(opened).expect("a cache").0);
        let mut topics = topics();
        let mut random = Random::new(seed);
        let rough = Roughness { undone: 200, restored: 5, largest_batch: 3 };
        let mut cycle = Running::new(stages::cycle(4, cache.clone()), &topics);
        for at in ["2026-03-02T00:00:00Z", "2026-03-02T00:20:00Z"] {
            topics.append("ticks", 0, tick(at));
            cycle.go_on(&mut topics, rough, &mut random);
        }
        // What the store says has changed is bought with the next tick; what the log of changes did not say, by the next walk.
        let version = write(None, &endpoints(0..ENDPOINTS / 2, true));
        while cache.stats().version != version {
            std::thread::sleep(Duration::from_millis(1));
        }
        topics.append("ticks", 0, tick("2026-03-02T00:21:00Z"));
        cycle.go_on(&mut topics, rough, &mut random);
        assert_eq!(cycle.0.status().entries as usize, 1 + ENDPOINTS / 4 * 2 + (ENDPOINTS / 2).div_ceil(4));
        write(None, &endpoints(ENDPOINTS / 2..ENDPOINTS, true));
        rows.set_down(true);
        topics.append("ticks", 0, tick("2026-03-02T01:59:59.999Z"));
        cycle.go_on(&mut topics, rough, &mut random);
        rows.set_down(false);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(20));
            topics.append("ticks", 0, tick(until));
            cycle.go_on(&mut topics, rough, &mut random);
        }
        let mut rate = Running::new(stages::rate(4, 1), &topics);
        rate.go_on(&mut topics, Roughness { restored: 200, largest_batch: 9, ..rough }, &mut random);
        let replies = topics.values_by_key("command-replies");
        assert_eq!(replies.values().map(Vec::len).sum::<usize>(), due.len());
        assert_same("command-replies", &replies, &expected.replies);
        assert_same("life-events", &undated(&topics.values_by_key("life-events")), &undated(&expected.life_events));
    }
}
