//! The part of a cache that batches, reads and the poller share.

use super::entries::{AbsentUntil, Entries};
use super::epoch::Epoch;
use super::flights::{Answers, Flights, Landing};
use super::packed::{Packed, Packing};
use super::rows::{
    CatalogChange, Changes, Edition, EndpointChanges, EndpointRow, FoundRows, Head, IdentityKey, KeyKind, Rows,
    StoreError, Version,
};
use super::settings::{CacheEvent, CacheSettings, CacheStats, Clock};
use super::trouble::{Lag, Trouble, replaced};
use crate::diagnostic::Refused;
use crate::load::{Loaded, load};
use crate::needs::{Changed, Unavailable};
use crate::snapshot::Catalog;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// Everything but the task that polls.
pub(super) struct Shared<R> {
    pub(super) rows: R,
    pub(super) settings: CacheSettings,
    pub(super) clock: Clock,
    report: Box<dyn Fn(CacheEvent) + Send + Sync>,
    /// Read while a batch looks at what is kept, written while keys are dropped: so a batch never sees two epochs.
    epoch: RwLock<Arc<Epoch>>,
    /// Time of the clock, in milliseconds, at which the head was last read and was the one that is served.
    confirmed_ms: AtomicU64,
    trouble: Mutex<Trouble>,
    pub(super) flights: Arc<Flights>,
    pub(super) counters: Counters,
    /// For who goes through the endpoints; `None` after anything may have changed.
    changed: Mutex<Option<BTreeSet<Box<str>>>>,
}

/// Most changed keys that are dropped one by one; beyond, everything is.
const MAX_KEYS: usize = 1_000_000;

/// Counters of a cache.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) absent_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    reads: AtomicU64,
    failed_reads: AtomicU64,
    unreadable: AtomicU64,
    evictions: Arc<AtomicU64>,
}

/// The reason for which a cache cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The store.
    Store(StoreError),
    /// Zones, tariffs, bundles or accounts in it are not valid.
    Refused(Box<Refused>),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Store(error) => error.fmt(f),
            OpenError::Refused(refused) => write!(f, "the directory's store holds what is not valid: {refused}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        OpenError::Store(error)
    }
}

impl<R> Shared<R> {
    /// The version of the present epoch.
    pub(super) fn epoch_version(&self) -> Version {
        self.epoch.read().unwrap_or_else(PoisonError::into_inner).head.version
    }
}

impl<R: Rows> Shared<R> {
    /// Reads the head and the catalog.
    pub(super) async fn open(
        rows: R,
        settings: CacheSettings,
        clock: Clock,
        report: Box<dyn Fn(CacheEvent) + Send + Sync>,
    ) -> Result<(Shared<R>, Loaded), OpenError> {
        let counters = Counters::default();
        let now = clock.now();
        let head = in_time(settings.read_timeout, rows.head()).await?;
        let loaded = read_catalog(&rows, &head, settings.catalog_timeout).await?;
        let catalog = loaded.snapshot.catalog().clone();
        let entries = Entries::new(settings.memory_bytes, settings.absent_keys, counters.evictions.clone());
        let shared = Shared {
            rows,
            settings,
            clock,
            report,
            epoch: RwLock::new(Arc::new(Epoch::new(head, catalog, entries))),
            confirmed_ms: AtomicU64::new(millis(now)),
            trouble: Mutex::default(),
            flights: Arc::default(),
            counters,
            changed: Mutex::new(None),
        };
        Ok((shared, loaded))
    }

