//! CSV with a header: which column gives which field.

use super::hints::{hint, likeness};
use super::{Decoded, undecodable};
use pipeline::text::{Exponents, whole};
use pipeline::{Fault, Field, RawUsage, RawValue};
use rating::radio_access;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Columns given twice that are named at most.
const MAX_HEADER_FAULTS: usize = 10;

/// Columns that are looked at for what they may be.
const MAX_ALIKE: usize = 1000;

/// Where fields come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvMapping {
    /// Between cells.
    pub delimiter: char,
    /// Sources of fields, by the names of `schemas/usage-record.avsc`; a later one for the same field replaces an earlier one.
    pub fields: Vec<(String, FieldSource)>,
    /// Columns with this prefix become attributes.
    pub attribute_prefix: Option<String>,
}

/// The source of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldSource {
    /// A column, if the file has it.
    Column(String),
    /// A column that the file must have.
    Needed(String),
    /// Columns added up; all are needed. An empty cell counts 0, all empty are absent.
    Sum(Vec<String>),
    /// Columns joined by `-`; all are needed.
    Joined(Vec<String>),
    /// Columns joined by `-`, all needed, and behind them those of others that have a value: at least one is there, and has one.
    JoinedWith {
        /// All needed.
        needed: Vec<String>,
        /// Any of these.
        one_of: Vec<String>,
    },
    /// The same for every record.
    Constant(String),
    /// A column with a country and network code such as `23415`: the country's 3 digits.
    Mcc(String),
    /// The same: the network's 2 or 3 digits.
    Mnc(String),
    /// A column with a radio access type as 3GPP TS 29.274 clause 8.17 numbers them.
    Rat(String),
}

impl FieldSource {
    /// The columns that it reads.
    fn columns(&self) -> Vec<&str> {
        match self {
            FieldSource::Column(column)
            | FieldSource::Needed(column)
            | FieldSource::Mcc(column)
            | FieldSource::Mnc(column)
            | FieldSource::Rat(column) => vec![column],
            FieldSource::Sum(columns) | FieldSource::Joined(columns) => columns.iter().map(String::as_str).collect(),
            FieldSource::JoinedWith { needed, one_of } => needed.iter().chain(one_of).map(String::as_str).collect(),
            FieldSource::Constant(_) => Vec::new(),
        }
    }
}

impl CsvMapping {
    /// Columns named like the fields, and `attributes.NAME`.
    pub fn plain() -> CsvMapping {
        let column = |field: &Field| (field.name().to_owned(), FieldSource::Column(field.name().to_owned()));
        CsvMapping {
            delimiter: ',',
            fields: Field::ALL.iter().map(column).collect(),
            attribute_prefix: Some("attributes.".to_owned()),
        }
    }

    /// Packet gateway records (3GPP TS 32.298, PGWRecord) with one row per container, columns named as in the standard. Containers of
    /// one rating group are told apart by their sequence number or the time of first usage. Documented in docs/input.md.
    pub fn pgw() -> CsvMapping {
        let mut mapping = CsvMapping::pgw_summed();
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let id = FieldSource::JoinedWith {
            needed: columns(&["chargingID", "recordSequenceNumber", "ratingGroup"]),
            one_of: columns(&["localSequenceNumber", "timeOfFirstUsage"]),
        };
        mapping.fields.retain(|(field, _)| field != "id");
        mapping.fields.insert(0, ("id".to_owned(), id));
        mapping
    }

