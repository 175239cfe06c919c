//! Makes trouble for a deployment while usage comes in, and verifies what came out: `rater-chaos --records 500000 --kills 30`.
//!
//! It starts a broker of its own (or takes `RATER_TEST_KAFKA`, whose brokers it does not restart) and worker processes, which are this
//! program, too. Exit codes: 0 nothing missing, nothing double, 1 differences or a worker that stopped by itself, 3 surroundings.

use clap::{Args, Parser, Subcommand};
use pipeline::duplicates::DEFAULT_COMMAND_HOURS;
use runtime::kafka::KafkaLog;
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceSettings, run};
use runtime::stages::RecycleRequest;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::chaos::{DirectedLog, Directions, Mood, Plan, Transactions, Trouble, Workers};
use testkit::deployment::{self, Shape};
use testkit::generator::random::Random;
use testkit::generator::{self, Parameters};
use testkit::load::{self, Connection, Extra, Form, Load, Sent};
use testkit::reference;
use testkit::services::Kafka;
use testkit::verify::{self, EngineReference, Layout, Verification};

/// Make trouble for a deployment, and verify.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Role {
    /// One worker process, with a worker of each stage.
    Worker(WorkerArguments),
}

#[derive(Args)]
struct RunArguments {
    /// Decides what happens when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Usage records
    #[arg(long, default_value_t = 500_000)]
    records: u64,
    /// Endpoints
    #[arg(long, default_value_t = 20_000)]
    endpoints: u64,
    /// Usage records a second
    #[arg(long, default_value = "10000")]
    rate: NonZeroU32,
    /// Processes killed at least
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// Restarts of the broker
    #[arg(long, default_value_t = 2)]
    restarts: u32,
    /// Longest pause between two troubles, in milliseconds
    #[arg(long, default_value_t = 3000)]
    pause: u64,
    /// Messages at the wrong door, in a thousand usage records
    #[arg(long, default_value_t = 10)]
    forged: u16,
    /// Commands in addition, in a thousand usage records: copies, other payloads under one id, old ones
    #[arg(long, default_value_t = 5)]
    orders: u16,
    /// Hours for which ids are remembered behind the clock; commands five days longer [default: for ever]
    #[arg(long, value_name = "HOURS")]
    window: Option<u32>,
    /// With --window: records from the beginning, sent when the stages know how late it is, each twice; then what was too late is asked for
    #[arg(long, default_value_t = 0)]
    late: u32,
    /// Of a thousand endpoints, how many are not known until half of the kills are done; then what waits is asked for again and again
    #[arg(long, default_value_t = 50)]
    unknown: u16,
    /// How long the stages may take, in seconds, for what is left when the trouble is over
    #[arg(long, default_value_t = 240)]
    drain: u64,
    /// In a thousand transactions, how many end their process at one of the worst moments
    #[arg(long, default_value_t = 10)]
    directed: u64,
    /// Of the killed, how many at least end themselves at such a moment [default: a third of them, none without --directed]
    #[arg(long, value_name = "KILLS")]
    directed_kills: Option<u32>,
}

impl RunArguments {
    /// Late records are sent only where they are too late.
    fn late(&self) -> u32 {
        if self.window.is_some() { self.late } else { 0 }
    }

    fn directed_kills(&self) -> u32 {
        self.directed_kills.unwrap_or(if self.directed == 0 { 0 } else { self.kills / 3 })
    }
}

#[derive(Args)]
struct WorkerArguments {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    prefix: String,
    #[arg(long)]
    reference: PathBuf,
    #[arg(long)]
    directed: u64,
    #[arg(long)]
    window: Option<u32>,
    #[arg(long)]
    instance: String,
    #[arg(long)]
    seed: u64,
}

const SHAPE: Shape = Shape {
    partitions: PartitionCounts { inputs: 6, intaken: 6, guided: 8, outputs: 6 },
    skip_intake: false,
    workers: 1,
    batch: 5000,
};

/// Hours by which commands are remembered longer than records.
const COMMANDS_LONGER_H: u32 = 5 * 24;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.role {
        Some(Role::Worker(worker)) => work(worker).map(|()| ExitCode::SUCCESS),
        None => torment(&arguments.run),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// A worker process: the service, on a log that may end it.
fn work(arguments: &WorkerArguments) -> Result<(), String> {
    let loaded = reference::load(&arguments.reference).map_err(|error| error.to_string())?;
    let settings = ServiceSettings {
        instance: arguments.instance.clone(),
        // A broker that restarts takes its time.
        attempts: 120,
        duplicate_window_h: arguments.window,
        command_memory_h: arguments.window.map_or(DEFAULT_COMMAND_HOURS, |window| window + COMMANDS_LONGER_H),
        ..deployment::settings(&arguments.brokers, &arguments.prefix, SHAPE)
    };
    let log = KafkaLog::new(settings.kafka.clone()).map_err(|error| error.to_string())?;
    let directions = Directions { killed: arguments.directed, stopped: arguments.directed };
    let transactions = Transactions::open(&arguments.reference).map_err(|error| error.to_string())?;
    let log = DirectedLog::new(log, directions, arguments.seed, transactions);
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop)).map_err(|error| error.to_string())?;
    let report = |report: runtime::service::ServiceReport<'_>| eprintln!("{report:?}");
    run::run_on(&log, &settings, &loaded.directory(), &stop, &report).map_err(|error| error.to_string())
}

