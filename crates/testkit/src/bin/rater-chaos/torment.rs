//! Trouble while usage comes in; then everything that waits is asked for, and everything that was written is verified.

use super::{COMMANDS_LONGER_H, RunArguments, SHAPE, anew};
use runtime::stages::RecycleRequest;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::chaos::{Mood, Plan, Trouble, Workers, in_words};
use testkit::deployment;
use testkit::generator::random::Random;
use testkit::generator::stream::{self, LineKind};
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
    /// Lines from the beginning of the stream that wait, as a whole or on a level, until all reference data are there; with their ids.
    waiting: Vec<(String, Vec<u8>)>,
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
    let kafka = Kafka::cluster(arguments.brokers).map_err(in_words)?;
    let prefix = format!("chaos-{}-", std::process::id());
    deployment::create_topics(&kafka, &prefix, SHAPE).map_err(in_words)?;
    let folder = std::env::temp_dir().join(format!("rater-{prefix}{}", arguments.seed));
    generator::write_reference(&parameters(arguments), &folder).map_err(in_words)?;
    hide_endpoints(&folder, arguments.unknown, arguments.seed).map_err(in_words)?;
    if arguments.window.is_some() {
        hide_rate(&folder).map_err(in_words)?;
    }
    eprintln!("seed {}, what workers tell is in {}", arguments.seed, folder.display());
    let torment = Torment {
        arguments,
        connection: Connection::new(kafka.bootstrap()),
        first_version: reference::load(&folder).map_err(in_words)?.version(),
        waiting: first_waiting(arguments, &folder).map_err(in_words)?,
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
                // Copies that come too late have to meet what still waits.
                let is_early = self.arguments.late() > 0 && !is_sent.load(Ordering::Relaxed);
                if trouble.kills() < self.arguments.kills / 2 || is_early {
                    return Ok(());
                }
                if happened.requests == 0 {
                    show_all(&self.folder).map_err(in_words)?;
                }
                happened.requests += 1;
                // A broker that is away is asked the next time.
                let _ = self.ask_again(happened.requests);
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
        let mut sent = vec![load::run(load, &self.connection, &mut |_| {}).map_err(in_words)?];
        eprintln!("{sent:?}");
        let is_last = load.parameters.seed != self.arguments.seed || !self.arguments.made_anew;
        if is_last && self.arguments.late() > 0 {
            // Guide has to know what waits before it is so late that it forgets what came.
            self.wait_until_drained()?;
            self.tick(self.end_ms() + 3_600_000)?;
            let copies: Vec<Vec<u8>> = self.waiting.iter().map(|(_, line)| line.clone()).collect();
            let late = load::run_late(load, self.arguments.late, &copies, &self.connection);
            let late = late.map_err(in_words)?;
            eprintln!("late, with {} copies of what waits: {late:?}", copies.len());
            sent.push(late);
            self.wait_until_drained()?;
        }
        Ok(sent)
    }

    /// When the last stream ends.
    fn end_ms(&self) -> i64 {
        let streams = if self.arguments.made_anew { 2 } else { 1 };
        let times = parameters(self.arguments).times;
        times.start_ms + streams * i64::try_from(times.span_ms).unwrap_or(0)
    }

    /// Makes it so late, and waits until it is for guide: then everything before has been taken, retries included.
    fn tick(&self, at_ms: i64) -> Result<(), String> {
        let ticks = format!("{}ticks", self.prefix);
        load::to_each_partition(&self.connection, &ticks, &generator::tick(at_ms)).map_err(in_words)?;
        verify::wait_for_clock(&self.connection, &self.layout(), at_ms, self.drain()).map_err(in_words)
    }

    pub(super) fn wait_until_drained(&self) -> Result<(), String> {
        verify::wait_until_drained(&self.connection, &self.layout(), self.drain()).map_err(in_words)
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.prefix)
    }

    /// Asks for what waits to be tried again: sometimes everything, sometimes what waits for one reason.
    fn ask_again(&self, number: u32) -> Result<(), String> {
        let of = |reasons: &[&str]| RecycleRequest {
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            ..RecycleRequest::default()
        };
        self.ask(&match number % 3 {
            0 => RecycleRequest::default(),
            1 => of(&["unknown_endpoint"]),
            _ => of(&["wrong_kind", "no_rate"]),
        })
    }

    /// Asks for what was too late, by its ids, also where it is a copy of something that waited.
    fn ask_for_late(&self) -> Result<(), String> {
        let ids = (0..self.arguments.late()).map(load::late_id).chain(self.waiting.iter().map(|(id, _)| id.clone()));
        self.ask(&RecycleRequest { ids: ids.collect(), late: true, ..RecycleRequest::default() })
    }

    fn ask(&self, request: &RecycleRequest) -> Result<(), String> {
        load::to_each_partition(&self.connection, &format!("{}waiting", self.prefix), &request.message())
            .map_err(in_words)
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
        self.wait_until_drained()?;
        self.ask_again(0)?;
        if let Some(window) = self.arguments.window.filter(|_| self.arguments.late() > 0) {
            // What was charged now is forgotten again, unless copies of it wait.
            self.wait_until_drained()?;
            self.tick(self.end_ms() + 2 * i64::from(window) * 3_600_000)?;
            self.ask_for_late()?;
        }
        self.wait_until_drained()?;
        self.ask_again(0)?;
        if self.arguments.late() > 0 { self.ask_for_late() } else { Ok(()) }
    }

    fn check(&self, happened: &Happened) -> Result<Found, String> {
        let mut reference = EngineReference::load(&self.folder).map_err(in_words)?;
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
        let report = verify::verify(&verification, &mut |step| eprintln!("{step}")).map_err(in_words)?;
        // Each of them was sent twice. Copies of what waits are known, however late they are.
        let expected = 2 * u64::from(self.arguments.late());
        let too_late: u64 = report.row("too late").and_then(|row| row.found.parse().ok()).unwrap_or(0);
        let mut text = report.to_string();
        if too_late < expected {
            text.push_str(&format!("too late: {expected} at least were, and {too_late} were found\n"));
        }
        Ok(Found { text, is_clean: report.is_clean() && too_late >= expected })
    }
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

