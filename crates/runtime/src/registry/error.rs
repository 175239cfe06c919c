//! What a registry may answer instead of what was asked for.

use std::fmt;

/// Why a request to the registry failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// There is no such subject (40401).
    SubjectUnknown,
    /// The subject has no such version (40402).
    VersionUnknown,
    /// There is no schema of this id, or the subject does not have this schema (40403).
    SchemaUnknown,
    /// The subject has no compatibility of its own (40408).
    NotConfigured,
    /// The schema is not compatible with an earlier version (409).
    Incompatible(String),
    /// The registry cannot parse the schema (42201).
    InvalidSchema(String),
    /// Any other refusal: wrong credentials, a mode in which nothing is written.
    Refused {
        /// Status of the HTTP answer.
        status: u16,
        /// Code of the registry, where it gave one.
        code: Option<u32>,
        /// What it said.
        message: String,
    },
    /// No answer, or none but passing troubles (5xx, 429), however often it was asked.
    Unreachable {
        /// How often it was asked.
        attempts: u32,
        /// The last trouble.
        cause: String,
    },
    /// An answer that no registry gives.
    Garbled(String),
    /// An answer of more bytes than this, of which the rest was not read.
    TooLong(u64),
    /// The configuration.
    Config(String),
}

impl RegistryError {
    /// Whether the same request may succeed later without anybody doing something.
    pub fn is_transient(&self) -> bool {
        match self {
            RegistryError::Unreachable { .. } => true,
            RegistryError::SubjectUnknown
            | RegistryError::VersionUnknown
            | RegistryError::SchemaUnknown
            | RegistryError::NotConfigured
            | RegistryError::Incompatible(_)
            | RegistryError::InvalidSchema(_)
            | RegistryError::Refused { .. }
            | RegistryError::Garbled(_)
            | RegistryError::TooLong(_)
            | RegistryError::Config(_) => false,
        }
    }

    /// The error of an answer that is neither a success nor passing.
    pub(super) fn of_answer(status: u16, code: Option<u32>, message: String) -> RegistryError {
        match (status, code) {
            (404, Some(40401)) => RegistryError::SubjectUnknown,
            (404, Some(40402)) => RegistryError::VersionUnknown,
            (404, Some(40403)) => RegistryError::SchemaUnknown,
            (404, Some(40408)) => RegistryError::NotConfigured,
            (409, _) => RegistryError::Incompatible(message),
            (422, Some(42201)) => RegistryError::InvalidSchema(message),
            (status, code) => RegistryError::Refused { status, code, message },
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::SubjectUnknown => f.write_str("the subject is unknown"),
            RegistryError::VersionUnknown => f.write_str("the version is unknown"),
            RegistryError::SchemaUnknown => f.write_str("the schema is unknown"),
            RegistryError::NotConfigured => f.write_str("the subject has no compatibility of its own"),
            RegistryError::Incompatible(what) => write!(f, "the schema is incompatible with an earlier one: {what}"),
            RegistryError::InvalidSchema(what) => write!(f, "the registry cannot parse the schema: {what}"),
            RegistryError::Refused { status, code: Some(code), message } => {
                write!(f, "the registry refused: {status}, code {code}: {message}")
            }
            RegistryError::Refused { status, code: None, message } => {
                write!(f, "the registry refused: {status}: {message}")
            }
            RegistryError::Unreachable { attempts, cause } => {
                write!(f, "the registry is unreachable after {attempts} attempts: {cause}")
            }
            RegistryError::Garbled(what) => write!(f, "the registry's answer cannot be read: {what}"),
            RegistryError::TooLong(limit) => write!(f, "the registry's answer is longer than {limit} bytes"),
            RegistryError::Config(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for RegistryError {}
