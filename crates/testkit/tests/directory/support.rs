//! Directories under test, a runtime for their reads, and a clock that is moved by hand.

use directory::cache::{
    Cache, CacheEvent, CacheSettings, Clock, IdentityKey, KeyKind, OpenError, Preloaded, Rows, Version,
};
use directory::model::IdentityKind;
use directory::snapshot::Snapshot;
use directory::value::Digits;
use directory::{Directory, Input, InputKind, Needs, Unavailable, Whole, load};
use rating::{Timestamp, UsageRecord};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use testkit::histories::memory::{Definition, MemoryRows, Write};
use testkit::histories::suite::Target;
use tokio::runtime::Runtime;

/// How long something may take that happens in the background.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// Files: loaded anew for each version.
#[derive(Default)]
pub(crate) struct Files(Option<Arc<Snapshot>>);

impl Target for Files {
    fn publish(&mut self, _: &Write, whole: &str) -> Result<(), String> {
        let input = Input { name: "world.yaml".into(), bytes: whole.into(), kind: InputKind::Yaml };
        self.0 = Some(load(vec![input]).map_err(|refused| refused.to_string())?.snapshot);
        Ok(())
    }

    fn directory(&self) -> Arc<dyn Directory> {
        Arc::new(Whole(self.0.clone().expect("published")))
    }
}

type Cached = Arc<OnceLock<Arc<Cache<MemoryRows>>>>;

/// A cache over a store in memory, which lives through all versions.
pub(crate) struct Stored {
    rows: MemoryRows,
    memory_bytes: u64,
    cache: Cached,
}

impl Stored {
    pub(crate) fn new(memory_bytes: u64) -> Stored {
        Stored { rows: MemoryRows::default(), memory_bytes, cache: Cached::default() }
    }

    pub(crate) fn cache(&self) -> Cached {
        self.cache.clone()
    }
}

impl Target for Stored {
    fn publish(&mut self, write: &Write, _: &str) -> Result<(), String> {
        // Between two versions there is one that nobody ever sees.
        let everything_goes = write.endpoints.iter().map(|(name, _)| (name.clone(), None)).collect();
        self.rows.abort(&Write { catalog: Some("nonsense".to_owned()), endpoints: everything_goes });
        let version = self.rows.commit(write);
        if version.0.is_multiple_of(3) {
            self.rows.forget_changes(version);
        }
        let cache = self.cache.get_or_init(|| {
            let settings = CacheSettings {
                memory_bytes: self.memory_bytes,
                poll: Duration::from_millis(1),
                ..CacheSettings::default()
            };
            let opened = Cache::open(self.rows.clone(), settings, Clock::monotonic(), |_| {});
            Arc::new(runtime().block_on(opened).expect("a cache").0)
        });
        if !wait_for(|| cache.stats().version == version) {
            return Err(format!("version {version} is not served"));
        }
        // Every other version is read ahead, over what was read before.
        let read = if version.0 % 4 < 2 { Some(read_ahead(cache)?) } else { None };
        let is_large = self.memory_bytes > 100_000;
        match read.filter(|read| read.is_partial == is_large) {
            Some(read) => Err(format!("{read:?} of version {version}")),
            None => Ok(()),
        }
    }

    fn directory(&self) -> Arc<dyn Directory> {
        self.cache.get().expect("published").clone()
    }
}

/// Every kind of key.
pub(crate) const KEY_KINDS: [KeyKind; 4] = [
    KeyKind::Identity(IdentityKind::Imsi),
    KeyKind::Identity(IdentityKind::Iccid),
    KeyKind::Identity(IdentityKind::Msisdn),
    KeyKind::Name,
];

/// Reads everything ahead.
pub(crate) fn read_ahead<R: Rows>(cache: &Cache<R>) -> Result<Preloaded, String> {
    runtime().block_on(cache.preload(&KEY_KINDS, &mut |_| {})).map_err(|error| error.to_string())
}

/// Waits until something holds; whether it does.
pub(crate) fn wait_for(holds: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).expect("milliseconds"), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let millis = self.0.clone();
        Clock::new(move || Duration::from_millis(millis.load(Ordering::SeqCst)))
    }
}

/// A cache over a small store, with what it told.
pub(crate) struct Small {
    pub(crate) rows: MemoryRows,
    pub(crate) clock: HandClock,
    pub(crate) cache: Arc<Cache<MemoryRows>>,
    pub(crate) events: Arc<Mutex<Vec<CacheEvent>>>,
}

