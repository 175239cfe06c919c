//! CPU time by part of a process: what its threads used, from `/proc/PID/task`, put together by the names of the threads.
//!
//! Threads that ended are not seen, so parts are compared over spans in which none ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Seconds of CPU time by part.
pub(crate) type Parts = BTreeMap<&'static str, f64>;

/// Parts of a broker by the beginnings of its threads' names, which the system cuts after 15 bytes.
pub(crate) const BROKER: [(&str, &str); 6] = [
    ("data-plane", "requests"),
    ("kafka-log-clea", "cleaner"),
    ("C1 Compiler", "compiler"),
    ("C2 Compiler", "compiler"),
    ("G1 ", "memory"),
    ("GC ", "memory"),
];

/// Parts of a process that runs the pipeline.
pub(crate) const PIPELINE: [(&str, &str); 5] =
    [("intake", "intake"), ("guide", "guide"), ("rate", "rate"), ("rdk:", "client"), ("producer poll", "client")];

/// The part of all other threads.
pub(crate) const REST: &str = "rest";

/// CPU time of a process by part so far.
pub(crate) fn parts(process: u32, names: &[(&str, &'static str)]) -> Parts {
    let mut parts = Parts::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return parts };
    for task in tasks.flatten() {
        let Some((name, seconds)) = of_task(&task.path()) else { continue };
        let part = names.iter().find(|(start, _)| name.starts_with(start)).map_or(REST, |(_, part)| *part);
        *parts.entry(part).or_default() += seconds;
    }
    parts
}

/// What was added since `before`.
pub(crate) fn since(now: &Parts, before: &Parts) -> Parts {
    now.iter().map(|(part, seconds)| (*part, seconds - before.get(part).unwrap_or(&0.0))).collect()
}

fn of_task(task: &Path) -> Option<(String, f64)> {
    let text = fs::read_to_string(task.join("stat")).ok()?;
    let (name, rest) = text.split_once(" (")?.1.rsplit_once(") ")?;
    // Behind the name the 12th and 13th are user and system time in hundredths of a second.
    let mut times = rest.split(' ').skip(11).map(|field| field.parse::<f64>().unwrap_or(0.0));
    Some((name.to_owned(), (times.next()? + times.next()?) / 100.0))
}