    /// As [`CsvMapping::pgw`], with one row per rating group: its containers have been added up.
    pub fn pgw_summed() -> CsvMapping {
        let column = |name: &str| FieldSource::Column(name.to_owned());
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let fields = [
            ("id", FieldSource::Joined(columns(&["chargingID", "recordSequenceNumber", "ratingGroup"]))),
            ("source", column("nodeID")),
            ("service", FieldSource::Constant("data".to_owned())),
            ("quantity", FieldSource::Sum(columns(&["datavolumeFBCUplink", "datavolumeFBCDownlink"]))),
            ("quantity_up", column("datavolumeFBCUplink")),
            ("quantity_down", column("datavolumeFBCDownlink")),
            ("event_time", column("recordOpeningTime")),
            ("imsi", column("servedIMSI")),
            ("msisdn", column("servedMSISDN")),
            ("imei", column("servedIMEISV")),
            ("mcc", FieldSource::Mcc("servingNodePLMNIdentifier".to_owned())),
            ("mnc", FieldSource::Mnc("servingNodePLMNIdentifier".to_owned())),
            ("apn", column("accessPointNameNI")),
            ("rat", FieldSource::Rat("rATType".to_owned())),
            ("session_id", column("chargingID")),
            ("sequence", column("recordSequenceNumber")),
            ("closing_cause", column("causeForRecClosing")),
            ("rating_group", column("ratingGroup")),
        ];
        CsvMapping {
            delimiter: ',',
            fields: fields.into_iter().map(|(field, source)| (field.to_owned(), source)).collect(),
            attribute_prefix: None,
        }
    }

    /// The delimiter as it stands in a file.
    ///
    /// # Errors
    /// Why it cannot be one, in words.
    pub(super) fn delimiter_byte(&self) -> Result<u8, String> {
        match u8::try_from(self.delimiter) {
            Ok(b'"' | b'\n' | b'\r') => Err("the delimiter is a quotation mark or a line break".to_owned()),
            Ok(byte) if byte.is_ascii() => Ok(byte),
            Ok(_) | Err(_) => Err("the delimiter is not an ASCII character".to_owned()),
        }
    }

    /// Takes a field from a column instead. The file must have it: whoever names a column counts on it.
    pub fn set_column(&mut self, field: &str, column: &str) {
        self.fields.retain(|(known, _)| known != field);
        self.fields.push((field.to_owned(), FieldSource::Needed(column.to_owned())));
    }
}

/// A mapping applied to a header.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    mapping: CsvMapping,
    header: Vec<String>,
    fields: Vec<(Field, CellSource)>,
    attributes: Vec<(usize, String)>,
    /// What to say where a field is missing.
    hint: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum CellSource {
    Cell(usize),
    Sum(Vec<usize>),
    Joined(Vec<usize>),
    JoinedWith(Vec<usize>, Vec<usize>),
    Constant(String),
    Mcc(usize),
    Mnc(usize),
    Rat(usize),
}

