//! What waits is listed, shown, and tried again when somebody asks: then it is charged, once.

use crate::deployment::{Deployment, LEVELS};
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

    let path = deployment.folder.path().join("rating.yaml");
    let reference = std::fs::read_to_string(&path).expect("reference data");
    let added = format!("  meter-9: {{ customer: acme, imsi: {unknown}, plan: {{ tariff: meter-plan }} }}\n");
    std::fs::write(&path, format!("{}\n{added}", reference.trim_end())).expect("written");
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
