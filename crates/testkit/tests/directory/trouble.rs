//! Troubles of a store that cost as much as they have to and no more: strangers in an outage, one definition that nobody can read, a store
//! that was made anew, and a long change log.

use crate::support::{CATALOG, PATIENCE, Small, by_imsi, digits, endpoint, key, payer, wait_for};
use directory::cache::{CacheEvent, CacheSettings};
use directory::model::IdentityKind;
use directory::{Directory, Needs};
use rating::UsageRecord;
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::histories::memory::{Definition, Write};

/// Strangers are in every stream. That they are nobody's is as good, while the store is away, as whose the others are.
#[test]
fn strangers_do_not_stall_an_outage_before_the_lead_time_is_over() {
    let small = Small::open(1, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "unknown_endpoint");
    small.rows.set_down(true);
    small.hears(|event| matches!(event, CacheEvent::Unconfirmed(_)));
    small.clock.advance(Duration::from_secs(30));
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "unknown_endpoint");
    small.clock.advance(Duration::from_millis(29_999));
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "unknown_endpoint");
    assert_eq!(small.rows.asked().len(), 2);
    // Of whom nothing is known, nothing is said.
    assert!(small.payer(&by_imsi(8)).is_err());
    // Then nothing is served, as of the others.
    small.clock.advance(Duration::from_millis(1));
    assert!(small.payer(&by_imsi(7)).is_err() && small.payer(&by_imsi(0)).is_err());
    // And when the store is back, it is asked again.
    small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(7, "beta")] });
    small.rows.set_down(false);
    small.hears(|event| *event == CacheEvent::Confirmed);
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "beta");
}

fn unreadable(number: u64, text: &str) -> (String, Option<Definition>) {
    let (name, definition) = endpoint(number, "acme");
    let identities: BTreeSet<_> = definition.map(|definition| definition.identities).unwrap_or_default();
    (name, Some(Definition { text: text.to_owned(), identities }))
}

#[test]
fn a_definition_that_cannot_be_read_costs_its_endpoint_alone() {
    let small = Small::open(20, CacheSettings::default());
    let broken = vec![
        unreadable(3, "{ customer: acme, imsi: x }"),
        unreadable(4, "{ customer: nobody, imsi: \"001010000000004\" }"),
        unreadable(5, "{ customer: acme"),
    ];
    let version = small.rows.commit(&Write { catalog: None, endpoints: broken });
    small.waits_for(version);
    let records: Vec<UsageRecord> = (0..20).map(by_imsi).collect();
    for _ in 0..2 {
        let mut needs = Needs::default();
        records.iter().for_each(|record| needs.add_record(record));
        let snapshot = small.cache.snapshot_for(&needs).unwrap();
        for (number, record) in records.iter().enumerate() {
            let expected = if (3..6).contains(&number) { "endpoint_unreadable" } else { "acme" };
            assert_eq!(payer(&snapshot, record), expected, "{number}");
        }
        // The code of what is wrong, and where it stands.
        let flaw = snapshot.flaw_of(&records[3]).expect("a flaw");
        assert!(flaw.starts_with("R026 at 1:25 of endpoint \"e3\" in store@2: imsi"), "{flaw}");
        let flaw = snapshot.flaw_of(&records[4]).expect("a flaw");
        assert!(flaw.starts_with("R101 at 1:13 of endpoint \"e4\" in store@2: ") && flaw.contains("nobody"), "{flaw}");
        assert_eq!(snapshot.flaw_of(&records[0]), None);
    }
    // By its name, and beside an identity that somebody else has.
    let named = UsageRecord { imsi: None, endpoint_id: Some("e3".into()), ..by_imsi(0) };
    assert_eq!(small.payer(&named).unwrap(), "endpoint_unreadable");
    let both = UsageRecord { iccid: Some(digits(3)[1].clone().into()), ..by_imsi(0) };
    assert_eq!(small.payer(&both).unwrap(), "endpoint_unreadable");
    // It was read once for each key, and said.
    let asked = small.rows.asked();
    let third = key(IdentityKind::Imsi, &digits(3)[0]);
    assert_eq!(asked.iter().filter(|asked| **asked == third).count(), 1);
    let place = " of an endpoint in store@2";
    small.hears(|event| matches!(event, CacheEvent::Unreadable { count: 3, first } if first.contains(place)));
    assert_eq!(small.cache.stats().unreadable, 5);
    // Mended, it is served.
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(3, "beta")] });
    small.waits_for(version);
    assert_eq!(small.payer(&by_imsi(3)).unwrap(), "beta");
}

/// The same in memory as in a real store.
#[test]
fn a_row_that_no_writer_wrote_costs_its_endpoint_alone() {
    let small = Small::open(3, CacheSettings::default());
    small.rows.misnumber(&key(IdentityKind::Imsi, &digits(1)[0]), "e1", -1);
    let mut needs = Needs::default();
    let records = [by_imsi(0), by_imsi(1), by_imsi(2)];
    records.iter().for_each(|record| needs.add_record(record));
    let snapshot = small.cache.snapshot_for(&needs).unwrap();
    assert_eq!(records.each_ref().map(|record| payer(&snapshot, record)), ["acme", "endpoint_unreadable", "acme"]);
    let flaw = snapshot.flaw_of(&records[1]).expect("a flaw");
    assert!(flaw.starts_with("version -1 of endpoint \"e1\" in store@1: "), "{flaw}");
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(1, "beta")] });
    small.waits_for(version);
    assert_eq!(small.payer(&by_imsi(1)).unwrap(), "beta");
}

