//! The programs of `examples/neighbours` as processes, a database of a test's own, and the CSV that a gateway would write.

use crate::deployment::Deployment;
use crate::support::Ran;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use testkit::services::{Kafka, Postgres, Python};

const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

pub(crate) fn example(name: &str) -> PathBuf {
    repository().join("examples/neighbours").join(name)
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neighbours").join(name)
}

/// The Python that the README asks for.
pub(crate) fn python() -> Python {
    let requirements = std::fs::read_to_string(example("requirements.txt")).expect("requirements");
    Python::with("neighbours-1", &requirements.lines().collect::<Vec<_>>()).expect("Python")
}

/// A deployment with a database beside it.
pub(crate) struct Neighbours {
    pub(crate) deployment: Deployment,
    postgres: Arc<Postgres>,
    python: Python,
    name: String,
}

impl Neighbours {
    pub(crate) fn new(name: &str) -> Neighbours {
        let neighbours = Neighbours::without_topics(name);
        neighbours.deployment.topics("apply", &[]).expect(0);
        neighbours
    }

    pub(crate) fn without_topics(name: &str) -> Neighbours {
        let (postgres, python) = (Postgres::shared().expect("a server"), python());
        let name = format!("{name}_{}", std::process::id());
        let deployment = Deployment::bare(Kafka::shared().expect("a broker"), &name);
        let neighbours = Neighbours { deployment, postgres, python, name };
        neighbours.on(neighbours.postgres.url(), &[&format!("create database {}", neighbours.name)]);
        neighbours
    }

    pub(crate) fn database(&self) -> String {
        self.postgres.url_of(&self.name)
    }

    /// Another database with everything that this one has.
    pub(crate) fn copy(&self, name: &str) -> String {
        let copy = format!("{}_{name}", self.name);
        self.on(self.postgres.url(), &[&format!("create database {copy} template {}", self.name)]);
        self.postgres.url_of(&copy)
    }

    /// Runs statements on a database; the rows of the last one.
    #[track_caller]
    pub(crate) fn on(&self, database: &str, statements: &[&str]) -> String {
        self.python.run(&here("books.py"), &[&[database], statements].concat()).expect("the statements run")
    }

    #[track_caller]
    pub(crate) fn ask(&self, statement: &str) -> String {
        self.on(&self.database(), &[statement])
    }

    /// What the database says to a statement that it refuses.
    #[track_caller]
    pub(crate) fn refused(&self, statement: &str) -> String {
        self.python.run(&here("books.py"), &[&self.database(), statement]).expect_err("it is refused").to_string()
    }

    /// Writes charges and deltas as nobody does yet; see `write.py`.
    #[track_caller]
    pub(crate) fn write(&self, messages: &[&str]) {
        let schemas = repository().join("schemas").display().to_string();
        let to = [self.deployment.kafka.bootstrap(), &self.deployment.prefix, &schemas];
        self.python.run(&here("write.py"), &[&to, messages].concat()).expect("written");
    }

    /// The environment of the README's commands: the programs are found, and the README's variables are set.
    pub(crate) fn environment(&self, command: &mut Command) {
        let python = self.python.command(Path::new(""));
        let folders = [Path::new(python.get_program()).parent(), Path::new(env!("CARGO_BIN_EXE_rater")).parent()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.into_iter().flatten().map(Path::to_owned).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).expect("a path"));
        command.env("BROKERS", self.deployment.kafka.bootstrap());
        command.env("PREFIX", &self.deployment.prefix).env("DATABASE", self.database());
        command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(repository());
    }

    /// `feeder.py` on files of the deployment's folder.
    pub(crate) fn feeder(&self, more: &[&str]) -> Command {
        let mut command = self.python.command(&example("feeder.py"));
        command.current_dir(self.deployment.folder.path());
        command.args(["--brokers", self.deployment.kafka.bootstrap(), "--topic", &self.deployment.topic("usage")]);
        command.args(more);
        command
    }

    /// `billing.py` on a database.
    pub(crate) fn billing(&self, action: &str, database: &str, more: &[&str]) -> Command {
        let mut command = self.python.command(&example("billing.py"));
        command.args([action, "--brokers", self.deployment.kafka.bootstrap()]);
        command.args(["--topic-prefix", &self.deployment.prefix, "--database", database]).args(more);
        command
    }

    #[track_caller]
    pub(crate) fn book(&self, code: i32) -> Ran {
        run(&mut self.billing("run", &self.database(), &["--until-end"])).expect(code)
    }

    #[track_caller]
    pub(crate) fn verify(&self, database: &str, code: i32) -> String {
        run(&mut self.billing("verify", database, &[])).expect(code).stdout
    }

    /// Until so many messages are committed in an output.
    #[track_caller]
    pub(crate) fn wait_until(&self, topic: &str, count: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.deployment.read(topic).len() < count {
            assert!(Instant::now() < deadline, "{topic} has less than {count} messages");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Until a query has rows.
    #[track_caller]
    pub(crate) fn wait_for_rows(&self, query: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.ask(query).is_empty() {
            assert!(Instant::now() < deadline, "no rows: {query}");
        }
    }

    /// Runs a statement and keeps its transaction open.
    pub(crate) fn hold(&self, statement: &str) -> Program {
        let mut command = self.python.command(&here("books.py"));
        let mut holder = Program::start(command.args(["--hold", &self.database(), statement]));
        holder.wait_for("held", 1);
        holder
    }

    #[track_caller]
    pub(crate) fn top_up(&self, id: &str, amount: &str) {
        let mut command = self.python.command(&example("billing.py"));
        command.args(["top-up", "--brokers", self.deployment.kafka.bootstrap()]);
        command.args(["--topic-prefix", &self.deployment.prefix, "--id", id, "--account", "acme", "--by", "beta"]);
        run(command.args(["--amount", amount, "--at", "2026-03-05T14:00:00Z"])).expect(0);
    }
}

/// Runs to the end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    Ran::from(command.output().expect("the program runs"))
}

