//! Generators, load, a simulated log, real services and their verification: never in the binary.

pub mod chaos;
pub mod compose;
pub mod deployment;
pub mod generator;
pub mod histories;
pub mod load;
pub mod reference;
pub mod registry;
pub mod samples;
pub mod services;
pub mod simulation;
pub mod stages;
pub mod store;
pub mod verify;
