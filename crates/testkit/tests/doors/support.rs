//! A deployment whose doors are tried: messages of any kind written to any topic, and everything that came of them read back.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::{Input, InputKind};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};
use runtime::kafka::{KafkaLog, KafkaSettings};
use runtime::service::suspense;
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceSettings, TopicNames};
use runtime::stages::{Open, RecycleRequest};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};
use testkit::deployment::{self, Running, Shape};
use testkit::generator::Parameters;
use testkit::generator::stream::LineKind;
use testkit::load::{Form, Lines, Load};
use testkit::services::Kafka;
use testkit::verify::{Verification, verify};

pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Edges above `acme`: so many charges for each record.
pub(crate) const LEVELS: usize = 2;

pub(crate) struct Deployment {
    pub(crate) kafka: &'static Kafka,
    pub(crate) prefix: String,
    pub(crate) shape: Shape,
    pub(crate) window_h: Option<u32>,
    producer: ThreadedProducer<DefaultProducerContext>,
}

/// A message of an output: its fields by name.
pub(crate) struct Row(HashMap<String, Value>);

impl Row {
    fn value(&self, name: &str) -> Option<&Value> {
        match self.0.get(name)? {
            Value::Union(_, inner) => Some(inner),
            value => Some(value),
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        if let Some(Value::String(text)) = self.value(name) { text } else { "" }
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Long(number) | Value::TimestampMillis(number)) => Some(*number),
            Some(Value::Int(number)) => Some(i64::from(*number)),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        if let Some(Value::Bytes(bytes)) = self.value(name) { bytes } else { &[] }
    }

    /// Topic without the prefix, partition and offset.
    pub(crate) fn place(&self, prefix: &str) -> (String, i64, i64) {
        let topic = self.text("topic").trim_start_matches(prefix).to_owned();
        (topic, self.number("partition").unwrap_or(-1), self.number("offset").unwrap_or(-1))
    }
}

