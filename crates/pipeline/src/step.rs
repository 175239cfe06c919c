//! What happens to one thing that came in, whichever shell moves it: files or a log bring bytes and commit; everything between is here, once.
//!
//! | phase | function | runs |
//! | --- | --- | --- |
//! | take in | [`Decoded::take_in`](crate::Taken) by [`Arrival::rules`] | on any thread |
//! | let pass once | [`Arrival::admit`] | in the order of arrival, on one thread for an identity |
//! | guide | [`Arrival::guide`] | on any thread |
//! | rate | [`RateShard::execute`](crate::RateShard) | in the order of arrival, on one thread for an owner |
//! | count, tell | [`Step::count`], [`Step::tell`] | in the order of arrival |

use crate::admit::{Intent, Taken, Verdict};
use crate::duplicates::Duplicates;
use crate::guide::{Guided, guide, guide_command};
use crate::held::Place;
use crate::intake::{Fault, IntakeRules};
use crate::rate::{RateOutcome, RatedTask};
use crate::totals::ControlTotals;
use directory::snapshot::Snapshot;
use rating::command::GuidedCommand;
use rating::effect::{Delta, NotificationKind};
use rating::{
    AccountId, Cause, Command, CommandRefusal, Leg, Notification, Reply, Shared, SuspenseReason, Timestamp, UsageRecord,
};
use std::borrow::Cow;

/// How something comes: for the first time, or again after it was suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How it is treated.
    pub intent: Intent,
    /// Why and on what level it was suspended, if its id is held: what cannot be read any more goes on waiting so, or it would be its own duplicate the
    /// next time.
    pub held: Option<(SuspenseReason, Option<u8>)>,
}

impl Arrival {
    /// For the first time.
    pub const FRESH: Arrival = Arrival { intent: Intent::Fresh, held: None };

    /// A command that the reference data implies: whoever makes it knows that it was not applied before.
    pub const GRANTED: Arrival = Arrival { intent: Intent::Admitted, held: None };

    /// Again after it was suspended.
    pub fn again(reason: SuspenseReason, level: Option<u8>) -> Arrival {
        let intent = Intent::of(reason, level);
        Arrival { intent, held: intent.was_held().then_some((reason, level)) }
    }

