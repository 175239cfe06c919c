//! What waits is listed, shown, and tried again when somebody asks: then it is charged, once. Or it is given up, once.

use crate::deployment::{Deployment, LEVELS, Read1};
use crate::shown;
use crate::support::{Ran, rater};
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) fn suspense(deployment: &Deployment, action: &str, more: &[&str]) -> Ran {
    let place = ["--kafka-brokers", deployment.kafka.bootstrap(), "--topic-prefix", &deployment.prefix];
    rater(deployment.folder.path(), &[&["suspense", action][..], &place, more].concat())
}

/// What waits, once that are so many.
#[track_caller]
fn wait_for_open(deployment: &Deployment, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let listed = suspense(deployment, "ls", &["--json"]).expect(0).json();
        let listed = listed.as_array().expect("a list").clone();
        if listed.len() == count {
            return listed;
        }
        assert!(Instant::now() < deadline, "{count} are expected: {listed:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn record(id: u32, imsi: &str) -> Vec<u8> {
    let at = "2026-03-05T14:00:00Z";
    format!(r#"{{"id":"u{id}","source":"test","service":"data","quantity":1000,"event_time":"{at}","imsi":"{imsi}"}}"#)
        .into_bytes()
}

/// The endpoint turns up in the reference data.
fn add_endpoint(deployment: &Deployment, imsi: &str) {
    let path = deployment.folder.path().join("rating.yaml");
    let reference = std::fs::read_to_string(&path).expect("reference data");
    let added = format!("  meter-9: {{ customer: acme, imsi: {imsi}, plan: {{ tariff: meter-plan }} }}\n");
    std::fs::write(&path, format!("{}\n{added}", reference.trim_end())).expect("written");
}

#[test]
fn what_waits_is_listed_and_charged_once_when_somebody_asks() {
    let deployment = Deployment::new("waits");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 2);
    let unknown = "001010000000009";
    deployment.write("usage", &[record(10, unknown), record(11, unknown), b"rubbish".to_vec()]);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);
    deployment.wait_for("suspense", 3, &mut running);
    let listed = wait_for_open(&deployment, 3);
    let reasons = |name: &str| listed.iter().filter(|open| open["reason"] == name).count();
    assert_eq!((reasons("unknown_endpoint"), reasons("undecodable")), (2, 1), "{listed:#?}");

    let shown = suspense(&deployment, "show", &["u10", "--json"]).expect(0).json();
    assert_eq!(shown[0]["original"], serde_json::from_slice::<Value>(&record(10, unknown)).unwrap(), "{shown:#}");
    let text = suspense(&deployment, "show", &["u10"]).expect(0).stdout;
    assert!(text.contains("what to do"), "{text}");
    suspense(&deployment, "ls", &["--reason", "nonsense"]).expect(2);

    // A plan does nothing.
    let planned = suspense(&deployment, "recycle", &["--reason", "unknown_endpoint"]).expect(1);
    assert!(planned.stdout.contains("2  unknown_endpoint") && planned.stdout.contains("--apply"), "{}", planned.stdout);

    // Nothing is mended: both wait again, tried once.
    let apply = ["--reason", "unknown_endpoint", "--apply"];
    suspense(&deployment, "recycle", &apply).expect(0);
    deployment.wait_for("suspense", 5, &mut running);
    let listed = wait_for_open(&deployment, 3);
    assert_eq!(listed.iter().filter(|open| open["attempt"] == 1).count(), 2, "{listed:#?}");
    running.stop();

    add_endpoint(&deployment, unknown);
    let mut running = deployment.start(&[]);
    // Asked twice, charged once.
    suspense(&deployment, "recycle", &apply).expect(0);
    suspense(&deployment, "recycle", &["u10", "u11", "--apply"]).expect(0);
    deployment.wait_for("charges", 4 * LEVELS, &mut running);
    wait_for_open(&deployment, 1);
    running.stop();
    deployment.check_charged(4);
    let nothing = suspense(&deployment, "recycle", &["--reason", "unknown_endpoint"]).expect(0);
    assert!(nothing.stdout.contains("nothing waits"), "{}", nothing.stdout);
}

#[test]
fn what_is_given_up_is_told_once_and_is_not_charged_later() {
    let deployment = Deployment::new("given-up");
    let (mut running, address) = shown::start(&deployment, &["--log-level", "info"]);
    let unknown = "001010000000009";
    deployment.write("usage", &[record(10, unknown), record(11, unknown), b"rubbish".to_vec()]);
    deployment.wait_for("suspense", 3, &mut running);
    wait_for_open(&deployment, 3);

    // Why, and what, has to be said.
    for options in [&["--reason", "undecodable"][..], &["--because", "x"], &["--because", " ", "u10"]] {
        suspense(&deployment, "write-off", options).expect(2);
    }
    let because = ["--because", "bytes of a test device", "--reason", "undecodable", "--reason", "unknown_endpoint"];
    let planned = suspense(&deployment, "write-off", &because).expect(1);
    for words in ["1  undecodable", "2  unknown_endpoint", "--apply has these given up"] {
        assert!(planned.stdout.contains(words), "no {words:?} in {}", planned.stdout);
    }
    assert_eq!(wait_for_open(&deployment, 3).len(), 3, "a plan does nothing");

    // Asked twice, told once each.
    let apply = [&because[..], &["--apply"]].concat();
    suspense(&deployment, "write-off", &apply).expect(0);
    suspense(&deployment, "write-off", &["--because", "again", "u10", "--apply"]).expect(0);
    wait_for_open(&deployment, 0);
    deployment.wait_for("suspense", 6, &mut running);
    shown::wait_for_page(&address, "/metrics", "rater_written_off_total{reason=\"unknown_endpoint\"} 2\n");
    shown::wait_for_page(&address, "/metrics", "rater_written_off_total{reason=\"undecodable\"} 1\n");
    shown::wait_for_page(&address, "/metrics", "rater_suspense_open_records 0\n");
    running.stop();

    // The endpoint turns up, and the records come again.
    add_endpoint(&deployment, unknown);
    let mut running = deployment.start(&[]);
    deployment.write("usage", &[record(10, unknown), record(11, unknown), record(12, unknown)]);
    suspense(&deployment, "recycle", &["--apply"]).expect(0);
    deployment.wait_for("charges", LEVELS, &mut running);
    running.stop();
    deployment.check_charged(1);
    let told = deployment.read("suspense");
    assert_eq!(told.len(), 6, "what was given up is told of once");
    let header = |message: &Read1, name: &str| {
        message.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let written_off = told.iter().filter(|message| header(message, "rater-written-off").is_some());
    let mut reasons: Vec<_> = written_off
        .map(|message| {
            assert_eq!(header(message, "rater-written-off").as_deref(), Some("bytes of a test device"));
            assert!(
                header(message, "rater-origin").is_some_and(|origin| origin.starts_with(&deployment.topic("usage")))
            );
            header(message, "rater-reason").expect("a reason")
        })
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["undecodable", "unknown_endpoint", "unknown_endpoint"]);
}
