//! Exit codes, JSON, errors, closed pipes, options: what scripts rely on.

mod support;

use std::process::Stdio;
use support::{Ran, command, example, rater, write};
use testkit::generator::{self, Parameters, Profile};

#[test]
fn reference_data_is_checked_as_a_whole() {
    let folder = example();
    let fine = rater(folder.path(), &["check"]).expect(0);
    assert!(
        fine.stdout.starts_with("1 zone, 4 tariffs, 1 bundle, 4 accounts, 2 endpoints, 1 grant  no errors ✓  version "),
        "{}",
        fine.stdout
    );
    let yaml = std::fs::read_to_string(folder.path().join("rating.yaml")).expect("rating.yaml");
    let wrong = yaml.replace("zone: uk, price", "zone: ukk, price").replace("parent: alpha", "parent: alpa");
    write(folder.path(), "wrong.yaml", &wrong);
    let refused = rater(folder.path(), &["check", "wrong.yaml"]).expect(2);
    assert_eq!(refused.stdout, "");
    for part in ["error[R103]: ", "did you mean \"uk\"?", "did you mean \"alpha\"?", "--> wrong.yaml:17:"] {
        assert!(refused.stderr.contains(part), "{part} is missing:\n{}", refused.stderr);
    }
    // A run refuses it in the same words, before anything is made.
    let run = rater(folder.path(), &["rate", "usage.csv", "-r", "wrong.yaml", "-o", "nothing"]).expect(2);
    assert_eq!(run.stderr, refused.stderr);
    assert!(!folder.path().join("nothing").exists());
    assert_eq!(
        rater(folder.path(), &["check", "--explain", "R103"]).expect(0).stdout,
        rater(folder.path(), &["explain", "R103"]).expect(0).stdout
    );
    rater(folder.path(), &["check", "--explain", "R999"]).expect(2);
}

#[test]
fn exit_codes_tell_findings_data_and_surroundings_apart() {
    let folder = example();
    let code = |arguments: &[&str]| rater(folder.path(), arguments).code;
    assert_eq!(code(&["rate", "usage.csv", "--fail-on-suspense"]), 1);
    assert_eq!(code(&["rate", "usage.csv", "--fail-on-suspense"]), 1, "it still waits");
    assert_eq!(code(&["rate", "usage.csv", "-f", "avro"]), 2, "begun with another form");
    assert_eq!(code(&["rate"]), 2);
    assert_eq!(code(&["rate", "--no-such-option"]), 2);
    assert_eq!(code(&["rate", "nowhere.csv"]), 2);
    assert_eq!(code(&["rate", "rating.yaml"]), 2, "no form has this ending");
    assert_eq!(code(&["rate", "usage.csv", "-o", "rating.yaml/out"]), 3);
    assert_eq!(code(&["rate", "usage.csv", "--now", "yesterday"]), 2);
    assert_eq!(code(&["rate", "usage.csv", "--duplicate-window", "90 min"]), 2);
    assert_eq!(code(&["test", "--junit", "rating.yaml/junit.xml"]), 3);
    assert_eq!(code(&["test", "nowhere"]), 2);
    write(folder.path(), "broken.csv", "id,service\nr1,data\n");
    let broken = rater(folder.path(), &["rate", "broken.csv", "-o", "other"]).expect(2);
    assert!(broken.stderr.contains("column \"quantity\" is missing"), "{}", broken.stderr);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let lost = rater(elsewhere.path(), &["rate", "usage.csv"]).expect(2);
    assert!(lost.stderr.contains("no rating.yaml found"), "{}", lost.stderr);
}

