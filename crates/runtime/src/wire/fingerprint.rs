//! Fingerprints of schemas: CRC-64-AVRO of the Parsing Canonical Form (Avro specification, "Parsing Canonical Form for Schemas" and
//! "Schema Fingerprints").
//!
//! The Avro library has both, but keeps the precision and scale of decimals and the braces around types with a logical type, which the
//! specification strips: other readers would not know our messages by its fingerprints. fastavro comes to what is here (a test). What
//! writers with that library send is known all the same.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use serde_json::Value;
use std::fmt;

/// CRC-64-AVRO of a schema's Parsing Canonical Form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

/// The fingerprint of nothing, which is also the polynomial.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ EMPTY } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

impl Fingerprint {
    /// Of a schema that parses.
    ///
    /// # Errors
    /// A text that is not JSON, in words.
    pub fn of(schema: &str) -> Result<Fingerprint, String> {
        let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        let mut canonical = String::new();
        write(&schema, "", &mut canonical);
        Ok(Fingerprint::of_bytes(canonical.as_bytes()))
    }

    /// As the Avro library has it.
    pub(super) fn of_library(schema: &Schema) -> Fingerprint {
        // In the order of the bytes on the wire.
        let bytes = schema.fingerprint::<Rabin>().bytes;
        Fingerprint(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn of_bytes(bytes: &[u8]) -> Fingerprint {
        Fingerprint(bytes.iter().fold(EMPTY, |value, byte| {
            let at = (value ^ u64::from(*byte)) & 0xff;
            value >> 8 ^ TABLE[at as usize]
        }))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names that are no references to types.
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Appends the canonical form of a type within a name space.
fn write(schema: &Value, space: &str, out: &mut String) {
    match schema {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => quoted(name, out),
        Value::String(name) => quoted(&full(name, space), out),
        Value::Array(branches) => list(branches, out, |branch, out| write(branch, space, out)),
        Value::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Value::as_str);
            let kind = text("type");
            if let (Some(inner), None) = (object.get("type"), kind) {
                // A type within a type says nothing of its own.
                return write(inner, space, out);
            }
            let kind = kind.unwrap_or_default();
            let name = match kind {
                "record" | "error" | "enum" | "fixed" => {
                    let space = text("namespace").unwrap_or(space);
                    Some(full(text("name").unwrap_or_default(), space))
                }
                "array" | "map" => None,
                other => return write(&Value::String(other.to_owned()), space, out),
            };
            let space = name.as_deref().and_then(|name| name.rsplit_once('.')).map_or(space, |(space, _)| space);
            out.push('{');
            if let Some(name) = &name {
                out.push_str("\"name\":");
                quoted(name, out);
                out.push(',');
            }
            out.push_str("\"type\":");
            quoted(kind, out);
            members(object, space, out);
            out.push('}');
        }
        // A schema that parses has nothing else.
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What of a complex type belongs to its canonical form, in the order of the specification.
fn members(object: &serde_json::Map<String, Value>, space: &str, out: &mut String) {
    if let Some(Value::Array(fields)) = object.get("fields") {
        out.push_str(",\"fields\":");
        list(fields, out, |field, out| {
            out.push_str("{\"name\":");
            quoted(field.get("name").and_then(Value::as_str).unwrap_or_default(), out);
            out.push_str(",\"type\":");
            write(field.get("type").unwrap_or(&Value::Null), space, out);
            out.push('}');
        });
    }
    if let Some(Value::Array(symbols)) = object.get("symbols") {
        out.push_str(",\"symbols\":");
        list(symbols, out, |symbol, out| quoted(symbol.as_str().unwrap_or_default(), out));
    }
    for name in ["items", "values"] {
        if let Some(inner) = object.get(name) {
            out.push_str(&format!(",\"{name}\":"));
            write(inner, space, out);
        }
    }
    if let Some(size) = object.get("size").and_then(Value::as_u64) {
        out.push_str(&format!(",\"size\":{size}"));
    }
}

fn list(items: &[Value], out: &mut String, item: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (at, value) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(']');
}

fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// Names need no escaping: they are letters, digits, underscores and dots.
fn quoted(name: &str, out: &mut String) {
    out.push('"');
    out.push_str(name);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(schema: &str) -> String {
        let mut out = String::new();
        write(&serde_json::from_str(schema).expect("JSON"), "", &mut out);
        out
    }

    #[test]
    fn only_what_parsing_needs_is_kept_in_its_order() {
        let schema = r#"{ "namespace": "a.b", "doc": "x", "fields": [
            {"type": {"logicalType": "timestamp-millis", "type": "long"}, "default": 1, "name": "t", "aliases": ["u"]},
            {"name": "d", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 28, "scale": 10}]},
            {"name": "e", "type": {"type": "enum", "symbols": ["X", "Y"], "name": "E"}},
            {"name": "f", "type": {"size": 4, "type": "fixed", "name": "c.F"}},
            {"name": "l", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": [{"name": "e", "type": "E"}]}}},
            {"name": "m", "type": {"values": {"type": "string"}, "type": "map"}},
            {"name": "n", "type": {"type": {"type": "int"}}}
          ], "name": "R", "type": "record" }"#;
        let expected = r#"{"name":"a.b.R","type":"record","fields":[{"name":"t","type":"long"},{"name":"d","type":["null","bytes"]},{"name":"e","type":{"name":"a.b.E","type":"enum","symbols":["X","Y"]}},{"name":"f","type":{"name":"c.F","type":"fixed","size":4}},{"name":"l","type":{"type":"array","items":{"name":"a.b.I","type":"record","fields":[{"name":"e","type":"a.b.E"}]}}},{"name":"m","type":{"type":"map","values":"string"}},{"name":"n","type":"int"}]}"#;
        assert_eq!(canonical(schema), expected);
        assert_eq!(canonical(expected), expected, "a canonical form is its own");
    }

    /// The second is what all implementations are tested with.
    #[test]
    fn fingerprints_are_those_of_the_specification() {
        assert_eq!(Fingerprint::of_bytes(b""), Fingerprint(EMPTY));
        for (schema, fingerprint) in [("\"int\"", "7275d51a3f395c8f"), ("{\"type\": \"null\"}", "63dd24e7cc258f8a")] {
            assert_eq!(Fingerprint::of(schema).expect("a schema").to_string(), fingerprint);
        }
        assert!(Fingerprint::of("{").is_err());
    }

    /// Where the library follows the specification, it comes to the same.
    #[test]
    fn the_library_agrees_where_it_strips_all() {
        for schema in [
            "\"string\"",
            r#"["null","string"]"#,
            r#"{"type":"record","name":"T","fields":[{"name":"a","type":"long","doc":"x"}]}"#,
        ] {
            let parsed = Schema::parse_str(schema).expect("a schema");
            assert_eq!(Fingerprint::of(schema), Ok(Fingerprint::of_library(&parsed)), "{schema}");
        }
    }
}
