//! Passwords and the like.

pub use directory::Secret;
