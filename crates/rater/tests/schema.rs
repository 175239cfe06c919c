//! `rater schema`, against the registry of the test kit.
#![cfg(feature = "kafka")]

mod support;

use support::{command, rater};
use testkit::registry::{Fault, TestRegistry};

#[test]
fn contracts_are_checked_and_registered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestRegistry::start().expect("a free port");
    let url = server.url();
    let run = |arguments: &[&str]| rater(folder.path(), &[&["schema"], arguments, &["--registry-url", &url]].concat());
    let states = |json: serde_json::Value| -> Vec<String> {
        let lines = json.as_array().expect("a list").clone();
        lines.iter().map(|line| line["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!(states(run(&["check", "--json"]).expect(0).json()), ["new"; 8]);
    let registered = run(&["register"]).expect(0);
    assert!(registered.stdout.contains("charges-value"), "{}", registered.stdout);
    let again = run(&["check", "--json"]).expect(0).json();
    assert_eq!(states(again.clone()), ["registered"; 8]);
    assert_eq!((&again[0]["subject"], &again[0]["id"]), (&"usage-value".into(), &1.into()));
    assert_eq!(again[0]["detail"], "FULL_TRANSITIVE");
    assert_eq!(states(run(&["check", "--json", "--topic-prefix", "uk."]).expect(0).json()), ["new"; 8]);
    // Somebody else's schema is in the way.
    let other = run(&["check", "--usage-topics", "usage,charges"]).expect(1);
    assert!(other.stdout.contains("incompatible"), "{}", other.stdout);
    assert_eq!(run(&["register", "--usage-topics", "charges"]).code, 1);
}

#[test]
fn surroundings_and_configuration_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestRegistry::start().expect("a free port");
    let url = server.url();
    let code = |arguments: &[&str]| rater(folder.path(), &[&["schema", "check"], arguments].concat()).code;
    assert_eq!(code(&["--registry-url", "localhost:8081"]), 2);
    assert_eq!(code(&[]), 2, "no registry");
    assert_eq!(code(&["--registry-url", &url, "--registry-password-file", "nowhere"]), 2);
    server.ask_for("Basic cmF0ZXI6aHVzaA==");
    assert_eq!(code(&["--registry-url", &url]), 2, "no credentials");
    let mut with = command(folder.path());
    with.args(["schema", "check", "--registry-user", "rater"]);
    let ran = with.env("RATER_REGISTRY_URL", &url).env("RATER_REGISTRY_PASSWORD", "hush").output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    server.fail_always(Some(Fault::Answer(503, Vec::new())));
    assert_eq!(code(&["--registry-url", &url]), 3);
}