impl Columns {
    /// Finds the columns.
    ///
    /// # Errors
    /// What is missing or given twice, in words.
    pub(super) fn new(mapping: CsvMapping, header: Vec<String>) -> Result<Columns, String> {
        let mut faults = Vec::new();
        let find = |name: &str| header.iter().position(|column| column == name);
        let named = header.iter().take(MAX_ALIKE).map(String::as_str);
        let alike: Vec<(&str, Field)> = named.filter_map(|column| Some((column, likeness(column)?))).collect();
        let mut read: HashSet<&str> = HashSet::new();
        let mut need = |field: Field, name: &str| {
            find(name).unwrap_or_else(|| {
                let alike = alike.iter().find(|(_, known)| *known == field).map(|(column, _)| column);
                let advice = alike.map_or(String::new(), |column| {
                    format!("; \"{}\" looks like it (--map {}={column})", column.escape_debug(), field.name())
                });
                faults.push(format!("column \"{name}\" is missing{advice}"));
                0
            })
        };
        let mut fields = Vec::new();
        let mut others = Vec::new();
        for (name, source) in &mapping.fields {
            let Some(field) = Field::parse(name) else {
                others.push(format!("\"{name}\" is not a field of usage records"));
                continue;
            };
            read.extend(source.columns());
            let is_required = matches!(field, Field::Id | Field::Quantity | Field::EventTime | Field::Service);
            let mut each = |columns: &[String]| columns.iter().map(|column| need(field, column)).collect();
            let source = match source {
                FieldSource::Column(column) if !is_required => match find(column) {
                    Some(at) => CellSource::Cell(at),
                    None => continue,
                },
                FieldSource::Column(column) | FieldSource::Needed(column) => CellSource::Cell(need(field, column)),
                FieldSource::Sum(columns) => CellSource::Sum(each(columns)),
                FieldSource::Joined(columns) => CellSource::Joined(each(columns)),
                FieldSource::JoinedWith { needed, one_of } => {
                    let found: Vec<usize> = one_of.iter().filter_map(|column| find(column)).collect();
                    if found.is_empty() {
                        others.push(format!(
                            "none of the columns {} is there, so that containers of one rating group cannot be told apart; \
                             where they are added up, one row for each rating group, say so with --preset 3gpp-pgw-summed",
                            one_of.join(", ")
                        ));
                    }
                    CellSource::JoinedWith(each(needed), found)
                }
                FieldSource::Constant(value) => CellSource::Constant(value.clone()),
                FieldSource::Mcc(column) => CellSource::Mcc(need(field, column)),
                FieldSource::Mnc(column) => CellSource::Mnc(need(field, column)),
                FieldSource::Rat(column) => CellSource::Rat(need(field, column)),
            };
            fields.push((field, source));
        }
        faults.extend(others);
        faults.extend(mapping.delimiter_byte().err());
        let prefix = mapping.attribute_prefix.as_deref();
        let attribute_of = |name: &str| Some(name.strip_prefix(prefix?).filter(|n| !n.is_empty())?.to_owned());
        let is_read = |name: &str| read.contains(name) || attribute_of(name).is_some();
        let mut twins = twins(&header, is_read);
        twins.append(&mut faults);
        if !twins.is_empty() {
            return Err(twins.join("; "));
        }
        let attributes = header.iter().enumerate().filter_map(|(at, name)| Some((at, attribute_of(name)?))).collect();
        let unread = header.iter().take(MAX_ALIKE).map(String::as_str).filter(|name| !is_read(name));
        let hint = hint("column", unread, |field| !fields.iter().any(|(known, _)| *known == field));
        Ok(Columns { mapping, header, fields, attributes, hint })
    }

    pub(super) fn mapping(&self) -> &CsvMapping {
        &self.mapping
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn decode<'a>(&self, row: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        let row = std::str::from_utf8(row)
            .map_err(|error| undecodable(format!("byte {}: is not UTF-8", error.valid_up_to() + 1)))?;
        let cells = cells(row, self.mapping.delimiter)?;
        // Spreadsheets write empty cells behind the last column. A row with fewer cells may have been cut within a number.
        let is_padded = cells.get(self.header.len()..).is_some_and(|more| more.iter().all(|cell| cell.is_empty()));
        if !is_padded {
            return Err(undecodable(format!("{} cells instead of {}", cells.len(), self.header.len())));
        }
        let mut usage = RawUsage::default();
        usage.hint.clone_from(&self.hint);
        for (field, source) in &self.fields {
            let value = match source {
                CellSource::Cell(at) => text(cells.get(*at).cloned()),
                CellSource::Constant(value) => text(Some(value.clone().into())),
                CellSource::Sum(ats) => sum(ats.iter().filter_map(|at| cells.get(*at))),
                CellSource::Joined(ats) => joined(ats, &cells),
                CellSource::JoinedWith(ats, one_of) => match joined(ats, &cells) {
                    RawValue::Text(front) => {
                        let given = one_of.iter().filter_map(|at| cells.get(*at)).filter(|cell| !cell.is_empty());
                        let id = given.clone().fold(front.into_owned(), |id, cell| id + "-" + cell);
                        match given.count() {
                            0 => RawValue::Other("nothing tells it from its neighbours".into()),
                            _ => RawValue::Text(id.into()),
                        }
                    }
                    other => other,
                },
                CellSource::Mcc(at) => text(cells.get(*at).map(|cell| cell.chars().take(3).collect::<String>().into())),
                CellSource::Mnc(at) => text(cells.get(*at).map(|cell| cell.chars().skip(3).collect::<String>().into())),
                CellSource::Rat(at) => text(cells.get(*at).map(|cell| rat(cell.clone()))),
            };
            usage.set(*field, value);
        }
        for (at, name) in &self.attributes {
            if let Some(value) = cells.get(*at).filter(|value| !value.is_empty()) {
                usage.attributes.push((name.clone().into(), value.clone()));
            }
        }
        Ok(Decoded::Usage(usage))
    }
}

