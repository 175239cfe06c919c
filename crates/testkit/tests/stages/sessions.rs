//! An endpoint with thousands of sessions, a customer with thousands of endpoints: what a commit writes does not grow with them, and what is
//! restored, undone and compacted charges as the engine does.

use super::memory::{Roughness, Running, Topics};
use super::{Horizon, SOURCE, load, rate_lines, undated};
use directory::Loaded;
use runtime::stages::{GuideSettings, GuideStage, RateSettings, RateStage};
use std::fmt::Write;
use testkit::generator::random::Random;
use testkit::stages::{self, inbound};

/// More than one change holds.
const SESSIONS: u64 = 6_000;
const ENDPOINTS: u64 = 3_000;
/// Records that come one by one when all sessions are there.
const LATER: u64 = 400;

fn reference() -> String {
    let mut text = "
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions:
      - from: 2026-01-01T00:00:00Z
        rates:
          - { service: data, price: 0.10/MB, increment: 100 KB, per: session, connect: 0.50 }
          - { service: sms, price: 0.10/message }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints:
"
    .to_owned();
    for number in 0..ENDPOINTS {
        let _ = writeln!(text, "  meter-{number}: {{ customer: acme, imsi: 00101{number:010} }}");
    }
    text
}

fn record(id: u64, endpoint: u64, session: u64) -> Vec<u8> {
    record_at(id, endpoint, session, 0, 0)
}

fn record_at(id: u64, endpoint: u64, session: u64, hour: u64, minute: u64) -> Vec<u8> {
    format!(
        "{{\"id\":\"r{id}\",\"source\":\"s\",\"service\":\"data\",\"quantity\":{},\"event_time\":\"2026-05-01T{hour:02}:{minute:02}:00Z\",\
         \"imsi\":\"00101{endpoint:010}\",\"session_id\":\"{session}\"}}",
        1_000 + id % 190_000,
    )
    .into_bytes()
}

struct Chain {
    loaded: Loaded,
    horizon: Horizon,
    topics: Topics,
    random: Random,
    guide: Running<GuideStage>,
    rate: Running<RateStage>,
    lines: Vec<Vec<u8>>,
}

impl Chain {
    fn new(horizon: Horizon) -> Chain {
        let Horizon { duplicate_window_h, state_horizon_h } = horizon;
        let loaded = load(&reference());
        let mut topics = Topics::default();
        for topic in
            ["usage", "guide-changelog", "guided", "rate-changelog", "charges", "balance-deltas", "notifications"]
                .into_iter()
                .chain(["suspense", "waiting", "command-replies", "life-events"])
        {
            topics.create(topic, 1);
        }
        topics.create("ticks", 1);
        let settings = GuideSettings { duplicate_window_h, state_horizon_h, ..stages::guide_settings(None, 1) };
        let guide = GuideStage::new(settings, inbound(SOURCE), loaded.directory());
        let rate = RateStage::new(RateSettings { duplicate_window_h, state_horizon_h, ..stages::rate_settings(1, 1) });
        let (guide, rate) = (Running::new(guide, &topics), Running::new(rate, &topics));
        Chain { loaded, horizon, topics, random: Random::new(7), guide, rate, lines: Vec::new() }
    }

    fn write(&mut self, line: Vec<u8>) {
        let topic = if line.starts_with(b"{\"tick\"") { "ticks" } else { "usage" };
        self.topics.append(topic, 0, (None, Some(line.clone())));
        self.lines.push(line);
    }

    fn go_on(&mut self, roughness: Roughness) {
        let smooth = Roughness { undone: 0, restored: 0, largest_batch: roughness.largest_batch };
        self.guide.go_on(&mut self.topics, smooth, &mut self.random);
        self.rate.go_on(&mut self.topics, roughness, &mut self.random);
    }

    /// Messages and bytes of rate's changelog.
    fn written(&self) -> (usize, usize) {
        let messages = self.topics.messages("rate-changelog", 0);
        (messages.len(), messages.iter().map(|(_, value)| value.as_ref().map_or(0, Vec::len)).sum())
    }

    fn check(&self) {
        let expected = rate_lines(&self.loaded, self.horizon, &self.lines);
        for (topic, expected) in [("charges", expected.charges), ("balance-deltas", expected.deltas)] {
            assert!(undated(&self.topics.values_by_key(topic)) == undated(&expected), "{topic} differ");
        }
    }
}

