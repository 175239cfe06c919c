//! A client of a schema registry with Confluent's interface.
//!
//! | module | owns |
//! | --- | --- |
//! | `config` | where it is, credentials, certificates |
//! | `http` | requests, answers, repetition |
//! | `error` | what it may answer instead |
//! | `contracts` | our messages in it |
//!
//! It blocks, and is used where nothing is hurried: at the start, and before a batch that brings an id never seen. It keeps nothing: what is
//! known of ids is kept by [`FramedDecoder`](crate::wire::FramedDecoder). References between schemas, schemas of other kinds than Avro,
//! contexts and modes of a registry are deliberately not supported; that a schema has references or another kind is said in the answer.

mod config;
mod contracts;
mod error;
mod http;

pub use config::{Credentials, RegistryConfig, Secret, TlsFiles};
pub use contracts::{ACCOUNT_COMMAND, Standing, USAGE_RECORD};
pub use error::RegistryError;

use http::{Http, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;

/// What the registry calls a schema, the same for all subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its text.
    pub schema: String,
    /// `AVRO`, `JSON`, `PROTOBUF`.
    pub kind: String,
    /// How many other schemas it refers to.
    pub references: usize,
}

/// Which versions of a subject's schema have to read which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompatibilityLevel {
    /// Nothing is checked.
    None,
    /// The new one reads the last one.
    Backward,
    /// The new one reads all.
    BackwardTransitive,
    /// The last one reads the new one.
    Forward,
    /// All read the new one.
    ForwardTransitive,
    /// Both ways, with the last one.
    Full,
    /// Both ways, with all.
    FullTransitive,
}

impl CompatibilityLevel {
    /// Every level.
    pub const ALL: &'static [CompatibilityLevel] = &[
        CompatibilityLevel::None,
        CompatibilityLevel::Backward,
        CompatibilityLevel::BackwardTransitive,
        CompatibilityLevel::Forward,
        CompatibilityLevel::ForwardTransitive,
        CompatibilityLevel::Full,
        CompatibilityLevel::FullTransitive,
    ];

    /// The registry's name of it.
    pub fn name(self) -> &'static str {
        match self {
            CompatibilityLevel::None => "NONE",
            CompatibilityLevel::Backward => "BACKWARD",
            CompatibilityLevel::BackwardTransitive => "BACKWARD_TRANSITIVE",
            CompatibilityLevel::Forward => "FORWARD",
            CompatibilityLevel::ForwardTransitive => "FORWARD_TRANSITIVE",
            CompatibilityLevel::Full => "FULL",
            CompatibilityLevel::FullTransitive => "FULL_TRANSITIVE",
        }
    }
}

/// What the registry says of a schema beside the last version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it could be registered.
    pub is_compatible: bool,
    /// Why not, where the registry says it.
    pub messages: Vec<String>,
}

/// A client. Clones share connections.
#[derive(Clone)]
pub struct Registry {
    http: Http,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("url", &self.http.base()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Does not connect yet.
    ///
    /// # Errors
    /// `Config`: the URL, the credentials or the files of certificates.
    pub fn new(config: &RegistryConfig) -> Result<Registry, RegistryError> {
        Ok(Registry { http: Http::new(config)? })
    }

    /// The schema of an id.
    ///
    /// # Errors
    /// `SchemaUnknown`, or any trouble.
    pub fn schema(&self, id: SchemaId) -> Result<Registered, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            schema: String,
            #[serde(rename = "schemaType")]
            kind: Option<String>,
            #[serde(default)]
            references: Option<Vec<Value>>,
        }
        let answer: Answer = read(self.http.ask(&format!("/schemas/ids/{id}"), Request::Get)?)?;
        Ok(Registered {
            schema: answer.schema,
            // Registries leave the kind out for Avro.
            kind: answer.kind.unwrap_or_else(|| "AVRO".to_owned()),
            references: answer.references.map_or(0, |references| references.len()),
        })
    }

    /// Registers a schema for a subject; one that is there keeps its id.
    ///
    /// # Errors
    /// `Incompatible`, `InvalidSchema`, or any trouble.
    pub fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        self.id_of(&format!("/subjects/{}/versions", escaped(subject)), schema)
    }

    /// The id of a schema that a subject has.
    ///
    /// # Errors
    /// `SubjectUnknown`, `SchemaUnknown`, `InvalidSchema`, or any trouble.
    pub fn look_up(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        self.id_of(&format!("/subjects/{}", escaped(subject)), schema)
    }

    fn id_of(&self, path: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
        }
        let answer: Answer = read(self.http.ask(path, Request::Post(&json!({ "schema": schema })))?)?;
        Ok(SchemaId(answer.id))
    }

    /// Whether a schema could follow the last version of a subject.
    ///
    /// # Errors
    /// `SubjectUnknown` or `VersionUnknown` if there is no version yet, `InvalidSchema`, or any trouble.
    pub fn check(&self, subject: &str, schema: &str) -> Result<Verdict, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            is_compatible: bool,
            #[serde(default)]
            messages: Option<Vec<String>>,
        }
        let path = format!("/compatibility/subjects/{}/versions/latest?verbose=true", escaped(subject));
        let answer: Answer = read(self.http.ask(&path, Request::Post(&json!({ "schema": schema })))?)?;
        Ok(Verdict { is_compatible: answer.is_compatible, messages: answer.messages.unwrap_or_default() })
    }

    /// The compatibility of a subject; the registry's general one if it has none of its own.
    ///
    /// # Errors
    /// Any trouble.
    pub fn compatibility(&self, subject: &str) -> Result<CompatibilityLevel, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "compatibilityLevel")]
            level: String,
        }
        let path = format!("/config/{}?defaultToGlobal=true", escaped(subject));
        let answer: Answer = read(self.http.ask(&path, Request::Get)?)?;
        let known = CompatibilityLevel::ALL.iter().find(|level| level.name() == answer.level);
        known.copied().ok_or_else(|| RegistryError::Garbled(format!("compatibility \"{}\"", answer.level)))
    }

    /// Sets the compatibility of a subject, which need not exist yet.
    ///
    /// # Errors
    /// Any trouble.
    pub fn set_compatibility(&self, subject: &str, level: CompatibilityLevel) -> Result<(), RegistryError> {
        let body = json!({ "compatibility": level.name() });
        self.http.ask(&format!("/config/{}", escaped(subject)), Request::Put(&body)).map(|_| ())
    }
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, RegistryError> {
    serde_json::from_value(answer).map_err(|error| RegistryError::Garbled(error.to_string()))
}

/// A subject as one segment of a path (RFC 3986).
fn escaped(subject: &str) -> String {
    let mut path = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path
}
