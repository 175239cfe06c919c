//! What can go wrong with a service, said so that the reader of a failed test knows what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Lines of a service's log that an error shows.
const TAIL_LINES: usize = 25;

/// Why a service is not there. Its debug form is its text, so that `expect` in a test prints it readably.
#[derive(Clone)]
pub enum ServiceError {
    /// A program of this machine that has to be installed first.
    Missing {
        /// Its name.
        program: &'static str,
        /// What was found, and what to do about it.
        advice: String,
    },
    /// The jars could not be fetched.
    Fetch {
        /// Which service.
        what: String,
        /// What Maven said.
        said: String,
    },
    /// The service ended, or did not answer in time.
    Failed {
        /// Which service, and how it failed.
        what: String,
        /// Its log, if it has one.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// What was asked for cannot be done with this service.
    Refused(String),
    /// The operating system refused something.
    Surroundings(String),
}

impl ServiceError {
    pub(super) fn failed(what: impl Into<String>, log: &Path) -> Self {
        Self::Failed { what: what.into(), log: log.to_owned(), tail: tail(log) }
    }

    /// For `map_err`: what was being done when the operating system refused.
    pub(super) fn io(doing: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Surroundings(format!("{doing}: {error}"))
    }
}

fn tail(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else { return "(no log)".to_owned() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, advice } => {
                write!(f, "{program} is needed for tests against real services: {advice}")
            }
            Self::Fetch { what, said } => write!(f, "{what}: jars cannot be fetched\n{said}"),
            Self::Failed { what, log, tail } => write!(f, "{what}; the last lines of {}:\n{tail}", log.display()),
            Self::Refused(what) | Self::Surroundings(what) => f.write_str(what),
        }
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ServiceError {}
