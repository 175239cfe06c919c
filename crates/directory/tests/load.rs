//! Reference data of the worked cases loads, and means what it says.

use std::path::{Path, PathBuf};

use directory::{Input, InputKind, Loaded, load};
use rating::rate::PricingSpec;
use rating::{Plmn, RateChoice, SuspenseReason, Timestamp, UsageRecord};

fn yaml(text: &str) -> Input {
    Input { name: "rating.yaml".into(), bytes: text.into(), kind: InputKind::Yaml }
}

fn loaded(inputs: Vec<Input>) -> Loaded {
    load(inputs).unwrap_or_else(|refused| panic!("{refused}"))
}

/// Blocks of the language `yaml` in a Markdown text.
fn blocks(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            None if line.starts_with("```yaml") => open = Some(String::new()),
            None => {}
            Some(_) if line.trim_end() == "```" => all.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    all
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_block_of_the_worked_cases_loads() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("tests/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for block in blocks(&text) {
            count += 1;
            if let Err(refused) = load(vec![yaml(&block)]) {
                panic!("{}:\n{refused}", path.display());
            }
        }
    }
    assert!(count >= 20, "only {count} blocks were found");
}

/// Every key of `docs/reference-data.md` at least once.
const EVERYTHING: &str = include_str!("data/everything.yaml");

#[test]
fn every_key_is_accepted() {
    let csv = "endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff\n\
               meter-90,acme,001010000000090,,,default,2026-01-01T00:00:00Z,retail\n\
               \"meter-91\",acme,,,447700900091,none,,\n";
    let csv = Input { name: "endpoints.csv".into(), bytes: csv.into(), kind: InputKind::EndpointCsv };
    let loaded = loaded(vec![yaml(EVERYTHING), csv]);
    assert_eq!(loaded.snapshot.endpoint_count(), 6);
    assert_eq!(loaded.snapshot.accounts().len(), 5);
    let ids: Vec<&str> = loaded.grants().iter().map(|grant| &*grant.command_id).collect();
    assert_eq!(
        ids,
        [
            "reference:acme:uk-pool",
            "reference:acme/meter-1:one-meter:meter-1",
            "reference:acme:one-meter:meter-2",
            "reference:acme:dated",
            "reference:bolt/meter-3:uk-pool",
        ]
    );
    let moments: Vec<Timestamp> = loaded.grants().iter().map(|grant| grant.at).collect();
    assert!(moments.is_sorted());
    assert_eq!(moments[0], Timestamp::EPOCH);
    assert_eq!(Some(moments[4]), Timestamp::parse("2026-03-01T00:00:00Z"), "a plan's grants begin with the plan");
}

fn record(endpoint: &str, service: &str, at: &str) -> UsageRecord {
    UsageRecord {
        quantity: 1,
        endpoint_id: Some(endpoint.into()),
        network: Plmn::parse("234-15"),
        ..UsageRecord::new("r", "file", service, Timestamp::parse(at).unwrap())
    }
}

/// `payer tariff zone price` of every level, lowest first.
fn levels(loaded: &Loaded, usage: &UsageRecord) -> Vec<String> {
    let lineage = loaded.snapshot.lineage_for(usage).unwrap();
    lineage
        .edges()
        .map(|level| {
            let payer = &level.edge.payer;
            match level.rate_for(usage) {
                RateChoice::Rate(rate) => {
                    let pricing = match &rate.spec.pricing {
                        PricingSpec::Unit(price) => format!("{}/{}", price.price(), price.per_units()),
                        PricingSpec::Bands(bands) => format!("{} bands", bands.len()),
                        PricingSpec::Tiers(tiers) => format!("{} tiers", tiers.len()),
                        PricingSpec::Package { size, price } => format!("{price} for {size}"),
                        PricingSpec::Blocked => "blocked".to_owned(),
                    };
                    format!("{payer} {} {} {pricing}", rate.facts.tariff_id, rate.zone())
                }
                RateChoice::NoTariff => format!("{payer} free"),
                RateChoice::Missing(reason) => format!("{payer} {}", reason.name()),
            }
        })
        .collect()
}

