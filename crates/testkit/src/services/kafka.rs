//! Apache Kafka: brokers that are their own controllers, one or several, on this machine.
//!
//! Settings differ from a broker's own in what makes tests quick (small internal topics, no delay of the first rebalance), in
//! what makes them honest (no topic comes to be by a spelling mistake) and in that nothing is deleted by age, since the
//! records of tests are as old as their authors like.

mod image;
mod secure;

pub use image::Place;
pub use secure::SecureListener;

use super::ServiceError;
use super::cache::{self, Jars};
use super::java;
use super::process::Process;
use super::run::Run;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long brokers may take until they answer. A tenth of it is usual; a loaded machine needs more.
const START_LIMIT: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const ASK_LIMIT: Duration = Duration::from_secs(2);
const EXISTING: &str = "RATER_TEST_KAFKA";
/// 16 bytes in base 64, as brokers want it.
const CLUSTER_ID: &str = "cmF0ZXItdGVzdC1rYWZrYQ";

const JARS: Jars = Jars {
    key: "kafka-4.1.1",
    artifacts: &[
        ("org.apache.kafka", "kafka_2.13", "4.1.1"),
        ("org.apache.kafka", "kafka-tools", "4.1.1"),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
        ("org.apache.logging.log4j", "log4j-core", "2.24.3"),
    ],
};

const LOGGING: &str = "\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
";

/// Who may use the listeners that want a password, and the password. The mechanism is PLAIN over SASL_PLAINTEXT.
pub const PASSWORD_USER: &str = "rater";
/// See [`PASSWORD_USER`].
pub const PASSWORD: &str = "only-for-tests";

/// A Kafka that answers: brokers of our own, which end with this value or with the test process, or an existing cluster.
pub struct Kafka {
    bootstrap: String,
    /// Empty for an existing cluster.
    brokers: Vec<Broker>,
}

/// One broker of a Kafka of our own.
pub struct Broker {
    id: u16,
    address: String,
    password_address: String,
    secure: Option<SecureListener>,
    /// The file of its properties.
    settings: PathBuf,
    java: Process,
}

/// What brokers listen on besides what all do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listeners {
    Usual,
    /// [`SecureListener`], too.
    Secure,
}

impl Kafka {
    /// One broker with replication 1, fresh; or the cluster that `RATER_TEST_KAFKA` names.
    ///
    /// # Errors
    /// Whatever keeps it from answering; see [`ServiceError`].
    pub fn start() -> Result<Self, ServiceError> {
        Self::cluster(1)
    }

    /// As many brokers, each also a controller. With three or more, topics have replication 3 and at least 2 in sync.
    ///
    /// # Errors
    /// As [`Self::start`]; and an existing cluster that has fewer brokers.
    pub fn cluster(brokers: u16) -> Result<Self, ServiceError> {
        if brokers == 0 {
            return Err(ServiceError::Refused("a cluster has at least one broker".to_owned()));
        }
        match std::env::var(EXISTING) {
            Ok(bootstrap) if !bootstrap.is_empty() => Self::existing(bootstrap, brokers),
            Ok(_) | Err(std::env::VarError::NotPresent) => Self::own(brokers, Listeners::Usual),
            Err(error) => Err(ServiceError::Refused(format!("{EXISTING}: {error}"))),
        }
    }