    /// The present epoch; it stays the present one, and nothing it keeps is dropped, until this is let go.
    pub(super) fn present(&self) -> RwLockReadGuard<'_, Arc<Epoch>> {
        self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
        self.clock.now().saturating_sub(confirmed)
    }

    /// Refuses unless the store has confirmed recently enough what the cache holds.
    pub(super) fn check_confirmed(&self) -> Result<(), Unavailable> {
        let age = self.age();
        if age < self.settings.lead {
            return Ok(());
        }
        let trouble = self.trouble();
        let why = trouble.what().unwrap_or("the store was not asked");
        Err(Unavailable(format!("the directory was last confirmed {} s ago: {why}", age.as_secs())))
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reason for which the last read of the head got no answer; `None` if it got one.
    pub(super) fn away(&self) -> Option<String> {
        self.trouble().away().map(str::to_owned)
    }

    /// Returns the time to live of a negative look-up: a little while, and as long as any other entry while the store does not confirm.
    pub(super) fn absent_until(&self) -> AbsentUntil {
        let asked_from = if self.trouble().what().is_some() {
            let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
            confirmed.saturating_sub(self.settings.lead)
        } else {
            // It counts no more when its life is over, to the millisecond.
            (self.clock.now() + Duration::from_nanos(1)).saturating_sub(self.settings.absent_life)
        };
        AbsentUntil { asked_from }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let Counters { hits, absent_hits, misses, reads, failed_reads, unreadable, evictions } = &self.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let epoch = self.present().clone();
        let (entries, absent_entries) = epoch.entries.len();
        CacheStats {
            hits: count(hits),
            absent_hits: count(absent_hits),
            misses: count(misses),
            reads: count(reads),
            failed_reads: count(failed_reads),
            unreadable: count(unreadable),
            evictions: count(evictions),
            entries: entries as u64,
            absent_entries: absent_entries as u64,
            bytes: epoch.entries.bytes(),
            version: epoch.head.version,
            age: self.age(),
        }
    }

    /// Reads what flights are for, one after the other; once one fails, the store is not asked for the others.
    pub(super) async fn fly(self: Arc<Self>, epoch: Arc<Epoch>, landings: Vec<Landing>) {
        let mut failed = None;
        for landing in landings {
            let outcome = match &failed {
                Some(error) => Err(StoreError::clone(error)),
                None => self.read(&epoch, &landing.keys).await.map(Arc::new),
            };
            failed = outcome.as_ref().err().cloned();
            landing.land(outcome);
        }
    }

    /// Reads keys as of an epoch, and keeps what they hold if the epoch is still the present one.
    async fn read(&self, epoch: &Epoch, keys: &[IdentityKey]) -> Result<Answers, StoreError> {
        let asked = self.clock.now();
        self.counters.reads.fetch_add(keys.len() as u64, Ordering::Relaxed);
        let rows = in_time(self.settings.read_timeout, self.rows.endpoints(&epoch.head, keys));
        let answers = self.answers(epoch, rows).await?;
        if let Some(key) = keys.iter().find(|key| !answers.contains_key(*key)) {
            // Silence is not the answer that there is nobody.
            return Err(self.failed(StoreError::Corrupt(format!("no answer for {key}"))));
        }
        self.keep(epoch, &answers, asked);
        Ok(answers)
    }

    /// Reads one part of the store, and keeps what is found of these kinds: so many keys. `None` if the epoch was over before.
    pub(super) async fn read_ahead(&self, part: u32, kinds: &[KeyKind]) -> Result<Option<u64>, StoreError> {
        let (epoch, asked) = (self.present().clone(), self.clock.now());
        let answers = self.answers(&epoch, self.rows.scan(&epoch.head, part, kinds)).await?;
        Ok(self.keep(&epoch, &answers, asked).then_some(answers.len() as u64))
    }

    /// Keeps answers if their epoch is still the present one, and says whether it is.
    fn keep(&self, epoch: &Epoch, answers: &Answers, asked: Duration) -> bool {
        let present = self.present();
        let is_present = present.head.edition() == epoch.head.edition();
        for (key, found) in answers.iter().filter(|_| is_present) {
            match found {
                Some(found) => present.entries.keep(key.clone(), found.clone()),
                None => present.entries.keep_absent(key.clone(), asked),
            }
        }
        is_present
    }

    /// Returns the number of entries evicted so far.
    pub(super) fn evictions(&self) -> u64 {
        self.counters.evictions.load(Ordering::Relaxed)
    }

    /// Returns the entries of the present epoch, which are dropped as a whole where everything changes.
    pub(super) fn entries(&self) -> Arc<Entries> {
        self.present().entries.clone()
    }

    /// Checks that the last answer came from the store that is served: after an outage, another one may have come back.
    async fn is_the_same(&self, epoch: &Epoch) -> Result<(), StoreError> {
        if let Some(text) = self.trouble().replaced() {
            return Err(StoreError::Corrupt(text.to_owned()));
        }
        if !self.trouble().is_suspect {
            return Ok(());
        }
        let found = in_time(self.settings.read_timeout, self.rows.head()).await?;
        if let Some(text) = replaced(&epoch.head, &found) {
            self.troubled(Lag::Replaced(text.clone()));
            return Err(StoreError::Corrupt(text));
        }
        self.check_follows(&epoch.head.edition(), &found).await?;
        self.trouble().is_suspect = false;
        Ok(())
    }

    /// Checks that a head is of a version or of one that follows it, so that rows of that version are what they were.
    async fn check_follows(&self, edition: &Edition, found: &Head) -> Result<(), StoreError> {
        if found.edition() == *edition {
            return Ok(());
        }
        if found.version > edition.version {
            let step = in_time(self.settings.read_timeout, self.rows.changes(edition, found)).await?;
            match step.endpoints {
                EndpointChanges::Keys(_) | EndpointChanges::Everything => return Ok(()),
                EndpointChanges::Unknown(_) => {}
            }
        }
        let (served, found) = (edition.version, found.version);
        Err(StoreError::Corrupt(format!("its version {found} does not follow the version {served} that is served")))
    }

    /// Returns the answers of the store, packed, after checking that it is the one that is served.
    async fn answers(
        &self,
        epoch: &Epoch,
        rows: impl Future<Output = Result<FoundRows, StoreError>>,
    ) -> Result<Answers, StoreError> {
        Ok(self.pack(epoch, self.checked(epoch, rows).await?))
    }

    /// Returns the rows that the store answered, after checking that it is the one that is served.
    pub(super) async fn checked(
        &self,
        epoch: &Epoch,
        rows: impl Future<Output = Result<FoundRows, StoreError>>,
    ) -> Result<FoundRows, StoreError> {
        let rows = match rows.await {
            Ok(rows) => self.is_the_same(epoch).await.map(|()| rows),
            Err(error) => Err(error),
        };
        rows.map_err(|error| self.failed(error))
    }

    fn changed(&self) -> MutexGuard<'_, Option<BTreeSet<Box<str>>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_changed(&self, keys: &[IdentityKey]) {
        let mut changed = self.changed();
        let Some(names) = changed.as_mut() else { return };
        names.extend(keys.iter().filter_map(|key| match key {
            IdentityKey::Name(name) => Some(name.clone()),
            IdentityKey::Identity(..) => None,
        }));
        // Nobody asks, or not often enough.
        if names.len() > MAX_KEYS {
            *changed = None;
        }
    }

    /// The endpoints that changed since this was asked last.
    pub(super) fn take_changed(&self) -> Changed {
        match self.changed().replace(BTreeSet::new()) {
            Some(names) => Changed::These(names.into_iter().collect()),
            None => Changed::Anything,
        }
    }

    /// Takes note that a read failed: what answers next may be another store.
    fn failed(&self, error: StoreError) -> StoreError {
        self.counters.failed_reads.fetch_add(1, Ordering::Relaxed);
        self.trouble().is_suspect = true;
        error
    }

    /// Packs rows into the form in which entries hold them.
    fn pack(&self, epoch: &Epoch, rows: Vec<(IdentityKey, Vec<EndpointRow>)>) -> Answers {
        let mut answers = Answers::with_capacity(rows.len());
        let mut flaws = Vec::new();
        for (key, rows) in rows {
            let found = (!rows.is_empty()).then(|| {
                let Packing { packed, flaws: more } = Packed::pack(&rows, &epoch.head, &epoch.names);
                if !more.is_empty() {
                    epoch.entries.note_flawed(key.clone());
                }
                flaws.extend(more);
                packed
            });
            answers.insert(key, found);
        }
        if let Some(first) = flaws.first() {
            let count = flaws.len() as u64;
            self.counters.unreadable.fetch_add(count, Ordering::Relaxed);
            (self.report)(CacheEvent::Unreadable { count, first: first.to_string() });
        }
        answers
    }

    /// Looks at the head once, and follows it.
    pub(super) async fn poll(&self) {
        let asked_at = self.clock.now();
        match self.follow().await {
            Ok(()) => {
                self.confirmed_ms.store(millis(asked_at), Ordering::Relaxed);
                let event = self.trouble().end();
                if let Some(event) = event {
                    (self.report)(event);
                }
            }
            Err(lag) => self.troubled(lag),
        }
    }

    /// Notes why the store does not confirm, and tells it when that begins.
    fn troubled(&self, lag: Lag) {
        let event = self.trouble().begin(lag);
        if let Some(event) = event {
            (self.report)(event);
        }
    }

    /// Makes the newest head the present epoch.
    async fn follow(&self) -> Result<(), Lag> {
        let present = self.present().clone();
        let head = in_time(self.settings.read_timeout, self.rows.head()).await?;
        if let Some(text) = replaced(&present.head, &head) {
            return Err(Lag::Replaced(text));
        }
        if head.edition() == present.head.edition() {
            // Versions given up since: their late rows have to be told from newer ones.
            if head.aborted != present.head.aborted {
                *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(present.next(head, None));
            }
            return Ok(());
        }
        if head.version < present.head.version {
            let what = format!("its version went back from {} to {}", present.head.version, head.version);
            return Err(StoreError::Corrupt(what).into());
        }
        if let Some(refused) = self.trouble().refused(&head.edition()) {
            return Err(refused);
        }
        let changes = self.changes(present.head.edition(), &head).await?;
        let catalog = match changes.catalog {
            CatalogChange::Same => None,
            CatalogChange::Changed => Some(self.catalog(&head).await?),
        };
        let version = head.version;
        if let EndpointChanges::Unknown(why) = &changes.endpoints {
            (self.report)(CacheEvent::Forgotten(why.clone()));
        }
        match changes.endpoints {
            EndpointChanges::Keys(keys) => {
                let is_other_catalog = catalog.is_some();
                let next = Arc::new(present.next(head, catalog));
                let mut epoch = self.epoch.write().unwrap_or_else(PoisonError::into_inner);
                keys.iter().for_each(|key| next.entries.forget(key));
                self.note_changed(&keys);
                if is_other_catalog {
                    next.entries.forget_flawed();
                }
                *epoch = next;
            }
            EndpointChanges::Everything | EndpointChanges::Unknown(_) => {
                let CacheSettings { memory_bytes, absent_keys, .. } = self.settings;
                let entries = Entries::new(memory_bytes, absent_keys, self.counters.evictions.clone());
                let catalog = catalog.unwrap_or_else(|| present.catalog.clone());
                let next = Arc::new(Epoch::new(head, catalog, entries));
                *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = next;
                *self.changed() = None;
            }
        }
        (self.report)(CacheEvent::Moved(version));
        Ok(())
    }

    /// Reads the changes since a version step by step: each step in time, however many versions there are.
    async fn changes(&self, after: Edition, head: &Head) -> Result<Changes, StoreError> {
        let mut catalog = CatalogChange::Same;
        let mut keys: Vec<IdentityKey> = Vec::new();
        let mut until = after;
        if until.version == head.version {
            let why = format!(
                "version {} is not the one that was served: the store was restored or rewritten",
                until.version
            );
            let endpoints = EndpointChanges::Unknown(why);
            return Ok(Changes { catalog: CatalogChange::Changed, endpoints, until: head.edition() });
        }
        while until.version < head.version {
            let step = in_time(self.settings.read_timeout, self.rows.changes(&until, head)).await?;
            if step.until.version <= until.version {
                return Err(StoreError::Corrupt(format!("the change log ends at version {}", until.version)));
            }
            until = step.until;
            if step.catalog == CatalogChange::Changed {
                catalog = CatalogChange::Changed;
            }
            match step.endpoints {
                EndpointChanges::Keys(more) if keys.len() + more.len() <= MAX_KEYS => keys.extend(more),
                // What the rest of the log would say about the catalog is taken for granted.
                EndpointChanges::Keys(_) | EndpointChanges::Everything => {
                    let endpoints = EndpointChanges::Everything;
                    return Ok(Changes { catalog: CatalogChange::Changed, endpoints, until: head.edition() });
                }
                EndpointChanges::Unknown(why) => {
                    let endpoints = EndpointChanges::Unknown(why);
                    return Ok(Changes { catalog: CatalogChange::Changed, endpoints, until: head.edition() });
                }
            }
        }
        Ok(Changes { catalog, endpoints: EndpointChanges::Keys(keys), until })
    }

    async fn catalog(&self, head: &Head) -> Result<Arc<Catalog>, Lag> {
        match read_catalog(&self.rows, head, self.settings.catalog_timeout).await {
            Ok(loaded) => Ok(loaded.snapshot.catalog().clone()),
            Err(OpenError::Store(error)) => Err(Lag::Store(error)),
            Err(OpenError::Refused(refused)) => {
                let text = format!("version {} is not valid, and not served: {refused}", head.version);
                Err(Lag::Refused(head.edition(), text))
            }
        }
    }
}

async fn read_catalog(rows: &impl Rows, head: &Head, timeout: Duration) -> Result<Loaded, OpenError> {
    let inputs = in_time(timeout, rows.catalog(head)).await?;
    // Thousands of accounts take a while, which others of the runtime need not wait for.
    let loaded = tokio::task::spawn_blocking(move || load(inputs)).await;
    let loaded = loaded.map_err(|error| StoreError::Unavailable(format!("loading was given up: {error}")))?;
    loaded.map_err(|refused| OpenError::Refused(Box::new(refused)))
}

/// Gives a read up that takes too long.
pub(super) async fn in_time<T>(
    timeout: Duration,
    read: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Unavailable(format!("no answer within {timeout:?}")));
    tokio::time::timeout(timeout, read).await.unwrap_or_else(late)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
