//! Subjects, versions and ids, and what a registry answers.

use super::http::Request;
use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Levels that a registry knows.
const LEVELS: [&str; 7] =
    ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"];

/// A refusal: status of HTTP, code of the registry, message.
type Refusal = (u16, u32, String);

#[derive(Debug)]
struct Entry {
    text: String,
    /// `None` for a kind that is not Avro.
    parsed: Option<Schema>,
    /// As given with the request.
    kind: Option<String>,
    references: Vec<Value>,
}

/// All that the registry knows. Ids count from 1.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: Vec<Entry>,
    /// Ids by subject; version 1 first.
    subjects: BTreeMap<String, Vec<usize>>,
    levels: BTreeMap<String, String>,
}

fn refusal(status: u16, code: u32, message: impl Into<String>) -> Refusal {
    (status, code, message.into())
}

impl Store {
    /// The answer to a request: status and body.
    pub(super) fn answer(&mut self, request: &Request) -> (u16, Value) {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let answer = match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["schemas", "ids", id]) => self.by_id(id),
            ("GET", ["subjects"]) => Ok(json!(self.subjects.keys().collect::<Vec<_>>())),
            ("GET", ["subjects", subject, "versions"]) => {
                self.versions(subject).map(|ids| json!((1..=ids.len()).collect::<Vec<_>>()))
            }
            ("GET", ["subjects", subject, "versions", version]) => self.version(subject, version),
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, &request.body),
            ("POST", ["subjects", subject]) => self.look_up(subject, &request.body),
            ("POST", ["compatibility", "subjects", subject, "versions", "latest"]) => {
                self.check_last(subject, &request.body)
            }
            ("GET", ["config"]) => Ok(json!({ "compatibilityLevel": "BACKWARD" })),
            ("GET", ["config", subject]) => match self.levels.get(*subject) {
                Some(level) => Ok(json!({ "compatibilityLevel": level })),
                None if request.query.contains("defaultToGlobal=true") => {
                    Ok(json!({ "compatibilityLevel": "BACKWARD" }))
                }
                None => {
                    Err(refusal(404, 40408, format!("Subject '{subject}' does not have subject-level compatibility")))
                }
            },
            ("PUT", ["config", subject]) => self.set_level(subject, &request.body),
            _ => Err(refusal(404, 404, "HTTP 404 Not Found")),
        };
        match answer {
            Ok(body) => (200, body),
            Err((status, code, message)) => (status, json!({ "error_code": code, "message": message })),
        }
    }

    fn by_id(&self, id: &str) -> Result<Value, Refusal> {
        let known = id.parse::<usize>().ok().and_then(|id| self.entries.get(id.checked_sub(1)?));
        known.map(Entry::shown).ok_or_else(|| refusal(404, 40403, format!("Schema {id} not found")))
    }

    fn versions(&self, subject: &str) -> Result<&[usize], Refusal> {
        let found = self.subjects.get(subject).map(Vec::as_slice);
        found.ok_or_else(|| refusal(404, 40401, format!("Subject '{subject}' not found.")))
    }

    fn version(&self, subject: &str, version: &str) -> Result<Value, Refusal> {
        let ids = self.versions(subject)?;
        let number = if version == "latest" { Some(ids.len()) } else { version.parse().ok() };
        let found = number.and_then(|number| Some((number, *ids.get(number.checked_sub(1)?)?)));
        let (number, id) = found.ok_or_else(|| refusal(404, 40402, format!("Version {version} not found.")))?;
        let mut shown = self.entries[id - 1].shown();
        shown["subject"] = json!(subject);
        shown["version"] = json!(number);
        shown["id"] = json!(id);
        Ok(shown)
    }

    fn id_of(&self, entry: &Entry) -> Option<usize> {
        let same = |known: &Entry| known.text == entry.text && known.kind == entry.kind;
        self.entries.iter().position(same).map(|at| at + 1)
    }

    fn register(&mut self, subject: &str, body: &[u8]) -> Result<Value, Refusal> {
        let entry = Entry::of(body)?;
        let known = self.id_of(&entry);
        if let Some(id) = known
            && self.versions(subject).is_ok_and(|ids| ids.contains(&id))
        {
            return Ok(json!({ "id": id }));
        }
        let messages = self.incompatibilities(subject, &entry, self.level(subject).ends_with("_TRANSITIVE"));
        if !messages.is_empty() {
            let what = messages.join("; ");
            return Err(refusal(
                409,
                409,
                format!("Schema being registered is incompatible with an earlier schema: {what}"),
            ));
        }
        let id = known.unwrap_or_else(|| {
            self.entries.push(entry);
            self.entries.len()
        });
        self.subjects.entry(subject.to_owned()).or_default().push(id);
        Ok(json!({ "id": id }))
    }

    fn look_up(&self, subject: &str, body: &[u8]) -> Result<Value, Refusal> {
        let ids = self.versions(subject)?;
        let entry = Entry::of(body)?;
        let found = self.id_of(&entry).and_then(|id| ids.iter().position(|known| *known == id));
        let at = found.ok_or_else(|| refusal(404, 40403, "Schema not found"))?;
        self.version(subject, &(at + 1).to_string())
    }

    fn check_last(&self, subject: &str, body: &[u8]) -> Result<Value, Refusal> {
        self.versions(subject)?;
        let messages = self.incompatibilities(subject, &Entry::of(body)?, false);
        Ok(json!({ "is_compatible": messages.is_empty(), "messages": messages }))
    }

    fn level(&self, subject: &str) -> &str {
        self.levels.get(subject).map_or("BACKWARD", String::as_str)
    }

    /// Why a schema may not follow the last version of a subject, or all of them.
    fn incompatibilities(&self, subject: &str, entry: &Entry, is_transitive: bool) -> Vec<String> {
        let level = self.level(subject);
        let versions = self.versions(subject).unwrap_or_default();
        let checked = if is_transitive { versions } else { &versions[versions.len().saturating_sub(1)..] };
        let mut messages = Vec::new();
        for id in checked {
            let (Some(old), Some(new)) = (&self.entries[id - 1].parsed, &entry.parsed) else { continue };
            let mut check = |writer: &Schema, reader: &Schema, what: &str| {
                if let Err(error) = SchemaCompatibility::can_read(writer, reader) {
                    messages.push(format!("{what} schema {id}: {error}"));
                }
            };
            if level.starts_with("BACKWARD") || level.starts_with("FULL") {
                check(old, new, "does not read");
            }
            if level.starts_with("FORWARD") || level.starts_with("FULL") {
                check(new, old, "is not read by");
            }
        }
        messages
    }

    fn set_level(&mut self, subject: &str, body: &[u8]) -> Result<Value, Refusal> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let level = body["compatibility"].as_str().filter(|level| LEVELS.contains(level));
        let level = level.ok_or_else(|| refusal(422, 42203, "Invalid compatibility level"))?;
        self.levels.insert(subject.to_owned(), level.to_owned());
        Ok(json!({ "compatibility": level }))
    }
}

impl Entry {
    fn of(body: &[u8]) -> Result<Entry, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|error| refusal(422, 42201, error.to_string()))?;
        let text = body["schema"].as_str().ok_or_else(|| refusal(422, 42201, "Empty schema"))?;
        let kind = body["schemaType"].as_str().filter(|kind| *kind != "AVRO");
        let references = body["references"].as_array().cloned().unwrap_or_default();
        let parsed = match kind {
            Some(_) => None,
            // A schema with references cannot be parsed without them.
            None if !references.is_empty() => None,
            None => {
                let invalid = |error: apache_avro::Error| refusal(422, 42201, format!("Invalid schema: {error}"));
                Some(Schema::parse_str(text).map_err(invalid)?)
            }
        };
        Ok(Entry { text: text.to_owned(), parsed, kind: kind.map(str::to_owned), references })
    }

    fn shown(&self) -> Value {
        let mut shown = json!({ "schema": self.text });
        if let Some(kind) = &self.kind {
            shown["schemaType"] = json!(kind);
        }
        if !self.references.is_empty() {
            shown["references"] = json!(self.references);
        }
        shown
    }
}