#[test]
fn what_a_commit_writes_does_not_grow_with_sessions_and_endpoints() {
    let mut chain = Chain::new(Horizon::FAR);
    for id in 0..SESSIONS {
        chain.write(record(id, 0, id));
    }
    for id in SESSIONS..SESSIONS + ENDPOINTS {
        chain.write(record(id, id - SESSIONS, 0));
    }
    chain.go_on(Roughness { undone: 300, restored: 0, largest_batch: 2_000 });
    let before = chain.written();
    // Each of these is a commit of its own: a session that goes on, and one of another endpoint.
    for id in 0..LATER {
        let number = SESSIONS + ENDPOINTS + 2 * id;
        chain.write(record(number, 0, id * 13 % SESSIONS));
        chain.write(record(number + 1, 1 + id, 0));
        chain.go_on(Roughness { undone: 300, restored: 0, largest_batch: 2 });
    }
    let after = chain.written();
    let (commits, bytes) = (after.0 - before.0, after.1 - before.1);
    assert!(commits >= LATER as usize, "{commits} commits");
    // Two records change two sessions, of some 60 bytes each. The share of the sweep once has the endpoint with all its sessions.
    let whole = 60 * SESSIONS as usize;
    assert!(bytes < 600 * commits + 2 * whole, "{} bytes a commit, {bytes} in all", bytes / commits);
    chain.check();
}

/// A few endpoints with all sessions: whole members are swept now and then, and what they take is made up for.
#[test]
fn what_commits_write_over_time_is_in_proportion_to_what_they_change() {
    let mut chain = Chain::new(Horizon::FAR);
    const HEAVY: u64 = 3;
    for id in 0..SESSIONS {
        chain.write(record(id, id % HEAVY, id));
    }
    chain.go_on(Roughness { undone: 0, restored: 0, largest_batch: 2_000 });
    let before = chain.written();
    for id in SESSIONS..SESSIONS + 3 * LATER {
        chain.write(record(id, id % HEAVY, id % SESSIONS));
        chain.go_on(Roughness { undone: 200, restored: 0, largest_batch: 2 });
    }
    let after = chain.written();
    let (commits, bytes) = (after.0 - before.0, after.1 - before.1);
    // One of the endpoints may have been swept in advance.
    let piece = 80 * (SESSIONS / HEAVY) as usize;
    assert!(bytes < 600 * commits + piece, "{} bytes a commit, {bytes} in all", bytes / commits);
    chain.check();
}

#[test]
fn thousands_of_sessions_are_restored_as_they_were() {
    for endpoints in [1, 3] {
        let mut chain = Chain::new(Horizon::FAR);
        for id in 0..SESSIONS {
            chain.write(record(id, id % endpoints, id));
        }
        chain.go_on(Roughness { undone: 200, restored: 500, largest_batch: 800 });
        for id in SESSIONS..SESSIONS + LATER {
            let session = chain.random.below(SESSIONS);
            chain.write(record(id, session % endpoints, session));
        }
        chain.go_on(Roughness { undone: 300, restored: 300, largest_batch: 12 });
        chain.check();
    }
}

/// Sessions that lie behind the state horizon begin anew, whether they were dropped from memory, are still in the changelog or came back from it; those that
/// another rate or nothing priced meanwhile go on.
#[test]
fn sessions_behind_the_horizon_are_forgotten_alike_after_a_restore() {
    for state_horizon_h in [1, 3, 45 * 24] {
        let mut chain = Chain::new(Horizon { duplicate_window_h: Some(1), state_horizon_h });
        let mut id = 0;
        for hour in 0..8 {
            for number in 0..150 {
                // Some sessions go on from hour to hour, some rest for hours and go on then.
                let session = if number % 2 == 0 { number } else { (number + 1 + 7 * hour) % 150 };
                let line = record_at(id, 0, session, hour, number % 60);
                chain.write(match (session + hour) % 4 {
                    0 => replace(&line, "\"service\":\"data\",\"quantity\":", "\"service\":\"sms\",\"quantity\":"),
                    1 => replace(
                        &line,
                        "\"quantity\":",
                        "\"direction\":\"mo\",\"quantity\":0,\"last\":false,\"sequence\":",
                    ),
                    _ => line,
                });
                id += 1;
            }
            chain.write(format!("{{\"tick\":\"2026-05-01T{:02}:00:00Z\"}}", hour + 1).into_bytes());
            chain.go_on(Roughness { undone: 300, restored: 200, largest_batch: 5 });
        }
        chain.check();
    }
}

fn replace(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(line).replace(from, to).into_bytes()
}
