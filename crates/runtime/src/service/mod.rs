//! The pipeline as a service on Kafka: which topics there are, and which workers run.
//!
//! | module | owns |
//! | --- | --- |
//! | `deployment` | what has to be known of a cluster before any worker begins |
//! | [`names`] | the topics of a deployment |
//! | [`plan`] | what has to be done to the topics of a cluster, and what nobody should do |
//! | `presence` | the name of the process, which no other has at the same time, and whether the cluster answers |
//! | [`rights`] | who needs which rights on a cluster |
//! | [`run`] | workers on threads, until they are told to stop |
//! | [`suspense`] | what waits: listing it, asking for it to be tried again |
//! | [`tail`] | messages of any topic, decoded, for people |
//! | [`topics`] | what topics have to be like |
//! | `ticker` | ticks, now and then, to the topic of ticks |
//! | [`watch`], `watched` | calls that may never return |

mod deployment;
pub mod names;
pub mod plan;
mod presence;
pub mod rights;
pub mod run;
pub mod suspense;
pub mod tail;
mod ticker;
pub mod topics;
pub mod watch;
mod watched;

pub use names::{StageName, TopicNames};
pub use run::{ServiceError, ServiceReport, ServiceSettings, WorkerReport, Workers};
