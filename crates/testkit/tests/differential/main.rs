//! The product against the oracle on generated traffic, to the last digit.
//!
//! Every seed is a reference of its own. A failure is shrunk and printed with its seed. `RATER_DIFFERENTIAL_SEED=7` replays one seed,
//! `RATER_DIFFERENTIAL_RECORDS=1000` sets how many records are compared in all, and `RATER_DIFFERENTIAL_SHRINK=0` leaves a failure as it is.

mod facts;
mod oracle_side;
mod product_side;
mod shrink;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use facts::Facts;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Signed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use testkit::generator::traffic::{self, Step};

const RECORDS_PER_SEED: u64 = 1000;
const RECORDS: u64 = 100_000;
const THREADS: usize = 2;

/// Reference data and what happens after it is loaded.
#[derive(Clone)]
pub(crate) struct Case {
    reference: String,
    steps: Vec<Step>,
    /// Milliseconds since 1970: what is later waits.
    latest_event: Option<i64>,
}

#[test]
fn product_and_oracle_agree() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds: Vec<u64> = match number("RATER_DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        None => {
            let records = number("RATER_DIFFERENTIAL_RECORDS").unwrap_or(RECORDS);
            (1..=records.div_ceil(RECORDS_PER_SEED)).collect()
        }
    };
    let next = AtomicU64::new(0);
    let charges = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("small"))
                {
                    charges.fetch_add(check(*seed, &stop), Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
    });
    let charges = charges.into_inner();
    println!("{} seeds, {charges} charges", seeds.len());
    // One seed may be a world of suspended accounts; many are not.
    let expected = if seeds.len() < 10 { 1 } else { seeds.len() as u64 * RECORDS_PER_SEED };
    assert!(charges >= expected, "hardly anything was charged: {charges}");
}

/// The number of charges of `seed`.
fn check(seed: u64, stop: &AtomicBool) -> u64 {
    let traffic = traffic::generate(seed, RECORDS_PER_SEED);
    let case = Case {
        reference: traffic.reference,
        steps: traffic.steps,
        // The last fifth of the traffic of some seeds comes from the future.
        latest_event: seed.is_multiple_of(4).then_some(traffic::START_MS + 36 * 86_400_000),
    };
    match compare(&case) {
        Ok(charges) => {
            println!("seed {seed}: {charges} charges");
            charges
        }
        Err(differences) => {
            stop.store(true, Ordering::Relaxed);
            if std::env::var("RATER_DIFFERENTIAL_SHRINK").is_ok_and(|text| text == "0") {
                panic!("RATER_DIFFERENTIAL_SEED={seed}\n{differences}");
            }
            println!("seed {seed} differs; shrinking");
            let small = shrink::shrink(case, |case| compare(case).is_err());
            let differences = compare(&small).err().unwrap_or_else(|| "it does not fail every time".to_owned());
            panic!(
                "RATER_DIFFERENTIAL_SEED={seed}\n{}\nonly the oracle (-), only the product (+):\n{differences}",
                shown(&small)
            )
        }
    }
}

/// The number of charges if both sides agree, else the differences.
fn compare(case: &Case) -> Result<u64, String> {
    // Refused by both sides is no difference: shrinking tries that often.
    let Ok(oracle) = oracle_side::facts(case) else {
        return Ok(0);
    };
    let product = match std::panic::catch_unwind(|| product_side::facts(case)) {
        Ok(Ok(facts)) => facts,
        Ok(Err(refused)) if refused.starts_with("error[") => return Ok(0),
        Ok(Err(error)) => return Err(format!("the product stops: {error}")),
        Err(_) => return Err("the product panics".to_owned()),
    };
    let charges = oracle.charges;
    let differences = Facts::differences(oracle, product);
    if differences.is_empty() { Ok(charges) } else { Err(differences.join("\n")) }
}

fn shown(case: &Case) -> String {
    let steps = case.steps.iter().map(|step| match step {
        Step::Line(line) => String::from_utf8_lossy(line).into_owned(),
        Step::Replace(reference) => format!("--- reference data changes to\n{reference}---"),
        Step::Recycle => "--- recycle".to_owned(),
    });
    std::iter::once(case.reference.clone()).chain(steps).collect::<Vec<_>>().join("\n")
}

/// The subject of a charge, by the source and id in its line.
fn subject_of_charge(line: &[u8], level: u32) -> String {
    let record: serde_json::Value = serde_json::from_slice(line).expect("it was charged");
    let text = |key: &str| record[key].as_str().map(str::to_owned);
    format!("usage {}/{} level {level}", text("source").unwrap_or("file".to_owned()), text("id").unwrap_or_default())
}

/// The subject of what waits: its line, in base 64 if it is no text.
fn subject_of_line(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => format!("line {text}"),
        Err(_) => format!("line {}", STANDARD.encode(line)),
    }
}

/// Without trailing zeros, at ten decimal places.
fn decimal_text(amount: &BigRational) -> String {
    let shifted: BigInt = (amount * BigRational::from_integer(10_000_000_000_u64.into())).to_integer();
    let padded = format!("{:0>11}", shifted.abs().to_string());
    let (whole, fraction) = padded.split_at(padded.len() - 10);
    let sign = if shifted.is_negative() { "-" } else { "" };
    let text = format!("{sign}{whole}.{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
