//! Wire formats and the runtimes that move batches and commit. What a tariff means is not known here.
//!
//! | module | owns |
//! | --- | --- |
//! | [`wire`] | Avro, JSON lines and CSV, in and out |
//! | [`engine`] | one batch through all steps, on several threads, in the order of the input |
//! | [`state`] | account state as bytes, and the local store |
//! | `private` | files and folders for their owner only |
//! | [`embedded`] | files in, files out, one commit after the other |
//! | `registry` | a schema registry's client (feature `registry`) |
//! | [`scenario`] | golden tables in Markdown |
//! | [`worker`] | a stage on a partitioned log, exactly once |
//! | `kafka` | Kafka below the worker (feature `kafka`) |
//! | `service` | the stages on Kafka: topics, workers, ticks (feature `kafka`) |
//! | `telemetry` | metrics, health and log events of a service (feature `kafka`) |
//! | [`session`] | the same in memory, for scenarios and quotes |
//! | [`explain`] | why an amount is what it is |
//! | [`summary`] | what was charged per level, payer and payee |

pub mod embedded;
pub mod engine;
pub mod explain;
pub mod grants;
#[cfg(feature = "kafka")]
pub mod kafka;
mod private;
#[cfg(feature = "registry")]
pub mod registry;
pub mod scenario;
#[cfg(feature = "registry")]
mod secret;
#[cfg(feature = "kafka")]
pub mod service;
pub mod session;
#[cfg(feature = "registry")]
pub mod stages;
pub mod state;
pub mod summary;
#[cfg(feature = "kafka")]
pub mod telemetry;
pub mod wire;
pub mod worker;
