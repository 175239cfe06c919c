//! A tick by which one account of a hundred has work to do, in a partition of a million accounts: what the commits that do the work take, against those
//! of usage alone.
//!
//! Rate runs in memory, with one partition. What is measured is CPU time of the thread for one commit: executing a batch with the slice of due work
//! behind it, the bytes of its state and messages, settling. A commit on a broker takes its round trip besides.
//!
//! Run: `cargo bench -p rater-testkit --bench due`. Environment: `RATER_BENCH_ACCOUNTS` (1000000), `RATER_BENCH_COMMITS` (40, with work and without).

#[allow(dead_code, reason = "commits are measured one by one here")]
#[path = "shared/stages.rs"]
mod stages;
#[path = "shared/table.rs"]
mod table;

use directory::{Input, InputKind, load};
use rating::Timestamp;
use runtime::worker::log::{Batch, Incoming, Offset, Partition, Tick};
use runtime::worker::{Output, Stage};
use stages::{Message, cpu_seconds, guide, setting};
use std::fmt::Write;
use table::{grouped, median};
use testkit::stages::rate;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITION: Partition = Partition { topic: 0, number: 0 };
/// Messages to a batch of guide: what it packs together.
const PACKED: usize = 500;

/// A stage with one partition, and where it is.
struct Running<S> {
    stage: S,
    position: Offset,
    output: Output,
}

impl<S: Stage> Running<S> {
    fn new(mut stage: S) -> Running<S> {
        stage.create(PARTITION);
        stage.restored(PARTITION).expect("empty state");
        Running { stage, position: 0, output: Output::default() }
    }

    /// One commit: its CPU time in seconds. What it wrote is in the output.
    fn commit(&mut self, messages: &[Message]) -> f64 {
        self.commit_with(messages, None)
    }

    /// The same behind a tick.
    fn commit_with(&mut self, messages: &[Message], tick: Option<Tick>) -> f64 {
        let mut batch = Batch::default();
        tick.into_iter().for_each(|tick| batch.push_tick(tick));
        for (key, value) in messages {
            let (partition, offset) = (PARTITION, self.position);
            batch.push(Incoming { partition, side: None, offset, key: Some(key), value, trace: None });
            self.position += 1;
        }
        let start = cpu_seconds();
        self.output.clear();
        self.stage.prepare(&batch).expect("facts");
        self.stage.execute(&batch, &mut self.output).expect("executed");
        self.stage.settle();
        cpu_seconds() - start
    }
}

/// Has guide pack a tick.
fn ticked(guide: &mut Running<impl Stage>, offset: Offset, at: &str) -> Vec<Message> {
    let instant = Timestamp::parse(at).expect("a time");
    guide.commit_with(&[], Some(Tick { partition: PARTITION, side: 0, offset, instant }));
    for_rate(guide).collect()
}

/// Reads from the output of guide what it packed for rate.
fn for_rate<S: Stage>(guide: &Running<S>) -> impl Iterator<Item = Message> {
    let of_rate = guide.output.messages(guide.stage.outputs()).filter(|message| message.topic == "guided");
    of_rate.map(|message| (Vec::new(), message.value.expect("a packed message").to_vec()))
}

/// Has guide pack lines: messages for rate.
fn guided(guide: &mut Running<impl Stage>, lines: &[String]) -> Vec<Message> {
    let mut messages = Vec::new();
    for lines in lines.chunks(PACKED) {
        let lines: Vec<Message> = lines.iter().map(|line| (Vec::new(), line.clone().into_bytes())).collect();
        guide.commit(&lines);
        messages.extend(for_rate(guide));
    }
    messages
}

fn main() {
    let (accounts, commits) = (setting("ACCOUNTS", 1_000_000_usize), setting("COMMITS", 40_usize));
    let mut yaml = "format: rater/v1
tariffs:
  t: { currency: GBP, versions: [{ from: 2020-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }] }
accounts:
  op: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: op, currency: GBP, tariff: t }
