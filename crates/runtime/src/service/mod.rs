//! The pipeline as a service on Kafka: which topics there are, and which workers run.
//!
//! | module | owns |
//! | --- | --- |
//! | [`names`] | the topics of a deployment |
//! | [`plan`] | what has to be done to the topics of a cluster, and what nobody should do |
//! | [`rights`] | who needs which rights on a cluster |
//! | [`run`] | workers on threads, until they are told to stop |
//! | [`suspense`] | what waits: listing it, asking for it to be tried again |
//! | [`tail`] | messages of any topic, decoded, for people |
//! | [`topics`] | what topics have to be like |
//! | `ticker` | ticks, now and then, to the topic of ticks |

pub mod names;
pub mod plan;
pub mod rights;
pub mod run;
pub mod suspense;
pub mod tail;
mod ticker;
pub mod topics;

pub use names::{StageName, TopicNames};
pub use run::{ServiceError, ServiceReport, ServiceSettings, WorkerReport, Workers};
