//! The engine of the embedded runtime, given the guided log: what it charges each payer, in order.

use super::VerifyError;
use super::avro::Layout;
use super::framed::{Framed, Schemas};
use super::hash_of;
use super::money::{Charge, Delta};
use crate::verify::EngineReference;
use pipeline::{Arrival, IntakeRules};
use rating::{SuspenseReason, Timestamp};
use runtime::engine::{BatchInput, BatchOutput, Engine, EngineSettings, Intent, Retry};
use runtime::stages::{GuidedEntry, GuidedMessage};
use runtime::wire::{Decoder, Encoder, OutputFormat, RawBatch};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Tasks that are rated together.
const BATCH: usize = 20_000;

/// Messages in order: how many, and a hash of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) count: u64,
    hash: u64,
}

impl Chain {
    pub(super) fn add(&mut self, [start, end]: [&[u8]; 2]) {
        self.count += 1;
        self.hash = hash_of(&[&self.hash.to_le_bytes(), start, end]);
    }
}

/// Messages in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pile {
    pub(super) count: u64,
    hash: u64,
}

impl Pile {
    pub(super) fn add(&mut self, parts: &[&[u8]]) {
        self.count += 1;
        self.hash = self.hash.wrapping_add(hash_of(parts));
    }
}

/// A topic that is compared account by account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    Charges,
    Deltas,
}

/// What was put out, by account.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) chains: [BTreeMap<String, Chain>; 2],
    pub(super) notifications: Pile,
    pub(super) suspense: Pile,
}

impl Outputs {
    pub(super) fn charge(&mut self, charge: &Charge<'_>, datum: &[u8]) {
        self.add(Side::Charges, charge.payer, charge.content(datum));
    }

    pub(super) fn delta(&mut self, delta: &Delta<'_>, datum: &[u8]) {
        self.add(Side::Deltas, delta.account, [datum, &[]]);
    }

    fn add(&mut self, side: Side, account: &str, content: [&[u8]; 2]) {
        let chains = &mut self.chains[side as usize];
        match chains.get_mut(account) {
            Some(chain) => chain.add(content),
            None => chains.entry(account.to_owned()).or_default().add(content),
        }
    }
}

/// Layouts of what the engine puts out.
pub(super) struct Contracts {
    pub(super) charge: Layout,
    pub(super) delta: Layout,
    pub(super) suspense: Layout,
    pub(super) notification: Layout,
}

impl Contracts {
    pub(super) fn new() -> Result<Contracts, VerifyError> {
        let layout = |text| Layout::new(text).map_err(VerifyError::Refused);
        Ok(Contracts {
            charge: layout(include_str!("../../../../schemas/charge.avsc"))?,
            delta: layout(include_str!("../../../../schemas/balance-delta.avsc"))?,
            suspense: layout(include_str!("../../../../schemas/suspense.avsc"))?,
            notification: layout(include_str!("../../../../schemas/notification.avsc"))?,
        })
    }
}

/// How originals are decoded.
#[derive(Clone, Debug)]
enum Form {
    Json,
    /// By the writer's schema.
    Avro(Rc<Layout>),
}

impl Form {
    fn is(&self, other: &Form) -> bool {
        match (self, other) {
            (Form::Json, Form::Json) => true,
            (Form::Avro(one), Form::Avro(other)) => Rc::ptr_eq(one, other),
            (Form::Json, Form::Avro(_)) | (Form::Avro(_), Form::Json) => false,
        }
    }
}

/// The engine for one partition of the guided log.
pub(super) struct Rating {
    engine: Engine,
    form: Form,
    decoders: HashMap<String, Decoder>,
    records: RawBatch,
    retries: Vec<Retry>,
    clocks: Clocks,
}

/// How late it is for rate: as late as for the last of those who send.
#[derive(Clone, Debug)]
pub struct Clocks {
    senders: usize,
    of: HashMap<(String, u32), Timestamp>,
    clock: Option<Timestamp>,
}

impl Clocks {
    /// Nobody has sent a tick yet.
    pub fn new(senders: usize) -> Clocks {
        Clocks { senders, of: HashMap::new(), clock: None }
    }

    /// A sender's tick; returns the clock if it has moved.
    pub fn tick(&mut self, source: &(String, u32), instant: Timestamp) -> Option<Timestamp> {
        let known = self.of.entry(source.clone()).or_insert(instant);
        *known = (*known).max(instant);
        let least = self.of.values().copied().min().filter(|_| self.of.len() == self.senders);
        let moved = least.filter(|least| self.clock < Some(*least));
        self.clock = self.clock.max(least);
        moved
    }
}

impl Rating {
    pub(super) fn new(reference: &EngineReference, default_source: &str, senders: usize) -> Rating {
        let rules = IntakeRules::new(default_source);
        let settings = EngineSettings {
            rules,
            duplicate_window_h: None,
            command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
            // What waits is tried again at any time: it must never be too old.
            state_horizon_h: 400 * 24,
            threads: reference.threads,
        };
        let encoder = Encoder::new(OutputFormat::Avro, "");
        Rating {
            engine: Engine::new(reference.directory.clone(), encoder, settings),
            form: Form::Json,
            decoders: HashMap::new(),
            records: RawBatch::default(),
            retries: Vec::new(),
            clocks: Clocks::new(senders),
        }
    }

