//! `apply`: what is planned, refused and logged.

use crate::store::{Directory, REFERENCE, author};
use directory::cache::{CatalogChange, EndpointChanges, Rows, Version};
use directory::store::{Change, Kind, TakeOver};
use std::collections::BTreeSet;

#[test]
fn a_plan_says_what_changes_and_from_when_and_writes_nothing() {
    let directory = Directory::loaded("plan");
    let change = "format: rater/v1\naccounts:\n  zeta: { kind: customer, parent: beta, currency: GBP, tariff: plus, changes: [ { from: 2099-01-01T00:00:00Z, status: suspended } ] }\n\
                  endpoints:\n  meter-1: { customer: zeta, imsi: 001010000000001 }\n  meter-9: { customer: zeta, msisdn: 447700 }\n";
    directory.write("change.yaml", change);
    // The grant of acme names meter-1, which would no longer be below it.
    let refused = directory.run(&["apply", "change.yaml"]).expect(2);
    assert!(refused.stderr.contains("error[R143]") && refused.stderr.contains("--> store@1:"), "{}", refused.stderr);

    directory.write("change.yaml", &change.replace("  meter-1: { customer: zeta", "  meter-1: { customer: acme"));
    let plan = directory.json(&["apply", "change.yaml", "--remove", "endpoint:meter-2"], 1);
    let seen: Vec<String> = (plan["changes"].as_array().expect("changes").iter())
        .map(|change| {
            format!("{} {} {} {}", change["what"], change["name"], change["from"], change["retroactive"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        seen,
        [
            "changed zeta 2099-01-01T00:00:00Z false",
            "changed meter-1 always true",
            "removed meter-2 always true",
            "added meter-9 always false",
        ]
    );
    assert_eq!((&plan["base"], &plan["version"]), (&1.into(), &serde_json::Value::Null));
    directory.run(&["diff"]).expect(0);

    let done = directory
        .json(&["apply", "change.yaml", "--remove", "endpoint:meter-2", "--yes", "--note", "why", "--actor", "ann"], 0);
    assert_eq!(done["version"], 2);
    assert_eq!(directory.json(&["apply", "change.yaml"], 0)["changes"].as_array().map(Vec::len), Some(0));
    assert_eq!(directory.json(&["get", "iccid:8944000000000000001"], 1)["endpoint"], serde_json::Value::Null);
    assert_eq!(directory.json(&["get", "msisdn:447700"], 0)["endpoint"], "meter-9");

    let log = directory.json(&["changes"], 0);
    let last = log.as_array().and_then(|log| log.last()).expect("an entry").clone();
    assert_eq!((&last["version"], &last["actor"], &last["note"]), (&2.into(), &"ann".into(), &"why".into()));
    assert_eq!(last["counts"], serde_json::json!({ "added": 1, "changed": 2, "removed": 1 }));
    assert_eq!((&last["retroactive"], &last["from"]), (&true.into(), &"always".into()));
    let again = directory.json(&["changes", "2", "--retroactive"], 0);
    let names: Vec<&str> =
        again.as_array().expect("a list").iter().filter_map(|thing| thing["name"].as_str()).collect();
    assert_eq!(names, ["meter-1", "meter-2"]);
    directory.run(&["changes", "3"]).expect(2);
}

/// Each of them alone, with the code of what is wrong; nothing is written.
#[test]
fn what_would_not_be_valid_is_refused_with_the_codes_of_files() {
    let directory = Directory::loaded("refusals");
    let cases: [(&str, &[&str], &str); 11] = [
        ("accounts: { northstar: { kind: reseller, parent: beta, currency: GBP } }", &[], "R150"),
        (
            "accounts: { beta: { kind: reseller, parent: gamma, currency: GBP }, gamma: { kind: reseller, parent: beta, currency: GBP } }",
            &[],
            "R154",
        ),
        ("accounts: { beta: { kind: customer, parent: northstar, currency: GBP, tariff: retail } }", &[], "R153"),
        ("accounts: { acme: { kind: reseller, parent: beta, currency: GBP } }", &[], "R161"),
        ("accounts: { zeta: { kind: customer, parent: beta, currency: EUR } }", &[], "R180"),
        ("tariffs: { plus: { alias_of: plus } }", &[], "R125"),
        ("endpoints: { other: { customer: acme, imsi: 001010000000001 } }", &[], "R160"),
        ("endpoints: { other: { customer: nobody } }", &[], "R101"),
        ("zones: { uk: { networks: [x] } }", &[], "R025"),
        ("", &["--remove", "account:zeta"], "R101"),
        ("", &["--remove", "tariff:retail"], "R102"),
    ];
    for (yaml, more, code) in cases {
        directory.write("change.yaml", &format!("format: rater/v1\n{yaml}\n"));
        let refused = directory.run(&[&["apply", "change.yaml", "--yes"], more].concat()).expect(2);
        assert!(refused.stderr.contains(&format!("error[{code}]")), "{yaml} {more:?}: {code}:\n{}", refused.stderr);
    }
    let refused = directory.run(&["apply", "--remove", "endpoint:nothing", "--yes"]).expect(2);
    assert!(
        refused.stderr.contains("endpoint \"nothing\" is to be removed, and the store has none"),
        "{}",
        refused.stderr
    );
    directory.run(&["apply", "--yes"]).expect(2);
    assert_eq!(directory.json(&["dump"], 0)["version"], 1);
    // An identity that somebody had until a moment may be taken from then on.
    directory.apply("endpoints: { other: { customer: acme, changes: [ { from: 2026-06-01T00:00:00Z, imsi: 001010000000002 } ] } }").expect(0);
    let found = directory.json(&["get", "imsi:001010000000002", "--at", "2026-06-01T00:00:00Z"], 0);
    assert_eq!(found["endpoint"], "other");
}

#[test]
fn caches_are_told_what_to_drop() {
    let directory = Directory::loaded("told");
    let edition =
        || crate::store::block_on(async { directory.connect().await.head().await.expect("a head").edition() });
    let first = edition();
    directory.apply("endpoints: { meter-1: { customer: acme, imsi: 001010000000009 } }").expect(0);
    let second = edition();
    directory.apply("zones: { uk: { networks: [234, 235] } }").expect(0);
    crate::store::block_on(async {
        let store = directory.connect().await;
        let head = store.head().await.expect("a head");
        assert_eq!(head.version, Version(3));
        let changes = store.changes(&first, &head).await.expect("changes");
        assert_eq!(changes.catalog, CatalogChange::Changed);
        let EndpointChanges::Keys(keys) = changes.endpoints else { panic!("keys") };
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(
            keys,
            ["imsi 001010000000001", "imsi 001010000000009", "iccid 8944000000000000001", "endpoint meter-1"]
        );
        let changes = store.changes(&second, &head).await.expect("changes");
        assert_eq!(changes.endpoints, EndpointChanges::Keys(Vec::new()));
        assert_eq!(store.changes(&head.edition(), &head).await.expect("changes").catalog, CatalogChange::Same);
        // The catalogue validates by itself, though a grant names an endpoint.
        let catalog = store.catalog(&head).await.expect("a catalogue");
        let loaded = directory::load(catalog).expect("valid");
        assert_eq!((loaded.model.accounts.len(), loaded.model.endpoints.len()), (4, 1));
    });
}

/// Old rows do not pile up, and an epoch that would miss them is told.
#[test]
fn two_committed_rows_of_a_key_are_kept() {
    let directory = Directory::loaded("kept");
    let first = crate::store::block_on(async { directory.connect().await.head().await.expect("a head") });
    for tariff in ["plus", "retail", "plus", "retail"] {
        let plan = format!(
            "endpoints: {{ meter-1: {{ customer: acme, imsi: 001010000000001, plan: {{ tariff: {tariff} }} }} }}"
        );
        directory.apply(&plan).expect(0);
    }
    crate::store::block_on(async {
        let store = directory.connect().await;
        let key = directory::store::parse_key("meter-1").expect("a key");
        let old = store.endpoints(&first, std::slice::from_ref(&key)).await;
        assert_eq!(old, Err(directory::cache::StoreError::Superseded));
        let head = store.head().await.expect("a head");
        let found = store.endpoints(&head, &[key]).await.expect("rows");
        let definition = found[0].1[0].definition.as_deref().expect("a definition");
        assert!(definition.contains("plan: {tariff: retail}"), "{definition}");
    });
    assert!(REFERENCE.contains("meter-1"));
}

/// A log of many versions is told in steps, none of which is long, and nothing of it is left out.
#[test]
fn a_long_change_log_is_told_in_steps() {
    let directory = Directory::loaded("steps");
    let (versions, each) = (7_u64, 3_000_u64);
    crate::store::block_on(async {
        let store = directory.connect().await;
        let first = store.head().await.expect("a head").edition();
        for version in 0..versions {
            let change = |number: u64| {
                let body = format!("{{customer: acme, imsi: 23415{number:010}}}");
                Change::new(Kind::Endpoint, format!("e{number}").into(), None, Some(body.into()))
            };
            let changes: Vec<Change> = (version * each..(version + 1) * each).map(change).collect();
            let planned = store.head_row().await.expect("a head").head;
            let mut writer = store.begin(&planned, author("steps"), TakeOver::Silent).await.expect("the claim");
            // The log alone: nobody looks the rows up.
            writer.log(&changes).await.expect("logged");
            writer.commit().await.expect("committed");
        }
        let head = store.head().await.expect("a head");
        let (mut until, mut steps, mut told) = (first.clone(), 0, BTreeSet::new());
        while until.version < head.version {
            let step = store.changes(&until, &head).await.expect("changes");
            assert!(step.until.version > until.version, "{until:?} and then {:?}", step.until);
            (until, steps) = (step.until, steps + 1);
            let EndpointChanges::Keys(keys) = step.endpoints else { panic!("keys") };
            // A step may be longer by the logs that are read at once.
            assert!((keys.len() as u64) < 20_000 + 4 * 2 * each, "{}", keys.len());
            told.extend(keys);
        }
        assert_eq!((steps, told.len() as u64), (2, 2 * versions * each));
        // From so long ago that nobody drops key by key.
        let beyond = directory::cache::Head { version: Version(head.version.0 + 1_000), ..head };
        let changes = store.changes(&first, &beyond).await.expect("changes");
        assert_eq!((changes.endpoints, changes.until), (EndpointChanges::Everything, beyond.edition()));
    });
}
