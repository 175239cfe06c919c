//! From Markdown to steps. Everything that is wrong is reported at once.

use super::error::{Faults, ScenarioErrors};
use super::input::{InputLine, command_lines, raw_lines, tick_line, usage_lines};
use super::markdown::{Alignment, Block, Fence, Table, blocks};
use super::section::{Section, Subject};
use super::value::Kind;
use crate::session::Settings;
use rating::Timestamp;
use std::ops::Range;

/// A file of scenarios.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    /// Its name, as shown in errors and reports.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The scenarios, one for each heading of the first level; never empty.
    pub scenarios: Vec<Scenario>,
}

/// A story: what is given, what happens and what is expected, in this order or any other.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The heading.
    pub title: String,
    /// Its line.
    pub line: usize,
    /// How the session rates.
    pub settings: Settings,
    /// In the order of the file; the first one is reference data.
    pub steps: Vec<Step>,
}

/// A step of a scenario.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reference data, in place of all before.
    Reference {
        /// Line of the fence.
        line: usize,
        /// The file that holds it, as named at the fence; none if it stands in the block.
        file: Option<String>,
        /// The document, behind as many empty lines as put its own lines where they stand in the file.
        yaml: String,
    },
    /// Records, commands or ticks, as one batch.
    Input(Vec<InputLine>),
    /// What waits is tried again.
    Recycle {
        /// Line of the heading.
        line: usize,
    },
    /// A comparison.
    Expect(Expectation),
}

/// What is expected at a point of a scenario.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// About what.
    pub subject: Subject,
    /// Line of the table, or of the number of duplicates.
    pub line: usize,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<ExpectedRow>,
    pub(super) bytes: Range<usize>,
}

/// A column of a table of expectations.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) alignment: Alignment,
}

/// A row of a table of expectations.
#[derive(Clone, Debug)]
pub(super) struct ExpectedRow {
    pub(super) line: usize,
    /// As written.
    pub(super) shown: Vec<String>,
    /// As compared.
    pub(super) canonical: Vec<String>,
}

/// Reads a file of scenarios. `name` is shown in errors.
///
/// # Errors
/// Everything that is wrong with the file as a text, with line and column. Reference data is read when a scenario runs.
pub fn parse(name: &str, text: &str) -> Result<ScenarioFile, ScenarioErrors> {
    let mut faults = Faults::default();
    let mut reader = Reader { faults: &mut faults, scenarios: Vec::new(), section: None };
    // The blocks are cut first, because the reader holds the errors.
    let cut = blocks(text, reader.faults);
    for block in cut {
        reader.block(block);
    }
    reader.finish();
    let scenarios = reader.scenarios;
    let errors = faults.into_sorted();
    if errors.is_empty() {
        Ok(ScenarioFile { name: name.to_owned(), text: text.to_owned(), scenarios })
    } else {
        Err(ScenarioErrors { name: name.to_owned(), errors })
    }
}

impl ScenarioFile {
    /// Fills in reference data that stands in files of its own, by names as written in the scenarios. How they are read is the caller's business.
    ///
    /// # Errors
    /// Every file that cannot be read, at the block that names it.
    pub fn read_references(
        &mut self,
        mut read: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<(), ScenarioErrors> {
        let mut faults = Faults::default();
        for step in self.scenarios.iter_mut().flat_map(|scenario| &mut scenario.steps) {
            if let Step::Reference { line, file: Some(file), yaml } = step {
                match read(file) {
                    Ok(text) => *yaml = text,
                    Err(error) => faults.add(*line, 1, format!("{file}: {error}")),
                }
            }
        }
        let errors = faults.into_sorted();
        if errors.is_empty() { Ok(()) } else { Err(ScenarioErrors { name: self.name.clone(), errors }) }
    }
}

struct Reader<'f> {
    faults: &'f mut Faults,
    scenarios: Vec<Scenario>,
    section: Option<OpenSection>,
}

/// The section that is being read.
struct OpenSection {
    section: Section,
    line: usize,
    /// Something of it was read.
    is_filled: bool,
}

