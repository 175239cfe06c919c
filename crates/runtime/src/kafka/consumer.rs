//! A member of a group.
//!
//! The library tells of partitions given and taken away while it is polled, and waits until it is answered; meanwhile it delivers
//! nothing of what it has (it pauses all it has), goes on telling the group that it lives, and takes up no further change. So the answer
//! may come after the worker has restored state, from outside of the library's callback. Only a member that leaves answers at once.

use super::ends::{self, Ends};
use super::fault::{Heard, explain, explain_code};
use super::headers::trace_of;
use super::number;
use super::reader::position_in;
use super::settings::KafkaSettings;
use crate::worker::log::{
    Batch, Committed, Consumer as LogConsumer, Event, GatherLimits, Incoming, LogError, Offset, Partition,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Message, Statistics, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the group's positions are asked for; one answer takes milliseconds, so more means that a transaction is open over them.
const COMMITTED_LIMIT: Duration = Duration::from_secs(1);
/// The longest wait in one call of the library, so that news is seen in time.
const POLL_LIMIT: Duration = Duration::from_millis(100);
/// After so many messages without a pause the time is looked at.
const LOOK_AT_TIME_EVERY: u32 = 256;

/// A member of a group that reads committed messages.
pub struct KafkaConsumer {
    client: BaseConsumer<Member>,
    settings: Arc<KafkaSettings>,
    group: String,
    inputs: Arc<[String]>,
    /// What was started and not released, and from where on it was last told to be read.
    started: BTreeMap<Partition, Offset>,
    /// News that was told and not answered.
    unanswered: Option<Unanswered>,
    /// What is held while others are read.
    held: BTreeSet<Partition>,
    flow: Flow,
    /// Since when no broker can be reached.
    down_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    Assigned,
    Revoked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Held,
}

/// The member as of one moment, for a transaction, with the names of its topics.
pub struct KafkaGroup {
    pub(super) member: Option<ConsumerGroupMetadata>,
    pub(super) inputs: Arc<[String]>,
}

/// What the library calls back.
struct Member {
    inputs: Arc<[String]>,
    news: Mutex<VecDeque<Event>>,
    is_leaving: AtomicBool,
    heard: Heard,
    ends: Ends,
}

impl ClientContext for Member {
    fn stats(&self, statistics: Statistics) {
        self.ends.note(&self.inputs, &statistics);
    }

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.note(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.is_leaving.load(Ordering::Relaxed) {
            // To one who leaves, any answer means that everything is given back.
            let _ = client.unassign();
            return;
        }
        let partitions = self.partitions(list);
        let event = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assigned(partitions),
            _ if client.assignment_lost() => Event::Lost(partitions),
            _ => Event::Revoked(partitions),
        };
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

impl Member {
    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let known = |topic: &str| self.inputs.iter().position(|input| input == topic);
        let each = list.elements();
        let each = each.iter().filter_map(|at| {
            let (topic, number) = (u16::try_from(known(at.topic())?).ok()?, u32::try_from(at.partition()).ok()?);
            Some(Partition { topic, number })
        });
        let mut partitions: Vec<Partition> = each.collect();
        partitions.sort_unstable();
        partitions
    }

    fn next_news(&self) -> Option<Event> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl KafkaConsumer {
    pub(super) fn join(settings: &Arc<KafkaSettings>, group: &str, topics: &[String]) -> Result<Self, LogError> {
        let inputs: Arc<[String]> = topics.into();
        let mut config = settings.consumer_config();
        config
            // Else a queue that ran full is filled again only a second later.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "100")
            .set("statistics.interval.ms", ends::EVERY_MS);
        settings.add_properties(&mut config);
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set("partition.assignment.strategy", "cooperative-sticky");
        let member = Member {
            inputs: Arc::clone(&inputs),
            news: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            heard: Heard::of(settings),
            ends: Ends::default(),
        };
        let brokers = settings.broker_list();
        let client: BaseConsumer<Member> = config
            .create_with_context(member)
            .map_err(|error| settings.unusable(format!("group {group:?}, kafka at {brokers}: {error}")))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client
            .subscribe(&names)
            .map_err(|error| explain(&format!("group {group:?}"), &error, &client.context().heard, &brokers))?;
        Ok(KafkaConsumer {
            client,
            settings: Arc::clone(settings),
            group: group.to_owned(),
            inputs,
            started: BTreeMap::new(),
            unanswered: None,
            held: BTreeSet::new(),
            flow: Flow::Open,
            down_since: None,
        })
    }

    fn topic(&self, partition: Partition) -> &str {
        self.inputs.get(usize::from(partition.topic)).map_or("", String::as_str)
    }

    fn failed(&self, what: &str, error: &KafkaError) -> LogError {
        explain(what, error, &self.client.context().heard, &self.settings.broker_list())
    }

    fn list(&self, partitions: impl IntoIterator<Item = Partition>) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(self.topic(partition), number(partition.number)?);
        }
        Ok(list)
    }

    fn list_at(&self, positions: &[(Partition, Offset)]) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let topic = self.topic(*partition);
            list.add_partition_offset(topic, number(partition.number)?, rdkafka::Offset::Offset(*offset))
                .map_err(|error| self.failed(&format!("topic {topic:?} at offset {offset}"), &error))?;
        }
        Ok(list)
    }

    /// What the library reports in the place of a message.
    fn weigh(&mut self, error: &KafkaError) -> Result<(), LogError> {
        let what = format!("group {:?} reading {}", self.group, self.inputs.join(", "));
        match error {
            // The library goes on connecting.
            KafkaError::MessageConsumption(
                Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut,
            ) => {
                self.down_since.get_or_insert_with(Instant::now);
                if self.client.context().heard.is_locked_out() {
                    return Err(self.failed(&what, error));
                }
                Ok(())
            }
            // Too long away: the loss of the partitions follows.
            KafkaError::MessageConsumption(Code::PollExceeded) => Ok(()),
            KafkaError::MessageConsumptionFatal(code) => {
                Err(LogError::Refused(format!("{what}: the member cannot go on: {code}")))
            }
            _ => Err(self.failed(&what, error)),
        }
    }

    /// Nothing came: either there is nothing, or nobody is there to bring it.
    fn check_reachable(&mut self) -> Result<(), LogError> {
        let Some(since) = self.down_since.filter(|since| since.elapsed() >= self.settings.timeouts.session) else {
            return Ok(());
        };
        let topic = self.inputs.first().map(String::as_str);
        match self.client.fetch_metadata(topic, Duration::from_secs(1)) {
            Ok(_) => {
                self.down_since = None;
                self.client.context().heard.forget();
                Ok(())
            }
            Err(error) => {
                let what = format!("group {:?}, for {} s", self.group, since.elapsed().as_secs());
                Err(self.failed(&what, &error))
            }
        }
    }

    fn unassign(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.held.retain(|partition| !partitions.contains(partition));
        // The library refuses to take away what it was never told to read.
        let ours: Vec<Partition> =
            partitions.iter().copied().filter(|partition| self.started.remove(partition).is_some()).collect();
        let list = self.list(ours)?;
        self.client.incremental_unassign(&list).map_err(|error| self.failed("giving partitions back", &error))
    }
}

