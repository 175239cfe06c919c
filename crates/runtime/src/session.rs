//! A run in memory: lines in, messages out, nothing on the disk. What scenarios, quotes and tests use.
//!
//! It moves the same batches through the same engine as [`crate::embedded`], and puts out JSON lines.

use crate::engine::{
    BatchInput, BatchOutput, Engine, EngineError, EngineSettings, OpenSuspense, Retry, SuspenseNumbers,
};
use crate::grants::{self, grant_lines};
use crate::wire::{Decoder, Encoder, OutputFormat, RawBatch};
use directory::Loaded;
use pipeline::duplicates::DEFAULT_COMMAND_HOURS;
use pipeline::duplicates::DEFAULT_STATE_HORIZON_H;
use pipeline::{Doubts, IntakeRules};
use rating::{AccountId, Head, Instance, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How a session rates.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Events after this are `future_event`.
    pub latest_event: Timestamp,
    /// Usage before this is `past_event`.
    pub earliest_event: Timestamp,
    /// What else is doubted.
    pub doubts: Doubts,
    /// Source of records that name none.
    pub default_source: String,
    /// Hours for which record ids are remembered behind the clock of ticks; `None` is forever.
    pub duplicate_window_h: Option<u32>,
    /// Hours for which ids of commands are remembered, from their arrival on; for ever where record ids are.
    pub command_memory_h: u32,
    /// Hours for which state is remembered behind the clock of ticks; never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
    /// Threads, at least 1.
    pub threads: usize,
}

impl Default for Settings {
    /// Any event time, source `file`, ids remembered forever and sessions for 45 days, one thread.
    fn default() -> Settings {
        Settings {
            latest_event: Timestamp::LATEST,
            earliest_event: Timestamp::EARLIEST,
            doubts: Doubts::default(),
            default_source: "file".to_owned(),
            duplicate_window_h: None,
            command_memory_h: DEFAULT_COMMAND_HOURS,
            state_horizon_h: DEFAULT_STATE_HORIZON_H,
            threads: 1,
        }
    }
}

/// A run in memory.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    open: BTreeMap<u64, OpenSuspense>,
    numbers: SuspenseNumbers,
    /// How often it was fed.
    fed: u32,
    granted: BTreeSet<String>,
    latest_event: Timestamp,
}

