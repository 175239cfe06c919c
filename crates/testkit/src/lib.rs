//! An independent oracle, generators, real services for tests: never in the binary.

pub mod generator;
pub mod oracle;
pub mod registry;
pub mod services;
