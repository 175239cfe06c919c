//! An independent, naive second opinion on what the product should charge.
//!
//! Written from the acceptance rules and the form of the reference data alone, and deliberately sharing no code with the product. It is meant to be
//! obviously right rather than fast: exact big rationals, linear scans, everything in memory, no storage, no batches, no threads.
//!
//! Deliberately without: credit pots and reservations, renewals and iterations, recurring fees, volume tiers and minimum commitments, re-rating,
//! thresholds, the duplicate window, and everything else that is due by the clock. Ticks only tell which sessions lie behind the state horizon.

mod allowances;
mod commands;
mod guide;
mod outcome;
mod price;
mod rate;
mod rates;
mod record;
mod reference;
mod values;
mod yaml;

pub use outcome::{
    Charge, ChargeKind, ChargeReason, CommandOutcome, CommandResult, Delta, Draw, Leg, News, Notification, Outcome,
    PricedBy, Reason, Recycled,
};

use allowances::Instance;
use num_rational::BigRational;
use num_traits::Zero;
use price::Counter;
use record::{Line, Record};
use reference::{Reference, Status};
use std::collections::{BTreeMap, BTreeSet};

/// All state of rating, fed line by line.
pub struct Oracle {
    reference: Reference,
    /// Milliseconds since 1970; what is later waits.
    latest_event: i64,
    /// Payload of every record that was seen, by source and id.
    seen: BTreeMap<(String, String), BTreeMap<String, String>>,
    money: BTreeMap<String, Money>,
    /// The currency of each account since its first charge or command (rule 8).
    currencies: BTreeMap<String, String>,
    instances: Vec<Instance>,
    counters: BTreeMap<rate::CounterKey, Counter>,
    /// The latest tick, in milliseconds since 1970.
    clock: Option<i64>,
    /// The latest event of each session that has a counter, or a connect fee that is decided on.
    sessions: BTreeMap<rate::SessionKey, i64>,
    /// The sessions whose first priced unit has decided on the connect fee.
    connected: BTreeSet<rate::SessionKey>,
    /// What was charged towards each cap.
    capped: BTreeMap<rate::CapKey, rate::Capped>,
    /// The bundle instances whose failure to become active was told (detail x).
    unpaid: BTreeSet<String>,
    /// Statuses that commands gave to accounts: (account, from, status), in order of arrival.
    statuses: Vec<(String, i64, Status)>,
    /// Ids of the commands that were seen.
    commands: BTreeSet<String>,
    waiting: Vec<Waiting>,
    /// The line that is worked on.
    line: Vec<u8>,
    grants: Vec<CommandOutcome>,
    deltas: Vec<Delta>,
    notifications: Vec<Notification>,
}

/// An account's balance and the number of its last delta.
#[derive(Clone)]
struct Money {
    balance: BigRational,
    sequence: u64,
    /// Told, and not positive since (detail C).
    exhausted: bool,
}

impl Default for Money {
    fn default() -> Self {
        Self { balance: BigRational::zero(), sequence: 0, exhausted: false }
    }
}

/// A record or a leg in suspense.
struct Waiting {
    original: Vec<u8>,
    identity: Option<(String, String)>,
    /// Nothing if it could not be read, or is another record's double: recycling does not change that.
    record: Option<Record>,
    level: Option<u32>,
    reason: Reason,
}

impl Oracle {
    /// Starts with `reference_yaml`; the bundles that it grants are bought at once.
    ///
    /// # Errors
    /// When the text is not reference data. The check is not the product's: much that the product refuses is read here.
    pub fn new(reference_yaml: &str) -> Result<Self, String> {
        Self::with_latest_event(reference_yaml, i64::MAX)
    }

    /// As [`Oracle::new`]; usage, commands and ticks after `latest_event` (milliseconds since 1970) wait as `future_event`, and grants after it are
    /// not carried out.
    ///
    /// # Errors
    /// As for [`Oracle::new`].
    pub fn with_latest_event(reference_yaml: &str, latest_event: i64) -> Result<Self, String> {
        let mut oracle = Self {
            reference: Reference::read(reference_yaml)?,
            latest_event,
            seen: BTreeMap::new(),
            money: BTreeMap::new(),
            currencies: BTreeMap::new(),
            instances: Vec::new(),
            counters: BTreeMap::new(),
            clock: None,
            sessions: BTreeMap::new(),
            connected: BTreeSet::new(),
            capped: BTreeMap::new(),
            unpaid: BTreeSet::new(),
            statuses: Vec::new(),
            commands: BTreeSet::new(),
            waiting: Vec::new(),
            line: Vec::new(),
            grants: Vec::new(),
            deltas: Vec::new(),
            notifications: Vec::new(),
        };
        oracle.apply_grants();
        Ok(oracle)
    }

    /// Goes on with other reference data; state stays, and new grants are bought.
    ///
    /// # Errors
    /// As for [`Oracle::new`]; nothing has changed then.
    pub fn replace_reference(&mut self, reference_yaml: &str) -> Result<(), String> {
        self.reference = Reference::read(reference_yaml)?;
        self.apply_grants();
        Ok(())
    }

    /// What became of the grants in the reference data since the last call.
    pub fn take_grants(&mut self) -> Vec<CommandOutcome> {
        std::mem::take(&mut self.grants)
    }