impl LogConsumer for KafkaConsumer {
    type Group = KafkaGroup;

    async fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Event, LogError> {
        let is_full = |batch: &Batch| {
            limits.messages > 0 && (batch.len() >= limits.messages || batch.size_bytes() >= limits.bytes)
        };
        let mut deadline = Instant::now() + limits.wait;
        let mut patience = limits.wait.min(POLL_LIMIT);
        let mut unlooked = 0;
        // The messages of a partition come in runs, so the last topic is mostly the next one's, too.
        let mut topic = 0_u16;
        let mut room = Vec::new();
        while !is_full(batch) {
            let polled = self.client.poll(patience);
            let is_quiet = polled.is_none();
            let mut problem = None;
            match polled {
                Some(Ok(message)) => {
                    topic = place_of(&self.inputs, topic, message.topic())?;
                    let number = u32::try_from(message.partition()).unwrap_or_default();
                    if batch.is_empty() {
                        deadline = Instant::now() + limits.wait;
                    }
                    batch.push(Incoming {
                        partition: Partition { topic, number },
                        side: None,
                        offset: message.offset(),
                        key: message.key(),
                        value: message.payload().unwrap_or_default(),
                        trace: message.headers().and_then(|headers| trace_of(headers, &mut room)),
                    });
                    unlooked += 1;
                }
                Some(Err(error)) => problem = Some(error),
                None => {}
            }
            if let Some(error) = problem {
                self.weigh(&error)?;
            }
            if is_quiet && let Some(event) = self.client.context().next_news() {
                self.unanswered = match &event {
                    Event::Assigned(_) => Some(Unanswered::Assigned),
                    Event::Revoked(_) | Event::Lost(_) => Some(Unanswered::Revoked),
                    Event::Gathered => None,
                };
                return Ok(event);
            }
            if is_quiet || unlooked == LOOK_AT_TIME_EVERY {
                unlooked = 0;
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                patience = left.min(POLL_LIMIT);
            }
            if is_quiet {
                self.check_reachable()?;
            } else {
                self.down_since = None;
            }
        }
        Ok(Event::Gathered)
    }

