//! `rater run` does not start with reference data that grant bundles, unless it is told to ignore them.

use crate::support::{Ran, command, write};
use std::path::Path;

/// Nobody answers here: what gets as far as Kafka ends with exit code 3.
const NOWHERE: [&str; 6] = ["--kafka-brokers", "127.0.0.1:1", "--attempts", "1", "--listen", "off"];

const HEAD: &str = "\
format: rater/v1
bundles:
  pack: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
  own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 5 MB }] }
";

fn run(folder: &Path, more: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = command(folder);
    command.arg("run").args(NOWHERE).args(more).envs(environment.iter().copied());
    Ran::from(command.output().expect("the program runs"))
}

#[test]
fn grants_are_refused_with_their_names_and_the_option() {
    let account = "accounts:\n  northstar: { kind: operator, currency: GBP }\n  acme: { kind: customer, parent: northstar, currency: GBP";
    for (name, rest, shown) in [
        ("an account's", ", bundles: [pack] }\n", "\"pack\" to acme"),
        (
            "a plan's",
            " }\nendpoints:\n  meter-1: { customer: acme, plan: { bundles: [pack] } }\n",
            "\"pack\" to acme/meter-1",
        ),
        (
            "a later plan's",
            " }\nendpoints:\n  meter-1: { customer: acme, changes: [{ from: 2030-01-01T00:00:00Z, plan: { bundles: [own] } }] }\n",
            "\"own\" to acme/meter-1",
        ),
        (
            "an endpoint's of an account",
            ", bundles: [{ bundle: own, endpoint: meter-1 }] }\nendpoints:\n  meter-1: { customer: acme }\n",
            "\"own\" to acme",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "rating.yaml", &format!("{HEAD}{account}{rest}"));
        let said = run(folder.path(), &[], &[]).expect(2).stderr;
        assert!(said.contains(shown) && said.contains("--grants ignore"), "{name}: {said}");
        run(folder.path(), &[], &[("RATER_GRANTS", "refuse")]).expect(2);
    }
}

#[test]
fn grants_that_are_ignored_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let account = "accounts:\n  northstar: { kind: operator, currency: GBP }\n  \
                   acme: { kind: customer, parent: northstar, currency: GBP, bundles: [pack] }\n";
    write(folder.path(), "rating.yaml", &format!("{HEAD}{account}"));
    write(folder.path(), "rater.toml", "grants = \"ignore\"\n");
    // A flag beats the environment, and both beat the file.
    run(folder.path(), &["--config", "rater.toml"], &[("RATER_GRANTS", "refuse")]).expect(2);
    run(folder.path(), &["--grants", "refuse"], &[("RATER_GRANTS", "ignore")]).expect(2);
    let said = run(folder.path(), &["--config", "rater.toml"], &[]).expect(3).stderr;
    assert!(said.contains("buy them by commands"), "{said}");
}

#[test]
fn without_grants_no_option_is_needed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "rating.yaml",
        &format!("{HEAD}accounts:\n  northstar: {{ kind: operator, currency: GBP }}\n"),
    );
    run(folder.path(), &[], &[]).expect(3);
}