    /// The rules by which it is taken in: what was admitted once is not doubted a second time.
    pub fn rules(self, rules: &IntakeRules) -> Cow<'_, IntakeRules> {
        match self.intent {
            Intent::Fresh | Intent::Readmit => Cow::Borrowed(rules),
            Intent::Admitted | Intent::Late | Intent::Conflicting | Intent::Level { .. } => {
                Cow::Owned(rules.for_admitted())
            }
        }
    }

    /// Lets it pass once. `place` says where this copy stands, `kept` what was moved out of `duplicates` under its id.
    pub fn admit(
        self,
        taken: &Taken,
        place: impl FnOnce() -> Place,
        duplicates: &mut Duplicates,
        kept: Option<u64>,
    ) -> Verdict {
        // What comes for the first time is told apart by its id alone: where it stands need not be hashed.
        let place = if self.intent == Intent::Fresh { Place::FORGOTTEN } else { place() };
        taken.admit(self.intent, place, duplicates, kept)
    }

    /// What becomes of it, after it was let pass or not.
    pub fn guide<'a>(self, taken: &'a Taken, verdict: &Verdict, snapshot: &'a Snapshot) -> Step<'a> {
        match (taken, verdict) {
            (Taken::Fault(fault), _) => Step::Suspended(self.unread(fault)),
            (Taken::Usage(intaken), Verdict::Pass(horizon)) => {
                let legs = guide(intaken, snapshot, *horizon).and_then(|guided| self.legs(guided));
                legs.map_or_else(|reason| self.waits(reason, taken, snapshot), Step::Legs)
            }
            (Taken::Command(key, command), Verdict::Pass(_)) => match guide_command(*key, command, snapshot) {
                Ok(guided) => Step::Command(guided),
                Err(refusal) => Step::Refused(*key, command, refusal),
            },
            (Taken::Command(key, command), Verdict::Refused(refusal)) => Step::Refused(*key, command, *refusal),
            (Taken::Command(_, command), Verdict::Duplicate) => Step::Duplicate(Some(command)),
            (Taken::Usage(_), Verdict::Duplicate) => Step::Duplicate(None),
            (Taken::Usage(_) | Taken::Command(..), Verdict::Waits(Fault { reason, detail })) => {
                Step::Suspended(Suspended {
                    reason: *reason,
                    level: None,
                    detail: detail.as_str().into(),
                    stage: "guide",
                })
            }
            (Taken::Tick(instant), Verdict::Tick { moves }) => Step::Tick(Some(*instant).filter(|_| *moves)),
            (Taken::Usage(_), Verdict::Refused(_))
            | (Taken::Usage(_) | Taken::Command(..), Verdict::Tick { .. })
            | (Taken::Tick(_), Verdict::Pass(_) | Verdict::Duplicate | Verdict::Waits(_) | Verdict::Refused(_)) => {
                unreachable!("commands are refused, and ticks are ticks: {verdict:?} of {taken:?}")
            }
        }
    }

    /// What cannot be taken in waits: for the old reason, where its id is remembered already.
    pub fn unread(self, fault: &Fault) -> Suspended {
        let Fault { reason, detail } = fault;
        let (reason, level, detail) = match self.held {
            Some((held, level)) => (held, level, format!("{}: {detail}", reason.name()).into()),
            None => (*reason, None, detail.as_str().into()),
        };
        Suspended { reason, level, detail, stage: "intake" }
    }

    /// The legs that are to be rated: all of them, or the one that was suspended. An error if the record has no such level any more.
    fn legs(self, guided: Guided<'_>) -> Result<Legs<'_>, SuspenseReason> {
        let is_late = self.intent.is_late();
        match self.intent {
            Intent::Level { level, reason } if guided.levels().all(|known| known != level) => Err(reason),
            Intent::Level { level, .. } => Ok(Legs { guided, only: Some(level), is_late }),
            Intent::Fresh | Intent::Admitted | Intent::Readmit | Intent::Conflicting | Intent::Late => {
                Ok(Legs { guided, only: None, is_late })
            }
        }
    }

    fn waits(self, reason: SuspenseReason, taken: &Taken, snapshot: &Snapshot) -> Step<'static> {
        let level = match self.intent {
            Intent::Level { level, .. } => Some(level),
            Intent::Fresh | Intent::Admitted | Intent::Readmit | Intent::Conflicting | Intent::Late => None,
        };
        let detail = taken.explain_in(snapshot, reason).into();
        Step::Suspended(Suspended { reason, level, detail, stage: "guide" })
    }
}

/// What becomes of something.
#[derive(Debug)]
pub enum Step<'a> {
    /// Its legs are to be rated.
    Legs(Legs<'a>),
    /// The owner of its account applies it.
    Command(GuidedCommand<'a>),
    /// No account is to apply it.
    Refused(u128, &'a Command, CommandRefusal),
    /// It came before; a command is told so.
    Duplicate(Option<&'a Command>),
    /// It is at least this late; `None` where that is known already.
    Tick(Option<Timestamp>),
    /// It waits.
    Suspended(Suspended),
}

/// Legs of one record.
#[derive(Clone, Copy, Debug)]
pub struct Legs<'a> {
    guided: Guided<'a>,
    only: Option<u8>,
    is_late: bool,
}

impl<'a> Legs<'a> {
    /// The legs, lowest level first. The rate of a level is looked up here.
    pub fn legs(self) -> impl Iterator<Item = Leg<'a>> {
        let legs = self.guided.legs().filter(move |leg| self.only.is_none_or(|only| leg.edge.level == only));
        legs.map(move |leg| Leg { is_late: self.is_late, ..leg })
    }

    /// Who pays, in the order of the legs, without looking up rates.
    pub fn payers(self) -> impl Iterator<Item = &'a AccountId> {
        let levels = self.guided.levels().zip(self.guided.payers());
        levels.filter(move |(level, _)| self.only.is_none_or(|only| *level == only)).map(|(_, payer)| payer)
    }
}

/// Something that cannot go on now: what waits, why, and how it is tried again ([`Intent::of`] the reason and the level).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// Stable code.
    pub reason: SuspenseReason,
    /// The level that waits; `None` for the whole record or command.
    pub level: Option<u8>,
    /// What exactly, for a person.
    pub detail: Box<str>,
    /// `intake`, `guide` or `rate`: who could not go on.
    pub stage: &'static str,
}

