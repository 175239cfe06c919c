//! What the cache promises besides right answers: one read where one is enough, one epoch in a batch, changes within a second.

use crate::support::{CATALOG, KEY_KINDS, Small, by_imsi, digits, endpoint, key, payer, read_ahead, runtime, wait_for};
use directory::cache::{CacheEvent, CacheSettings, EndpointChanges, KeyKind, OpenError, Preloaded, Rows, Version};
use directory::model::IdentityKind;
use directory::{Directory, Needs};
use rating::UsageRecord;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::histories::memory::Write;

fn full(number: u64) -> UsageRecord {
    let [imsi, iccid, msisdn] = digits(number).map(Box::from);
    UsageRecord { imsi: Some(imsi), iccid: Some(iccid), msisdn: Some(msisdn), ..by_imsi(number) }
}

#[test]
fn a_cold_record_with_three_identities_costs_one_read_and_a_warm_one_none() {
    let small = Small::open(3, CacheSettings::default());
    assert_eq!(small.payer(&full(1)).unwrap(), "acme");
    let [imsi, ..] = digits(1);
    assert_eq!(small.rows.asked(), [key(IdentityKind::Imsi, &imsi)]);
    assert_eq!(small.payer(&full(1)).unwrap(), "acme");
    assert_eq!(small.rows.asked().len(), 1);
    let stats = small.cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.reads, stats.entries), (1, 1, 1, 1), "{stats:?}");
}

#[test]
fn identities_of_two_endpoints_are_a_conflict_however_they_are_kept() {
    let small = Small::open(3, CacheSettings::default());
    let [_, iccid, _] = digits(2);
    let record = UsageRecord { iccid: Some(iccid.into()), ..by_imsi(1) };
    for _ in 0..2 {
        assert_eq!(small.payer(&record).unwrap(), "identity_conflict");
    }
    assert_eq!(small.rows.asked().len(), 2);
}

#[test]
fn an_endpoint_that_many_records_of_a_batch_name_is_read_once() {
    let small = Small::open(3, CacheSettings::default());
    let records: Vec<UsageRecord> = (0..100).map(|number| by_imsi(number % 3)).collect();
    let mut needs = Needs::default();
    records.iter().for_each(|record| needs.add_record(record));
    let snapshot = small.cache.snapshot_for(&needs).unwrap();
    assert!(records.iter().all(|record| payer(&snapshot, record) == "acme"));
    assert_eq!((snapshot.endpoint_count(), small.rows.asked().len()), (3, 3));
}

#[test]
fn batches_at_the_same_time_read_a_key_once() {
    let small = Small::open(50, CacheSettings { keys_per_read: 7, ..CacheSettings::default() });
    small.rows.set_delay(Duration::from_millis(100));
    let records: Vec<UsageRecord> = (0..50).map(by_imsi).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (small, mut records) = (&small, records.clone());
            // Each in an order of its own: who waits for whom must not matter.
            records.rotate_left(thread * 6);
            scope.spawn(move || {
                let mut needs = Needs::default();
                records.iter().for_each(|record| needs.add_record(record));
                let snapshot = small.cache.snapshot_for(&needs).unwrap();
                assert!(records.iter().all(|record| payer(&snapshot, record) == "acme"));
            });
        }
    });
    let mut asked = small.rows.asked();
    let count = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!((count, asked.len()), (50, 50));
}

#[test]
fn strangers_are_remembered_for_two_seconds_and_in_bounded_number() {
    let small = Small::open(1, CacheSettings { absent_keys: 100, ..CacheSettings::default() });
    let stranger = by_imsi(7);
    for _ in 0..5 {
        assert_eq!(small.payer(&stranger).unwrap(), "unknown_endpoint");
    }
    assert_eq!((small.rows.asked().len(), small.cache.stats().absent_hits), (1, 4));
    small.clock.advance(Duration::from_millis(1_999));
    assert_eq!(small.payer(&stranger).unwrap(), "unknown_endpoint");
    assert_eq!(small.rows.asked().len(), 1);
    small.clock.advance(Duration::from_millis(1));
    assert_eq!(small.payer(&stranger).unwrap(), "unknown_endpoint");
    assert_eq!(small.rows.asked().len(), 2);
    for number in 1_000..6_000 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "unknown_endpoint");
    }
    let stats = small.cache.stats();
    assert!(stats.absent_entries <= 200 && stats.entries == 0, "{stats:?}");
}

#[test]
fn a_stranger_who_is_added_is_known_at_once() {
    let small = Small::open(1, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "unknown_endpoint");
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(7, "beta")] });
    small.waits_for(version);
    // The clock stands still: it is the change that made room, not the time.
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "beta");
}

#[test]
fn memory_is_bounded_and_what_does_not_fit_is_read_again() {
    let small = Small::open(2_000, CacheSettings { memory_bytes: 20_000, ..CacheSettings::default() });
    for _ in 0..2 {
        for number in 0..2_000 {
            assert_eq!(small.payer(&by_imsi(number)).unwrap(), "acme");
        }
    }
    let stats = small.cache.stats();
    assert!(stats.bytes <= 20_000 && stats.entries < 250 && stats.evictions > 2_000, "{stats:?}");
}

