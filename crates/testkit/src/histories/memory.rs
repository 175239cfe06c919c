//! A store of many versions in memory: for generated histories, and for a store that fails when told to.

use directory::cache::{
    CatalogChange, Changes, Edition, EndpointChanges, EndpointRow, Head, IdentityKey, KeyKind, Misnumbered, Rows,
    SCAN_PARTS, StoreError, Version,
};
use directory::{Input, InputKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Versions whose changes are told at once.
const STEP: u64 = 16;

/// The store; clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryRows(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    is_down: AtomicBool,
    delay_ms: AtomicU64,
    log_delay_ms: AtomicU64,
    scan_delay_ms: AtomicU64,
    /// How many versions were ever committed: no identity is used twice.
    commits: AtomicU64,
}

/// What a store held at a moment.
#[derive(Clone, Debug)]
pub struct Saved(State);

#[derive(Clone, Debug, Default)]
struct State {
    store: String,
    head: u64,
    /// Of each committed version.
    identities: BTreeMap<Version, Arc<str>>,
    aborted: BTreeSet<Version>,
    catalogs: BTreeMap<Version, String>,
    /// By key and endpoint: definitions by version, `None` where it is no longer found.
    rows: BTreeMap<IdentityKey, BTreeMap<String, BTreeMap<Version, Option<String>>>>,
    /// Rows that no writer has written, until their endpoint is written again.
    misnumbered: BTreeMap<(IdentityKey, String), Misnumbered>,
    changes: BTreeMap<Version, Changes>,
    /// Under which keys an endpoint was found last.
    keys: BTreeMap<String, BTreeSet<IdentityKey>>,
    /// Keys asked for, in order.
    asked: Vec<IdentityKey>,
}

impl State {
    /// The newest version that a number holds.
    fn edition(&self, version: Version) -> Edition {
        let identity = self.identities.range(..=version).next_back().map(|(_, identity)| identity.clone());
        Edition { version, identity: identity.unwrap_or_default() }
    }

    /// Endpoints under a key, as a head sees them.
    fn seen(&self, key: &IdentityKey, head: &Head) -> Vec<EndpointRow> {
        let newest = |versions: &BTreeMap<Version, Option<String>>| {
            versions.iter().rev().find(|(version, _)| head.holds(**version)).and_then(|(_, text)| text.clone())
        };
        let row = |(name, versions): (&String, &BTreeMap<_, _>)| {
            let misnumbered = self.misnumbered.get(&(key.clone(), name.clone()));
            let definition = match misnumbered {
                Some(misnumbered) => Err(*misnumbered),
                None => Ok(newest(versions)?.into()),
            };
            Some(EndpointRow { endpoint: name.as_str().into(), definition })
        };
        self.rows.get(key).into_iter().flatten().filter_map(row).collect()
    }
}

/// What one version writes.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Zones, tariffs, bundles and accounts, if they change.
    pub catalog: Option<String>,
    /// Endpoints with their definitions; `None` removes them. With the keys they are found under.
    pub endpoints: Vec<(String, Option<Definition>)>,
}

/// A definition and every identity in it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// In flow style.
    pub text: String,
    /// Without the name.
    pub identities: BTreeSet<IdentityKey>,
}

impl MemoryRows {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a version.
    pub fn commit(&self, write: &Write) -> Version {
        self.put(write, true)
    }

    /// Writes a version that is given up: nobody ever sees it.
    pub fn abort(&self, write: &Write) {
        self.put(write, false);
    }

    fn put(&self, write: &Write, commits: bool) -> Version {
        let mut state = self.state();
        let version = Version(state.head.max(state.aborted.last().map_or(0, |last| last.0)) + 1);
        let mut changed = BTreeSet::new();
        for (name, definition) in &write.endpoints {
            let mut keys: BTreeSet<IdentityKey> =
                definition.iter().flat_map(|definition| definition.identities.iter().cloned()).collect();
            if definition.is_some() {
                keys.insert(IdentityKey::Name(name.as_str().into()));
            }
            let before = state.keys.get(name).cloned().unwrap_or_default();
            for key in before.union(&keys) {
                let text = definition.as_ref().filter(|_| keys.contains(key)).map(|definition| definition.text.clone());
                let versions = state.rows.entry(key.clone()).or_default().entry(name.clone()).or_default();
                versions.insert(version, text);
                state.misnumbered.remove(&(key.clone(), name.clone()));
                changed.insert(key.clone());
            }
            if commits {
                state.keys.insert(name.clone(), keys);
            }
        }
        if let Some(catalog) = &write.catalog {
            state.catalogs.insert(version, catalog.clone());
        }
        let catalog = if write.catalog.is_some() { CatalogChange::Changed } else { CatalogChange::Same };
        let endpoints = EndpointChanges::Keys(changed.into_iter().collect());
        let identity: Arc<str> = self.0.commits.fetch_add(1, Ordering::SeqCst).to_string().into();
        let until = Edition { version, identity: identity.clone() };
        state.changes.insert(version, Changes { catalog, endpoints, until });
        match commits {
            true => {
                state.head = version.0;
                state.identities.insert(version, identity);
            }
            false => _ = state.aborted.insert(version),
        }
        version
    }

