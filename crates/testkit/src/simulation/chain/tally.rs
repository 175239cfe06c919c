//! What came of a seed, in numbers: a simulation in which something never happens shows nothing of it.

use super::logs::{Logs, text};
use super::world::DUSK;
use crate::simulation::faults::CALM_MS;
use runtime::stages::{IntakenArrival, IntakenEntry};
use serde_json::Value;

/// How often each thing happened.
pub(super) fn tally(logs: &Logs<'_>) -> Vec<(&'static str, u64)> {
    let count = |values: &[Value], is_meant: &dyn Fn(&Value) -> bool| {
        values.iter().filter(|value| is_meant(value)).count() as u64
    };
    let is = |field: &'static str, wanted: &'static str| move |value: &Value| text(value, field) == wanted;
    let draws = |charge: &Value| {
        let segments = charge["segments"].as_array().map_or(&[][..], Vec::as_slice);
        segments.iter().any(|segment| text(segment, "source") == "allowance")
    };
    let arrivals = |wanted: IntakenArrival| {
        let entries = logs.intaken.iter().flatten().flat_map(|message| &message.entries);
        entries.filter(|entry| matches!(entry, IntakenEntry::Record { arrival, .. } if *arrival == wanted)).count()
            as u64
    };
    let early = logs.partitions("charges").into_iter().zip(0..).flat_map(|(messages, partition)| {
        messages.into_iter().map(move |(offset, ..)| logs.moments("charges", partition, offset).0)
    });
    let told = logs.by_account("life-events").get(DUSK.as_bytes()).map_or(0, |told| told.len() as u64);
    vec![
        ("charge", logs.charges.len() as u64),
        ("charge while things broke", early.filter(|appended| *appended < CALM_MS * 1_000).count() as u64),
        ("charge booked by the clock", count(&logs.charges, &|charge| charge["booked_time"].is_string())),
        ("charge drew from a bundle", count(&logs.charges, &draws)),
        ("charge of a fee", count(&logs.charges, &is("kind", "bundle_fee"))),
        ("command applied", count(&logs.replies, &is("outcome", "applied"))),
        ("command refused", count(&logs.replies, &is("outcome", "refused"))),
        ("command again", count(&logs.replies, &is("outcome", "duplicate"))),
        ("life event", logs.values("life-events").count() as u64),
        ("account told of the directory", told),
        ("record suspended by intake", count(&logs.suspense, &is("stage", "intake"))),
        ("record too late", count(&logs.suspense, &is("reason", "too_late"))),
        ("record in conflict", count(&logs.suspense, &is("reason", "duplicate_conflict"))),
        ("record of an unknown endpoint", count(&logs.suspense, &is("reason", "unknown_endpoint"))),
        ("leg without a rate", count(&logs.suspense, &is("reason", "no_rate"))),
        ("leg of a suspended account", count(&logs.suspense, &is("reason", "account_suspended"))),
        ("leg too old to rate", count(&logs.suspense, &is("reason", "too_old_to_rate"))),
        ("record came in", arrivals(IntakenArrival::Fresh)),
        ("retry", arrivals(IntakenArrival::Retry)),
    ]
}
