//! Whole directories: tables, load, dump, load again; one endpoint.

use crate::store::{Directory, REFERENCE};
use std::fmt::Write;

#[test]
fn migrations_are_applied_once() {
    let directory = Directory::bare("migrations");
    assert_eq!(
        directory.migrate().stdout,
        "migration 1 \"directory\" applied\nmigration 2 \"identity\" applied\nmigration 3 \"history\" applied\n"
    );
    assert_eq!(directory.migrate().stdout, "nothing to do ✓\n");
    assert_eq!(directory.run(&["diff"]).expect(1).code, 1, "all of the files is missing from an empty store");
}

#[test]
fn what_is_loaded_comes_out_again_and_gives_an_equal_directory() {
    let directory = Directory::loaded("round_trip");
    directory.run(&["diff"]).expect(0);
    directory.run(&["dump", "-o", "dump.yaml", "--endpoints", "dump.csv"]).expect(0);
    let csv = std::fs::read_to_string(directory.path().join("dump.csv")).expect("a file");
    // What a row cannot hold stays in the YAML.
    assert!(
        csv.contains("\nmeter-1,acme,001010000000001,8944000000000000001,,,,\n") && !csv.contains("meter-2"),
        "{csv}"
    );
    let again = Directory::empty("round_trip_again");
    for name in ["dump.yaml", "dump.csv"] {
        again.write(name, &std::fs::read_to_string(directory.path().join(name)).expect("a file"));
    }
    again.run(&["load", "dump.yaml", "dump.csv"]).expect(0);
    assert_eq!(again.run(&["dump"]).expect(0).stdout, directory.run(&["dump"]).expect(0).stdout);
    directory.run(&["diff", "rating.yaml"]).expect(0);
}

#[test]
fn a_store_that_holds_something_is_replaced_only_on_purpose() {
    let directory = Directory::loaded("replaced");
    let refused = directory.run(&["load"]).expect(2);
    assert!(refused.stderr.contains("the store holds version 1 already") && refused.stderr.contains("--replace"));
    assert!(directory.run(&["load", "--replace"]).expect(0).stdout.contains("holds this already"));
    directory.write(
        "other.yaml",
        &REFERENCE
            .replace("0.05/MB", "0.06/MB")
            .replace("  zeta: ", "  eta: ")
            .replace("customer: zeta", "customer: eta"),
    );
    let replaced = directory.json(&["load", "other.yaml", "--replace"], 0);
    assert_eq!(replaced["version"], 2);
    assert_eq!(replaced["changes"]["accounts"], 2, "one is new and one is gone: {replaced}");
    directory.run(&["diff", "other.yaml"]).expect(0);
    let found = directory.json(&["get", "imsi:001010000000003", "--at", "2026-07-01T00:00:00Z"], 0);
    assert_eq!(found["customer"], "eta");
}

#[test]
fn broken_reference_data_is_refused_before_anything_is_written() {
    let directory = Directory::empty("broken");
    directory.write("rating.yaml", &REFERENCE.replace("tariff: plus }", "tariff: pluss }"));
    let refused = directory.run(&["load"]).expect(2);
    assert!(refused.stderr.contains("error[R102]") && refused.stderr.contains("rating.yaml:"), "{}", refused.stderr);
    assert_eq!(directory.json(&["dump"], 0)["version"], 0);
}

