//! Bundles granted in reference data become purchase commands, given by the payee of the edge.

use crate::wire::RawBatch;
use directory::snapshot::Snapshot;
use directory::{Grant, Loaded};
use rating::{AccountId, Timestamp};

/// Name under which these commands appear where an input is named.
pub(crate) const INPUT: &str = "reference data";

/// Grants that were not carried out yet and begin no later than an event may: later ones are left to a run for which they do.
pub(crate) fn due(loaded: &Loaded, latest_event: Timestamp, is_granted: impl Fn(&str) -> bool) -> Vec<&Grant> {
    loaded.grants().iter().filter(|grant| grant.at <= latest_event && !is_granted(&grant.command_id)).collect()
}

/// One purchase command per grant, as JSON lines.
pub fn grant_lines(grants: &[&Grant], snapshot: &Snapshot) -> RawBatch {
    let mut records = RawBatch::default();
    for (grant, place) in grants.iter().zip(1..) {
        let payee = snapshot.edge_of(&AccountId::new(&grant.account), grant.at).map(|edge| edge.payee.clone());
        let line = serde_json::json!({
            "command_id": grant.command_id,
            "kind": "buy_bundle",
            "account_id": grant.account,
            "issued_by": payee.as_ref().map_or("", AccountId::as_str),
            "effective_time": grant.at.to_string(),
            "bundle_id": grant.bundle,
            "endpoint_id": grant.endpoint,
        });
        records.push(line.to_string().as_bytes(), place);
    }
    records
}