impl Session {
    /// Starts with reference data; accounts have learnt what they say, grants have been carried out, and what that put out is returned.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn start(loaded: &Loaded, settings: &Settings) -> Result<(Session, BatchOutput), EngineError> {
        let rules = IntakeRules { latest_event: settings.latest_event, ..IntakeRules::new(&settings.default_source) }
            .doubting(&settings.doubts, settings.earliest_event);
        let engine_settings = EngineSettings {
            rules,
            duplicate_window_h: settings.duplicate_window_h,
            command_memory_h: settings.command_memory_h,
            state_horizon_h: settings.state_horizon_h,
            threads: settings.threads,
        };
        let encoder = Encoder::new(OutputFormat::JsonLines, &loaded.version());
        let engine = Engine::new(loaded.directory(), encoder, engine_settings);
        let mut session = Session {
            engine,
            open: BTreeMap::new(),
            numbers: SuspenseNumbers::from(0),
            fed: 0,
            granted: BTreeSet::new(),
            latest_event: settings.latest_event,
        };
        let output = session.take_over(loaded)?;
        Ok((session, output))
    }

    /// Starts with reference data, without looking at what its grants put out.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn new(loaded: &Loaded, settings: &Settings) -> Result<Session, EngineError> {
        Session::start(loaded, settings).map(|(session, _)| session)
    }

    /// Rates JSON lines as one batch: usage, commands and ticks in the order of the lines.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn feed(&mut self, input: &str, lines: &[u8]) -> Result<BatchOutput, EngineError> {
        let mut records = RawBatch::default();
        for (line, place) in lines.split(|byte| *byte == b'\n').zip(1..) {
            if !line.trim_ascii().is_empty() {
                records.push(line, place);
            }
        }
        self.fed += 1;
        // Each time another input, like files of one name with other contents: what is known of a copy is where it stands.
        let name = if self.fed == 1 { input.to_owned() } else { format!("{input}#{}", self.fed) };
        self.rate(&records, &Decoder::json_lines(), &name, &[])
    }

    /// Rates a batch in any form.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn rate(
        &mut self,
        records: &RawBatch,
        decoder: &Decoder,
        input: &str,
        retries: &[Retry],
    ) -> Result<BatchOutput, EngineError> {
        let output = self.engine.process(BatchInput { records, decoder, input, retries })?;
        for open in &output.open {
            self.open.insert(self.numbers.number(open), open.clone());
        }
        Ok(output)
    }

    /// Tries everything again that waits. For sessions that were fed JSON lines.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn recycle(&mut self) -> Result<BatchOutput, EngineError> {
        self.recycle_some(|_| true)
    }

    /// Tries again what waits and is asked for. For sessions that were fed JSON lines.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn recycle_some(&mut self, is_asked_for: impl Fn(&OpenSuspense) -> bool) -> Result<BatchOutput, EngineError> {
        let all = std::mem::take(&mut self.open);
        let (asked_for, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, open)| is_asked_for(open));
        self.open = others;
        let waiting: Vec<(u64, OpenSuspense)> = asked_for.into_iter().collect();
        let (mut output, mut first) = (BatchOutput::default(), 0);
        // A batch has one input: it is part of the place by which a copy of a record is known.
        for of_input in waiting.chunk_by(|(_, one), (_, other)| one.input == other.input) {
            let mut records = RawBatch::default();
            let mut retries = Vec::with_capacity(of_input.len());
            for (number, open) in of_input {
                records.push(&open.original, open.place);
                retries.push(Retry::of(open, *number));
            }
            let input = of_input.first().map_or("", |(_, open)| &open.input);
            output.append(self.rate(&records, &Decoder::json_lines(), input, &retries)?, first)?;
            first += of_input.len();
        }
        Ok(output)
    }

    /// Continues with other reference data; returns what they and their new grants put out.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn replace_reference(&mut self, loaded: &Loaded) -> Result<BatchOutput, EngineError> {
        self.engine.replace_directory(loaded.directory());
        self.take_over(loaded)
    }

    /// Does what reference data cause.
    fn take_over(&mut self, loaded: &Loaded) -> Result<BatchOutput, EngineError> {
        let mut output = self.engine.learn_from(&loaded.snapshot)?;
        output.append(self.grant(loaded)?, 0)?;
        Ok(output)
    }

    fn grant(&mut self, loaded: &Loaded) -> Result<BatchOutput, EngineError> {
        let new = grants::due(loaded, self.latest_event, |id| self.granted.contains(id));
        let records = grant_lines(&new, &loaded.snapshot);
        let retries = vec![Retry::granted(); records.len()];
        self.granted.extend(new.iter().map(|grant| grant.command_id.clone()));
        self.rate(&records, &Decoder::json_lines(), grants::INPUT, &retries)
    }

    /// What waits, in the order in which it came.
    pub fn open_suspense(&self) -> impl Iterator<Item = &OpenSuspense> {
        self.open.values()
    }

    /// The balance of an account and what holds for it.
    pub fn account(&self, id: &str) -> Option<&Head> {
        let id = AccountId::new(id);
        let state = self.engine.state_of(&id);
        state.known_account(&id).map(|account| state.head(account))
    }

    /// All accounts with state, in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &Head)> {
        self.engine.accounts()
    }

    /// All bundles with the accounts that hold them, in no order.
    pub fn instances(&self) -> impl Iterator<Item = (&AccountId, &Instance)> {
        self.engine.instances()
    }

    /// The engine, for explanations.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, for checkpoints.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}