impl Reader<'_> {
    fn block(&mut self, block: Block) {
        match block {
            Block::Heading { level: 1, text, line } => {
                self.close_section();
                self.close_scenario();
                self.scenarios.push(Scenario { title: text, line, settings: Settings::default(), steps: Vec::new() });
            }
            Block::Heading { level: 2, text, line } => self.open_section(&text, line),
            // Deeper headings divide prose.
            Block::Heading { .. } => {}
            Block::Fence(fence) => self.fence(&fence),
            Block::Table(table) => self.table(&table),
            Block::Prose { text, line, bytes } => self.prose(&text, line, bytes),
        }
    }

    fn finish(&mut self) {
        self.close_section();
        self.close_scenario();
        if self.scenarios.is_empty() {
            self.faults.add(1, 1, "there is no scenario; one begins with a heading: # Its title");
        }
    }

    fn close_scenario(&mut self) {
        let Some(scenario) = self.scenarios.last() else { return };
        if !scenario.steps.iter().any(|step| matches!(step, Step::Expect(_))) {
            let message = format!("\"{}\" expects nothing, so it could not fail", scenario.title);
            self.faults.add(scenario.line, 1, message);
        }
    }

    fn open_section(&mut self, heading: &str, line: usize) {
        self.close_section();
        match Section::of(heading) {
            Ok(section) => {
                self.section = Some(OpenSection { section, line, is_filled: section == Section::Recycle });
                if section == Section::Recycle {
                    self.step(line, Step::Recycle { line });
                }
            }
            Err(message) => self.faults.add(line, 4, message),
        }
    }

    fn close_section(&mut self) {
        let Some(open) = self.section.take() else { return };
        if !open.is_filled {
            let missing = match open.section {
                Section::Tick => "a time is missing under this heading",
                Section::Expect(Subject::Duplicates) => "a number is missing under this heading",
                Section::Settings | Section::Usage | Section::Commands | Section::Recycle | Section::Expect(_) => {
                    "a table is missing under this heading"
                }
            };
            self.faults.add(open.line, 1, missing);
        }
    }

    fn step(&mut self, line: usize, step: Step) {
        let Some(scenario) = self.scenarios.last_mut() else {
            self.faults.add(line, 1, "a scenario begins with a heading: # Its title");
            return;
        };
        if scenario.steps.is_empty() && !matches!(step, Step::Reference { .. }) {
            self.faults.add(line, 1, "reference data comes first, between ```yaml reference and ```");
        }
        scenario.steps.push(step);
    }

    fn fence(&mut self, fence: &Fence) {
        let words: Vec<&str> = fence.info.split_whitespace().collect();
        match words.as_slice() {
            ["yaml", "reference"] => {
                let yaml = "\n".repeat(fence.line) + &fence.text;
                self.step(fence.line, Step::Reference { line: fence.line, file: None, yaml });
            }
            ["yaml", "reference", file] => {
                if !fence.text.trim().is_empty() {
                    self.faults.add(fence.line, 1, "a block that names a file is empty");
                }
                let file = Some((*file).to_owned());
                self.step(fence.line, Step::Reference { line: fence.line, file, yaml: String::new() });
            }
            ["jsonl", "input"] => self.step(fence.line, Step::Input(raw_lines(fence.line + 1, &fence.text))),
            ["yaml" | "jsonl", _, ..] => {
                let message = format!(
                    "\"{}\" means nothing; write `yaml reference`, `yaml reference FILE` or `jsonl input`",
                    fence.info
                );
                self.faults.add(fence.line, 4, message);
            }
            _ => {}
        }
    }

    fn table(&mut self, table: &Table) {
        let Some(open) = &mut self.section else {
            self.faults.add(table.line, 1, "this table belongs to no section; put a heading such as ## Usage above it");
            return;
        };
        let was_filled = std::mem::replace(&mut open.is_filled, true);
        let section = open.section;
        match section {
            Section::Settings => self.settings(table),
            Section::Usage => {
                let lines = usage_lines(table, self.faults);
                self.step(table.line, Step::Input(lines));
            }
            Section::Commands => {
                let lines = command_lines(table, self.faults);
                self.step(table.line, Step::Input(lines));
            }
            Section::Tick | Section::Recycle | Section::Expect(Subject::Duplicates) => {
                self.faults.add(table.line, 1, "no table belongs here");
            }
            Section::Expect(_) if was_filled => {
                self.faults.add(table.line, 1, "this section has a table already; repeat its heading for another one");
            }
            Section::Expect(subject) => {
                if let Some(expectation) = expectation(subject, table, self.faults) {
                    self.step(table.line, Step::Expect(expectation));
                }
            }
        }
    }

    fn prose(&mut self, text: &str, line: usize, bytes: Range<usize>) {
        let Some(open) = self.section.as_mut().filter(|open| !open.is_filled) else { return };
        match open.section {
            Section::Tick => {
                open.is_filled = true;
                let mut ticks = Vec::new();
                for (text, line) in text.lines().zip(line..) {
                    match tick_line(line, text) {
                        Some(tick) => ticks.push(tick),
                        None => {
                            let message = format!("\"{text}\" is not a time; write it like 2026-01-01T00:00:00Z");
                            self.faults.add(line, 1, message);
                        }
                    }
                }
                self.step(line, Step::Input(ticks));
            }
            Section::Expect(Subject::Duplicates) => {
                open.is_filled = true;
                match text.parse::<u64>() {
                    Ok(number) => {
                        let row =
                            ExpectedRow { line, shown: vec![text.to_owned()], canonical: vec![number.to_string()] };
                        let column = Column { name: "duplicates", kind: Kind::Integer, alignment: Alignment::Right };
                        let (columns, rows) = (vec![column], vec![row]);
                        let subject = Subject::Duplicates;
                        self.step(line, Step::Expect(Expectation { subject, line, columns, rows, bytes }));
                    }
                    Err(_) => self.faults.add(line, 1, format!("\"{text}\" is not a number of duplicates")),
                }
            }
            // Words between a heading and its table.
            Section::Settings | Section::Usage | Section::Commands | Section::Recycle | Section::Expect(_) => {}
        }
    }

    fn settings(&mut self, table: &Table) {
        let names: Vec<&str> = table.header.iter().map(|cell| cell.text.as_str()).collect();
        if names != ["setting", "value"] {
            self.faults.add(table.line, 1, "the columns of settings are `setting` and `value`");
            return;
        }
        let Some(scenario) = self.scenarios.last_mut() else {
            self.faults.add(table.line, 1, "a scenario begins with a heading: # Its title");
            return;
        };
        if !scenario.steps.is_empty() {
            self.faults.add(table.line, 1, "settings come before the reference data");
        }
        for row in &table.rows {
            let [name, value] = row.cells.as_slice() else { continue };
            let is_known = match name.text.as_str() {
                "duplicate_window_h" => {
                    value.text.parse().map(|hours| scenario.settings.duplicate_window_h = Some(hours)).is_ok()
                }
                "command_memory_h" => {
                    value.text.parse().map(|hours| scenario.settings.command_memory_h = hours).is_ok()
                }
                "state_horizon_h" => value.text.parse().map(|hours| scenario.settings.state_horizon_h = hours).is_ok(),
                "latest_event" => {
                    Timestamp::parse(&value.text).map(|time| scenario.settings.latest_event = time).is_some()
                }
                "earliest_event" => {
                    Timestamp::parse(&value.text).map(|time| scenario.settings.earliest_event = time).is_some()
                }
                "default_source" => {
                    scenario.settings.default_source.clone_from(&value.text);
                    !value.text.is_empty()
                }
                _ => {
                    let message = "settings are duplicate_window_h, command_memory_h, state_horizon_h, latest_event, \
                                   earliest_event and default_source";
                    self.faults.add(row.line, name.column, message);
                    true
                }
            };
            if !is_known {
                let message = format!("\"{}\" is no value for {}", value.text, name.text);
                self.faults.add(row.line, value.column, message);
            }
        }
    }
}