#[test]
fn an_endpoint_is_found_by_what_it_had_at_the_moment() {
    let directory = Directory::loaded("get");
    let get = |key: &str, at: &str, code| directory.json(&["get", key, "--at", at], code);
    let (before, after) = ("2026-05-31T23:59:59.999Z", "2026-06-01T00:00:00Z");
    let found = get("imsi:001010000000002", before, 0);
    assert_eq!((&found["endpoint"], &found["customer"]), (&"meter-2".into(), &"acme".into()));
    let payers: Vec<&str> =
        found["edges"].as_array().expect("edges").iter().map(|edge| edge["payer"].as_str().expect("a name")).collect();
    assert_eq!(payers, ["acme/meter-2", "acme", "beta"]);
    assert_eq!(get("imsi:001010000000002", after, 1)["endpoint"], serde_json::Value::Null);
    assert_eq!(get("imsi:001010000000003", after, 0)["customer"], "zeta");
    assert_eq!(get("imsi:001010000000003", before, 1)["endpoint"], serde_json::Value::Null);
    let named = get("meter-2", after, 0);
    assert_eq!(named["identities"]["imsi"], "001010000000003");
    assert_eq!(named["edges"][0]["tariff"], "plus");
    assert!(directory.run(&["get", "imsi:1"]).expect(1).stderr.contains("imsi 1: nobody has it"));
    directory.run(&["get", "imei:1"]).expect(2);
}

/// More than a page of a scan, and more requests than are in flight at once.
#[test]
fn thousands_of_endpoints_are_loaded_and_read_back() {
    let directory = Directory::empty("thousands");
    let mut csv = String::from("endpoint,customer,imsi,msisdn\n");
    for number in 0..5_000 {
        let _ = writeln!(csv, "e{number},acme,23415{number:010},4477{number:06}");
    }
    directory.write("endpoints.csv", &csv);
    let loaded = directory.json(&["load", "rating.yaml", "endpoints.csv"], 0);
    assert_eq!(loaded["changes"]["endpoints"], 5_002);
    directory.run(&["diff", "rating.yaml", "endpoints.csv"]).expect(0);
    assert_eq!(directory.json(&["get", "msisdn:4477004999"], 0)["endpoint"], "e4999");
}

/// A store that is made in the place of another one is known by its id, and the same one stays the same.
#[test]
fn every_store_has_an_id_of_its_own() {
    let id = |directory: &Directory| {
        let head = crate::store::block_on(async { directory.connect().await.head_row().await.expect("a head").head });
        head.store
    };
    let (one, two) = (Directory::loaded("id_one"), Directory::empty("id_two"));
    let first = id(&one);
    one.migrate();
    one.apply("endpoints: { x: { customer: acme } }").expect(0);
    assert_eq!((id(&one), first.len()), (first.clone(), 36));
    assert_ne!(id(&two), first);
}

/// That is said when they are written, and when a service starts that does not buy them.
#[cfg(feature = "kafka")]
#[test]
fn bundles_in_plans_of_endpoints_are_told_wherever_they_are_not_bought() {
    let directory = Directory::empty("plans");
    directory.write("rating.yaml", &REFERENCE.replace(", bundles: [ { bundle: own, endpoint: meter-1 } ]", ""));
    let quiet = directory.run(&["load"]).expect(0);
    assert!(!quiet.stderr.contains("bundles"), "{}", quiet.stderr);
    let start = |more: &[&str]| {
        // No address of this machine: who gets as far as listening ends there, without waiting for a broker.
        let nowhere = ["run", "--directory", "store", "--listen", "192.0.2.1:9"];
        directory.run_program(&[&nowhere[..], more].concat()).expect(2).stderr
    };
    let plan = "endpoints: { meter-8: { customer: acme, imsi: 001010000000008, plan: { bundles: [own] } } }";
    let said = directory.apply(plan).expect(0);
    assert!(
        said.stderr
            .contains("the plan of 1 endpoint grants bundles: rater run buys them, rater rate does not from a store"),
        "{}",
        said.stderr
    );
    assert_eq!(directory.json(&["load", "--replace"], 0)["plans_with_bundles"], 0);
    assert_eq!(directory.json(&["apply", "change.yaml", "--yes"], 0)["plans_with_bundles"], 1);
    assert!(!start(&[]).contains("grant bundles"));
    let said = start(&["--grants", "ignore"]);
    assert!(said.contains("plans of endpoints grant bundles, which are not bought here"), "{said}");
}
