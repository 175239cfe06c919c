//! docs/suspense.md says what the code says: its table is written from [`SuspenseReason::ALL`].
//!
//! `RATER_UPDATE=1 cargo test -p rater-runtime --test suspense_page` writes it.

use rating::SuspenseReason;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- written from crates/rating/src/reason.rs; change it there -->\n";
const END: &str = "<!-- end -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/suspense.md")
}

/// One table per scope, in the order of the enum.
fn tables(reasons: &[SuspenseReason]) -> String {
    let mut text = String::new();
    for (scope, heading) in [("record", "A whole record waits"), ("leg", "One leg waits")] {
        text.push_str(&format!("\n## {heading}\n\n| reason | what it means | what to do |\n| --- | --- | --- |\n"));
        for reason in reasons.iter().filter(|reason| reason.scope() == scope) {
            let cells = [reason.meaning(), reason.remedy()].map(|cell| cell.replace('|', "\\|"));
            text.push_str(&format!("| `{}` | {} | {} |\n", reason.name(), cells[0], cells[1]));
        }
    }
    text.push('\n');
    text
}

/// The page with its part between the marks replaced.
fn rewritten(page: &str, tables: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page has the mark where the tables begin");
    let (_, after) = rest.split_once(END).expect("the page has the mark where the tables end");
    format!("{before}{BEGIN}{tables}{END}{after}")
}

#[test]
fn the_page_says_what_the_code_says() {
    let written = fs::read_to_string(page()).expect("docs/suspense.md");
    let expected = rewritten(&written, &tables(SuspenseReason::ALL));
    if std::env::var_os("RATER_UPDATE").is_some() {
        assert!(std::env::var_os("CI").is_none(), "pages are not updated in CI");
        fs::write(page(), expected).expect("docs/suspense.md can be written");
        return;
    }
    assert_eq!(written, expected, "docs/suspense.md is out of date; RATER_UPDATE=1 writes it");
}

#[test]
fn every_reason_is_told_once_and_in_full() {
    let mut names = BTreeSet::new();
    for reason in SuspenseReason::ALL {
        let name = reason.name();
        assert!(names.insert(name), "{name} is told twice");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name} is not a code");
        assert!(["record", "leg"].contains(&reason.scope()), "{name} has no table");
        assert!(reason.meaning().len() > 20 && reason.remedy().len() > 10, "{name} is not explained");
    }
}

#[test]
fn a_reason_that_is_missing_from_the_page_is_noticed() {
    let written = fs::read_to_string(page()).expect("docs/suspense.md");
    let (_, fewer) = SuspenseReason::ALL.split_last().expect("reasons");
    assert_ne!(written, rewritten(&written, &tables(fewer)));
}
