//! `rater run` with reference data that grant bundles: it buys them, unless it is told to ignore them, which it tells.

use crate::support::{Ran, command, write};
use std::path::Path;

/// No address of this machine: who gets as far as listening ends there, without waiting for a broker.
const NOWHERE: [&str; 2] = ["--listen", "192.0.2.1:9"];

/// What it says of grants that it does not buy.
const IGNORED: &str = "buy them by commands";

const HEAD: &str = "\
format: rater/v1
bundles:
  pack: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
  own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 5 MB }] }
";

/// Starts the program, and sees it get as far as listening; returns what it said.
fn start(folder: &Path, more: &[&str], environment: &[(&str, &str)]) -> String {
    let said = run(folder, more, environment).expect(2).stderr;
    assert!(said.contains("error: --listen"), "{said}");
    said
}

fn run(folder: &Path, more: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = command(folder);
    command.arg("run").args(NOWHERE).args(more).envs(environment.iter().copied());
    Ran::from(command.output().expect("the program runs"))
}

#[test]
fn grants_of_files_are_bought_unless_they_are_ignored() {
    let account = "accounts:\n  northstar: { kind: operator, currency: GBP }\n  acme: { kind: customer, parent: northstar, currency: GBP";
    for (name, rest) in [
        ("an account's", ", bundles: [pack] }\n"),
        ("a plan's", " }\nendpoints:\n  meter-1: { customer: acme, plan: { bundles: [pack] } }\n"),
        (
            "a later plan's",
            " }\nendpoints:\n  meter-1: { customer: acme, changes: [{ from: 2030-01-01T00:00:00Z, plan: { bundles: [own] } }] }\n",
        ),
        (
            "an endpoint's of an account",
            ", bundles: [{ bundle: own, endpoint: meter-1 }] }\nendpoints:\n  meter-1: { customer: acme }\n",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "rating.yaml", &format!("{HEAD}{account}{rest}"));
        let said = start(folder.path(), &[], &[]);
        assert!(!said.contains(IGNORED), "{name}: {said}");
        let said = start(folder.path(), &["--grants", "ignore"], &[]);
        assert!(said.contains(IGNORED), "{name}: {said}");
    }
}

#[test]
fn a_flag_beats_the_environment_and_both_beat_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let account = "accounts:\n  northstar: { kind: operator, currency: GBP }\n  \
                   acme: { kind: customer, parent: northstar, currency: GBP, bundles: [pack] }\n";
    write(folder.path(), "rating.yaml", &format!("{HEAD}{account}"));
    write(folder.path(), "rater.toml", "grants = \"ignore\"\n");
    let says = |more: &[&str], environment: &[(&str, &str)]| start(folder.path(), more, environment).contains(IGNORED);
    assert!(says(&["--config", "rater.toml"], &[]));
    assert!(!says(&["--config", "rater.toml"], &[("RATER_GRANTS", "buy")]));
    assert!(says(&["--config", "rater.toml", "--grants", "ignore"], &[("RATER_GRANTS", "buy")]));
    let said = run(folder.path(), &["--grants", "refuse"], &[]).expect(2).stderr;
    assert!(said.contains("buy") && said.contains("ignore"), "{said}");
}

#[test]
fn where_nothing_is_granted_nothing_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "rating.yaml",
        &format!("{HEAD}accounts:\n  northstar: {{ kind: operator, currency: GBP }}\n"),
    );
    let said = start(folder.path(), &["--grants", "ignore"], &[]);
    assert!(!said.contains(IGNORED), "{said}");
}
