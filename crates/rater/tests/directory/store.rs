//! A keyspace of one's own in the node that all tests of this binary share.

use crate::support::{Ran, rater, write};
use directory::Secret;
use directory::store::{Author, Settings, Store};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use testkit::services::{CASSANDRA_PASSWORD, CASSANDRA_USER, Cassandra};
use testkit::store::{damage, settings};

/// Zones, a tariff, a bundle, accounts and two endpoints.
pub(crate) const REFERENCE: &str = "\
format: rater/v1
zones: { uk: { networks: [234] } }
tariffs:
  retail:
    currency: GBP
    versions: [ { from: 2026-01-01T00:00:00Z, rates: [ { service: data, zone: root, price: 0.20/MB } ] } ]
  plus: { alias_of: retail, markup: { data: 0.05/MB } }
bundles:
  own: { currency: GBP, scope: endpoint, elements: [ { service: data, zone: uk, amount: 1 MB } ] }
accounts:
  northstar: { kind: operator, currency: GBP }
  beta: { kind: reseller, parent: northstar, currency: GBP, tariff: retail }
  acme: { kind: customer, parent: beta, currency: GBP, tariff: plus, bundles: [ { bundle: own, endpoint: meter-1 } ], properties: { ref: \"1: 2\" } }
  zeta: { kind: customer, parent: beta, currency: GBP, tariff: plus }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001, iccid: 8944000000000000001 }
  meter-2:
    customer: acme
    imsi: 001010000000002
    plan: { tariff: retail }
    changes: [ { from: 2026-06-01T00:00:00Z, customer: zeta, imsi: 001010000000003, plan: ~ } ]
";

/// The node.
pub(crate) fn cassandra() -> &'static Cassandra {
    static NODE: OnceLock<Cassandra> = OnceLock::new();
    NODE.get_or_init(|| Cassandra::start_with_password().expect("a node"))
}

/// A folder and a keyspace.
pub(crate) struct Directory {
    pub(crate) folder: tempfile::TempDir,
    keyspace: String,
}

impl Directory {
    /// Without tables.
    pub(crate) fn bare(name: &str) -> Directory {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "password", &format!("{CASSANDRA_PASSWORD}\n"));
        write(folder.path(), "rating.yaml", REFERENCE);
        Directory { folder, keyspace: name.to_owned() }
    }

    /// With tables, and nothing in them.
    pub(crate) fn empty(name: &str) -> Directory {
        let directory = Directory::bare(name);
        directory.migrate();
        directory
    }

    /// With [`REFERENCE`] in it, as version 1.
    pub(crate) fn loaded(name: &str) -> Directory {
        let directory = Directory::empty(name);
        directory.run(&["load"]).expect(0);
        directory
    }

    /// Makes the tables. The first user of a fresh node is made after it began to answer.
    pub(crate) fn migrate(&self) -> Ran {
        for _ in 0..50 {
            let ran = self.run(&["migrate", "--store-replication", "1"]);
            if ran.code == 0 || !ran.stderr.contains("refuses the credentials") {
                return ran.expect(0);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("the node refuses its own user");
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(self.path(), name, text);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_program(&[&["directory"][..], arguments].concat())
    }

    /// Any command that takes the options of a store.
    pub(crate) fn run_program(&self, arguments: &[&str]) -> Ran {
        let node = cassandra().address();
        let store = [
            "--store-nodes",
            node,
            "--store-keyspace",
            &self.keyspace,
            "--store-user",
            CASSANDRA_USER,
            "--store-password-file",
            "password",
            "--store-timeout",
            "2 s",
        ];
        rater(self.path(), &[arguments, &store].concat())
    }

    /// With other options of the store, or none.
    pub(crate) fn run_bare(&self, arguments: &[&str]) -> Ran {
        rater(self.path(), &[&["directory"], arguments].concat())
    }

    pub(crate) fn json(&self, arguments: &[&str], code: i32) -> serde_json::Value {
        self.run(&[arguments, &["--json"]].concat()).expect(code).json()
    }

    /// A definition changed, added or taken away by `apply --yes`.
    pub(crate) fn apply(&self, yaml: &str) -> Ran {
        self.write("change.yaml", &format!("format: rater/v1\n{yaml}\n"));
        self.run(&["apply", "change.yaml", "--yes"])
    }

    fn settings(&self) -> Settings {
        Settings {
            credentials: Some((CASSANDRA_USER.to_owned(), Secret::new(CASSANDRA_PASSWORD))),
            ..settings(cassandra().address(), &self.keyspace)
        }
    }

    /// Statements that no program of ours would run.
    pub(crate) fn damage(&self, statements: &[&str]) {
        block_on(damage(&self.settings(), statements));
    }

    /// The same store, as the library sees it.
    pub(crate) async fn connect(&self) -> Store {
        Store::connect(&self.settings()).await.expect("a store")
    }
}

/// A writer of a test.
pub(crate) fn author(name: &str) -> Author {
    Author { actor: name.to_owned(), process: format!("test of {name}"), note: String::new() }
}

/// Runs something that waits for the store.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
