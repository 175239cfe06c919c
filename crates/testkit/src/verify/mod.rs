//! An independent look at everything that a deployment read and wrote: is each record there once, does each leg have its outcome, do the
//! books balance, and does the embedded engine charge the same?
//!
//! It reads committed messages only, with its own reading of Avro, and shares no code with the stages except
//! [`read_guided`], the documented way to read the guided log.
//!
//! | check | how |
//! | --- | --- |
//! | usage records = guided + duplicates + waiting | each input message, by its place, its bytes and its identity; a copy counts as one only if it says the same |
//! | what is at the wrong door | waits as `wrong_kind` (or cannot be read), once, and is never charged or answered |
//! | retries | each has an outcome, or is a copy of a record that was charged; nothing is charged twice over all copies |
//! | clock | guide hands on no tick that is later than those written; one ahead of the log is none |
//! | too late | only what happened before the window, where that is given; of its copies one is charged at most |
//! | legs = charged + waiting | by identity and level, each once |
//! | packed sequences | without gaps from 1 for each source and target |
//! | charges and deltas | ids once; sequences without gaps from 1; balances are sums; each charge has its deltas; sums per currency |
//! | replies | one to each command, and none carried out twice |
//! | the engine | given the guided log, puts out the same bytes for each account in the same order; versions of reference data are known ones |
//!
//! Memory grows with the number of input messages (about 80 bytes each) and of charges (8 bytes each), and with accounts; the engine's
//! outputs are compared as they come, by a running hash per account.
//!
//! Left out: re-rating, and several editions of prices. With a finite window the engine is not compared with: its clock is another one.

mod avro;
mod clock;
mod differences;
mod earlier;
mod engine;
mod framed;
mod guided;
mod inputs;
mod money;
mod reader;
mod report;
mod said;

pub use clock::wait_for_clock;
pub use earlier::{EarlierTopic, ends_of};
pub use report::{Report, Row, SHOWN};

use crate::load::Connection;
use avro::Found;
use directory::Directory;
pub use engine::Clocks;
use engine::{Contracts, Outputs, Rating};
use framed::{Framed, Schemas};
use guided::Sequences;
use inputs::{Inputs, ON_THEIR_WAY, Waiting};
use money::{Charge, Delta, Ledger};
use reader::Reader;
use runtime::stages::{GuidedEntry, read_guided};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an input topic takes; anything else that is written there waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Usage.
    Usage,
    /// Commands.
    Commands,
    /// Both.
    Both,
}

/// The topics of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What others write, by full names, and of what kind that is.
    pub inputs: Vec<(String, Takes)>,
    /// Stands before the names of all other topics and of groups.
    pub prefix: String,
    /// Guide reads the inputs itself: there is no topic between intake and guide.
    pub skip_intake: bool,
}

impl Layout {
    /// The topics of `rater run` by their default names.
    #[must_use]
    pub fn new(prefix: &str) -> Layout {
        let inputs = [("usage", Takes::Usage), ("account-commands", Takes::Commands)];
        let inputs = inputs.map(|(name, takes)| (format!("{prefix}{name}"), takes));
        Layout { inputs: inputs.to_vec(), prefix: prefix.to_owned(), skip_intake: false }
    }

    fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|(name, _)| name.clone()).collect()
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The groups of the stages, with what they read.
    fn stages(&self) -> Vec<(String, Vec<String>)> {
        let (intaken, guided) = (vec![self.topic("intaken")], vec![self.topic("guided")]);
        let first = match self.skip_intake {
            true => vec![(self.topic("rater-guide"), self.input_names())],
            false => {
                vec![(self.topic("rater-intake"), self.input_names()), (self.topic("rater-guide"), intaken)]
            }
        };
        let last = [(self.topic("rater-rate"), guided), (self.topic("rater-recycle"), vec![self.topic("waiting")])];
        first.into_iter().chain(last).collect()
    }
}

/// What the embedded engine rates by.
#[derive(Clone, Debug)]
pub struct EngineReference {
    /// The reference data, which rate everything.
    pub directory: Arc<dyn Directory>,
    /// Its version, and those of others by which something may have been guided: they rate what they know in the same way.
    pub versions: Vec<String>,
    /// Threads of the engine.
    pub threads: usize,
}