impl Suspended {
    /// The leg of a record that a task was, if it waits.
    pub fn of_leg(task: &RatedTask, record: &UsageRecord) -> Option<Suspended> {
        let RateOutcome::Suspended(reason) = task.outcome else { return None };
        let detail = crate::admit::explain(record, reason, task.rate_unit).into();
        Some(Suspended { reason, level: Some(task.level), detail, stage: "rate" })
    }

    /// Whether its identity is kept while it waits, and stands then for all copies.
    pub fn holds(&self) -> Option<bool> {
        let intent = Intent::of(self.reason, self.level);
        intent.was_held().then(|| intent.is_owner())
    }
}

/// What became of a command, as told to who issued it.
#[derive(Clone, Copy, Debug)]
pub struct CommandReply<'a> {
    /// The command.
    pub command: &'a Command,
    /// What became of it.
    pub outcome: CommandOutcome,
    /// What exactly, for a person.
    pub detail: Option<&'a str>,
    /// What it posted.
    pub deltas: &'a [Delta],
    /// Sequence of the account's last delta after it; `None` where the account was not asked.
    pub sequence: Option<u64>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It was applied.
    Applied,
    /// It was refused, and nothing changed.
    Refused(CommandRefusal),
    /// The same command came before.
    Duplicate,
    /// It waits in suspense.
    Suspended(SuspenseReason),
}

impl<'a> CommandReply<'a> {
    /// The answer of the account's owner.
    pub fn of(reply: &'a Reply<'a>) -> CommandReply<'a> {
        let outcome = match reply.outcome {
            Ok(()) => CommandOutcome::Applied,
            Err(refusal) => CommandOutcome::Refused(refusal),
        };
        let Reply { command, deltas, sequence, .. } = reply;
        CommandReply { command, outcome, detail: None, deltas, sequence: Some(*sequence) }
    }

    /// The answer to a command that did not reach its account.
    fn unasked(command: &'a Command, outcome: CommandOutcome, detail: Option<&'a str>) -> CommandReply<'a> {
        CommandReply { command, outcome, detail, deltas: &[], sequence: None }
    }
}

/// Takes what is told of something.
pub trait Tell {
    /// It waits.
    fn suspended(&mut self, suspended: &Suspended, taken: &Taken);
    /// An account is told.
    fn notification(&mut self, notification: &Notification<'_>);
    /// Who issued a command is answered.
    fn reply(&mut self, reply: &CommandReply<'_>);
}

impl Step<'_> {
    /// Counts what became of it. That it came in is counted where it did, so that one proves the other; legs are counted one by one, where they are
    /// handed out.
    pub fn count(&self, totals: &mut ControlTotals) {
        match self {
            Step::Legs(_) => totals.guided += 1,
            Step::Command(_) | Step::Refused(..) => totals.commands += 1,
            Step::Duplicate(_) => totals.duplicates += 1,
            Step::Tick(_) => totals.ticks += 1,
            Step::Suspended(_) => totals.suspended += 1,
        }
    }

    /// Tells what is to be told of it now. What rating puts out of its legs, or of the command, is told when it is rated.
    pub fn tell(&self, taken: &Taken, tell: &mut impl Tell) {
        match self {
            Step::Legs(_) | Step::Command(_) | Step::Tick(_) | Step::Duplicate(None) => {}
            Step::Duplicate(Some(command)) => {
                tell.reply(&CommandReply::unasked(command, CommandOutcome::Duplicate, None));
            }
            Step::Refused(key, command, refusal) => {
                tell.notification(&Notification {
                    kind: NotificationKind::CommandRefused { reason: refusal.name() },
                    account: command.account_id.clone(),
                    endpoint: command.kind.endpoint().map(Shared::Of),
                    sequence: None,
                    cause: Cause::Command(command, *key),
                });
                tell.reply(&CommandReply::unasked(command, CommandOutcome::Refused(*refusal), None));
            }
            Step::Suspended(suspended) => {
                tell.suspended(suspended, taken);
                if let Taken::Command(_, command) = taken {
                    let outcome = CommandOutcome::Suspended(suspended.reason);
                    tell.reply(&CommandReply::unasked(command, outcome, Some(&suspended.detail)));
                }
            }
        }
    }
}
