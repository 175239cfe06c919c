//! Settings from a file: options of commands by their names, as TOML. They stand behind flags and environment.
//!
//! `kafka-brokers = "a:9092"` and, as a table, `[kafka]` with `brokers = "a:9092"` are the same. One file serves all commands of a
//! deployment: what only another of them knows is checked, and left to it. Every mistake is told, with its place.

use crate::args::{self, Arguments};
use crate::exit::Failure;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use toml_edit::{Document, Item, Table, TableLike, TomlError, Value};

/// Commands whose options may stand in a file.
const COMMANDS: [&[&str]; 4] = [&["run"], &["topics", "plan"], &["suspense", "ls"], &["directory", "migrate"]];

/// The arguments again, with those of the file, for the command with these names.
///
/// # Errors
/// A file that cannot be read, is no TOML, or has settings or values that no command has: all of them, each with its place.
pub(crate) fn merge(path: &Path, names: &[&str], matches: &ArgMatches) -> Result<(Arguments, ArgMatches), Failure> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    arguments.extend(arguments_of(path, &command(names), args::given(names, matches))?);
    let in_words = |error: clap::Error| Failure::Data(format!("{}: {}", path.display(), error.to_string().trim_end()));
    let matches = Arguments::command().try_get_matches_from(arguments).map_err(in_words)?;
    Ok((Arguments::from_arg_matches(&matches).map_err(in_words)?, matches))
}

/// The command of these names, with all its options.
fn command(names: &[&str]) -> Command {
    let mut root = Arguments::command();
    root.build();
    names.iter().fold(root, |command, name| command.find_subcommand(name).cloned().unwrap_or_default())
}

fn arguments_of(path: &Path, command: &Command, matches: &ArgMatches) -> Result<Vec<OsString>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Data(format!("{}: {error}", path.display())))?;
    // The library's own words have the line in them, which may hold a password.
    let broken = |error: TomlError| {
        let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
        let what = error.message().trim_end().replace('\n', ", ");
        Failure::Data(format!("{}:{line}:{column}: {what}", path.display()))
    };
    let document = Document::parse(text.as_str()).map_err(broken)?;
    let mut found = Found {
        command,
        others: COMMANDS.map(self::command),
        matches,
        text: &text,
        path,
        lines: BTreeMap::new(),
        arguments: Vec::new(),
        mistakes: Vec::new(),
    };
    found.table("", document.as_table());
    if !found.mistakes.is_empty() {
        return Err(Failure::Data(found.mistakes.join("\n       ")));
    }
    Ok(found.arguments)
}

struct Found<'f> {
    command: &'f Command,
    others: [Command; COMMANDS.len()],
    matches: &'f ArgMatches,
    text: &'f str,
    path: &'f Path,
    /// Where each setting stood first.
    lines: BTreeMap<String, usize>,
    arguments: Vec<OsString>,
    mistakes: Vec<String>,
}

impl Found<'_> {
    fn table(&mut self, prefix: &str, table: &Table) {
        for (key, item) in table {
            let at = table.key(key).and_then(|key| key.span()).map_or(0, |span| span.start);
            self.item(prefix, key, item, at);
        }
    }

    fn item(&mut self, prefix: &str, key: &str, item: &Item, at: usize) {
        let name = format!("{prefix}{}", key.replace('_', "-"));
        match item {
            // Names of the client library's properties stand as they are.
            Item::Table(properties) if name.ends_with("property") => self.properties(&name, properties, at),
            Item::Value(Value::InlineTable(properties)) if name.ends_with("property") => {
                self.properties(&name, properties, at);
            }
            Item::Table(inner) => self.table(&format!("{name}-"), inner),
            Item::Value(Value::InlineTable(inner)) => {
                for (key, value) in inner.iter() {
                    self.item(&format!("{name}-"), key, &Item::Value(value.clone()), at);
                }
            }
            Item::Value(value) => self.option(&name, value, at),
            Item::None | Item::ArrayOfTables(_) => self.mistake(at, &format!("\"{name}\" is not a setting")),
        }
    }

    fn properties(&mut self, name: &str, properties: &dyn TableLike, at: usize) {
        let mut arguments = Vec::new();
        for (property, value) in properties.get_values() {
            let property: Vec<&str> = property.iter().map(|part| part.get()).collect();
            if let Some(value) = self.text_of(value, at, name) {
                arguments.push(format!("--{name}={}={value}", property.join(".")));
            }
        }
        self.add(name, arguments, at);
    }

    fn option(&mut self, name: &str, value: &Value, at: usize) {
        let Some(option) = self.known(name) else {
            return self.mistake(at, &format!("there is no setting \"{name}\""));
        };
        let arguments = match (option.get_action(), value) {
            (ArgAction::SetTrue, Value::Boolean(flag)) if *flag.value() => vec![format!("--{name}")],
            (ArgAction::SetTrue, Value::Boolean(_)) => Vec::new(),
            (ArgAction::SetTrue, _) => return self.mistake(at, &format!("\"{name}\" is true or false")),
            (_, Value::Array(values)) => {
                let values: Vec<&Value> = values.iter().collect();
                values.into_iter().filter_map(|value| self.argument(name, value, at)).collect()
            }
            (_, value) => self.argument(name, value, at).into_iter().collect(),
        };
        self.add(name, arguments, at);
    }

    fn argument(&mut self, name: &str, value: &Value, at: usize) -> Option<String> {
        self.text_of(value, at, name).map(|text| format!("--{name}={text}"))
    }

    /// The option of this name, of this command or of another one that reads the file.
    fn known(&self, name: &str) -> Option<Arg> {
        let all = std::iter::once(self.command).chain(&self.others);
        let mut all = all.filter_map(|command| own(command, name));
        all.next().filter(|_| name != "config").cloned()
    }

    fn add(&mut self, name: &str, arguments: Vec<String>, at: usize) {
        let Some(option) = self.known(name) else {
            return self.mistake(at, &format!("there is no setting \"{name}\""));
        };
        let line = place(self.text, at).0;
        if let Some(first) = self.lines.get(name) {
            let what = format!("\"{name}\" stands in line {first} already");
            return self.mistake(at, &what);
        }
        self.lines.insert(name.to_owned(), line);
        if let Err(what) = check(&option, &arguments) {
            return self.mistake(at, &what);
        }
        let Some(option) = own(self.command, name) else { return };
        let source = self.matches.value_source(option.get_id().as_str());
        if !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
            self.arguments.extend(arguments.into_iter().map(OsString::from));
        }
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
        let (line, column) = place(self.text, at);
        self.mistakes.push(format!("{}:{line}:{column}: {what}", self.path.display()));
    }
}

/// Line and column, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

/// The option of a command; global ones are no settings of a file.
fn own<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|option| option.get_long() == Some(name) && option.get_env().is_some())
}

/// Lets the option itself look at its values.
fn check(option: &Arg, arguments: &[String]) -> Result<(), String> {
    let alone = option.clone().env(None::<&str>).required(false);
    let command = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(alone);
    let Err(error) = command.try_get_matches_from(arguments) else { return Ok(()) };
    let text = error.to_string();
    let said = text.strip_prefix("error: ").unwrap_or(&text);
    let said: Vec<&str> = said.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    Err(said.join(" "))
}