/// Nothing of the endpoint changes, and nobody may have to start the program again for it.
#[test]
fn an_account_that_comes_and_goes_mends_and_breaks_the_endpoints_that_name_it_and_no_others() {
    let small = Small::open(2, CacheSettings::default());
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(4, "later")] });
    small.waits_for(version);
    assert_eq!(small.payer(&by_imsi(4)).unwrap(), "endpoint_unreadable");
    let with = format!("{CATALOG}  later: {{ kind: customer, parent: op, currency: GBP, tariff: retail }}\n");
    let commit = |catalog: &str| {
        let version = small.rows.commit(&Write { catalog: Some(catalog.to_owned()), endpoints: Vec::new() });
        small.waits_for(version);
    };
    commit(&with);
    assert_eq!(small.payer(&by_imsi(4)).unwrap(), "later");
    commit(CATALOG);
    let mut needs = Needs::default();
    let records = [by_imsi(4), by_imsi(0)];
    records.iter().for_each(|record| needs.add_record(record));
    let snapshot = small.cache.snapshot_for(&needs).unwrap();
    assert_eq!(records.each_ref().map(|record| payer(&snapshot, record)), ["endpoint_unreadable", "acme"]);
    commit(&with);
    assert_eq!(small.payer(&by_imsi(4)).unwrap(), "later");
}

#[test]
fn a_store_that_was_made_anew_is_not_taken_for_the_old_one() {
    let small = Small::open(2, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    // The same version number, and other data.
    small.rows.make_anew("another");
    small.rows.commit(&Write { catalog: Some(CATALOG.to_owned()), endpoints: vec![endpoint(0, "beta")] });
    small.hears(|event| matches!(event, CacheEvent::Replaced(text) if text.contains("another")));
    // What is at hand was confirmed a moment ago; what is not would come from the other store.
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    let error = small.payer(&by_imsi(1)).unwrap_err();
    assert!(error.0.contains("made anew"), "{error}");
    small.clock.advance(Duration::from_secs(60));
    let error = small.payer(&by_imsi(0)).unwrap_err();
    assert!(error.0.contains("made anew") && error.0.contains("start again"), "{error}");
    // Newer versions do not change that.
    small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, "beta")] });
    std::thread::sleep(Duration::from_millis(50));
    assert!(small.payer(&by_imsi(0)).is_err());
    let replaced = |event: &&CacheEvent| matches!(event, CacheEvent::Replaced(_));
    assert_eq!(small.events.lock().unwrap().iter().filter(replaced).count(), 1, "said once");
}

#[test]
fn a_restored_store_is_read_anew_whatever_its_versions_are_numbered() {
    let small = Small::open(3, CacheSettings::default());
    let all = |small: &Small| [0, 1, 2].map(|number| small.payer(&by_imsi(number)).unwrap());
    let gives = |number: u64, customer: &str| {
        let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(number, customer)] });
        assert!(wait_for(|| small.cache.stats().version == version));
        version
    };
    let saved = small.rows.save();
    gives(0, "beta");
    assert_eq!(all(&small), ["beta", "acme", "acme"]);
    let forgotten = || {
        let is_one = |event: &&CacheEvent| matches!(event, CacheEvent::Forgotten(_));
        small.events.lock().unwrap().iter().filter(is_one).count()
    };
    assert_eq!(forgotten(), 0);
    // The same number again, and then a greater one: neither follows what is served.
    for (number, expected) in [(1, ["acme", "beta", "acme"]), (2, ["acme", "acme", "beta"])] {
        small.rows.restore(&saved);
        small.hears(|event| matches!(event, CacheEvent::Unconfirmed(why) if why.contains("went back")));
        gives(number, "beta");
        assert!(wait_for(|| all(&small) == expected), "{:?}", all(&small));
    }
    assert_eq!(forgotten(), 2);
    let version = gives(0, "beta");
    assert_eq!((forgotten(), version.0), (2, 3));
    // And where a part of the log is missing.
    small.rows.set_down(true);
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, "acme")] });
    small.rows.lose_changes(version);
    small.rows.set_down(false);
    small.waits_for(version);
    assert_eq!((all(&small)[0].as_str(), forgotten()), ("acme", 3));
}

/// Between two looks at the head the store may have been away and be another one now: what is read first is looked at before it is believed.
#[test]
fn what_is_read_after_an_outage_is_known_to_be_of_the_same_store() {
    let small = Small::open_with(2, CacheSettings::default(), Duration::from_secs(3_600));
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(true);
    assert!(small.payer(&by_imsi(1)).is_err());
    small.rows.make_anew("another");
    small.rows.set_down(false);
    let error = small.payer(&by_imsi(1)).unwrap_err();
    assert!(error.0.contains("made anew"), "{error}");
}

/// Each version's log takes a while to be read. All of them together take longer than a read may; no step does.
#[test]
fn catching_up_after_many_versions_takes_as_long_as_it_takes() {
    let settings = CacheSettings { read_timeout: Duration::from_millis(400), ..CacheSettings::default() };
    let small = Small::open(2, settings);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(true);
    let versions: Vec<_> = (0..200)
        .map(|number| {
            let customer = if number % 2 == 0 { "beta" } else { "acme" };
            small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(number % 2, customer)] })
        })
        .collect();
    small.rows.set_log_delay(Duration::from_millis(10));
    small.rows.set_down(false);
    let last = *versions.last().expect("versions");
    assert!(wait_for(|| small.cache.stats().version == last), "not served within {PATIENCE:?}");
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "beta");
    assert_eq!(small.payer(&by_imsi(1)).unwrap(), "acme");
    // One that has to be read over again is not read step by step.
    small.rows.set_log_delay(Duration::ZERO);
    let last = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, "acme")] });
    small.rows.forget_changes(last);
    small.waits_for(last);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
}
