//! Settings from a file: options of a command by their names, as TOML. They stand behind flags and environment.
//!
//! `kafka-brokers = "a:9092"` and, as a table, `[kafka]` with `brokers = "a:9092"` are the same. Every mistake is told, with its place.

use crate::exit::Failure;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::Path;
use toml_edit::{Document, Item, Table, Value};

/// Arguments as given, with those of the file added that neither a flag nor the environment gives.
///
/// # Errors
/// A file that cannot be read, is no TOML, or has settings that the command does not.
pub(crate) fn arguments(path: &Path, command: &Command, matches: &ArgMatches) -> Result<Vec<OsString>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Data(format!("{}: {error}", path.display())))?;
    let document = Document::parse(text.as_str())
        .map_err(|error| Failure::Data(format!("{}: {}", path.display(), error.to_string().trim_end())))?;
    let mut found = Found { command, matches, text: &text, path, arguments: Vec::new(), mistakes: Vec::new() };
    found.table("", document.as_table());
    if !found.mistakes.is_empty() {
        return Err(Failure::Data(found.mistakes.join("\n       ")));
    }
    Ok(found.arguments)
}

struct Found<'f> {
    command: &'f Command,
    matches: &'f ArgMatches,
    text: &'f str,
    path: &'f Path,
    arguments: Vec<OsString>,
    mistakes: Vec<String>,
}

impl Found<'_> {
    fn table(&mut self, prefix: &str, table: &Table) {
        for (key, item) in table {
            let name = format!("{prefix}{}", key.replace('_', "-"));
            let at = table.key(key).and_then(|key| key.span()).map_or(0, |span| span.start);
            match item {
                // Names of the client library's properties stand as they are.
                Item::Table(properties) if name.ends_with("property") => {
                    for (property, value) in properties.get_values() {
                        let property: Vec<&str> = property.iter().map(|part| part.get()).collect();
                        if let Some(value) = self.text_of(value, at, &name) {
                            self.add(&name, format!("{}={value}", property.join(".")));
                        }
                    }
                }
                Item::Table(inner) => self.table(&format!("{name}-"), inner),
                Item::Value(value) => self.option(&name, value, at),
                Item::None | Item::ArrayOfTables(_) => self.mistake(at, &format!("\"{name}\" is not a setting")),
            }
        }
    }

    fn option(&mut self, name: &str, value: &Value, at: usize) {
        let option = self.command.get_arguments().find(|option| option.get_long() == Some(name));
        let Some(option) = option.filter(|_| name != "config") else {
            return self.mistake(at, &format!("there is no setting \"{name}\""));
        };
        let id = option.get_id().as_str();
        let is_given =
            matches!(self.matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        if is_given {
            return;
        }
        match (option.get_action(), value) {
            (ArgAction::SetTrue, Value::Boolean(flag)) => {
                if *flag.value() {
                    self.arguments.push(format!("--{name}").into());
                }
            }
            (ArgAction::SetTrue, _) => self.mistake(at, &format!("\"{name}\" is true or false")),
            (_, Value::Array(values)) => {
                for value in values {
                    if let Some(text) = self.text_of(value, at, name) {
                        self.add(name, text);
                    }
                }
            }
            (_, value) => {
                if let Some(text) = self.text_of(value, at, name) {
                    self.add(name, text);
                }
            }
        }
    }

    fn add(&mut self, name: &str, value: String) {
        self.arguments.push(format!("--{name}={value}").into());
    }

    fn text_of(&mut self, value: &Value, at: usize, name: &str) -> Option<String> {
        match value {
            Value::String(text) => Some(text.value().clone()),
            Value::Integer(number) => Some(number.value().to_string()),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => {
                self.mistake(at, &format!("\"{name}\" is a text or a whole number"));
                None
            }
        }
    }

    fn mistake(&mut self, at: usize, what: &str) {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        self.mistakes.push(format!("{}:{line}:{column}: {what}", self.path.display()));
    }
}
