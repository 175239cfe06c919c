//! Why a run stops.

use crate::engine::EngineError;
use crate::state::StoreError;
use crate::wire::InputError;
use directory::Unavailable;
use pipeline::ControlMismatch;
use std::fmt;
use std::path::PathBuf;

/// Why a run of the embedded runtime stops. Everything up to the last commit stands.
#[derive(Debug)]
pub enum RunError {
    /// A file cannot be read or written.
    File(PathBuf, std::io::Error),
    /// An input is not what its form says.
    Input(PathBuf, InputError),
    /// The form of an input cannot be told from its name.
    UnknownFormat(PathBuf),
    /// The folder holds outputs, but no state that explains them.
    OutputExists(PathBuf),
    /// An output is shorter than what was committed.
    OutputTouched(PathBuf),
    /// An output to which something was committed is gone.
    OutputMissing(PathBuf),
    /// The folder was begun with another output form.
    OtherFormat {
        /// The folder.
        folder: PathBuf,
        /// Its form.
        format: Box<str>,
    },
    /// An interrupted input has to be finished before another is begun.
    Unfinished(Box<str>),
    /// The state store.
    Store(StoreError),
    /// Record ids on the disk.
    Ids(std::io::Error),
    /// The directory cannot answer now.
    Directory(Unavailable),
    /// Control totals do not balance; nothing of the batch was committed.
    Control(ControlMismatch),
    /// The writing thread has stopped; its own error says why.
    WriterStopped,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::File(path, error) => write!(f, "{}: {error}", path.display()),
            RunError::Input(path, error) => write!(f, "{}: {error}", path.display()),
            RunError::UnknownFormat(path) => {
                write!(
                    f,
                    "{}: the form cannot be told from the name; .jsonl, .ndjson, .csv and .avro can",
                    path.display()
                )
            }
            RunError::OutputExists(path) => {
                write!(f, "{}: exists already and was not written by a run into this folder", path.display())
            }
            RunError::OutputTouched(path) => write!(f, "{}: is shorter than what was committed", path.display()),
            RunError::OutputMissing(path) => {
                write!(f, "{}: is missing; put it back, or rate into another folder", path.display())
            }
            RunError::OtherFormat { folder, format } => {
                write!(f, "{}: was begun with the output form {format}", folder.display())
            }
            RunError::Unfinished(name) => {
                write!(f, "\"{name}\" was interrupted and has to be finished first, unchanged")
            }
            RunError::Store(error) => error.fmt(f),
            RunError::Ids(error) => write!(f, "record ids: {error}"),
            RunError::Directory(error) => error.fmt(f),
            RunError::Control(mismatch) => mismatch.fmt(f),
            RunError::WriterStopped => f.write_str("the writing thread has stopped"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Store(error)
    }
}

impl From<EngineError> for RunError {
    fn from(error: EngineError) -> RunError {
        match error {
            EngineError::Control(mismatch) => RunError::Control(mismatch),
            EngineError::Ids(error) => RunError::Ids(error),
            EngineError::Directory(error) => RunError::Directory(error),
        }
    }
}

impl From<ControlMismatch> for RunError {
    fn from(mismatch: ControlMismatch) -> RunError {
        RunError::Control(mismatch)
    }
}
