//! An independent oracle, generators, scenario runner and fault injection: never in the binary.

pub mod generator;
pub mod oracle;
