//! The endpoints that are kept, bounded by bytes, and the keys under which there are none, bounded by number and time.

use super::packed::Packed;
use super::rows::IdentityKey;
use foldhash::fast::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an entry takes besides the bytes of the endpoint: key, pointer, counts, place in the list and in the table. Measured by
/// `cargo bench --bench directory`.
const OVERHEAD_BYTES: u64 = 125;
/// What an entry is likely to take in all, to make room for as many.
const LIKELY_BYTES: u64 = 170;

/// What is kept.
pub(super) struct Entries {
    found: Cache<IdentityKey, Packed, Weigh, RandomState, CountEvictions>,
    /// Until when, by the cache's clock.
    absent: Cache<IdentityKey, Duration>,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("found", &self.found.len()).field("absent", &self.absent.len()).finish()
    }
}

/// What is known of a key.
pub(super) enum Known {
    /// These endpoints.
    Found(Packed),
    /// There are none.
    Absent,
    /// Nothing.
    Nothing,
}

impl Entries {
    /// Room for so many bytes of endpoints and so many keys without any. `evictions` counts what had to go.
    pub(super) fn new(bytes: u64, absent: usize, evictions: Arc<AtomicU64>) -> Entries {
        let likely = usize::try_from(bytes / LIKELY_BYTES).unwrap_or(usize::MAX).max(1);
        let lifecycle = CountEvictions(evictions);
        Entries {
            found: Cache::with(likely, bytes, Weigh, RandomState::default(), lifecycle),
            absent: Cache::new(absent),
        }
    }

    /// What is known of a key at a moment.
    pub(super) fn get(&self, key: &IdentityKey, now: Duration) -> Known {
        if let Some(found) = self.found.get(key) {
            return Known::Found(found);
        }
        match self.absent.get(key) {
            Some(until) if now < until => Known::Absent,
            Some(_) | None => Known::Nothing,
        }
    }

    /// Keeps endpoints.
    pub(super) fn keep(&self, key: IdentityKey, found: Packed) {
        self.absent.remove(&key);
        self.found.insert(key, found);
    }

    /// Keeps, until a moment, that there are none.
    pub(super) fn keep_absent(&self, key: IdentityKey, until: Duration) {
        self.absent.insert(key, until);
    }

    /// Forgets a key.
    pub(super) fn forget(&self, key: &IdentityKey) {
        self.found.remove(key);
        self.absent.remove(key);
    }

    /// How many keys have endpoints, and how many are known to have none.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.found.len(), self.absent.len())
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> u64 {
        self.found.weight()
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<IdentityKey, Packed> for Weigh {
    fn weight(&self, key: &IdentityKey, found: &Packed) -> u64 {
        let name = match key {
            IdentityKey::Identity(..) => 0,
            IdentityKey::Name(name) => name.len() as u64,
        };
        OVERHEAD_BYTES + name + found.len() as u64
    }
}

#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<IdentityKey, Packed> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, _state: &mut Self::RequestState, _key: IdentityKey, _found: Packed) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
