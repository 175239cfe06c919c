//! State of an embedded job in a local transactional store.
//!
//! A commit writes, in one transaction, how far the inputs were read, how long the outputs are, what changed in accounts, which record ids
//! were added and what waits. Changes are appended as a log; when the log outgrows the state, a checkpoint replaces it.

mod codec;
mod derive;
mod older;
mod restoring;
mod sealed;
mod store;

pub use codec::{Stored, read_text, write_text};
pub(crate) use derive::record;
#[cfg(feature = "registry")]
pub(crate) use derive::{as_number, as_other};
pub use format::Corrupt;
pub(crate) use restoring::Restoring;
pub use sealed::{RunInfo, SealedIds};
pub use store::{Commit, Store, StoreError};
