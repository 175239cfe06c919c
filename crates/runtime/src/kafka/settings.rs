//! How a Kafka cluster is reached: brokers, security, time-outs, and properties for the client library.
//!
//! Nothing here is trusted before [`KafkaSettings::check`] has seen it; it names all mistakes at once. Passwords and the values of extra
//! properties are [`Secret`]: nothing prints them.

pub use crate::secret::Secret;

use super::fault::Served;
use super::properties::Verdict;
use crate::secret::without_credentials;
use crate::worker::log::LogError;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a cluster is reached.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port` of some of the brokers.
    pub brokers: Vec<String>,
    /// What the cluster's own logs and quotas call this program.
    pub client_id: String,
    /// How connections are secured.
    pub security: Security,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// More properties of librdkafka, by its names.
    pub properties: BTreeMap<String, Secret>,
    /// Shared by all clients of these settings, and by copies of them.
    pub(super) served: Served,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// An answer to a question (partitions, offsets), and the start of a producer.
    pub request: Duration,
    /// One call that commits, aborts or sends offsets, after which the same call is made again.
    pub commit: Duration,
    /// After this the cluster aborts a transaction by itself; until then readers of committed messages wait for it.
    pub transaction: Duration,
    /// A worker that is not heard of for this long loses its partitions.
    pub session: Duration,
    /// So does one that lives but asks for no messages for this long: it restores state, or hangs.
    pub absence: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            request: Duration::from_secs(10),
            commit: Duration::from_secs(10),
            transaction: Duration::from_secs(10),
            session: Duration::from_secs(10),
            absence: Duration::from_secs(300),
        }
    }
}

/// How connections are secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// `PLAINTEXT`: neither encrypted nor authenticated.
    Plaintext,
    /// `SSL`: encrypted.
    Tls(Tls),
    /// `SASL_PLAINTEXT`: authenticated, not encrypted.
    Sasl(Sasl),
    /// `SASL_SSL`: both.
    SaslTls(Sasl, Tls),
}

/// How the cluster proves that it is the one that is meant.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates of the authorities to trust, as PEM; the system's where none is given.
    pub ca_file: Option<PathBuf>,
}

/// How this program proves who it is.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// The way.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The file that it stands in: read again for each client, so that it can be changed under a process that runs.
    pub password_file: Option<PathBuf>,
}

impl Sasl {
    /// The password as of now; the one of the start while the file cannot be read.
    fn present_password(&self) -> Secret {
        let text = self.password_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let text = text.as_deref().map(|text| text.trim_end_matches(['\n', '\r'])).filter(|text| !text.is_empty());
        text.map_or_else(|| self.password.clone(), Secret::new)
    }
}

/// How a password is shown to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As it is.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 3] = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];

    /// As Kafka writes it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The one that Kafka writes so.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// What is wrong with settings; one line for each mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// Whether this program can do TLS, and with it SCRAM: both need OpenSSL, which is a choice when the program is built.
pub const HAS_TLS: bool = cfg!(feature = "kafka-tls");

impl KafkaSettings {
    /// Settings for brokers without security.
    pub fn new(brokers: impl IntoIterator<Item = String>) -> KafkaSettings {
        KafkaSettings {
            brokers: brokers.into_iter().collect(),
            client_id: "rater".to_owned(),
            security: Security::Plaintext,
            timeouts: Timeouts::default(),
            properties: BTreeMap::new(),
            served: Served::default(),
        }
    }

    /// The brokers as people and clients write them.
    pub fn broker_list(&self) -> String {
        self.brokers.join(",")
    }

    /// Finds all mistakes.
    ///
    /// # Errors
    /// One line for each mistake.
    pub fn check(&self) -> Result<(), SettingsError> {
        let mut mistakes = Vec::new();
        self.check_brokers(&mut mistakes);
        self.check_security(&mut mistakes);
        self.check_timeouts(&mut mistakes);
        for name in self.properties.keys() {
            let why = match Verdict::of(name) {
                Verdict::Refused(why) => Some(why),
                Verdict::Allowed | Verdict::Unlisted => self.unusable_property(name),
            };
            if let Some(why) = why {
                mistakes.push(format!("kafka: property {name:?} cannot be set: {why}"));
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(SettingsError(mistakes)) }
    }

    fn check_brokers(&self, mistakes: &mut Vec<String>) {
        if self.brokers.is_empty() {
            mistakes.push("kafka: no brokers".to_owned());
        }
        for broker in &self.brokers {
            let port = broker
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty() && !host.contains([',', '@']))
                .map(|at| at.1);
            if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                let shown = without_credentials(broker);
                mistakes.push(format!("kafka: broker {shown:?} is not of the form host:port"));
            }
        }
    }

    fn check_security(&self, mistakes: &mut Vec<String>) {
        let (sasl, tls) = self.security.parts();
        if tls.is_some() && !HAS_TLS {
            mistakes.push("kafka: this program was built without TLS: build it with the feature kafka-tls".to_owned());
        }
        if let Some(file) = tls.and_then(|tls| tls.ca_file.as_ref())
            && !file.is_file()
        {
            mistakes.push(format!("kafka: no certificates at {}", file.display()));
        }
        let Some(sasl) = sasl else { return };
        if sasl.mechanism != Mechanism::Plain && !HAS_TLS {
            mistakes.push(format!(
                "kafka: this program was built without {}, which needs OpenSSL: build it with the feature kafka-tls",
                sasl.mechanism.name()
            ));
        }
        if sasl.user.is_empty() || sasl.password.reveal().is_empty() {
            mistakes.push("kafka: user and password must not be empty".to_owned());
        }
    }

    fn check_timeouts(&self, mistakes: &mut Vec<String>) {
        let Timeouts { request, commit, transaction, session, absence } = self.timeouts;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
        let all = [
            ("request", request),
            ("commit", commit),
            ("transaction", transaction),
            ("session", session),
            ("absence", absence),
        ];
        for (name, time) in all {
            if time < second || time > day {
                mistakes.push(format!("kafka: time-out {name} is not between 1 s and one day"));
            }
        }
        if absence < session {
            mistakes.push("kafka: time-out absence is shorter than time-out session".to_owned());
        }
    }

    /// What is wrong with a property that is not refused by name. The library says values, too, which we do not.
    fn unusable_property(&self, name: &str) -> Option<&'static str> {
        let value = self.properties.get(name)?;
        match ClientConfig::new().set(name, value.reveal()).create_native_config() {
            Err(KafkaError::ClientConfig(rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                Some("there is no such property")
            }
            _ if Verdict::of(name) == Verdict::Unlisted => Some("it is none of those that docs/operating.md lists"),
            Err(_) => Some("its value is not allowed, or this program was built without what it needs"),
            Ok(_) => None,
        }
    }

    /// A client cannot be made of these settings: for good, or while somebody is changing files that it is made of.
    pub(super) fn unusable(&self, what: String) -> LogError {
        self.served.refusal(what)
    }

    /// What all clients have in common.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.broker_list())
            .set("client.id", &self.client_id)
            // Errors are told where they happen; lines of the library's own log are for its developers.
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true");
        let (sasl, tls) = self.security.parts();
        config.set("security.protocol", self.security.protocol());
        if let Some(sasl) = sasl {
            config
                .set("sasl.mechanism", sasl.mechanism.name())
                .set("sasl.username", &sasl.user)
                .set("sasl.password", sasl.present_password().reveal());
        }
        if let Some(tls) = tls {
            // As they are by default: nobody has to trust that a later library keeps it so.
            config
                .set("enable.ssl.certificate.verification", "true")
                .set("ssl.endpoint.identification.algorithm", "https");
            if let Some(file) = &tls.ca_file {
                config.set("ssl.ca.location", file.to_string_lossy());
            }
        }
        config
    }

    /// What all consumers have in common; those who only ask questions need it for the library's own checks.
    pub(super) fn consumer_config(&self) -> ClientConfig {
        let Timeouts { session, absence, .. } = self.timeouts;
        let mut config = self.client_config();
        config
            .set("session.timeout.ms", session.as_millis().to_string())
            .set("heartbeat.interval.ms", (session.as_millis() / 3).min(3000).to_string())
            .set("max.poll.interval.ms", absence.as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            // What is fetched ahead, for each partition: by the library's own default four times as much.
            .set("queued.max.messages.kbytes", "16384")
            .set("check.crcs", "true");
        config
    }

    /// Puts what the user wants over our defaults.
    pub(super) fn add_properties(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value.reveal());
        }
    }
}

impl Security {
    /// As Kafka calls it.
    pub fn protocol(&self) -> &'static str {
        match self {
            Security::Plaintext => "PLAINTEXT",
            Security::Tls(_) => "SSL",
            Security::Sasl(_) => "SASL_PLAINTEXT",
            Security::SaslTls(..) => "SASL_SSL",
        }
    }

    fn parts(&self) -> (Option<&Sasl>, Option<&Tls>) {
        match self {
            Security::Plaintext => (None, None),
            Security::Tls(tls) => (None, Some(tls)),
            Security::Sasl(sasl) => (Some(sasl), None),
            Security::SaslTls(sasl, tls) => (Some(sasl), Some(tls)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(change: impl FnOnce(&mut KafkaSettings)) -> Vec<String> {
        let mut settings = KafkaSettings::new(["127.0.0.1:9092".to_owned()]);
        change(&mut settings);
        settings.check().err().map(|error| error.0).unwrap_or_default()
    }

    #[test]
    fn each_mistake_is_named_once() {
        let none: [&str; 0] = [];
        assert_eq!(mistakes(|_| {}), none);
        assert_eq!(mistakes(|settings| settings.brokers.clear()), ["kafka: no brokers"]);
        for broker in ["host", "host:", ":1", "host:0", "host:70000", "a:1,b:2"] {
            assert_eq!(
                mistakes(|settings| settings.brokers = vec![broker.to_owned()]),
                [format!("kafka: broker {broker:?} is not of the form host:port")]
            );
        }
        assert_eq!(
            mistakes(|settings| {
                for name in ["linger.ms", "isolation.level", "no.such"] {
                    settings.properties.insert(name.to_owned(), Secret::new("1"));
                }
                settings.timeouts.commit = Duration::ZERO;
            }),
            [
                "kafka: time-out commit is not between 1 s and one day",
                "kafka: property \"isolation.level\" cannot be set: exactly-once processing depends on it",
                "kafka: property \"no.such\" cannot be set: there is no such property",
            ]
        );
    }

    #[test]
    fn whatever_would_weaken_a_connection_or_a_transaction_is_refused() {
        let refused = |name: &str, value: &str| {
            let found = mistakes(|settings| drop(settings.properties.insert(name.to_owned(), Secret::new(value))));
            assert_eq!(found.len(), 1, "{name}={value}");
            let start = format!("kafka: property {name:?} cannot be set: ");
            found.concat().strip_prefix(&start).expect("the name").to_owned()
        };
        for (name, value, why) in [
            ("ssl.endpoint.identification.algorithm", "none", "a cluster that is not verified may be anybody"),
            ("enable.ssl.certificate.verification", "false", "a cluster that is not verified may be anybody"),
            ("ssl.ca.pem", "x", "it has a setting of its own"),
            ("ssl.providers", "legacy", "this program loads no code"),
            ("plugin.library.paths", "/tmp/x.so", "this program loads no code"),
            ("sasl.kerberos.kinit.cmd", "touch x", "it runs a command, and the mechanisms are PLAIN and SCRAM"),
            ("sasl.oauthbearer.token.endpoint.url", "http://x", "the mechanisms are PLAIN and SCRAM"),
            ("isolation.level", "read_uncommitted", "exactly-once processing depends on it"),
            ("offset.store.path", "/tmp", "exactly-once processing depends on it"),
            ("test.mock.num.brokers", "3", "what is charged must come from a broker"),
            ("client.software.name", "x", "it is none of those that docs/operating.md lists"),
            // The library knows names in one case.
            ("SSL.Endpoint.Identification.Algorithm", "none", "there is no such property"),
            (" ssl.endpoint.identification.algorithm", "none", "there is no such property"),
            // It knows this one as another name of `acks`.
            ("topic.acks", "0", "it is none of those that docs/operating.md lists"),
        ] {
            assert_eq!(refused(name, value), why, "{name}");
        }
        for line in include_str!("../../../../tests/kafka-properties.txt").lines().skip(1) {
            match line.split_once(' ').expect("a verdict and a name") {
                ("allowed", _) => {}
                (_, name) => drop(refused(name, "1")),
            }
        }
    }

    #[test]
    #[cfg(feature = "kafka-tls")]
    fn who_is_asked_proves_to_be_who_is_meant() {
        let mut settings = KafkaSettings::new(["h:1".to_owned()]);
        settings.security = Security::Tls(Tls::default());
        let config = settings.client_config();
        assert_eq!(config.get("enable.ssl.certificate.verification"), Some("true"));
        assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("https"));
    }

    #[test]
    fn secrets_are_never_printed() {
        let (user, password) = ("u".to_owned(), Secret::new("hush-1"));
        let sasl = Sasl { mechanism: Mechanism::Plain, user, password, password_file: None };
        let mut settings = KafkaSettings::new(["h:1".to_owned()]);
        settings.security = Security::Sasl(sasl);
        settings.properties.insert("queue.buffering.max.ms".to_owned(), Secret::new("hush-2"));
        let error = settings.check().expect_err("no number");
        let texts =
            [format!("{settings:?} {settings:#?}"), error.to_string(), format!("{error:?} {}", Secret::new("hush-3"))];
        for text in texts {
            assert!(!text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn what_the_build_lacks_is_said() {
        let (user, password) = ("u".to_owned(), Secret::new("p"));
        let sasl = Sasl { mechanism: Mechanism::ScramSha512, user, password, password_file: None };
        let found = mistakes(|settings| settings.security = Security::SaslTls(sasl, Tls::default()));
        assert_eq!(
            found.iter().filter(|mistake| mistake.contains("built without")).count(),
            if HAS_TLS { 0 } else { 2 }
        );
    }
}
