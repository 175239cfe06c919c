//! Messages of every kind on every topic: each has exactly one outcome, by a count that knows nothing but places and ids.
//!
//! `RATER_DOORS_MESSAGES=10000` writes so many, `RATER_DOORS_SEED=7` writes those of a seed, which is printed.

use crate::support::{self, Deployment, LEVELS, USAGE, retry, usage};
use crate::{KNOWN, PARTITIONS, REFERENCE};
use runtime::registry::RegistryConfig;
use runtime::service::ServiceSettings;
use std::collections::BTreeSet;
use testkit::generator::random::Random;
use testkit::generator::stream::LineKind;
use testkit::load::Lines;
use testkit::registry::TestRegistry;

const TIME: &str = "2026-03-05T00:00:00Z";
const TOPICS: [&str; 4] = ["usage", "account-commands", "ticks", "retries"];

/// Writes messages, and counts what has to come of them.
struct Writer<'w> {
    random: Random,
    lines: [Lines; 2],
    deployment: &'w Deployment,
    number: u64,
    /// By topic: partition and message.
    messages: [Vec<(u32, Vec<u8>)>; 4],
    /// Usage that is certainly charged.
    charged: Vec<String>,
    /// What was written as it is: a copy of it is a duplicate.
    whole: Vec<(u32, Vec<u8>)>,
    copies: usize,
    /// Commands that are certainly answered, copies too.
    answered: usize,
    /// What is written to retries and is one.
    retries: usize,
}

