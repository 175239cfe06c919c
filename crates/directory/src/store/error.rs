//! Why the store did not do what was asked, told apart by who has to act.

use crate::cache::{StoreError as ReadError, Version};
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError,
    NewSessionError, PrepareError, RequestAttemptError, UseKeyspaceError,
};
use std::fmt;

/// Why a request to the store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It cannot be reached, or not in time. Trying again may help.
    Unreachable(String),
    /// It refuses the user, the password or the right.
    Refused(String),
    /// It is reached, but not made for this program: no keyspace, no tables, or those of another version.
    Schema(String),
    /// What was asked cannot be: settings, or the state of the store.
    Usage(String),
    /// Somebody else is writing.
    Claimed {
        /// What they are writing.
        version: Version,
        /// Who says so.
        by: String,
        /// For how long they have not been heard of, in seconds.
        silent_s: i64,
    },
    /// Somebody else wrote since the plan was made. Nothing of ours counts; planning again is safe.
    Conflict(String),
    /// What was read is so old that rows of it have been deleted since. Reading again is safe.
    Superseded,
    /// It holds something that does not belong there.
    Corrupt(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(what) => write!(f, "no answer from the store: {what}"),
            Error::Refused(what) => write!(f, "the store refuses the credentials: {what}"),
            Error::Schema(what) | Error::Usage(what) | Error::Conflict(what) => f.write_str(what),
            Error::Superseded => f.write_str("the store has moved on while it was read; try again"),
            Error::Claimed { version, by, silent_s } => write!(
                f,
                "version {version} is being written by {by}, heard of {silent_s} s ago; try again when it is done, or give it up with --take-over"
            ),
            Error::Corrupt(what) => write!(f, "the store: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for ReadError {
    fn from(error: Error) -> ReadError {
        match error {
            Error::Corrupt(what) => ReadError::Corrupt(what),
            Error::Superseded => ReadError::Superseded,
            other => ReadError::Unavailable(other.to_string()),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        match error {
            ReadError::Corrupt(what) => Error::Corrupt(what),
            ReadError::Unavailable(what) => Error::Unreachable(what),
            ReadError::Superseded => Error::Superseded,
        }
    }
}

impl From<NewSessionError> for Error {
    fn from(error: NewSessionError) -> Error {
        match &error {
            NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool)) => of_pool(pool),
            NewSessionError::UseKeyspaceError(UseKeyspaceError::RequestError(attempt)) => match of_attempt(attempt) {
                Error::Schema(what) => Error::Schema(what),
                Error::Refused(what) => Error::Refused(what),
                _ => Error::Unreachable(error.to_string()),
            },
            _ => Error::Unreachable(error.to_string()),
        }
    }
}

impl From<ExecutionError> for Error {
    fn from(error: ExecutionError) -> Error {
        match &error {
            ExecutionError::LastAttemptError(attempt) => of_attempt(attempt),
            ExecutionError::ConnectionPoolError(pool) => of_pool(pool),
            ExecutionError::PrepareError(prepare) => Error::from(prepare.clone()),
            _ => Error::Unreachable(error.to_string()),
        }
    }
}

impl From<PrepareError> for Error {
    fn from(error: PrepareError) -> Error {
        match &error {
            PrepareError::AllAttemptsFailed { first_attempt } => of_attempt(first_attempt),
            PrepareError::ConnectionPoolError(pool) => of_pool(pool),
            _ => Error::Unreachable(error.to_string()),
        }
    }
}

fn of_pool(error: &ConnectionPoolError) -> Error {
    if let ConnectionPoolError::Broken { last_connection_error: ConnectionError::ConnectionSetupRequestError(setup) } =
        error
    {
        match setup.get_error() {
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError | DbError::Unauthorized, said) => {
                return Error::Refused(said.clone());
            }
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                return Error::Refused("it wants a user and a password".to_owned());
            }
            _ => {}
        }
    }
    Error::Unreachable(error.to_string())
}

fn of_attempt(error: &RequestAttemptError) -> Error {
    match error {
        RequestAttemptError::DbError(DbError::Unauthorized | DbError::AuthenticationError, said) => {
            Error::Refused(said.clone())
        }
        // An unknown keyspace or table.
        RequestAttemptError::DbError(DbError::Invalid, said) => Error::Schema(format!(
            "the store has no tables for this program ({said}): make them by rater directory migrate"
        )),
        other => Error::Unreachable(other.to_string()),
    }
}