    /// Rates a message, or keeps it to rate it with others.
    ///
    /// # Errors
    /// An original that has no schema, or control totals that do not balance.
    pub(super) fn add(
        &mut self,
        message: &GuidedMessage,
        schemas: &mut Schemas,
        sink: &mut dyn FnMut(&BatchOutput) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        for entry in &message.entries {
            match entry {
                GuidedEntry::Legs { original, levels, .. } => {
                    let (form, datum) = form_of(original, schemas)?;
                    self.expect(form, sink)?;
                    for (level, _) in levels {
                        // What the reason is matters only to a level that is not there any more.
                        let intent = Intent::Level { level: *level, reason: SuspenseReason::NoRate };
                        self.push(datum, intent);
                    }
                }
                GuidedEntry::Command { original, .. } => {
                    let (form, datum) = form_of(original, schemas)?;
                    self.expect(form, sink)?;
                    self.push(datum, Intent::Admitted);
                }
                GuidedEntry::Change(timeline) => {
                    self.flush(sink)?;
                    let learnt = self.engine.learn(std::slice::from_ref(timeline));
                    sink(&learnt.map_err(|error| VerifyError::Refused(format!("the engine: {error}")))?)?;
                }
                GuidedEntry::Tick(instant) => {
                    if let Some(clock) = self.clocks.tick(&message.source, *instant) {
                        self.expect(Form::Json, sink)?;
                        self.records.push(format!("{{\"tick\":\"{clock}\"}}").as_bytes(), 1);
                        self.retries.push(Retry::FRESH);
                    }
                }
            }
        }
        if self.retries.len() >= BATCH { self.flush(sink) } else { Ok(()) }
    }

    fn push(&mut self, datum: &[u8], intent: Intent) {
        self.records.push(datum, 1);
        self.retries.push(Retry { arrival: Arrival { intent, held: None }, ..Retry::FRESH });
    }

    /// A batch has one form.
    fn expect(
        &mut self,
        form: Form,
        sink: &mut dyn FnMut(&BatchOutput) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        if !self.form.is(&form) {
            self.flush(sink)?;
            self.form = form;
        }
        Ok(())
    }

    /// Rates what is kept.
    ///
    /// # Errors
    /// As [`Rating::add`].
    pub(super) fn flush(
        &mut self,
        sink: &mut dyn FnMut(&BatchOutput) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        if self.retries.is_empty() {
            return Ok(());
        }
        let (records, retries) = (std::mem::take(&mut self.records), std::mem::take(&mut self.retries));
        let json = Decoder::json_lines();
        let decoder = match &self.form {
            Form::Json => &json,
            Form::Avro(layout) => {
                let schema = &layout.text;
                if !self.decoders.contains_key(schema) {
                    let description = serde_json::json!({ "form": "avro", "schema": schema }).to_string();
                    let decoder = Decoder::from_description(description.as_bytes())
                        .map_err(|error| VerifyError::Refused(format!("the schema of an input: {error}")))?;
                    self.decoders.insert(schema.clone(), decoder);
                }
                self.decoders.get(schema).unwrap_or(&json)
            }
        };
        let input = BatchInput { records: &records, decoder, input: "guided", retries: &retries };
        let output =
            self.engine.process(input).map_err(|error| VerifyError::Refused(format!("the engine: {error}")))?;
        sink(&output)?;
        self.engine.reuse(output);
        Ok(())
    }
}

fn form_of<'m>(original: &'m [u8], schemas: &mut Schemas) -> Result<(Form, &'m [u8]), VerifyError> {
    match schemas.take_apart(original)? {
        Framed::Avro(layout, datum) => Ok((Form::Avro(layout), datum)),
        Framed::Bare(json) => Ok((Form::Json, json)),
        Framed::Unknown => Err(VerifyError::Refused("an original was guided whose schema is unknown".to_owned())),
    }
}

/// Adds what the engine put out.
///
/// # Errors
/// Messages that are not as the contracts say.
pub(super) fn collect(output: &BatchOutput, contracts: &Contracts, outputs: &mut Outputs) -> Result<(), VerifyError> {
    let refused = |what: String| VerifyError::Refused(format!("a message of the engine: {what}"));
    for datum in output.charges.messages() {
        let charge = Charge::read(&contracts.charge, datum).map_err(refused)?;
        outputs.charge(&charge, datum);
    }
    for datum in output.deltas.messages() {
        let delta = Delta::read(&contracts.delta, datum).map_err(refused)?;
        outputs.delta(&delta, datum);
    }
    for datum in output.notifications.messages() {
        add_notification(&contracts.notification, datum, outputs).map_err(refused)?;
    }
    for datum in output.suspense.messages() {
        let found = contracts.suspense.read(datum).map_err(refused)?;
        let of = |name: &str| contracts.suspense.place(name).and_then(|at| found.get(at).copied());
        add_waiting_leg(
            of("usage_id").and_then(|id| id.text()).unwrap_or_default(),
            of("level").and_then(|level| level.long()).unwrap_or(-1),
            of("reason").and_then(|reason| reason.text()).unwrap_or_default(),
            outputs,
        );
    }
    Ok(())
}

/// A leg that waits. What else is said of it depends on where it came from.
pub(super) fn add_waiting_leg(usage_id: &str, level: i64, reason: &str, outputs: &mut Outputs) {
    outputs.suspense.add(&[usage_id.as_bytes(), &level.to_le_bytes(), reason.as_bytes()]);
}

/// A notification, unless it tells of a refused command: guide tells of some of those, which are not in its log.
///
/// # Errors
/// In words, what is not as the contract says.
pub(super) fn add_notification(layout: &Layout, datum: &[u8], outputs: &mut Outputs) -> Result<(), String> {
    let found = layout.read(datum)?;
    let kind = layout.place("kind").and_then(|at| found.get(at)?.text());
    if kind != Some("command_refused") {
        outputs.notifications.add(&[datum]);
    }
    Ok(())
}
