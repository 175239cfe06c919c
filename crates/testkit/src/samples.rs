//! Samples of what earlier versions stored and sent, in `tests/formats`.

use serde_json::Value;
use std::path::PathBuf;

/// The folder of the samples.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats")
}

/// A file of them.
pub fn text(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is written instead of being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// Nothing.
    Nothing,
    /// What is expected of the continuation: to be read in the diff.
    Expectations,
    /// The sample as well: only in a format that has none.
    Samples,
}

/// Returns what `RATER_FREEZE` asks for: `expectations`, `samples`, or nothing.
///
/// # Panics
/// It asks for something else.
pub fn freeze() -> Freeze {
    match std::env::var("RATER_FREEZE").as_deref() {
        Err(_) => Freeze::Nothing,
        Ok("expectations") => Freeze::Expectations,
        Ok("samples") => Freeze::Samples,
        Ok(other) => panic!("RATER_FREEZE={other} is neither `expectations` nor `samples`"),
    }
}

/// Writes a file of the samples, and its folder if need be.
pub fn write(name: &str, text: &str) {
    let path = folder().join(name);
    let parent = path.parent().unwrap_or_else(|| panic!("{} has no folder", path.display()));
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&path, text))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Compares messages with the lines of a sample, or writes them there.
///
/// # Panics
/// A message is missing, is too many or says something else.
pub fn compare(name: &str, found: &[Value]) {
    if freeze() != Freeze::Nothing {
        return write(name, &found.iter().map(|message| format!("{message}\n")).collect::<String>());
    }
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected: Vec<Value> = text(name).lines().map(parse).collect();
    for (at, expected) in expected.iter().enumerate() {
        let found = found.get(at).unwrap_or_else(|| panic!("{name}: {at} messages, line {} is missing", at + 1));
        assert!(holds(found, expected), "{name}, line {}:\nexpected {expected}\nfound    {found}", at + 1);
    }
    if let Some(more) = found.get(expected.len()) {
        panic!("{name}: {} messages instead of {}, the next one is {more}", found.len(), expected.len());
    }
}

/// Returns true if a value says what is expected. Fields that a later version added may hold anything, and so may texts for people.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| name == "detail" || holds(found.get(name).unwrap_or(&Value::Null), expected)),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| holds(found, expected))
        }
        (found, expected) => found == expected,
    }
}
