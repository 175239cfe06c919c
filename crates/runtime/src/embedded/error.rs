//! Why a run stops.

use super::guard;
use crate::engine::EngineError;
use crate::private::Exposure;
use crate::state::StoreError;
use crate::wire::InputError;
use directory::{CurrencyChanged, Unavailable};
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
    /// Somebody else may change the folder, or a file in it.
    Exposed(PathBuf, Exposure),
    /// The folder holds outputs, but no state that explains them.
    OutputExists(PathBuf),
    /// An output is shorter than what was committed.
    OutputTouched(PathBuf),
    /// What was committed of an output is no longer what it holds.
    OutputEdited(PathBuf),
    /// The state is one of before.
    StateOlder {
        /// The state.
        path: PathBuf,
        /// How many commits it has had.
        commits: u64,
        /// How many the folder has had.
        last: u64,
    },
    /// The state is of another folder.
    StateForeign(PathBuf),
    /// An output to which something was committed is gone.
    OutputMissing(PathBuf),
    /// The folder was begun with another output form.
    OtherFormat {
        /// The folder.
        folder: PathBuf,
        /// Its form.
        format: Box<str>,
    },
    /// Not a file and not a stream, and what it is.
    NotAnInput(PathBuf, &'static str),
    /// An interrupted input has to be finished before another is begun.
    Interrupted {
        /// Its name.
        name: Box<str>,
        /// Records rated.
        records: u64,
        /// Bytes rated; `None` in a folder of before, where the whole file has to be what it was.
        bytes: Option<u64>,
    },
    /// A stream begins like an interrupted input and then differs from what was rated of it.
    OtherContent {
        /// The name of the stream.
        input: Box<str>,
        /// The name of the interrupted input.
        name: Box<str>,
        /// Bytes rated of that.
        bytes: u64,
    },
    /// A file became shorter while it was read. What was read before is rated and committed.
    Shrunk {
        /// The file.
        path: PathBuf,
        /// Its size before.
        before: u64,
        /// Its size afterwards.
        now: u64,
        /// Bytes rated.
        taken: u64,
    },
    /// Reference data change the currency of an account that has state (rule 8).
    Currency(Box<CurrencyChanged>),
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

/// What to do about a folder whose parts do not belong together (docs/operating/folder.md).
const PUT_BACK: &str =
    "put back what the last run left, or the whole folder as of one moment, or rate into another folder";

impl RunError {
    /// The stable name of what is wrong with a folder; `None` where it is something else.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            RunError::Exposed(..) => Some("folder_exposed"),
            RunError::OutputExists(_) => Some("output_exists"),
            RunError::OutputTouched(_) => Some("output_cut"),
            RunError::OutputEdited(_) => Some("output_edited"),
            RunError::OutputMissing(_) => Some("output_missing"),
            RunError::OtherFormat { .. } => Some("output_format"),
            RunError::StateOlder { .. } => Some("state_older"),
            RunError::StateForeign(_) => Some("state_foreign"),
            RunError::File(..)
            | RunError::Input(..)
            | RunError::UnknownFormat(_)
            | RunError::NotAnInput(..)
            | RunError::Interrupted { .. }
            | RunError::OtherContent { .. }
            | RunError::Shrunk { .. }
            | RunError::Currency(_)
            | RunError::Store(_)
            | RunError::Ids(_)
            | RunError::Directory(_)
            | RunError::Control(_)
            | RunError::WriterStopped => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::File(path, error) => write!(f, "{}: {error}", path.display()),
            RunError::Input(path, error) => write!(f, "{}: {error}", path.display()),
            RunError::UnknownFormat(path) => {
                write!(
                    f,
                    "{}: the form cannot be told from the name; name it by --input-format (the endings .jsonl, .ndjson, .csv and .avro \
                     tell it)",
                    path.display()
                )
            }
            RunError::Exposed(path, exposure) => f.write_str(&guard::in_words(path, *exposure)),
            RunError::OutputExists(path) => {
                write!(f, "{}: exists already and was not written by a run into this folder", path.display())
            }
            RunError::OutputTouched(path) => {
                write!(f, "{}: is shorter than what was committed; {PUT_BACK}", path.display())
            }
            RunError::OutputEdited(path) => {
                write!(
                    f,
                    "{}: is not what was committed: it was edited, or is of another run; {PUT_BACK}",
                    path.display()
                )
            }
            RunError::StateOlder { path, commits, last } => write!(
                f,
                "{}: is an older copy, of commit {commits}, and the outputs are of commit {last}; {PUT_BACK}",
                path.display()
            ),
            RunError::StateForeign(path) => {
                write!(f, "{}: is not the state of these outputs; {PUT_BACK}", path.display())
            }
            RunError::OutputMissing(path) => {
                write!(f, "{}: is missing; {PUT_BACK}", path.display())
            }
            RunError::OtherFormat { folder, format } => {
                write!(f, "{}: was begun with the output form {format}", folder.display())
            }
            RunError::NotAnInput(path, what) => write!(f, "{}: {what}", path.display()),
            RunError::Interrupted { name, records, bytes } => {
                write!(f, "\"{name}\" was interrupted after {records} records and has to be finished first: ")?;
                match bytes {
                    Some(bytes) => write!(f, "give a file whose first {bytes} bytes are what was rated")?,
                    None => f.write_str("give the file unchanged")?,
                }
                f.write_str(", or leave it for later by --leave-interrupted")
            }
            RunError::OtherContent { input, name, bytes } => write!(
                f,
                "\"{input}\" begins like \"{name}\", which was interrupted, but differs within the first {bytes} bytes, which were rated; \
                 nothing of it is rated: give \"{name}\" as it was, or rate this one by --leave-interrupted"
            ),
            RunError::Shrunk { path, before, now, taken } => write!(
                f,
                "{}: became shorter while it was read ({before} bytes, then {now}); its first {taken} bytes are rated: give the whole file \
                 again, and the rest is rated",
                path.display()
            ),
            RunError::Currency(changed) => changed.fmt(f),
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
