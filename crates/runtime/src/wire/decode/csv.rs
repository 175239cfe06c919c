//! CSV with a header: which column gives which field.

use super::{Decoded, undecodable};
use pipeline::{Fault, Field, RawUsage, RawValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;

/// Columns given twice that are named at most.
const MAX_HEADER_FAULTS: usize = 10;

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
    /// The same for every record.
    Constant(String),
    /// A column with a country and network code such as `23415`: the country's 3 digits.
    Mcc(String),
    /// The same: the network's 2 or 3 digits.
    Mnc(String),
    /// A column with a radio access type as 3GPP TS 29.274 clause 8.17 numbers them.
    Rat(String),
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

    /// Packet gateway records (3GPP TS 32.298, PGWRecord) with one row per rating group, columns named as in the standard.
    /// Documented in docs/input.md.
    pub fn pgw() -> CsvMapping {
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
}

#[derive(Clone, Debug)]
enum CellSource {
    Cell(usize),
    Sum(Vec<usize>),
    Joined(Vec<usize>),
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
        let mut faults = twins(&header);
        let find = |name: &str| header.iter().position(|column| column == name);
        let mut need = |name: &str| {
            find(name).unwrap_or_else(|| {
                faults.push(format!("column \"{name}\" is missing"));
                0
            })
        };
        let mut fields = Vec::new();
        let mut unknown = Vec::new();
        for (name, source) in &mapping.fields {
            let Some(field) = Field::parse(name) else {
                unknown.push(format!("\"{name}\" is not a field of usage records"));
                continue;
            };
            let is_required = matches!(field, Field::Id | Field::Quantity | Field::EventTime | Field::Service);
            let source = match source {
                FieldSource::Column(column) if !is_required => match find(column) {
                    Some(at) => CellSource::Cell(at),
                    None => continue,
                },
                FieldSource::Column(column) | FieldSource::Needed(column) => CellSource::Cell(need(column)),
                FieldSource::Sum(columns) => CellSource::Sum(columns.iter().map(|column| need(column)).collect()),
                FieldSource::Joined(columns) => CellSource::Joined(columns.iter().map(|column| need(column)).collect()),
                FieldSource::Constant(value) => CellSource::Constant(value.clone()),
                FieldSource::Mcc(column) => CellSource::Mcc(need(column)),
                FieldSource::Mnc(column) => CellSource::Mnc(need(column)),
                FieldSource::Rat(column) => CellSource::Rat(need(column)),
            };
            fields.push((field, source));
        }
        faults.extend(unknown);
        faults.extend(mapping.delimiter_byte().err());
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let prefix = mapping.attribute_prefix.as_deref();
        let attribute =
            |(at, name): (usize, &String)| Some((at, name.strip_prefix(prefix?).filter(|n| !n.is_empty())?.to_owned()));
        let attributes = header.iter().enumerate().filter_map(attribute).collect();
        Ok(Columns { mapping, header, fields, attributes })
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
        if cells.len() != self.header.len() {
            return Err(undecodable(format!("{} cells instead of {}", cells.len(), self.header.len())));
        }
        let mut usage = RawUsage::default();
        for (field, source) in &self.fields {
            let value = match source {
                CellSource::Cell(at) => text(cells.get(*at).cloned()),
                CellSource::Constant(value) => text(Some(value.clone().into())),
                CellSource::Sum(ats) => sum(ats.iter().filter_map(|at| cells.get(*at))),
                CellSource::Joined(ats) => {
                    let parts: Vec<&str> = ats.iter().filter_map(|at| cells.get(*at)).map(|cell| &**cell).collect();
                    if parts.iter().all(|part| part.is_empty()) {
                        RawValue::Absent
                    } else {
                        text(Some(parts.join("-").into()))
                    }
                }
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

/// What to say about columns that stand twice.
fn twins(header: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let twins = header.iter().filter(|name| !seen.insert(name.as_str()));
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
        let Some(sum) = cell.parse::<i64>().ok().filter(|part| *part >= 0).and_then(|part| total.checked_add(part))
        else {
            // Shown in the fault that intake makes of it.
            return RawValue::Other(Cow::Owned(cell.clone().into_owned()));
        };
        total = sum;
    }
    RawValue::Integer(total)
}

/// Names of radio access types; a value that is not one of these numbers stays as it is.
fn rat(cell: Cow<'_, str>) -> Cow<'_, str> {
    match &*cell {
        "1" => "utran".into(),
        "2" => "geran".into(),
        "3" => "wlan".into(),
        "4" => "gan".into(),
        "5" => "hspa_evolution".into(),
        "6" => "eutran".into(),
        "7" => "virtual".into(),
        "8" => "eutran_nb_iot".into(),
        "9" => "lte_m".into(),
        "10" => "nr".into(),
        _ => cell,
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