fn expectation(subject: Subject, table: &Table, faults: &mut Faults) -> Option<Expectation> {
    let mut columns: Vec<Column> = Vec::new();
    let mut is_sound = true;
    for (cell, alignment) in table.header.iter().zip(&table.alignments) {
        let known = subject.columns().iter().find(|(name, _)| *name == cell.text);
        let Some(&(name, kind)) = known else {
            let names: Vec<&str> = subject.columns().iter().map(|(name, _)| *name).collect();
            let message =
                format!("there is no column \"{}\" in {}; columns are {}", cell.text, subject.name(), names.join(", "));
            faults.add(table.line, cell.column, message);
            is_sound = false;
            continue;
        };
        if columns.iter().any(|column| column.name == name) {
            faults.add(table.line, cell.column, format!("the column \"{name}\" stands twice"));
            is_sound = false;
        }
        columns.push(Column { name, kind, alignment: *alignment });
    }
    if is_sound && subject.keys().first().is_some_and(|key| !columns.iter().any(|column| column.name == *key)) {
        faults.add(table.line, 1, format!("{} need a column `account`", subject.name()));
        is_sound = false;
    }
    if !is_sound {
        return None;
    }
    let rows = table.rows.iter().map(|row| {
        let mut expected = ExpectedRow { line: row.line, shown: Vec::new(), canonical: Vec::new() };
        for (cell, column) in row.cells.iter().zip(&columns) {
            expected.shown.push(cell.text.clone());
            match column.kind.canonical(&cell.text) {
                Ok(canonical) => expected.canonical.push(canonical),
                Err(message) => faults.add(row.line, cell.column, message),
            }
        }
        expected
    });
    let rows = rows.collect();
    Some(Expectation { subject, line: table.line, columns, rows, bytes: table.bytes.clone() })
}
