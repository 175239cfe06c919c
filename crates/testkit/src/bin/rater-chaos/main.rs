//! Makes trouble for a deployment while usage comes in, and verifies what came out: `rater-chaos --records 500000 --kills 30`.
//!
//! It starts a broker of its own (or takes `RATER_TEST_KAFKA`, whose brokers it does not restart) and worker processes, which are this
//! program, too. Exit codes: 0 nothing missing, nothing double, 1 differences or a worker that stopped by itself, 3 surroundings.
//!
//! | module | owns |
//! | --- | --- |
//! | `torment` | the order of things: trouble while usage comes in, then asking for what waits, then the verification |
//! | `anew` | the usage topic made anew under the workers |

mod anew;
mod torment;

use clap::{Args, Parser, Subcommand};
use pipeline::duplicates::DEFAULT_COMMAND_HOURS;
use runtime::kafka::KafkaLog;
use runtime::service::topics::PartitionCounts;
use runtime::service::watch::Held;
use runtime::service::{ServiceError, ServiceReport, ServiceSettings, run};
use runtime::worker::{NewOffsets, NewTopic, WorkerError};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use testkit::chaos::{CALL_HANGS, DirectedLog, Directions, Transactions, in_words};
use testkit::deployment::{self, Shape};
use testkit::reference;

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
    /// Brokers; of several, a restart kills one and starts it again
    #[arg(long, default_value_t = 1)]
    brokers: u16,
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
    /// With --window: records from the beginning, sent when the stages know how late it is, each twice, and copies of what waits since then; then what
    /// was too late is asked for
    #[arg(long, default_value_t = 0)]
    late: u32,
    /// Of a thousand endpoints, how many are not known until half of the kills are done (with --late: until all is sent); then what waits is asked for again and again
    #[arg(long, default_value_t = 50)]
    unknown: u16,
    /// How long the stages may take, in seconds, for what is left when the trouble is over
    #[arg(long, default_value_t = 240)]
    drain: u64,
    /// In a thousand transactions, how many end their process at one of the worst moments
    #[arg(long, default_value_t = 10)]
    directed: u64,
    /// Make the usage topic anew in the middle, under the workers: they have to end, and to go on when they are told that it is another one
    #[arg(long)]
    made_anew: bool,
    /// With --made-anew: records that nobody has read when the topic goes
    #[arg(long, default_value_t = 0, requires = "made_anew")]
    unread: u32,
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
    /// A topic of inputs that was made anew.
    #[arg(long)]
    topic_made_anew: Option<String>,
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
        Some(Role::Worker(worker)) => return work_and_tell(worker),
        None => torment::run(&arguments.run),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Exit code of a worker whose topics are not those that it knows, as that of `rater run`.
const MADE_ANEW: u8 = 2;

fn work_and_tell(arguments: &WorkerArguments) -> ExitCode {
    match work(arguments) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            match error {
                ServiceError::Worker { error: WorkerError::MadeAnew { .. }, .. } => ExitCode::from(MADE_ANEW),
                ServiceError::Worker { .. } | ServiceError::Surroundings(_) | ServiceError::Configuration(_) => {
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker process: the service, on a log that may end it.
fn work(arguments: &WorkerArguments) -> Result<Result<(), ServiceError>, String> {
    let loaded = reference::load(&arguments.reference).map_err(in_words)?;
    let anew = arguments.topic_made_anew.iter().map(|name| NewTopic { name: name.clone(), offsets: NewOffsets::Anew });
    let settings = ServiceSettings {
        instance: arguments.instance.clone(),
        // A broker that restarts takes its time.
        attempts: 120,
        duplicate_window_h: arguments.window,
        command_memory_h: arguments.window.map_or(DEFAULT_COMMAND_HOURS, |window| window + COMMANDS_LONGER_H),
        topics_made_anew: anew.collect(),
        ..deployment::settings(&arguments.brokers, &arguments.prefix, SHAPE)
    };
    let log = KafkaLog::new(settings.kafka.clone()).map_err(in_words)?;
    let directions = Directions { killed: arguments.directed, stopped: arguments.directed };
    let transactions = Transactions::open(&arguments.reference).map_err(in_words)?;
    let log = DirectedLog::ending(log, directions, arguments.seed, transactions);
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop)).map_err(in_words)?;
    let report = |report: ServiceReport<'_>| {
        eprintln!("{report:?}");
        // Nothing else ends a thread inside of a call: so does `rater run`.
        if let ServiceReport::Held(Held { is_beyond: true, .. }) = report {
            std::process::exit(CALL_HANGS);
        }
    };
    Ok(run::run_on(&log, &settings, &loaded.directory(), &stop, &report))
}