#[test]
fn what_was_written_is_what_rates() {
    let loaded = loaded(vec![yaml(EVERYTHING)]);
    let check = |usage: UsageRecord, expected: &[&str]| assert_eq!(levels(&loaded, &usage), expected);
    // Before the plan of meter-1 may be used it has to be active; from then on it is level 0.
    check(
        record("meter-1", "voice", "2026-01-15T00:00:00Z"),
        &["acme/meter-1 retail root 0.1/60", "acme retail root 0.1/60", "alpha no_rate"],
    );
    // acme has moved below beta, and pays by an alias of an alias: 0.10 a minute + 0.01 a minute from February on.
    check(
        record("meter-2", "voice", "2026-02-01T00:00:00Z"),
        &["acme plus-plus root 0.11/60", "beta plus root 0.1/60", "alpha no_rate"],
    );
    // MB are 1024 x 1024 octets in `retail`, and 100 KB are 100,000 octets in `euro`.
    let provisioning = UsageRecord { rating_group: Some(2), ..record("meter-2", "data", "2026-02-01T00:00:00Z") };
    check(
        provisioning,
        &["acme plus-plus root 0.04/1048576", "beta plus root 0.05/1048576", "alpha euro root 0.1/100000"],
    );
    let packages = record("meter-2", "data", "2026-03-01T00:00:00Z");
    check(
        packages,
        &["acme plus-plus uk-15 0.50 for 10485760", "beta plus uk-15 0.50 for 10485760", "alpha euro root 0.1/100000"],
    );
    let mobile =
        UsageRecord { destination: Some("447700".into()), ..record("meter-2", "voice", "2026-01-15T00:00:00Z") };
    check(mobile, &["acme retail uk-mobile 3 bands", "alpha no_rate"]);
    // The IMSI of meter-3 is meter-4's from February on.
    let by_imsi =
        |at: &str| UsageRecord { endpoint_id: None, imsi: Some("001010000000003".into()), ..record("", "sms", at) };
    let holder =
        |at: &str| loaded.snapshot.lineage_for(&by_imsi(at)).map(|lineage| lineage.endpoint.unwrap_or("").to_owned());
    assert_eq!(holder("2026-01-31T23:59:59Z").as_deref(), Ok("meter-3"));
    assert_eq!(holder("2026-02-01T00:00:00Z").as_deref(), Ok("meter-4"));
}

#[test]
fn an_endpoint_is_found_by_each_of_its_imsis() {
    let text = "format: rater/v1\naccounts:\n  northstar: { kind: operator, currency: GBP }\n  \
                acme: { kind: customer, parent: northstar, currency: GBP }\n";
    let listed = "endpoints:\n  one: { customer: acme, imsi: [001010000000001, 001020000000001], \
                  changes: [{ from: 2026-02-01T00:00:00Z, imsi: [001020000000001, 001030000000001] }] }\n";
    let csv = "endpoint,customer,imsi\ntwo,acme,001010000000007;001020000000007\nthree,acme,001010000000008\n";
    let csv = Input { name: "more.csv".into(), bytes: csv.into(), kind: InputKind::EndpointCsv };
    let loaded = loaded(vec![yaml(&format!("{text}{listed}")), csv]);
    let holder = |imsi: &str, at: &str| {
        let usage = UsageRecord { endpoint_id: None, imsi: Some(imsi.into()), ..record("", "sms", at) };
        loaded.snapshot.lineage_for(&usage).map(|lineage| lineage.endpoint.unwrap_or_default().to_owned())
    };
    let (january, february) = ("2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z");
    for (imsi, at, endpoint) in [
        ("001010000000001", january, Some("one")),
        ("001020000000001", january, Some("one")),
        ("001030000000001", january, None),
        ("001010000000001", february, None),
        ("001020000000001", february, Some("one")),
        ("001030000000001", february, Some("one")),
        ("001010000000007", february, Some("two")),
        ("001020000000007", february, Some("two")),
        ("001010000000008", february, Some("three")),
    ] {
        assert_eq!(holder(imsi, at).ok().as_deref(), endpoint, "{imsi} at {at}");
    }
    // Nobody's identity beside somebody's is a contradiction, and is named.
    let usage = UsageRecord {
        endpoint_id: None,
        imsi: Some("001010000000007".into()),
        msisdn: Some("447700900009".into()),
        ..record("", "sms", january)
    };
    assert_eq!(loaded.snapshot.lineage_for(&usage).err(), Some(SuspenseReason::IdentityConflict));
    assert_eq!(
        loaded.snapshot.conflict_of(&usage),
        "imsi 001010000000007 is endpoint two, msisdn 447700900009 is not known at 2026-01-31T23:59:59Z"
    );
}