    /// One broker of our own, always, which has a [`SecureListener`] besides.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn secured() -> Result<Self, ServiceError> {
        Self::own(1, Listeners::Secure)
    }

    /// The one that all tests of this process share, started by the first that asks. Its topics are shared, too: name them by
    /// the test. Do not stop it.
    ///
    /// # Errors
    /// As [`Self::start`]; the same one for everybody.
    pub fn shared() -> Result<&'static Self, ServiceError> {
        static SHARED: OnceLock<Result<Kafka, ServiceError>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    fn existing(bootstrap: String, brokers: u16) -> Result<Self, ServiceError> {
        let kafka = Self { bootstrap, brokers: Vec::new() };
        let enough = |seen: &Metadata| seen.brokers().len() >= usize::from(brokers);
        wait_for(&kafka.bootstrap, &format!("{brokers} brokers of {EXISTING}={}", kafka.bootstrap), &[], enough)?;
        Ok(kafka)
    }

    fn own(brokers: u16, listeners: Listeners) -> Result<Self, ServiceError> {
        java::check_version()?;
        let cache = cache::folder()?;
        let jars = JARS.fetch(&cache)?;
        let run = Arc::new(Run::new(&cache, usize::from(brokers) * PORTS)?);
        // Each broker formats its data, which takes a second of a JVM.
        let brokers = thread::scope(|scope| {
            let making: Vec<_> = (0..brokers)
                .map(|index| {
                    let (run, jars) = (&run, &jars);
                    scope.spawn(move || Broker::new(run, jars, index, brokers, listeners))
                })
                .collect();
            let made =
                making.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            made.collect::<Result<Vec<Broker>, ServiceError>>()
        })?;
        let bootstrap = brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",");
        let kafka = Self { bootstrap, brokers };
        kafka.start_all()?;
        Ok(kafka)
    }

    /// Addresses of all brokers, as clients want them.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The brokers of our own; none of an existing cluster.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The log of the first broker.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster.
    pub fn log(&self) -> Result<&Path, ServiceError> {
        self.ours("show the log of").map(|brokers| brokers[0].log())
    }

    /// Makes a topic and waits until each of its partitions has a leader. `settings` are those of the topic.
    ///
    /// # Errors
    /// The topic is there, a setting is wrong, or the brokers do not answer.
    pub fn create_topic(&self, name: &str, partitions: u16, settings: &[(&str, &str)]) -> Result<(), ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("topic {name:?}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        // -1: as many replicas as the brokers give by themselves.
        let topic = NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(-1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let options = AdminOptions::new().operation_timeout(Some(START_LIMIT)).request_timeout(Some(START_LIMIT));
        let made = block_on(admin.create_topics([&topic], &options)).map_err(|error| refused(error.to_string()))?;
        for result in made {
            result.map_err(|(_, code)| refused(code.to_string()))?;
        }
        let led = |seen: &Metadata| {
            let mut topics = seen.topics().iter();
            topics.any(|topic| {
                topic.name() == name && topic.partitions().len() == usize::from(partitions) && has_leaders(topic)
            })
        };
        wait_for(&self.bootstrap, &format!("topic {name:?}"), &[], led)
    }

    /// Deletes a topic, and waits until nobody tells of it any more.
    ///
    /// # Errors
    /// It is not there, or the brokers do not answer.
    pub fn delete_topic(&self, name: &str) -> Result<(), ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("topic {name:?}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        let options = AdminOptions::new().operation_timeout(Some(START_LIMIT)).request_timeout(Some(START_LIMIT));
        let made = block_on(admin.delete_topics(&[name], &options)).map_err(|error| refused(error.to_string()))?;
        made.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| refused(code.to_string())))?;
        let is_gone = |seen: &Metadata| seen.topics().iter().all(|topic| topic.name() != name);
        wait_for(&self.bootstrap, &format!("topic {name:?} gone"), &[], is_gone)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// It has as many already, or the brokers do not answer.
    pub fn grow_topic(&self, name: &str, partitions: u16) -> Result<(), ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("topic {name:?}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        let options = AdminOptions::new().operation_timeout(Some(START_LIMIT)).request_timeout(Some(START_LIMIT));
        let more = NewPartitions::new(name, usize::from(partitions));
        let made = block_on(admin.create_partitions([&more], &options)).map_err(|error| refused(error.to_string()))?;
        for result in made {
            result.map_err(|(_, code)| refused(code.to_string()))?;
        }
        let led = |seen: &Metadata| {
            let mut topics = seen.topics().iter();
            topics.any(|topic| {
                topic.name() == name && topic.partitions().len() == usize::from(partitions) && has_leaders(topic)
            })
        };
        wait_for(&self.bootstrap, &format!("topic {name:?}"), &[], led)
    }

    /// Deletes the messages of a partition below an offset, as retention does.
    ///
    /// # Errors
    /// The offset is beyond the end, or the brokers do not answer.
    pub fn delete_records(&self, topic: &str, partition: u16, below: i64) -> Result<(), ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("topic {topic:?} partition {partition}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        let options = AdminOptions::new().operation_timeout(Some(START_LIMIT)).request_timeout(Some(START_LIMIT));
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, i32::from(partition), Offset::Offset(below));
        added.map_err(|error| refused(error.to_string()))?;
        let deleted = block_on(admin.delete_records(&list, &options)).map_err(|error| refused(error.to_string()))?;
        deleted.elements().iter().try_for_each(|at| at.error().map_err(|error| refused(error.to_string())))
    }

    /// Deletes a group with its positions, as the brokers do after idle days.
    ///
    /// # Errors
    /// Somebody is still in it, or the brokers do not answer.
    pub fn delete_group(&self, name: &str) -> Result<(), ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("group {name:?}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(START_LIMIT));
        let made = block_on(admin.delete_groups(&[name], &options)).map_err(|error| refused(error.to_string()))?;
        made.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| refused(code.to_string())))
    }

    /// All settings that hold for a topic.
    ///
    /// # Errors
    /// The topic is not there, or the brokers do not answer.
    pub fn topic_settings(&self, name: &str) -> Result<BTreeMap<String, String>, ServiceError> {
        let refused = |why: String| ServiceError::Refused(format!("settings of topic {name:?}: {why}"));
        let admin: AdminClient<_> = client(&self.bootstrap).create().map_err(|error| refused(error.to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(START_LIMIT));
        let told = block_on(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options));
        let told = told.map_err(|error| refused(error.to_string()))?.into_iter().next();
        let told = told.ok_or_else(|| refused("no answer".to_owned()))?.map_err(|code| refused(code.to_string()))?;
        Ok(told.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Ends all brokers in order and starts them again, on the same ports and data. Those that were stopped or killed start, too.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster; else as [`Self::start`].
    pub fn restart(&self) -> Result<(), ServiceError> {
        self.stop()?;
        self.start_all()
    }

    /// Ends all brokers in order. A broker that has lost its controllers to this does not end by itself and is killed after 15 s.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster.
    pub fn stop(&self) -> Result<(), ServiceError> {
        let brokers = self.ours("stop")?;
        brokers.iter().try_for_each(|broker| broker.java.ask_to_end())?;
        brokers.iter().try_for_each(|broker| broker.java.wait_for_end())
    }

    /// Kills all brokers by SIGKILL. Data that they gave to the operating system stays.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.ours("kill")?.iter().try_for_each(Broker::kill)
    }

    /// Freezes all brokers by SIGSTOP: connections stay, nothing is answered.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster; a broker does not run.
    pub fn pause(&self) -> Result<(), ServiceError> {
        self.ours("pause")?.iter().try_for_each(Broker::pause)
    }

    /// Lets frozen brokers go on.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing cluster; a broker does not run.
    pub fn resume(&self) -> Result<(), ServiceError> {
        self.ours("resume")?.iter().try_for_each(Broker::resume)
    }

    fn ours(&self, action: &str) -> Result<&[Broker], ServiceError> {
        if self.brokers.is_empty() {
            return Err(ServiceError::Refused(format!(
                "cannot {action} the existing cluster of {EXISTING}; run this test without that variable"
            )));
        }
        Ok(&self.brokers)
    }

    fn start_all(&self) -> Result<(), ServiceError> {
        let brokers = self.ours("start")?;
        brokers.iter().try_for_each(|broker| broker.java.start())?;
        let javas: Vec<&Process> = brokers.iter().map(|broker| &broker.java).collect();
        let ready =
            |seen: &Metadata| brokers.iter().all(|broker| broker.is_in(seen)) && seen.topics().iter().all(has_leaders);
        wait_for(&self.bootstrap, "kafka", &javas, ready)
    }
}

