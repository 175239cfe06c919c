//! Runs the steps of scenarios in a session and compares where they expect something.

use super::actual::{Happened, Standing};
use super::compare::{Edit, Finding, compare, leftovers};
use super::coverage::{Coverage, Used};
use super::input::InputLine;
use super::parse::{Scenario, ScenarioFile, Step};
use crate::engine::{BatchInput, BatchOutput, Encoded, EngineError};
use crate::session::Session;
use crate::wire::{Decoder, RawBatch};
use directory::{Input, InputKind, Loaded};
use rating::Timestamp;
use serde_json::Value;

/// What became of a file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Name of the file.
    pub name: String,
    /// One for each scenario, in their order.
    pub scenarios: Vec<ScenarioReport>,
    /// What of the reference data was used.
    pub coverage: Coverage,
    pub(super) edits: Vec<Edit>,
}

/// What became of a scenario.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// Its heading.
    pub title: String,
    /// Line of the heading.
    pub line: usize,
    /// What differs; empty if all is as expected.
    pub findings: Vec<Finding>,
    /// Comparisons made.
    pub comparisons: usize,
}

impl FileReport {
    /// Whether everything is as expected.
    pub fn has_passed(&self) -> bool {
        self.scenarios.iter().all(|scenario| scenario.findings.is_empty())
    }
}

/// Runs every scenario of a file, each from a fresh start.
pub fn run(file: &ScenarioFile) -> FileReport {
    let mut report =
        FileReport { name: file.name.clone(), scenarios: Vec::new(), coverage: Coverage::default(), edits: Vec::new() };
    for scenario in &file.scenarios {
        let mut player = Player::new(&file.name, scenario);
        player.play();
        let findings = player.findings;
        report.edits.extend(player.edits);
        report.coverage.add(player.coverage);
        let (title, line) = (scenario.title.clone(), scenario.line);
        report.scenarios.push(ScenarioReport { title, line, findings, comparisons: player.comparisons });
    }
    report
}

/// Loads a block of reference data; its errors name the lines of the scenario file.
///
/// # Errors
/// Everything that is wrong with it, as text.
pub fn load_reference(name: &str, yaml: &str) -> Result<Loaded, String> {
    let input = Input { name: name.to_owned(), bytes: yaml.as_bytes().to_vec(), kind: InputKind::Yaml };
    directory::load(vec![input]).map_err(|refused| refused.to_string())
}

struct Player<'s> {
    name: &'s str,
    scenario: &'s Scenario,
    session: Option<(Session, Loaded)>,
    happened: Happened,
    now: Timestamp,
    findings: Vec<Finding>,
    edits: Vec<Edit>,
    comparisons: usize,
    coverage: Coverage,
    /// Of the reference data in force.
    scope: String,
    used: Used,
}

/// Why a scenario cannot go on.
struct Stopped(Finding);

