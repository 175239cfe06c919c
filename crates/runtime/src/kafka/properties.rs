//! Which properties of the client library a user may set.
//!
//! Only what [`ALLOWED`] lists: sizes, times and addresses. A property that a later version of the library brings is refused until somebody
//! has read what it does. [`REFUSED`] says why for those that people know.

/// What a user may set: none of it weakens who is trusted, changes what is read or written, or has the library load or run something.
const ALLOWED: [&str; 59] = [
    // Connections.
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.rack",
    "connections.max.idle.ms",
    "enable.metrics.push",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "api.version.request.timeout.ms",
    "coordinator.query.interval.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
    // A certificate of ours, and those that authorities took back.
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    // Reading.
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    // Writing.
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "linger.ms",
    "message.copy.max.bytes",
    "message.max.bytes",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
];

/// What people know and may not set, and why. A name that ends with a dot stands for all that begin with it.
const REFUSED: [(&str, &str); 65] = [
    ("acks", EXACTLY_ONCE),
    ("api.version.fallback.ms", EXACTLY_ONCE),
    ("api.version.request", EXACTLY_ONCE),
    ("auto.commit.enable", EXACTLY_ONCE),
    ("auto.commit.interval.ms", EXACTLY_ONCE),
    ("auto.offset.reset", EXACTLY_ONCE),
    ("broker.version.fallback", EXACTLY_ONCE),
    ("check.crcs", "a message that was damaged on its way must not be rated"),
    ("delivery.report.only.error", EXACTLY_ONCE),
    ("delivery.timeout.ms", EXACTLY_ONCE),
    ("enable.auto.commit", EXACTLY_ONCE),
    ("enable.auto.offset.store", EXACTLY_ONCE),
    ("enable.gapless.guarantee", EXACTLY_ONCE),
    ("enable.idempotence", EXACTLY_ONCE),
    ("enable.partition.eof", EXACTLY_ONCE),
    ("enabled_events", EXACTLY_ONCE),
    ("group.instance.id", EXACTLY_ONCE),
    ("group.protocol", EXACTLY_ONCE),
    ("group.protocol.type", EXACTLY_ONCE),
    ("group.remote.assignor", EXACTLY_ONCE),
    ("internal.termination.signal", EXACTLY_ONCE),
    ("isolation.level", EXACTLY_ONCE),
    ("message.send.max.retries", EXACTLY_ONCE),
    ("message.timeout.ms", EXACTLY_ONCE),
    ("offset.store.", EXACTLY_ONCE),
    ("partition.assignment.strategy", EXACTLY_ONCE),
    ("queuing.strategy", EXACTLY_ONCE),
    ("request.required.acks", EXACTLY_ONCE),
    ("retries", EXACTLY_ONCE),
    ("transactional.id", EXACTLY_ONCE),
    ("partitioner", "the partition of a key must be the same everywhere"),
    ("statistics.interval.ms", "lag and readiness are measured by it"),
    ("allow.auto.create.topics", "topics are made by `rater topics apply`, with what each of them needs"),
    ("topic.blacklist", "a topic that is not read would be missed by nobody"),
    ("test.", "what is charged must come from a broker"),
    ("debug", NOT_SHOWN),
    ("log.", NOT_SHOWN),
    ("log_cb", NOT_SHOWN),
    ("log_level", NOT_SHOWN),
    ("bootstrap.servers", OWN_SETTING),
    ("metadata.broker.list", OWN_SETTING),
    ("client.id", OWN_SETTING),
    ("group.id", OWN_SETTING),
    ("heartbeat.interval.ms", OWN_SETTING),
    ("max.poll.interval.ms", OWN_SETTING),
    ("session.timeout.ms", OWN_SETTING),
    ("transaction.timeout.ms", OWN_SETTING),
    ("security.protocol", OWN_SETTING),
    ("sasl.mechanism", OWN_SETTING),
    ("sasl.mechanisms", OWN_SETTING),
    ("sasl.username", OWN_SETTING),
    ("sasl.password", OWN_SETTING),
    ("ssl.ca.", OWN_SETTING),
    ("enable.ssl.certificate.verification", VERIFIED),
    ("ssl.endpoint.identification.algorithm", VERIFIED),
    // There are suites without certificates, and levels that take any key.
    (
        "ssl.cipher.suites",
        "a weak cipher lets anybody be the cluster; OpenSSL's own configuration holds for all programs",
    ),
    (
        "ssl.curves.list",
        "a weak cipher lets anybody be the cluster; OpenSSL's own configuration holds for all programs",
    ),
    (
        "ssl.sigalgs.list",
        "a weak cipher lets anybody be the cluster; OpenSSL's own configuration holds for all programs",
    ),
    ("ssl.providers", LOADS_CODE),
    ("ssl.engine.", LOADS_CODE),
    ("plugin.library.paths", LOADS_CODE),
    ("sasl.kerberos.", "it runs a command, and the mechanisms are PLAIN and SCRAM"),
    ("sasl.oauthbearer.", NO_TOKENS),
    ("enable.sasl.oauthbearer.unsecure.jwt", NO_TOKENS),
    ("https.ca.", NO_TOKENS),
];

const EXACTLY_ONCE: &str = "exactly-once processing depends on it";
const OWN_SETTING: &str = "it has a setting of its own";
const VERIFIED: &str = "a cluster that is not verified may be anybody";
const LOADS_CODE: &str = "this program loads no code";
const NOT_SHOWN: &str = "the library's own log is not shown";
const NO_TOKENS: &str = "the mechanisms are PLAIN and SCRAM";

/// Whether a property may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Allowed,
    /// It may not, for a reason.
    Refused(&'static str),
    /// Neither list has it.
    Unlisted,
}

impl Verdict {
    /// Judges a property by its name, letter by letter: the library knows no other spelling.
    pub(super) fn of(name: &str) -> Verdict {
        if ALLOWED.contains(&name) {
            return Verdict::Allowed;
        }
        let is_meant =
            |(refused, _): &&(&str, _)| *refused == name || refused.ends_with('.') && name.starts_with(refused);
        REFUSED.iter().find(is_meant).map_or(Verdict::Unlisted, |(_, why)| Verdict::Refused(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name that the library knows, hidden ones too, and what becomes of it here.
    const LIBRARY: &str = include_str!("../../../../tests/kafka-properties.txt");

    #[test]
    fn every_property_of_the_library_is_judged() {
        let mut lines = LIBRARY.lines();
        let (_, version) = rdkafka::util::get_rdkafka_version();
        assert_eq!(lines.next(), Some(&*format!("librdkafka {version}")), "read what is new in its CONFIGURATION.md");
        let mut judged = 0;
        for line in lines {
            let (verdict, name) = line.split_once(' ').expect("a verdict and a name");
            let found = match Verdict::of(name) {
                Verdict::Allowed => "allowed",
                Verdict::Refused(_) => "refused",
                Verdict::Unlisted => "unlisted",
            };
            assert_eq!(found, verdict, "{name}");
            judged += 1;
        }
        assert_eq!(judged, 200);
        for (name, _) in REFUSED {
            assert!(LIBRARY.contains(&format!("refused {name}")), "{name}");
        }
        for name in ALLOWED {
            assert!(LIBRARY.lines().any(|line| line == format!("allowed {name}")), "{name}");
        }
    }
}
