//! Timing shared by the benchmarks.
//!
//! Subjects take turns, so that a slow moment of the machine hits all of them, and the clock is the CPU time of the thread, so that
//! other programs on the machine disturb less. What counts is the median of the rounds, and its ratio to the yardstick of the same table.

use crate::table::{grouped, median};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // The clock starts at 0 with the thread, and nanoseconds are below 10^9.
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Runs only while the work that is measured runs; what a subject prepares is outside.
#[derive(Default)]
pub(crate) struct Watch {
    spent: Duration,
}

impl Watch {
    /// Does work that counts.
    pub(crate) fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = cpu_time();
        let result = work();
        self.spent += cpu_time() - start;
        result
    }
}

/// One thing to be timed.
pub(crate) struct Subject<'s> {
    name: String,
    /// Units of work of one round.
    work: usize,
    round: Box<dyn FnMut(&mut Watch) + 's>,
    /// Seconds per round.
    times: Vec<f64>,
}

impl<'s> Subject<'s> {
    /// A subject that prepares each round itself and uses the watch for what counts.
    pub(crate) fn prepared(name: &str, work: usize, round: impl FnMut(&mut Watch) + 's) -> Subject<'s> {
        Subject { name: name.to_owned(), work, round: Box::new(round), times: Vec::new() }
    }

    /// A subject of which everything counts.
    pub(crate) fn plain(name: &str, work: usize, mut round: impl FnMut() + 's) -> Subject<'s> {
        Subject::prepared(name, work, move |watch| watch.time(&mut round))
    }

    fn turn(&mut self, is_counted: bool) {
        let mut watch = Watch::default();
        (self.round)(&mut watch);
        if is_counted {
            self.times.push(watch.spent.as_secs_f64());
        }
    }
}

/// Times the subjects in turn and prints a table; the first subject is the yardstick. Returns seconds per unit of work.
pub(crate) fn compare(title: &str, unit: &str, rounds: usize, subjects: &mut [Subject<'_>]) -> Vec<f64> {
    for round in 0..=rounds {
        for subject in subjects.iter_mut() {
            // The first round warms up.
            subject.turn(round > 0);
        }
    }
    println!("\n### {title}\n");
    println!("| subject | {unit}/s | ns each | time / yardstick | spread |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut all = Vec::new();
    for subject in subjects {
        let (round, spread) = median(subject.times.clone());
        let each = round / subject.work as f64;
        all.push(each);
        let per_second = grouped(1.0 / each);
        let ratio = each / all[0];
        println!("| {} | {per_second} | {:.0} | {ratio:.2} | ± {:.0} % |", subject.name, each * 1e9, spread * 100.0);
    }
    all
}
