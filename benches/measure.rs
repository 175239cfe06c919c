//! Timing shared by the benchmarks: subjects take turns, so that a slow moment of the machine hits all of them.

use std::time::{Duration, Instant};

/// One thing to be timed: its name, how many units of work a call does, and the call.
pub struct Subject<'s> {
    pub name: &'s str,
    pub work: u64,
    pub call: Box<dyn FnMut() + 's>,
}

/// Calls the subjects in turn for a number of rounds and prints the median rate of each, as a ratio to the first one, the yardstick.
pub fn compare(title: &str, rounds: usize, subjects: &mut [Subject<'_>]) -> Vec<f64> {
    let mut times: Vec<Vec<Duration>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (subject, times) in subjects.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (subject.call)();
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    let rates: Vec<f64> = subjects
        .iter()
        .zip(&mut times)
        .map(|(subject, times)| {
            times.sort_unstable();
            subject.work as f64 / times[times.len() / 2].as_secs_f64()
        })
        .collect();
    println!("\n{title}");
    for (subject, rate) in subjects.iter().zip(&rates) {
        println!("  {:<44} {:>14.0}/s  {:>8.2} x yardstick", subject.name, rate, rate / rates[0]);
    }
    rates
}
