//! One epoch: a head of the store, accounts and tariffs as of it, and the endpoints that were read so far.

use super::entries::Entries;
use super::numbered::Numbered;
use super::rows::Head;
use crate::snapshot::{Catalog, Endpoints, Snapshot};
use rating::Tariff;
use std::sync::Arc;

/// An epoch. What is in it never changes, but for the endpoints that are kept.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) head: Head,
    version: Arc<str>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) names: Arc<Names>,
    /// Shared with the epochs before and after, unless everything changed: whoever uses them makes sure that the epoch is the present one.
    pub(super) entries: Arc<Entries>,
}

/// What packed endpoints name by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Accounts, as positions in the catalog.
    pub(super) accounts: Numbered<u32>,
    pub(super) tariffs: Numbered<Arc<Tariff>>,
}

impl Names {
    /// With a catalog, after these.
    fn renewed(&self, catalog: &Catalog) -> Names {
        let accounts = catalog.accounts().iter().zip(0..).map(|(account, at)| (account.id.as_str(), at));
        let tariffs = catalog.tariffs().map(|(name, tariff)| (&**name, tariff.clone()));
        Names { accounts: self.accounts.renewed(accounts), tariffs: self.tariffs.renewed(tariffs) }
    }
}

impl Epoch {
    /// The first epoch, or one in which everything is new.
    pub(super) fn new(head: Head, catalog: Arc<Catalog>, entries: Entries) -> Epoch {
        let names = Arc::new(Names::default().renewed(&catalog));
        Epoch { version: version_of(&head), head, catalog, names, entries: Arc::new(entries) }
    }

    /// The next epoch, with another catalog if that changed; the endpoints that are kept remain.
    pub(super) fn next(&self, head: Head, catalog: Option<Arc<Catalog>>) -> Epoch {
        let (catalog, names) = match catalog {
            Some(catalog) => {
                let names = Arc::new(self.names.renewed(&catalog));
                (catalog, names)
            }
            None => (self.catalog.clone(), self.names.clone()),
        };
        Epoch { version: version_of(&head), head, catalog, names, entries: self.entries.clone() }
    }

    /// The snapshot of a batch.
    pub(super) fn snapshot(&self, endpoints: Endpoints) -> Snapshot {
        Snapshot::new(self.catalog.clone(), endpoints, self.version.clone())
    }
}

/// As charges name it; never what the hash of files could be.
fn version_of(head: &Head) -> Arc<str> {
    format!("v{}", head.version).into()
}