impl Writer<'_> {
    fn id(&mut self, of: &str) -> String {
        self.number += 1;
        // So far apart that no broken byte makes one of another.
        format!("{of}-{}-{:016x}", self.number, self.random.bits())
    }

    fn usage(&mut self) -> (String, String) {
        let id = self.id("u");
        let line = usage(&id, KNOWN, TIME);
        (id, line)
    }

    /// A command to an account that has no usage.
    fn command(&mut self) -> String {
        let id = self.id("c");
        let amount = self.random.between(1, 999);
        format!(
            r#"{{"command_id":"{id}","kind":"credit","account_id":"other","issued_by":"alpha","effective_time":"{TIME}","amount":"{amount}","currency":"GBP"}}"#
        )
    }

    fn tick(&mut self) -> String {
        let ahead = jiff::SignedDuration::from_hours(30 * 24);
        let month =
            jiff::Timestamp::from_millisecond((jiff::Timestamp::now() + ahead).as_millisecond()).expect("a time");
        let at = if self.random.chance(500) { month.to_string() } else { TIME.to_owned() };
        format!(r#"{{"tick":"{at}"}}"#)
    }

    /// In one of the forms.
    fn form(&mut self, kind: LineKind, line: String) -> Vec<u8> {
        let at = self.random.index(3);
        let avro = self.lines.get(at).map(|lines| lines.message(kind, line.as_bytes()).expect("Avro"));
        avro.unwrap_or(line.into_bytes())
    }

    /// Cut, changed, or with something in it.
    fn break_it(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.random.between(1, 3) {
            let at = self.random.index(message.len().max(1));
            match self.random.index(4) {
                0 => message.truncate(at),
                1 => message.insert(at, self.random.bits().to_le_bytes()[0]),
                2 if !message.is_empty() => drop(message.remove(at)),
                _ if !message.is_empty() => message[at] = self.random.bits().to_le_bytes()[0],
                _ => {}
            }
        }
        message
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = match self.random.index(20) {
            0 => 1_000_000,
            1 => 0,
            _ => self.random.index(200),
        };
        let first = *self.random.pick(&[b'{', 0, 0xc3, b'[', b'"', b'x', 1]);
        let mut bytes: Vec<u8> = (0..length).map(|_| self.random.bits().to_le_bytes()[0]).collect();
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        bytes
    }

    /// A retry that Rater could have written, of a message that only it carries.
    fn retry(&mut self) -> (String, String) {
        let (id, line) = self.usage();
        let topic = self.deployment.topic("usage");
        let reason = *self.random.pick(&["unknown_endpoint", "future_event", "too_late"]);
        (id, retry((&topic, 1, 1_000_000 + i64::try_from(self.number).expect("small")), reason, line.as_bytes(), ""))
    }

    fn write(&mut self, topic: usize) {
        let partition = u32::from(self.random.chance(500));
        let message = match (topic, self.random.index(10)) {
            (0, 0..=2) => {
                let (id, line) = self.usage();
                self.charged.push(id);
                let message = self.form(USAGE, line);
                self.whole.push((partition, message.clone()));
                message
            }
            (0, 3) if !self.whole.is_empty() => {
                let (partition, message) = self.random.pick(&self.whole).clone();
                self.copies += 1;
                return self.messages[0].push((partition, message));
            }
            (1, 0..=2) => {
                self.answered += 1;
                let line = self.command();
                self.form(LineKind::Command, line)
            }
            (0, 4) => {
                let line = self.command();
                self.form(LineKind::Command, line)
            }
            (0 | 1, 5) => {
                let line = self.tick();
                self.form(LineKind::Tick, line)
            }
            (0 | 1, 6) => self.retry().1.into_bytes(),
            (1, 3) => {
                let (_, line) = self.usage();
                self.form(USAGE, line)
            }
            (0 | 1, 7 | 8) => {
                let message = match topic {
                    0 => {
                        let (_, line) = self.usage();
                        self.form(USAGE, line)
                    }
                    _ => {
                        let line = self.command();
                        self.form(LineKind::Command, line)
                    }
                };
                self.break_it(message)
            }
            (2, 0) => self.tick().into_bytes(),
            (2, 1) => self.retry().1.into_bytes(),
            (2 | 3, 2) => {
                let line = self.usage().1;
                self.form(USAGE, line)
            }
            (2 | 3, 3) => {
                let line = self.command();
                self.form(LineKind::Command, line)
            }
            (2 | 3, 4) => {
                let line = self.tick();
                let mut message = self.form(LineKind::Tick, line);
                message.pop();
                message
            }
            (3, 0 | 1) => {
                self.retries += 1;
                let (id, line) = self.retry();
                self.charged.push(id);
                line.into_bytes()
            }
            (3, 5 | 6) => {
                let line = self.retry().1.into_bytes();
                let end = self.random.index(line.len());
                line[..end].to_vec()
            }
            (3, 7) => {
                let topic = self.deployment.topic("usage");
                retry((&topic, 0, 0), "no_such_reason", b"x", "").into_bytes()
            }
            (3, 8) => {
                // What nobody ever wrote is not kept, and does not leave.
                self.retries += 1;
                let topic = self.random.pick(&["usage", "nothing", ""]).to_string();
                let wanted = *self.random.pick(&["hold", "leave"]);
                let more = format!(r#","wanted":"{wanted}""#);
                let line = self.usage().1;
                retry((&self.deployment.topic(&topic), 7, 3), "unknown_endpoint", line.as_bytes(), &more).into_bytes()
            }
            _ => self.garbage(),
        };
        let partition = if topic == 2 { 0 } else { partition };
        self.messages[topic].push((partition, message));
    }
}

#[test]
fn each_message_of_whatever_kind_on_whatever_topic_has_one_outcome() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("RATER_DOORS_SEED").unwrap_or(14);
    let count = number("RATER_DOORS_MESSAGES").unwrap_or(600);
    println!("RATER_DOORS_SEED={seed} RATER_DOORS_MESSAGES={count}");
    std::thread::scope(|scope| {
        for skip_intake in [false, true] {
            scope.spawn(move || everything(seed, count / 2, skip_intake));
        }
    });
}

