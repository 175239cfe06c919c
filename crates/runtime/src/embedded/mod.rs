//! Rating files: inputs in, outputs and a state store in one folder, no server.
//!
//! One thread cuts the input into records, the engine rates batches on as many threads as are given, one thread writes. All
//! queues are bounded. A folder remembers what it has rated of which input: a killed run is taken up where its last commit left it, an
//! input that has grown goes on behind what was rated, and one that has not is not rated again.

mod error;
mod grant;
mod guard;
mod input;
mod last_commit;
mod lock;
mod output;
mod plan;
mod progress;
mod rate;
mod recognise;
mod recycle;

pub use crate::private::{Exposure, create_file as create_private_file};
pub use error::RunError;
pub use guard::others_may_read;
pub use input::InputFile;
pub(crate) use output::path_of as output_path;
pub use progress::{FileId, InputProgress, InputSource, InputStand, Progress};
pub use rate::{GrownInput, UnfinishedInput};
pub use recognise::InterruptedInputs;
pub use recycle::Recycle;
use recycle::{Recycling, hold_open};

use crate::engine::{
    BatchInput, BatchOutput, Engine, EngineSettings, MAX_DETAILS, OpenSuspense, Retry, SuspenseNumbers,
};
use crate::state::{Commit, SealedIds, Store, Stored};
use crate::wire::{Contracts, Decoder, Encoder, Ending, OutputFormat, RawBatch};
use directory::Loaded;
use last_commit::LastCommit;
use lock::RunLock;
use output::{Order, Outputs};
use pipeline::intake::earliest_event;
use pipeline::{ControlTotals, Doubts, IntakeRules};
use rating::{SuspenseReason, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Name of the folder, within the outputs, that holds the state.
const STATE_FOLDER: &str = ".rater";
/// Name of the state store in it.
const STATE_FILE: &str = "state.redb";
/// Batches and outputs that may wait between two threads.
const QUEUE: usize = 2;

/// Bytes of originals that wait after which is committed, however few they are: until then they are in memory.
const MOST_UNCOMMITTED_BYTES: u64 = 64 << 20;
/// Records between two commits, unless said otherwise: a few tenths of a second.
pub const DEFAULT_COMMIT_RECORDS: u64 = 65_536;
/// Records to a batch, unless said otherwise: large enough that threads are seldom waited for, small enough that what a batch puts out (up to
/// 4 KB a record) is still in the caches when it is written. Measured: 8192 records take a third more CPU time with JSON lines out.
pub const DEFAULT_BATCH_RECORDS: usize = 1024;

/// What is to be rated, into what, and how.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Rated in this order.
    pub inputs: Vec<InputFile>,
    /// What the end of an input means for a last line that has no line break.
    pub ending: Ending,
    /// What an interrupted input means for the others.
    pub interrupted: InterruptedInputs,
    /// What of that which waits is tried again before the inputs.
    pub recycle: Recycle,
    /// The folder.
    pub output: PathBuf,
    /// Form of the outputs.
    pub format: OutputFormat,
    /// Threads that rate, at least 1.
    pub threads: usize,
    /// Records to a batch, at least 1.
    pub batch_records: usize,
    /// Records between two commits, at least 1.
    pub commit_records: u64,
    /// What time it is: future events are measured against it.
    pub now: Timestamp,
    /// How far ahead of `now` an event may lie, in milliseconds.
    pub future_tolerance_ms: i64,
    /// How far behind `now` usage may lie, in milliseconds; `None` is any time.
    pub past_tolerance_ms: Option<i64>,
    /// What else is doubted of records.
    pub doubts: Doubts,
    /// Hours for which record ids are remembered behind the clock of ticks; `None` is forever.
    pub duplicate_window_h: Option<u32>,
    /// Hours for which ids of commands are remembered, from their arrival on; for ever where record ids are.
    pub command_memory_h: u32,
    /// Hours for which state is remembered behind the clock of ticks; never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
    /// Source of records that name none.
    pub default_source: String,
    /// Up to when work that falls due is done at the end.
    pub until: Until,
}

