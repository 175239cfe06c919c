//! Outages: what was confirmed within the lead time is served, nothing is taken for unknown, and all is well again by itself.

use crate::support::{Small, by_imsi, endpoint, wait_for};
use directory::cache::{CacheEvent, CacheSettings};
use directory::{Directory, Needs};
use std::time::{Duration, Instant};
use testkit::histories::memory::Write;

#[test]
fn hits_are_served_for_the_lead_time_and_then_nothing_until_the_store_is_back() {
    let small = Small::open(2, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(true);
    small.hears(|event| matches!(event, CacheEvent::Unconfirmed(text) if text.contains("down on purpose")));
    small.clock.advance(Duration::from_millis(59_999));
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.clock.advance(Duration::from_millis(1));
    let error = small.payer(&by_imsi(0)).unwrap_err();
    assert!(error.0.contains("60 s ago") && error.0.contains("down on purpose"), "{error}");
    assert_eq!(small.cache.stats().age, Duration::from_secs(60));
    small.rows.set_down(false);
    small.hears(|event| *event == CacheEvent::Confirmed);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    assert_eq!(small.cache.stats().age, Duration::ZERO);
    // An outage is told when it begins and when it ends, not at every look.
    assert_eq!(small.events.lock().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_read_is_unavailable_and_never_unknown() {
    let small = Small::open(2, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(true);
    // Known to be there or not: the store cannot tell now.
    for number in [1, 7] {
        let error = small.payer(&by_imsi(number)).unwrap_err();
        assert!(error.0.contains("down on purpose"), "{error}");
    }
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(false);
    // The poller may have found it away meanwhile.
    assert!(wait_for(|| small.payer(&by_imsi(1)).is_ok()), "it came back");
    assert_eq!(small.payer(&by_imsi(1)).unwrap(), "acme");
    assert_eq!(small.payer(&by_imsi(7)).unwrap(), "unknown_endpoint");
    // Once it is known to be away, it is not asked for them.
    assert!(small.cache.stats().failed_reads <= 2);
}

/// What is at hand can be told apart without asking, and a store that is known to be away is not waited for: others wait for this batch.
#[test]
fn what_is_at_hand_is_told_and_an_outage_is_not_waited_for() {
    let settings = CacheSettings { read_timeout: Duration::from_secs(2), ..CacheSettings::default() };
    let small = Small::open(2, settings);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_delay(Duration::from_secs(60));
    small.hears(|event| matches!(event, CacheEvent::Unconfirmed(_)));
    let is_at_hand = |number: u64| {
        let (record, mut needs) = (by_imsi(number), Needs::default());
        needs.add_record(&record);
        small.cache.can_answer(&needs)
    };
    assert!(is_at_hand(0) && !is_at_hand(1));
    let begun = Instant::now();
    assert!(small.payer(&by_imsi(1)).is_err());
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.clock.advance(Duration::from_secs(60));
    assert!(!is_at_hand(0), "nobody confirms it");
}

#[test]
fn a_store_that_does_not_answer_in_time_is_an_outage() {
    let settings = CacheSettings { read_timeout: Duration::from_millis(50), ..CacheSettings::default() };
    let small = Small::open(2, settings);
    small.rows.set_delay(Duration::from_secs(60));
    let error = small.payer(&by_imsi(0)).unwrap_err();
    assert!(error.0.contains("no answer within 50ms"), "{error}");
    small.hears(|event| matches!(event, CacheEvent::Unconfirmed(_)));
    small.rows.set_delay(Duration::ZERO);
    small.hears(|event| *event == CacheEvent::Confirmed);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
}

/// Everybody who waits for a read hears that it failed, and nobody waits for ever.
#[test]
fn a_read_that_fails_fails_for_all_who_wait() {
    let settings = CacheSettings { read_timeout: Duration::from_millis(200), ..CacheSettings::default() };
    let small = Small::open(2, settings);
    small.rows.set_delay(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| small.payer(&by_imsi(0)))).collect();
        for thread in waiting {
            assert!(thread.join().expect("a thread").is_err());
        }
    });
}

#[test]
fn a_change_during_an_outage_is_seen_after_it() {
    let small = Small::open(2, CacheSettings::default());
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(true);
    small.hears(|event| matches!(event, CacheEvent::Unconfirmed(_)));
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![endpoint(0, "beta")] });
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "acme");
    small.rows.set_down(false);
    small.waits_for(version);
    assert_eq!(small.payer(&by_imsi(0)).unwrap(), "beta");
}