impl Broker {
    /// Configures and formats it; it does not run yet.
    fn new(run: &Arc<Run>, jars: &Path, index: u16, brokers: u16, listeners: Listeners) -> Result<Self, ServiceError> {
        let id = index + 1;
        let folder = run.folder().join(format!("broker-{id}"));
        let settings = folder.join("server.properties");
        let logging = folder.join("log4j2.properties");
        fs::create_dir_all(&folder).map_err(ServiceError::io(folder.display()))?;
        let at = |port: u16| format!("127.0.0.1:{port}");
        let secure = (listeners == Listeners::Secure)
            .then(|| SecureListener::new(&folder, at(secure_port(run, index))))
            .transpose()?;
        fs::write(&settings, server_properties(run, &folder, index, brokers, secure.as_ref()))
            .and_then(|()| fs::write(&logging, LOGGING))
            .map_err(ServiceError::io(folder.display()))?;
        let java = |heap: &str| {
            vec![
                format!("-Xmx{heap}"),
                format!("-Dlog4j2.configurationFile={}", logging.display()),
                "-cp".to_owned(),
                format!("{}/*", jars.display()),
            ]
        };
        let format = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"];
        let format = java("256m").into_iter().chain(format.map(str::to_owned)).chain([settings.display().to_string()]);
        let format = format.chain(secure.iter().flat_map(|_| SecureListener::users()));
        java::run_to_end("kafka's StorageTool", &folder, &format.collect::<Vec<_>>())?;
        let serve = java(if brokers == 1 { "1g" } else { "512m" }).into_iter();
        let serve = serve.chain(["kafka.Kafka".to_owned(), settings.display().to_string()]).collect();
        let java = java::process(format!("kafka broker {id}"), Arc::clone(run), folder, serve)?;
        let (address, password_address) = (at(client_port(run, index)), at(password_port(run, index)));
        Ok(Self { id, address, password_address, secure, settings, java })
    }