impl EngineReference {
    /// The generated reference data in a directory.
    ///
    /// # Errors
    /// Files that cannot be read, or reference data with errors.
    pub fn load(directory: &Path) -> Result<EngineReference, VerifyError> {
        let loaded = crate::reference::load(directory).map_err(|error| VerifyError::Refused(error.to_string()))?;
        Ok(EngineReference { directory: loaded.directory(), versions: vec![loaded.version()], threads: 1 })
    }
}

/// What is verified.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The cluster.
    pub connection: Connection,
    /// The topics.
    pub layout: Layout,
    /// A schema registry, where messages name schemas by its ids.
    pub registry: Option<String>,
    /// Source of records that name none, as the deployment has it.
    pub default_source: String,
    /// For the comparison with the engine; none is made without.
    pub reference: Option<EngineReference>,
    /// How long to wait until all stages have read everything; zero does not wait.
    pub wait: Duration,
    /// Input topics that were there before others were made under their names.
    pub earlier: Vec<EarlierTopic>,
    /// For how many hours behind the clock of ticks ids of records and of commands are remembered, where that is to be checked.
    pub window_h: Option<[u32; 2]>,
}

impl Verification {
    /// Of a deployment with default names, without an engine and without waiting.
    #[must_use]
    pub fn new(brokers: &str, prefix: &str) -> Verification {
        Verification {
            connection: Connection::new(brokers),
            layout: Layout::new(prefix),
            registry: None,
            default_source: "kafka".to_owned(),
            reference: None,
            wait: Duration::ZERO,
            earlier: Vec::new(),
            window_h: None,
        }
    }
}

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// Brokers or a registry that do not answer, topics that are not there.
    Surroundings(String),
    /// Messages that are no longer there, or settings that are wrong.
    Refused(String),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Surroundings(what) | VerifyError::Refused(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for VerifyError {}

/// A hash that is the same all through a run of this program.
fn hash_of(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// Reads everything and compares. `progress` is told what is being read. What is tried again while it looks on has no outcome yet: then it looks again,
/// until the time to wait is over.
///
/// # Errors
/// See [`VerifyError`]; differences are no error, they are in the report.
pub fn verify(what: &Verification, progress: &mut dyn FnMut(&str)) -> Result<Report, VerifyError> {
    let deadline = Instant::now() + what.wait;
    loop {
        let mut report = look(what, progress)?;
        let on_their_way = report.row(ON_THEIR_WAY).map_or("0", |row| &row.found).to_owned();
        if on_their_way == "0" || what.wait.is_zero() {
            return Ok(report);
        }
        if Instant::now() >= deadline {
            report.give_up();
            report.end("retries that stay without an outcome", 0, on_their_way);
            return Ok(report);
        }
        progress(&format!("{on_their_way} retries are on their way: looking again"));
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until each stage has read all that there is for it.
///
/// # Errors
/// No answer, or not done within `limit`.
pub fn wait_until_drained(connection: &Connection, layout: &Layout, limit: Duration) -> Result<(), VerifyError> {
    Reader::new(connection)?.wait_until_drained(layout, limit)
}

/// Pause before everything is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

fn look<'w>(what: &'w Verification, progress: &mut dyn FnMut(&str)) -> Result<Report, VerifyError> {
    let reader = Reader::new(&what.connection)?;
    if !what.wait.is_zero() {
        progress("waiting for the stages");
        reader.wait_until_drained(&what.layout, what.wait)?;
    }
    let mut look = Look {
        what,
        schemas: Schemas::new(what.registry.as_deref())?,
        contracts: Contracts::new()?,
        inputs: Inputs::new(&what.layout, &what.earlier, &what.default_source),
        report: Report::default(),
        found: Outputs::default(),
        expected: Outputs::default(),
        reader,
    };
    // In this order: later steps need what earlier ones have seen.
    let steps: [(&str, Step<'w>); 10] = [
        ("looking for open transactions", Look::open_transactions),
        ("reading ticks", Look::ticks),
        ("reading inputs", Look::inputs),
        ("reading what intake hands over", Look::intaken),
        ("reading what guide hands over", Look::guided),
        ("reading suspense", Look::suspense),
        ("reading charges and balance deltas", Look::money),
        ("reading notifications", Look::notifications),
        ("reading replies", Look::replies),
        ("comparing with the engine", Look::compare),
    ];
    for (name, step) in steps {
        progress(name);
        step(&mut look)?;
    }
    let Look { mut inputs, mut report, .. } = look;
    inputs.finish(&mut report);
    Ok(report)
}

/// A part of a verification.
type Step<'w> = fn(&mut Look<'w>) -> Result<(), VerifyError>;

/// A verification at work.
struct Look<'w> {
    what: &'w Verification,
    reader: Reader,
    schemas: Schemas,
    contracts: Contracts,
    inputs: Inputs,
    report: Report,
    /// What the topics hold.
    found: Outputs,
    /// What the engine puts out.
    expected: Outputs,
}

impl Look<'_> {
    fn open_transactions(&mut self) -> Result<(), VerifyError> {
        let layout = &self.what.layout;
        let mut topics = layout.input_names();
        topics.extend(
            ["guided", "charges", "balance-deltas", "suspense", "notifications", "command-replies", "life-events"]
                .map(|name| layout.topic(name)),
        );
        for topic in &topics {
            for partition in self.reader.open_transactions(topic)? {
                self.report.differ(|| format!("topic {topic} partition {partition}: a transaction is open"));
            }
        }
        self.report.end("topics without open transactions", topics.len(), topics.len());
        Ok(())
    }

    /// The latest tick says from when on ids are remembered at most.
    fn ticks(&mut self) -> Result<(), VerifyError> {
        let Some(hours) = self.what.window_h else { return Ok(()) };
        let latest = clock::latest_tick(&self.reader, &self.what.layout)?;
        let from = |hours: u32| {
            let hour = latest.map(|latest| latest.div_euclid(3_600_000) - i64::from(hours));
            hour.map_or(i64::MIN, |hour| hour * 3_600_000)
        };
        let [records, commands] = hours.map(from);
        self.inputs.remember_from(records, commands);
        Ok(())
    }

    fn inputs(&mut self) -> Result<(), VerifyError> {
        for (number, (topic, _)) in (0..).zip(&self.what.layout.inputs) {
            let partitions = self.reader.partitions(topic)?;
            let (inputs, schemas) = (&mut self.inputs, &mut self.schemas);
            self.reader.read(topic, 0..partitions, |message| inputs.add(number, message, schemas))?;
        }
        let retries = self.what.layout.topic("retries");
        let partitions = self.reader.partitions(&retries)?;
        let (inputs, number) = (&mut self.inputs, inputs::number_of(self.what.layout.inputs.len()));
        self.reader.read(&retries, 0..partitions, |message| {
            inputs.add_retry(number, message);
            Ok(())
        })?;
        for (number, topic) in (number + 1..).zip(&self.what.earlier) {
            for message in topic.messages() {
                self.inputs.add(number, message, &mut self.schemas)?;
            }
        }
        self.inputs.note_retries(&mut self.report);
        Ok(())
    }

    fn intaken(&mut self) -> Result<(), VerifyError> {
        if self.what.layout.skip_intake {
            return Ok(());
        }
        let topic = self.what.layout.topic("intaken");
        let mut count = 0;
        for partition in 0..self.reader.partitions(&topic)? {
            let mut sequences = Sequences::default();
            let report = &mut self.report;
            self.reader.read(&topic, [partition], |message| {
                sequences.add(&topic, message, report);
                Ok(())
            })?;
            count += sequences.messages;
        }
        self.report.end("sequences from intake to guide", count, count);
        Ok(())
    }

    fn guided(&mut self) -> Result<(), VerifyError> {
        let topic = self.what.layout.topic("guided");
        let (mut count, mut latest) = (0, None);
        let senders = clock::senders(&self.reader, &self.what.layout)?;
        for partition in 0..self.reader.partitions(&topic)? {
            let mut sequences = Sequences::default();
            let mut rating = self
                .what
                .reference
                .as_ref()
                .map(|reference| Rating::new(reference, &self.what.default_source, senders));
            let Look { reader, report, inputs, schemas, contracts, expected, .. } = &mut *self;
            let mut sink = |output: &_| engine::collect(output, contracts, expected);
            reader.read(&topic, [partition], |message| {
                sequences.add(&topic, message, report);
                let guided = match read_guided(message.value) {
                    Ok(guided) => guided,
                    Err(error) => {
                        let place = format!("{topic}:{partition}:{}", message.offset);
                        report.differ(|| format!("{place}: {error}"));
                        return Ok(());
                    }
                };
                for entry in &guided.entries {
                    match entry {
                        GuidedEntry::Legs { origin, original, levels, .. } => {
                            levels.iter().for_each(|(level, _)| inputs.guided(origin, original, *level, report));
                        }
                        GuidedEntry::Command { command_id, .. } => inputs.command_guided(command_id, report),
                        GuidedEntry::Change(_) => {}
                        GuidedEntry::Tick(instant) => latest = latest.max(Some(instant.millis())),
                    }
                }
                rating.as_mut().map_or(Ok(()), |rating| rating.add(&guided, schemas, &mut sink))
            })?;
            if let Some(rating) = &mut rating {
                rating.flush(&mut sink)?;
            }
            count += sequences.messages;
        }
        self.report.end("sequences from guide to rate", count, count);
        // Afterwards: ticks go on while this reads.
        let written = clock::latest_tick(&self.reader, &self.what.layout)?;
        if latest > written {
            self.report.differ(|| format!("guided: it is {}, and no tick says so", clock::show(latest)));
        }
        self.report.end("latest tick, at most", clock::show(written), clock::show(latest));
        Ok(())
    }

    fn suspense(&mut self) -> Result<(), VerifyError> {
        let topic = self.what.layout.topic("suspense");
        let mut count = 0_u64;
        let partitions = self.reader.partitions(&topic)?;
        let Look { reader, report, inputs, schemas, found, .. } = &mut *self;
        reader.read(&topic, 0..partitions, |message| {
            let place = || format!("{topic}:{}:{}", message.partition, message.offset);
            let Framed::Avro(layout, datum) = schemas.take_apart(message.value)? else {
                report.differ(|| format!("{}: no known schema", place()));
                return Ok(());
            };
            let fields = match layout.read(datum) {
                Ok(fields) => fields,
                Err(error) => {
                    report.differ(|| format!("{}: {error}", place()));
                    return Ok(());
                }
            };
            count += 1;
            let of = |name: &str| layout.place(name).and_then(|at| fields.get(at).copied());
            let text = |name: &str| of(name).and_then(|value| value.text()).unwrap_or_default();
            let number = |name: &str| of(name).and_then(|value| value.long());
            let level = number("level");
            // What guide could not hand over again has not been rated again.
            if let Some(level) = level.filter(|_| text("stage") == "rate") {
                engine::add_waiting_leg(text("usage_id"), level, text("reason"), found);
            }
            let waiting = Waiting {
                level: level.and_then(|level| u8::try_from(level).ok()),
                reason: text("reason"),
                original: of("original").and_then(Found::bytes).unwrap_or_default(),
                attempt: number("attempt").and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0),
            };
            let partition = number("partition").and_then(|partition| u32::try_from(partition).ok());
            let origin = partition.zip(number("offset"));
            match origin {
                Some((partition, offset)) => inputs.waits(text("topic"), partition, offset, waiting, report),
                None => report.differ(|| format!("{}: says no origin", place())),
            }
            Ok(())
        })?;
        report.end("suspense that says where it is from", count, count);
        Ok(())
    }

    fn money(&mut self) -> Result<(), VerifyError> {
        let [charges, deltas] = ["charges", "balance-deltas"].map(|name| self.what.layout.topic(name));
        let counts = [self.reader.partitions(&charges)?, self.reader.partitions(&deltas)?];
        let mut ledger = Ledger::default();
        // With as many partitions, a charge and its deltas are in the same ones.
        let groups: Vec<[std::ops::Range<u32>; 2]> = match counts {
            [one, other] if one == other => (0..one).map(|number| [number..number + 1, number..number + 1]).collect(),
            [one, other] => vec![[0..one, 0..other]],
        };
        for [of_charges, of_deltas] in groups {
            self.charges(&charges, of_charges, &mut ledger)?;
            self.deltas(&deltas, of_deltas, &mut ledger)?;
            ledger.close_partitions(&mut self.report);
        }
        ledger.finish(&mut self.report);
        Ok(())
    }

    fn charges(
        &mut self,
        topic: &str,
        partitions: std::ops::Range<u32>,
        ledger: &mut Ledger,
    ) -> Result<(), VerifyError> {
        let Look { what, reader, report, inputs, schemas, found, .. } = &mut *self;
        reader.read(topic, partitions, |message| {
            let read = match schemas.take_apart(message.value)? {
                Framed::Avro(layout, datum) => Charge::read(&layout, datum).map(|charge| (charge, datum)),
                Framed::Bare(_) | Framed::Unknown => Err("no known schema".to_owned()),
            };
            match read {
                Ok((charge, datum)) => {
                    ledger.charge(&charge, report);
                    found.charge(&charge, datum);
                    if let (Some(reference), Some(version)) = (&what.reference, charge.version)
                        && !is_of_a_store(version)
                        && !reference.versions.iter().any(|known| known == version)
                    {
                        report
                            .differ(|| format!("charge {}: by reference data {version}, which nobody had", charge.id));
                    }
                    let level = charge.level.and_then(|level| u8::try_from(level).ok());
                    if let ("usage", Some((source, id)), Some(level)) = (charge.kind, charge.usage, level) {
                        inputs.charged(source, id, level, charge.id, report);
                    }
                }
                Err(error) => report.differ(|| format!("{topic}:{}:{}: {error}", message.partition, message.offset)),
            }
            Ok(())
        })
    }

    fn deltas(
        &mut self,
        topic: &str,
        partitions: std::ops::Range<u32>,
        ledger: &mut Ledger,
    ) -> Result<(), VerifyError> {
        let Look { reader, report, schemas, found, .. } = &mut *self;
        reader.read(topic, partitions, |message| {
            let read = match schemas.take_apart(message.value)? {
                Framed::Avro(layout, datum) => Delta::read(&layout, datum).map(|delta| (delta, datum)),
                Framed::Bare(_) | Framed::Unknown => Err("no known schema".to_owned()),
            };
            match read {
                Ok((delta, datum)) => {
                    ledger.delta(&delta, report);
                    found.delta(&delta, datum);
                }
                Err(error) => report.differ(|| format!("{topic}:{}:{}: {error}", message.partition, message.offset)),
            }
            Ok(())
        })
    }

    fn notifications(&mut self) -> Result<(), VerifyError> {
        let topic = self.what.layout.topic("notifications");
        let partitions = self.reader.partitions(&topic)?;
        let Look { reader, report, schemas, found, .. } = &mut *self;
        reader.read(&topic, 0..partitions, |message| {
            let read = match schemas.take_apart(message.value)? {
                Framed::Avro(layout, datum) => engine::add_notification(&layout, datum, found),
                Framed::Bare(_) | Framed::Unknown => Err("no known schema".to_owned()),
            };
            if let Err(error) = read {
                report.differ(|| format!("{topic}:{}:{}: {error}", message.partition, message.offset));
            }
            Ok(())
        })
    }

    fn replies(&mut self) -> Result<(), VerifyError> {
        let topic = self.what.layout.topic("command-replies");
        let partitions = self.reader.partitions(&topic)?;
        let Look { reader, report, schemas, inputs, .. } = &mut *self;
        reader.read(&topic, 0..partitions, |message| {
            let fields = match schemas.take_apart(message.value)? {
                Framed::Avro(layout, datum) => layout.read(datum).map(|found| {
                    ["command_id", "outcome", "reason"]
                        .map(|name| layout.place(name).and_then(|at| found.get(at)?.text()).unwrap_or_default())
                }),
                Framed::Bare(_) | Framed::Unknown => Err("no known schema".to_owned()),
            };
            match fields {
                Ok([command_id, outcome, reason]) => inputs.answered(command_id, outcome, reason, report),
                Err(error) => report.differ(|| format!("{topic}:{}:{}: {error}", message.partition, message.offset)),
            }
            Ok(())
        })
    }
}

/// Whether a version of reference data is the number of a store's, which files do not tell.
fn is_of_a_store(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(|number| number.parse::<u64>().is_ok())
}
