//! Intake, guide and rate as synchronous state machines over batches: in a batch and the facts it needs, out what it puts out.
//!
//! | step | in | out | state |
//! | --- | --- | --- | --- |
//! | [`intake`] | fields of a record as decoded | a validated record with its identity and payload hash, or a fault | none |
//! | [`admit`] | fields as decoded, recent record ids | what the record is, and whether it goes on | none of its own |
//! | [`duplicates`] | identity, payload hash, event time | new, duplicate, conflict, too late | recent record ids, the ids of what is suspended ([`held`]), the clock of ticks |
//! | [`mod@guide`] | a new record, a snapshot | one leg per level, or a reason to wait | none |
//! | [`step`] | what was taken in, how it comes | what becomes of it and what is told of it: all of the above in one place | none of its own |
//! | [`rate`] | legs and commands of the owned accounts, in order | charges, deltas, notifications, suspended legs | accounts |
//!
//! [`totals`] proves for each batch that nothing was lost or doubled. No module here knows files, Kafka or Scylla.

pub mod admit;
pub mod dialled;
pub mod duplicates;
pub mod guide;
pub mod held;
pub mod identity;
pub mod intake;
pub mod kind;
pub mod limits;
pub mod rate;
pub mod raw;
pub mod step;
pub mod text;
pub mod times;
pub mod totals;

pub use admit::{Intent, Taken, Verdict};
pub use dialled::InternationalPrefixes;
pub use duplicates::{Admission, Duplicates, Identity, Window};
pub use guide::{Guided, guide};
pub use held::{Held, HeldIds, Place};
pub use intake::{Doubts, Fault, IntakeRules, Intaken, MAX_TEXT_BYTES, intake_command, intake_usage};
pub use kind::{Kind, Kinds};
pub use limits::{QuantityLimit, QuantityLimits};
pub use rate::{RateOutcome, RateShard, RatedTask, Task, Work};
pub use raw::{DEFAULTS, Field, RawCommand, RawUsage, RawValue, UNSUPPORTED};
pub use step::{Arrival, CommandOutcome, CommandReply, Legs, Step, Suspended, Tell};
pub use totals::{ControlMismatch, ControlTotals};
