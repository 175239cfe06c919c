//! A real store with something in it that no program of ours has written, or without something that one has: what it costs, and what is said.

use crate::real::{author, connect, keyspace, yaml};
use crate::support::{CATALOG, by_imsi, digits, endpoint, payer, runtime, wait_for};
use directory::cache::{Cache, CacheEvent, CacheSettings, Clock, Version};
use directory::store::{Replace, Settings, Store, TakeOver};
use directory::{Directory, Needs, load};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::store::damage;

/// A store of some endpoints of acme, a cache over it, and what that told.
struct World {
    settings: Settings,
    store: Store,
    cache: Cache<Store>,
    events: Arc<Mutex<Vec<CacheEvent>>>,
}

impl World {
    /// Loads endpoints 0 and up as version 1.
    fn new(name: &str, endpoints: u64) -> World {
        let settings = keyspace(name);
        let store = connect(&settings);
        let definitions: String = (0..endpoints).map(|number| definition(number, "acme")).collect();
        let inputs = yaml(&format!("{CATALOG}endpoints:\n{definitions}"));
        let loaded = load(inputs.clone()).expect("valid");
        let events: Arc<Mutex<Vec<CacheEvent>>> = Arc::default();
        let told = events.clone();
        let cache = runtime().block_on(async {
            let planned = store.plan_load(&inputs, &loaded, Replace::No).await.expect("planned");
            store.carry_out(&planned, author("load"), TakeOver::Silent, &mut |_| {}).await.expect("loaded");
            let settings = CacheSettings { poll: Duration::from_millis(5), ..CacheSettings::default() };
            let report = move |event| told.lock().expect("events").push(event);
            Cache::open(store.clone(), settings, Clock::monotonic(), report).await.expect("a cache").0
        });
        World { settings, store, cache, events }
    }

    /// Gives an endpoint to a customer, as `rater directory apply --yes` does.
    fn give(&self, number: u64, customer: &str) -> Version {
        let text = format!("format: rater/v1\nendpoints:\n{}", definition(number, customer));
        runtime().block_on(async {
            let plan = self.store.plan(&yaml(&text), &[]).await.expect("planned");
            self.store.apply(&plan, author("apply"), TakeOver::Silent, &mut |_| {}).await.expect("applied")
        })
    }

    /// Gives endpoints to a customer, and does something between the log and the commit.
    fn give_all(&self, numbers: &[u64], customer: &str, between: impl FnOnce(Version)) {
        let definitions: String = numbers.iter().map(|number| definition(*number, customer)).collect();
        let text = format!("format: rater/v1\nendpoints:\n{definitions}");
        let writer = runtime().block_on(async {
            let plan = self.store.plan(&yaml(&text), &[]).await.expect("planned");
            let head = self.store.head_row().await.expect("a head").head;
            let mut writer = self.store.begin(&head, author("all"), TakeOver::Silent).await.expect("the claim");
            writer.write(plan.changes(), &mut |_| {}).await.expect("written");
            writer.log(plan.changes()).await.expect("logged");
            writer
        });
        between(writer.version());
        runtime().block_on(writer.commit()).expect("committed");
    }

    fn damage(&self, statements: &[&str]) {
        runtime().block_on(damage(&self.settings, statements));
    }

    /// Who pays for a record of each of these endpoints, all in one batch.
    fn payers(&self, numbers: &[u64]) -> Vec<String> {
        let records: Vec<_> = numbers.iter().copied().map(by_imsi).collect();
        let mut needs = Needs::default();
        records.iter().for_each(|record| needs.add_record(record));
        let snapshot = self.cache.snapshot_for(&needs).expect("a snapshot");
        records.iter().map(|record| payer(&snapshot, record)).collect()
    }

    fn waits_for(&self, version: Version) {
        assert!(wait_for(|| self.cache.stats().version == version), "version {version} is not served");
    }

    #[track_caller]
    fn hears(&self, event: impl Fn(&CacheEvent) -> bool) {
        let has_told = || self.events.lock().expect("events").iter().any(&event);
        assert!(wait_for(has_told), "{:?}", self.events.lock().expect("events"));
    }
}

fn definition(number: u64, customer: &str) -> String {
    let (name, definition) = endpoint(number, customer);
    format!("  {name}: {}\n", definition.expect("a definition").text)
}

