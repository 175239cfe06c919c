//! The stages of the pipeline without a broker: what guide and rate take of one thread, and what they hand to the client library.
//!
//! Messages go from the outputs of a stage straight into the batches of the next one, as large as the product's are. CPU time is that of
//! the thread; it does not contain the client library and the broker, which is what `pipeline` is for.
//!
//! Run: `cargo bench -p rater-testkit --bench stages`. Environment: `RATER_BENCH_RECORDS` (100000), `RATER_BENCH_ENDPOINTS` (20000),
//! `RATER_BENCH_ROUNDS` (3), `RATER_BENCH_TRANSACTION` (20000 records), `RATER_BENCH_PARTITIONS` (4).

#[path = "shared/stages.rs"]
mod stages;
#[path = "shared/table.rs"]
mod table;
#[path = "shared/usage.rs"]
mod usage;

use stages::{Message, Taken, guide, run, setting};
use std::collections::BTreeMap;
use table::{grouped, median};
use testkit::generator::{Parameters, write_files};
use testkit::reference;
use testkit::stages::{inbound, intake, rate};
use usage::usage;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoints = setting("ENDPOINTS", 20_000);
    let parameters = Parameters { records: setting("RECORDS", 100_000), endpoints, ..Parameters::bench(7) };
    write_files(&parameters, folder.path()).expect("generated files");
    let loaded = reference::load(folder.path()).expect("reference data");
    let partitions = setting("PARTITIONS", 4);
    let usage = usage(folder.path(), partitions);
    let count = parameters.records as f64;
    println!(
        "\n### stages: {} usage records, four levels, {} endpoints, no broker\n",
        grouped(count),
        grouped(endpoints as f64)
    );
    let names = ["intake", "guide behind intake", "guide alone", "rate"];
    let mut rounds: [Vec<Taken>; 4] = Default::default();
    let mut counted = BTreeMap::new();
    for _ in 0..setting("ROUNDS", 3) {
        let (mut intaken, mut guided_later, mut guided, mut rated) = Default::default();
        rounds[0].push(run(&mut intake(partitions, inbound("bench")), &usage, &mut intaken));
        rounds[1].push(run(&mut guide(&loaded, partitions, true), &intaken, &mut guided_later));
        rounds[2].push(run(&mut guide(&loaded, partitions, false), &usage, &mut guided));
        rounds[3].push(run(&mut rate(partitions, partitions as usize), &guided, &mut rated));
        counted = [intaken, guided, rated].into_iter().flatten().fold(BTreeMap::new(), count_messages);
    }
    println!("| stage | CPU µs per usage | spread | usage per commit |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, taken) in names.iter().zip(&rounds) {
        let (seconds, spread) = median(taken.iter().map(|taken| taken.seconds).collect());
        let per_commit = taken.last().map_or(0.0, |taken| count / taken.batches as f64);
        println!("| {name} | {:.2} | ± {:.0} % | {per_commit:.0} |", seconds * 1e6 / count, spread * 100.0);
    }
    println!("\n| topic | messages per usage | bytes per usage | bytes each |");
    println!("| --- | ---: | ---: | ---: |");
    for (topic, (messages, bytes)) in counted {
        let (messages, bytes) = (messages as f64, bytes as f64);
        println!("| {topic} | {:.4} | {:.0} | {:.0} |", messages / count, bytes / count, bytes / messages);
    }
}

fn count_messages(
    mut counted: BTreeMap<String, (usize, usize)>,
    ((topic, _), messages): ((String, u32), Vec<Message>),
) -> BTreeMap<String, (usize, usize)> {
    let (count, bytes) = counted.entry(topic).or_default();
    *count += messages.len();
    *bytes += messages.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    counted
}
