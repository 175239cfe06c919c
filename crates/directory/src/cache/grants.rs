//! Which endpoints of a store have plans that grant bundles: no snapshot of a batch holds that, and who cannot carry grants out has to know.

use super::rows::{EndpointRow, KeyKind, Rows, SCAN_PARTS, StoreError};
use super::shared::{Shared, in_time};
use crate::read::read_endpoint;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Parts that are read at once.
const AT_ONCE: usize = 8;
/// Limits how often a part is tried that the store did not answer.
const ATTEMPTS: u32 = 5;

/// Returns the names of up to `limit` endpoints that have a plan with bundles at some time. Without any, every definition was read.
pub(super) async fn plans_with_bundles<R: Rows>(
    shared: &Arc<Shared<R>>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut parts = 0..SCAN_PARTS;
    let mut reading = JoinSet::new();
    while found.len() < limit {
        for part in parts.by_ref().take(AT_ONCE - reading.len()) {
            let shared = shared.clone();
            reading.spawn(async move { names_of(&shared, part).await });
        }
        let Some(done) = reading.join_next().await else { break };
        found.extend(done.map_err(|error| StoreError::Unavailable(format!("reading plans was given up: {error}")))??);
    }
    found.sort();
    found.truncate(limit);
    Ok(found)
}

async fn names_of<R: Rows>(shared: &Shared<R>, part: u32) -> Result<Vec<String>, StoreError> {
    let mut attempt = 1;
    loop {
        let head = shared.present().head.clone();
        match in_time(shared.settings.read_timeout, shared.rows.scan(&head, part, &[KeyKind::Name])).await {
            Ok(rows) => return Ok(rows.iter().flat_map(|(_, rows)| rows).filter(grants).map(name).collect()),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => tokio::time::sleep(shared.settings.poll).await,
        }
        attempt += 1;
    }
}

fn name(row: &EndpointRow) -> String {
    row.endpoint.to_string()
}

fn grants(row: &&EndpointRow) -> bool {
    row.definition.as_deref().is_ok_and(|definition| has_bundles(&row.endpoint, definition))
}

/// Returns whether an endpoint has a plan with bundles at some time.
pub(crate) fn has_bundles(name: &str, definition: &str) -> bool {
    // Reading a definition costs far more than looking for the key, and few have it.
    definition.contains("bundles")
        && read_endpoint(name, definition).is_ok_and(|endpoint| {
            let states = endpoint.states();
            states.iter().any(|(_, state)| state.plan.is_some_and(|plan| !plan.bundles.is_empty()))
        })
}
