//! Trouble while usage comes in; then everything that waits is asked for, and everything that was written is verified.

use super::{COMMANDS_LONGER_H, RunArguments, SHAPE, anew};
use runtime::stages::RecycleRequest;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::chaos::{Mood, Plan, Trouble, Workers};
use testkit::deployment;
use testkit::generator::random::Random;
use testkit::generator::{self, Parameters, Times};
use testkit::load::{self, Connection, Extra, Form, Load, Sent};
use testkit::reference;
use testkit::services::Kafka;
use testkit::verify::{self, EarlierTopic, EngineReference, Layout, Verification};

/// A deployment in trouble.
pub(super) struct Torment<'a> {
    pub(super) arguments: &'a RunArguments,
    pub(super) kafka: Kafka,
    pub(super) connection: Connection,
    pub(super) prefix: String,
    folder: PathBuf,
    program: PathBuf,
    /// The version of the reference data in which some endpoints are not known.
    first_version: String,
}

/// What happened and what was sent.
#[derive(Default)]
struct Happened {
    /// Times that it was asked to try again what waits.
    requests: u32,
    sent: Vec<Sent>,
    earlier: Vec<EarlierTopic>,
}

/// What the verification found.
struct Found {
    text: String,
    is_clean: bool,
}

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, String> {
    let kafka = Kafka::start().map_err(|error| error.to_string())?;
    let prefix = format!("chaos-{}-", std::process::id());
    deployment::create_topics(&kafka, &prefix, SHAPE).map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("rater-{prefix}{}", arguments.seed));
    generator::write_reference(&parameters(arguments), &folder).map_err(in_words)?;
    hide_endpoints(&folder, arguments.unknown, arguments.seed).map_err(in_words)?;
    eprintln!("seed {}, what workers tell is in {}", arguments.seed, folder.display());
    let torment = Torment {
        arguments,
        connection: Connection::new(kafka.bootstrap()),
        first_version: reference::load(&folder).map_err(in_words)?.version(),
        program: std::env::current_exe().map_err(in_words)?,
        kafka,
        prefix,
        folder,
    };
    torment.run()
}

