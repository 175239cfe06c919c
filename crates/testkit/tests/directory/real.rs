//! A real store as the suite of histories publishes to it: worlds are loaded and changed as `rater directory` does it, and asked through a cache.
//!
//! All worlds stand in one keyspace, one after the other, each loaded in the place of the last one: so rows of many versions lie under the
//! same keys, and every world is read over what is left of those before it.

use crate::support::{read_ahead, runtime, wait_for};
use directory::cache::{Cache, CacheSettings, Clock, Version};
use directory::store::{
    Author, Change, Error, Kind, PlanError, Removal, Replace, Replication, Settings, Store, TakeOver, migrate,
};
use directory::{Directory, Input, InputKind, load};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use testkit::histories::memory::Write;
use testkit::histories::suite::Target;
use testkit::services::Cassandra;
use testkit::store::{self, now};

/// A keyspace of one's own on the node that this process shares.
pub(crate) fn keyspace(name: &str) -> Settings {
    let node = Cassandra::shared().expect("a node");
    let settings = store::settings(node.address(), &format!("{name}_{}", std::process::id()));
    runtime().block_on(migrate(&settings, &Replication::Simple(1), now().millis())).expect("tables");
    settings
}

pub(crate) fn connect(settings: &Settings) -> Store {
    runtime().block_on(Store::connect(settings)).expect("a store")
}

pub(crate) fn author(name: &str) -> Author {
    Author { actor: name.to_owned(), process: format!("test of {name}"), note: String::new() }
}

pub(crate) fn yaml(text: &str) -> Vec<Input> {
    vec![Input { name: "world.yaml".into(), bytes: text.into(), kind: InputKind::Yaml }]
}

/// One world in the store.
pub(crate) struct Real {
    store: Store,
    cache: Option<Arc<Cache<Store>>>,
}

impl Real {
    pub(crate) fn new(store: &Store) -> Real {
        Real { store: store.clone(), cache: None }
    }

    /// As `rater directory load --replace`.
    async fn load(&self, whole: &str) -> Result<Version, PlanError> {
        let inputs = yaml(whole);
        let loaded = load(inputs.clone()).map_err(|refused| PlanError::Refused(Box::new(refused)))?;
        let planned = self.store.plan_load(&inputs, &loaded, Replace::Yes).await?;
        let written = self.store.carry_out(&planned, author("load"), TakeOver::Always, &mut |_| {}).await;
        Ok(written?)
    }

    /// As `rater directory apply --yes`.
    async fn apply(&self, write: &Write) -> Result<Version, PlanError> {
        let (text, removals) = in_words(write);
        let plan = self.store.plan(&yaml(&text), &removals).await?;
        if plan.changes().is_empty() {
            return Ok(plan.base());
        }
        Ok(self.store.apply(&plan, author("apply"), TakeOver::Always, &mut |_| {}).await?)
    }

    /// A writer that takes everything away, and is killed before it commits.
    async fn crash(&self, write: &Write) -> Result<(), Error> {
        let planned = self.store.head_to_write().await?.head;
        let mut writer = self.store.begin(&planned, author("crash"), TakeOver::Always).await?;
        let gone =
            |name: &String| Change::new(Kind::Endpoint, name.as_str().into(), Some("{customer: c0}".into()), None);
        let changes: Vec<Change> = write.endpoints.iter().map(|(name, _)| gone(name)).collect();
        writer.write(&changes, &mut |_| {}).await?;
        writer.log(&changes).await
    }
}

/// What a version changes, as a file and what to remove besides.
fn in_words(write: &Write) -> (String, Vec<Removal>) {
    let mut text = write.catalog.clone().unwrap_or_else(|| "format: rater/v1\n".to_owned());
    let mut removals = Vec::new();
    let mut section = "endpoints:\n";
    for (name, definition) in &write.endpoints {
        match definition {
            Some(definition) => {
                let _ = writeln!(text, "{section}  {name}: {}", definition.text);
                section = "";
            }
            None => removals.push(Removal { kind: Kind::Endpoint, name: name.as_str().into() }),
        }
    }
    (text, removals)
}

impl Target for Real {
    fn publish(&mut self, write: &Write, whole: &str) -> Result<(), String> {
        let told = |error: PlanError| match error {
            PlanError::Store(error) => error.to_string(),
            PlanError::Refused(refused) => refused.to_string(),
        };
        let Some(cache) = &self.cache else {
            // The first version of a world takes the place of the world before.
            runtime().block_on(self.load(whole)).map_err(told)?;
            let settings = CacheSettings { poll: Duration::from_millis(5), ..CacheSettings::default() };
            let opened = runtime().block_on(Cache::open(self.store.clone(), settings, Clock::monotonic(), |_| {}));
            let cache = opened.map_err(|error| error.to_string())?.0;
            let read = read_ahead(&cache)?;
            self.cache = Some(Arc::new(cache));
            return if read.keys > 0 { Ok(()) } else { Err("nothing was read ahead".to_owned()) };
        };
        runtime().block_on(self.crash(write)).map_err(|error| error.to_string())?;
        let version = runtime().block_on(self.apply(write)).map_err(told)?;
        let is_served = || cache.stats().version == version;
        if wait_for(is_served) { Ok(()) } else { Err(format!("version {version} is not served")) }
    }

    fn directory(&self) -> Arc<dyn Directory> {
        self.cache.clone().expect("published")
    }
}
