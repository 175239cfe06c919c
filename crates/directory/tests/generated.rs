//! Files that are made from tables in the code are what the tables make.
//!
//! `RATER_UPDATE=1 cargo test -p rater-directory --test generated` writes them anew.

use std::path::Path;

fn check(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("RATER_UPDATE").is_some() {
        assert!(std::env::var_os("CI").is_none(), "generated files are not updated in CI");
        std::fs::write(file, content).unwrap();
        return;
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(written == content, "{path} differs from the code: RATER_UPDATE=1 writes it anew");
}

#[test]
fn the_page_of_errors_follows_the_codes() {
    check("docs/reference-errors.md", &directory::reference_page());
}

#[test]
fn the_schema_follows_the_reader() {
    let schema = serde_json::to_string_pretty(&directory::json_schema()).unwrap();
    check("schemas/rating.schema.json", &format!("{schema}\n"));
}

#[test]
fn a_code_explains_itself() {
    let code = directory::Code::find("R103").unwrap();
    let text = directory::explain(code);
    assert!(text.starts_with("R103: a zone is not defined\n\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}
