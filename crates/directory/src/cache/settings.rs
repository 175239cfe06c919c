//! How a cache is set up, what it tells while it runs, and its counters.

use super::rows::Version;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a cache is set up.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes of memory for endpoints, all in. Accounts and tariffs come on top: they are held whole.
    pub memory_bytes: u64,
    /// For how many keys it is remembered that there is nobody.
    pub absent_keys: usize,
    /// For how long that is remembered.
    pub absent_life: Duration,
    /// How often the head of the store is looked at.
    pub poll: Duration,
    /// For how long what was confirmed is served while the store does not answer: changes are written this long before they take effect.
    pub lead: Duration,
    /// How long a read may take.
    pub read_timeout: Duration,
    /// How long reading all accounts and tariffs may take, which is less than the lead.
    pub catalog_timeout: Duration,
    /// Keys of one read, at most.
    pub keys_per_read: usize,
}

impl Default for CacheSettings {
    /// 256 MiB (some 2.6 million endpoints), 100,000 absent keys for 2 s, the head every 200 ms, 60 s lead, 2 s and 1,024 keys a
    /// read, 30 s for accounts and tariffs.
    fn default() -> CacheSettings {
        CacheSettings {
            memory_bytes: 256 << 20,
            absent_keys: 100_000,
            absent_life: Duration::from_secs(2),
            poll: Duration::from_millis(200),
            lead: Duration::from_secs(60),
            read_timeout: Duration::from_secs(2),
            catalog_timeout: Duration::from_secs(30),
            keys_per_read: 1024,
        }
    }
}

/// Time since some fixed moment; it never goes back.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// The system's monotonic clock.
    pub fn monotonic() -> Clock {
        let start = Instant::now();
        Clock::new(move || start.elapsed())
    }

    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

/// What a cache has to tell, once when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheEvent {
    /// Batches see this version from now on.
    Moved(Version),
    /// The store has not confirmed what is served; that goes on until the lead time is over.
    Unconfirmed(String),
    /// A version whose zones, tariffs, bundles or accounts are not valid is not served: a human must act before the lead time is over.
    Refused(Version, String),
    /// The store was made anew under the cache, which goes on with nothing of it: a human must start again what reads it.
    Replaced(String),
    /// What was at hand is given up, and read anew: nobody can tell any more what of it still counts. Why.
    Forgotten(String),
    /// Definitions were read that are none. What names their endpoints waits; nobody else does.
    Unreadable {
        /// How many of one read.
        count: u64,
        /// The first of them: code and place. What is wrong stands where its records wait; it may name a subscriber.
        first: String,
    },
    /// The store confirms again.
    Confirmed,
}

/// Counters of a cache, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Keys whose endpoints were at hand. What a batch looks up twice is counted once.
    pub hits: u64,
    /// Keys known to have no endpoint.
    pub absent_hits: u64,
    /// Keys that had to be read, or were being read by another batch.
    pub misses: u64,
    /// Keys asked of the store.
    pub reads: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Definitions that were read and are none.
    pub unreadable: u64,
    /// Entries that had to go because memory is bounded.
    pub evictions: u64,
    /// Keys with endpoints.
    pub entries: u64,
    /// Keys known to have none.
    pub absent_entries: u64,
    /// Bytes of the entries, all in.
    pub bytes: u64,
    /// The version that is served.
    pub version: Version,
    /// How long ago that was confirmed.
    pub age: Duration,
}
