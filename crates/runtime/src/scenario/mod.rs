//! Golden tables that tariff authors write: Markdown in, differences out.
//!
//! A scenario is a story with reference data, usage, commands and ticks, and tables of what is to come of them, in this order or
//! any other; `docs/scenarios.md` shows how to write one. It runs in memory, through the engine that also rates files and topics.
//!
//! | module | owns |
//! | --- | --- |
//! | `markdown` | headings, tables and fenced blocks, with places |
//! | `section` | which sections and columns there are |
//! | `value` | what a cell means, so that `0.3` equals `0.30` |
//! | `input` | rows of usage and commands as JSON lines |
//! | `parse` | the steps of a scenario, or everything that is wrong with the text |
//! | `run`, `actual`, `compare` | the steps carried out, and compared with what is expected |
//! | `coverage` | what of the reference data no row used |
//! | `report` | text, JUnit XML, rewritten files |
//!
//! A charge, a suspension or a duplicate that nothing expects fails a scenario: nothing that decides about money passes unseen.
//! Notifications, allowances and balances are looked at where there is a table of them. Knows nothing of folders and arguments.

mod actual;
mod compare;
mod coverage;
mod error;
mod input;
mod markdown;
mod parse;
mod report;
mod run;
mod section;
mod value;

pub use compare::Finding;
pub use coverage::{Coverage, Item, Place, Scope};
pub use error::{ScenarioError, ScenarioErrors};
pub use input::InputLine;
pub use parse::{Expectation, Scenario, ScenarioFile, Step, parse};
pub use report::{UpdateRefused, Writer, junit, updated};
pub use run::{FileReport, ScenarioReport, load_reference, run};
pub use section::Subject;