/// Up to when a run does the work that time alone brings: a suspension that begins, for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Where no tick was ever rated into the folder, up to the latest usage that was charged in it; else as far as the ticks.
    #[default]
    Charged,
    /// Up to an instant, which is the same for every run that names it.
    At(Timestamp),
    /// As far as the ticks.
    Ticks,
}

/// How much a run keeps before it moves it elsewhere. Outputs do not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Record ids kept in memory, 18 to 37 bytes each; more are moved to files of their own.
    pub ids_in_memory: usize,
    /// A log of changed accounts up to this size, in bytes, is never worth a checkpoint.
    pub log_bytes: u64,
}

impl Default for Limits {
    /// Four million ids, 16 MiB.
    fn default() -> Limits {
        Limits { ids_in_memory: 4 << 20, log_bytes: 16 << 20 }
    }
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Totals of this run alone.
    pub run: ControlTotals,
    /// Where the folder stands now, over all its inputs.
    pub progress: Progress,
    /// Inputs of this run that had been rated before.
    pub skipped: Vec<String>,
    /// Inputs of this run that had been rated before, and have grown.
    pub grown: Vec<GrownInput>,
    /// Inputs of this run whose last line is not finished.
    pub unfinished: Vec<UnfinishedInput>,
    /// Inputs of this run without any record.
    pub empty: Vec<String>,
    /// What was suspended in this run, by reason.
    pub suspended: BTreeMap<SuspenseReason, u64>,
    /// The first things suspended in this run.
    pub examples: Vec<Example>,
    /// How many things were tried again, and how many of them no longer wait.
    pub recycled: (u64, u64),
    /// How many endpoint accounts each customer has: rows of level 0 stand for them.
    pub endpoint_accounts: BTreeMap<String, u64>,
}

/// Something that was suspended, to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What waits.
    pub open: OpenSuspense,
    /// What exactly is wrong.
    pub detail: String,
}

/// Where a run stands: for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    /// The input.
    pub input: &'s str,
    /// The size in bytes of a file.
    pub size: Option<u64>,
    /// Bytes taken in.
    pub bytes: u64,
    /// Records taken in.
    pub records: u64,
}

/// Most examples of suspended things in a [`Report`].
const MAX_EXAMPLES: usize = MAX_DETAILS;

