//! Where reference data comes from: files, which are whole and never change, or a store with a cache before it.

use crate::args::{DirectoryOptions, DirectorySource, ReferenceArgs};
use crate::exit::Failure;
use crate::reference;
use directory::Loaded;
use std::path::Path;
use std::time::Duration;

/// Reference data, and what follows it while a command runs.
pub(crate) struct Source {
    /// All of it; from a store without its endpoints, which are asked for.
    pub(crate) loaded: Loaded,
    /// What a store is like, whenever somebody looks. It is followed for as long as this lives.
    pub(crate) look: Option<Look>,
}

/// Whether a store is asked for plans of endpoints that grant bundles, where nobody buys them: until one is found. Without any, every definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plans {
    /// It is not.
    Unasked,
    /// That there are some is told, in the background where that takes long.
    Told,
}

/// Looks at a store that is followed.
pub(crate) type Look = Box<dyn Fn() -> Seen + Send + Sync>;

/// What a store that is followed is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// How long ago what is served was confirmed.
    pub(crate) age: Duration,
    /// Whether the newest version could be served.
    pub(crate) is_good: bool,
    /// Whether what is served was confirmed within the lead time.
    pub(crate) is_fresh: bool,
    /// The cache before it.
    pub(crate) cache: CacheSeen,
}

/// What a cache did since the start, and holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSeen {
    /// Keys looked up that were at hand.
    pub(crate) hits: u64,
    /// Those known to be nobody's.
    pub(crate) absent: u64,
    /// Those that were read.
    pub(crate) misses: u64,
    /// Reads that failed.
    pub(crate) failed: u64,
    /// Keys that had to go.
    pub(crate) evictions: u64,
    /// Keys at hand.
    pub(crate) entries: u64,
    /// Bytes they take.
    pub(crate) bytes: u64,
}

/// Something that happened to a store that is followed, in words.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// As it should be.
    Good(String),
    /// Somebody has to act, or rating will wait.
    Bad(String),
}

/// Opens what the options name, and asks a store for plans. `tell` hears what happens to a store while it is followed.
///
/// # Errors
/// Files or a store that cannot be read, or reference data with errors.
pub(crate) fn open(
    options: &DirectoryOptions,
    files: &ReferenceArgs,
    first_input: Option<&Path>,
    #[cfg_attr(not(feature = "store"), expect(unused_variables, reason = "files name all grants"))] plans: Plans,
    tell: fn(&News),
) -> Result<Source, Failure> {
    match options.directory {
        DirectorySource::Files => Ok(Source { loaded: reference::load(files, first_input)?, look: None }),
        #[cfg(feature = "store")]
        DirectorySource::Store => store::follow(options, plans, tell),
    }
}

#[cfg(feature = "store")]
mod store {
    use super::{CacheSeen, Look, News, Plans, Seen, Source};
    use crate::args::{DirectoryOptions, PreloadKind};
    use crate::exit::Failure;
    use crate::settings;
    use crate::store::{failure, runtime, store_settings};
    use directory::cache::{Cache, CacheEvent, CacheSettings, Clock, KeyKind, OpenError, Preloaded, StoreError};
    use directory::model::IdentityKind;
    use directory::store::Store;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    /// How long a start waits for plans that are only told.
    const PLANS_WAIT: Duration = Duration::from_secs(5);

    /// How often it is told how much was read ahead.
    const TELL: Duration = Duration::from_secs(5);

    /// Reads endpoints ahead, beside rating. A store that fails meanwhile is no reason to stop: what is missing is read when it is looked up.
    async fn preload(cache: Arc<Cache<Store>>, kinds: Vec<PreloadKind>, tell: fn(&News)) {
        let kind = |kind: &PreloadKind| match kind {
            PreloadKind::Imsi => KeyKind::Identity(IdentityKind::Imsi),
            PreloadKind::Iccid => KeyKind::Identity(IdentityKind::Iccid),
            PreloadKind::Msisdn => KeyKind::Identity(IdentityKind::Msisdn),
            PreloadKind::Name => KeyKind::Name,
        };
        let kinds: Vec<KeyKind> = kinds.iter().map(kind).collect();
        let (begun, mut told) = (Instant::now(), Instant::now());
        let mut progress = |keys| {
            if told.elapsed() >= TELL {
                told = Instant::now();
                tell(&News::Good(format!("{keys} keys of endpoints were read ahead so far")));
            }
        };
        let read = cache.preload(&kinds, &mut progress).await;
        tell(&match read {
            Ok(Preloaded { keys, is_partial: false }) => News::Good(format!(
                "{keys} keys of endpoints were read ahead in {:.1} s",
                begun.elapsed().as_secs_f64()
            )),
            Ok(Preloaded { keys, is_partial: true }) => News::Bad(format!(
                "{keys} keys of endpoints were read ahead, then there was no room (--directory-memory-mib) or no end of changes; the rest is read when it is looked up"
            )),
            Err(error) => News::Bad(format!(
                "reading endpoints ahead was given up, they are read when they are looked up: {error}"
            )),
        });
    }

