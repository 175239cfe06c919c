//! `verify`: rows that do not stand as their copies say are found, told and mended.

use crate::store::Directory;
use serde_json::Value;

const WRONG: &str = "{customer: zeta, imsi: 001010000000008, iccid: 8944000000000000008}";
const RIGHT: &str = "{customer: acme, imsi: 001010000000008, iccid: 8944000000000000008}";

/// Nobody else notices: what is compared and planned on is read under the names of endpoints.
#[test]
fn rows_that_differ_from_their_copies_are_found_told_and_mended() {
    let directory = Directory::loaded("verified");
    let fine = directory.run(&["verify"]).expect(0);
    assert_eq!(fine.stdout, "version 1: the rows of 2 endpoints agree ✓\n");
    directory
        .apply(&format!("endpoints: {{ meter-8: {RIGHT}, meter-9: {{ customer: acme, imsi: 001010000000009 }} }}"))
        .expect(0);
    let wrong = format!(
        "UPDATE endpoints_by_identity SET body = '{WRONG}' WHERE kind = 'imsi' AND value = '001010000000008' \
         AND endpoint = 'meter-8' AND version = 2"
    );
    directory.damage(&[
        &wrong,
        "DELETE FROM endpoints_by_identity WHERE kind = 'iccid' AND value = '8944000000000000008'",
        "INSERT INTO endpoints_by_identity (kind, value, endpoint, version, body) \
         VALUES ('name', 'meter-2', 'meter-2', -1, null)",
        "INSERT INTO endpoints_by_identity (kind, value, endpoint, version, body) \
         VALUES ('msisdn', '447700900001', 'meter-9', 2, '{customer: zeta, msisdn: 447700900001}')",
        "INSERT INTO definitions (kind, bucket, name, version, body) VALUES ('zone', 17, 'nowhere', 99, '{networks: [1]}')",
        "DELETE keys FROM changes WHERE version = 1 AND part = 0",
        "DELETE FROM changes WHERE version = 2",
    ]);
    assert_eq!(directory.json(&["get", "imsi:001010000000008"], 0)["customer"], "zeta");
    directory.run(&["get", "meter-2"]).expect(3);

    let found = directory.json(&["verify"], 1);
    let told = |row: &Value| {
        ["table", "key", "endpoint", "stands", "should"]
            .map(|name| row[name].as_str().unwrap_or("").to_owned())
            .join("|")
    };
    let told: Vec<String> = found["differences"].as_array().expect("a list").iter().map(told).collect();
    let misnumbered = |number: i64| format!("a row of version {number}, which no writer has written|no such row");
    assert_eq!(
        told,
        [
            "definitions|zone:nowhere||a row of version 99 in bucket 17, where no writer writes it|no such row".to_owned(),
            format!("endpoints_by_identity|name:meter-2|meter-2|{}", misnumbered(-1)),
            format!("endpoints_by_identity|imsi:001010000000008|meter-8|{WRONG}|{RIGHT}"),
            format!("endpoints_by_identity|iccid:8944000000000000008|meter-8|nothing|{RIGHT}"),
            "endpoints_by_identity|msisdn:447700900001|meter-9|{customer: zeta, msisdn: 447700900001}|nothing".to_owned(),
            "changes|1||the change log of version 1 lacks the list in part 1 of 1|1 parts: as nobody knows what was lost, that everything may have changed"
                .to_owned(),
            "changes|2||the change log of version 2 lacks part 1 of 1|1 parts: as nobody knows what was lost, that everything may have changed"
                .to_owned(),
        ]
    );
    assert_eq!((&found["version"], &found["mended_by"]), (&2.into(), &Value::Null));
    let said = directory.run(&["verify"]).expect(1);
    assert!(
        said.stdout.ends_with("7 rows differ in version 2; --mend writes what should stand there\n"),
        "{}",
        said.stdout
    );
    let part = format!(
        "endpoints_by_identity imsi:001010000000008 of endpoint meter-8\n  stands  {WRONG}\n  should  {RIGHT}\n"
    );
    assert!(said.stdout.contains(&part), "{}", said.stdout);

    let mended = directory.run(&["verify", "--mend", "--actor", "ann"]).expect(0);
    assert!(mended.stdout.ends_with("7 rows differ, mended by version 3 ✓\n"), "{}", mended.stdout);
    directory.run(&["verify"]).expect(0);
    assert_eq!(directory.json(&["get", "imsi:001010000000008"], 0)["customer"], "acme");
    assert_eq!(directory.json(&["get", "iccid:8944000000000000008"], 0)["endpoint"], "meter-8");
    directory.run(&["get", "msisdn:447700900001"]).expect(1);
    directory.run(&["get", "meter-2"]).expect(0);
    // Caches hear of it as of any other change, and people of whom the wrong row charged.
    let again = directory.json(&["changes", "3", "--retroactive"], 0);
    let names: Vec<&str> =
        again.as_array().expect("a list").iter().filter_map(|thing| thing["name"].as_str()).collect();
    assert_eq!(names, ["meter-8", "meter-9"]);
    assert_eq!(directory.json(&["changes", "2"], 0)[0]["what"], "lost");
}

/// Where nothing in the store says what is right, that is said, and nothing is written.
#[test]
fn what_cannot_be_mended_is_left_to_people() {
    let directory = Directory::loaded("unmended");
    directory.damage(&[
        "DELETE FROM endpoints_by_identity WHERE kind = 'name' AND value = 'meter-1'",
        "DELETE FROM endpoints_by_identity WHERE kind = 'imsi' AND value = '001010000000001'",
    ]);
    let said = directory.run(&["verify", "--mend"]).expect(1);
    assert!(said.stdout.contains("iccid:8944000000000000001 of endpoint meter-1  cannot be mended"), "{}", said.stdout);
    assert!(said.stdout.contains("apply the definition that is meant"), "{}", said.stdout);
    assert_eq!(directory.json(&["dump"], 0)["version"], 1);
    directory
        .apply("endpoints: { meter-1: { customer: acme, imsi: 001010000000001, iccid: 8944000000000000001 } }")
        .expect(0);
    directory.run(&["verify"]).expect(0);
}
