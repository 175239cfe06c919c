//! The state horizon of a folder: what has left does not come back when the horizon is made longer.

use crate::support::rater;
use std::path::Path;

const REFERENCE: &str = "format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }] }
bundles:
  day: { currency: GBP, lasts: 1 day, elements: [{ service: data, amount: 10 MB }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme }
";

fn usage(id: &str, at: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"{at}\",\"endpoint_id\":\"meter-1\"}}\n"
    )
}

fn rate(folder: &Path, name: &str, lines: &str, horizon: &str) -> serde_json::Value {
    std::fs::write(folder.join(name), lines).expect("written");
    let arguments = [
        "rate",
        name,
        "--reference",
        "rating.yaml",
        "-o",
        "out",
        "--state-horizon",
        horizon,
        "--now",
        "2026-07-01T00:00:00Z",
        "--json",
    ];
    rater(folder, &arguments).expect(0).json()
}

fn rows(folder: &Path, output: &str, id: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("out").join(output)).expect("an output");
    let rows = text.lines().map(|line| serde_json::from_str(line).expect("an object"));
    rows.filter(|row: &serde_json::Value| row["usage_id"] == id).collect()
}

#[test]
fn a_longer_horizon_does_not_bring_back_what_has_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::write(folder.join("rating.yaml"), REFERENCE).expect("written");
    let bought = "{\"command_id\":\"c1\",\"kind\":\"buy_bundle\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\
                  \"effective_time\":\"2026-03-01T00:00:00Z\",\"bundle_id\":\"day\"}\n";
    rate(folder, "1.jsonl", &format!("{bought}{}", usage("u1", "2026-03-01T01:00:00Z")), "10 d");
    assert_eq!(rows(folder, "charges.jsonl", "u1")[0]["reason"], "bundle");
    // The bundle of 1 March leaves.
    rate(
        folder,
        "2.jsonl",
        &format!("{{\"tick\":\"2026-06-01T00:00:00Z\"}}\n{}", usage("u2", "2026-06-01T00:00:00Z")),
        "10 d",
    );
    rate(folder, "3.jsonl", &usage("u3", "2026-06-01T00:00:00Z"), "10 d");
    // Neither free nor for money: what held then is not known any more.
    rate(folder, "4.jsonl", &usage("u4", "2026-03-01T02:00:00Z"), "200 d");
    assert_eq!(rows(folder, "suspense.jsonl", "u4")[0]["reason"], "too_old_to_rate");
    assert!(rows(folder, "charges.jsonl", "u4").is_empty());
    rate(folder, "5.jsonl", &usage("u5", "2026-05-30T00:00:00Z"), "200 d");
    assert_eq!(rows(folder, "charges.jsonl", "u5")[0]["reason"], "rated");
}
