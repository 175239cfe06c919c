//! `rater directory` on a real Cassandra: the program as people start it, and writers that crash where only a library can stop.
#![cfg(feature = "store")]

mod changes;
mod crash;
mod hidden;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
#[cfg(feature = "store-tls")]
mod tls;
mod verify;
mod whole;