/// A program whose words are waited for.
pub(crate) struct Program {
    child: Child,
    said: Receiver<String>,
    heard: String,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, said) = channel();
        // It ends with the program, whose last words are left to be heard.
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Program { child, said, heard: String::new() }
    }

    /// Waits until so many more lines with these words are said.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str, times: usize) {
        let deadline = Instant::now() + LIMIT;
        let mut seen = 0;
        while seen < times {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|why| panic!("{words:?} is not said, {why}:\n{}", self.heard));
            seen += usize::from(line.contains(words));
            self.heard += &format!("{line}\n");
        }
    }

    /// All that was said, after its end.
    fn last_words(&mut self) -> String {
        for line in self.said.iter() {
            self.heard += &format!("{line}\n");
        }
        std::mem::take(&mut self.heard)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    }

    /// Waits for the end; what was said.
    #[track_caller]
    pub(crate) fn expect(mut self, code: i32) -> String {
        let deadline = Instant::now() + LIMIT;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
        let status = self.child.wait().expect("an end");
        let said = self.last_words();
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that failed leaves no process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a file has that was written for a test.
#[derive(Default)]
pub(crate) struct Written {
    /// (source, id) of all that can be mapped.
    pub(crate) records: Vec<(String, String)>,
    /// How many of those belong to an endpoint that is known.
    pub(crate) known: usize,
    /// Lines that cannot be mapped, by their numbers in the file.
    pub(crate) bad_lines: Vec<String>,
}

const HEADER: &str = "nodeID,localSequenceNumber,chargingID,recordSequenceNumber,ratingGroup,timeOfFirstUsage,servedIMSI,\
    servedMSISDN,servingNodePLMNIdentifier,accessPointNameNI,rATType,causeForRecClosing,datavolumeFBCUplink,datavolumeFBCDownlink";

/// The CSV of a gateway: every 41st line has a negative volume, every 43rd a SIM that nobody knows.
pub(crate) fn gateway(node: &str, lines: usize) -> (String, Written) {
    let (mut text, mut written) = (format!("{HEADER}\n"), Written::default());
    for number in 1..=lines {
        let (is_bad, is_known) = (number % 41 == 0, number % 43 != 0);
        let imsi = if is_known { number % 2 + 1 } else { 9 };
        let (group, minute) = (10 * (number % 3 + 1), number % 60);
        let sign = if is_bad { "-" } else { "" };
        writeln!(
            text,
            "{node},{number},{charging},{partial},{group},2026-03-05T14:{minute:02}:00Z,00101000000000{imsi},44770090000{imsi},\
             23415,internet,6,0,{sign}{up},{down}",
            charging = 1000 + number / 10,
            partial = number % 10,
            up = 1000 * number,
            down = 7 * number,
        )
        .expect("text");
        if is_bad {
            written.bad_lines.push((number + 1).to_string());
        } else {
            let id = format!("{}-{}-{group}-{number}", 1000 + number / 10, number % 10);
            written.records.push((node.to_owned(), id));
            written.known += usize::from(is_known);
        }
    }
    (text, written)
}
