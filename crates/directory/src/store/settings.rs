//! How the store is reached.

use super::Error;
use crate::{Secret, without_credentials};
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::{Consistency, SerialConsistency};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the store is reached, and how long it is waited for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Some of the nodes, `host:port`.
    pub nodes: Vec<String>,
    /// Where the tables are.
    pub keyspace: String,
    /// Whose nodes are asked first; none: any.
    pub datacenter: Option<String>,
    /// User and password; none: the store wants none.
    pub credentials: Option<(String, Secret)>,
    /// Whether connections are encrypted.
    pub security: Security,
    /// How long one request may take.
    pub timeout: Duration,
    /// How many copies answer a read or a write.
    pub consistency: ConsistencyLevel,
    /// How far a change of the head has to be agreed on.
    pub serial: SerialLevel,
}

/// Whether connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// They are not.
    Plaintext,
    /// By TLS, trusting these authorities (PEM); none: those of the system.
    Tls(Option<PathBuf>),
}

/// How many copies answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsistencyLevel {
    /// Most of those in this data centre.
    LocalQuorum,
    /// Most of all.
    Quorum,
}

/// How far a condition is agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialLevel {
    /// In this data centre: all writers have to be there.
    LocalSerial,
    /// Everywhere.
    Serial,
}

impl ConsistencyLevel {
    pub(super) fn driver(self) -> Consistency {
        match self {
            ConsistencyLevel::LocalQuorum => Consistency::LocalQuorum,
            ConsistencyLevel::Quorum => Consistency::Quorum,
        }
    }
}

impl SerialLevel {
    fn driver(self) -> SerialConsistency {
        match self {
            SerialLevel::LocalSerial => SerialConsistency::LocalSerial,
            SerialLevel::Serial => SerialConsistency::Serial,
        }
    }

    /// For reads that see a change which is just being agreed on.
    pub(super) fn reading(self) -> Consistency {
        match self {
            SerialLevel::LocalSerial => Consistency::LocalSerial,
            SerialLevel::Serial => Consistency::Serial,
        }
    }
}

/// Which keyspace a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyspace {
    /// That of the settings.
    Ours,
    /// None: to make ours.
    None,
}

impl Settings {
    /// That the keyspace can be named in CQL without quotes.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other name.
    pub(super) fn check_keyspace(&self) -> Result<(), Error> {
        let name = &self.keyspace;
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts_well = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if starts_well && name.len() <= 48 && name.bytes().all(is_fine) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "keyspace \"{name}\": a name is a lower-case letter and at most 47 more, digits and underscores"
        )))
    }

    /// Refuses nodes that name a user: messages name nodes.
    fn check_nodes(&self) -> Result<(), Error> {
        match self.nodes.iter().find(|node| node.contains('@')) {
            Some(node) => Err(Error::Usage(format!(
                "node \"{}\" is not of the form host:port; give user and password apart",
                without_credentials(node)
            ))),
            None => Ok(()),
        }
    }

    /// A connection.
    pub(super) async fn connect(&self, keyspace: Keyspace) -> Result<Session, Error> {
        self.check_keyspace()?;
        self.check_nodes()?;
        let mut builder = SessionBuilder::new()
            .known_nodes(&self.nodes)
            .connection_timeout(self.timeout.max(Duration::from_secs(2)))
            // Of our keyspace only: which nodes have which rows.
            .keyspaces_to_fetch([&self.keyspace])
            .default_execution_profile_handle(self.profile());
        if let Some((user, password)) = &self.credentials {
            builder = builder.user(user, password.reveal());
        }
        if keyspace == Keyspace::Ours {
            builder = builder.use_keyspace(&self.keyspace, false);
        }
        let builder = self.secured(builder)?;
        builder.build().await.map_err(|error| self.named(Error::from(error)))
    }

    /// Says who does not answer.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::Unreachable(what) => Error::Unreachable(format!("{}: {what}", self.nodes.join(", "))),
            other => other,
        }
    }

    fn profile(&self) -> ExecutionProfileHandle {
        // A second copy is asked when the first takes a quarter of what there is: of idempotent requests only.
        let speculation = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: self.timeout / 4 };
        let mut profile = ExecutionProfile::builder()
            .request_timeout(Some(self.timeout))
            .consistency(self.consistency.driver())
            .serial_consistency(Some(self.serial.driver()))
            .speculative_execution_policy(Some(Arc::new(speculation)));
        if let Some(datacenter) = &self.datacenter {
            let policy = DefaultPolicy::builder().prefer_datacenter(datacenter.clone()).token_aware(true).build();
            profile = profile.load_balancing_policy(policy);
        }
        profile.build().into_handle()
    }

    #[cfg(feature = "store-tls")]
    fn secured(&self, builder: SessionBuilder) -> Result<SessionBuilder, Error> {
        use openssl::ssl::{SslConnector, SslMethod};
        use scylla::client::session::OpenSsl010Config;
        let Security::Tls(authorities) = &self.security else { return Ok(builder) };
        let wrong = |error: openssl::error::ErrorStack| Error::Usage(format!("TLS to the store: {error}"));
        let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(wrong)?;
        if let Some(path) = authorities {
            connector.set_ca_file(path).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
        }
        Ok(builder.tls_context(Some(OpenSsl010Config::new(connector))))
    }

    #[cfg(not(feature = "store-tls"))]
    fn secured(&self, builder: SessionBuilder) -> Result<SessionBuilder, Error> {
        match &self.security {
            Security::Plaintext => Ok(builder),
            Security::Tls(_) => Err(Error::Usage(
                "this program was built without TLS to the store: build it with the feature `store-tls`".to_owned(),
            )),
        }
    }
}
