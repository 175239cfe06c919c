//! A directory in a store: accounts and tariffs whole, endpoints as far as memory allows.
//!
//! | rule | because |
//! | --- | --- |
//! | a batch sees one epoch: one version of the store | half of a change would charge half of the edges |
//! | what was confirmed is served for the lead time, and then nothing | changes are written that long before they take effect |
//! | what cannot be read is unavailable, never unknown | an outage is not bad data |
//! | that there is nobody is remembered for 2 s only, in bounded number | somebody may be about to be added; strangers cost a read each |
//! | while the store does not confirm, that counts for the lead time as well | strangers are in every stream, and would stall all the others |
//! | what cannot be read costs its endpoint alone | one broken definition, or a row that no writer wrote, must not stop the rest |
//! | a store that was made anew is another store | its versions are numbered as those of the old one were |
//! | a version that does not follow what is served makes everything be read anew | a restored store goes over its numbers again |
//! | what one batch has read, no other reads at the same time | a cold start would ask the store for everything several times |
//! | accounts and tariffs that are not valid are not served | a broken change must not stop or misprice what ran before it |
//!
//! The store is anything with [`Rows`]; how rows are laid out and written is not known here. Nothing here prices, and nothing reads a
//! clock but the one given.

mod entries;
mod epoch;
mod flights;
mod lookup;
mod numbered;
mod packed;
mod preload;
mod rows;
mod settings;
mod shared;
mod trouble;
mod walk;

pub use preload::Preloaded;
pub use rows::{
    CatalogChange, Changes, Edition, EndpointChanges, EndpointRow, Head, IdentityKey, KeyKind, Misnumbered, Rows,
    SCAN_PARTS, StoreError, Version,
};
pub use settings::{CacheEvent, CacheSettings, CacheStats, Clock};
pub use shared::OpenError;
pub(crate) use walk::has_bundles;

use crate::load::Loaded;
use crate::needs::{Directory, Needs, RecordNeeds, Unavailable, Walk};
use crate::snapshot::Snapshot;
use epoch::Epoch;
use lookup::{Kept, Lookup, Step};
use shared::Shared;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A directory over a store. Its reads and its poller run on the runtime it was opened on; batches ask from other threads.
pub struct Cache<R> {
    shared: Arc<Shared<R>>,
    runtime: Handle,
    poller: AbortHandle,
}

impl<R> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("epoch", &self.shared.epoch_version()).finish_non_exhaustive()
    }
}

impl<R> Drop for Cache<R> {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

impl<R: Rows> Cache<R> {
    /// Reads accounts and tariffs, and follows the store from then on. To be called on a runtime with time enabled. What was read comes along,
    /// for whoever needs more of it than batches do.
    ///
    /// # Errors
    /// A store that cannot be read, or holds what is not valid.
    pub async fn open(
        rows: R,
        settings: CacheSettings,
        clock: Clock,
        report: impl Fn(CacheEvent) + Send + Sync + 'static,
    ) -> Result<(Cache<R>, Loaded), OpenError> {
        let poll = settings.poll;
        let (shared, loaded) = Shared::open(rows, settings, clock, Box::new(report)).await?;
        let shared = Arc::new(shared);
        let polled = shared.clone();
        let poller = tokio::spawn(async move {
            loop {
                tokio::time::sleep(poll).await;
                polled.poll().await;
            }
        });
        Ok((Cache { shared, runtime: Handle::current(), poller: poller.abort_handle() }, loaded))
    }

    /// Counters, as of now.
    pub fn stats(&self) -> CacheStats {
        self.shared.stats()
    }

    /// Whether something is at hand under a key that may be served now: one look-up, as a batch makes one for a record.
    pub fn is_at_hand(&self, key: &IdentityKey) -> bool {
        let present = self.shared.present();
        present.entries.find(key).is_some() && self.shared.check_confirmed().is_ok()
    }

    /// Reads everything under keys of these kinds ahead of the batches that look them up, until there is no memory for more. Batches may be served
    /// at the same time, and the store may change. `progress` hears how many keys were read so far.
    ///
    /// # Errors
    /// The store does not answer, several times. What was read is kept.
    pub async fn preload(
        &self,
        kinds: &[KeyKind],
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Preloaded, StoreError> {
        preload::preload(&self.shared, kinds, progress).await
    }

    /// Returns whether any endpoint has a plan with bundles at some time. Without any, every definition of the store is read once.
    ///
    /// # Errors
    /// The store does not answer, several times.
    pub async fn has_plans_with_bundles(&self) -> Result<bool, StoreError> {
        walk::has_plans_with_bundles(&self.shared).await
    }

    /// Has keys read, and waits for them.
    fn fetch(&self, epoch: &Arc<Epoch>, keys: Vec<IdentityKey>, lookup: &mut Lookup<'_>) -> Result<(), Unavailable> {
        // Others wait for this batch: whoever is known to be away is not waited for.
        if let Some(why) = self.shared.away() {
            return Err(Unavailable(why));
        }
        self.shared.counters.misses.fetch_add(keys.len() as u64, Ordering::Relaxed);
        let boarded = self.shared.flights.board(&epoch.head.edition(), keys, self.shared.settings.keys_per_read);
        if !boarded.own.is_empty() {
            self.runtime.spawn(self.shared.clone().fly(epoch.clone(), boarded.own));
        }
        for flight in boarded.flights {
            let answers = flight.wait().map_err(|error| Unavailable(error.to_string()))?;
            lookup.answered(&answers);
        }
        Ok(())
    }
}

impl<R: Rows> Directory for Cache<R> {
    fn whole(&self) -> Option<&Arc<Snapshot>> {
        None
    }

    fn snapshot_for(&self, needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable> {
        let shared = &self.shared;
        shared.check_confirmed()?;
        let present = shared.present();
        let epoch = present.clone();
        let mut lookup = Lookup::new(&epoch, needs.len());
        let now = Kept::Here(shared.absent_until());
        let mut names: Vec<&str> = Vec::new();
        for name in needs.endpoints() {
            if lookup.name(name, now) == Step::Waits {
                names.push(name);
            }
        }
        let mut records: Vec<RecordNeeds<'_>> = Vec::new();
        for record in needs.records() {
            if lookup.record(&record, now) == Step::Waits {
                records.push(record);
            }
        }
        drop(present);
        // Each round answers one more key of every record that is left, of which there are five at most.
        while !(names.is_empty() && records.is_empty()) {
            self.fetch(&epoch, lookup.take_missing(), &mut lookup)?;
            let present = shared.present();
            let is_same = Arc::ptr_eq(&present, &epoch);
            let kept = if is_same { Kept::Here(shared.absent_until()) } else { Kept::Elsewhere };
            names.retain(|name| lookup.name(name, kept) == Step::Waits);
            records.retain(|record| lookup.record(record, kept) == Step::Waits);
        }
        shared.counters.hits.fetch_add(lookup.hits, Ordering::Relaxed);
        shared.counters.absent_hits.fetch_add(lookup.absent, Ordering::Relaxed);
        Ok(Arc::new(lookup.finish()))
    }

    fn walk(&self) -> Option<&dyn Walk> {
        Some(self)
    }

    fn can_answer(&self, needs: &Needs<'_>) -> bool {
        let shared = &self.shared;
        if shared.check_confirmed().is_err() {
            return false;
        }
        let present = shared.present();
        let mut lookup = Lookup::new(&present, needs.len());
        let now = Kept::Here(shared.absent_until());
        needs.endpoints().iter().all(|name| lookup.name(name, now) == Step::Done)
            && needs.records().all(|record| lookup.record(&record, now) == Step::Done)
    }
}
