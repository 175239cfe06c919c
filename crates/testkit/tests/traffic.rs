//! The generated traffic is what it claims to be: accepted by whoever reads it, the same for the same seed, and full of everything.

use directory::{Input, InputKind};
use oracle::{Oracle, Outcome};
use std::collections::BTreeMap;
use testkit::generator::traffic::{self, Step, Traffic};

fn references(traffic: &Traffic) -> Vec<&str> {
    let replaced = traffic.steps.iter().filter_map(|step| match step {
        Step::Replace(reference) => Some(reference.as_str()),
        Step::Line(_) | Step::Recycle => None,
    });
    std::iter::once(traffic.reference.as_str()).chain(replaced).collect()
}

#[test]
fn every_reference_is_valid() {
    for seed in 0..100 {
        for reference in references(&traffic::generate(seed, 1)) {
            let input = Input { name: format!("seed-{seed}.yaml"), bytes: reference.into(), kind: InputKind::Yaml };
            if let Err(refused) = directory::load(vec![input]) {
                panic!("seed {seed}: {refused}\n{reference}");
            }
            if let Err(error) = Oracle::new(reference) {
                panic!("seed {seed}: {error}");
            }
        }
    }
}

#[test]
fn equal_seeds_give_equal_traffic() {
    let [one, again, other] = [7, 7, 8].map(|seed| traffic::generate(seed, 300));
    assert_eq!((one.reference, &one.steps), (again.reference, &again.steps));
    assert_ne!(one.steps, other.steps);
}

/// A generator that no longer reaches a rule proves nothing about it.
#[test]
fn everything_occurs() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |what: String| *seen.entry(what).or_default() += 1;
    for seed in 0..12 {
        let traffic = traffic::generate(seed, 1500);
        let mut oracle = Oracle::new(&traffic.reference).expect("a reference");
        for step in &traffic.steps {
            let line = match step {
                Step::Replace(reference) => {
                    oracle.replace_reference(reference).expect("a reference");
                    continue;
                }
                Step::Recycle => {
                    for recycled in oracle.recycle() {
                        count(format!(
                            "recycled {} {}",
                            recycled.was,
                            if recycled.result.is_ok() { "charged" } else { "waits" }
                        ));
                    }
                    continue;
                }
                Step::Line(line) => line,
            };
            match oracle.feed_line(line) {
                Outcome::Guided { legs, .. } => {
                    for leg in legs {
                        count(format!("level {}", leg.level));
                        match leg.result {
                            Ok(charge) => count(format!("charge {}", charge.reason.code())),
                            Err(reason) => count(format!("leg {reason}")),
                        }
                        leg.fees.iter().for_each(|_| count("fee by use".to_owned()));
                    }
                }
                Outcome::Suspended { reason, .. } => count(format!("record {reason}")),
                Outcome::Duplicate { .. } => count("duplicate".to_owned()),
                Outcome::Command(outcome) => {
                    outcome.fees.iter().for_each(|_| count("fee by command".to_owned()));
                    let text = format!("{:?}", outcome.result);
                    count(format!("command {}", text.split('"').next().unwrap_or_default()));
                }
                Outcome::Tick => count("tick".to_owned()),
                Outcome::Blank => count("blank".to_owned()),
            }
        }
    }
    println!("{seen:#?}");
    let expected = [
        "charge rated",
        "charge bundle",
        "charge no_tariff",
        "charge zero_quantity",
        "fee by use",
        "fee by command",
        "level 0",
        "level 1",
        "level 2",
        "level 3",
        "level 4",
        "level 5",
        "leg account_closed",
        "leg account_suspended",
        "leg sponsor_not_allowed",
        "leg subscription_type_not_allowed",
        "leg tariff_missing",
        "leg no_rate",
        "leg blocked",
        "record duplicate_conflict",
        "record endpoint_inactive",
        "record identity_conflict",
        "record invalid_record",
        "record unknown_endpoint",
        "duplicate",
        "command Applied",
        "command Duplicate",
        "command Refused(",
        "tick",
        "blank",
        "recycled no_rate charged",
        "recycled blocked charged",
        "recycled tariff_missing charged",
        "recycled unknown_endpoint charged",
        "recycled endpoint_inactive charged",
    ];
    let missing: Vec<&str> =
        expected.into_iter().filter(|what| seen.get(*what).is_none_or(|times| *times < 5)).collect();
    assert!(missing.is_empty(), "occurs hardly ever: {missing:?}");
}
