//! Reading a store ahead of the first batch, part by part.

use super::rows::{KeyKind, Rows, SCAN_PARTS, StoreError};
use super::shared::Shared;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Parts that are read at once.
const AT_ONCE: usize = 8;
/// How often a part is tried that the store did not answer, or that was of an epoch which is over.
const ATTEMPTS: u32 = 5;

/// What was read ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preloaded {
    /// Keys with their endpoints.
    pub keys: u64,
    /// Whether there was no memory for more: the rest is read when it is looked up, in place of what is looked up least.
    pub is_full: bool,
}

/// Reads everything under keys of some kinds, until there is no memory for more. `progress` hears how many keys were read so far.
pub(super) async fn preload<R: Rows>(
    shared: &Arc<Shared<R>>,
    kinds: &[KeyKind],
    progress: &mut dyn FnMut(u64),
) -> Result<Preloaded, StoreError> {
    let (kinds, evicted) = (Arc::<[KeyKind]>::from(kinds), shared.evictions());
    let mut parts = 0..SCAN_PARTS;
    let mut reading = JoinSet::new();
    let mut keys = 0;
    loop {
        for part in parts.by_ref().take(AT_ONCE - reading.len()) {
            let (shared, kinds) = (shared.clone(), kinds.clone());
            reading.spawn(async move { read_part(&shared, part, &kinds).await });
        }
        let Some(read) = reading.join_next().await else { return Ok(Preloaded { keys, is_full: false }) };
        keys += read.map_err(|error| StoreError::Unavailable(format!("reading ahead was given up: {error}")))??;
        progress(keys);
        if shared.evictions() > evicted {
            return Ok(Preloaded { keys, is_full: true });
        }
    }
}

/// How many keys of a part are kept now. None, if the store changes faster than the part is read: what is kept is of the present epoch.
async fn read_part<R: Rows>(shared: &Shared<R>, part: u32, kinds: &[KeyKind]) -> Result<u64, StoreError> {
    let mut attempt = 1;
    loop {
        let read = shared.read_ahead(part, kinds).await;
        match read {
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) if attempt == ATTEMPTS => return Ok(0),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Ok(None) | Err(_) => tokio::time::sleep(shared.settings.poll).await,
        }
        attempt += 1;
    }
}