#[test]
fn a_row_that_no_writer_wrote_costs_its_endpoint_alone() {
    let world = World::new("misnumbered", 5);
    let row = |number: u64, version: i64| {
        let [imsi, ..] = digits(number);
        format!(
            "INSERT INTO endpoints_by_identity (kind, value, endpoint, version, body) \
             VALUES ('imsi', '{imsi}', 'e{number}', {version}, '{{customer: beta, imsi: {imsi}}}')"
        )
    };
    let [third, ..] = digits(3);
    let gone = format!("DELETE FROM endpoints_by_identity WHERE kind = 'imsi' AND value = '{third}'");
    // Beside the one that counts, one in its future, and two in its place.
    world.damage(&[&row(1, -1), &row(2, 98), &gone, &row(3, 98), &row(3, 99)]);
    for _ in 0..2 {
        let payers = world.payers(&[0, 1, 2, 3, 4]);
        assert_eq!(payers, ["acme", "endpoint_unreadable", "acme", "endpoint_unreadable", "acme"]);
    }
    let place = "version -1 of an endpoint in store@1: no writer has this number";
    world.hears(|event| matches!(event, CacheEvent::Unreadable { first, .. } if first.contains(place)));
}

/// What that part lists is not known: whoever was read before may be somebody else's now.
#[test]
fn a_part_of_a_change_log_that_is_missing_makes_everything_be_read_anew() {
    let world = World::new("lost_part", 200);
    let all: Vec<u64> = (0..200).collect();
    assert!(world.payers(&all).iter().all(|payer| payer == "acme"));
    world.give_all(&all, "beta", |version| {
        world.damage(&[&format!("DELETE FROM changes WHERE version = {version} AND part = 1")]);
    });
    world.waits_for(Version(2));
    assert!(world.payers(&all).iter().all(|payer| payer == "beta"));
    let lost = "the change log of version 2 lacks part 2 of 2";
    world.hears(|event| matches!(event, CacheEvent::Forgotten(why) if why.contains(lost)));
    let said = runtime().block_on(world.store.changes_of(Version(2))).expect_err("a list with a hole");
    assert!(said.to_string().contains(lost), "{said}");
    world.give_all(&all, "acme", |version| world.damage(&[&format!("DELETE FROM changes WHERE version = {version}")]));
    world.waits_for(Version(3));
    assert!(world.payers(&all).iter().all(|payer| payer == "acme"));
    world.hears(|event| matches!(event, CacheEvent::Forgotten(why) if why.contains("version 3 lacks its first part")));
}

/// The reader sees version 4, then 2, then another 4: it is another one.
#[test]
fn a_restored_store_is_not_taken_for_the_one_before() {
    let world = World::new("restored", 4);
    let numbers = [0, 1, 2, 3];
    world.give(3, "beta");
    let second = runtime().block_on(world.store.head_row()).expect("a head").head;
    world.give(1, "beta");
    world.give(2, "beta");
    let fourth = runtime().block_on(world.store.head_row()).expect("a head").head;
    world.waits_for(Version(4));
    assert_eq!(world.payers(&numbers), ["acme", "beta", "beta", "beta"]);
    let mut restore = vec![format!(
        "UPDATE head SET version = 2, last_claim = 2, identity = '{}' WHERE id = 0 IF version = 4",
        second.identity
    )];
    for version in [3, 4] {
        restore.push(format!("DELETE FROM changes WHERE version = {version}"));
        for number in [1, 2] {
            let [imsi, iccid, msisdn] = digits(number);
            for (kind, value) in [("imsi", imsi), ("iccid", iccid), ("msisdn", msisdn), ("name", format!("e{number}"))]
            {
                restore.push(format!(
                    "DELETE FROM endpoints_by_identity WHERE kind = '{kind}' AND value = '{value}' \
                     AND endpoint = 'e{number}' AND version = {version}"
                ));
            }
        }
    }
    world.damage(&restore.iter().map(String::as_str).collect::<Vec<_>>());
    world.hears(|event| matches!(event, CacheEvent::Unconfirmed(why) if why.contains("went back from 4 to 2")));
    world.give(0, "beta");
    world.give(3, "acme");
    // Planned before, on what is no longer there.
    let late = runtime().block_on(world.store.begin(&fourth, author("late"), TakeOver::Silent)).expect_err("refused");
    assert!(late.to_string().contains("version 4 is another one"), "{late}");
    let restored =
        |event: &CacheEvent| matches!(event, CacheEvent::Forgotten(why) if why.contains("restored or rewritten"));
    world.hears(restored);
    assert!(wait_for(|| world.payers(&numbers) == ["beta", "acme", "acme", "acme"]), "{:?}", world.payers(&numbers));
    assert_eq!(world.cache.stats().version, Version(4));
}
