//! Real services for tests, without containers: Apache Kafka and Apache Cassandra from jars that Maven fetches, run by the Java of
//! this machine; Prometheus from Debian; and PostgreSQL's own programs, which Maven fetches as well.
//!
//! Owns: fetching once into a cache outside the source tree, folders and ports that two test processes never share, starting,
//! stopping, killing and freezing, and that nothing outlives the test process, however that ends. Configuration is what a
//! service needs to start quickly on this machine; what a test needs beyond it (topics) the test makes.
//!
//! It does not simulate: there is no broker of our own here, and a missing Java or Maven is an error and never a skipped test.
//!
//! | file | owns |
//! | --- | --- |
//! | `cache` | the folder of everything, its locks, the jars |
//! | `run` | the folder and the ports of one running service, and who cleans up after it |
//! | `process` | one process: start, signals, end |
//! | `java` | the Java of this machine |
//! | `kafka` | brokers and clusters |
//! | `cassandra` | one node |
//! | `certificate` | certificates for listeners with TLS |
//! | `postgres` | one PostgreSQL server |
//! | `python` | an environment of Python with the packages of other clients |
//! | `prometheus` | a server, and promtool |
//!
//! | variable | meaning |
//! | --- | --- |
//! | `RATER_SERVICES_DIR` | where jars and running services are kept; else `$XDG_CACHE_HOME/rater-services`, else `~/.cache/rater-services` |
//! | `RATER_TEST_KAFKA` | `host:port[,host:port]` of a cluster to use in place of one of our own |
//! | `RATER_TEST_CASSANDRA` | the same for Cassandra: `host:port` of CQL |
//! | `RATER_TEST_PROMETHEUS` | a folder with `prometheus` and `promtool`, in place of those in PATH or of Debian |
//! | `RATER_TEST_POSTGRES` | the same for PostgreSQL: `postgresql://user:password@host:port/database` of a superuser |

mod cache;
mod cassandra;
mod certificate;
mod error;
mod java;
mod kafka;
mod postgres;
mod process;
mod prometheus;
mod python;
mod run;

pub use cache::folder;
pub use cassandra::{CASSANDRA_PASSWORD, CASSANDRA_USER, Cassandra};
pub use certificate::Flaw;
pub use error::ServiceError;
pub use kafka::{Broker, Kafka, PASSWORD, PASSWORD_USER, Place, SecureListener};
pub use postgres::Postgres;
pub use prometheus::{Prometheus, promtool};
pub use python::Python;
