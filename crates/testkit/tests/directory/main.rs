//! The directory: from files, and from a store by way of the cache.

mod cache;
mod damaged;
mod histories;
mod outage;
mod real;
mod support;
mod trouble;
mod walk;
