//! Passwords and the like.

pub use directory::Secret;
pub(crate) use directory::without_credentials;
