//! Reading a store ahead of the batches, part by part.

use super::rows::{KeyKind, Rows, SCAN_PARTS, StoreError};
use super::shared::Shared;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Parts that are read at once.
const AT_ONCE: usize = 8;
/// How often a part is tried that the store did not answer, or that was of an epoch which is over.
const ATTEMPTS: u32 = 5;
/// How often it is begun anew because everything has changed.
const BEGINNINGS: u32 = 3;

/// What was read ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preloaded {
    /// Keys that were read with their endpoints.
    pub keys: u64,
    /// Whether it was given up before the end because memory is full, or because everything went on changing: the rest is read when it is looked
    /// up, in place of what is looked up least.
    pub is_partial: bool,
}

/// Reads everything under keys of some kinds, until there is no memory for more. `progress` hears how many keys were read so far.
pub(super) async fn preload<R: Rows>(
    shared: &Arc<Shared<R>>,
    kinds: &[KeyKind],
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Preloaded, StoreError> {
    let (kinds, evicted) = (Arc::<[KeyKind]>::from(kinds), shared.evictions());
    let mut read = Preloaded { keys: 0, is_partial: true };
    for _ in 0..BEGINNINGS {
        let begun = shared.entries();
        let mut parts = 0..SCAN_PARTS;
        let mut reading = JoinSet::new();
        read.keys = 0;
        // A bulk load drops what was read before it.
        while Arc::ptr_eq(&begun, &shared.entries()) {
            for part in parts.by_ref().take(AT_ONCE - reading.len()) {
                let (shared, kinds) = (shared.clone(), kinds.clone());
                reading.spawn(async move { read_part(&shared, part, &kinds).await });
            }
            let Some(done) = reading.join_next().await else { return Ok(Preloaded { is_partial: false, ..read }) };
            let given_up = |error| StoreError::Unavailable(format!("reading ahead was given up: {error}"));
            read.keys += done.map_err(given_up)??;
            progress(read.keys);
            if shared.evictions() > evicted {
                return Ok(read);
            }
        }
    }
    Ok(read)
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
