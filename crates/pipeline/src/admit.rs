//! From a decoded record to whether it goes on: what it turned out to be, and its verdict (rule 26).

use crate::duplicates::{Admission, Duplicates, Identity};
use crate::held::Place;
use crate::identity::command_hash;
use crate::intake::{Fault, IntakeRules, Intaken, intake_command, intake_usage};
use crate::raw::{RawCommand, RawUsage};
use crate::text::quoted;
use directory::Needs;
use directory::snapshot::Snapshot;
use rating::{AccountId, Command, CommandRefusal, RetryMode, SuspenseReason, Timestamp, Unit, UsageRecord};

/// What a raw record turned out to be.
#[derive(Debug)]
pub enum Taken {
    /// A usage record.
    Usage(Box<Intaken>),
    /// An account command with its identity.
    Command(u128, Box<Command>),
    /// A tick.
    Tick(Timestamp),
    /// Nothing that can be taken in.
    Fault(Fault),
}

/// What happens next to a record.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on to guide; state is remembered from this instant on.
    Pass(Timestamp),
    /// Sent before; nothing follows.
    Duplicate,
    /// A tick.
    Tick {
        /// It is later than was known.
        moves: bool,
    },
    /// It waits as a whole.
    Waits(Fault),
    /// A command that is not applied.
    Refused(CommandRefusal),
}

/// How a record is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It comes from an input for the first time.
    Fresh,
    /// It waited as a whole, after its id had been remembered: it is not its own duplicate.
    Admitted,
    /// It waited before its id was remembered: it is admitted like a fresh one.
    Readmit,
    /// It waited because another payload came before it under its id, which is kept meanwhile: it is admitted like a fresh one.
    Conflicting,
    /// It was too late to tell whether it had come before, and somebody says that it was not charged: only of its copies one is.
    Late,
    /// One level of it waited; the others were charged.
    Level {
        /// The level.
        level: u8,
        /// Why it waited, for the case that it has no such level any more.
        reason: SuspenseReason,
    },
}

impl Intent {
    /// What to do with something that waited for a reason.
    pub fn of(reason: SuspenseReason, level: Option<u8>) -> Intent {
        if let Some(level) = level {
            return Intent::Level { level, reason };
        }
        match reason.retry() {
            RetryMode::Afresh => Intent::Readmit,
            RetryMode::Conflicting => Intent::Conflicting,
            RetryMode::IfUncharged => Intent::Late,
            RetryMode::Again | RetryMode::ByItself | RetryMode::ByTariff => Intent::Admitted,
        }
    }
}

impl Intent {
    /// Says whether something that waited so is tried again only if somebody says that it is to be charged although it is late.
    pub fn is_late(self) -> bool {
        match self {
            Intent::Late => true,
            Intent::Level { reason, .. } => reason.retry() == RetryMode::ByTariff,
            Intent::Fresh | Intent::Admitted | Intent::Readmit | Intent::Conflicting => false,
        }
    }

    /// Says whether something that waited so was held: its id is kept until it has left ([`Duplicates::hold`]).
    pub fn was_held(self) -> bool {
        match self {
            Intent::Admitted | Intent::Level { .. } | Intent::Late | Intent::Conflicting => true,
            Intent::Fresh | Intent::Readmit => false,
        }
    }

    /// Says whether something that waited so stands for all copies of it.
    pub fn is_owner(self) -> bool {
        match self {
            Intent::Admitted | Intent::Level { .. } => true,
            Intent::Late | Intent::Conflicting | Intent::Fresh | Intent::Readmit => false,
        }
    }
}

impl Intaken {
    /// Identity of the copy that stands at a place.
    pub fn identity_at(&self, place: Place) -> Identity {
        Identity { key: self.key, payload: self.payload, at: self.record.event_time, place }
    }
}

fn command_identity(key: u128, command: &Command, place: Place) -> Identity {
    Identity { key, payload: command_hash(command), at: command.effective_time, place }
}

impl Taken {
    /// Takes in a usage record.
    pub fn usage(raw: &RawUsage<'_>, rules: &IntakeRules) -> Taken {
        match intake_usage(raw, rules) {
            Ok(intaken) => Taken::Usage(Box::new(intaken)),
            Err(fault) => Taken::Fault(fault),
        }
    }