#[test]
fn a_change_drops_what_changed_and_keeps_the_rest() {
    let small = Small::open(10, CacheSettings::default());
    for number in 0..10 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "acme");
    }
    let before = small.rows.asked().len();
    let catalog =
        CATALOG.replace("parent: op, currency: GBP, tariff: retail }\n  beta", "parent: op, currency: GBP }\n  beta");
    let version = small.rows.commit(&Write { catalog: Some(catalog), endpoints: vec![endpoint(3, "beta")] });
    small.waits_for(version);
    for number in 0..10 {
        let expected = if number == 3 { "beta" } else { "acme" };
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), expected);
    }
    // The other nine were not read again, and stand below the new accounts.
    assert_eq!(small.rows.asked().len(), before + 1);
    let mut needs = Needs::default();
    let record = by_imsi(1);
    needs.add_record(&record);
    let snapshot = small.cache.snapshot_for(&needs).unwrap();
    let lineage = snapshot.lineage_for(&record).unwrap();
    assert!(lineage.edges().all(|step| step.tariff().is_none()), "acme has no tariff any more");
    assert_eq!(&**snapshot.version(), &*format!("v{version}"));
}

/// The default look at the head is every 200 ms.
#[test]
fn a_change_is_seen_within_a_second() {
    let rows = testkit::histories::memory::MemoryRows::default();
    rows.commit(&Write { catalog: Some(CATALOG.to_owned()), endpoints: vec![endpoint(0, "acme")] });
    let settings = CacheSettings::default();
    let clock = directory::cache::Clock::monotonic();
    let opened = directory::cache::Cache::open(rows.clone(), settings, clock, |_| {});
    let (cache, _) = crate::support::runtime().block_on(opened).unwrap();
    let record = by_imsi(0);
    let payer = || {
        let mut needs = Needs::default();
        needs.add_record(&record);
        payer(&cache.snapshot_for(&needs).unwrap(), &record)
    };
    assert_eq!(payer(), "acme");
    for customer in ["beta", "acme", "beta"] {
        let start = Instant::now();
        rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, customer)] });
        assert!(wait_for(|| payer() == customer), "never seen");
        assert!(start.elapsed() < Duration::from_secs(1), "seen after {:?}", start.elapsed());
    }
}

/// Tells a thread to end, also where an assertion fails: otherwise the test would wait for it for ever.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A writer moves all endpoints from one customer to another in each version. A batch, part of which is kept and part of which has to be
/// read, must see all of them with the same customer.
#[test]
fn a_batch_sees_one_epoch_while_the_store_moves_on() {
    let small = Small::open(40, CacheSettings { memory_bytes: 3_000, keys_per_read: 8, ..CacheSettings::default() });
    small.rows.set_delay(Duration::from_millis(1));
    let stop = AtomicBool::new(false);
    let (mut moved, mut customers) = (0, std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut versions = 0;
            while !stop.load(Ordering::SeqCst) {
                let customer = if versions % 2 == 0 { "beta" } else { "acme" };
                let endpoints = (0..40).map(|number| endpoint(number, customer)).collect();
                small.rows.commit(&Write { catalog: None, endpoints });
                versions += 1;
                std::thread::sleep(Duration::from_millis(3));
            }
            versions
        });
        let stops = Stops(&stop);
        let records: Vec<UsageRecord> = (0..40).map(full).collect();
        let mut last = String::new();
        for _ in 0..400 {
            let mut needs = Needs::default();
            records.iter().for_each(|record| needs.add_record(record));
            let snapshot = small.cache.snapshot_for(&needs).unwrap();
            let seen: std::collections::BTreeSet<String> =
                records.iter().map(|record| payer(&snapshot, record)).collect();
            assert_eq!(seen.len(), 1, "one batch saw {seen:?}");
            if **snapshot.version() != *last {
                last = snapshot.version().to_string();
                moved += 1;
            }
            customers.extend(seen);
        }
        drop(stops);
        assert!(writer.join().expect("a writer") > 20);
    });
    assert!(moved > 20 && customers.len() == 2, "{moved} epochs were seen, and {customers:?}");
}

#[test]
fn a_bulk_load_drops_everything() {
    let small = Small::open(10, CacheSettings::default());
    for number in 0..10 {
        small.payer(&by_imsi(number)).unwrap();
    }
    let all = (0..10).map(|number| endpoint(number, "beta")).collect();
    let version = small.rows.commit(&Write { catalog: None, endpoints: all });
    small.rows.forget_changes(version);
    small.waits_for(version);
    for number in 0..10 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "beta");
    }
}

#[test]
fn endpoints_can_be_read_ahead() {
    let small = Small::open(1_000, CacheSettings::default());
    let kinds = [KeyKind::Identity(IdentityKind::Imsi), KeyKind::Name];
    let mut told = Vec::new();
    let read = runtime().block_on(small.cache.preload(&kinds, &mut |keys| told.push(keys))).unwrap();
    assert_eq!(read, Preloaded { keys: 2_000, is_partial: false });
    assert!(told.is_sorted() && told.last() == Some(&2_000), "{told:?}");
    for number in 0..1_000 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "acme");
    }
    assert_eq!(small.rows.asked(), [], "nothing is left to be looked up");
}