impl<'s> Player<'s> {
    fn new(name: &'s str, scenario: &'s Scenario) -> Player<'s> {
        Player {
            name,
            scenario,
            session: None,
            happened: Happened::default(),
            now: Timestamp::EPOCH,
            findings: Vec::new(),
            edits: Vec::new(),
            comparisons: 0,
            coverage: Coverage::default(),
            scope: String::new(),
            used: Used::default(),
        }
    }

    fn play(&mut self) {
        for step in &self.scenario.steps {
            if let Err(Stopped(finding)) = self.step(step) {
                self.findings.push(finding);
                return;
            }
        }
        self.findings.extend(leftovers(self.scenario.line, &self.happened));
    }

    fn step(&mut self, step: &'s Step) -> Result<(), Stopped> {
        match step {
            Step::Reference { line, file, yaml } => self.reference(*line, file.as_deref(), yaml),
            Step::Input(lines) => self.input(lines),
            Step::Recycle { line } => self.recycle(*line),
            Step::Expect(expectation) => {
                let Some((session, loaded)) = &self.session else { return Ok(()) };
                self.comparisons += 1;
                let standing = Standing { session, loaded, now: self.now };
                if let Some((finding, edit)) = compare(expectation, &mut self.happened, &standing) {
                    self.findings.push(finding);
                    self.edits.push(edit);
                }
                Ok(())
            }
        }
    }

    fn reference(&mut self, line: usize, file: Option<&str>, yaml: &str) -> Result<(), Stopped> {
        let name = file.unwrap_or(self.name);
        let loaded = load_reference(name, yaml).map_err(|errors| {
            let rows = errors.lines().map(str::to_owned).collect();
            Stopped(Finding { line, title: "the reference data is refused".to_owned(), rows })
        })?;
        self.scope = match file {
            Some(file) => file.to_owned(),
            None => format!("{}:{}", self.name, self.scenario.line),
        };
        self.coverage.add(Coverage::of(&self.scope, name, yaml, &loaded.model));
        let output = match self.session.take() {
            None => {
                let started = Session::start(&loaded, &self.scenario.settings);
                let (session, output) = started.map_err(|error| stopped(line, &error))?;
                self.session = Some((session, loaded));
                output
            }
            Some((mut session, _)) => {
                let output = session.replace_reference(&loaded).map_err(|error| stopped(line, &error))?;
                self.session = Some((session, loaded));
                output
            }
        };
        self.take(line, &output)
    }

    fn input(&mut self, lines: &[InputLine]) -> Result<(), Stopped> {
        let Some((session, loaded)) = &mut self.session else { return Ok(()) };
        let Some(first) = lines.first() else { return Ok(()) };
        let mut records = RawBatch::default();
        for line in lines {
            records.push(line.json.as_bytes(), line.line as u64);
            self.now = line.moment.map_or(self.now, |moment| moment.max(self.now));
        }
        let decoder = Decoder::json_lines();
        let batch = BatchInput { records: &records, decoder: &decoder, input: self.name, retries: &[] };
        self.used.look(session.engine(), batch, &loaded.model);
        let output = session.rate(&records, &decoder, self.name, &[]).map_err(|error| stopped(first.line, &error))?;
        self.take(first.line, &output)
    }

    fn recycle(&mut self, line: usize) -> Result<(), Stopped> {
        let Some((session, loaded)) = &mut self.session else { return Ok(()) };
        let mut records = RawBatch::default();
        for open in session.open_suspense() {
            records.push(&open.original, open.place);
        }
        let decoder = Decoder::json_lines();
        let batch = BatchInput { records: &records, decoder: &decoder, input: self.name, retries: &[] };
        self.used.look(session.engine(), batch, &loaded.model);
        let output = session.recycle().map_err(|error| stopped(line, &error))?;
        self.take(line, &output)
    }

    /// Keeps what was put out until something is compared with it.
    fn take(&mut self, line: usize, output: &BatchOutput) -> Result<(), Stopped> {
        let charges = messages(line, &output.charges)?;
        let suspense = messages(line, &output.suspense)?;
        let deltas = messages(line, &output.deltas)?;
        for delta in &deltas {
            if let Some(account) = delta.get("account_id").and_then(Value::as_str) {
                *self.happened.moved.entry(account.to_owned()).or_default() += 1;
            }
        }
        self.coverage.mark(&self.scope, &self.used, &charges, &suspense);
        self.happened.charges.extend(charges);
        self.happened.suspense.extend(suspense);
        self.happened.deltas.extend(deltas);
        self.happened.notifications.extend(messages(line, &output.notifications)?);
        self.happened.duplicates += output.totals.duplicates;
        Ok(())
    }
}

fn messages(line: usize, encoded: &Encoded) -> Result<Vec<Value>, Stopped> {
    let read = |message: &[u8]| {
        serde_json::from_slice(message).map_err(|error| {
            let title = format!("an output is not JSON: {error}");
            Stopped(Finding { line, title, rows: Vec::new() })
        })
    };
    encoded.messages().map(read).collect()
}

fn stopped(line: usize, error: &EngineError) -> Stopped {
    Stopped(Finding { line, title: format!("the run stops: {error}"), rows: Vec::new() })
}