    /// From 1.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Host and port of the listener that wants [`PASSWORD_USER`] and [`PASSWORD`].
    pub fn password_address(&self) -> &str {
        &self.password_address
    }

    /// The listener with TLS, if it was asked for.
    pub fn secure(&self) -> Option<&SecureListener> {
        self.secure.as_ref()
    }

    /// The file of its log, which goes on over restarts. It vanishes with the Kafka.
    pub fn log(&self) -> &Path {
        self.java.log()
    }

    /// The id of its process, if it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.java.process_id()
    }

    /// Ends it in order, if it runs, and starts it again on the same port and data; waits until it answers.
    ///
    /// # Errors
    /// It ends by itself, or does not answer in time.
    pub fn restart(&self) -> Result<(), ServiceError> {
        self.stop()?;
        self.java.start()?;
        wait_for(&self.address, &format!("kafka broker {}", self.id), &[&self.java], |seen| self.is_in(seen))
    }

    /// Ends it in order: it hands over what it leads first. After 15 s it is killed.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn stop(&self) -> Result<(), ServiceError> {
        self.java.ask_to_end()?;
        self.java.wait_for_end()
    }

    /// Kills it by SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.java.kill()
    }

    /// Freezes it by SIGSTOP: connections stay, nothing is answered.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<(), ServiceError> {
        self.java.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<(), ServiceError> {
        self.java.signal(Signal::CONT)
    }

    fn is_in(&self, seen: &Metadata) -> bool {
        seen.brokers().iter().any(|broker| broker.id() == i32::from(self.id))
    }
}

/// Ports of one broker.
const PORTS: usize = 4;

fn client_port(run: &Run, index: u16) -> u16 {
    run.port(usize::from(index) * PORTS)
}

fn controller_port(run: &Run, index: u16) -> u16 {
    run.port(usize::from(index) * PORTS + 1)
}

fn password_port(run: &Run, index: u16) -> u16 {
    run.port(usize::from(index) * PORTS + 2)
}

fn secure_port(run: &Run, index: u16) -> u16 {
    run.port(usize::from(index) * PORTS + 3)
}

fn server_properties(run: &Run, folder: &Path, index: u16, brokers: u16, secure: Option<&SecureListener>) -> String {
    let voters: Vec<String> =
        (0..brokers).map(|other| format!("{}@127.0.0.1:{}", other + 1, controller_port(run, other))).collect();
    let (replicas, in_sync) = if brokers >= 3 { (3, 2) } else { (1, 1) };
    let data: PathBuf = folder.join("data");
    format!(
        "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller},PASSWORD://127.0.0.1:{password}{listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{client},PASSWORD://127.0.0.1:{password}{listener}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORD:SASL_PLAINTEXT,SECURE:SASL_SSL
{more}listener.name.password.sasl.enabled.mechanisms=PLAIN
listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}=\"{secret}\";
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
",
        id = index + 1,
        voters = voters.join(","),
        client = client_port(run, index),
        controller = controller_port(run, index),
        password = password_port(run, index),
        user = PASSWORD_USER,
        secret = PASSWORD,
        data = data.display(),
        listener = secure.map(SecureListener::listener).unwrap_or_default(),
        more = secure.map(SecureListener::properties).unwrap_or_default(),
    )
}

fn has_leaders(topic: &rdkafka::metadata::MetadataTopic) -> bool {
    topic.error().is_none()
        && topic.partitions().iter().all(|partition| partition.error().is_none() && partition.leader() >= 0)
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "250");
    config
}

/// Asks for metadata until they are as they should be, unless one of the processes ends.
fn wait_for(
    bootstrap: &str,
    what: &str,
    javas: &[&Process],
    ready: impl Fn(&Metadata) -> bool,
) -> Result<(), ServiceError> {
    let asking: BaseConsumer =
        client(bootstrap).create().map_err(|error| ServiceError::Refused(format!("{what}: {error}")))?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        javas.iter().try_for_each(|java| java.check())?;
        let seen = asking.fetch_metadata(None, ASK_LIMIT);
        if seen.as_ref().is_ok_and(&ready) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let said = seen.map_or_else(|error| error.to_string(), |seen| format!("{} brokers", seen.brokers().len()));
            let what = format!("{what}: not ready after {} s: {said}", START_LIMIT.as_secs());
            return Err(match javas.first() {
                Some(java) => ServiceError::failed(what, java.log()),
                None => ServiceError::Surroundings(what),
            });
        }
        thread::sleep(LOOK_AGAIN);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client, whose own thread brings it; a runtime would do no more.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
