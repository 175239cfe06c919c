//! Reads output files back: their messages as JSON values with the fields of the schema, whatever form the files have.

use super::decode::InputError;
use super::encode::OutputFormat;
use super::schema::{Contracts, Message};
use super::value::of_avro;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::spreadsheet::unguarded;
use memchr::memmem::Finder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Visits the messages of the first `bytes` of an output file that hold one of the texts, in order; and those in `pending`, which belong to a
/// block that is not written yet. More messages than these may be visited.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub(crate) fn visit_kept(
    (path, message, format, contracts): (&Path, Message, OutputFormat, Contracts),
    bytes: u64,
    pending: &[u8],
    texts: &[&str],
    visit: &mut dyn FnMut(Value),
) -> Result<(), InputError> {
    let file = match File::open(path) {
        Ok(file) => file.take(bytes),
        Err(error) if bytes == 0 && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(InputError::Read(error)),
    };
    match format {
        OutputFormat::JsonLines => json_lines(file, texts, visit),
        OutputFormat::Csv => rows(file, message, visit),
        OutputFormat::Avro => container(file, message.schema_of(contracts), pending, visit),
    }
}

fn json_lines(file: impl Read, texts: &[&str], visit: &mut dyn FnMut(Value)) -> Result<(), InputError> {
    let as_written = texts.iter().map(|text| Value::from(*text).to_string());
    let needles: Vec<String> =
        as_written.filter_map(|quoted| Some(quoted.get(1..quoted.len() - 1)?.to_owned())).collect();
    let finders: Vec<Finder<'_>> = needles.iter().map(|needle| Finder::new(needle.as_bytes())).collect();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(InputError::Read)? > 0 {
        if finders.iter().any(|finder| finder.find(&line).is_some())
            && let Ok(message) = serde_json::from_slice(&line)
        {
            visit(message);
        }
        line.clear();
    }
    Ok(())
}

fn rows(file: impl Read, message: Message, visit: &mut dyn FnMut(Value)) -> Result<(), InputError> {
    let schema = Schema::parse_str(message.schema()).map_err(|error| InputError::Header(error.to_string()))?;
    let mut bytes = BufReader::with_capacity(1 << 18, file).bytes();
    let Some(header) = next_row(&mut bytes)? else { return Ok(()) };
    while let Some(row) = next_row(&mut bytes)? {
        let cells = header.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        visit(Value::Object(cells.map(|(name, cell)| (name.clone(), typed(&schema, name, cell))).collect()));
    }
    Ok(())
}

/// The cells of the next row (RFC 4180); `None` at the end.
fn next_row(bytes: &mut impl Iterator<Item = std::io::Result<u8>>) -> Result<Option<Vec<String>>, InputError> {
    let (mut cells, mut cell) = (Vec::new(), Vec::new());
    let (mut is_quoted, mut was_quoted) = (false, false);
    let mut close = |cell: &mut Vec<u8>| cells.push(String::from_utf8_lossy(&std::mem::take(cell)).into_owned());
    let mut is_at_end = true;
    for byte in bytes {
        is_at_end = false;
        let byte = byte.map_err(InputError::Read)?;
        match byte {
            b'"' if is_quoted => is_quoted = false,
            b'"' => {
                // Behind a quotation mark that seemed to close, it stands for itself.
                if was_quoted {
                    cell.push(b'"');
                }
                (is_quoted, was_quoted) = (true, false);
                continue;
            }
            b',' if !is_quoted => close(&mut cell),
            b'\n' if !is_quoted => break,
            other => cell.push(other),
        }
        was_quoted = byte == b'"';
    }
    if is_at_end {
        return Ok(None);
    }
    close(&mut cell);
    Ok(Some(cells))
}

/// A cell by the type of its field: numbers, lists and maps are what they are in JSON.
fn typed(schema: &Schema, name: &str, cell: &str) -> Value {
    let cell = unguarded(cell);
    let Schema::Record(record) = schema else { return cell.into() };
    let field = record.fields.iter().find(|field| field.name == name).map(|field| &field.schema);
    let kind = match field {
        Some(Schema::Union(union)) => union.variants().iter().find(|variant| **variant != Schema::Null),
        other => other,
    };
    match kind {
        Some(Schema::Int | Schema::Long | Schema::Boolean | Schema::Array(_) | Schema::Map(_)) => {
            serde_json::from_str(cell).unwrap_or_else(|_| cell.into())
        }
        _ => cell.into(),
    }
}

fn container(file: impl Read, schema: &str, pending: &[u8], visit: &mut dyn FnMut(Value)) -> Result<(), InputError> {
    let corrupt = |error: apache_avro::Error| InputError::Header(error.to_string());
    let mut file = BufReader::new(file);
    if file.fill_buf().map_err(InputError::Read)?.is_empty() {
        return Ok(());
    }
    let reader = apache_avro::Reader::builder(file).build().map_err(corrupt)?;
    for datum in reader {
        visit(of_avro(datum.map_err(corrupt)?, field));
    }
    let schema = Schema::parse_str(schema).map_err(corrupt)?;
    let reader = GenericDatumReader::builder(&schema).build().map_err(corrupt)?;
    let mut rest = pending;
    while !rest.is_empty() {
        visit(of_avro(reader.read_value(&mut rest).map_err(corrupt)?, field));
    }
    Ok(())
}

/// Makes a field of a message: an absent value is left out, and bytes that are no text have the name that JSON lines give them.
fn field(name: String, value: Avro) -> Option<(String, Value)> {
    match value {
        Avro::Null => None,
        Avro::Union(_, value) => field(name, *value),
        Avro::Bytes(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => (name, text.into()),
            Err(error) => (format!("{name}_base64"), STANDARD.encode(error.as_bytes()).into()),
        }),
        other => Some((name, of_avro(other, field))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_as_they_were_written() {
        let mut bytes = "a,\"b,\"\"c\"\"\nd\",\n,\"\",\"\"\"\"\n\u{e4}".as_bytes().bytes();
        let mut next = || next_row(&mut bytes).expect("bytes in memory");
        assert_eq!(next(), Some(vec!["a".to_owned(), "b,\"c\"\nd".to_owned(), String::new()]));
        assert_eq!(next(), Some(vec![String::new(), String::new(), "\"".to_owned()]));
        assert_eq!(next(), Some(vec!["\u{e4}".to_owned()]));
        assert_eq!(next(), None);
    }
}