fn torment(arguments: &RunArguments) -> Result<ExitCode, String> {
    let in_words = |error: std::io::Error| error.to_string();
    let kafka = Kafka::start().map_err(|error| error.to_string())?;
    let prefix = format!("chaos-{}-", std::process::id());
    deployment::create_topics(&kafka, &prefix, SHAPE).map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("rater-{prefix}{}", arguments.seed));
    let parameters =
        Parameters { records: arguments.records, endpoints: arguments.endpoints, ..Parameters::bench(arguments.seed) };
    generator::write_reference(&parameters, &folder).map_err(in_words)?;
    hide_endpoints(&folder, arguments.unknown, arguments.seed).map_err(in_words)?;
    let first_version = reference::load(&folder).map_err(in_words)?.version();
    eprintln!("seed {}, what workers tell is in {}", arguments.seed, folder.display());
    let plan = Plan {
        seed: arguments.seed,
        workers: 3,
        kills: arguments.kills,
        directed: arguments.directed_kills(),
        restarts: arguments.restarts,
        pause: Duration::from_millis(arguments.pause),
    };
    let program = std::env::current_exe().map_err(in_words)?;
    let command = |mood| {
        let directed = match mood {
            Mood::Directed => arguments.directed,
            Mood::Calm => 0,
        };
        worker_command(&program, kafka.bootstrap(), &prefix, &folder, directed, arguments.window)
    };
    let mut workers = Workers::start(&command, &folder, plan).map_err(in_words)?;
    let load = Load {
        form: Form::Json,
        usage: format!("{prefix}usage"),
        commands: Some(format!("{prefix}account-commands")),
        ticks: Some(format!("{prefix}ticks")),
        rate: Some(arguments.rate),
        copies_per_mille: 5,
        extra: Extra {
            forged_per_mille: arguments.forged,
            retries: Some(format!("{prefix}retries")),
            orders_per_mille: arguments.orders,
        },
        first: load::grants(&folder, None).map_err(in_words)?,
        parameters,
    };
    let connection = Connection::new(kafka.bootstrap());
    let is_sent = AtomicBool::new(false);
    let (trouble, sent) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send(&load, &connection, &prefix, arguments);
            is_sent.store(true, Ordering::Relaxed);
            sent
        });
        let mut requests = 0_u32;
        let mut meanwhile = |trouble: Trouble| {
            if trouble.kills() < plan.kills / 2 {
                return Ok(());
            }
            if requests == 0 {
                show_endpoints(&folder).map_err(in_words)?;
            }
            requests += 1;
            // A broker that is away is asked the next time.
            let _ = ask_again(&connection, &prefix, requests, 0);
            Ok(())
        };
        let trouble = workers.torment(&kafka, plan, &|| is_sent.load(Ordering::Relaxed), &mut meanwhile);
        eprintln!("{requests} times it was asked to try again what waits");
        (trouble, sender.join())
    });
    let trouble = trouble?;
    let sent = sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    show(trouble);
    let is_verified = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let verifier = scope.spawn(|| {
            let report = recycle_all(&connection, &prefix, arguments)
                .and_then(|()| check(&kafka, &prefix, &folder, &first_version, arguments));
            is_verified.store(true, Ordering::Relaxed);
            report
        });
        let kept = workers.keep(&|| is_verified.load(Ordering::Relaxed));
        let report = verifier.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        kept.and(report)
    })?;
    workers.stop().map_err(in_words)?;
    print!("{}", report.text);
    let failed: u64 = sent.iter().map(|sent| sent.failed).sum();
    if failed > 0 {
        return Err(format!("{failed} messages could not be sent"));
    }
    if report.is_clean {
        std::fs::remove_dir_all(&folder).map_err(in_words)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Sends the stream; and what is late, when the clocks of all partitions have gone so far that it is too late.
fn send(load: &Load, connection: &Connection, prefix: &str, arguments: &RunArguments) -> Result<Vec<Sent>, String> {
    let mut sent = vec![load::run(load, connection, &mut |_| {}).map_err(|error| error.to_string())?];
    eprintln!("{sent:?}");
    if let Some(window) = arguments.window.filter(|_| arguments.late > 0) {
        let hours = i64::from(window) + 1;
        let at_ms = load.parameters.times.earliest_ms() + hours * 3_600_000;
        verify::wait_for_clock(connection, &Layout::new(prefix), at_ms, Duration::from_secs(arguments.drain))
            .map_err(|error| error.to_string())?;
        let late = load::run_late(load, arguments.late, connection).map_err(|error| error.to_string())?;
        eprintln!("late: {late:?}");
        sent.push(late);
    }
    Ok(sent)
}

fn worker_command(
    program: &Path,
    brokers: &str,
    prefix: &str,
    folder: &Path,
    directed: u64,
    window: Option<u32>,
) -> Command {
    let mut command = Command::new(program);
    command.arg("worker").args(["--brokers", brokers, "--prefix", prefix, "--directed", &directed.to_string()]);
    command.arg("--reference").arg(folder);
    if let Some(window) = window {
        command.args(["--window", &window.to_string()]);
    }
    command
}

fn show(trouble: Trouble) {
    println!("{trouble:?}");
}

/// What the verification found.
struct Found {
    text: String,
    is_clean: bool,
}

/// Takes some endpoints out of the reference data, and keeps all of them beside it.
fn hide_endpoints(folder: &Path, per_mille: u16, seed: u64) -> std::io::Result<()> {
    let path = folder.join("endpoints.csv");
    let all = std::fs::read_to_string(&path)?;
    std::fs::write(folder.join(ALL_ENDPOINTS), &all)?;
    let mut random = Random::new(seed);
    let mut lines = all.lines();
    let head = lines.next().unwrap_or_default();
    let known = lines.filter(|_| !random.chance(u64::from(per_mille)));
    let known: String = std::iter::once(head).chain(known).map(|line| format!("{line}\n")).collect();
    std::fs::write(path, known)
}

/// Puts them in: whoever starts from now on knows all.
fn show_endpoints(folder: &Path) -> std::io::Result<()> {
    std::fs::rename(folder.join(ALL_ENDPOINTS), folder.join("endpoints.csv"))
}

/// All endpoints, beside those that are known at first.
const ALL_ENDPOINTS: &str = "endpoints.all";

/// Asks for what waits to be tried again: sometimes everything, sometimes what waits for one reason; and so many of the late records, by their ids.
fn ask_again(connection: &Connection, prefix: &str, number: u32, late: u32) -> Result<(), String> {
    let mut requests = vec![match number % 3 {
        0 => RecycleRequest::default(),
        1 => RecycleRequest { reasons: vec!["unknown_endpoint".to_owned()], ..RecycleRequest::default() },
        _ => {
            RecycleRequest { reasons: vec!["wrong_kind".to_owned(), "no_rate".to_owned()], ..RecycleRequest::default() }
        }
    }];
    if late > 0 {
        let ids = (0..late).map(load::late_id).collect();
        requests.push(RecycleRequest { ids, late: true, ..RecycleRequest::default() });
    }
    for request in requests {
        load::to_each_partition(connection, &format!("{prefix}waiting"), &request.message())
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// When the trouble is over and all endpoints are known: everything is asked for once more, and what was late twice.
fn recycle_all(connection: &Connection, prefix: &str, arguments: &RunArguments) -> Result<(), String> {
    let layout = Layout::new(prefix);
    for _ in 0..2 {
        verify::wait_until_drained(connection, &layout, Duration::from_secs(arguments.drain))
            .map_err(|error| error.to_string())?;
        ask_again(connection, prefix, 0, arguments.late())?;
    }
    Ok(())
}

fn check(
    kafka: &Kafka,
    prefix: &str,
    folder: &Path,
    first_version: &str,
    arguments: &RunArguments,
) -> Result<Found, String> {
    let mut reference = EngineReference::load(folder).map_err(|error| error.to_string())?;
    reference.versions.push(first_version.to_owned());
    let verification = Verification {
        // With a window the clock of each partition of guide decides what is remembered, and the engine has one.
        reference: arguments.window.is_none().then_some(reference),
        window_h: arguments.window.map(|window| [window, window + COMMANDS_LONGER_H]),
        wait: Duration::from_secs(arguments.drain),
        ..Verification::new(kafka.bootstrap(), prefix)
    };
    let report = verify::verify(&verification, &mut |step| eprintln!("{step}")).map_err(|error| error.to_string())?;
    // Each of them was sent twice.
    let expected = 2 * u64::from(arguments.late());
    let too_late: u64 = report.row("too late").and_then(|row| row.found.parse().ok()).unwrap_or(0);
    let mut text = report.to_string();
    if too_late < expected {
        text.push_str(&format!("too late: {expected} at least were, and {too_late} were found\n"));
    }
    Ok(Found { text, is_clean: report.is_clean() && too_late >= expected })
}
