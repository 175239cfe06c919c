//! Endpoints from CSV.
//!
//! Splits the text itself, by RFC 4180, because errors need the place of every cell. A name may be guarded against spreadsheets.

use std::borrow::Cow;

use super::endpoint::group_of;
use super::fields::{Reader, Thing, bad_name, enumerate};
use super::{Outcome, define};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, closest};
use crate::model::{Catalog, Endpoint, Group, Identities, IdentityKind, Item, Plan, Reference, Spanned};
use crate::source::{FileId, Sources, Span};
use crate::spreadsheet::unguarded;
use crate::value::{self, Digits, ValueError, parse_identity, parse_time};
use rating::Mode;

const COLUMNS: [&str; 8] = ["endpoint", "customer", "imsi", "iccid", "msisdn", "group", "active", "plan_tariff"];
const REQUIRED: [&str; 2] = ["endpoint", "customer"];

/// Adds the endpoints of a CSV file to the catalogue.
pub(crate) fn read_csv(
    sources: &Sources,
    file: FileId,
    endpoints: &mut Catalog<Endpoint>,
    errors: &mut Diagnostics,
) -> Outcome {
    let mut reader = Reader::new(errors);
    let whole = sources.file(file).text();
    let at = if whole.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut rows = Rows { text: whole, file, at };
    let start = Span { file, start: at as u32, end: at as u32 };
    let thing = Thing { kind: "endpoints", name: "" };
    let header = match rows.next() {
        Some(Ok(header)) => header,
        Some(Err(diagnostic)) => return unreadable(&mut reader, diagnostic),
        None => {
            let message = format!("{thing}: the file is empty");
            let diagnostic = Diagnostic::new(Code::CsvHeader, start, message);
            return unreadable(&mut reader, diagnostic.help(format!("begin with `{}`", COLUMNS.join(","))));
        }
    };
    let Some(columns) = read_header(&mut reader, thing, start, &header) else { return Outcome::Unreadable };
    let lines = memchr::memchr_iter(b'\n', whole.as_bytes()).count();
    endpoints.reserve(lines);
    for row in rows {
        match row {
            Ok(cells) if cells.len() == columns.len() => read_row(&mut reader, &columns, &cells, endpoints),
            Ok(cells) => {
                let span = cells.first().map_or(start, |first| first.span.to(cells.last().unwrap_or(first).span));
                let message = format!("{thing}: a row has {} cells, but the header has {}", cells.len(), columns.len());
                reader.report(Diagnostic::new(Code::CsvRow, span, message));
            }
            // Behind a quote that is not closed nothing can be trusted.
            Err(diagnostic) => return unreadable(&mut reader, diagnostic),
        }
    }
    Outcome::Read
}

fn unreadable(reader: &mut Reader<'_>, diagnostic: Diagnostic) -> Outcome {
    reader.report(diagnostic);
    Outcome::Unreadable
}