    async fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Option<Committed>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        // A client that reads committed messages is told committed positions only, and none while a transaction is open over them.
        let list = self.list(partitions.iter().copied())?;
        let told = self.client.committed_offsets(list, COMMITTED_LIMIT);
        let told = told.map_err(|error| self.failed(&format!("positions of group {:?}", self.group), &error))?;
        partitions.iter().map(|partition| self.told(&told, *partition)).collect()
    }

    async fn owners(&mut self, partitions: &[Partition]) -> Result<Vec<String>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let what = format!("owners in group {:?}", self.group);
        let mut config = self.settings.consumer_config();
        self.settings.add_properties(&mut config);
        config.set("group.id", &self.group).set("isolation.level", "read_uncommitted");
        let asking: BaseConsumer = config.create().map_err(|error| self.failed(&what, &error))?;
        let list = self.list(partitions.iter().copied())?;
        let told = asking.committed_offsets(list, self.settings.timeouts.request);
        let told = told.map_err(|error| self.failed(&what, &error))?;
        Ok(told.elements().iter().map(|at| at.metadata().to_owned()).collect())
    }

    async fn start(&mut self, positions: &[(Partition, Offset)]) -> Result<(), LogError> {
        let list = self.list_at(positions)?;
        self.client.incremental_assign(&list).map_err(|error| self.failed("taking partitions", &error))?;
        self.unanswered = None;
        self.started.extend(positions.iter().copied());
        if self.flow == Flow::Held {
            let list = self.list(positions.iter().map(|(partition, _)| *partition))?;
            self.client.pause(&list).map_err(|error| self.failed("holding partitions", &error))?;
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.unassign(partitions)?;
        self.unanswered = None;
        Ok(())
    }

    async fn seek(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        let Some(from) = self.started.get_mut(&partition) else { return Ok(()) };
        *from = offset;
        let what = format!("topic {:?} partition {} at offset {offset}", self.topic(partition), partition.number);
        let list = self.list_at(&[(partition, offset)])?;
        let sought = self.client.seek_partitions(list, self.settings.timeouts.request);
        let sought = sought.map_err(|error| self.failed(&what, &error))?;
        sought.elements().iter().try_for_each(|at| at.error()).map_err(|error| self.failed(&what, &error))
    }

    async fn hold(&mut self) -> Result<(), LogError> {
        self.flow = Flow::Held;
        self.client.context().ends.hold(true);
        let list = self.list(self.started.keys().copied())?;
        self.client.pause(&list).map_err(|error| self.failed("holding partitions", &error))
    }

    async fn go_on(&mut self) -> Result<(), LogError> {
        self.flow = Flow::Open;
        self.held.clear();
        self.client.context().ends.hold(false);
        let list = self.list(self.started.keys().copied())?;
        self.client.resume(&list).map_err(|error| self.failed("going on with partitions", &error))
    }

    async fn hold_only(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let ours = |partition: &Partition| self.started.contains_key(partition);
        let held: BTreeSet<Partition> = partitions.iter().copied().filter(ours).collect();
        let on: Vec<Partition> = self.held.difference(&held).copied().filter(ours).collect();
        let newly: Vec<Partition> = held.difference(&self.held).copied().collect();
        let (on, newly) = (self.list(on)?, self.list(newly)?);
        self.held = held;
        if on.count() > 0 {
            self.client.resume(&on).map_err(|error| self.failed("going on with partitions", &error))?;
        }
        if newly.count() > 0 {
            self.client.pause(&newly).map_err(|error| self.failed("holding partitions", &error))?;
        }
        Ok(())
    }

    fn new_ends(&mut self) -> Vec<(Partition, Offset)> {
        let mut ends = self.client.context().ends.take();
        ends.retain(|(partition, _)| self.started.contains_key(partition));
        ends
    }

    fn handed_over(&mut self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        // The library's own position is that of what it handed over: markers of transactions count, and a seek makes it forget.
        let told = self.client.position().map_err(|error| self.failed("positions", &error))?;
        let each = self.started.iter().map(|(partition, from)| {
            let position = position_in(&told, self.topic(*partition), partition.number)?;
            Ok((*partition, position.unwrap_or(*from)))
        });
        each.collect()
    }

    fn group(&self) -> KafkaGroup {
        KafkaGroup { member: self.client.group_metadata(), inputs: Arc::clone(&self.inputs) }
    }
}

