//! Topics made and changed: what `rater topics` asks of a cluster.
//!
//! It does as it is told. What may be changed without losing or parting data is decided by `crate::service::plan`.

use super::fault::{Listening, explain, explain_code};
use super::lookup::Lookup;
use super::settings::KafkaSettings;
use super::{block_on, number};
use crate::worker::log::LogError;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A topic as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundTopic {
    /// Its partitions.
    pub partitions: u32,
    /// Copies of each; the least, where they differ.
    pub replication: u32,
    /// What holds for it, whoever set it.
    pub settings: BTreeMap<String, String>,
    /// What was set for this topic alone.
    own: BTreeMap<String, String>,
}

impl FoundTopic {
    /// Whether its messages bear the time that their writers say, and not that of the log.
    pub fn is_dated_by_writers(&self) -> bool {
        self.settings.get("message.timestamp.type").is_some_and(|kind| kind == "CreateTime")
    }

    /// A topic whose settings are its own.
    pub fn new(partitions: u32, replication: u32, settings: BTreeMap<String, String>) -> FoundTopic {
        FoundTopic { partitions, replication, own: settings.clone(), settings }
    }
}

/// Makes and changes topics.
pub struct KafkaAdmin {
    client: AdminClient<Listening>,
    settings: Arc<KafkaSettings>,
    lookup: Lookup,
}

impl KafkaAdmin {
    /// Checks the settings; no broker is asked yet.
    ///
    /// # Errors
    /// [`LogError::Refused`] with all mistakes of the settings.
    pub fn new(settings: KafkaSettings) -> Result<KafkaAdmin, LogError> {
        settings.check().map_err(|error| LogError::Refused(error.to_string()))?;
        let settings = Arc::new(settings);
        let lookup = Lookup::new(Arc::clone(&settings))?;
        let mut config = settings.client_config();
        settings.add_properties(&mut config);
        let client = config
            .create_with_context(Listening::of(&settings))
            .map_err(|error| LogError::Refused(format!("kafka at {}: {error}", settings.broker_list())))?;
        Ok(KafkaAdmin { client, settings, lookup })
    }

    /// Those of the topics that are there.
    ///
    /// # Errors
    /// No answer, or no right to ask.
    pub fn find(&self, names: &[String]) -> Result<BTreeMap<String, FoundTopic>, LogError> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some((partitions, replication)) = self.lookup.topic(name)? {
                let topic = FoundTopic { partitions, replication, ..FoundTopic::default() };
                found.insert(name.clone(), topic);
            }
        }
        let asked: Vec<ResourceSpecifier<'_>> = found.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
        if asked.is_empty() {
            return Ok(found);
        }
        let told = block_on(self.client.describe_configs(&asked, &self.options()));
        let told = told.map_err(|error| self.failed("settings of topics", &error))?;
        for told in told {
            let told = told.map_err(|code| self.refused("settings of topics", code))?;
            let OwnedResourceSpecifier::Topic(name) = &told.specifier else { continue };
            let Some(topic) = found.get_mut(name) else { continue };
            for entry in told.entries {
                let Some(value) = entry.value else { continue };
                if entry.source == ConfigSource::DynamicTopic {
                    topic.own.insert(entry.name.clone(), value.clone());
                }
                topic.settings.insert(entry.name, value);
            }
        }
        Ok(found)
    }

    /// Makes a topic; as many copies as the cluster gives by itself where no number is given.
    ///
    /// # Errors
    /// No answer, no right, or settings that the cluster refuses.
    pub fn create(
        &self,
        name: &str,
        partitions: u32,
        replication: Option<u16>,
        settings: &[(&str, String)],
    ) -> Result<(), LogError> {
        let copies = TopicReplication::Fixed(replication.map_or(-1, i32::from));
        let topic = NewTopic::new(name, number(partitions)?, copies);
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let what = format!("making topic {name:?}");
        let made = block_on(self.client.create_topics([&topic], &self.options()));
        self.first(&what, made.map(|made| made.into_iter().next().map(|one| one.map_err(|(_, code)| code))))?;
        self.wait_for(&what, name, partitions)
    }

    /// Waits until brokers tell of a topic: they learn of it a moment after it was made.
    fn wait_for(&self, what: &str, name: &str, partitions: u32) -> Result<(), LogError> {
        let deadline = Instant::now() + self.settings.timeouts.request;
        while self.lookup.topic(name)?.is_none_or(|(there, _)| there < partitions) {
            if Instant::now() >= deadline {
                return Err(LogError::Unavailable(format!(
                    "{what}: it is made, but the brokers do not tell of it yet"
                )));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// As [`KafkaAdmin::create`].
    pub fn grow(&self, name: &str, partitions: u32) -> Result<(), LogError> {
        let count = usize::try_from(number(partitions)?).unwrap_or_default();
        let what = format!("giving topic {name:?} more partitions");
        let made = block_on(self.client.create_partitions([&NewPartitions::new(name, count)], &self.options()));
        self.first(&what, made.map(|made| made.into_iter().next().map(|one| one.map_err(|(_, code)| code))))?;
        self.wait_for(&what, name, partitions)
    }

    /// Sets some settings of a topic; its others stay.
    ///
    /// # Errors
    /// As [`KafkaAdmin::create`].
    pub fn set(&self, name: &str, found: &FoundTopic, settings: &[(&str, String)]) -> Result<(), LogError> {
        // The call resets whatever it does not name.
        let mut all: BTreeMap<&str, &str> =
            found.own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        all.extend(settings.iter().map(|(key, value)| (*key, value.as_str())));
        let config = AlterConfig::new(ResourceSpecifier::Topic(name));
        let config = all.into_iter().fold(config, |config, (key, value)| config.set(key, value));
        let what = format!("settings of topic {name:?}");
        let made = block_on(self.client.alter_configs([&config], &self.options()));
        self.first(&what, made.map(|made| made.into_iter().next().map(|one| one.map_err(|(_, code)| code))))
    }

    fn options(&self) -> AdminOptions {
        let limit = Some(self.settings.timeouts.request);
        AdminOptions::new().request_timeout(limit).operation_timeout(limit)
    }

    fn first<T>(&self, what: &str, made: Result<Option<Result<T, Code>>, KafkaError>) -> Result<(), LogError> {
        match made.map_err(|error| self.failed(what, &error))? {
            Some(Ok(_)) => Ok(()),
            Some(Err(code)) => Err(self.refused(what, code)),
            None => Err(LogError::Unavailable(format!("{what}: no answer"))),
        }
    }

    fn failed(&self, what: &str, error: &KafkaError) -> LogError {
        explain(what, error, &self.client.inner().context().heard, &self.settings.broker_list())
    }

    /// The cluster has answered: asking again will not help, unless it did not get it done in time.
    fn refused(&self, what: &str, code: Code) -> LogError {
        match explain_code(what, code, &self.client.inner().context().heard, &self.settings.broker_list()) {
            LogError::Unavailable(what) if !matches!(code, Code::RequestTimedOut | Code::NotController) => {
                LogError::Refused(what)
            }
            explained => explained,
        }
    }
}
