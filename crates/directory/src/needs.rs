//! How a batch gets the one snapshot that it is guided by.
//!
//! Two directories stand behind it: files, whose snapshot is the whole of them and always the same, and a store, whose snapshot holds the
//! accounts of one epoch and the endpoints that the batch needs. The look-ups are the snapshot's, and so the same for both.

use crate::snapshot::{AccountTimeline, Grant, Snapshot};
use rating::{Command, CommandKind, Timestamp, UsageRecord};
use std::fmt;
use std::sync::Arc;

/// Gives each batch its snapshot.
pub trait Directory: fmt::Debug + Send + Sync {
    /// The snapshot of every batch, where there is only one: then nobody has to work out needs.
    fn whole(&self) -> Option<&Arc<Snapshot>>;

    /// The snapshot of a batch: of one epoch, with all endpoints that the batch can find.
    ///
    /// # Errors
    /// Not to be had now. What cannot be read is never taken for unknown.
    fn snapshot_for(&self, needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable>;

    /// What goes through its endpoints; `None` where the catalog has all that they grant.
    fn walk(&self) -> Option<&dyn Walk> {
        None
    }

    /// Returns whether a snapshot for these needs can be had without asking anybody.
    fn can_answer(&self, needs: &Needs<'_>) -> bool;
}

/// Goes through the endpoints of a directory that does not hold them whole, for what no record asks about.
pub trait Walk {
    /// In how many parts all endpoints can be gone through.
    fn parts(&self) -> u32;

    /// Reads what concerns the accounts of a part's endpoints, whenever it holds.
    ///
    /// # Errors
    /// Not to be had now.
    fn of_part(&self, part: u32) -> Result<SaidOfEndpoints, Unavailable>;

    /// The same of endpoints by their names; of one that there is not, nothing.
    ///
    /// # Errors
    /// Not to be had now.
    fn of_endpoints(&self, endpoints: &[Box<str>]) -> Result<SaidOfEndpoints, Unavailable>;

    /// The endpoints that changed since this was asked last; at first, anything may have. It is for one who asks.
    fn take_changed(&self) -> Changed;
}

/// Grants and timelines of the accounts of endpoints, whether a record comes or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidOfEndpoints {
    /// The bundles that their plans grant.
    pub grants: Vec<Grant>,
    /// Their accounts over time.
    pub timelines: Vec<AccountTimeline>,
}

/// Endpoints that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These, by name.
    These(Vec<Box<str>>),
    /// It is not known which.
    Anything,
}

/// A directory cannot answer now; asking again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// What a batch looks up: identities with their event times, and names of endpoints.
#[derive(Clone, Debug, Default)]
pub struct Needs<'n> {
    /// Records: their identities as of the event time.
    records: Vec<&'n UsageRecord>,
    /// Names of endpoints, at any time.
    endpoints: Vec<&'n str>,
}

impl<'n> Needs<'n> {
    /// Adds what guiding a record looks up.
    pub fn add_record(&mut self, record: &'n UsageRecord) {
        self.records.push(record);
    }

    /// Adds what guiding a command looks up: the endpoint of an endpoint account, and the endpoint of a bundle.
    pub fn add_command(&mut self, command: &'n Command) {
        self.add_account(command.account_id.as_str());
        if let CommandKind::BuyBundle { endpoint: Some(endpoint), .. } = &command.kind {
            self.add_endpoint(endpoint);
        }
    }

    /// Adds an account: that of an endpoint is found by its endpoint.
    pub fn add_account(&mut self, account: &'n str) {
        self.endpoints.extend(endpoint_of_account(account));
    }

    /// Adds the name of an endpoint.
    pub fn add_endpoint(&mut self, endpoint: &'n str) {
        self.endpoints.push(endpoint);
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = RecordNeeds<'n>> {
        self.records.iter().map(|record| RecordNeeds::of(record))
    }

    /// The names of endpoints.
    pub fn endpoints(&self) -> &[&'n str] {
        &self.endpoints
    }

    /// How many records and names there are.
    pub fn len(&self) -> usize {
        self.records.len() + self.endpoints.len()
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one record looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordNeeds<'n> {
    /// IMSI, ICCID and MSISDN, in the order of [`IdentityKind`](crate::model::IdentityKind).
    pub identities: [Option<&'n str>; 3],
    /// Name of the endpoint; of its account's, if the record names nothing else (detail o).
    pub endpoint: Option<&'n str>,
    /// As of when.
    pub at: Timestamp,
}

impl<'n> RecordNeeds<'n> {
    pub(crate) fn of(record: &'n UsageRecord) -> RecordNeeds<'n> {
        let identities = [record.imsi.as_deref(), record.iccid.as_deref(), record.msisdn.as_deref()];
        let mut endpoint = record.endpoint_id.as_deref();
        if endpoint.is_none() && identities.iter().all(Option::is_none) {
            endpoint = record.account_id.as_deref().and_then(endpoint_of_account);
        }
        RecordNeeds { identities, endpoint, at: record.event_time }
    }
}

/// The endpoint whose account `customer/endpoint` is.
fn endpoint_of_account(account: &str) -> Option<&str> {
    account.split_once('/').map(|(_, endpoint)| endpoint)
}

/// A directory that is whole: reference data from files.
#[derive(Clone, Debug)]
pub struct Whole(pub Arc<Snapshot>);

impl Directory for Whole {
    fn whole(&self) -> Option<&Arc<Snapshot>> {
        Some(&self.0)
    }

    fn snapshot_for(&self, _needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable> {
        Ok(self.0.clone())
    }

    fn can_answer(&self, _needs: &Needs<'_>) -> bool {
        true
    }
}