    /// Puts a row under a key of an endpoint that no writer has written.
    pub fn misnumber(&self, key: &IdentityKey, endpoint: &str, number: i64) {
        self.state().misnumbered.insert((key.clone(), endpoint.to_owned()), Misnumbered(number));
    }

    /// From now on the changes of a version are only known to be some.
    pub fn forget_changes(&self, version: Version) {
        if let Some(changes) = self.state().changes.get_mut(&version) {
            changes.endpoints = EndpointChanges::Everything;
        }
    }

    /// What it holds now.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved(self.state().clone())
    }

    /// Makes it hold what it held then.
    pub fn restore(&self, saved: &Saved) {
        let asked = self.asked();
        *self.state() = State { asked, ..saved.0.clone() };
    }

    /// Loses a part of what is known of the changes of a version.
    pub fn lose_changes(&self, version: Version) {
        if let Some(changes) = self.state().changes.get_mut(&version) {
            changes.endpoints = EndpointChanges::Unknown(format!("the change log of version {version} lacks a part"));
        }
    }

    /// Takes everything away, and begins anew under a name.
    pub fn make_anew(&self, name: &str) {
        *self.state() = State { store: name.to_owned(), ..State::default() };
    }

    /// How long it takes to read the changes of one version.
    pub fn set_log_delay(&self, delay: Duration) {
        self.0.log_delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Whether the store answers.
    pub fn set_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// How long each answer takes.
    pub fn set_delay(&self, delay: Duration) {
        self.0.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// How long it takes until what was found of a part of everything is there.
    pub fn set_scan_delay(&self, delay: Duration) {
        self.0.scan_delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Keys that endpoints were asked under so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<IdentityKey> {
        self.state().asked.clone()
    }

    async fn answer(&self) -> Result<(), StoreError> {
        let delay = Duration::from_millis(self.0.delay_ms.load(Ordering::SeqCst));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match self.0.is_down.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("it is down on purpose".to_owned())),
            false => Ok(()),
        }
    }
}

impl Rows for MemoryRows {
    async fn head(&self) -> Result<Head, StoreError> {
        self.answer().await?;
        let state = self.state();
        Ok(Head {
            store: state.store.as_str().into(),
            version: Version(state.head),
            identity: state.edition(Version(state.head)).identity,
            aborted: Arc::new(state.aborted.clone()),
        })
    }

    async fn catalog(&self, head: &Head) -> Result<Vec<Input>, StoreError> {
        self.answer().await?;
        let state = self.state();
        let newest = state.catalogs.iter().rev().find(|(version, _)| head.holds(**version));
        let input = |text: &String| Input { name: "store".into(), bytes: text.clone().into(), kind: InputKind::Yaml };
        Ok(newest.map(|(_, text)| input(text)).into_iter().collect())
    }

    async fn endpoints(
        &self,
        head: &Head,
        keys: &[IdentityKey],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        let found = {
            let mut state = self.state();
            state.asked.extend_from_slice(keys);
            keys.iter().map(|key| (key.clone(), state.seen(key, head))).collect()
        };
        self.answer().await?;
        Ok(found)
    }

    async fn scan(
        &self,
        head: &Head,
        part: u32,
        kinds: &[KeyKind],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        self.answer().await?;
        let delay = self.0.scan_delay_ms.load(Ordering::SeqCst);
        let found = {
            let state = self.state();
            let of_part = state.rows.keys().enumerate().filter(|(at, _)| at % SCAN_PARTS as usize == part as usize);
            let found = of_part.map(|(_, key)| key).filter(|key| kinds.contains(&key.kind()));
            let rows = found.map(|key| (key.clone(), state.seen(key, head)));
            rows.filter(|(_, rows)| !rows.is_empty()).collect()
        };
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        Ok(found)
    }

    async fn changes(&self, after: &Edition, head: &Head) -> Result<Changes, StoreError> {
        self.answer().await?;
        let until = Version(head.version.0.min(after.version.0 + STEP));
        let delay = self.0.log_delay_ms.load(Ordering::SeqCst) * (until.0 - after.version.0);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let state = self.state();
        let known = state.edition(after.version);
        let mut all = Changes {
            catalog: CatalogChange::Same,
            endpoints: EndpointChanges::Keys(Vec::new()),
            until: state.edition(until),
        };
        if known != *after {
            let why = format!("version {} is not the one that was served", after.version);
            return Ok(Changes { endpoints: EndpointChanges::Unknown(why), catalog: CatalogChange::Changed, ..all });
        }
        let told = state.changes.iter().filter(|(version, _)| **version > after.version && **version <= until);
        for (_, changes) in told.filter(|(version, _)| head.holds(**version)) {
            if changes.catalog == CatalogChange::Changed {
                all.catalog = CatalogChange::Changed;
            }
            match (&mut all.endpoints, &changes.endpoints) {
                (EndpointChanges::Keys(all), EndpointChanges::Keys(more)) => all.extend_from_slice(more),
                (EndpointChanges::Unknown(_), _) => {}
                (_, EndpointChanges::Unknown(why)) => all.endpoints = EndpointChanges::Unknown(why.clone()),
                (_, EndpointChanges::Everything) => all.endpoints = EndpointChanges::Everything,
                (EndpointChanges::Everything, EndpointChanges::Keys(_)) => {}
            }
        }
        Ok(all)
    }
}