/// Records of the first tenth that wait until all reference data are there, some of each kind.
fn first_waiting(arguments: &RunArguments, folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let known = std::fs::read_to_string(folder.join("endpoints.csv"))?;
    let known: HashSet<&str> = known.lines().filter_map(|line| line.split(',').nth(2)).collect();
    let (parameters, mut seen) = (parameters(arguments), 0_u64);
    let mut kinds = [BTreeMap::new(), BTreeMap::new()];
    stream::each_line(&parameters, |kind, line| {
        seen += u64::from(kind != LineKind::Tick);
        let said: Value = serde_json::from_slice(line)?;
        let (Some(id), Some(imsi)) = (said["id"].as_str(), said["imsi"].as_str()) else { return Ok(()) };
        let [unknown, without_rate] = &mut kinds;
        let waiting = if !known.contains(imsi) { unknown } else { without_rate };
        let is_waiting = !known.contains(imsi) || said["service"] == "sms";
        if is_waiting && seen < parameters.records / 10 && waiting.len() < MOST_WAITING {
            waiting.insert(id.to_owned(), line.to_vec());
        }
        Ok(())
    })?;
    Ok(kinds.into_iter().flatten().collect())
}

/// Of what waits, so much is sent again at the end.
const MOST_WAITING: usize = 50;

/// Takes the rate for messages out of the uppermost tariff, and keeps all of them beside it: then a level of these records waits.
fn hide_rate(folder: &Path) -> std::io::Result<()> {
    const RATE: &str = "          - { service: sms, price: 0.05/message }\n";
    let path = folder.join("rating.yaml");
    let all = std::fs::read_to_string(&path)?;
    std::fs::write(folder.join(ALL_RATES), &all)?;
    // The uppermost tariff is the last one.
    let at = all.rfind(RATE).ok_or_else(|| std::io::Error::other("no rate for messages"))?;
    std::fs::write(path, format!("{}{}", &all[..at], &all[at + RATE.len()..]))
}

/// Puts everything in: whoever starts from now on knows all.
fn show_all(folder: &Path) -> std::io::Result<()> {
    if folder.join(ALL_RATES).exists() {
        std::fs::rename(folder.join(ALL_RATES), folder.join("rating.yaml"))?;
    }
    std::fs::rename(folder.join(ALL_ENDPOINTS), folder.join("endpoints.csv"))
}

/// All endpoints, beside those that are known at first.
const ALL_ENDPOINTS: &str = "endpoints.all";
/// All rates, in the same way.
const ALL_RATES: &str = "rating.all";
