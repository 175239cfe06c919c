//! Going through all endpoints of a store: what their plans grant is what the same reference data grant in files, and what changes is named.

use super::support::{Small, endpoint};
use directory::cache::{CacheSettings, SCAN_PARTS};
use directory::{Changed, Directory, Grant, Input, InputKind, Walk, load};
use std::time::Duration;
use testkit::histories::memory::{Definition, Write};

const CATALOG: &str = "format: rater/v1
bundles:
  pack: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
  own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 5 MB }] }
  month: { currency: GBP, lasts: 1 month, elements: [{ service: data, amount: 5 MB }] }
accounts:
  op: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: op, currency: GBP, bundles: [pack] }
  beta: { kind: customer, parent: op, currency: GBP }
";

/// Plans of several kinds, by the number of the endpoint.
fn definition(number: u64) -> String {
    match number % 5 {
        0 => "{ customer: acme }".to_owned(),
        1 => "{ customer: acme, plan: { bundles: [pack, own] } }".to_owned(),
        2 => "{ customer: acme, plan: { bundles: [{ bundle: month, at: 2026-03-01T00:00:00Z }] } }".to_owned(),
        3 => "{ customer: acme, plan: { mode: prepaid }, changes: [{ from: 2026-02-01T00:00:00Z, customer: beta, plan: { bundles: [own] } }, { from: 2026-03-01T00:00:00Z, plan: ~ }] }".to_owned(),
        // It names bundles, and grants none.
        _ => "{ customer: beta, group: bundles, plan: { mode: postpaid } }".to_owned(),
    }
}

fn written(number: u64) -> (String, Option<Definition>) {
    let (name, _) = endpoint(number, "acme");
    (name, Some(Definition { text: definition(number), identities: Default::default() }))
}

/// What files with these endpoints grant, accounts left out.
fn in_files(endpoints: &[(String, Option<Definition>)]) -> Vec<Grant> {
    let lines = endpoints.iter().filter_map(|(name, definition)| {
        definition.as_ref().map(|definition| format!("  {name}: {}\n", definition.text))
    });
    let text = format!("{CATALOG}endpoints:\n{}", lines.collect::<String>());
    let input = Input { name: "world.yaml".into(), bytes: text.into_bytes(), kind: InputKind::Yaml };
    let loaded = load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
    let of_plans = |grant: &&Grant| grant.account.contains('/');
    sorted(loaded.grants().iter().filter(of_plans).cloned().collect())
}

fn sorted(mut grants: Vec<Grant>) -> Vec<Grant> {
    grants.sort_by(|one, other| one.command_id.cmp(&other.command_id));
    grants
}

fn walked(walk: &dyn Walk) -> Vec<Grant> {
    sorted((0..walk.parts()).flat_map(|part| walk.of_part(part).expect("a part").grants).collect())
}

#[test]
fn a_walk_finds_what_files_grant_and_changes_are_named_once() {
    let small = Small::try_open(CATALOG, 0, CacheSettings::default()).expect("a cache");
    let mut endpoints: Vec<_> = (0..600).map(written).collect();
    small.waits_for(small.rows.commit(&Write { catalog: None, endpoints: endpoints.clone() }));
    let walk = small.cache.walk().expect("it does not hold its endpoints");
    assert_eq!(walk.parts(), SCAN_PARTS);
    assert_eq!(walk.take_changed(), Changed::Anything, "nobody asked before");
    let expected = in_files(&endpoints);
    assert_eq!((walked(walk), expected.len()), (expected, 600 / 5 * 4));
    assert_eq!(walk.take_changed(), Changed::These(Vec::new()));

    // One gets a plan, one loses it, one goes.
    endpoints[5].1 = written(1).1;
    endpoints[6].1 = written(0).1;
    endpoints[7].1 = None;
    let change = Write { catalog: None, endpoints: endpoints[5..8].to_vec() };
    small.waits_for(small.rows.commit(&change));
    let names = ["e5", "e6", "e7"].map(Box::from).to_vec();
    assert_eq!(walk.take_changed(), Changed::These(names.clone()));
    assert_eq!(sorted(walk.of_endpoints(&names).expect("an answer").grants), in_files(&endpoints[5..8]));
    assert_eq!(walked(walk), in_files(&endpoints));
    assert_eq!(walk.take_changed(), Changed::These(Vec::new()), "it was told");

    // The log does not say what changed.
    let version = small.rows.commit(&Write { catalog: None, endpoints: vec![written(2)] });
    small.rows.forget_changes(version);
    small.waits_for(version);
    assert_eq!(walk.take_changed(), Changed::Anything);
}

#[test]
fn a_store_that_is_away_is_no_store_without_plans() {
    let settings = CacheSettings { lead: Duration::from_secs(60), ..CacheSettings::default() };
    let small = Small::try_open(CATALOG, 0, settings).expect("a cache");
    small.waits_for(small.rows.commit(&Write { catalog: None, endpoints: (0..9).map(written).collect() }));
    let walk = small.cache.walk().expect("it does not hold its endpoints");
    small.rows.set_down(true);
    assert!(walk.of_part(0).is_err() && walk.of_endpoints(&["e1".into()]).is_err());
    small.rows.set_down(false);
    small.clock.advance(Duration::from_millis(1));
    assert!(super::support::wait_for(|| walk.of_part(0).is_ok()), "it came back");
    assert_eq!(walked(walk).len(), 8);
    assert!(walk.of_endpoints(&["nobody".into()]).expect("an answer").grants.is_empty());
}
