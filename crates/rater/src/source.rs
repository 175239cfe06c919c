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
    /// Keys looked up since the start: at hand, known to be nobody's, read, and reads that failed.
    pub(crate) lookups: [u64; 4],
}

/// Something that happened to a store that is followed, in words.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// As it should be.
    Good(String),
    /// Somebody has to act, or rating will wait.
    Bad(String),
}

/// Opens what the options name. `tell` hears what happens to a store while it is followed.
///
/// # Errors
/// Files or a store that cannot be read, or reference data with errors.
pub(crate) fn open(
    options: &DirectoryOptions,
    files: &ReferenceArgs,
    first_input: Option<&Path>,
    tell: fn(&News),
) -> Result<Source, Failure> {
    match options.directory {
        DirectorySource::Files => Ok(Source { loaded: reference::load(files, first_input)?, look: None }),
        #[cfg(feature = "store")]
        DirectorySource::Store => store::follow(options, tell),
    }
}

#[cfg(feature = "store")]
mod store {
    use super::{Look, News, Seen, Source};
    use crate::args::DirectoryOptions;
    use crate::exit::Failure;
    use crate::settings;
    use crate::store::{failure, runtime, store_settings};
    use directory::cache::{Cache, CacheEvent, CacheSettings, Clock, OpenError};
    use directory::store::Store;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    pub(super) fn follow(options: &DirectoryOptions, tell: fn(&News)) -> Result<Source, Failure> {
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
            let store = Store::connect(&reached, settings::machine_now).await.map_err(failure)?;
            Cache::open(store, cached, Clock::monotonic(), told).await.map_err(|error| match error {
                OpenError::Store(error) => Failure::Surroundings(error.to_string()),
                OpenError::Refused(refused) => Failure::Reference(refused),
            })
        })?;
        let cache = Arc::new(cache);
        let loaded = loaded.asking(cache.clone());
        let look: Look = Box::new(move || {
            // Reads of the cache run here for as long as somebody may look.
            let _ = &runtime;
            let stats = cache.stats();
            Seen {
                age: stats.age,
                is_good: is_good.load(Ordering::Relaxed),
                is_fresh: stats.age <= lead,
                lookups: [stats.hits, stats.absent_hits, stats.misses, stats.failed_reads],
            }
        });
        Ok(Source { loaded, look: Some(look) })
    }
}
