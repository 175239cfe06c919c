//! The message contracts: every schema parses and is documented, every version can read every other one, and the
//! fixture of each message survives a round trip.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

const MESSAGES: [&str; 9] = [
    "account-command",
    "balance-delta",
    "charge",
    "command-reply",
    "life-event",
    "notification",
    "suspense",
    "tick",
    "usage-record",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The schemas of one folder by message name.
fn schemas_in(path: &Path) -> BTreeMap<String, Schema> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).expect("a folder of schemas") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "avsc") {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            let schema = Schema::parse_str(&text(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.insert(name, schema);
        }
    }
    found
}

/// Every version that was ever published, oldest first, then the present one.
fn versions() -> Vec<(String, BTreeMap<String, Schema>)> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder().join("history"))
        .expect("a history")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    let mut versions: Vec<_> = folders.iter().map(|path| (path.display().to_string(), schemas_in(path))).collect();
    versions.push(("present".to_owned(), schemas_in(&folder())));
    versions
}

fn assert_documented(schema: &Schema, name: &str) {
    let Schema::Record(record) = schema else { panic!("{name} is not a record") };
    assert_eq!(record.name.namespace(), Some("rater.v1"), "{name}");
    assert!(record.doc.as_ref().is_some_and(|doc| doc.len() > 20), "{name} has no doc");
    for field in &record.fields {
        assert!(field.doc.as_ref().is_some_and(|doc| doc.len() > 10), "{name}.{} has no doc", field.name);
        if let Schema::Array(array) = &field.schema
            && matches!(*array.items, Schema::Record(_))
        {
            assert_documented(&array.items, &field.name);
        }
        if let Schema::Union(union) = &field.schema {
            assert_eq!(union.variants()[0], Schema::Null, "{name}.{}", field.name);
            assert_eq!(field.default, Some(serde_json::Value::Null), "{name}.{} has no default", field.name);
        }
    }
}

#[test]
fn present_schemas_are_complete_and_documented() {
    let present = schemas_in(&folder());
    assert_eq!(present.keys().map(String::as_str).collect::<Vec<_>>(), MESSAGES);
    for (name, schema) in &present {
        assert_documented(schema, name);
    }
}

#[test]
fn every_version_reads_every_other() {
    let versions = versions();
    assert!(versions.len() >= 2, "no frozen version");
    for (written, (writer_name, writers)) in versions.iter().enumerate() {
        for (read, (reader_name, readers)) in versions.iter().enumerate() {
            for (name, writer) in writers {
                let Some(reader) = readers.get(name) else {
                    assert!(read < written, "{name} is gone from {reader_name}");
                    continue;
                };
                let answer = SchemaCompatibility::can_read(writer, reader);
                assert!(
                    matches!(answer, Ok(Compatibility::Full)),
                    "{name}: {reader_name} cannot read {writer_name}: {answer:?}"
                );
            }
        }
    }
}

/// A version that was published is not edited: a change is a version more.
#[test]
fn the_present_version_is_the_newest_that_was_published() {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder().join("history"))
        .expect("a history")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    let newest = folders.last().expect("a version");
    for name in MESSAGES {
        let file = format!("{name}.avsc");
        assert_eq!(text(&folder().join(&file)), text(&newest.join(&file)), "{name}");
    }
}

/// The check above must be able to fail: a field without a default breaks it.
#[test]
fn a_new_field_without_default_is_noticed() {
    let old = Schema::parse_str(r#"{"type":"record","name":"T","fields":[{"name":"a","type":"string"}]}"#);
    let new = Schema::parse_str(
        r#"{"type":"record","name":"T","fields":[{"name":"a","type":"string"},{"name":"b","type":"string"}]}"#,
    );
    let answer = SchemaCompatibility::can_read(&old.expect("a schema"), &new.expect("a schema"));
    assert!(!matches!(answer, Ok(Compatibility::Full)));
}

#[test]
fn fixtures_survive_a_round_trip() {
    let fixtures = folder().join("fixtures");
    let present = schemas_in(&folder());
    for name in MESSAGES {
        let fixture: serde_json::Value =
            serde_json::from_str(&text(&fixtures.join(format!("{name}.json")))).expect("JSON");
        let schema = &present[name];
        let value = support::from_json(schema, &fixture);
        let bytes = support::encode(schema, value.clone());
        let back = support::decode(schema, &bytes);
        assert_eq!(back, value, "{name}");
        assert_eq!(support::to_json(schema, &back), fixture, "{name}");
    }
}
