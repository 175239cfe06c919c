//! The load generator of docker-compose.yml does what it is told there: shorter, against a broker of the tests.

use std::path::Path;
use std::process::Command;
use testkit::compose::Compose;
use testkit::registry::TestRegistry;
use testkit::services::Kafka;

const RECORDS: u64 = 1_000;

#[test]
fn reference_data_and_load_are_made_as_composed() {
    let compose = Compose::read().unwrap_or_else(|error| panic!("{error}"));
    let kafka = Kafka::shared().expect("a broker");
    let registry = TestRegistry::start().expect("a registry");
    for topic in ["usage", "account-commands"] {
        kafka.create_topic(topic, 2, &[]).expect("a topic");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let reference = folder.path().join("reference");
    run(&compose.command("reference"), |part| {
        part.replace("/var/lib/rater/reference", &reference.display().to_string())
    });
    for name in ["rating.yaml", "endpoints.csv"] {
        assert!(reference.join(name).is_file(), "{name}");
        let path = format!("/var/lib/rater/reference/{name}");
        assert!(compose.command("directory").contains(&path), "the directory is filled from elsewhere than {path}");
    }
    let said = run(&compose.command("load"), |part| {
        part.replace("kafka:9092", kafka.bootstrap())
            .replace("http://schema-registry:8081", &registry.url())
            .replace("--records=17280000", &format!("--records={RECORDS}"))
            .replace("--rate=200", "--rate=1000")
    });
    let sent: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&sent["usage"], &sent["failed"], &sent["unfit"]), (&RECORDS.into(), &0.into(), &0.into()), "{said}");
    assert!(sent["commands"].as_u64() > Some(0), "no grants: {said}");
    let endpoints = |service: &str| compose.command(service).join(" ").replace('=', " ");
    for option in ["--seed", "--endpoints", "--customers"] {
        let value =
            |service| endpoints(service).split(' ').skip_while(|part| *part != option).nth(1).map(str::to_owned);
        assert_eq!(value("reference"), value("load"), "{option} differs: usage of endpoints that nobody knows");
    }
}

/// Runs the generator with the arguments of a service, each changed for where this test is.
fn run(arguments: &[String], change: impl Fn(&str) -> String) -> String {
    assert!(!arguments.is_empty(), "no arguments");
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_rater-load")))
        .args(arguments.iter().map(|part| change(part)))
        .arg("--json")
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
