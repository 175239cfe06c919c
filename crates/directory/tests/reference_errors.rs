//! Broken reference data and exactly what is said about it: `tests/reference-errors/NAME.yaml` (with `NAME.more.yaml` and `NAME.csv` where a
//! case needs them) and `NAME.expected`.
//!
//! `RATER_UPDATE=1 cargo test -p rater-directory --test reference_errors` writes the expectations anew, to be read in the diff.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use directory::{Code, Input, InputKind, Refused, load};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference-errors")
}

/// Names of the cases, in alphabetical order.
fn cases() -> Vec<String> {
    let names = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stems =
        names.filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()).filter(|stem| !stem.contains('.')));
    stems.collect::<BTreeSet<String>>().into_iter().collect()
}

fn inputs(case: &str) -> Vec<Input> {
    [("yaml", InputKind::Yaml), ("more.yaml", InputKind::Yaml), ("csv", InputKind::EndpointCsv)]
        .into_iter()
        .filter_map(|(ending, kind)| {
            let name = format!("{case}.{ending}");
            let bytes = std::fs::read(directory().join(&name)).ok()?;
            Some(Input { name, bytes, kind })
        })
        .collect()
}

fn refused(case: &str) -> Refused {
    match load(inputs(case)) {
        Ok(_) => panic!("{case} is accepted"),
        Err(refused) => refused,
    }
}

fn is_update() -> bool {
    let update = std::env::var_os("RATER_UPDATE").is_some();
    assert!(!(update && std::env::var_os("CI").is_some()), "expectations are not updated in CI");
    update
}

#[test]
fn every_case_says_what_it_should() {
    let update = is_update();
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases were found", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        let said = refused(&case).to_string();
        let path = directory().join(format!("{case}.expected"));
        if update {
            std::fs::write(&path, said).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if said != expected {
            failures.push(format!("=== {case}\n--- expected\n{expected}--- said\n{said}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_expectation_without_a_case() {
    let cases: BTreeSet<String> = cases().into_iter().collect();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap_or_default();
        assert!(cases.contains(stem), "{name} belongs to no case");
    }
}

/// A code that no file can cause is a promise that nothing keeps.
#[test]
fn every_code_has_a_case() {
    let seen: BTreeSet<Code> =
        cases().iter().flat_map(|case| refused(case).diagnostics.iter().map(|d| d.code).collect::<Vec<_>>()).collect();
    let missing: Vec<&str> = Code::ALL.iter().filter(|code| !seen.contains(*code)).map(|code| code.number()).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn several_errors_of_one_file_are_reported_at_once_in_the_order_of_lines() {
    let refused = refused("several-at-once");
    let codes: Vec<Code> = refused.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(
        codes,
        [
            Code::BadNetwork,
            Code::EmptyZone,
            Code::UndefinedZone,
            Code::UnknownKey,
            Code::UnitMismatch,
            Code::AliasCycle,
            Code::BundleCurrency,
            Code::BadQuantity,
            Code::UndefinedAccount,
            Code::CurrencyMismatch,
            Code::UndefinedBundle,
            Code::NotACustomer,
            Code::IdentityTwice,
        ]
    );
    let lines: Vec<u32> = refused.diagnostics.iter().map(|d| refused.sources.location(d.span.unwrap()).line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

/// Tools get the same as people.
#[test]
fn errors_are_offered_as_json() {
    let refused = refused("zone-undefined");
    let all: Vec<_> = refused.diagnostics.iter().map(|d| directory::to_json(&refused.sources, d)).collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["code"], "R103");
    assert_eq!(all[0]["help"], "did you mean \"uk-net15\"?");
    assert_eq!(
        (&all[0]["at"]["file"], &all[0]["at"]["line"], &all[0]["at"]["column"]),
        (&"zone-undefined.yaml".into(), &10.into(), &36.into())
    );
}