impl KafkaConsumer {
    /// What the group has of one partition.
    fn told(&self, told: &TopicPartitionList, partition: Partition) -> Result<Option<Committed>, LogError> {
        let topic = self.topic(partition);
        let what = format!("position of group {:?} in topic {topic:?} partition {}", self.group, partition.number);
        let Some(at) = told.find_partition(topic, number(partition.number)?) else {
            return Err(LogError::Unavailable(format!("{what}: not told")));
        };
        at.error().map_err(|error| self.failed(&what, &error))?;
        Ok(match at.offset() {
            rdkafka::Offset::Offset(position) => Some(Committed { position, owner: at.metadata().to_owned() }),
            rdkafka::Offset::Invalid => None,
            other => {
                let heard = &self.client.context().heard;
                let what = format!("{what}: {other:?}");
                return Err(explain_code(&what, Code::InvalidArgument, heard, &self.settings.broker_list()));
            }
        })
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        // The client waits for an answer to what it asked before it leaves, and then asks for everything back.
        match self.unanswered.take() {
            Some(Unanswered::Assigned) => {
                let _ = self.client.incremental_assign(&TopicPartitionList::new());
            }
            Some(Unanswered::Revoked) => {
                let all: Vec<Partition> = self.started.keys().copied().collect();
                let _ = self.unassign(&all);
            }
            None => {}
        }
        self.client.context().is_leaving.store(true, Ordering::Relaxed);
    }
}

/// The place of a topic in the list of inputs.
fn place_of(inputs: &[String], last: u16, topic: &str) -> Result<u16, LogError> {
    if inputs.get(usize::from(last)).is_some_and(|input| input == topic) {
        return Ok(last);
    }
    let place = inputs.iter().position(|input| input == topic);
    place
        .and_then(|place| u16::try_from(place).ok())
        .ok_or_else(|| LogError::Refused(format!("topic {topic:?}: a message came though it is not read")))
}