#[test]
fn every_command_speaks_json() {
    let folder = example();
    let json = |arguments: &[&str], code: i32| {
        let ran: Ran = rater(folder.path(), &[arguments, &["--json"]].concat()).expect(code);
        assert_eq!(ran.stderr, "", "{arguments:?}");
        ran.json()
    };
    let rated = json(&["rate", "usage.csv"], 0);
    assert_eq!(rated["totals"]["rated"], 3);
    assert_eq!(rated["totals"]["balanced"], true);
    assert_eq!(rated["totals"]["money"][0]["charges"], "3.17");
    assert_eq!(rated["rows"][2]["payer"], "beta");
    assert_eq!(rated["rows"][2]["margin"], "-0.35");
    assert_eq!(rated["rows"][0]["endpoints"], 2);
    assert_eq!(rated["examples"][0]["reason"], "unknown_endpoint");
    assert_eq!(rated["examples"][0]["line"], 6);
    assert_eq!(json(&["rate", "usage.csv"], 0)["already_rated"][0], "usage.csv");
    assert_eq!(json(&["check"], 0)["endpoints"], 2);
    assert_eq!(json(&["explain", "r2", "--level", "1"], 0)["explanations"][0]["charges"][0]["amount"], "0.3");
    assert_eq!(json(&["explain", "R103"], 0)["code"], "R103");
    assert_eq!(json(&["quote", "--endpoint", "meter-1", "--quantity", "1 MB"], 0)["charges"][0]["amount"], "0.2");
    assert_eq!(json(&["test"], 0)["passed"], 1);
    assert_eq!(json(&["init", "more"], 0)["folder"], "more");
    assert!(json(&["config", "show"], 0).as_array().is_some_and(|settings| settings.len() > 10));
    assert_eq!(json(&["rate", "nowhere.csv"], 2)["error"]["kind"], "data");
    write(folder.path(), "wrong.yaml", "format: rater/v1\nzones: { uk: { networks: [x] } }\n");
    let refused = json(&["check", "wrong.yaml"], 2);
    assert_eq!(refused["error"]["errors"][0]["code"], "R025");
    assert_eq!(refused["error"]["errors"][0]["at"]["line"], 2);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_commit() {
    let folder = example();
    let mut child = command(folder.path())
        .args(["rate", "usage.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let again = rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    assert!(again.stdout.starts_with("usage.csv  already rated\n"), "{}", again.stdout);

    let mut child = command(folder.path())
        .args(["rate", "usage.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let ended = Ran::from(child.wait_with_output().expect("it ends")).expect(0);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn colours_come_only_when_asked_for_where_there_is_no_terminal() {
    let folder = example();
    let plain = rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'));
    let coloured = rater(folder.path(), &["rate", "usage.csv", "--color", "always"]).expect(0);
    assert!(coloured.stdout.contains("\u{1b}[31mbelow cost\u{1b}[0m"), "{}", coloured.stdout);
    let never = rater(folder.path(), &["rate", "usage.csv", "--color", "never"]).expect(0);
    assert_eq!(never.stdout, rater(folder.path(), &["rate", "usage.csv"]).expect(0).stdout);
    let quiet = rater(folder.path(), &["rate", "usage.csv", "-q"]).expect(0);
    assert_eq!((quiet.stderr.as_str(), quiet.stdout), ("", never.stdout));
}

#[test]
fn a_dry_run_leaves_nothing() {
    let folder = example();
    let dry = rater(folder.path(), &["rate", "usage.csv", "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("charges = deltas = £3.17 ✓"), "{}", dry.stdout);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_waits_is_rated_when_the_reference_data_is_mended() {
    let folder = example();
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    let yaml = std::fs::read_to_string(folder.path().join("rating.yaml")).expect("rating.yaml");
    write(folder.path(), "rating.yaml", &(yaml + "  meter-3: { customer: acme, imsi: 001019999999999 }\n"));
    let recycled = rater(folder.path(), &["rate", "--recycle", "--fail-on-suspense"]).expect(0);
    assert!(recycled.stdout.contains("recycled  1 tried again, 1 no longer wait\n"), "{}", recycled.stdout);
    assert!(recycled.stdout.contains("6 in (1 again) = 4 rated + 1 duplicate + 1 suspended ✓"), "{}", recycled.stdout);
    assert!(
        recycled.stdout.contains("1  acme -> beta         10.0 MB  5.0 MB   5.0 MB    £0.75"),
        "{}",
        recycled.stdout
    );
}

#[test]
fn columns_may_have_other_names() {
    let folder = example();
    let usage =
        "key,service,octets,event_time,imsi,mcc,mnc\nr1,data,1000000,2026-03-05T14:00:00Z,001010000000001,234,15\n";
    write(folder.path(), "mapped.csv", usage);
    let mapped = ["rate", "mapped.csv", "--map", "id=key", "--map", "quantity=octets"];
    let rated = rater(folder.path(), &[&mapped[..], &["-o", "mapped"]].concat()).expect(0);
    assert!(rated.stdout.contains("1 in = 1 rated ✓"), "{}", rated.stdout);

    let usage = "chargingID,recordSequenceNumber,ratingGroup,nodeID,datavolumeFBCUplink,datavolumeFBCDownlink,recordOpeningTime,\
                 servedIMSI,servingNodePLMNIdentifier,rATType\n\
                 77,1,10,pgw-1,400000,600000,2026-03-05T14:00:00Z,001010000000001,23415,6\n";
    write(folder.path(), "pgw.txt", usage);
    let preset = ["rate", "pgw.txt", "--input-format", "csv", "--preset", "3gpp-pgw-summed", "-o", "pgw"];
    let rated = rater(folder.path(), &preset).expect(0);
    assert!(rated.stdout.contains("acme -> beta        1.0 MB  1.0 MB       –    £0.00"), "{}", rated.stdout);
}

#[test]
fn settings_come_from_flags_then_the_environment_then_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let show = |arguments: &[&str]| {
        let output = command(folder.path())
            .env("RATER_COMMIT_RECORDS", "123")
            .env("RATER_SOURCE", "pgw-7")
            .args([&["config", "show", "--json"], arguments].concat())
            .output()
            .expect("the program runs");
        Ran::from(output).expect(0).json()
    };
    let settings = show(&["--source", "pgw-8"]);
    let find = |name: &str| {
        let all = settings.as_array().expect("a list");
        let setting = all.iter().find(|setting| setting["setting"] == name).expect("the setting");
        format!("{} {}", setting["value"].as_str().expect("a text"), setting["origin"].as_str().expect("a text"))
    };
    assert_eq!(find("commit-records"), "123 environment RATER_COMMIT_RECORDS");
    assert_eq!(find("source"), "pgw-8 flag");
    assert_eq!(find("batch-records"), "1024 default");
    assert_eq!(find("format"), "jsonl default");
}

/// `rater config page > docs/configuration.md` brings it up to date.
#[test]
fn the_page_of_settings_is_the_one_in_docs() {
    let page = include_str!("../../../docs/configuration.md");
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(rater(folder.path(), &["config", "page"]).expect(0).stdout, page);
}

#[test]
fn shells_are_given_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let script = rater(folder.path(), &["completions", shell]).expect(0).stdout;
        assert!(script.contains("fail-on-suspense"), "{shell}");
    }
}

#[test]
fn hundreds_of_customers_do_not_flood_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let parameters =
        Parameters { records: 1500, customers: 60, endpoints: 300, profile: Profile::Bench, ..Parameters::bench(7) };
    generator::write_files(&parameters, folder.path()).expect("generated files");
    let arguments = ["rate", "usage.jsonl", "--endpoints", "endpoints.csv", "--now", "2030-01-01T00:00:00Z"];
    let rated = rater(folder.path(), &arguments).expect(0);
    assert!(rated.stdout.lines().count() < 90, "{}", rated.stdout);
    assert!(rated.stdout.lines().any(|line| line.contains(" … ") && line.contains(" more, ")), "{}", rated.stdout);
    let rows = rater(folder.path(), &[&arguments[..], &["--json"]].concat()).expect(0).json()["rows"].clone();
    assert!(rows.as_array().is_some_and(|rows| rows.len() > 60));
}
