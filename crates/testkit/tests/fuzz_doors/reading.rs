//! Inputs read by the words of docs/input.md alone: where rows begin, and what each of them can be. Nothing of the product is used.

use apache_avro::types::Value as Datum;
use serde_json::Value;

/// What a row can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Usage of a source and an id.
    Usage(String, String),
    Command(String),
    Tick,
    /// Nothing that can be charged or applied.
    Nothing,
}

/// A row, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) place: u64,
    pub(crate) read: Read,
    /// What it measures, as far as that can be seen.
    pub(crate) quantity: Option<i128>,
    pub(crate) bytes: Vec<u8>,
}

/// All rows of an input, and the place of a last one that is not finished.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    pub(crate) unfinished: Option<u64>,
    /// Whether a row has several lines.
    pub(crate) has_long_rows: bool,
}

/// Lines with the length of what stands before their line breaks; the last one may have no break.
fn lines(mut rest: &[u8]) -> Vec<(&[u8], usize)> {
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            lines.push((rest, rest.len()));
            break;
        };
        let end = if rest[at..].starts_with(b"\r\n") { at + 2 } else { at + 1 };
        lines.push((&rest[..end], at));
        rest = &rest[end..];
    }
    lines
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

pub(crate) fn json_lines(bytes: &[u8], is_complete: bool) -> Rows {
    let mut found = Rows::default();
    for ((line, text), place) in lines(without_mark(bytes)).into_iter().zip(1..) {
        let is_open = line.len() == text;
        if is_blank(line) {
        } else if is_open && !is_complete {
            found.unfinished = Some(place);
        } else {
            found.rows.push(json_row(&line[..text], place));
        }
    }
    found
}

pub(crate) fn json_row(line: &[u8], place: u64) -> Row {
    let object: Option<Value> = serde_json::from_slice(line).ok();
    let text = |name: &str| match object.as_ref()?.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    };
    let read = match text("type").as_deref() {
        Some("tick") => Read::Tick,
        Some("command") => text("command_id").map_or(Read::Nothing, Read::Command),
        Some("usage") => usage(text("source"), text("id")),
        _ if text("tick").is_some() => Read::Tick,
        _ if text("command_id").is_some() => text("command_id").map_or(Read::Nothing, Read::Command),
        _ => usage(text("source"), text("id")),
    };
    Row { place, read, quantity: text("quantity").and_then(|text| whole(&text)), bytes: line.to_vec() }
}

fn usage(source: Option<String>, id: Option<String>) -> Read {
    id.map_or(Read::Nothing, |id| Read::Usage(source.unwrap_or_else(|| "file".to_owned()), id))
}

/// A number of digits only, without what stands for nothing behind its point.
fn whole(text: &str) -> Option<i128> {
    let text = text.split_once('.').map_or(text, |(front, _)| front);
    text.parse().ok()
}

pub(crate) fn csv(bytes: &[u8], is_complete: bool) -> Rows {
    let mut found = Rows::default();
    let lines = lines(without_mark(bytes));
    let Some(((_, end), rest)) = lines.split_first().map(|((line, end), rest)| ((line, *end), rest)) else {
        return found;
    };
    let Cut::Cells(header) = cells(&lines[0].0[..end]) else { return found };
    let header: Vec<String> = header.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
    let mut at = 0;
    while at < rest.len() {
        let (line, text) = rest[at];
        let place = at as u64 + 2;
        if is_blank(line) {
            at += 1;
            continue;
        }
        let (count, row) = row_at(&rest[at..], header.len()).unwrap_or((1, line[..text].to_vec()));
        found.has_long_rows |= count > 1;
        let (last, last_text) = rest[at + count - 1];
        at += count;
        if last.len() == last_text && !is_complete {
            found.unfinished = Some(place);
            continue;
        }
        found.rows.push(csv_row(&row, place, &header));
    }
    found
}

/// Several lines that are one row, if they can be nothing else.
fn row_at(lines: &[(&[u8], usize)], columns: usize) -> Option<(usize, Vec<u8>)> {
    let mut joined = Vec::new();
    let mut like_rows = 0;
    for ((line, text), count) in lines.iter().zip(1..) {
        like_rows += usize::from(line[..*text].iter().filter(|byte| **byte == b',').count() + 1 >= columns);
        let mut row = joined.clone();
        row.extend(&line[..*text]);
        match cells(&row) {
            Cut::Cells(_) if count == 1 => return None,
            Cut::Cells(cells) => {
                let is_torn = |cell: &Vec<u8>| cell.contains(&b',') && cell.iter().any(|byte| b"\r\n".contains(byte));
                let is_row = cells.len() == columns && like_rows <= 1 && !cells.iter().any(is_torn);
                return is_row.then_some((count, row));
            }
            Cut::Broken => return None,
            Cut::Open => joined.extend_from_slice(line),
        }
        // A break and a delimiter within one cell: nothing behind it changes that.
        if count > 200 {
            return None;
        }
    }
    None
}

enum Cut {
    Cells(Vec<Vec<u8>>),
    Open,
    Broken,
}

/// The cells of a row by RFC 4180; a mark within a cell that does not begin with one is a character.
fn cells(row: &[u8]) -> Cut {
    let mut cells = Vec::new();
    let mut rest = row;
    loop {
        let mut cell = Vec::new();
        if let Some(mut quoted) = rest.strip_prefix(b"\"") {
            loop {
                match quoted {
                    [b'"', b'"', after @ ..] => {
                        cell.push(b'"');
                        quoted = after;
                    }
                    [b'"', after @ ..] => {
                        rest = after;
                        break;
                    }
                    [byte, after @ ..] => {
                        cell.push(*byte);
                        quoted = after;
                    }
                    [] => return Cut::Open,
                }
            }
        } else {
            let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
            cell.extend(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(cell);
        match rest {
            [] => return Cut::Cells(cells),
            [b',', after @ ..] => rest = after,
            _ => return Cut::Broken,
        }
    }
}

fn csv_row(row: &[u8], place: u64, header: &[String]) -> Row {
    let nothing = Row { place, read: Read::Nothing, quantity: None, bytes: row.to_vec() };
    let Cut::Cells(cells) = cells(row) else { return nothing };
    let is_whole = cells.len() >= header.len() && cells.iter().skip(header.len()).all(Vec::is_empty);
    if !is_whole || std::str::from_utf8(row).is_err() {
        return nothing;
    }
    let text = |name: &str| {
        let at = header.iter().position(|column| column == name)?;
        let text = String::from_utf8_lossy(&cells[at]).into_owned();
        (!text.is_empty()).then_some(text)
    };
    Row { read: usage(text("source"), text("id")), quantity: text("quantity").and_then(|text| whole(&text)), ..nothing }
}

/// The data of a container up to its first fault.
pub(crate) fn avro(bytes: &[u8]) -> Rows {
    let mut found = Rows::default();
    let Ok(reader) = apache_avro::Reader::new(bytes) else { return found };
    for (datum, place) in reader.map_while(Result::ok).zip(1..) {
        let Datum::Record(fields) = datum else { break };
        let text = |name: &str| {
            let value = fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            let value = if let Some(Datum::Union(_, value)) = value { Some(&**value) } else { value };
            match value {
                Some(Datum::String(text)) if !text.is_empty() => Some(text.clone()),
                Some(Datum::Long(number)) => Some(number.to_string()),
                _ => None,
            }
        };
        let read = usage(text("source"), text("id"));
        let quantity = text("quantity").and_then(|text| whole(&text));
        found.rows.push(Row { place, read, quantity, bytes: format!("{fields:?}").into_bytes() });
    }
    found
}
