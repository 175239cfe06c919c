//! Realistic traffic from a seed: a whole reference with every feature that is rated, and the lines that arrive, in order of arrival.
//!
//! Owns variety: deep hierarchies, moves, dated changes, all kinds of prices and bundles, sessions in partials, late, repeated, conflicting and
//! broken records, commands that are right and wrong, and a second reference that mends what was missing, followed by recycling. It keeps out of what
//! docs/reference-data.md leaves open, so that any difference between two readings of it is worth a look. It knows no expected results.

mod bundles;
mod commands;
mod lines;
mod tariffs;
mod world;

use super::{Parameters, files};
use crate::generator::random::Random;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use world::World;

/// 20 February 2026, 00:00 UTC, in milliseconds since 1970: the first record.
pub const START_MS: i64 = 1_771_545_600_000;
/// Records are spread over 45 days, so that months end and clocks are put forward in between.
const SPAN_MS: u64 = 45 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// Reference data and what happens after it is loaded.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The reference data to start with, YAML.
    pub reference: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line of a JSON lines file, without its line feed.
    Line(Vec<u8>),
    /// Other reference data from here on, YAML.
    Replace(String),
    /// Everything that waits is tried again.
    Recycle,
}

/// The two states of the reference data that a stream sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edition {
    First,
    Second,
}

/// About `records` usage records, and some commands and ticks, that depend on nothing but `seed`.
#[must_use]
pub fn generate(seed: u64, records: u64) -> Traffic {
    let mut random = Random::new(seed);
    let world = World::random(&mut random);
    let lines = lines::in_order_of_arrival(&world, records, &mut random);
    let change_at = lines.len() * 3 / 5;
    let mut steps: Vec<Step> = lines.into_iter().map(Step::Line).collect();
    let mend = [Step::Replace(world.yaml(Edition::Second)), Step::Recycle];
    steps.splice(change_at..change_at, mend);
    steps.push(Step::Recycle);
    Traffic { reference: world.yaml(Edition::First), steps }
}

/// Writes the stream as files: up to the change of reference data, and after it. Recycling has no file.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    let traffic = generate(parameters.seed, parameters.records);
    files::create(directory, "rating.yaml")?.write_all(traffic.reference.as_bytes())?;
    let mut usage = files::create(directory, "usage.jsonl")?;
    for step in &traffic.steps {
        match step {
            Step::Line(line) => {
                usage.write_all(line)?;
                usage.write_all(b"\n")?;
            }
            Step::Replace(reference) => {
                files::create(directory, "rating-2.yaml")?.write_all(reference.as_bytes())?;
                usage.flush()?;
                usage = files::create(directory, "usage-2.jsonl")?;
            }
            Step::Recycle => {}
        }
    }
    usage.flush()
}

/// Writes the reference data that the stream starts with.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_reference(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    let traffic = generate(parameters.seed, parameters.records);
    let mut file = files::create(directory, "rating.yaml")?;
    file.write_all(traffic.reference.as_bytes())?;
    file.flush()
}

/// A moment of the stream's time.
fn moment(random: &mut Random) -> i64 {
    START_MS + i64::try_from(random.below(SPAN_MS)).unwrap_or(0)
}

/// `, key: value`, or nothing.
fn push_field(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {key}: {value}");
    }
}
