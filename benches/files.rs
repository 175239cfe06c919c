//! Whole runs of the embedded runtime: a file of JSON lines in, a folder of outputs and state out, everything on the disk at the end.
//!
//! The yardstick is a plain copier: it reads the same input line by line, writes as many bytes as the product wrote (outputs and state) and
//! brings them to the disk as often. Product and copier run in processes of their own, in turn, so that CPU time and peak memory are theirs.
//!
//! Run: `cargo bench -p rater-testkit --bench files`. Environment: `RATER_BENCH_RECORDS` (200000), `RATER_BENCH_ENDPOINTS` (100000),
//! `RATER_BENCH_CUSTOMERS` (200), `RATER_BENCH_ROUNDS` (5), `RATER_BENCH_FORMATS` (avro,jsonl,csv), `RATER_BENCH_THREADS` (1,2),
//! `RATER_BENCH_BATCH` (records to a batch; that of the product).

#[path = "shared/table.rs"]
mod table;

use directory::{Input, InputKind, Loaded, load};
use rating::Timestamp;
use runtime::embedded::{
    DEFAULT_BATCH_RECORDS, DEFAULT_COMMIT_RECORDS, InputFile, InterruptedInputs, Recycle, RunSettings, Until, run,
};
use runtime::wire::{Ending, OutputFormat};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use table::{grouped, median};
use testkit::generator::{Parameters, write_files};

const FORMATS: [OutputFormat; 3] = [OutputFormat::Avro, OutputFormat::JsonLines, OutputFormat::Csv];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rate", folder, format, threads, output] => {
            rate(Path::new(folder), format, number(threads), Path::new(output))
        }
        ["copy", input, output, bytes, syncs] => {
            copy(Path::new(input), Path::new(output), number(bytes), number(syncs))
        }
        _ => compare(),
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(format!("RATER_BENCH_{name}")).unwrap_or_else(|_| default.to_owned())
}

/// What a process of ours reports: figures by name.
type Figures = BTreeMap<String, f64>;

fn report(name: &str, value: f64) {
    println!("{name}={value}");
}

fn process(arguments: &[&str]) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(arguments).output().expect("a process");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().filter_map(|line| line.split_once('='));
    figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a figure"))).collect()
}

/// Something measured in each round.
struct Subject {
    name: String,
    format: OutputFormat,
    /// `None` is the copier.
    threads: Option<u64>,
    rounds: Vec<Figures>,
}

fn compare() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let records = number(&setting("RECORDS", "200000"));
    let endpoints = number(&setting("ENDPOINTS", "100000"));
    let customers = number(&setting("CUSTOMERS", "200"));
    let parameters = Parameters { records, endpoints, customers, ..Parameters::bench(7) };
    write_files(&parameters, folder.path()).expect("generated files");
    let input = folder.path().join("usage.jsonl");
    let input_bytes = std::fs::metadata(&input).expect("the input").len();

    let formats = setting("FORMATS", "avro,jsonl,csv");
    let threads = setting("THREADS", "1,2");
    let mut subjects = Vec::new();
    for name in formats.split(',') {
        let format = format_of(name);
        for threads in threads.split(',').map(number) {
            let name = format!("{name} out, {threads} rating");
            subjects.push(Subject { name, format, threads: Some(threads), rounds: Vec::new() });
        }
        let name = format!("copier, as many bytes as {name}");
        subjects.push(Subject { name, format, threads: None, rounds: Vec::new() });
    }
    let mut written: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for _ in 0..number(&setting("ROUNDS", "5")) {
        for subject in &mut subjects {
            let output = folder.path().join("out");
            let (output_name, format) = (output.to_str().expect("a path"), subject.format.extension());
            let figures = match subject.threads {
                Some(threads) => {
                    let figures = process(&[
                        "rate",
                        folder.path().to_str().expect("a path"),
                        format,
                        &threads.to_string(),
                        output_name,
                    ]);
                    written.insert(format, (figures["written"], figures["syncs"]));
                    figures
                }
                None => {
                    let (bytes, syncs) = written[format];
                    process(&[
                        "copy",
                        input.to_str().expect("a path"),
                        output_name,
                        &bytes.to_string(),
                        &syncs.to_string(),
                    ])
                }
            };
            subject.rounds.push(figures);
            match subject.threads {
                Some(_) => std::fs::remove_dir_all(&output).expect("removed"),
                None => std::fs::remove_file(&output).expect("removed"),
            }
        }
    }
    println!(
        "\n### files: {} records, {} bytes each, {} endpoints, {} customers, four levels\n",
        grouped(records as f64),
        input_bytes / records.max(1),
        grouped(endpoints as f64),
        grouped(customers as f64)
    );
    print(&subjects);
}

fn format_of(name: &str) -> OutputFormat {
    let found = FORMATS.into_iter().find(|format| format.extension() == name);
    found.unwrap_or_else(|| panic!("no output form {name}"))
}