    /// Takes in an account command.
    pub fn command(raw: &RawCommand<'_>, rules: &IntakeRules) -> Taken {
        match intake_command(raw, rules) {
            Ok((key, command)) => Taken::Command(key, Box::new(command)),
            Err(fault) => Taken::Fault(fault),
        }
    }

    /// Takes in a tick. The clock never goes back: a tick from the future would make everything after it too late.
    pub fn tick(instant: Timestamp, rules: &IntakeRules) -> Taken {
        if instant > rules.latest_event {
            let detail = format!("tick {instant} is after {}", rules.latest_event);
            return Taken::Fault(Fault::new(SuspenseReason::FutureEvent, detail));
        }
        Taken::Tick(instant)
    }

    /// Lets a record pass once, in the order in which records come. `place` is where this copy stands, `kept` what was moved out of `duplicates` under
    /// its id.
    pub fn admit(&self, intent: Intent, place: Place, duplicates: &mut Duplicates, kept: Option<u64>) -> Verdict {
        let id = match self {
            Taken::Fault(fault) => return Verdict::Waits(fault.clone()),
            Taken::Tick(instant) => {
                let moves = duplicates.clock() < Some(*instant);
                duplicates.tick(*instant);
                return Verdict::Tick { moves };
            }
            Taken::Usage(intaken) => intaken.identity_at(place),
            Taken::Command(key, command) => command_identity(*key, command, place),
        };
        let admission = match (intent, self) {
            (Intent::Fresh | Intent::Readmit | Intent::Conflicting, Taken::Command(..)) => {
                duplicates.admit_command(id, kept)
            }
            (Intent::Fresh | Intent::Readmit | Intent::Conflicting, _) => duplicates.admit(id, kept),
            (Intent::Late, _) => duplicates.admit_late(id, kept),
            (Intent::Admitted | Intent::Level { .. }, _) => duplicates.admit_again(id, kept),
        };
        if intent.was_held() {
            duplicates.leave(id.key);
        }
        match admission {
            Admission::New => Verdict::Pass(duplicates.state_horizon()),
            Admission::Duplicate => Verdict::Duplicate,
            Admission::Conflict => {
                duplicates.suspend_conflict(id, kept);
                Verdict::Waits(Fault::new(
                    SuspenseReason::DuplicateConflict,
                    "the same source and id came before with another payload",
                ))
            }
            Admission::TooLate if matches!(self, Taken::Command(..)) => Verdict::Refused(CommandRefusal::TooLate),
            Admission::TooLate => {
                let at = id.at;
                // A copy that comes next, even with the same batch, is a copy of what is suspended.
                duplicates.suspend(id, false);
                Verdict::Waits(Fault::new(
                    SuspenseReason::TooLate,
                    format!("event time {at} is before {}, from when on ids are remembered", duplicates.horizon()),
                ))
            }
        }
    }

    /// Identity of this copy, if it has one.
    pub fn identity_at(&self, place: Place) -> Option<Identity> {
        match self {
            Taken::Usage(intaken) => Some(intaken.identity_at(place)),
            Taken::Command(key, command) => Some(command_identity(*key, command, place)),
            Taken::Tick(_) | Taken::Fault(_) => None,
        }
    }

