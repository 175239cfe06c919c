//! One batch at a time: decode and take in, admit, guide, rate, encode, and prove that the totals balance.
//!
//! | phase | runs | order |
//! | --- | --- | --- |
//! | decode, intake | on all threads, by stretches of the batch | any |
//! | admit | on one | of the input: the first copy of a record wins |
//! | guide | on all threads, by the same stretches | any |
//! | rate, encode | on all threads, by owner | of the input within an owner |
//! | merge | charges and deltas on one thread each | of the input |
//!
//! What comes out does not depend on the size of a batch or on the number of threads. The engine knows nothing of files and
//! commits; [`crate::embedded`] and [`crate::session`] move batches through it.

mod guided;
mod persist;
mod rated;
mod recycle;
mod take;
mod trace;

pub use pipeline::Intent;
pub use recycle::{OpenSuspense, Retry, SuspenseNumbers};
pub use trace::{BundleCandidate, LegTrace, RateCandidate};

use crate::state::{Restoring, SealedIds};
use crate::summary::{EdgeSums, Summary};
use crate::wire::{Decoder, Encoder, RawBatch};
use directory::snapshot::Snapshot;
use directory::{AccountTimeline, Directory, Needs, Unavailable};
use pipeline::{ControlMismatch, ControlTotals, Duplicates, Identity, IntakeRules, RateShard, Window};
use rating::state::SweepPlace;
use rating::timeline::to_tell;
use rating::{AccountId, Timestamp};
use std::sync::Arc;

/// Into how many owners' groups state is cut: enough to spread work over threads, whatever their number.
pub const SHARDS: usize = 64;

/// Buffers kept for outputs to come.
const MAX_SPARE: usize = 8;
/// Most details kept of a batch: they are for examples; all of them stand in suspense.
pub const MAX_DETAILS: usize = 5;

/// Encoded messages of one kind, in order.
#[derive(Debug, Default)]
pub struct Encoded {
    /// All messages.
    pub bytes: Vec<u8>,
    /// End of each message.
    pub ends: Vec<usize>,
}

