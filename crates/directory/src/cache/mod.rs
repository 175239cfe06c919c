//! Endpoints of a store, cached; accounts and tariffs whole.

mod rows;

pub use rows::{CatalogChange, Changes, EndpointChanges, EndpointRow, Head, IdentityKey, Rows, StoreError, Version};
