//! Log events of what the service tells. Fields first: a person filters by them, a machine counts by them.
//!
//! | level | when |
//! | --- | --- |
//! | error | somebody must act: a worker stopped, a control total does not add up |
//! | warn | it goes on by itself, but not as it should |
//! | info | partitions come and go; something of a batch went to suspense, or was given up |
//! | debug | every batch |
//!
//! Stage and worker are those of the span around the worker's thread. No event has an identity of a subscriber, a key or bytes of a
//! message: what identifies a record is written under [`crate::stages::PERSONAL`] only, below info. Secrets are never fields: their type
//! does not show them.

use crate::service::{ServiceReport, WorkerReport};
use crate::worker::Report;
use crate::worker::counts::{BatchCounts, BatchTimes};
use crate::worker::log::Partition;
use rating::SuspenseReason;
use tracing::{debug, error, info, warn};

/// Writes what is told.
pub(super) fn write(told: &ServiceReport<'_>) {
    match told {
        ServiceReport::Ticked(Ok(())) => debug!("tick"),
        ServiceReport::Ticked(Err(why)) => warn!(reason = why, "tick failed"),
        // Every owner of a partition reads it.
        ServiceReport::Worker(WorkerReport { report: Report::Refused(partition, why), .. })
            if !told_first(told, *partition) =>
        {
            debug!(reason = %why, "tick refused");
        }
        ServiceReport::Worker(told) => report(&told.report),
        ServiceReport::Absent(None) => info!("present: kafka answers"),
        ServiceReport::Absent(Some(why)) => warn!(reason = why, "absent"),
        ServiceReport::Held(held) if held.is_beyond => error!(reason = %held, "a call does not return"),
        ServiceReport::Held(held) => warn!(reason = %held, "a call takes long"),
    }
}

fn told_first(told: &ServiceReport<'_>, partition: Partition) -> bool {
    match told {
        ServiceReport::Worker(told) => told.is_first_to_read(partition),
        ServiceReport::Ticked(_) | ServiceReport::Absent(_) | ServiceReport::Held(_) => false,
    }
}

fn report(report: &Report<'_>) {
    match report {
        Report::Assigned(partitions) => debug!(partitions = partitions.len(), "assigned"),
        Report::Restored(partition, entries) => {
            info!(input = partition.topic, partition = partition.number, entries, "restored");
        }
        Report::Started { partitions, .. } => info!(partitions, "started"),
        Report::Released(partitions) => {
            let numbers: Vec<u32> = partitions.iter().map(|partition| partition.number).collect();
            info!(partitions = ?numbers, "released");
        }
        Report::Behind(_) => {}
        Report::Committed { received, sent, counts, times, .. } => {
            committed(*received, *sent, counts, times);
        }
        Report::Aborted(why) => warn!(reason = why, "transaction aborted, made again"),
        Report::Uncertain(why) => warn!(reason = why, "transaction uncertain"),
        Report::Restarted(why) => warn!(reason = why, "starts over"),
        Report::Waiting(why) => warn!(reason = why, "waits"),
        Report::Refused(_, why) => warn!(reason = %why, "tick refused"),
        Report::BeganAnew { topic, partition, position, first } => warn!(
            topic,
            partition = partition.number,
            position,
            first,
            "topic was made anew: read from its beginning, as --topic-made-anew says"
        ),
        Report::GaveUp(gap) => warn!(reason = %gap, "gap skipped, as --skip-gap says"),
        Report::PassedOver { topic, partition, offset } => {
            warn!(topic, partition, offset, "message skipped, as --skip-message says");
        }
        Report::Mismatch(check) => error!(check, "control total does not add up"),
        Report::Ended(None) => info!("ended"),
        Report::Ended(Some(why)) => error!(reason = why, "stopped"),
    }
}

fn committed(received: usize, sent: usize, counts: &BatchCounts, times: &BatchTimes) {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    debug!(
        received,
        sent,
        records = sum(counts.records.as_flattened()),
        legs = sum(counts.legs.as_flattened()),
        charges = sum(counts.charges.as_flattened()),
        gather_ms = milliseconds(times.gather),
        execute_ms = milliseconds(times.execute),
        send_ms = milliseconds(times.send),
        commit_ms = milliseconds(times.commit),
        "committed"
    );
    for (sums, what) in [(counts.suspended, "went to suspense"), (counts.written_off, "written off")] {
        let count = sum(&sums);
        if count > 0 {
            let each = SuspenseReason::ALL.iter().zip(sums).filter(|(_, count)| *count > 0);
            let reasons: Vec<String> = each.map(|(reason, count)| format!("{}={count}", reason.name())).collect();
            info!(records = count, reasons = reasons.join(" "), "{what}");
        }
    }
}
