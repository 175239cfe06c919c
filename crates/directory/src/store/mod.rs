//! The directory in a store that speaks CQL: Scylla in production, Apache Cassandra in tests.
//!
//! Many versions under one lock. Every row carries the version that wrote it; the one row of `head` says which version is committed, which
//! ones were given up, and who is writing the next one. A version is seen iff it is not newer than the head and not given up, so that rows
//! of a writer that crashed, or comes back late, count for nobody, and two writers never mix.
//!
//! | file | owns |
//! | --- | --- |
//! | `settings` | how the store is reached |
//! | `error` | why it did not do what was asked |
//! | `migrations`, `cql/` | the tables |
//! | `statements`, `query` | prepared statements; pages, concurrency |
//! | `head`, `identity` | the lock; what tells a version from another one of its number |
//! | `rows` | reading as of a head; what the cache reads through |
//! | `write` | one version: rows, change log, commit |
//! | `definition`, `endpoint_text` | definitions as text |
//! | `change`, `timeline` | what differs between two directories, and from when |
//! | `plan` | a change planned and validated before anything is written |
//! | `load`, `dump` | whole directories |
//! | `get` | one endpoint at a moment |
//! | `verify`, `copies` | every row compared with its copies, and mended |
//! | `log` | what was written, when and by whom |
//!
//! Deliberately keeps no state between calls (that is the cache's), decides nothing about prices, and validates by
//! [`load`](crate::load()) and nothing else.

mod change;
mod copies;
mod definition;
mod dump;
mod endpoint_text;
mod error;
mod get;
mod head;
mod identity;
mod load;
mod log;
mod migrations;
mod plan;
mod query;
mod rows;
mod settings;
mod statements;
mod timeline;
mod verify;
mod write;

pub use change::{Change, Effect, LEAD_MS, What};
pub use copies::Difference;
pub use definition::{Definition, Kind, file_of};
pub use dump::{Contents, Csv};
pub use endpoint_text::endpoint_text;
pub use error::Error;
pub use get::{Found, FoundEdge, parse_key};
pub use head::{Claim, HeadRow, TakeOver};
pub use load::{Loading, Replace};
pub use log::{LoggedChange, WrittenVersion};
pub use migrations::{Migrated, Replication, migrate};
pub use plan::{Plan, PlanError, Removal};
pub use settings::{ConsistencyLevel, Security, SerialLevel, Settings};
pub use verify::Verified;
pub use write::{Author, Writer};

use rating::Timestamp;
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;
use settings::Keyspace;
use statements::Statements;
use std::sync::Arc;

/// A connection to the store, ready to be used. Cheap to copy.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    session: Session,
    statements: Statements,
}

impl Store {
    /// Connects, and looks whether the tables are those of this program.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Refused`], or [`Error::Schema`] where `rater directory migrate` has to run first.
    pub async fn connect(settings: &Settings) -> Result<Store, Error> {
        let session = settings.connect(Keyspace::Ours).await?;
        migrations::check(&session).await?;
        let statements = Statements::prepare(&session, settings).await?;
        Ok(Store { inner: Arc::new(Inner { session, statements }) })
    }

    fn session(&self) -> &Session {
        &self.inner.session
    }

    fn statements(&self) -> &Statements {
        &self.inner.statements
    }

    /// Returns the time by the store's clock: those of writers may be wrong, and what is retroactive must not depend on whose program writes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clock(&self) -> Result<Timestamp, Error> {
        let rows: Vec<(CqlTimestamp,)> = self.rows(&self.statements().clock, ()).await?;
        let (now,) = rows.into_iter().next().ok_or_else(head::no_head)?;
        Ok(Timestamp::from_millis(now.0))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