impl Encoded {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Appends a range of another's messages.
    fn append(&mut self, other: &Encoded, from: usize, to: usize) {
        let ends = &other.ends[from..to];
        let start = if from == 0 { 0 } else { other.ends[from - 1] };
        let offset = self.bytes.len();
        self.ends.extend(ends.iter().map(|end| offset + end - start));
        self.bytes.extend_from_slice(&other.bytes[start..ends.last().copied().unwrap_or(start)]);
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Everything a batch puts out.
#[derive(Debug, Default)]
pub struct BatchOutput {
    /// Charges.
    pub charges: Encoded,
    /// Balance deltas.
    pub deltas: Encoded,
    /// Notifications.
    pub notifications: Encoded,
    /// Answers to commands.
    pub replies: Encoded,
    /// What became of bundles and accounts.
    pub life_events: Encoded,
    /// Records and legs that wait.
    pub suspense: Encoded,
    /// The same, as needed to recycle them.
    pub open: Vec<OpenSuspense>,
    /// What exactly is wrong with the first things that wait, in words.
    pub details: Vec<String>,
    /// Identities of those that have one, which are held until they have left; and whether each stands for all copies.
    holds: Vec<(Identity, bool)>,
    /// For a batch of recycled things: the positions that no longer wait.
    pub resolved: Vec<usize>,
    /// The proof.
    pub totals: ControlTotals,
}

impl BatchOutput {
    /// Appends the output of the part of a batch that begins at a position.
    pub(crate) fn append(&mut self, part: BatchOutput, first: usize) -> Result<(), ControlMismatch> {
        let pairs = [
            (&mut self.charges, &part.charges),
            (&mut self.deltas, &part.deltas),
            (&mut self.notifications, &part.notifications),
            (&mut self.replies, &part.replies),
            (&mut self.life_events, &part.life_events),
            (&mut self.suspense, &part.suspense),
        ];
        for (all, more) in pairs {
            all.append(more, 0, more.ends.len());
        }
        self.open.extend(part.open);
        self.details.extend(part.details.into_iter().take(MAX_DETAILS.saturating_sub(self.details.len())));
        self.resolved.extend(part.resolved.into_iter().map(|position| first + position));
        self.totals.add(&part.totals)
    }
}

/// A batch of raw records of one input.
#[derive(Clone, Copy, Debug)]
pub struct BatchInput<'b> {
    /// The records.
    pub records: &'b RawBatch,
    /// How they are decoded.
    pub decoder: &'b Decoder,
    /// Name of the input, as shown in suspense.
    pub input: &'b str,
    /// For recycling: how each record is tried again; empty where all are fresh.
    pub retries: &'b [Retry],
}

/// Why a batch cannot be processed.
#[derive(Debug)]
pub enum EngineError {
    /// A control total does not balance.
    Control(ControlMismatch),
    /// Record ids that were moved to the disk cannot be read.
    Ids(std::io::Error),
    /// The directory cannot answer now. Where a tick of the batch moved the window, what came before it was admitted already.
    Directory(Unavailable),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::Control(mismatch) => mismatch.fmt(f),
            EngineError::Ids(error) => write!(f, "record ids: {error}"),
            EngineError::Directory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<ControlMismatch> for EngineError {
    fn from(mismatch: ControlMismatch) -> EngineError {
        EngineError::Control(mismatch)
    }
}

/// Rating state and the facts it needs.
#[derive(Debug)]
pub struct Engine {
    directory: Arc<dyn Directory>,
    /// Of the last batch: the sums stand on its edges.
    snapshot: Option<Arc<Snapshot>>,
    rules: IntakeRules,
    duplicates: Duplicates,
    owners: Vec<Owners>,
    encoder: Encoder,
    threads: usize,
    summary: Summary,
    forgotten: Timestamp,
    /// Up to when work was done at the end of a run, whatever the ticks said.
    ended: Option<Timestamp>,
    /// The latest event of usage that was charged.
    charged_until: Option<Timestamp>,
    sealed: Option<SealedIds>,
    /// Buffers of outputs that were written.
    spare: Vec<Encoded>,
}

/// State of one group of owners, with the sums of what was charged on their edges since the summary was last folded.
#[derive(Debug, Default)]
struct Owners {
    shard: RateShard,
    /// What was written before rows were, while it is restored.
    restoring: Restoring,
    /// Up to where was looked for what may leave.
    forgotten_to: SweepPlace,
    sums: EdgeSums,
    /// The latest event of usage that was charged here since the last batch was put in order.
    charged_until: Option<Timestamp>,
    /// What came of the present batch; kept for its buffers.
    rated: rated::RatedOwners,
}

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// What intake measures records against.
    pub rules: IntakeRules,
    /// Hours for which record ids are remembered, behind the clock of ticks; `None` is forever.
    pub duplicate_window_h: Option<u32>,
    /// Hours for which ids of commands are remembered, from their arrival on; for ever where record ids are.
    pub command_memory_h: u32,
    /// Hours for which state is remembered, behind the clock of ticks: never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
    /// Threads, at least 1.
    pub threads: usize,
}

impl Engine {
    /// An engine without state. Charges name the version of the snapshot that their batch was guided by.
    pub fn new(directory: Arc<dyn Directory>, encoder: Encoder, settings: EngineSettings) -> Engine {
        Engine {
            directory,
            snapshot: None,
            rules: settings.rules,
            duplicates: Duplicates::new(Window {
                hours: settings.duplicate_window_h,
                command_hours: settings.command_memory_h,
            })
            .with_state_horizon(settings.state_horizon_h),
            owners: (0..SHARDS).map(|_| Owners::default()).collect(),
            encoder,
            threads: settings.threads.max(1),
            summary: Summary::default(),
            forgotten: Timestamp::EPOCH,
            ended: None,
            charged_until: None,
            sealed: None,
            spare: Vec::new(),
        }
    }

    /// Takes back the buffers of an output that is no longer needed: fresh memory for every batch would cost as much as writing to it.
    pub fn reuse(&mut self, output: BatchOutput) {
        for mut encoded in [output.charges, output.deltas] {
            if self.spare.len() < MAX_SPARE {
                encoded.clear();
                self.spare.push(encoded);
            }
        }
    }

    /// Takes a batch through all phases.
    ///
    /// # Errors
    /// See [`EngineError`]: whichever it is, the state is no longer to be trusted, and nothing may be committed.
    pub fn process(&mut self, batch: BatchInput<'_>) -> Result<BatchOutput, EngineError> {
        let stretches = take::take_in(batch, &self.rules, self.sealed.as_ref(), self.threads)?;
        let ends = self.duplicates.ends_of_windows(stretches.iter().flat_map(|stretch| stretch.ticks()));
        if ends.is_empty() {
            return self.process_part(batch, stretches);
        }
        // Where the window moves, ids are forgotten but for those of what is suspended: what came before has to be known by then, however
        // batches are cut.
        let mut whole = BatchOutput::default();
        let mut first = 0;
        for end in ends.into_iter().chain([batch.records.len()]).filter(|end| *end > 0) {
            let records = batch.records.part(first..end);
            let retries = batch.retries.get(first..end).unwrap_or_default();
            let part = BatchInput { records: &records, retries, ..batch };
            let stretches = take::take_in(part, &self.rules, self.sealed.as_ref(), self.threads)?;
            whole.append(self.process_part(part, stretches)?, first)?;
            first = end;
        }
        Ok(whole)
    }