impl Deployment {
    pub(crate) fn new(name: &str, partitions: PartitionCounts, skip_intake: bool, window_h: Option<u32>) -> Deployment {
        let kafka = Kafka::shared().expect("a broker");
        let prefix = format!("{name}-{}-", std::process::id());
        let shape = Shape { partitions, skip_intake, workers: 1, batch: 100 };
        deployment::create_topics(kafka, &prefix, shape).expect("topics");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap()).set("message.max.bytes", "2000000");
        let producer = config.create().expect("a producer");
        Deployment { kafka, prefix, shape, window_h, producer }
    }

    pub(crate) fn start(&self, reference: &str) -> Running {
        self.start_with(reference, |settings| settings)
    }

    pub(crate) fn start_with(&self, reference: &str, with: impl Fn(ServiceSettings) -> ServiceSettings) -> Running {
        let settings = deployment::settings(self.kafka.bootstrap(), &self.prefix, self.shape);
        let settings = ServiceSettings { duplicate_window_h: self.window_h, ..settings };
        let input = Input { name: "rating.yaml".to_owned(), bytes: reference.into(), kind: InputKind::Yaml };
        let loaded = directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
        deployment::start_with(with(settings), &loaded)
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Writes messages, each to a partition, and waits until the broker has them.
    pub(crate) fn write<V: AsRef<[u8]>>(&self, topic: &str, messages: impl IntoIterator<Item = (u32, V)>) {
        let topic = self.topic(topic);
        for (partition, value) in messages {
            let partition = i32::try_from(partition).expect("small");
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(partition).payload(value.as_ref());
            while let Err((error, rejected)) = self.producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
                record = rejected;
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.producer.flush(LIMIT).expect("written");
    }

    pub(crate) fn tick(&self, at: &str) {
        self.write("ticks", [(0, format!(r#"{{"tick":"{at}"}}"#))]);
    }

    /// Committed messages of a topic: partition, offset, value.
    pub(crate) fn messages(&self, topic: &str) -> Vec<(u32, i64, Vec<u8>)> {
        let topic = self.topic(topic);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", "reader");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        config.set("fetch.wait.max.ms", "10").set("fetch.message.max.bytes", "10000000");
        let reader: BaseConsumer = config.create().expect("a consumer");
        let seen = reader.fetch_metadata(Some(&topic), LIMIT).expect("metadata");
        let mut list = TopicPartitionList::new();
        for partition in seen.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning).expect("a partition");
        }
        let (mut found, mut ended) = (Vec::new(), BTreeSet::new());
        reader.assign(&list).expect("assigned");
        while ended.len() < list.count() {
            match reader.poll(LIMIT).expect("an answer") {
                Ok(message) => {
                    let partition = u32::try_from(message.partition()).expect("a partition");
                    found.push((partition, message.offset(), message.payload().unwrap_or_default().to_vec()));
                }
                Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    /// The same, read by a contract.
    pub(crate) fn rows(&self, topic: &str) -> Vec<Row> {
        let text = match topic {
            "charges" => include_str!("../../../../schemas/charge.avsc"),
            "balance-deltas" => include_str!("../../../../schemas/balance-delta.avsc"),
            "suspense" => include_str!("../../../../schemas/suspense.avsc"),
            "command-replies" => include_str!("../../../../schemas/command-reply.avsc"),
            "life-events" => include_str!("../../../../schemas/life-event.avsc"),
            other => panic!("{other}"),
        };
        let schema = Schema::parse_str(text).expect("a schema");
        let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
        let read = |(_, _, message): (u32, i64, Vec<u8>)| {
            // In Confluent's framing or in single-object encoding.
            let frame = if message[0] == 0 { 5 } else { 10 };
            match reader.read_value(&mut &message[frame..]) {
                Ok(Value::Record(fields)) => Row(fields.into_iter().collect()),
                other => panic!("{other:?}"),
            }
        };
        self.messages(topic).into_iter().map(read).collect()
    }

    /// Ids of records that are charged, however often.
    pub(crate) fn charged_ids(&self) -> BTreeSet<String> {
        self.rows("charges").iter().map(|row| row.text("usage_id").to_owned()).collect()
    }

    pub(crate) fn charged(&self) -> Charged {
        let mut charged = Charged::default();
        for row in self.rows("charges").iter().filter(|row| !row.text("usage_id").is_empty()) {
            assert!(
                charged.ids.insert(row.text("charge_id").to_owned()),
                "a charge id twice: {}",
                row.text("usage_id")
            );
            *charged.by_leg.entry((row.text("usage_id").to_owned(), row.number("level"))).or_default() += 1;
        }
        charged
    }

    /// What waits, as recycling keeps it.
    pub(crate) fn open(&self) -> Vec<Open> {
        suspense::list(&self.log(), &TopicNames::new(&self.prefix)).expect("a list")
    }

    /// Asks for something to be tried again: these ids, or all.
    pub(crate) fn recycle(&self, ids: &[&str], late: bool) {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = RecycleRequest { ids, late, ..RecycleRequest::default() };
        suspense::recycle(&self.log(), &TopicNames::new(&self.prefix), &request).expect("asked");
    }

    fn log(&self) -> KafkaLog {
        KafkaLog::new(KafkaSettings::new([self.kafka.bootstrap().to_owned()])).expect("a log")
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, running: &Running, is_done: impl Fn(&Deployment) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_done(self) {
            let has_ended = running.has_ended();
            if has_ended || Instant::now() > deadline {
                let counts =
                    ["charges", "suspense", "command-replies"].map(|topic| (topic, self.messages(topic).len()));
                let reasons = self.reasons();
                panic!("{what}: {counts:?} {reasons:?}, ended: {has_ended}; {:#?}", running.reports());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Reasons in suspense, with the attempt, and how often.
    pub(crate) fn reasons(&self) -> BTreeMap<(String, i64), usize> {
        let mut reasons = BTreeMap::new();
        for row in self.rows("suspense") {
            *reasons.entry((row.text("reason").to_owned(), row.number("attempt").unwrap_or(-1))).or_default() += 1;
        }
        reasons
    }

    /// That an independent look at all topics finds nothing.
    #[track_caller]
    pub(crate) fn check(&self) {
        let report = self.verify();
        assert!(report.is_clean(), "{report}");
    }

    pub(crate) fn verify(&self) -> testkit::verify::Report {
        let mut what = Verification::new(self.kafka.bootstrap(), &self.prefix);
        what.layout.skip_intake = self.shape.skip_intake;
        what.wait = LIMIT;
        verify(&what, &mut |_| {}).expect("a report")
    }
}

#[derive(Default)]
pub(crate) struct Charged {
    pub(crate) ids: BTreeSet<String>,
    pub(crate) by_leg: BTreeMap<(String, Option<i64>), usize>,
}

impl Charged {
    /// That these records are charged, each once on each level, and nothing else.
    #[track_caller]
    pub(crate) fn check<'i>(&self, ids: impl IntoIterator<Item = &'i str>) {
        let expected: BTreeMap<&str, usize> = ids.into_iter().map(|id| (id, LEVELS)).collect();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for ((id, level), count) in &self.by_leg {
            assert_eq!(*count, 1, "{id} on level {level:?}");
            *found.entry(id).or_default() += 1;
        }
        assert_eq!(found, expected);
    }

    pub(crate) fn is_charged(&self, id: &str) -> bool {
        self.by_leg.keys().filter(|(known, _)| known == id).count() == LEVELS
    }
}

/// Lines as Avro: in single-object encoding, or in Confluent's framing by a registry.
pub(crate) fn avro(registry: Option<&str>, prefix: &str) -> Lines {
    let form = registry.map_or(Form::SingleObject, |url| Form::Confluent { registry: url.to_owned() });
    let load = Load {
        parameters: Parameters::traffic(1),
        form,
        usage: format!("{prefix}usage"),
        commands: Some(format!("{prefix}account-commands")),
        ticks: None,
        rate: None,
        copies_per_mille: 0,
        first: Vec::new(),
        extra: testkit::load::Extra::default(),
    };
    Lines::new(&load).expect("schemas")
}

pub(crate) const USAGE: LineKind = LineKind::Usage { is_copy: false };

pub(crate) fn usage(id: &str, imsi: &str, event_time: &str) -> String {
    format!(
        r#"{{"id":"{id}","source":"s","service":"data","quantity":1000000,"unit":"octets","event_time":"{event_time}","imsi":"{imsi}"}}"#
    )
}

/// A command to `acme`, of its reseller.
pub(crate) fn command(id: &str, kind: &str, more: &str) -> String {
    format!(
        r#"{{"command_id":"{id}","kind":"{kind}","account_id":"acme","issued_by":"alpha","effective_time":"2026-03-01T00:00:00Z"{more}}}"#
    )
}

/// What recycling would write of a message that waits; `more` are further fields.
pub(crate) fn retry((topic, partition, offset): (&str, u32, i64), reason: &str, original: &[u8], more: &str) -> String {
    let original = STANDARD.encode(original);
    format!(
        r#"{{"retry":{{"topic":"{topic}","partition":{partition},"offset":{offset},"attempt":1,"reason":"{reason}","level":null,"key":null,"original":"{original}"{more}}}}}"#
    )
}
