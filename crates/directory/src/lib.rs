//! Accounts, endpoints, tariffs and bundles as reference data, validated as a whole, answered as of a time.
pub mod snapshot;
