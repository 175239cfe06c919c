//! The oracle against the worked cases of the acceptance rules: tables of lines and what each must give.
//!
//! A leg is written as `LEVEL AMOUNT`, followed by `REASON` unless it was rated, `+UNITS` covered by bundles, `waived AMOUNT`, and `fee AMOUNT` of a
//! bundle that it activated; a leg in suspense as `LEVEL !CODE`; a record in suspense as `!CODE`. Legs are separated by ` | `.

mod numbers;

use oracle::{Charge, ChargeReason, CommandResult, Leg, Oracle, Outcome};

/// Feeds `lines` and compares each outcome.
fn check(reference: &str, lines: &[(String, &str)]) -> Oracle {
    let mut oracle = Oracle::new(reference).unwrap_or_else(|error| panic!("{error}\n{reference}"));
    feed(&mut oracle, lines);
    oracle
}

fn feed(oracle: &mut Oracle, lines: &[(String, &str)]) {
    for (line, expected) in lines {
        assert_eq!(text(&oracle.feed_line(line.as_bytes())), *expected, "{line}");
    }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Guided { legs, .. } => legs_text(legs),
        Outcome::Suspended { reason, .. } => format!("!{reason}"),
        Outcome::Duplicate { .. } => "duplicate".to_owned(),
        Outcome::Command(command) => match &command.result {
            CommandResult::Applied => "applied".to_owned(),
            CommandResult::Duplicate => "duplicate".to_owned(),
            CommandResult::Refused(why) => format!("refused: {why}"),
        },
        Outcome::Tick => "tick".to_owned(),
        Outcome::Blank => "blank".to_owned(),
    }
}

fn legs_text(legs: &[Leg]) -> String {
    legs.iter().map(leg_text).collect::<Vec<_>>().join(" | ")
}

fn leg_text(leg: &Leg) -> String {
    match &leg.result {
        Err(reason) => format!("{} !{reason}", leg.level),
        Ok(charge) => {
            let mut text = format!("{} {}", leg.level, charge.amount);
            if charge.reason != ChargeReason::Rated {
                text += &format!(" {}", charge.reason.code());
            }
            let covered = covered(charge);
            if covered > 0 {
                text += &format!(" +{covered}");
            }
            if charge.waived != "0" {
                text += &format!(" waived {}", charge.waived);
            }
            for fee in &leg.fees {
                text += &format!(" fee {}", fee.amount);
            }
            text
        }
    }
}

fn covered(charge: &Charge) -> u128 {
    charge.covered.values().sum()
}