    fn process_part(
        &mut self,
        batch: BatchInput<'_>,
        mut stretches: Vec<take::Stretch>,
    ) -> Result<BatchOutput, EngineError> {
        let snapshot = self.snapshot_for(&stretches)?;
        take::admit(&mut stretches, batch, &mut self.duplicates);
        let guided = guided::guide_all(&stretches, batch.retries, &snapshot, self.threads);
        rated::rate_all(&guided, &mut self.owners, &self.encoder, self.threads)?;
        let buffers = [self.spare.pop().unwrap_or_default(), self.spare.pop().unwrap_or_default()];
        let merged = rated::Merged { batch, stretches: &stretches, guided: &guided, owners: &self.owners };
        let mut output = merged.in_order(&self.encoder, buffers, self.threads)?;
        // What came in, counted on its own.
        output.totals.received += batch.records.len() as u64;
        output.totals.check()?;
        for (identity, is_owner) in output.holds.drain(..) {
            self.duplicates.hold(identity, is_owner);
        }
        self.forgotten = self.forgotten.max(self.duplicates.state_horizon());
        self.note_charged();
        Ok(output)
    }

    /// Does the work that falls due by an instant, where no tick says how late it is. It is no tick: nothing is forgotten by it, and what follows is
    /// booked as if it had not been, so that it does not matter in how many runs a file is rated.
    ///
    /// # Errors
    /// A control total that does not balance.
    pub fn end(&mut self, at: Timestamp) -> Result<BatchOutput, EngineError> {
        let mut output = BatchOutput::default();
        self.ended = self.ended.max(Some(at));
        rated::end_all(at, &mut self.owners, &self.encoder, self.threads)?;
        for Owners { rated, .. } in &self.owners {
            rated.append_all(&mut output)?;
        }
        output.totals.check()?;
        Ok(output)
    }

    /// Has accounts learn what the directory says of them over time. Said twice, it changes nothing.
    ///
    /// # Errors
    /// As [`Engine::end`].
    pub fn learn(&mut self, timelines: &[AccountTimeline]) -> Result<BatchOutput, EngineError> {
        let mut output = BatchOutput::default();
        rated::learn_all(timelines, &mut self.owners, &self.encoder, self.threads)?;
        for Owners { rated, .. } in &self.owners {
            rated.append_all(&mut output)?;
        }
        output.totals.check()?;
        Ok(output)
    }

    /// Has all accounts of a snapshot learn what it says of them, as far as there is anything to learn.
    ///
    /// # Errors
    /// As [`Engine::end`].
    pub fn learn_from(&mut self, snapshot: &Snapshot) -> Result<BatchOutput, EngineError> {
        let now = self.clock().max(self.charged_until).unwrap_or(Timestamp::EPOCH);
        let are_known = self.owners.iter().any(|owners| owners.shard.state.has_timelines());
        let is_known = |account: &AccountId| {
            if !are_known {
                return false;
            }
            let state = self.state_of(account);
            state.known_account(account).is_some_and(|account| state.timeline(account).is_some())
        };
        let timelines = snapshot.timelines().filter(|timeline| !timeline.is_plain() || is_known(&timeline.account));
        let timelines: Vec<AccountTimeline> = timelines
            .map(|AccountTimeline { account, standings }| AccountTimeline {
                account,
                standings: to_tell(standings, now),
            })
            .collect();
        self.learn(&timelines)
    }

    fn note_charged(&mut self) {
        let latest = self.owners.iter_mut().filter_map(|owners| owners.charged_until.take()).max();
        self.charged_until = self.charged_until.max(latest);
    }
}

impl Engine {
    /// The one snapshot of a batch.
    fn snapshot_for(&mut self, stretches: &[take::Stretch]) -> Result<Arc<Snapshot>, EngineError> {
        let snapshot = match self.directory.whole() {
            Some(snapshot) => snapshot.clone(),
            None => {
                let mut needs = Needs::default();
                stretches.iter().flat_map(|stretch| &stretch.taken).for_each(|taken| taken.add_needs(&mut needs));
                self.directory.snapshot_for(&needs).map_err(EngineError::Directory)?
            }
        };
        if self.snapshot.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot)) {
            return Ok(snapshot);
        }
        // The sums stand on edges of the snapshot that goes.
        self.summary()?;
        self.encoder.name_directory(snapshot.version());
        self.snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// Applies `work` to every item on up to `threads` threads; results in the order of the items.
fn in_parallel<I: Send, O: Send>(threads: usize, items: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = std::sync::Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let run = || std::iter::from_fn(next).map(|(at, item)| (at, work(item))).collect::<Vec<_>>();
    let mut done: Vec<(usize, O)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            match other.join() {
                Ok(results) => done.extend(results),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
