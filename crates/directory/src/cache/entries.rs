//! The endpoints that are kept, bounded by bytes, and the keys under which there are none, bounded by number and time.

use super::packed::Packed;
use super::rows::IdentityKey;
use crate::model::IdentityKind;
use crate::value::Digits;
use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, UnitWeighter, Weighter};
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What an entry takes besides what it allocates: key, endpoint in place, counts, place in the list and in the table. Measured by
/// `cargo bench --bench directory`.
const OVERHEAD_BYTES: u64 = 102;
/// What an allocation takes besides its bytes: two counts, or a pointer and a length, and the allocator's own.
const ALLOCATION_BYTES: u64 = 24;
/// Of how many entries that had to go it is remembered, for each one there is room for, that they were there: their places count for nothing.
const GHOSTS: f64 = 0.05;

/// What is kept.
pub(super) struct Entries {
    found: Cache<Key, Packed, Weigh, RandomState, CountEvictions>,
    /// When that was asked, by the cache's clock.
    absent: Cache<Key, Duration, UnitWeighter, RandomState>,
    /// Keys of endpoints that could not be read: another catalog may mend them though they did not change.
    flawed: Mutex<BTreeSet<IdentityKey>>,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("found", &self.found.len()).field("absent", &self.absent.len()).finish()
    }
}

/// An [`IdentityKey`] in 16 bytes.
enum Key {
    Identity(IdentityKind, Digits),
    Name(Box<Name>),
}

struct Name(Box<str>);

/// The same, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sought<'k> {
    Identity(IdentityKind, Digits),
    Name(&'k str),
}

impl Key {
    fn sought(&self) -> Sought<'_> {
        match self {
            Key::Identity(kind, digits) => Sought::Identity(*kind, *digits),
            Key::Name(name) => Sought::Name(&name.0),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.sought() == other.sought()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sought().hash(state);
    }
}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.sought()
    }
}

impl<'k> From<&'k IdentityKey> for Sought<'k> {
    fn from(key: &'k IdentityKey) -> Sought<'k> {
        match key {
            IdentityKey::Identity(kind, digits) => Sought::Identity(*kind, *digits),
            IdentityKey::Name(name) => Sought::Name(name),
        }
    }
}

impl From<IdentityKey> for Key {
    fn from(key: IdentityKey) -> Key {
        match key {
            IdentityKey::Identity(kind, digits) => Key::Identity(kind, digits),
            IdentityKey::Name(name) => Key::Name(Box::new(Name(name))),
        }
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

/// How long it counts that there is nobody.
#[derive(Clone, Copy, Debug)]
pub(super) struct AbsentUntil {
    /// What was asked before this moment counts no more.
    pub(super) asked_from: Duration,
}

impl Entries {
    /// Room for so many bytes of endpoints and so many keys without any. `evictions` counts what had to go.
    pub(super) fn new(bytes: u64, absent: usize, evictions: Arc<AtomicU64>) -> Entries {
        let likely = usize::try_from(bytes / OVERHEAD_BYTES).unwrap_or(usize::MAX).max(1);
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(likely).weight_capacity(bytes).ghost_allocation(GHOSTS);
        let lifecycle = CountEvictions(evictions);
        Entries {
            // Both sizes are given, which is all that can be missing.
            found: match options.build() {
                Ok(options) => Cache::with_options(options, Weigh, RandomState::default(), lifecycle),
                Err(_) => Cache::with(likely, bytes, Weigh, RandomState::default(), lifecycle),
            },
            absent: Cache::with(
                absent,
                absent as u64,
                UnitWeighter,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
            flawed: Mutex::default(),
        }
    }

    /// The endpoints under a key, if they are at hand.
    pub(super) fn find(&self, key: &IdentityKey) -> Option<Packed> {
        self.found.get(&Sought::from(key))
    }

    /// What is known of a key.
    pub(super) fn get(&self, key: &IdentityKey, absent: AbsentUntil) -> Known {
        let key = Sought::from(key);
        if let Some(found) = self.found.get(&key) {
            return Known::Found(found);
        }
        match self.absent.get(&key) {
            Some(asked) if asked >= absent.asked_from => Known::Absent,
            Some(_) | None => Known::Nothing,
        }
    }

    /// Keeps endpoints.
    pub(super) fn keep(&self, key: IdentityKey, found: Packed) {
        self.absent.remove(&Sought::from(&key));
        // What is replaced would count as what had to go.
        self.found.remove(&Sought::from(&key));
        self.found.insert(key.into(), found);
    }

    /// Keeps that there were none at a moment.
    pub(super) fn keep_absent(&self, key: IdentityKey, asked: Duration) {
        self.absent.insert(key.into(), asked);
    }

    /// Forgets a key.
    pub(super) fn forget(&self, key: &IdentityKey) {
        let key = Sought::from(key);
        self.found.remove(&key);
        self.absent.remove(&key);
    }

    /// Notes that what is found under a key cannot be read.
    pub(super) fn note_flawed(&self, key: IdentityKey) {
        self.flawed.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Forgets what could not be read.
    pub(super) fn forget_flawed(&self) {
        let flawed = std::mem::take(&mut *self.flawed.lock().unwrap_or_else(PoisonError::into_inner));
        flawed.iter().for_each(|key| self.forget(key));
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

impl Weighter<Key, Packed> for Weigh {
    fn weight(&self, key: &Key, found: &Packed) -> u64 {
        let name = match key {
            Key::Identity(..) => 0,
            Key::Name(name) => 2 * ALLOCATION_BYTES + name.0.len() as u64,
        };
        let allocated = match found.allocated() {
            0 => 0,
            allocated => ALLOCATION_BYTES + allocated as u64,
        };
        OVERHEAD_BYTES + name + allocated
    }
}

#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<Key, Packed> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, _state: &mut Self::RequestState, _key: Key, _found: Packed) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