#[test]
fn the_hash_follows_the_texts_only() {
    let hash = |name: &str, text: &str| loaded(vec![Input { name: name.into(), ..yaml(text) }]).hash;
    let text = "format: rater/v1\naccounts: { northstar: { kind: operator, currency: GBP } }\n";
    assert_eq!(hash("a", text), hash("b", text));
    assert_ne!(hash("a", text), hash("a", &format!("{text}\n")));
    assert_eq!(hash("a", text), 1605938226744634166, "a value that stays the same on every machine");
}

/// Bulk endpoints load in time that grows with their number only; `--nocapture` shows how long it took.
#[test]
fn a_hundred_thousand_endpoints_load() {
    let mut yaml_text = String::from(
        "format: rater/v1\n\
         tariffs: { retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.15/MB }] }] } }\n\
         accounts:\n  northstar: { kind: operator, currency: GBP }\n",
    );
    let mut csv = String::from("endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff\n");
    for customer in 0..1000 {
        yaml_text +=
            &format!("  c{customer}: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}\n");
    }
    for endpoint in 0..100_000 {
        let plan = if endpoint % 2 == 0 { "retail" } else { "" };
        csv += &format!(
            "meter-{endpoint},c{},00101{endpoint:010},8944{endpoint:015},4477{endpoint:08},,2026-01-01T00:00:00Z,{plan}\n",
            endpoint % 1000
        );
    }
    let csv = Input { name: "endpoints.csv".into(), bytes: csv.into(), kind: InputKind::EndpointCsv };
    let started = std::time::Instant::now();
    let loaded = loaded(vec![yaml(&yaml_text), csv]);
    println!("loaded in {:?}", started.elapsed());
    assert_eq!(loaded.snapshot.endpoint_count(), 100_000);
    assert_eq!(loaded.model.accounts.len(), 1001);
}

/// A chain of resellers, and an endpoint below the lowest one's customer.
fn chain(levels: usize) -> String {
    let mut text = "format: rater/v1\naccounts:\n  r0: { kind: operator, currency: GBP }\n".to_owned();
    for level in 1..levels {
        text += &format!("  r{level}: {{ kind: reseller, parent: r{}, currency: GBP }}\n", level - 1);
    }
    text += &format!("  acme: {{ kind: customer, parent: r{}, currency: GBP }}\n", levels - 1);
    text + "endpoints:\n  meter-1: { customer: acme, plan: {} }\n"
}

/// What is longer is refused: `tests/reference-errors/account-256-levels.yaml`.
#[test]
fn a_chain_of_255_levels_is_whole() {
    let loaded = loaded(vec![yaml(&chain(255))]);
    let levels = levels(&loaded, &record("meter-1", "data", "2026-01-01T00:00:00Z"));
    assert_eq!(levels.len(), 256, "level 0 and 255 above it");
    assert!(levels[255].starts_with("r1 "), "{}", levels[255]);
    assert!(load(vec![yaml(&chain(256))]).is_err());
}
