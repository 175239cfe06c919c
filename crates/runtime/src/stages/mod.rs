//! Intake, guide and rate as stages of a partitioned log: what the steps of [`pipeline`] are given, what leaves, and what is kept.
//!
//! | stage | reads | writes | state, per partition of its input |
//! | --- | --- | --- | --- |
//! | [`IntakeStage`] | usage and commands as others write them; ticks | records by (source, id), packed; suspense | sequences |
//! | [`GuideStage`] | what intake writes, or the same as intake | legs and commands by owner of the payer, packed; suspense; replies | recent record ids, sequences, clock |
//! | [`RateStage`] | what guide writes | charges, balance deltas, notifications, suspense, replies | accounts, sequences, clock |
//! | [`CycleStage`] | ticks; the directory | commands for owners, packed; replies | what was carried out, sequences, clock |
//! | [`RecycleStage`] | what the others say waits, ticks, requests | retries, to the inputs; what is given up, to suspense | what waits |
//!
//! Intake (or guide where that reads the inputs itself) and recycle read the topic of ticks beside their inputs: see [`crate::worker`].
//!
//! Packed messages carry everything that the next stage needs (`packed`, `entry`): rate never reads the directory. A clock is the
//! minimum over all sources, so a source that stands still holds it back.

mod bodies;
mod bytes;
mod cycle;
mod entry;
mod facts;
mod guide;
mod inbound;
mod intake;
mod open;
mod outbound;
mod packed;
mod prepared;
mod progress;
mod rate;
mod record;
mod recycle;
mod remembered;
mod replay;
mod request;
mod retry;
mod segments;
mod suspended;
mod tick;
mod waiting;

pub use bodies::ScratchSettings;
pub use cycle::{CycleSettings, CycleStage};
pub use guide::{GuideInput, GuideSettings, GuideStage};
pub use inbound::{Door, Inbound};
pub use intake::{IntakeSettings, IntakeStage};
pub use open::{Open, read_open};
pub use outbound::PERSONAL;
pub use rate::{RateSettings, RateStage};
pub use recycle::{RecycleSettings, RecycleStage};
pub use replay::{GuidedEntry, GuidedMessage, IntakenArrival, IntakenEntry, IntakenMessage, read_guided, read_intaken};
pub use request::RecycleRequest;
pub use waiting::{Bytes, Waited};

use crate::worker::log::{Offset, Partition};
use crate::worker::{Output, Side, SideKind, StageError, Target};
use packed::{Packer, Source};
use progress::Progress;

/// Owners of accounts are spread over this many shards, for ever; shard modulo partitions is the partition.
pub const SHARDS: usize = 1024;

/// The topic of ticks beside the inputs.
fn ticks_beside(topic: &str) -> Vec<Side> {
    vec![Side { topic: topic.to_owned(), kind: SideKind::Ticks }]
}

/// What stands beside inputs from outside: ticks, and retries.
fn beside_inputs(ticks: &str, retries: &str) -> Vec<Side> {
    let retries = Side { topic: retries.to_owned(), kind: SideKind::Messages };
    ticks_beside(ticks).into_iter().chain([retries]).collect()
}

/// The topic of an input partition.
fn topic_of(inputs: &[String], partition: Partition) -> &str {
    inputs.get(usize::from(partition.topic)).map_or("", String::as_str)
}

/// Checks that state was made for as many partitions of the output as there are, and notes them in new state; the position.
fn check_targets(progress: &mut Progress, targets: u32, topic: &str) -> Result<Option<Offset>, StageError> {
    if progress.targets != 0 && progress.targets != targets {
        let known = progress.targets;
        return Err(StageError::Corrupt(format!(
            "topic {topic} has {targets} partitions, but the state was made for {known}: what belongs together would part"
        )));
    }
    progress.targets = targets;
    Ok(progress.position)
}

/// Sends what was packed, a message or more per partition that has any. It comes from a source, by what a version of the directory says.
fn send_packed(
    (source, directory): (&Source, &str),
    progress: &mut Progress,
    packers: &mut [Packer],
    topic: u16,
    output: &mut Output,
) {
    for (number, packer) in (0_u32..).zip(packers) {
        let last = progress.sent.get(&number).copied().unwrap_or(0);
        let target = Target { topic, partition: Some(number) };
        let sent = packer.finish(source, directory, last, |write| output.push(target, None, write));
        if sent != last {
            progress.sent.insert(number, sent);
        }
    }
}