fn print(subjects: &[Subject]) {
    println!(
        "| subject | records/s | spread | time / copier | CPU µs per record | bytes written per record | peak RSS, MiB | of it reference data |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let of = |subject: &Subject, figure: &str| median(subject.rounds.iter().map(|figures| figures[figure]).collect());
    for subject in subjects {
        let copier = subjects.iter().find(|other| other.threads.is_none() && other.format == subject.format);
        let (seconds, spread) = of(subject, "seconds");
        let records = of(subject, "records").0;
        let ratio = copier.map_or(f64::NAN, |copier| seconds / of(copier, "seconds").0);
        let memory = match subject.threads {
            Some(_) => {
                format!("{:.0} | {:.0}", of(subject, "peak_kib").0 / 1024.0, of(subject, "loaded_kib").0 / 1024.0)
            }
            None => "– | –".to_owned(),
        };
        println!(
            "| {} | {} | ± {:.0} % | {ratio:.2} | {:.2} | {:.0} | {memory} |",
            subject.name,
            grouped(records / seconds),
            spread * 100.0,
            of(subject, "cpu").0 * 1e6 / records,
            of(subject, "written").0 / records,
        );
    }
}

/// CPU time of this process in seconds.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// A figure of a file below `/proc/self`, by the name in front of it.
fn of_this_process(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).expect("a file of the system");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line");
    line.split_whitespace().next().and_then(|value| value.parse().ok()).expect("a number")
}

/// A process: loads reference data and rates the usage of a folder. The clock runs for the run alone.
fn rate(folder: &Path, format: &str, threads: u64, output: &Path) {
    let loaded = reference(folder);
    report("loaded_kib", of_this_process("status", "VmRSS"));
    let settings = RunSettings {
        inputs: vec![InputFile { path: folder.join("usage.jsonl"), format: None }],
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: output.to_owned(),
        format: format_of(format),
        threads: usize::try_from(threads).unwrap_or(1),
        batch_records: setting("BATCH", &DEFAULT_BATCH_RECORDS.to_string()).parse().expect("a number"),
        commit_records: DEFAULT_COMMIT_RECORDS,
        now: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
        future_tolerance_ms: 0,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: pipeline::duplicates::DEFAULT_STATE_HORIZON_H,
        past_tolerance_ms: None,
        doubts: pipeline::Doubts::default(),
        default_source: "file".to_owned(),
        until: Until::default(),
    };
    let (start, cpu, written) = (Instant::now(), cpu_seconds(), of_this_process("io", "wchar"));
    let done = run(&loaded, &settings, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    report("seconds", start.elapsed().as_secs_f64());
    report("cpu", cpu_seconds() - cpu);
    report("written", of_this_process("io", "wchar") - written);
    report("peak_kib", of_this_process("status", "VmHWM"));
    let totals = &done.run;
    assert!(totals.guided > totals.received / 2 && totals.levels.len() == 4, "not what was to be measured: {totals:?}");
    report("records", totals.received as f64);
    report("syncs", syncs(totals.received));
}

fn reference(folder: &Path) -> Loaded {
    let input = |name: &str, kind| {
        let bytes = std::fs::read(folder.join(name)).expect("reference data");
        Input { name: name.to_owned(), bytes, kind }
    };
    match load(vec![input("rating.yaml", InputKind::Yaml), input("endpoints.csv", InputKind::EndpointCsv)]) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

/// How often a run brings something to the disk: with each commit four files of outputs and the state, and at the start and the end.
fn syncs(records: u64) -> f64 {
    let commits = records / DEFAULT_COMMIT_RECORDS + 1;
    (5 * commits + 3) as f64
}

/// A process: the copier.
fn copy(input: &Path, output: &Path, bytes: u64, syncs: u64) {
    let lines = BufReader::with_capacity(1 << 18, File::open(input).expect("the input")).split(b'\n').count() as u64;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut reader = BufReader::with_capacity(1 << 18, File::open(input).expect("the input"));
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(output).expect("the output"));
    let (mut line, mut number, mut written, mut synced) = (Vec::new(), 0, 0, 0);
    while reader.read_until(b'\n', &mut line).expect("a line") > 0 {
        number += 1;
        let due = share(bytes, number, lines);
        while written < due {
            let piece = &line[..line.len().min(usize::try_from(due - written).unwrap_or(usize::MAX))];
            writer.write_all(piece).expect("written");
            written += piece.len() as u64;
        }
        if synced < share(syncs, number, lines) {
            writer.flush().expect("written");
            writer.get_ref().sync_data().expect("on the disk");
            synced += 1;
        }
        line.clear();
    }
    report("seconds", start.elapsed().as_secs_f64());
    report("cpu", cpu_seconds() - cpu);
    report("written", written as f64);
    report("records", lines as f64);
}

/// `whole x part / parts`.
fn share(whole: u64, part: u64, parts: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(part) / u128::from(parts.max(1))).unwrap_or(whole)
}
