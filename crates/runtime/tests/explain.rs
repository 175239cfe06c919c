//! Explanations of a folder: what it has not rated has none, and that is said.

mod folder;

use folder::{REFERENCE, reference, settings, stop_after};
use runtime::explain::{ExplainError, explain};
use runtime::session::Settings;

fn usage(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","service":"data","quantity":1000,"event_time":"2026-03-05T14:00:00Z","imsi":"001010000000001"}}"#
    ) + "\n"
}

#[test]
fn an_id_that_was_not_rated_yet_is_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = reference(REFERENCE);
    let (input, out) = (folder.path().join("usage.jsonl"), folder.path().join("out"));
    let lines: String = (0..60).map(|number| usage(&format!("u{number}"))).collect();
    std::fs::write(&input, lines).expect("written");
    // A run that is stopped after its first commits leaves the rest of the input unrated.
    stop_after(&loaded, &settings(&[&input], &out), 30);
    let explained = |id: &str| explain(&loaded, &out, &Settings::default(), id);
    assert_eq!(explained("u0").expect("rated").len(), 1);
    for id in ["u59", "u60"] {
        assert!(matches!(explained(id), Err(ExplainError::UnknownId(None))), "{id}");
    }
}