pub(crate) const CATALOG: &str = "format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2020-01-01T00:00:00Z, rates: [{ service: data, zone: root, price: 0.10/MB }] }] }
accounts:
  op: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: op, currency: GBP, tariff: retail }
  beta: { kind: customer, parent: op, currency: GBP, tariff: retail }
";

impl Small {
    /// Opens a cache over the catalog and so many endpoints of acme: `e0` with IMSI 001010000000000 and so on.
    pub(crate) fn open(endpoints: u64, settings: CacheSettings) -> Small {
        Small::try_open(CATALOG, endpoints, settings).expect("a cache")
    }

    pub(crate) fn try_open(catalog: &str, endpoints: u64, settings: CacheSettings) -> Result<Small, OpenError> {
        Small::opened(catalog, endpoints, CacheSettings { poll: Duration::from_millis(1), ..settings })
    }

    /// With a look at the head every so often.
    pub(crate) fn open_with(endpoints: u64, settings: CacheSettings, poll: Duration) -> Small {
        Small::opened(CATALOG, endpoints, CacheSettings { poll, ..settings }).expect("a cache")
    }

    fn opened(catalog: &str, endpoints: u64, settings: CacheSettings) -> Result<Small, OpenError> {
        let (rows, clock) = (MemoryRows::default(), HandClock::default());
        let all = (0..endpoints).map(|number| endpoint(number, "acme")).collect();
        rows.commit(&Write { catalog: Some(catalog.to_owned()), endpoints: all });
        let events: Arc<Mutex<Vec<CacheEvent>>> = Arc::default();
        let told = events.clone();
        let report = move |event| told.lock().expect("events").push(event);
        let (cache, _) = runtime().block_on(Cache::open(rows.clone(), settings, clock.clock(), report))?;
        Ok(Small { rows, clock, cache: Arc::new(cache), events })
    }

    /// Who pays for a record, or why it waits.
    pub(crate) fn payer(&self, record: &UsageRecord) -> Result<String, Unavailable> {
        let mut needs = Needs::default();
        needs.add_record(record);
        let snapshot = self.cache.snapshot_for(&needs)?;
        Ok(payer(&snapshot, record))
    }

    /// Waits until it has told something like this.
    #[track_caller]
    pub(crate) fn hears(&self, event: impl Fn(&CacheEvent) -> bool) {
        let has_told = || self.events.lock().expect("events").iter().any(&event);
        assert!(wait_for(has_told), "{:?}", self.events.lock().expect("events"));
    }

    pub(crate) fn waits_for(&self, version: Version) {
        assert!(wait_for(|| self.cache.stats().version == version), "version {version} is not served");
    }
}

/// Who pays for a record, or why it waits.
pub(crate) fn payer(snapshot: &Snapshot, record: &UsageRecord) -> String {
    match snapshot.lineage_for(record) {
        Ok(lineage) => lineage.edges().map(|step| step.edge.payer.as_str()).collect::<Vec<_>>().join(" "),
        Err(reason) => reason.name().to_owned(),
    }
}

/// An endpoint with IMSI, ICCID and MSISDN of its number.
pub(crate) fn endpoint(number: u64, customer: &str) -> (String, Option<Definition>) {
    let [imsi, iccid, msisdn] = digits(number);
    let text = format!("{{ customer: {customer}, imsi: \"{imsi}\", iccid: \"{iccid}\", msisdn: \"{msisdn}\" }}");
    let keys = IdentityKind::ALL.into_iter().zip([imsi, iccid, msisdn]);
    let identities: BTreeSet<IdentityKey> = keys.map(|(kind, digits)| key(kind, &digits)).collect();
    (format!("e{number}"), Some(Definition { text, identities }))
}

pub(crate) fn digits(number: u64) -> [String; 3] {
    [format!("00101{number:010}"), format!("894400000000{number:07}"), format!("4477{number:08}")]
}

pub(crate) fn key(kind: IdentityKind, digits: &str) -> IdentityKey {
    IdentityKey::Identity(kind, Digits::parse(digits).expect("digits"))
}

/// A record with the IMSI of an endpoint.
pub(crate) fn by_imsi(number: u64) -> UsageRecord {
    let [imsi, ..] = digits(number);
    UsageRecord {
        quantity: 1,
        imsi: Some(imsi.into()),
        ..UsageRecord::new("r", "test", "data", Timestamp::from_millis(1_767_225_600_000))
    }
}