/// Rates inputs into a folder.
///
/// # Errors
/// See [`RunError`]; everything up to the last commit stands, and the next run goes on from there.
pub fn run(loaded: &Loaded, settings: &RunSettings, seen: &mut dyn FnMut(Seen<'_>)) -> Result<Report, RunError> {
    run_within(loaded, settings, Limits::default(), seen)
}

/// As [`run`], with other limits.
///
/// # Errors
/// As [`run`].
pub fn run_within(
    loaded: &Loaded,
    settings: &RunSettings,
    limits: Limits,
    seen: &mut dyn FnMut(Seen<'_>),
) -> Result<Report, RunError> {
    let mut folder = Folder::open(loaded, settings, limits)?;
    let commits = (folder.last.clone(), folder.ended.as_ref());
    let outputs = Outputs::open(&settings.output, settings.format, &folder.progress, commits)?;
    let store = folder.store.clone();
    std::thread::scope(|scope| {
        let (orders, received) = sync_channel(QUEUE);
        let (written, returned) = sync_channel(QUEUE + 1);
        let writer = scope.spawn(move || outputs.run(&store, &received, &written));
        let writing = Writing { orders, returned };
        let done = folder.run(loaded, settings, &writing, seen);
        drop(writing);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (done, written) {
            // A writer that failed is why its orders could not be delivered.
            (_, Err(error)) | (Err(error), Ok(())) => Err(error),
            (Ok(()), Ok(())) => Ok(()),
        }
    })?;
    folder.report()
}

/// How far a folder has come; `None` if nothing was ever rated into it.
///
/// # Errors
/// The store is in use or damaged.
pub fn read_progress(folder: &Path) -> Result<Option<Progress>, RunError> {
    Ok(open_store(folder)?.map(|(_, progress)| progress))
}

/// The store of a folder, and how far it has come; `None` if nothing was ever rated into it.
pub(crate) fn open_store(folder: &Path) -> Result<Option<(Store, Progress)>, RunError> {
    let path = folder.join(STATE_FOLDER).join(STATE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let store = lock::open_store(&path)?;
    match store.progress()? {
        Some(bytes) => {
            let progress = Progress::read(&mut &*bytes).map_err(crate::state::StoreError::Corrupt)?;
            Ok(Some((store, progress)))
        }
        None => Ok(None),
    }
}

/// The way to the writing thread and back.
struct Writing {
    orders: SyncSender<Order>,
    returned: Receiver<Box<BatchOutput>>,
}

impl Writing {
    fn send(&self, order: Order) -> Result<(), RunError> {
        self.orders.send(order).map_err(|_| RunError::WriterStopped)
    }
}

/// An output folder at work.
struct Folder {
    _lock: RunLock,
    store: std::sync::Arc<Store>,
    /// The commit that the state is of, and what the folder says of its last one.
    last: LastCommit,
    ended: Option<LastCommit>,
    engine: Engine,
    progress: Progress,
    run: ControlTotals,
    skipped: Vec<String>,
    grown: Vec<GrownInput>,
    unfinished: Vec<UnfinishedInput>,
    empty: Vec<String>,
    suspended: BTreeMap<SuspenseReason, u64>,
    examples: Vec<Example>,
    recycled: (u64, u64),
    /// Recycling that is under way.
    recycling: Option<Recycling>,
    uncommitted: Commit,
    uncommitted_records: u64,
    /// Bytes of originals that wait, in what is not committed.
    uncommitted_bytes: u64,
    log_bytes: u64,
    checkpoint_bytes: u64,
    /// Record ids in the log of the store.
    logged_ids: u64,
    commit_records: u64,
    limits: Limits,
    /// Nothing that is later takes effect in this run.
    latest_event: Timestamp,
}

impl Folder {
    fn open(loaded: &Loaded, settings: &RunSettings, limits: Limits) -> Result<Folder, RunError> {
        let state = settings.output.join(STATE_FOLDER);
        // Before anything is made.
        plan::check(&settings.inputs, if state.exists() { plan::Formats::MayBeKnown } else { plan::Formats::Needed })?;
        guard::check(&settings.output)?;
        guard::make(&state)?;
        let lock = RunLock::take(&state)?;
        let store = lock::open_store(&state.join(STATE_FILE))?;
        let stored = match store.progress()? {
            Some(stored) => stored,
            None => Folder::first_commit(&store, settings)?,
        };
        let mut progress = Progress::read(&mut &*stored).map_err(crate::state::StoreError::Corrupt)?;
        if *progress.output_format != *settings.format.extension() {
            return Err(RunError::OtherFormat { folder: settings.output.clone(), format: progress.output_format });
        }
        let state_hash = last_commit::hash_of(&stored);
        let ended = LastCommit::read(&settings.output);
        if let Some(ended) = &ended {
            ended.check_state(&settings.output, &progress, state_hash)?;
        }
        // An input without records leaves no trace.
        progress.inputs.retain(InputProgress::is_begun);
        // A stream may never come again.
        let holds_clock = |known: &InputProgress| known.is_interrupted() && known.source == InputSource::File;
        if settings.interrupted == InterruptedInputs::AreLeft || !progress.inputs.iter().any(holds_clock) {
            progress.job_now = settings.now;
        }
        let latest = progress.job_now.millis().saturating_add(settings.future_tolerance_ms);
        let latest_event = Timestamp::from_millis(latest);
        let rules = IntakeRules { latest_event, ..IntakeRules::new(&settings.default_source) }
            .doubting(&settings.doubts, earliest_event(progress.job_now, settings.past_tolerance_ms));
        let engine_settings = EngineSettings {
            rules,
            duplicate_window_h: settings.duplicate_window_h,
            command_memory_h: settings.command_memory_h,
            state_horizon_h: settings.state_horizon_h,
            threads: settings.threads,
        };
        let encoder = Encoder::new(settings.format, &loaded.version()).with_contracts(progress.contracts);
        let mut engine = Engine::new(loaded.directory(), encoder, engine_settings);
        let (checkpoint_bytes, log_bytes) = store.visit_accounts(|part| engine.restore_accounts(part))?;
        engine.restored().map_err(crate::state::StoreError::Corrupt)?;
        for (account, head) in engine.accounts() {
            if let Some(currency) = head.currency {
                loaded.check_currency(account, currency).map_err(|changed| RunError::Currency(Box::new(changed)))?;
            }
        }
        let mut logged_ids = 0;
        store.visit_ids(|ids| {
            logged_ids += ids.len() as u64 / 16;
            engine.restore_ids(ids);
        })?;
        if let Some(clock) = progress.clock {
            engine.restore_clock(clock, progress.horizon);
        }
        engine.restore_ended(progress.complete_to, progress.charged_until);
        let has_held = store.visit_held(|short, held| engine.restore_held(short, held))?;
        if !has_held {
            hold_open(&store, &progress, &mut engine)?;
        }
        engine.use_sealed(SealedIds::open(&state, &progress.sealed_ids).map_err(RunError::Ids)?);
        engine.restore_summary(progress.summary.clone());
        let recycling = store.recycling()?.map(|bytes| Recycling::read(&mut &*bytes)).transpose();
        let recycling = recycling.map_err(crate::state::StoreError::Corrupt)?;
        Ok(Folder {
            _lock: lock,
            store: store.into(),
            last: LastCommit::new(progress.commits.unwrap_or_default(), state_hash),
            ended,
            engine,
            progress,
            run: ControlTotals::default(),
            skipped: Vec::new(),
            grown: Vec::new(),
            unfinished: Vec::new(),
            empty: Vec::new(),
            suspended: BTreeMap::new(),
            examples: Vec::new(),
            recycled: (0, 0),
            recycling,
            uncommitted: Commit::default(),
            uncommitted_records: 0,
            uncommitted_bytes: 0,
            log_bytes,
            checkpoint_bytes,
            logged_ids,
            commit_records: settings.commit_records,
            limits,
            latest_event,
        })
    }

    /// A new folder is claimed before any file is made in it, so that a run that is killed at once can be repeated.
    fn first_commit(store: &Store, settings: &RunSettings) -> Result<Vec<u8>, RunError> {
        Outputs::ensure_absent(&settings.output, settings.format)?;
        LastCommit::forget(&settings.output)?;
        let progress = Progress {
            job_now: settings.now,
            output_format: settings.format.extension().into(),
            reference_hash: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            totals: ControlTotals::default(),
            summary: crate::summary::Summary::default(),
            clock: None,
            horizon: Timestamp::EPOCH,
            sealed_ids: Vec::new(),
            next_suspense: 1,
            open_suspense: 0,
            granted: Vec::new(),
            commits: Some(1),
            contracts: Contracts::NEWEST,
            complete_to: None,
            charged_until: None,
        };
        // A program that does not know these contracts must not go on with the outputs.
        store.raise_format()?;
        let mut commit = Commit::default();
        progress.write(&mut commit.progress);
        store.commit(&commit)?;
        Ok(commit.progress)
    }

    fn run(
        &mut self,
        loaded: &Loaded,
        settings: &RunSettings,
        writing: &Writing,
        seen: &mut dyn FnMut(Seen<'_>),
    ) -> Result<(), RunError> {
        self.plan(settings)?;
        self.progress.reference_hash = loaded.hash;
        self.learn(loaded, writing)?;
        self.grant(loaded, writing)?;
        self.recycle(settings.recycle, writing)?;
        for input in &settings.inputs {
            self.rate(input, settings, writing, seen)?;
        }
        self.end(settings.until, writing)?;
        writing.send(Order::Close)?;
        self.commit(writing)
    }

    /// Rates a batch; returns the positions of retries that no longer wait.
    fn batch(
        &mut self,
        records: &RawBatch,
        decoder: &Decoder,
        input: &str,
        retries: &[Retry],
        writing: &Writing,
    ) -> Result<Vec<usize>, RunError> {
        while let Ok(output) = writing.returned.try_recv() {
            self.engine.reuse(*output);
        }
        let mut output = self.engine.process(BatchInput { records, decoder, input, retries })?;
        self.run.add(&output.totals)?;
        self.progress.totals.add(&output.totals)?;
        let mut details = std::mem::take(&mut output.details).into_iter();
        for open in std::mem::take(&mut output.open) {
            *self.suspended.entry(open.reason).or_default() += 1;
            if self.examples.len() < MAX_EXAMPLES
                && let Some(detail) = details.next()
            {
                self.examples.push(Example { open: open.clone(), detail });
            }
            let mut numbers = SuspenseNumbers::from(self.progress.next_suspense);
            self.uncommitted_bytes += open.original.len() as u64;
            self.uncommitted.open.push((numbers.number(&open), open));
            self.progress.next_suspense = numbers.next();
            self.progress.open_suspense += 1;
        }
        let resolved = std::mem::take(&mut output.resolved);
        writing.send(Order::Append(Box::new(output)))?;
        Ok(resolved)
    }

    /// Does what falls due by the end of the run.
    fn end(&mut self, until: Until, writing: &Writing) -> Result<(), RunError> {
        let at = match until {
            Until::Charged if self.engine.clock().is_none() => self.engine.charged_until(),
            Until::Charged | Until::Ticks => None,
            Until::At(at) => Some(at),
        };
        let Some(at) = at else { return Ok(()) };
        let output = self.engine.end(at)?;
        self.put_out(output, writing)
    }

    /// Counts what came of no record, and has it written.
    fn put_out(&mut self, output: BatchOutput, writing: &Writing) -> Result<(), RunError> {
        self.run.add(&output.totals)?;
        self.progress.totals.add(&output.totals)?;
        writing.send(Order::Append(Box::new(output)))
    }

    fn commit_if_due(&mut self, records: u64, writing: &Writing) -> Result<(), RunError> {
        self.uncommitted_records += records;
        let is_due =
            self.uncommitted_records >= self.commit_records || self.uncommitted_bytes >= MOST_UNCOMMITTED_BYTES;
        if is_due { self.commit(writing) } else { Ok(()) }
    }

    fn commit(&mut self, writing: &Writing) -> Result<(), RunError> {
        (self.uncommitted_records, self.uncommitted_bytes) = (0, 0);
        let mut commit = std::mem::take(&mut self.uncommitted);
        commit.changes = self.engine.take_changes();
        commit.held = self.engine.held_changes();
        commit.recycling = self.recycling.map(|recycling| {
            let mut bytes = Vec::new();
            recycling.write(&mut bytes);
            bytes
        });
        commit.ids = self.engine.take_ids();
        self.logged_ids += commit.ids.len() as u64 / 16;
        commit.ids_sealed = self.engine.seal_ids(self.limits.ids_in_memory, self.logged_ids)?;
        if commit.ids_sealed {
            self.logged_ids = 0;
        }
        if let Some(sealed) = self.engine.sealed() {
            self.progress.sealed_ids = sealed.infos();
            commit.obsolete = sealed.take_obsolete();
        }
        self.log_bytes += commit.changes.len() as u64;
        if self.log_bytes > self.limits.log_bytes.max(2 * self.checkpoint_bytes) {
            let parts = self.engine.checkpoint();
            self.checkpoint_bytes = parts.iter().map(|part| part.len() as u64).sum();
            self.log_bytes = 0;
            commit.checkpoint = Some(parts);
        }
        self.progress.commits = Some(self.progress.commits.unwrap_or_default() + 1);
        self.progress.clock = self.engine.clock();
        self.progress.horizon = self.engine.horizon();
        (self.progress.complete_to, self.progress.charged_until) =
            (self.engine.complete_to(), self.engine.charged_until());
        self.progress.summary = self.engine.summary()?.clone();
        writing.send(Order::Commit(Box::new(commit), Box::new(self.progress.clone())))
    }

    fn report(self) -> Result<Report, RunError> {
        let mut endpoint_accounts = BTreeMap::new();
        for (id, _) in self.engine.accounts() {
            if id.owner() != id.as_str() {
                *endpoint_accounts.entry(id.owner().to_owned()).or_default() += 1;
            }
        }
        Ok(Report {
            run: self.run,
            progress: self.progress,
            skipped: self.skipped,
            grown: self.grown,
            unfinished: self.unfinished,
            empty: self.empty,
            suspended: self.suspended,
            examples: self.examples,
            recycled: self.recycled,
            endpoint_accounts,
        })
    }
}
