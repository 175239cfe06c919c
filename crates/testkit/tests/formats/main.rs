//! Samples of what earlier versions stored and sent, in `tests/formats`: the present program reads them and goes on with the same counters,
//! ids and amounts.
//!
//! `RATER_FREEZE=expectations` writes what is expected of the continuation, to be read in the diff; `RATER_FREEZE=samples` makes the samples as
//! well: only to add those of a new format, never to change those that are there.

mod cycle;
#[allow(dead_code, reason = "the tests of the stages use more of it")]
#[path = "../stages/memory.rs"]
mod memory;
mod stages;
mod vectors;

use directory::{Input, InputKind, Loaded};
use testkit::samples::text;

fn reference(names: &[&str]) -> Loaded {
    let input = |name: &&str| Input { name: (*name).to_owned(), bytes: text(name).into(), kind: InputKind::Yaml };
    directory::load(names.iter().map(input).collect()).unwrap_or_else(|refused| panic!("{refused}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two hexadecimal digits")).collect()
}