    /// Notes what guiding it looks up.
    pub fn add_needs<'t>(&'t self, needs: &mut Needs<'t>) {
        match self {
            Taken::Usage(intaken) => needs.add_record(&intaken.record),
            Taken::Command(_, command) => needs.add_command(command),
            Taken::Tick(_) | Taken::Fault(_) => {}
        }
    }

    /// Identity, id and time of a record, where it has them.
    pub fn identity(&self) -> Option<(u128, &str, Timestamp)> {
        match self {
            Taken::Usage(intaken) => Some((intaken.key, &intaken.record.id, intaken.record.event_time)),
            Taken::Command(key, command) => Some((*key, &command.id, command.effective_time)),
            Taken::Tick(_) | Taken::Fault(_) => None,
        }
    }

    /// Says it as [`Taken::explain`] does, for the reasons that guide finds in a snapshot.
    pub fn explain_in(&self, snapshot: &Snapshot, reason: SuspenseReason) -> String {
        let found = match (self, reason) {
            (Taken::Usage(intaken), SuspenseReason::EndpointUnreadable) => {
                snapshot.flaw_of(&intaken.record).map(str::to_owned)
            }
            (Taken::Usage(intaken), SuspenseReason::IdentityConflict) => Some(snapshot.conflict_of(&intaken.record)),
            _ => None,
        };
        found.unwrap_or_else(|| self.explain(reason))
    }

    /// Says what exactly is not known, for the reasons that guide finds.
    pub fn explain(&self, reason: SuspenseReason) -> String {
        self.explain_leg(reason, None)
    }

    /// Says it as [`Taken::explain`] does, for the reasons that rate finds; with the unit of the leg's rate, where it has one.
    pub fn explain_leg(&self, reason: SuspenseReason, rate_unit: Option<Unit>) -> String {
        match self {
            Taken::Usage(intaken) => explain(&intaken.record, reason, rate_unit),
            Taken::Command(..) | Taken::Tick(_) | Taken::Fault(_) => reason.meaning().to_owned(),
        }
    }
}

/// Says what exactly is not known, for the reasons that guide and rate find; with the unit of the leg's rate, where it has one.
pub fn explain(record: &UsageRecord, reason: SuspenseReason, rate_unit: Option<Unit>) -> String {
    let identities = || {
        let account: Option<AccountId> = record.account_id.as_deref().map(AccountId::new);
        let named = [
            ("imsi", record.imsi.as_deref()),
            ("iccid", record.iccid.as_deref()),
            ("msisdn", record.msisdn.as_deref()),
            ("endpoint_id", record.endpoint_id.as_deref()),
            ("account_id", account.as_ref().map(AccountId::as_str)),
        ];
        let given: Vec<String> =
            named.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}"))).collect();
        given.join(", ")
    };
    match reason {
        SuspenseReason::UnknownEndpoint => format!("{} is not known at {}", identities(), record.event_time),
        SuspenseReason::IdentityConflict => format!("{} name different endpoints", identities()),
        SuspenseReason::EndpointInactive => format!("{} is not active at {}", identities(), record.event_time),
        SuspenseReason::NoRate => format!("no rate for {} at {}", keys_of(record), record.event_time),
        SuspenseReason::UnitMismatch => match rate_unit {
            Some(unit) => format!("the record counts {}, the rate of {} counts {unit}", record.unit, record.service),
            None => format!("the record counts {}: {}", record.unit, reason.meaning()),
        },
        SuspenseReason::Undecodable
        | SuspenseReason::InvalidRecord
        | SuspenseReason::FutureEvent
        | SuspenseReason::PastEvent
        | SuspenseReason::ImplausibleQuantity
        | SuspenseReason::WrongKind
        | SuspenseReason::TooLate
        | SuspenseReason::DuplicateConflict
        | SuspenseReason::EndpointUnreadable
        | SuspenseReason::TooOldToRate
        | SuspenseReason::AccountSuspended
        | SuspenseReason::AccountClosed
        | SuspenseReason::CurrencyMismatch
        | SuspenseReason::SponsorNotAllowed
        | SuspenseReason::SubscriptionTypeNotAllowed
        | SuspenseReason::TariffMissing
        | SuspenseReason::Blocked
        | SuspenseReason::AmountOverflow
        | SuspenseReason::DurationTooLong => reason.meaning().to_owned(),
    }
}

/// All of a record that a rate may be keyed on.
fn keys_of(record: &UsageRecord) -> String {
    let mut keys = record.service.to_string();
    if let Some(called) = &record.destination {
        keys.push_str(&format!(" to {called}"));
    }
    if let Some(network) = record.network {
        keys.push_str(&format!(" on {network}"));
    }
    if let Some(group) = record.rating_group {
        keys.push_str(&format!(", rating group {group}"));
    }
    let texts =
        [("APN", &record.apn), ("RAT", &record.rat), ("direction", &record.direction), ("sponsor", &record.sponsor)];
    for (name, text) in texts {
        if let Some(text) = text {
            keys.push_str(&format!(", {name} {}", quoted(text)));
        }
    }
    keys
}
