//! Rows of usage, commands and ticks as the JSON lines that are rated: the same lines could stand in a file.

use super::error::Faults;
use super::markdown::{Cell, Table};
use super::value;
use pipeline::Field;
use rating::Timestamp;
use serde_json::{Map, Value};

/// One line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLine {
    /// Line of the scenario file.
    pub line: usize,
    /// One JSON object, without the line break; or whatever a scenario wants to have refused.
    pub json: String,
    /// The moment it speaks of, if it can be read.
    pub moment: Option<Timestamp>,
}

impl InputLine {
    fn of(line: usize, fields: Map<String, Value>, time: &str) -> InputLine {
        let moment = fields.get(time).and_then(Value::as_str).and_then(Timestamp::parse);
        InputLine { line, json: Value::Object(fields).to_string(), moment }
    }
}

/// A column of a table of usage.
enum UsageColumn {
    Plain(&'static str),
    Quantity,
    Network,
    Attribute(String),
}

/// Usage records.
pub(super) fn usage_lines(table: &Table, faults: &mut Faults) -> Vec<InputLine> {
    let columns = columns_of(table, faults, usage_column);
    let rows = table.rows.iter().map(|row| {
        let mut fields = Map::new();
        let mut attributes = Map::new();
        for (cell, column) in row.cells.iter().zip(&columns) {
            if cell.text.is_empty() {
                continue;
            }
            let text = cell.text.as_str();
            match column {
                None => {}
                Some(UsageColumn::Plain(name)) => put(&mut fields, name, text),
                Some(UsageColumn::Quantity) => match value::quantity(text) {
                    Ok((base, unit)) => {
                        fields.insert("quantity".to_owned(), base.into());
                        if let Some(unit) = unit {
                            fields.entry("unit").or_insert_with(|| unit.into());
                        }
                    }
                    Err(message) => faults.add(row.line, cell.column, message),
                },
                Some(UsageColumn::Network) => {
                    let (mcc, mnc) = text.split_once('-').unwrap_or((text, ""));
                    let is_code = |code: &str| code.bytes().all(|byte| byte.is_ascii_digit());
                    if mcc.len() != 3 || !is_code(mcc) || !is_code(mnc) || text.ends_with('-') {
                        let message = format!("\"{text}\" is not a network; write it like 234-15 or 234");
                        faults.add(row.line, cell.column, message);
                    }
                    put(&mut fields, "mcc", mcc);
                    if !mnc.is_empty() {
                        put(&mut fields, "mnc", mnc);
                    }
                }
                Some(UsageColumn::Attribute(name)) => put(&mut attributes, name, text),
            }
        }
        if !attributes.is_empty() {
            fields.insert("attributes".to_owned(), Value::Object(attributes));
        }
        InputLine::of(row.line, fields, "event_time")
    });
    rows.collect()
}

fn put(fields: &mut Map<String, Value>, name: &str, text: &str) {
    fields.insert(name.to_owned(), text.into());
}

fn usage_column(name: &str) -> Option<UsageColumn> {
    match name {
        "quantity" => Some(UsageColumn::Quantity),
        "network" => Some(UsageColumn::Network),
        "endpoint" => Some(UsageColumn::Plain("endpoint_id")),
        "account" => Some(UsageColumn::Plain("account_id")),
        _ => match name.strip_prefix("attributes.") {
            Some(attribute) => Some(UsageColumn::Attribute(attribute.to_owned())),
            None => Field::ALL.iter().find(|field| field.name() == name).map(|field| UsageColumn::Plain(field.name())),
        },
    }
}

/// Account commands.
pub(super) fn command_lines(table: &Table, faults: &mut Faults) -> Vec<InputLine> {
    let columns = columns_of(table, faults, command_column);
    let rows = table.rows.iter().map(|row| {
        let mut fields = Map::new();
        for (cell, column) in row.cells.iter().zip(&columns) {
            if let (Some(name), false) = (column, cell.text.is_empty()) {
                put(&mut fields, name, &cell.text);
            }
        }
        if !fields.contains_key("command_id") {
            faults.add(row.line, row.cells.first().map_or(1, |cell| cell.column), "a command needs an id");
        }
        InputLine::of(row.line, fields, "effective_time")
    });
    rows.collect()
}

fn command_column(name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 10] = [
        ("id", "command_id"),
        ("kind", "kind"),
        ("account", "account_id"),
        ("by", "issued_by"),
        ("at", "effective_time"),
        ("amount", "amount"),
        ("currency", "currency"),
        ("bundle", "bundle_id"),
        ("endpoint", "endpoint_id"),
        ("note", "note"),
    ];
    NAMES.iter().find(|(short, long)| *short == name || *long == name).map(|(_, long)| *long)
}

/// A tick.
pub(super) fn tick_line(line: usize, text: &str) -> Option<InputLine> {
    let moment = Timestamp::parse(text)?;
    let json = Value::Object(Map::from_iter([("tick".to_owned(), text.into())])).to_string();
    Some(InputLine { line, json, moment: Some(moment) })
}

/// Lines as they stand.
pub(super) fn raw_lines(first_line: usize, text: &str) -> Vec<InputLine> {
    let lines = text.lines().zip(first_line..).filter(|(line, _)| !line.trim().is_empty());
    let read = lines.map(|(text, line)| {
        let fields: Option<Map<String, Value>> = serde_json::from_str(text).ok();
        let time = |name| fields.as_ref()?.get(name)?.as_str().and_then(Timestamp::parse);
        let moment = ["event_time", "effective_time", "tick"].into_iter().find_map(time);
        InputLine { line, json: text.to_owned(), moment }
    });
    read.collect()
}

/// Finds the meaning of every column; those without one are reported, and so are those that stand twice.
fn columns_of<C>(table: &Table, faults: &mut Faults, find: impl Fn(&str) -> Option<C>) -> Vec<Option<C>> {
    let column = |(at, cell): (usize, &Cell)| {
        if table.header.iter().take(at).any(|earlier| earlier.text == cell.text) {
            faults.add(table.line, cell.column, format!("the column \"{}\" stands twice", cell.text));
            return None;
        }
        let found = find(&cell.text);
        if found.is_none() {
            faults.add(table.line, cell.column, format!("there is no column \"{}\" here", cell.text));
        }
        found
    };
    table.header.iter().enumerate().map(column).collect()
}
