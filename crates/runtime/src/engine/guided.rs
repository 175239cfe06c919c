//! Guide: legs and commands, handed out to the owners of their payers.

use super::take::Stretch;
use super::{Intent, Retry, SHARDS, in_parallel};
use directory::snapshot::Snapshot;
use pipeline::guide::{guide_command, shard_of};
use pipeline::{ControlTotals, Guided, Intaken, Taken, Task, Verdict, Work, guide};
use rating::{Command, CommandRefusal, Leg, SuspenseReason, Timestamp};
use smallvec::SmallVec;

/// How many records look for their endpoints together.
const AHEAD: usize = 16;

/// What guide made of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// This many tasks, numbered consecutively within the stretch.
    Tasks(u32),
    /// Nothing further.
    Done,
    /// A command that no account can take.
    Refused(CommandRefusal),
    /// It waits; the level, if only that one does.
    Waits(SuspenseReason, Option<u8>),
}

/// The tasks of a stretch by owners, and an outcome per record.
#[derive(Debug)]
pub(super) struct GuidedStretch<'a> {
    /// Per group of owners, in the order of the input. Positions are numbers of tasks within the stretch.
    pub(super) tasks: Vec<Vec<Task<'a>>>,
    pub(super) outcomes: Vec<Outcome>,
    /// How many tasks there are.
    pub(super) task_count: u32,
    pub(super) totals: ControlTotals,
}

/// Guides everything that was admitted.
pub(super) fn guide_all<'a>(
    stretches: &'a [Stretch],
    retries: &[Retry],
    snapshot: &'a Snapshot,
    threads: usize,
) -> Vec<GuidedStretch<'a>> {
    in_parallel(threads, stretches.iter().collect(), |stretch| {
        let mut guided = GuidedStretch {
            tasks: (0..SHARDS).map(|_| Vec::new()).collect(),
            outcomes: Vec::with_capacity(stretch.taken.len()),
            task_count: 0,
            totals: ControlTotals::default(),
        };
        let mut records = (stretch.first..).zip(stretch.taken.iter().zip(&stretch.verdicts));
        let mut group = Vec::with_capacity(AHEAD);
        loop {
            // With many endpoints most of the time goes by waiting for memory. Look-ups that do not depend on each other wait together.
            group.extend(records.by_ref().take(AHEAD).map(|(position, (taken, verdict))| {
                let located = match (verdict, taken) {
                    (Verdict::Pass(horizon), Taken::Usage(intaken)) => Some(Located::of(intaken, snapshot, *horizon)),
                    (Verdict::Pass(_), Taken::Command(..) | Taken::Tick(_) | Taken::Fault(_))
                    | (Verdict::Duplicate | Verdict::Tick | Verdict::Waits(_) | Verdict::Refused(_), _) => None,
                };
                (position, taken, verdict, located)
            }));
            if group.is_empty() {
                return guided;
            }
            for (position, taken, verdict, located) in group.drain(..) {
                let outcome = match (verdict, taken, located) {
                    (_, _, Some(located)) => guided.usage(located, Retry::at(retries, position).intent),
                    (Verdict::Pass(_), Taken::Command(key, command), None) => guided.command(*key, command, snapshot),
                    (Verdict::Refused(refusal), _, None) => Outcome::Refused(*refusal),
                    (Verdict::Pass(_), Taken::Usage(_) | Taken::Tick(_) | Taken::Fault(_), None)
                    | (Verdict::Duplicate | Verdict::Tick | Verdict::Waits(_), _, None) => Outcome::Done,
                };
                guided.outcomes.push(outcome);
            }
        }
    })
}

/// A record with its lineage and the owners of its payers, or why it waits.
struct Located<'a> {
    guided: Result<Guided<'a>, SuspenseReason>,
    owners: SmallVec<[usize; 8]>,
}

impl<'a> Located<'a> {
    fn of(intaken: &'a Intaken, snapshot: &'a Snapshot, horizon: Timestamp) -> Located<'a> {
        let guided = guide(intaken, snapshot, horizon);
        let payers = guided.iter().flat_map(|guided| guided.payers());
        Located { owners: payers.map(|payer| shard_of(payer, SHARDS)).collect(), guided }
    }
}

impl<'a> GuidedStretch<'a> {
    fn usage(&mut self, located: Located<'a>, intent: Intent) -> Outcome {
        let only = match intent {
            Intent::Level { level, reason } => Some((level, reason)),
            Intent::Fresh | Intent::Admitted | Intent::Readmit | Intent::Conflicting | Intent::Late => None,
        };
        let legs = match located.guided {
            Ok(guided) => guided.legs().zip(located.owners),
            Err(reason) => {
                self.totals.suspended += 1;
                return Outcome::Waits(reason, only.map(|(level, _)| level));
            }
        };
        let mut count = 0;
        for (leg, owner) in legs.filter(|(leg, _)| only.is_none_or(|(level, _)| leg.edge.level == level)) {
            let leg = Leg { is_late: intent.is_late(), ..leg };
            self.totals.guided_leg(leg.edge.level, leg.usage.quantity);
            self.push(owner, Work::Leg(leg));
            count += 1;
        }
        match only {
            Some((level, reason)) if count == 0 => {
                self.totals.suspended += 1;
                Outcome::Waits(reason, Some(level))
            }
            Some(_) | None => {
                self.totals.guided += 1;
                Outcome::Tasks(count)
            }
        }
    }

    fn command(&mut self, key: u128, command: &'a Command, snapshot: &'a Snapshot) -> Outcome {
        match guide_command(key, command, snapshot) {
            Ok(guided) => {
                self.push(shard_of(&guided.edge.payer, SHARDS), Work::Command(guided));
                Outcome::Tasks(1)
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn push(&mut self, owner: usize, work: Work<'a>) {
        self.tasks[owner].push(Task { position: self.task_count, work });
        self.task_count += 1;
    }
}