fn everything(seed: u64, count: u64, skip_intake: bool) {
    let registry = TestRegistry::start().expect("a registry");
    let deployment = Deployment::new(&format!("everything-{skip_intake}"), PARTITIONS, skip_intake, Some(72));
    let lines = [None, Some(&*registry.url())].map(|url| support::avro(url, &deployment.prefix));
    let mut writer = Writer {
        random: Random::new(seed),
        lines,
        deployment: &deployment,
        number: 0,
        messages: [const { Vec::new() }; 4],
        charged: Vec::new(),
        whole: Vec::new(),
        copies: 0,
        answered: 0,
        retries: 0,
    };
    for _ in 0..count {
        let topic = writer.random.index(TOPICS.len());
        writer.write(topic);
    }
    let registered = || Some(RegistryConfig::new(registry.url()));
    let running = deployment.start_with(REFERENCE, |settings| ServiceSettings { registry: registered(), ..settings });
    deployment.tick(TIME);
    // In slices, so that batches hold several topics.
    let most = writer.messages.iter().map(Vec::len).max().unwrap_or(0);
    for from in (0..most).step_by(40) {
        for (topic, messages) in TOPICS.iter().zip(&writer.messages) {
            let slice = messages.iter().skip(from).take(40).map(|(partition, value)| (*partition, value));
            deployment.write(topic, slice);
        }
    }
    let written: Vec<usize> = writer.messages.iter().map(Vec::len).collect();
    let [usage, commands, _, retries] = written[..] else { panic!("{written:?}") };
    let expected = || {
        let found = Outcomes::of(&deployment);
        let all_usage = found.suspended("usage") + found.charged.len() + writer.copies;
        let all_commands = found.suspended("account-commands") + found.replies;
        // Retries that were carried out are charged too.
        let carried = writer.charged.len() - writer.whole.len();
        (all_usage == usage + carried
            && all_commands == commands
            && found.suspended("retries") + writer.retries == retries)
            .then_some(found)
    };
    let deadline = std::time::Instant::now() + support::LIMIT;
    let found = loop {
        if let Some(found) = expected() {
            break found;
        }
        let is_late = running.has_ended() || std::time::Instant::now() > deadline;
        assert!(
            !is_late,
            "written {written:?}, {} copies, {} retries; {:#?} ended: {}; {:#?}",
            writer.copies,
            writer.retries,
            Outcomes::of(&deployment).summary(),
            running.has_ended(),
            running.reports().last()
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
    };
    for id in &writer.charged {
        assert!(found.charged.contains(id), "{id} is not charged");
    }
    assert!(found.replies >= writer.answered, "{} replies, {} commands", found.replies, writer.answered);
    // The clock is where the good tick has put it: what is in its window is charged, whatever stood among the ticks.
    deployment
        .write("usage", (0..2).map(|at| (at, support::usage(&format!("last-{at}"), KNOWN, "2026-03-02T00:00:00Z"))));
    deployment.wait("the last", &running, |deployment| {
        let charged = deployment.charged();
        (0..2).all(|at| charged.is_charged(&format!("last-{at}")))
    });
    let last = Outcomes::of(&deployment);
    assert_eq!(last.places, found.places, "something is suspended twice");
    running.stop().expect("nothing of it stops a worker");
}

/// What came of everything.
struct Outcomes {
    /// Usage ids that are charged, on each level once.
    charged: BTreeSet<String>,
    replies: usize,
    /// What waits as a whole and comes from an input: topic, partition, offset.
    places: BTreeSet<(String, i64, i64)>,
}

impl Outcomes {
    fn of(deployment: &Deployment) -> Outcomes {
        let charged = deployment.charged();
        let ids: BTreeSet<String> = charged.by_leg.keys().map(|(id, _)| id.clone()).collect();
        let mut places = BTreeSet::new();
        let mut legs = BTreeSet::new();
        for row in deployment.rows("suspense") {
            let place = row.place(&deployment.prefix);
            match row.number("level") {
                None => assert!(places.insert(place.clone()), "suspended twice: {place:?} {}", row.text("reason")),
                Some(_) => drop(legs.insert(row.text("usage_id").to_owned())),
            }
        }
        // A record of which every leg waits passed as well.
        let charged = ids.union(&legs).cloned().collect();
        Outcomes { charged, replies: deployment.messages("command-replies").len(), places }
    }

    fn suspended(&self, topic: &str) -> usize {
        self.places.iter().filter(|(name, ..)| name == topic).count()
    }

    fn summary(&self) -> String {
        let topics = ["usage", "account-commands", "retries"].map(|topic| (topic, self.suspended(topic)));
        format!("{} charged on {LEVELS} levels, {} replies, suspended {topics:?}", self.charged.len(), self.replies)
    }
}
