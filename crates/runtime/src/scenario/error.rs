//! What is wrong with a scenario file as a text.

use std::fmt;

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioErrors {
    /// Name of the file.
    pub name: String,
    /// In the order of lines.
    pub errors: Vec<ScenarioError>,
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{error}", self.name)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {}

/// Collects errors while reading goes on.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ScenarioError>);

impl Faults {
    pub(super) fn add(&mut self, line: usize, column: usize, message: impl Into<String>) {
        self.0.push(ScenarioError { line, column, message: message.into() });
    }

    pub(super) fn into_sorted(mut self) -> Vec<ScenarioError> {
        self.0.sort_by_key(|error| (error.line, error.column));
        self.0
    }
}