#[test]
fn what_has_no_room_is_not_read_ahead() {
    let small = Small::open(2_000, CacheSettings { memory_bytes: 20_000, ..CacheSettings::default() });
    let read = read_ahead(&small.cache).unwrap();
    assert!(read.is_partial && read.keys < 2_000, "{read:?}");
    assert!(small.cache.stats().bytes <= 20_000, "{:?}", small.cache.stats());
    for number in 0..2_000 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "acme");
    }
}

#[test]
fn a_store_that_is_away_cannot_be_read_ahead() {
    let small = Small::open(10, CacheSettings::default());
    small.rows.set_down(true);
    let error = read_ahead(&small.cache).unwrap_err();
    assert!(error.contains("it is down on purpose"), "{error}");
    small.rows.set_down(false);
    assert_eq!(read_ahead(&small.cache), Ok(Preloaded { keys: 40, is_partial: false }));
}

/// The store answers as of the version before, and late: by then another one is served.
#[test]
fn what_is_read_ahead_of_an_epoch_that_is_over_is_not_kept() {
    let small = Small::open(20, CacheSettings::default());
    small.rows.set_scan_delay(Duration::from_millis(300));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_ahead(&small.cache));
        std::thread::sleep(Duration::from_millis(100));
        let all = (0..20).map(|number| endpoint(number, "beta")).collect();
        let version = small.rows.commit(&Write { catalog: None, endpoints: all });
        small.waits_for(version);
        assert_eq!(small.cache.stats().entries, 0, "nothing has come yet");
        small.rows.set_scan_delay(Duration::ZERO);
        assert_eq!(reading.join().unwrap().unwrap(), Preloaded { keys: 80, is_partial: false });
    });
    for number in 0..20 {
        assert_eq!(small.payer(&by_imsi(number)).unwrap(), "beta");
    }
    assert_eq!(small.rows.asked(), [], "all of it was read again, of the version that is served");
}

#[test]
fn reading_ahead_is_begun_again_when_everything_changes() {
    let small = Small::open(2_000, CacheSettings::default());
    let mut told = Vec::new();
    let mut changes = |keys: u64| {
        told.push(keys);
        if told.len() == 100 {
            let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, "beta")] });
            small.rows.forget_changes(version);
            assert!(wait_for(|| small.cache.stats().version == version));
        }
    };
    let read = runtime().block_on(small.cache.preload(&KEY_KINDS, &mut changes)).unwrap();
    assert_eq!(read, Preloaded { keys: 8_000, is_partial: false });
    assert!(!told.is_sorted(), "it was not begun again");
    assert_eq!(small.cache.stats().entries, 8_000);
}

#[test]
fn a_catalog_that_is_not_valid_is_not_served_and_said_loudly() {
    let small = Small::open(1, CacheSettings::default());
    let broken = CATALOG.replace("parent: op", "parent: nobody");
    let version = small.rows.commit(&Write { catalog: Some(broken), endpoints: vec![endpoint(0, "beta")] });
    let refused = |event: &CacheEvent| matches!(event, CacheEvent::Refused(refused, text) if *refused == version && text.contains("nobody"));
    assert!(wait_for(|| small.events.lock().unwrap().iter().any(refused)));
    // The last good epoch is served on, all of it.
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.clock.advance(Duration::from_secs(60));
    let error = small.payer(&by_imsi(0)).unwrap_err();
    assert!(error.0.contains("is not valid"), "{error}");
    let mended = small.rows.commit(&Write { catalog: Some(CATALOG.to_owned()), endpoints: Vec::new() });
    small.waits_for(mended);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "beta");
    assert_eq!(small.events.lock().unwrap().iter().filter(|event| refused(event)).count(), 1, "said once");
}

#[test]
fn a_store_that_is_not_valid_or_does_not_answer_cannot_be_opened() {
    let broken = CATALOG.replace("parent: op", "parent: nobody");
    let refused = Small::try_open(&broken, 1, CacheSettings::default()).err();
    assert!(matches!(refused, Some(OpenError::Refused(_))), "{refused:?}");
}

#[test]
fn versions_that_were_given_up_are_never_seen() {
    let small = Small::open(1, CacheSettings::default());
    let first = runtime().block_on(small.rows.head()).unwrap().edition();
    small.rows.abort(&Write { catalog: None, endpoints: vec![endpoint(0, "beta")] });
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(5, "acme")] });
    assert_eq!(version, Version(3));
    small.waits_for(version);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    let head = runtime().block_on(small.rows.head()).unwrap();
    let changes = runtime().block_on(small.rows.changes(&first, &head)).unwrap();
    assert!(
        matches!(changes.endpoints, EndpointChanges::Keys(keys) if keys.len() == 4),
        "of the endpoint that was added"
    );
}
