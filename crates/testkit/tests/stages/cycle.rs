//! Bundles that reference data grant: bought on a log as in files, when they are due and once, however often the stage is undone and restored, and
//! whether its directory answers or not.

use super::memory::{Roughness, Running, Topics};
use super::{Horizon, assert_same, load, rate_lines, undated};
use directory::snapshot::Snapshot;
use directory::{Directory, Needs, Unavailable};
use rating::Timestamp;
use runtime::grants::grant_lines;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::generator::random::Random;
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
        let mut topics = Topics::default();
        for (topic, partitions) in
            [("ticks", 1), ("cycle-changelog", 1), ("guided", 4), ("rate-changelog", 4), ("charges", 2)]
                .into_iter()
                .chain(
                    ["balance-deltas", "notifications", "suspense", "waiting", "command-replies", "life-events"]
                        .map(|topic| (topic, 2)),
                )
        {
            topics.create(topic, partitions);
        }
        let directory: Arc<dyn Directory> = match answers {
            true => loaded.directory(),
            false => Arc::new(Sometimes { snapshot: loaded.snapshot.clone(), asked: AtomicU32::new(0) }),
        };
        let mut random = Random::new(seed);
        let rough = Roughness { undone: 300, restored: 200, largest_batch: 3 };
        let mut cycle = Running::new(stages::cycle(4, directory), &topics);
        let tick = |at: &str| (None, Some(format!("{{\"tick\":\"{at}\"}}").into_bytes()));
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
