//! Rate: the owner of account state. Applies legs and commands in order; each has exactly one outcome.

use rating::command::{CommandRefusal, GuidedCommand, apply_command};
use rating::leg::Leg;
use rating::{AccountChange, AccountId, Effect, State, SuspenseReason, Timestamp, Unit, due, rate_leg};

/// One thing to do for one account.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Position of the record in its batch.
    pub position: u32,
    /// What to do.
    pub work: Work<'a>,
}

/// A leg, a command, what the directory says, or that it is later now.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Rate a leg.
    Leg(Leg<'a>),
    /// Apply a command.
    Command(GuidedCommand<'a>),
    /// Take what the directory says of the account.
    Change(AccountChange<'a>),
    /// It is at least this late. Then work that is due is done, of at most so many accounts.
    Tick(Timestamp, usize),
}

/// The outcome of one task, and where its effects end in those of the batch.
#[derive(Clone, Copy, Debug)]
pub struct RatedTask {
    /// Position of the record in its batch.
    pub position: u32,
    /// Level of the edge.
    pub level: u8,
    /// Quantity of the leg, 0 for a command.
    pub quantity: u64,
    /// Unit of the leg's rate, where it has one.
    pub rate_unit: Option<Unit>,
    /// What became of it.
    pub outcome: RateOutcome,
    /// End of its effects.
    pub effects_end: u32,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOutcome {
    /// The leg was charged, perhaps 0.
    Charged,
    /// The leg waits.
    Suspended(SuspenseReason),
    /// The command was applied.
    Applied,
    /// The command was refused.
    Refused(CommandRefusal),
    /// What the directory says of the account was taken.
    Learnt,
    /// The clock was told.
    Ticked,
}

/// How many tasks look for their accounts together.
const AHEAD: usize = 16;

/// The accounts of one shard, at work.
#[derive(Debug, Default)]
pub struct RateShard {
    /// Its state.
    pub state: State,
}

impl RateShard {
    /// An empty shard whose changes can be [undone](State::undo).
    pub fn with_undo() -> RateShard {
        RateShard { state: State::with_undo() }
    }

    /// Does the tasks in order. Effects are added to `effects`, one outcome per task to `rated`.
    pub fn execute<'a>(
        &mut self,
        tasks: impl IntoIterator<Item = Task<'a>>,
        effects: &mut Vec<Effect<'a>>,
        rated: &mut Vec<RatedTask>,
    ) {
        let mut tasks = tasks.into_iter();
        let mut group = Vec::with_capacity(AHEAD);
        loop {
            // With many accounts most of the time goes by waiting for memory. Look-ups that do not depend on each other wait together.
            group.extend(tasks.by_ref().take(AHEAD).map(|task| {
                let payer = task.work.payer();
                (payer.map(|payer| self.state.account(payer)), task)
            }));
            if group.is_empty() {
                return;
            }
            for (account, task) in group.drain(..) {
                if let Some(account) = account.filter(|account| self.state.is_behind(*account)) {
                    due::catch_up(&mut self.state, account, effects);
                }
                let (level, quantity, outcome) = match (&task.work, account) {
                    (Work::Leg(leg), Some(account)) => {
                        let outcome = match rate_leg(leg, &mut self.state, account, effects) {
                            Ok(()) => RateOutcome::Charged,
                            Err(reason) => RateOutcome::Suspended(reason),
                        };
                        (leg.edge.level, leg.usage.quantity, outcome)
                    }
                    (Work::Command(guided), Some(account)) => {
                        let outcome = match apply_command(guided, &mut self.state, account, effects) {
                            Ok(()) => RateOutcome::Applied,
                            Err(refusal) => RateOutcome::Refused(refusal),
                        };
                        (guided.edge.level, 0, outcome)
                    }
                    (Work::Change(change), Some(account)) => {
                        due::learn(change, &mut self.state, account, effects);
                        (0, 0, RateOutcome::Learnt)
                    }
                    (Work::Tick(instant, most), _) => {
                        self.state.advance_clock(*instant);
                        due::work(&mut self.state, *most, effects);
                        (0, 0, RateOutcome::Ticked)
                    }
                    (Work::Leg(_) | Work::Command(_) | Work::Change(_), None) => {
                        unreachable!("somebody pays for every leg and command, and of somebody something is said")
                    }
                };
                rated.push(RatedTask {
                    position: task.position,
                    level,
                    quantity,
                    rate_unit: match &task.work {
                        Work::Leg(leg) => leg.rate.unit(),
                        Work::Command(_) | Work::Change(_) | Work::Tick(..) => None,
                    },
                    outcome,
                    effects_end: effects.len() as u32,
                });
            }
        }
    }
}

impl RateShard {
    /// Does work that is due by the clock, of at most so many accounts. Effects are added to `effects`. Returns how many accounts it was.
    pub fn work(&mut self, most: usize, effects: &mut Vec<Effect<'_>>) -> usize {
        due::work(&mut self.state, most, effects)
    }
}

impl<'a> Work<'a> {
    /// The account that it is for.
    fn payer(&self) -> Option<&'a AccountId> {
        match self {
            Work::Leg(leg) => Some(&leg.edge.payer),
            Work::Command(guided) => Some(&guided.edge.payer),
            Work::Change(change) => Some(change.account),
            Work::Tick(..) => None,
        }
    }
}