/// Which column each cell of a row is, or `None` if the header does not say.
fn read_header(reader: &mut Reader<'_>, thing: Thing<'_>, start: Span, header: &[Cell<'_>]) -> Option<Vec<usize>> {
    let before = reader.flaws;
    let mut columns: Vec<usize> = Vec::new();
    for cell in header {
        let name = cell.text.trim();
        match COLUMNS.iter().position(|column| *column == name) {
            Some(column) if columns.contains(&column) => {
                reader.report(Diagnostic::new(
                    Code::CsvHeader,
                    cell.span,
                    format!("{thing}: the column \"{name}\" is given twice"),
                ));
            }
            Some(column) => columns.push(column),
            None => {
                let diagnostic =
                    Diagnostic::new(Code::CsvHeader, cell.span, format!("{thing}: the column \"{name}\" is unknown"));
                reader.report(match closest(name, COLUMNS) {
                    Some(near) => diagnostic.did_you_mean(Some(near)),
                    None => diagnostic.help(format!("columns are {}", enumerate(&COLUMNS))),
                });
            }
        }
    }
    // A misspelt column is not also a missing one.
    if reader.flaws == before {
        for name in REQUIRED {
            if !columns.iter().any(|column| COLUMNS[*column] == name) {
                let span = header.first().map_or(start, |first| first.span.to(header.last().unwrap_or(first).span));
                reader.report(Diagnostic::new(
                    Code::CsvHeader,
                    span,
                    format!("{thing}: the column \"{name}\" is missing"),
                ));
            }
        }
    }
    (reader.flaws == before).then_some(columns)
}

fn read_row(reader: &mut Reader<'_>, columns: &[usize], cells: &[Cell<'_>], endpoints: &mut Catalog<Endpoint>) {
    let mut by_column: [Option<&Cell<'_>>; COLUMNS.len()] = [None; COLUMNS.len()];
    for (column, cell) in columns.iter().zip(cells) {
        by_column[*column] = Some(cell).filter(|cell| !cell.text.is_empty());
    }
    let [endpoint, customer, imsi, iccid, msisdn, group, active, plan] = by_column;
    let first = cells[0].span;
    let before = reader.flaws;
    let Some(name_cell) = endpoint else {
        let message = "endpoints: a row does not name its endpoint";
        return reader.report(Diagnostic::new(Code::CsvCell, first, message).label("`endpoint` is empty in this row"));
    };
    let thing = Thing { kind: "endpoint", name: &name_cell.text };
    if !value::is_name(&name_cell.text) {
        reader.value_error(thing, "endpoint", name_cell.span, bad_name(&name_cell.text));
    }
    if customer.is_none() {
        let diagnostic = Diagnostic::new(Code::CsvCell, first, format!("{thing}: the customer is missing"));
        reader.report(diagnostic.label("`customer` is empty in this row"));
    }
    let customer = customer.and_then(|cell| name(reader, thing, "customer", cell));
    let identity = |kind: IdentityKind, cell: Option<&Cell<'_>>, reader: &mut Reader<'_>| {
        let one = cell.and_then(|cell| parsed(reader, thing, kind.as_str(), cell, |text| parse_identity(kind, text)));
        one.map_or(Identities::None, Identities::One)
    };
    let identities = [
        imsi.map_or(Identities::None, |cell| imsis(reader, thing, cell)),
        identity(IdentityKind::Iccid, iccid, reader),
        identity(IdentityKind::Msisdn, msisdn, reader),
    ];
    let group = group
        .and_then(|cell| name(reader, thing, "group", cell))
        .map_or(Group::Default, |group| group_of(&group.value));
    let active = active.and_then(|cell| parsed(reader, thing, "active", cell, parse_time)).map(|active| active.value);
    let plan = plan.and_then(|cell| name(reader, thing, "plan_tariff", cell)).map(|tariff| {
        Box::new(Plan { span: tariff.span, tariff: Some(tariff), mode: Mode::Postpaid, bundles: Vec::new() })
    });
    let value = customer.map(|customer| Endpoint { customer, identities, group, active, plan, changes: Vec::new() });
    let sound = reader.flaws == before;
    define(reader, endpoints, thing, Item { name: Box::from(&*name_cell.text), span: name_cell.span, value, sound });
}

/// One IMSI, or several with semicolons between them.
fn imsis(reader: &mut Reader<'_>, thing: Thing<'_>, cell: &Cell<'_>) -> Identities {
    let kind = IdentityKind::Imsi;
    let each = |text: &str| text.split(';').map(|one| parse_identity(kind, one.trim())).collect::<Result<Vec<_>, _>>();
    let Some(Spanned { value, span }) = parsed(reader, thing, kind.as_str(), cell, each) else {
        return Identities::None;
    };
    let mut all: Vec<Spanned<Digits>> = Vec::with_capacity(value.len());
    for value in value {
        if all.iter().any(|earlier| earlier.value == value) {
            let message = format!("{thing}: {}: {value} is listed twice", kind.as_str());
            reader.report(Diagnostic::new(Code::ListedTwice, span, message));
            continue;
        }
        all.push(Spanned { value, span });
    }
    all.into()
}

fn name(reader: &mut Reader<'_>, thing: Thing<'_>, column: &str, cell: &Cell<'_>) -> Option<Reference> {
    parsed(
        reader,
        thing,
        column,
        cell,
        |text| if value::is_name(text) { Ok(Box::from(text)) } else { Err(bad_name(text)) },
    )
}

fn parsed<T>(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    column: &str,
    cell: &Cell<'_>,
    parse: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Option<Spanned<T>> {
    match parse(&cell.text) {
        Ok(value) => Some(Spanned { value, span: cell.span }),
        Err(error) => {
            reader.value_error(thing, column, cell.span, error);
            None
        }
    }
}

struct Cell<'s> {
    text: Cow<'s, str>,
    span: Span,
}

/// Rows of cells; blank lines are no rows.
struct Rows<'s> {
    text: &'s str,
    file: FileId,
    at: usize,
}

impl<'s> Iterator for Rows<'s> {
    type Item = Result<Vec<Cell<'s>>, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b'\n' | b'\r')) {
            self.at += 1;
        }
        if self.at >= bytes.len() {
            return None;
        }
        let mut cells = Vec::with_capacity(COLUMNS.len());
        loop {
            match self.cell() {
                Ok(cell) => cells.push(cell),
                Err(diagnostic) => return Some(Err(diagnostic)),
            }
            match bytes.get(self.at) {
                Some(b',') => self.at += 1,
                // At the end of a line or of the text: the only other places where a cell ends.
                Some(_) | None => return Some(Ok(cells)),
            }
        }
    }
}

impl<'s> Rows<'s> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn cell(&mut self) -> Result<Cell<'s>, Diagnostic> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes.get(start) == Some(&b'"') {
            return self.quoted_cell();
        }
        let rest = &bytes[start..];
        let length = memchr::memchr3(b',', b'\n', b'\r', rest).unwrap_or(rest.len());
        self.at = start + length;
        let text = &self.text[start..self.at];
        if let Some(quote) = text.find('"') {
            let span = self.span(start + quote, start + quote + 1);
            return Err(Diagnostic::new(
                Code::CsvRow,
                span,
                "endpoints: a quote stands inside a cell that is not quoted",
            )
            .help("quote the whole cell and double the quotes inside it"));
        }
        Ok(Cell { text: Cow::Borrowed(unguarded(text)), span: self.span(start, self.at) })
    }

    fn quoted_cell(&mut self) -> Result<Cell<'s>, Diagnostic> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        loop {
            match memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
                None => {
                    let span = self.span(start, start + 1);
                    return Err(Diagnostic::new(Code::CsvRow, span, "endpoints: a quoted cell is not closed")
                        .label("opened here"));
                }
                Some(offset) if bytes.get(at + offset + 1) == Some(&b'"') => at += offset + 2,
                Some(offset) => {
                    at += offset + 1;
                    break;
                }
            }
        }
        self.at = at;
        if !matches!(bytes.get(at), None | Some(b',' | b'\n' | b'\r')) {
            let span = self.span(at - 1, at);
            return Err(Diagnostic::new(
                Code::CsvRow,
                span,
                "endpoints: something follows the closing quote of a cell",
            ));
        }
        let inner = &self.text[start + 1..at - 1];
        let text = match inner.contains('"') {
            true => Cow::Owned(unguarded(&inner.replace("\"\"", "\"")).to_owned()),
            false => Cow::Borrowed(unguarded(inner)),
        };
        Ok(Cell { text, span: self.span(start, at) })
    }
}