endpoints:
"
    .to_owned();
    for number in 0..accounts {
        let _ = writeln!(yaml, "  e{number}: {{ customer: acme, plan: {{ tariff: t }} }}");
    }
    let input = Input { name: "due.yaml".to_owned(), bytes: yaml.into_bytes(), kind: InputKind::Yaml };
    let loaded = load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
    let command = |kind: &str, number: usize, more: &str, at: &str| {
        format!(
            r#"{{"command_id":"{kind}-{number}","kind":"{kind}","account_id":"acme/e{number}","issued_by":"acme","effective_time":"{at}"{more}}}"#
        )
    };
    let usage = |number: usize| {
        let endpoint = number.wrapping_mul(7_919) % accounts;
        format!(
            r#"{{"id":"u{number}","source":"bench","service":"data","quantity":100000,"event_time":"2026-03-05T14:00:00Z","endpoint_id":"e{endpoint}"}}"#
        )
    };
    println!(
        "\n### due: {} accounts in one partition, {} of them with work\n",
        grouped(accounts as f64),
        grouped(accounts as f64 / 100.0)
    );
    println!(
        "| usage to a commit | median without work, ms | longest with work, ms | ratio | aim | commits with work | accounts a ms of work |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for per_commit in [2_000, 20_000] {
        let (mut guide, mut rate) = (Running::new(guide(&loaded, 1, false)), Running::new(rate(1, 1)));
        let money = (0..accounts)
            .map(|number| command("top_up", number, r#","amount":"5","currency":"GBP""#, "2026-03-01T00:00:00Z"));
        let money: Vec<String> = money.collect();
        let ahead: Vec<String> =
            (0..accounts / 100).map(|number| command("suspend", number * 100, "", "2026-03-05T15:00:00Z")).collect();
        rate.commit(&ticked(&mut guide, 0, "2026-03-05T14:00:00Z"));
        for message in guided(&mut guide, &[money, ahead].concat()).chunks(40) {
            rate.commit(message);
        }
        assert!(!rate.stage.has_work() && rate.stage.status().entries as usize >= accounts);
        let records: Vec<String> = (0..2 * commits * per_commit).map(usage).collect();
        let (before, after) = records.split_at(commits * per_commit);
        let commits_of = |guide: &mut Running<_>, records: &[String]| -> Vec<Vec<Message>> {
            records.chunks(per_commit).map(|records| guided(guide, records)).collect()
        };
        let mut quiet = Vec::new();
        for messages in commits_of(&mut guide, before) {
            quiet.push(rate.commit(&messages));
            let charges = rate.output.messages(rate.stage.outputs()).filter(|message| message.topic == "charges");
            assert!(charges.count() >= per_commit, "each record is charged");
        }
        let (usual, _) = median(quiet);
        let mut late = ticked(&mut guide, 1, "2026-03-05T16:00:00Z");
        let mut busy = Vec::new();
        for messages in commits_of(&mut guide, after) {
            late.extend(messages);
            let took = rate.commit(&late);
            late.clear();
            busy.push(took);
            if !rate.stage.has_work() {
                break;
            }
        }
        assert!(!rate.stage.has_work(), "the work was not done within {commits} commits");
        // Usage catches up with the accounts that it touches; the rest is done by 1,000 a commit.
        assert!(busy.len() > 1 || accounts <= 100_000, "all of it was done at once");
        let (longest, all) = (busy.iter().copied().fold(0.0, f64::max), busy.iter().sum::<f64>());
        let of_work_ms = 1e3 * (all - busy.len() as f64 * usual).max(1e-9);
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | 2 | {} | {} |",
            grouped(per_commit as f64),
            usual * 1e3,
            longest * 1e3,
            longest / usual,
            busy.len(),
            grouped(accounts as f64 / 100.0 / of_work_ms),
        );
    }
}
