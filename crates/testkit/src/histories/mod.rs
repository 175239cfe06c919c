//! Generated histories of accounts and endpoints, for any directory: SIMs that move, customers that move, plans that change, numbers that are
//! used again, endpoints that come and go; and what any of them is at any time, told naively.
//!
//! A [`World`] is a list of dated facts in the order in which they happen, and of versions, each of which knows some more of them. The
//! same list makes reference data (for the product) and is scanned from end to end (by [`naive`]).

pub mod memory;
pub mod naive;
pub mod suite;
mod world;

pub use world::{Fact, Field, Version, World};