    /// Every change of a balance since the last call, in order.
    pub fn take_deltas(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.deltas)
    }

    /// What accounts were told since the last call, in order.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    /// Processes one line of a JSON lines file; a line feed at its end does not matter.
    pub fn feed_line(&mut self, line: &[u8]) -> Outcome {
        self.line = line.to_vec();
        match record::read(line) {
            Line::Blank => Outcome::Blank,
            Line::Tick(at) if at > self.latest_event => self.suspend(Reason::FutureEvent, None, None),
            Line::Tick(at) => {
                self.clock = self.clock.max(Some(at));
                Outcome::Tick
            }
            Line::Command(command) if command.effective > self.latest_event => {
                self.suspend(Reason::FutureEvent, None, None)
            }
            Line::Command(command) => Outcome::Command(self.command(&command)),
            Line::Undecodable => self.suspend(Reason::Undecodable, None, None),
            Line::Invalid(identity) => self.suspend(Reason::InvalidRecord, identity, None),
            Line::Usage(record) if record.event_time > self.latest_event => {
                self.suspend(Reason::FutureEvent, Some((record.source, record.id)), None)
            }
            Line::Usage(record) => self.usage(*record),
        }
    }

    /// The balance of `account` without trailing zeros; 0 if nothing was ever booked.
    #[must_use]
    pub fn balance(&self, account: &str) -> String {
        values::amount_text(&self.money.get(account).cloned().unwrap_or_default().balance)
    }

    /// Base units left in each allowance of the bundle instance `id`, in the order of its elements; `None`: unlimited.
    #[must_use]
    pub fn allowances_left(&self, id: &str) -> Option<Vec<Option<String>>> {
        let instance = self.instances.iter().find(|instance| instance.id == id)?;
        Some(instance.left.iter().map(|left| left.as_ref().map(ToString::to_string)).collect())
    }

    /// The half-open validity of the bundle instance `id` in milliseconds since 1970, if it is or was active.
    #[must_use]
    pub fn validity(&self, id: &str) -> Option<(i64, Option<i64>)> {
        let instance = self.instances.iter().find(|instance| instance.id == id)?;
        match instance.state {
            allowances::State::Active { from, until } => Some((from, until)),
            allowances::State::Pending | allowances::State::Armed => None,
        }
    }

    /// Tries everything that waits again, in order, on the reference data and allowances of now (rule 26).
    pub fn recycle(&mut self) -> Vec<Recycled> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut results = Vec::new();
        for entry in waiting {
            // Only who says that it is to be charged although it is late has it charged.
            if entry.reason == Reason::TooOldToRate {
                self.waiting.push(entry);
                continue;
            }
            let was = entry.reason;
            let (original, identity, level) = (entry.original.clone(), entry.identity.clone(), entry.level);
            self.line.clone_from(&entry.original);
            let result = match (&entry.record, entry.level) {
                (None, _) => Err(entry.reason),
                (Some(record), None) => self.guided_legs(record).map(|steps| self.rate_legs(record, &steps)),
                (Some(record), Some(level)) => self.recycle_leg(record, level, entry.reason),
            };
            match &result {
                Ok(_) => {}
                Err(reason) => self.waiting.push(Waiting { reason: *reason, ..entry }),
            }
            results.push(Recycled { original, identity, was, level, result });
        }
        results
    }

    /// One leg again; where its level no longer exists it waits on for the reason it had.
    fn recycle_leg(&mut self, record: &Record, level: u32, was: Reason) -> Result<Vec<Leg>, Reason> {
        let steps = self.guided_legs(record)?;
        let step = steps.iter().find(|step| step.level == level).ok_or(was)?;
        let leg = self.rate_leg(record, step);
        match leg.result {
            Ok(_) => Ok(vec![leg]),
            Err(reason) => Err(reason),
        }
    }

    fn usage(&mut self, record: Record) -> Outcome {
        let identity = (record.source.clone(), record.id.clone());
        if let Some(payload) = self.seen.get(&identity) {
            if *payload == record.payload {
                return Outcome::Duplicate { source: identity.0, id: identity.1 };
            }
            return self.suspend(Reason::DuplicateConflict, Some(identity), None);
        }
        self.seen.insert(identity.clone(), record.payload.clone());
        match self.guided_legs(&record) {
            Err(reason) => self.suspend(reason, Some(identity), Some(record)),
            Ok(steps) => {
                let legs = self.rate_legs(&record, &steps);
                Outcome::Guided { source: identity.0, id: identity.1, legs }
            }
        }
    }

    /// Rates every leg; those that cannot be rated wait.
    fn rate_legs(&mut self, record: &Record, steps: &[guide::Step]) -> Vec<Leg> {
        let mut legs = Vec::new();
        for step in steps {
            let leg = self.rate_leg(record, step);
            if let Err(reason) = leg.result {
                let identity = Some((record.source.clone(), record.id.clone()));
                let (original, record, level) = (self.line.clone(), Some(record.clone()), Some(step.level));
                self.waiting.push(Waiting { original, identity, record, level, reason });
            }
            legs.push(leg);
        }
        legs
    }

    fn suspend(&mut self, reason: Reason, identity: Option<(String, String)>, record: Option<Record>) -> Outcome {
        let original = self.line.clone();
        self.waiting.push(Waiting { original, identity: identity.clone(), record, level: None, reason });
        Outcome::Suspended { reason, identity }
    }
}
