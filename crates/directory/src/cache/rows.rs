//! The rows that the cache reads from a store: rows of many versions, of which each epoch sees its own.
//!
//! A row carries the version that wrote it. Of the rows under one key and endpoint, the one with the greatest version that the epoch's
//! [`Head`] [holds](Head::holds) counts; one without a definition says that the endpoint is no longer found there. A store may delete
//! rows that newer ones replaced, as long as an epoch that would miss them can tell ([`StoreError::Superseded`]).

use crate::load::Input;
use crate::model::IdentityKind;
use crate::value::Digits;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Number of a change of the store; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version, distinguished from another one of the same number: a store that is restored goes over its numbers again.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edition {
    /// Its number.
    pub version: Version,
    /// Another one for other content.
    pub identity: Arc<str>,
}

/// The committed versions: those that an epoch sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Identity of the store: another one after it was made anew.
    pub store: Arc<str>,
    /// The newest committed version.
    pub version: Version,
    /// Identity of that version: another one for other content.
    pub identity: Arc<str>,
    /// Versions that were claimed and given up: their rows count for nobody, ever.
    pub aborted: Arc<BTreeSet<Version>>,
}

impl Head {
    /// Returns the newest committed version with its identity.
    pub fn edition(&self) -> Edition {
        Edition { version: self.version, identity: self.identity.clone() }
    }

    /// Returns true if rows of a version are seen.
    pub fn holds(&self, version: Version) -> bool {
        version <= self.version && !self.aborted.contains(&version)
    }
}

/// A key under which endpoints are looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKey {
    /// IMSI, ICCID or MSISDN.
    Identity(IdentityKind, Digits),
    /// The endpoint's name.
    Name(Box<str>),
}

/// The kind of such a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// An IMSI, an ICCID or an MSISDN.
    Identity(IdentityKind),
    /// A name.
    Name,
}

impl IdentityKey {
    /// Returns the kind of the key.
    pub fn kind(&self) -> KeyKind {
        match self {
            IdentityKey::Identity(kind, _) => KeyKind::Identity(*kind),
            IdentityKey::Name(_) => KeyKind::Name,
        }
    }
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityKey::Identity(kind, digits) => write!(f, "{} {digits}", kind.as_str()),
            IdentityKey::Name(name) => write!(f, "endpoint {name}"),
        }
    }
}

/// An endpoint over all time, as an epoch sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    /// Its name.
    pub endpoint: Box<str>,
    /// Its whole definition: one mapping in flow style, as under `endpoints:` in reference data. An error if none of its rows can be believed.
    pub definition: Result<Box<str>, Misnumbered>,
}

/// What is found under keys.
pub(super) type FoundRows = Vec<(IdentityKey, Vec<EndpointRow>)>;

/// The number of a row that no writer has written: below 1, or above every number that was ever claimed. Which row of that endpoint counts is not
/// known then, so that none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misnumbered(pub i64);

impl Misnumbered {
    /// Names the row, its owner and the way out.
    pub fn of(self, whose: &str, head: &Head) -> String {
        format!(
            "version {self} of {whose} in store@{}: no writer has this number; see rater directory verify",
            head.version
        )
    }
}

impl fmt::Display for Misnumbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The changes between two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Changes of zones, tariffs, bundles or accounts.
    pub catalog: CatalogChange,
    /// Keys under which endpoints changed.
    pub endpoints: EndpointChanges,
    /// The version up to which these are all changes; the rest takes a further question.
    pub until: Edition,
}

/// Change of zones, tariffs, bundles and accounts as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogChange {
    /// None of them.
    Same,
    /// Some: all are to be read again.
    Changed,
}

/// The keys under which endpoints changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointChanges {
    /// Under these keys: all that the endpoints had before or have after.
    Keys(Vec<IdentityKey>),
    /// In bulk, or longer ago than the store knows.
    Everything,
    /// The keys are not known, for this reason: anything may have changed.
    Unknown(String),
}

/// The reason for which a store does not answer. All of these are an outage to the cache: none means that an endpoint is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached, or not in time.
    Unavailable(String),
    /// It holds something that does not belong there.
    Corrupt(String),
    /// The epoch is so old that rows it needs may have been deleted: under a key there are none for it, but several newer ones.
    Superseded,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(what) => write!(f, "the directory's store does not answer: {what}"),
            StoreError::Corrupt(what) => write!(f, "the directory's store: {what}"),
            StoreError::Superseded => f.write_str("the directory's store has moved on beyond what is being read"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Number of parts in which a store is read as a whole: each of them is small where there are millions of endpoints.
pub const SCAN_PARTS: u32 = 512;

/// A store, as the cache reads it. Calls may run at the same time.
pub trait Rows: Send + Sync + 'static {
    /// Reads the newest committed version and those given up: one cheap row.
    ///
    /// # Errors
    /// See [`StoreError`], as for all of these.
    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Reads zones, tariffs, bundles and accounts as inputs of [`load`](crate::load()).
    fn catalog(&self, head: &Head) -> impl Future<Output = Result<Vec<Input>, StoreError>> + Send;

    /// Reads every endpoint that is found under a key at some time, once, for each key; none is an answer too. Keys are read concurrently.
    fn endpoints(
        &self,
        head: &Head,
        keys: &[IdentityKey],
    ) -> impl Future<Output = Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError>> + Send;

    /// Reads one part of all keys ([`SCAN_PARTS`]): those of these kinds under which endpoints are found, and every endpoint that is found
    /// there at some time.
    fn scan(
        &self,
        head: &Head,
        part: u32,
        kinds: &[KeyKind],
    ) -> impl Future<Output = Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError>> + Send;

    /// Reads the changes after a version, on the way to a head: as much as can be read in one step. They are unknown where the head does not follow that
    /// version, or where a part of the log is missing.
    fn changes(&self, after: &Edition, head: &Head) -> impl Future<Output = Result<Changes, StoreError>> + Send;
}
