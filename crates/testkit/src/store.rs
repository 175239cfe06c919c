//! The directory's store as tests and benches reach it: a keyspace of one node, without encryption.

use directory::store::{ConsistencyLevel, Security, SerialLevel, Settings};
use rating::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a keyspace of a node is reached that wants no password.
#[must_use]
pub fn settings(node: &str, keyspace: &str) -> Settings {
    Settings {
        nodes: vec![node.to_owned()],
        keyspace: keyspace.to_owned(),
        datacenter: None,
        credentials: None,
        security: Security::Plaintext,
        timeout: Duration::from_secs(2),
        consistency: ConsistencyLevel::LocalQuorum,
        serial: SerialLevel::LocalSerial,
    }
}

/// The time of the machine.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
