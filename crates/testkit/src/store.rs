//! The directory's store as tests and benches reach it: a keyspace of one node, without encryption.

use directory::store::{ConsistencyLevel, Security, SerialLevel, Settings};
use rating::Timestamp;
use scylla::client::session_builder::SessionBuilder;
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

/// Runs statements that no program of ours would, as somebody with `cqlsh` does.
///
/// # Panics
/// The store does not take one of them.
pub async fn damage(settings: &Settings, statements: &[&str]) {
    let mut builder = SessionBuilder::new().known_nodes(&settings.nodes).use_keyspace(&settings.keyspace, false);
    if let Some((user, password)) = &settings.credentials {
        builder = builder.user(user, password.reveal());
    }
    let session = builder.build().await.expect("a session");
    for statement in statements {
        session.query_unpaged(*statement, ()).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
