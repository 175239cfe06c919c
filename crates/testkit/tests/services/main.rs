//! The services of the test kit are real: what is committed to them is there after a restart, and nothing of them is left.

mod cassandra;
mod kafka;
mod leftovers;
mod postgres;
mod prometheus;

use std::time::Instant;

/// Prints how long something took.
fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = action();
    println!("{what}: {:.1} s", started.elapsed().as_secs_f32());
    result
}