    /// Tells that there are plans with bundles, or that nobody knows.
    fn tell_plans(are_there: Result<bool, StoreError>, tell: fn(&News)) {
        match are_there {
            Ok(false) => {}
            Ok(true) => tell(&News::Bad(
                "plans of endpoints grant bundles, which are not bought here: buy them by commands".to_owned(),
            )),
            Err(error) => tell(&News::Bad(format!("whether plans of endpoints grant bundles is not known: {error}"))),
        }
    }

    pub(super) fn follow(options: &DirectoryOptions, plans: Plans, tell: fn(&News)) -> Result<Source, Failure> {
        let length = |option, text: &str| {
            settings::milliseconds(option, text).map(|length| Duration::from_millis(length.unsigned_abs()))
        };
        let lead = length("--directory-lead", &options.directory_lead)?;
        let cached = CacheSettings {
            memory_bytes: u64::from(options.directory_memory_mib) << 20,
            poll: length("--directory-poll", &options.directory_poll)?,
            lead,
            // A read may be asked twice.
            read_timeout: length("--store-timeout", &options.store.store_timeout)? * 2,
            ..CacheSettings::default()
        };
        let reached = store_settings(&options.store)?;
        let runtime = runtime()?;
        let is_good = Arc::new(AtomicBool::new(true));
        let noted = is_good.clone();
        let told = move |event: CacheEvent| match event {
            CacheEvent::Moved(version) => {
                noted.store(true, Ordering::Relaxed);
                tell(&News::Good(format!("version {version} is served")));
            }
            CacheEvent::Confirmed => {
                noted.store(true, Ordering::Relaxed);
                tell(&News::Good("it confirms again what is served".to_owned()));
            }
            CacheEvent::Unconfirmed(why) => tell(&News::Bad(format!("it does not confirm what is served: {why}"))),
            CacheEvent::Replaced(why) => {
                noted.store(false, Ordering::Relaxed);
                tell(&News::Bad(why));
            }
            CacheEvent::Forgotten(why) => tell(&News::Bad(format!(
                "{why}; what was at hand is given up and read anew: what was charged meanwhile may have to be rated again"
            ))),
            CacheEvent::Unreadable { count, first } => {
                tell(&News::Bad(format!(
                    "{count} definitions of endpoints cannot be read, whose records wait; the first: {first}"
                )));
            }
            CacheEvent::Refused(version, why) => {
                noted.store(false, Ordering::Relaxed);
                tell(&News::Bad(format!("version {version} is not valid and not served: {why}")));
            }
        };
        let (cache, loaded) = runtime.block_on(async {
            let store = Store::connect(&reached).await.map_err(failure)?;
            Cache::open(store, cached, Clock::monotonic(), told).await.map_err(|error| match error {
                OpenError::Store(error) => Failure::Surroundings(error.to_string()),
                OpenError::Refused(refused) => Failure::Reference(refused),
            })
        })?;
        let cache = Arc::new(cache);
        if plans == Plans::Told {
            let asked = cache.clone();
            let telling = runtime.spawn(async move { tell_plans(asked.has_plans_with_bundles().await, tell) });
            // Whatever it came to was told.
            let _ = runtime.block_on(async { tokio::time::timeout(PLANS_WAIT, telling).await });
        }
        if !options.directory_preload.is_empty() {
            runtime.spawn(preload(cache.clone(), options.directory_preload.clone(), tell));
        }
        let loaded = loaded.asking(cache.clone());
        let look: Look = Box::new(move || {
            // Reads of the cache run here for as long as somebody may look.
            let _ = &runtime;
            let stats = cache.stats();
            Seen {
                age: stats.age,
                is_good: is_good.load(Ordering::Relaxed),
                is_fresh: stats.age <= lead,
                cache: CacheSeen {
                    hits: stats.hits,
                    absent: stats.absent_hits,
                    misses: stats.misses,
                    failed: stats.failed_reads,
                    evictions: stats.evictions,
                    entries: stats.entries,
                    bytes: stats.bytes,
                },
            }
        });
        Ok(Source { loaded, look: Some(look) })
    }
}
