//! Guide: legs and commands, handed out to the owners of their payers.

use super::take::Stretch;
use super::{Retry, SHARDS, in_parallel};
use directory::snapshot::Snapshot;
use pipeline::guide::shard_of;
use pipeline::{ControlTotals, Legs, Step, Task, Work};
use smallvec::SmallVec;

/// How many records look for their endpoints together.
const AHEAD: usize = 16;

/// The tasks of a stretch by owners, and what became of each record.
#[derive(Debug)]
pub(super) struct GuidedStretch<'a> {
    /// Per group of owners, in the order of the input. Positions are numbers of tasks within the stretch.
    pub(super) tasks: Vec<Vec<Task<'a>>>,
    /// What became of each record, and how many tasks it has; they are numbered consecutively within the stretch.
    pub(super) steps: Vec<(Step<'a>, u32)>,
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
            steps: Vec::with_capacity(stretch.taken.len()),
            task_count: 0,
            totals: ControlTotals::default(),
        };
        let mut records = (stretch.first..).zip(stretch.taken.iter().zip(&stretch.verdicts));
        let mut group = Vec::with_capacity(AHEAD);
        loop {
            // With many endpoints most of the time goes by waiting for memory. Look-ups that do not depend on each other wait together.
            group.extend(records.by_ref().take(AHEAD).map(|(position, (taken, verdict))| {
                let step = Retry::at(retries, position).arrival.guide(taken, verdict, snapshot);
                (owners(&step), step)
            }));
            if group.is_empty() {
                return guided;
            }
            for (owners, step) in group.drain(..) {
                guided.add(step, owners);
            }
        }
    })
}

/// The owners that have something to do: of those who pay, or all.
fn owners(step: &Step<'_>) -> SmallVec<[usize; 8]> {
    match step {
        Step::Legs(legs) => legs.payers().map(|payer| shard_of(payer, SHARDS)).collect(),
        Step::Command(guided) => SmallVec::from_slice(&[shard_of(&guided.edge.payer, SHARDS)]),
        // All of them: it is later for everybody.
        Step::Tick(Some(_)) => (0..SHARDS).collect(),
        Step::Refused(..) | Step::Duplicate(_) | Step::Tick(None) | Step::Suspended(_) => SmallVec::new(),
    }
}

impl<'a> GuidedStretch<'a> {
    fn add(&mut self, step: Step<'a>, owners: SmallVec<[usize; 8]>) {
        step.count(&mut self.totals);
        let before = self.task_count;
        match &step {
            Step::Legs(legs) => self.legs(*legs, owners),
            Step::Command(guided) => owners.into_iter().for_each(|owner| self.push(owner, Work::Command(*guided))),
            // Here all work is done before the next record.
            Step::Tick(Some(instant)) => {
                owners.into_iter().for_each(|owner| self.push(owner, Work::Tick(*instant, usize::MAX)))
            }
            Step::Refused(..) | Step::Duplicate(_) | Step::Tick(None) | Step::Suspended(_) => {}
        }
        self.steps.push((step, self.task_count - before));
    }

    fn legs(&mut self, legs: Legs<'a>, owners: SmallVec<[usize; 8]>) {
        for (leg, owner) in legs.legs().zip(owners) {
            self.totals.guided_leg(leg.edge.level, leg.usage.quantity);
            self.push(owner, Work::Leg(leg));
        }
    }

    fn push(&mut self, owner: usize, work: Work<'a>) {
        self.tasks[owner].push(Task { position: self.task_count, work });
        self.task_count += 1;
    }
}