impl Torment<'_> {
    fn run(&self) -> Result<ExitCode, String> {
        let plan = self.plan();
        let command = |mood| self.worker(mood, None);
        let anew = |mood| self.worker(mood, Some(&self.usage()));
        let mut workers = Workers::start(&command, &self.folder, plan).map_err(in_words)?;
        let mut happened = Happened::default();
        let first = self.load(load::grants(&self.folder, None).map_err(in_words)?);
        let trouble = if self.arguments.made_anew {
            // Half of everything before, and half behind.
            let half = Plan { kills: plan.kills / 2, directed: plan.directed / 2, restarts: plan.restarts / 2, ..plan };
            self.torment(&mut workers, half, &first, &mut happened)?;
            happened.earlier.push(anew::make_anew(self, &mut workers, &anew)?);
            self.torment(&mut workers, plan, &behind(&first), &mut happened)?
        } else {
            self.torment(&mut workers, plan, &first, &mut happened)?
        };
        eprintln!("{} times it was asked to try again what waits", happened.requests);
        println!("{trouble:?}");
        let report = self.verify(&mut workers, &happened)?;
        workers.stop().map_err(in_words)?;
        print!("{}", report.text);
        let failed: u64 = happened.sent.iter().map(|sent| sent.failed).sum();
        if failed > 0 {
            return Err(format!("{failed} messages could not be sent"));
        }
        if report.is_clean {
            std::fs::remove_dir_all(&self.folder).map_err(in_words)?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::FAILURE)
    }

    fn plan(&self) -> Plan {
        Plan {
            seed: self.arguments.seed,
            workers: 3,
            kills: self.arguments.kills,
            directed: self.arguments.directed_kills(),
            restarts: self.arguments.restarts,
            pause: Duration::from_millis(self.arguments.pause),
        }
    }

    pub(super) fn usage(&self) -> String {
        format!("{}usage", self.prefix)
    }

    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.arguments.drain)
    }

    fn load(&self, first: Vec<Vec<u8>>) -> Load {
        let prefix = &self.prefix;
        Load {
            form: Form::Json,
            usage: self.usage(),
            commands: Some(format!("{prefix}account-commands")),
            ticks: Some(format!("{prefix}ticks")),
            rate: Some(self.arguments.rate),
            copies_per_mille: 5,
            extra: Extra {
                forged_per_mille: self.arguments.forged,
                retries: Some(format!("{prefix}retries")),
                orders_per_mille: self.arguments.orders,
            },
            first,
            parameters: parameters(self.arguments),
        }
    }

    /// A worker process; it may be told that a topic has been made anew.
    fn worker(&self, mood: Mood, topic_made_anew: Option<&str>) -> Command {
        let directed = match mood {
            Mood::Directed => self.arguments.directed,
            Mood::Calm => 0,
        };
        let mut command = Command::new(&self.program);
        command.arg("worker").args(["--brokers", self.kafka.bootstrap(), "--prefix", &self.prefix]);
        command.args(["--directed", &directed.to_string()]).arg("--reference").arg(&self.folder);
        if let Some(window) = self.arguments.window {
            command.args(["--window", &window.to_string()]);
        }
        if let Some(topic) = topic_made_anew {
            command.args(["--topic-made-anew", topic]);
        }
        command
    }

    /// Makes trouble while a load is sent, and then some, until there was enough of it.
    fn torment(
        &self,
        workers: &mut Workers<'_>,
        plan: Plan,
        load: &Load,
        happened: &mut Happened,
    ) -> Result<Trouble, String> {
        let is_sent = AtomicBool::new(false);
        let (trouble, sent) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let sent = self.send(load);
                is_sent.store(true, Ordering::Relaxed);
                sent
            });
            let mut meanwhile = |trouble: Trouble| {
                if trouble.kills() < self.arguments.kills / 2 {
                    return Ok(());
                }
                if happened.requests == 0 {
                    show_endpoints(&self.folder).map_err(in_words)?;
                }
                happened.requests += 1;
                // A broker that is away is asked the next time.
                let _ = self.ask_again(happened.requests, 0);
                Ok(())
            };
            let trouble = workers.torment(&self.kafka, plan, &|| is_sent.load(Ordering::Relaxed), &mut meanwhile);
            (trouble, sender.join())
        });
        let trouble = trouble?;
        happened.sent.extend(sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(trouble)
    }

    /// Sends a stream; and what is late, when the clocks of all partitions have gone so far that it is too late.
    fn send(&self, load: &Load) -> Result<Vec<Sent>, String> {
        let mut sent = vec![load::run(load, &self.connection, &mut |_| {}).map_err(|error| error.to_string())?];
        eprintln!("{sent:?}");
        let is_last = load.parameters.seed != self.arguments.seed || !self.arguments.made_anew;
        if let Some(window) = self.arguments.window.filter(|_| is_last && self.arguments.late > 0) {
            let hours = i64::from(window) + 1;
            let at_ms = load.parameters.times.earliest_ms() + hours * 3_600_000;
            verify::wait_for_clock(&self.connection, &Layout::new(&self.prefix), at_ms, self.drain())
                .map_err(|error| error.to_string())?;
            let late =
                load::run_late(load, self.arguments.late, &self.connection).map_err(|error| error.to_string())?;
            eprintln!("late: {late:?}");
            sent.push(late);
        }
        Ok(sent)
    }

    /// Asks for what waits to be tried again: sometimes everything, sometimes what waits for one reason; and so many of the late records, by their
    /// ids.
    fn ask_again(&self, number: u32, late: u32) -> Result<(), String> {
        let of = |reasons: &[&str]| RecycleRequest {
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            ..RecycleRequest::default()
        };
        let mut requests = vec![match number % 3 {
            0 => RecycleRequest::default(),
            1 => of(&["unknown_endpoint"]),
            _ => of(&["wrong_kind", "no_rate"]),
        }];
        if late > 0 {
            let ids = (0..late).map(load::late_id).collect();
            requests.push(RecycleRequest { ids, late: true, ..RecycleRequest::default() });
        }
        for request in requests {
            load::to_each_partition(&self.connection, &format!("{}waiting", self.prefix), &request.message())
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The trouble is over and all endpoints are known: asks for everything once more, for what was late twice, and verifies, while workers work.
    fn verify(&self, workers: &mut Workers<'_>, happened: &Happened) -> Result<Found, String> {
        let is_verified = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let verifier = scope.spawn(|| {
                let report = self.recycle_all().and_then(|()| self.check(happened));
                is_verified.store(true, Ordering::Relaxed);
                report
            });
            let kept = workers.keep(&|| is_verified.load(Ordering::Relaxed));
            let report = verifier.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            kept.and(report)
        })
    }

    fn recycle_all(&self) -> Result<(), String> {
        let layout = Layout::new(&self.prefix);
        for _ in 0..2 {
            verify::wait_until_drained(&self.connection, &layout, self.drain()).map_err(|error| error.to_string())?;
            self.ask_again(0, self.arguments.late())?;
        }
        Ok(())
    }

    fn check(&self, happened: &Happened) -> Result<Found, String> {
        let mut reference = EngineReference::load(&self.folder).map_err(|error| error.to_string())?;
        reference.versions.push(self.first_version.clone());
        let window = self.arguments.window;
        let verification = Verification {
            // With a window the clock of each partition of guide decides what is remembered, and the engine has one.
            reference: window.is_none().then_some(reference),
            window_h: window.map(|window| [window, window + COMMANDS_LONGER_H]),
            earlier: happened.earlier.clone(),
            wait: self.drain(),
            ..Verification::new(self.kafka.bootstrap(), &self.prefix)
        };
        let report =
            verify::verify(&verification, &mut |step| eprintln!("{step}")).map_err(|error| error.to_string())?;
        // Each of them was sent twice.
        let expected = 2 * u64::from(self.arguments.late());
        let too_late: u64 = report.row("too late").and_then(|row| row.found.parse().ok()).unwrap_or(0);
        let mut text = report.to_string();
        if too_late < expected {
            text.push_str(&format!("too late: {expected} at least were, and {too_late} were found\n"));
        }
        Ok(Found { text, is_clean: report.is_clean() && too_late >= expected })
    }
}

fn in_words(error: std::io::Error) -> String {
    error.to_string()
}

fn parameters(arguments: &RunArguments) -> Parameters {
    let records = if arguments.made_anew { arguments.records / 2 } else { arguments.records };
    Parameters { records, endpoints: arguments.endpoints, ..Parameters::bench(arguments.seed) }
}

/// The stream behind another one: other records, of the time that follows.
fn behind(load: &Load) -> Load {
    let times = &load.parameters.times;
    let span_ms = i64::try_from(times.span_ms).unwrap_or(0);
    let times = Times { source: "pgw-2".to_owned(), start_ms: times.start_ms + span_ms, ..times.clone() };
    let parameters = Parameters { seed: load.parameters.seed + 1, times, ..load.parameters.clone() };
    Load { first: Vec::new(), parameters, ..load.clone() }
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