/// Operator > A > B > customer > endpoint, all in GBP; every tariff has one version from the beginning.
#[derive(Default)]
struct Chain {
    zones: &'static str,
    /// (name, rest of the tariff after its currency).
    tariffs: Vec<(&'static str, String)>,
    bundles: &'static str,
    a: &'static str,
    b: &'static str,
    customer: &'static str,
    endpoint: &'static str,
}

impl Chain {
    fn yaml(&self) -> String {
        let map = |key: &str, text: &str| {
            if text.is_empty() { String::new() } else { format!("{key}:\n{text}\n") }
        };
        let tariffs: Vec<String> =
            self.tariffs.iter().map(|(name, rest)| format!("  {name}:\n    currency: GBP\n{rest}")).collect();
        format!(
            "format: rater/v1
{}{}{}accounts:
  operator: {{ kind: operator, currency: GBP }}
  a: {{ kind: reseller, parent: operator, currency: GBP{} }}
  b: {{ kind: reseller, parent: a, currency: GBP{} }}
  customer: {{ kind: customer, parent: b, currency: GBP{} }}
endpoints:
  e1: {{ customer: customer, imsi: \"1\"{} }}
  e2: {{ customer: customer, imsi: \"2\"{} }}
",
            map("zones", self.zones),
            map("tariffs", &tariffs.join("\n")),
            map("bundles", self.bundles),
            self.a,
            self.b,
            self.customer,
            self.endpoint,
            self.endpoint
        )
    }

    /// A chain on which only the customer's edge has a price.
    fn customer_only(rates: &[&str]) -> Self {
        Self { tariffs: vec![tariff("retail", rates)], customer: ", tariff: retail", ..Self::default() }
    }
}

/// A tariff with one version from the beginning.
fn tariff(name: &'static str, rates: &[&str]) -> (&'static str, String) {
    let rates: Vec<String> = rates.iter().map(|rate| format!("          - {{ {rate} }}")).collect();
    let rates = rates.join("\n");
    (name, format!("    versions:\n      - from: 2020-01-01T00:00:00Z\n        rates:\n{rates}"))
}

/// A record of endpoint 1 at noon of 1 March 2026 unless `more` says otherwise.
fn data(id: &str, quantity: u64, more: &str) -> String {
    usage(id, "data", quantity, &format!(r#""event_time":"2026-03-01T12:00:00Z","imsi":"1"{more}"#))
}

fn data_at(id: &str, quantity: u64, time: &str, more: &str) -> String {
    usage(id, "data", quantity, &format!(r#""event_time":"{time}","imsi":"1"{more}"#))
}

fn usage(id: &str, service: &str, quantity: u64, more: &str) -> String {
    format!(r#"{{"id":"{id}","source":"s","service":"{service}","quantity":{quantity},{more}}}"#)
}

const UK: &str = r#","mcc":"234","mnc":"10""#;
const FRANCE: &str = r#","mcc":"208","mnc":"01""#;
const MB: u64 = 1_000_000;
const KB: u64 = 1_000;

fn chain_of_case_1() -> Chain {
    Chain {
        tariffs: vec![
            tariff("retail", &["service: data, price: 0.15/MB"]),
            tariff("wholesale", &["service: data, price: 0.10/MB"]),
            tariff("carrier", &["service: data, price: 0.04/MB"]),
        ],
        a: ", tariff: carrier",
        b: ", tariff: wholesale",
        customer: ", tariff: retail",
        ..Chain::default()
    }
}

const POOL_1_GB: &str = "  pool: { currency: GBP, elements: [ { service: data, amount: 1 GB } ] }";

#[test]
fn cases_1_to_3_edges_are_independent() {
    let chain = chain_of_case_1();
    let oracle = check(&chain.yaml(), &[(data("1", 3 * MB, ""), "1 0.45 | 2 0.3 | 3 0.12")]);
    assert_eq!([oracle.balance("customer"), oracle.balance("b"), oracle.balance("operator")], ["-0.45", "-0.3", "0"]);

    let free = Chain { b: "", ..chain_of_case_1() };
    check(&free.yaml(), &[(data("1", 3 * MB, ""), "1 0.45 | 2 0 no_tariff | 3 0.12")]);

    let pooled = Chain { bundles: POOL_1_GB, customer: ", tariff: retail, bundles: [pool]", ..chain_of_case_1() };
    let oracle = check(&pooled.yaml(), &[(data("1", 3 * MB, ""), "1 0 bundle +3000000 | 2 0.3 | 3 0.12")]);
    assert_eq!(oracle.allowances_left("reference:customer:pool"), Some(vec![Some("997000000".to_owned())]));
}

#[test]
fn case_4_covered_first_then_increments() {
    for (left, used, expected) in [("2 MB", 5 * MB, "1 0.45 +2000000"), ("2020 KB", 5050 * KB, "1 0.465 +2020000")] {
        let chain = Chain {
            bundles: POOL_1_GB,
            customer: ", tariff: retail, bundles: [pool]",
            ..Chain::customer_only(&["service: data, price: 0.15/MB, increment: 100 KB"])
        };
        let expected = format!("{expected} | 2 0 no_tariff | 3 0 no_tariff");
        check(&chain.yaml().replace("1 GB", left), &[(data("1", used, ""), &expected)]);
    }
}

const ZONES: &str = "  uk: { networks: [234, 235] }\n  net: { networks: [234-15] }\n  us41: { networks: [310-41] }";

#[test]
fn case_5_the_most_specific_zone_wins() {
    let on = |id: &str, mcc: &str, mnc: &str| data(id, MB, &format!(r#","mcc":"{mcc}","mnc":"{mnc}""#));
    let root = "service: data, price: 0.20/MB";
    let zoned = ["service: data, zone: uk, price: 0.10/MB", "service: data, zone: net, price: 0.08/MB"];
    let free = |text: &str| format!("{text} | 2 0 no_tariff | 3 0 no_tariff");
    let with_root = Chain { zones: ZONES, ..Chain::customer_only(&[root, zoned[0], zoned[1]]) };
    check(
        &with_root.yaml(),
        &[
            (on("1", "234", "15"), &free("1 0.08")),
            (on("2", "234", "10"), &free("1 0.1")),
            (on("3", "235", "94"), &free("1 0.1")),
            (on("4", "208", "01"), &free("1 0.2")),
        ],
    );
    let without = Chain {
        zones: ZONES,
        ..Chain::customer_only(&[zoned[0], zoned[1], "service: data, zone: us41, price: 0.05/MB"])
    };
    check(
        &without.yaml(),
        &[
            (on("1", "208", "01"), &free("1 !no_rate")),
            (on("2", "310", "410"), &free("1 !no_rate")),
            (on("3", "310", "41"), &free("1 0.05")),
        ],
    );
}

#[test]
fn case_6_a_bundle_covers_its_zone_only() {
    let chain = Chain {
        zones: ZONES,
        bundles: "  uk: { currency: GBP, elements: [ { service: data, zone: uk, amount: 100 MB } ] }",
        customer: ", tariff: retail, bundles: [uk]",
        ..Chain::customer_only(&["service: data, price: 0.20/MB", "service: data, zone: uk, price: 0.10/MB"])
    };
    let chain = Chain { customer: ", tariff: retail, bundles: [uk]", ..chain };
    let oracle = check(&chain.yaml(), &[(data("1", MB, FRANCE), "1 0.2 | 2 0 no_tariff | 3 0 no_tariff")]);
    assert_eq!(oracle.allowances_left("reference:customer:uk"), Some(vec![Some("100000000".to_owned())]));
}

/// Rates records on a customer's edge that has one rate, and compares what that edge gives.
fn amounts(rate: &str, records: &[(String, &str)]) {
    let mut oracle = Oracle::new(&Chain::customer_only(&[rate]).yaml()).unwrap();
    for (line, expected) in records {
        let Outcome::Guided { legs, .. } = oracle.feed_line(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(leg_text(&legs[0]), format!("1 {expected}"), "{rate}: {line}");
    }
}

#[test]
fn case_7_minimum_and_increment() {
    amounts(
        "service: data, price: 0.10/MB, minimum: 100 KB, increment: 100 KB",
        &[(data("1", 0, ""), "0 zero_quantity"), (data("2", 37 * KB, ""), "0.01"), (data("3", 101 * KB, ""), "0.02")],
    );
    amounts(
        "service: data, price: 0.10/MB, minimum: 500 KB, increment: 100 KB",
        &[(data("1", KB, ""), "0.05"), (data("2", 620 * KB, ""), "0.07")],
    );
}

#[test]
fn case_8_an_armed_bundle_starts_with_the_first_unit_drawn() {
    let chain = Chain {
        zones: ZONES,
        bundles: "  uk: { price: 5.00 GBP, starts: first_use, lasts: 1 month, elements: [ { service: data, zone: uk, amount: 1 GB } ] }",
        ..Chain::customer_only(&["service: data, price: 0.20/MB", "service: data, zone: uk, price: 0.10/MB"])
    };
    let chain = Chain { customer: ", tariff: retail, bundles: [uk]", ..chain };
    let rest = " | 2 0 no_tariff | 3 0 no_tariff";
    let with_rest = |text: &str| format!("{text}{rest}");
    let oracle = check(
        &chain.yaml(),
        &[
            (data_at("1", MB, "2026-03-03T00:00:00Z", FRANCE), &with_rest("1 0.2")),
            (data_at("2", MB, "2026-03-05T14:00:00Z", UK), &with_rest("1 0 bundle +1000000 fee 5")),
            (data_at("3", MB, "2026-04-05T13:59:59.999Z", UK), &with_rest("1 0 bundle +1000000")),
            (data_at("4", MB, "2026-04-05T14:00:00Z", UK), &with_rest("1 0.1")),
            (data_at("5", MB, "2026-03-04T00:00:00Z", UK), &with_rest("1 0.1")),
        ],
    );
    assert_eq!(oracle.validity("reference:customer:uk"), Some((1_772_719_200_000, Some(1_775_397_600_000))));
}

#[test]
fn case_9_the_first_boundary_of_a_month_from_31_january() {
    let chain = Chain {
        bundles: "  pool: { price: 5.00 GBP, lasts: 1 month, elements: [ { service: data, amount: 1 GB } ] }",
        customer: ", bundles: [ { bundle: pool, at: \"2026-01-31T10:00:00Z\" } ]",
        ..Chain::default()
    };
    let mut oracle = check(&chain.yaml(), &[]);
    let grants = oracle.take_grants();
    assert_eq!(
        (grants.len(), grants[0].fees[0].amount.as_str(), grants[0].result.clone()),
        (1, "5", CommandResult::Applied)
    );
    assert_eq!(oracle.balance("customer"), "-5");
    assert_eq!(oracle.validity("reference:customer:pool"), Some((1_769_853_600_000, Some(1_772_272_800_000))));
}

#[test]
fn case_11_fair_use_comes_last() {
    let chain = Chain {
        bundles: "  big: { currency: GBP, elements: [ { priority: 1, service: data, amount: 25 GB }, { priority: 1, service: data, amount: unlimited, fair_use: true } ] }",
        customer: ", bundles: [big]",
        ..Chain::default()
    };
    let oracle = check(
        &chain.yaml(),
        &[(data("1", 26_000 * MB, ""), "1 0 bundle +26000000000 | 2 0 no_tariff | 3 0 no_tariff")],
    );
    assert_eq!(oracle.allowances_left("reference:customer:big"), Some(vec![Some("0".to_owned()), None]));
}

fn chain_of_case_16() -> Chain {
    Chain {
        tariffs: vec![
            tariff("plan", &["service: data, price: 0.10/MB, increment: 1 MB"]),
            tariff("enterprise", &["service: data, price: 0.05/MB, increment: 100 KB"]),
            tariff("reseller", &["service: data, price: 0.02/MB, increment: 1 KB"]),
        ],
        b: ", tariff: reseller",
        customer: ", tariff: enterprise",
        endpoint: ", plan: { tariff: plan }",
        ..Chain::default()
    }
}

#[test]
fn case_16_one_volume_on_every_edge() {
    check(&chain_of_case_16().yaml(), &[(data("1", 2350 * KB, ""), "0 0.3 | 1 0.12 | 2 0.047 | 3 0 no_tariff")]);
}

#[test]
fn case_17_pools_and_own_bundles() {
    let second = |id: &str| data(id, 60 * MB, "").replace(r#""imsi":"1""#, r#""imsi":"2""#);
    let pooled = Chain {
        bundles: "  pool: { currency: GBP, elements: [ { service: data, amount: 100 MB } ] }",
        customer: ", tariff: enterprise, bundles: [pool]",
        ..chain_of_case_16()
    };
    let mut oracle = check(
        &pooled.yaml(),
        &[
            (data("1", 60 * MB, ""), "0 6 | 1 0 bundle +60000000 | 2 1.2 | 3 0 no_tariff"),
            (second("2"), "0 6 | 1 1 +40000000 | 2 1.2 | 3 0 no_tariff"),
        ],
    );
    assert_eq!(oracle.balance("b"), "-2.4");
    feed(&mut oracle, &[(second("2"), "duplicate")]);

    let own = pooled
        .yaml()
        .replace(", bundles: [pool]", "")
        .replace("imsi: \"1\", plan: { tariff: plan }", "imsi: \"1\", plan: { tariff: plan, bundles: [pool] }");
    let oracle = check(
        &own,
        &[
            (data("1", 60 * MB, ""), "0 0 bundle +60000000 | 1 3 | 2 1.2 | 3 0 no_tariff"),
            (second("2"), "0 6 | 1 3 | 2 1.2 | 3 0 no_tariff"),
        ],
    );
    assert_eq!(
        [oracle.balance("customer/e1"), oracle.balance("customer/e2"), oracle.balance("customer")],
        ["0", "-6", "-6"]
    );
}

#[test]
fn case_19_graduated_tiers() {
    amounts(
        "service: data, tiers: [ { up_to: 100 MB, price: 0.10/MB }, { price: 0.06/MB } ]",
        &[
            (data("1", 95 * MB, ""), "9.5"),
            (data("2", 10 * MB, ""), "0.8"),
            (data_at("3", 10 * MB, "2026-04-01T00:00:00Z", ""), "1"),
        ],
    );
    amounts(
        "service: data, tiers: [ { up_to: 1 MB, price: 0/MB }, { price: 0.06/MB, flat: 2.00 } ]",
        &[(data("1", MB, ""), "0"), (data("2", MB, ""), "2.06"), (data("3", MB, ""), "0.06")],
    );
}

#[test]
fn case_26_duplicates_and_conflicts() {
    check(
        &chain_of_case_1().yaml(),
        &[
            (data("1", 3 * MB, ""), "1 0.45 | 2 0.3 | 3 0.12"),
            (data("1", 3 * MB, r#","unit":"octets""#), "duplicate"),
            (data("1", 3 * MB, "").replace(r#""source":"s""#, r#""source":"t""#), "1 0.45 | 2 0.3 | 3 0.12"),
            (data("1", 4 * MB, ""), "!duplicate_conflict"),
            (data("9", MB, "").replace(r#""imsi":"1""#, r#""imsi":"99""#), "!unknown_endpoint"),
            (data("9", MB, "").replace(r#""imsi":"1""#, r#""imsi":"99""#), "duplicate"),
        ],
    );
}

#[test]
fn case_27_moves_follow_the_event_time() {
    let yaml = "format: rater/v1
tariffs:
  over-b:
    currency: GBP
    versions: [ { from: 2020-01-01T00:00:00Z, rates: [ { service: data, price: 0.10/MB } ] } ]
  over-c:
    currency: GBP
    versions: [ { from: 2020-01-01T00:00:00Z, rates: [ { service: data, price: 0.20/MB } ] } ]
bundles:
  pool: { currency: GBP, elements: [ { service: data, amount: 1500 KB } ] }
accounts:
  operator: { kind: operator, currency: GBP }
  b: { kind: reseller, parent: operator, currency: GBP, tariff: over-b }
  c: { kind: reseller, parent: operator, currency: GBP, tariff: over-c }
  e1: { kind: customer, parent: b, currency: GBP, bundles: [pool], changes: [ { from: 2026-03-01T12:00:00Z, parent: c } ] }
  e2: { kind: customer, parent: c, currency: GBP }
endpoints:
  sim: { customer: e1, imsi: \"1\" }
  moved: { customer: e1, imsi: \"2\", changes: [ { from: 2026-03-01T12:00:00Z, customer: e2 } ] }
";
    let moved = |id: &str, time: &str| data_at(id, MB, time, "").replace(r#""imsi":"1""#, r#""imsi":"2""#);
    let mut oracle = check(
        yaml,
        &[
            (data_at("1", MB, "2026-03-01T12:00:00Z", ""), "1 !tariff_missing | 2 0.2"),
            (data_at("2", MB, "2026-03-01T11:59:59Z", ""), "1 0 bundle +1000000 | 2 0.1"),
            (data_at("3", MB, "2026-03-01T11:59:59Z", ""), "1 !tariff_missing | 2 0.1"),
            (moved("4", "2026-03-01T12:00:00Z"), "1 !tariff_missing | 2 0.2"),
            (moved("5", "2026-03-01T11:59:59Z"), "1 !tariff_missing | 2 0.1"),
        ],
    );
    let payers: Vec<String> = oracle.recycle().iter().map(|recycled| format!("{:?}", recycled.result)).collect();
    assert_eq!(payers, vec!["Err(TariffMissing)"; 4]);
    // What waited drew nothing.
    assert_eq!(oracle.allowances_left("reference:e1:pool"), Some(vec![Some("500000".to_owned())]));
}

#[test]
fn case_28_increments_per_session() {
    let session = r#","session_id":"a""#;
    let rate = "service: data, price: 0.10/MB, increment: 100 KB, per: session";
    let partial = |id: &str| data(id, 60 * KB, session);
    amounts(rate, &[(partial("1"), "0.01"), (partial("2"), "0.01"), (partial("3"), "0")]);
    amounts(
        "service: data, price: 0.10/MB, increment: 100 KB",
        &[(partial("1"), "0.01"), (partial("2"), "0.01"), (partial("3"), "0.01")],
    );
    let rest = " | 2 0 no_tariff | 3 0 no_tariff";
    let with_rest = |text: &str| format!("{text}{rest}");
    check(
        &Chain::customer_only(&[rate]).yaml(),
        &[
            (partial("1"), &with_rest("1 0.01")),
            (partial("3"), &with_rest("1 0.01")),
            (partial("2"), &with_rest("1 0")),
            (partial("2"), "duplicate"),
        ],
    );
    let chain = Chain {
        bundles: "  pool: { currency: GBP, elements: [ { service: data, amount: 50 KB } ] }",
        customer: ", tariff: retail, bundles: [pool]",
        ..Chain::customer_only(&[rate])
    };
    let chain = Chain { customer: ", tariff: retail, bundles: [pool]", ..chain };
    check(
        &chain.yaml(),
        &[
            (partial("1"), &with_rest("1 0.01 +50000")),
            (partial("2"), &with_rest("1 0")),
            (partial("3"), &with_rest("1 0.01")),
        ],
    );
}

#[test]
fn case_29_unit_prices_are_never_pre_rounded() {
    let octets = 10 * 1024 * 1024;
    amounts("service: data, price: 0.004/MiB, increment: 1 KiB", &[(data("1", octets, ""), "0.04")]);
    amounts("service: data, price: 0.010/MiB", &[(data("1", octets, ""), "0.1")]);
    let call =
        |id: &str, seconds: u64| usage(id, "voice", seconds, r#""event_time":"2026-03-01T12:00:00Z","imsi":"1""#);
    amounts("service: voice, price: 0.10/min, increment: 1 s", &[(call("1", 180), "0.3"), (call("2", 7), "0.011667")]);
}

#[test]
fn case_30_time_bands() {
    let bands = "service: voice, increment: 1 s, bands: [ { days: Mon-Fri, hours: \"00:00-18:00\", connect: 1, price: 1/s }, { otherwise: true, price: 0.5/s } ]";
    let call = |id: &str, seconds: u64, time: &str, more: &str| {
        usage(id, "voice", seconds, &format!(r#""event_time":"{time}","imsi":"1"{more}"#))
    };
    amounts(
        bands,
        &[
            (call("1", 3600, "2026-03-05T17:30:00Z", ""), "2701"),
            (call("2", 10, "2026-03-07T12:00:00Z", ""), "5"),
            // Once per session, though the increments count per record.
            (call("3", 10, "2026-03-05T12:00:00Z", r#","session_id":"a""#), "11"),
            (call("4", 10, "2026-03-05T12:00:10Z", r#","session_id":"a""#), "10"),
        ],
    );
    // Detail e: data takes the band of its event time.
    amounts(
        "service: data, bands: [ { hours: \"00:00-18:00\", price: 1/MB }, { hours: \"18:00-24:00\", price: 0.5/MB } ]",
        &[
            (data_at("1", 2 * MB, "2026-03-05T17:59:59Z", ""), "2"),
            (data_at("2", 2 * MB, "2026-03-05T18:00:00Z", ""), "1"),
        ],
    );
}

#[test]
fn case_31_a_leg_waits_alone_and_is_recycled() {
    let yaml = chain_of_case_16().yaml().replace(
        "  a: { kind: reseller, parent: operator, currency: GBP",
        "  a: { kind: reseller, parent: operator, currency: GBP, tariff: carrier",
    );
    let carrier = |rate: &str| {
        yaml.replace(
            "tariffs:\n",
            &format!("tariffs:\n  carrier:\n    currency: GBP\n    versions: [ {{ from: 2020-01-01T00:00:00Z, rates: [ {rate} ] }} ]\n"),
        )
    };
    let sms = "{ service: sms, price: 0.01/message }";
    let with_data = format!("{sms}, {{ service: data, price: 0.01/MB }}");
    let mut oracle = check(&carrier(sms), &[(data("1", 2350 * KB, ""), "0 0.3 | 1 0.12 | 2 0.047 | 3 !no_rate")]);
    oracle.replace_reference(&carrier(&with_data)).unwrap();
    let recycled = oracle.recycle();
    assert_eq!(
        recycled.iter().map(|entry| legs_text(entry.result.as_ref().unwrap())).collect::<Vec<_>>(),
        ["3 0.0235"]
    );
    assert_eq!(oracle.recycle(), vec![]);
    feed(&mut oracle, &[(data("1", 2350 * KB, ""), "duplicate")]);
}

#[test]
fn case_33_a_cap_waives_what_is_above() {
    let chain = Chain::customer_only(&["service: data, price: 0.15/MB"]).yaml();
    let yaml = chain.replace("        rates:", "        cap: 5.00\n        rates:");
    let rest = " | 2 0 no_tariff | 3 0 no_tariff";
    let with_rest = |text: &str| format!("{text}{rest}");
    check(
        &yaml,
        &[
            (data("1", 32_666_667, ""), &with_rest("1 4.9")),
            (data("2", 3 * MB, ""), &with_rest("1 0.1 waived 0.35")),
            (data("3", 3 * MB, ""), &with_rest("1 0 waived 0.45")),
            (data_at("4", 3 * MB, "2026-04-01T00:00:00Z", ""), &with_rest("1 0.45")),
        ],
    );
}

#[test]
fn case_34_one_rounding_per_charge() {
    let rate = "service: voice, bands: [ { hours: \"00:00-18:00\", price: 0.005/s }, { hours: \"18:00-24:00\", price: 0.005/s } ]";
    let yaml = Chain::customer_only(&[rate]).yaml();
    let yaml = yaml.replace("    versions:", "    rounding: { scale: 2, mode: half-up }\n    versions:");
    let call = usage("1", "voice", 2, r#""event_time":"2026-03-05T17:59:59Z","imsi":"1""#);
    check(&yaml, &[(call, "1 0.01 | 2 0 no_tariff | 3 0 no_tariff")]);
}

#[test]
fn case_35_aliases_of_aliases_follow_their_master() {
    let yaml = "format: rater/v1
tariffs:
  master:
    currency: GBP
    versions:
      - { from: 2020-01-01T00:00:00Z, rates: [ { service: data, price: 0.10/MB } ] }
      - { from: 2026-05-01T00:00:00Z, rates: [ { service: data, price: 0.12/MB } ] }
  alias: { alias_of: master, markup: { data: 0.05/MB } }
  alias-2: { alias_of: alias, markup: { data: 0.03/MB } }
  dated: { alias_of: alias, markup: [ { from: 2026-05-01T00:00:00Z, data: 0.01/MB } ] }
accounts:
  operator: { kind: operator, currency: GBP }
  a: { kind: reseller, parent: operator, currency: GBP, tariff: dated }
  customer: { kind: customer, parent: a, currency: GBP, tariff: alias-2 }
endpoints:
  e1: { customer: customer, imsi: \"1\" }
";
    check(
        yaml,
        &[
            (data_at("1", MB, "2026-04-01T00:00:00Z", ""), "1 0.18 | 2 0.15"),
            (data_at("2", MB, "2026-05-01T00:00:00Z", ""), "1 0.2 | 2 0.18"),
            (data_at("3", MB, "2026-04-30T23:59:59Z", ""), "1 0.18 | 2 0.15"),
        ],
    );
}

#[test]
fn case_36_rating_groups() {
    let chain = Chain::customer_only(&["service: data, price: 0.10/MB", "service: data, rating_group: 2, price: 0/MB"]);
    let rest = " | 2 0 no_tariff | 3 0 no_tariff";
    check(
        &chain.yaml(),
        &[
            (data("1", MB, r#","rating_group":2"#), &format!("1 0{rest}")),
            (data("2", MB, r#","rating_group":1"#), &format!("1 0.1{rest}")),
        ],
    );
}