fn joined<'a>(ats: &[usize], cells: &[Cow<'_, str>]) -> RawValue<'a> {
    let parts: Vec<&str> = ats.iter().filter_map(|at| cells.get(*at)).map(|cell| &**cell).collect();
    if parts.iter().all(|part| part.is_empty()) { RawValue::Absent } else { RawValue::Text(parts.join("-").into()) }
}

/// Returns what to say about columns that are read and stand twice. What nothing reads may stand as often as it likes.
fn twins(header: &[String], is_read: impl Fn(&str) -> bool) -> Vec<String> {
    let mut seen = HashSet::new();
    let twins = header.iter().filter(|name| !seen.insert(name.as_str()) && is_read(name));
    twins.take(MAX_HEADER_FAULTS).map(|name| format!("column \"{name}\" is given twice")).collect()
}

fn text(value: Option<Cow<'_, str>>) -> RawValue<'_> {
    value.filter(|value| !value.is_empty()).map_or(RawValue::Absent, RawValue::Text)
}

fn sum<'a, 'c>(cells: impl Iterator<Item = &'c Cow<'a, str>>) -> RawValue<'a>
where
    'a: 'c,
{
    let mut cells = cells.filter(|cell| !cell.is_empty()).peekable();
    if cells.peek().is_none() {
        return RawValue::Absent;
    }
    let mut total = 0_i64;
    for cell in cells {
        total = match whole(cell, Exponents::Doubted) {
            Ok(part @ 0..) => match total.checked_add(part) {
                Some(sum) => sum,
                None => return RawValue::Other("a sum of more than 64 bits".into()),
            },
            // Refused by intake as any other quantity.
            Ok(_) | Err(_) => return RawValue::Text(Cow::Owned(cell.clone().into_owned())),
        };
    }
    RawValue::Integer(total)
}

/// The name of a radio access type; a value that is not one of its numbers stays as it is.
fn rat(cell: Cow<'_, str>) -> Cow<'_, str> {
    match radio_access(&cell) {
        name if name == cell => cell,
        name => Cow::Owned(name.to_owned()),
    }
}

/// The cells of a row (RFC 4180): quoted ones with their quotation marks undone.
pub(super) fn cells(row: &str, delimiter: char) -> Result<Vec<Cow<'_, str>>, Fault> {
    if !row.contains('"') {
        return Ok(row.split(delimiter).map(Cow::Borrowed).collect());
    }
    let mut cells = Vec::new();
    let mut rest = row;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                let (cell, after) = rest.split_at(end);
                (Cow::Borrowed(cell), after)
            }
        };
        cells.push(cell);
        match after.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(cells),
            None => return Err(undecodable(format!("cell {}: text after the closing quotation mark", cells.len()))),
        }
    }
}

/// The contents of a quoted cell whose opening mark is gone, and what follows its closing mark.
fn unquote(quoted: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let mut contents = String::new();
    let mut rest = quoted;
    loop {
        let Some(mark) = rest.find('"') else { return Err(undecodable("a quotation mark is not closed")) };
        let (part, after) = rest.split_at(mark);
        contents.push_str(part);
        let after = after.get(1..).unwrap_or_default();
        match after.strip_prefix('"') {
            Some(next) => {
                contents.push('"');
                rest = next;
            }
            None => return Ok((Cow::Owned(contents), after)),
        }
    }
}
