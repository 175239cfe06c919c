//! One run at a time in a folder.
//!
//! The lock is a file of its own, taken before anything else is looked at or made: the store is locked as well, but only once there is one.

use super::RunError;
use crate::private;
use crate::state::{Store, StoreError};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the lock in the folder of the state.
const LOCK_FILE: &str = "lock";

/// For how long a store that another process has open is waited for: whoever only reads how far a folder has come is soon done.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
const STORE_PAUSE: Duration = Duration::from_millis(20);

/// Held by a run; let go when it is dropped, or when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of a folder of state; refused if another run has it.
    pub(super) fn take(state: &Path) -> Result<RunLock, RunError> {
        let path = state.join(LOCK_FILE);
        let file = private::open_file(&path).map_err(|error| RunError::File(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => {
                remove_half_made(state);
                Ok(RunLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(RunError::Store(StoreError::InUse)),
            Err(TryLockError::Error(error)) => Err(RunError::File(path, error)),
        }
    }
}

/// Removes stores that were begun by processes that were killed. One that stays takes space and does no harm.
fn remove_half_made(state: &Path) {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("state.new")) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Opens a store; one that somebody else has open is waited for a little.
pub(super) fn open_store(path: &Path) -> Result<Store, StoreError> {
    let deadline = Instant::now() + STORE_PATIENCE;
    loop {
        match Store::open(path) {
            Err(StoreError::InUse) if Instant::now() < deadline => std::thread::sleep(STORE_PAUSE),
            opened => return opened,
        }
    }
}
