//! The first five minutes, as the README promises them: every character of stdout.

mod support;

use support::{example, rater};

const TABLE: &str = "\
LEVEL  PAYER -> PAYEE         USED  BUNDLE  TARIFF  CHARGED  PAYER'S MARGIN (usage only)
    0  2 endpoints -> acme  8.0 MB       –  8.0 MB    £1.60       –
    1  acme -> beta         8.0 MB  5.0 MB  3.0 MB    £0.45   £1.15
    2  beta -> alpha        8.0 MB       –  8.0 MB    £0.80  -£0.35  below cost
    3  alpha -> northstar   8.0 MB       –  8.0 MB    £0.32   £0.48

5 in = 3 rated + 1 duplicate + 1 suspended ✓   charges = deltas = £3.17 ✓
";

#[test]
fn init_makes_an_example_that_can_be_rated_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let init = rater(folder.path(), &["init", "demo"]).expect(0);
    assert_eq!(init.stdout, "");
    assert_eq!(
        init.stderr,
        "wrote rating.yaml, usage.csv, tests/first.md, .gitignore\nnext  cd demo && rater rate usage.csv -o out/\n"
    );
    let demo = folder.path().join("demo");
    let suspended =
        "suspense  usage.csv:6  unknown_endpoint  imsi 001019999999999 is not known at 2026-03-05T14:15:00Z\n";
    let first = rater(&demo, &["rate", "usage.csv", "-o", "out/"]).expect(0);
    assert_eq!(first.stdout, format!("{TABLE}{suspended}"));
    assert_eq!(first.stderr, "next      rater explain ID · rater rate --recycle · rater test\n");

    let again = rater(&demo, &["rate", "usage.csv", "-o", "out/"]).expect(0);
    assert_eq!(again.stdout, format!("usage.csv  already rated\n\n{TABLE}waiting   1 in this folder\n"));

    let refused = rater(folder.path(), &["init", "demo"]).expect(2);
    assert!(refused.stderr.starts_with("error: nothing was written, for there is already demo/rating.yaml"));
}

#[test]
fn an_amount_is_explained_level_by_level() {
    let folder = example();
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    let one = rater(folder.path(), &["explain", "r2", "--level", "1"]).expect(0);
    assert_eq!(
        one.stdout,
        "\
r2  4 MB data  meter-2  234-15  2026-03-05T14:05:00Z  usage.csv:3

level 1  acme owes beta £0.30
  zone    uk (root: less specific)
  bundle  uk-5mb: 2 MB of 2 MB left, used up -> allowance 100 % notified
  tariff  retail@2026-01-01: 2 MB x £0.15/MB = £0.30
  delta   acme:1: -£0.30, balance -£0.30
"
    );
    let all = rater(folder.path(), &["explain", "r1"]).expect(0).stdout;
    for part in [
        "level 0  acme/meter-1 owes acme £0.60",
        "level 1  acme owes beta £0.00\n",
        "  bundle  uk-5mb: 3 MB of 5 MB left, 2 MB stay\n",
        "level 3  alpha owes northstar £0.12",
        "r1  usage.csv:5\n  sent before; nothing was charged again\n",
    ] {
        assert!(all.contains(part), "{part} is missing:\n{all}");
    }
    let waits = rater(folder.path(), &["explain", "r4"]).expect(0).stdout;
    assert!(waits.contains("waits: unknown_endpoint: imsi 001019999999999 is not known"), "{waits}");
    assert!(waits.contains("add the endpoint to the reference data"), "{waits}");
    assert!(rater(folder.path(), &["explain", "R103"]).expect(0).stdout.starts_with("R103: a zone is not defined\n"));
    rater(folder.path(), &["explain", "nobody"]).expect(2);
    rater(folder.path(), &["explain", "r1", "-o", "elsewhere"]).expect(2);
}

#[test]
fn a_quote_changes_nothing() {
    let folder = example();
    let arguments = ["quote", "--endpoint", "meter-1", "--quantity", "6 MB", "--network", "234-10"];
    let quote = rater(folder.path(), &[&arguments[..], &["--at", "2026-03-05T14:00:00Z", "--level", "1"]].concat());
    assert_eq!(
        quote.expect(0).stdout,
        "\
quote  6 MB data  meter-1  234-10  2026-03-05T14:00:00Z

level 1  acme owes beta £0.15
  zone    uk (root: less specific)
  bundle  uk-5mb: 5 MB of 5 MB left, used up -> allowance 100 % notified
  tariff  retail@2026-01-01: 1 MB x £0.15/MB = £0.15
  delta   acme:1: -£0.15, balance -£0.15
"
    );
    assert!(!folder.path().join("out").exists());
    let unknown = rater(folder.path(), &["quote", "--imsi", "001019999999999", "--quantity", "1 MB"]).expect(1);
    assert!(unknown.stdout.contains("unknown_endpoint"), "{}", unknown.stdout);
    let misspelt = rater(folder.path(), &["quote", "--imsi", "001019999999999", "--quantity", "1 mb"]).expect(2);
    assert_eq!(misspelt.stderr, "error: --quantity: \"mb\" is not a unit; did you mean \"MB\"?\n");
}

#[test]
fn the_tables_of_the_example_pass_and_a_wrong_one_is_shown_and_mended() {
    let folder = example();
    let passed = rater(folder.path(), &["test", "--coverage"]).expect(0);
    assert_eq!(
        passed.stdout,
        "\
ok   tests/first.md:1 The example, edge by edge

coverage  5 of 6 rates, aliases and elements are used
unused  ../rating.yaml:16  retail@2026-01-01T00:00:00Z data root

1 scenario, 1 passed ✓
"
    );
    let path = folder.path().join("tests/first.md");
    let right = std::fs::read_to_string(&path).expect("the scenario");
    std::fs::write(&path, right.replace("0.60 | rated", "0.61 | rated")).expect("written");
    let failed = rater(folder.path(), &["test", "--junit", "junit.xml"]).expect(1);
    assert!(failed.stdout.contains("1 scenario, 0 passed 1 failed"), "{}", failed.stdout);
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).expect("junit.xml");
    assert!(junit.contains("<testsuites tests=\"1\" failures=\"1\">"), "{junit}");
    rater(folder.path(), &["test", "--update"]).expect(0);
    assert_eq!(std::fs::read_to_string(&path).expect("the scenario"), right);

    std::fs::write(&path, right.replace("../rating.yaml", "../nowhere.yaml")).expect("written");
    let broken = rater(folder.path(), &["test"]).expect(2);
    assert!(broken.stderr.contains("tests/first.md:6:1: ../nowhere.yaml: "), "{}", broken.stderr);
}
