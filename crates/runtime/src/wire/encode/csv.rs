//! Messages as CSV rows (RFC 4180, line feeds): one column per field of the schema, in its order. Texts are no formulas of a [`spreadsheet`].

use super::json;
use super::part::{self, Part};
use super::sink::{Item, Pairs, Sink};
use super::text;
use crate::wire::schema::{Contracts, Message};
use directory::spreadsheet;
use rating::{Amount, Timestamp};

/// Writes the fields of one row.
pub(super) struct Row<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
    scratch: Vec<u8>,
}

/// Appends one row.
pub(super) fn row(out: &mut Vec<u8>, write: impl FnOnce(&mut Row<'_>)) {
    write(&mut Row { out, is_first: true, scratch: Vec::new() });
    out.push(b'\n');
}

/// Returns the header: names of the fields. Bytes that are not UTF-8 have a column of their own.
pub(super) fn header(message: Message, contracts: Contracts) -> Vec<u8> {
    let mut names = message.field_names(contracts);
    if let Some(at) = names.iter().position(|name| name == "original") {
        names.insert(at + 1, "original_base64".to_owned());
    }
    let mut header = names.join(",").into_bytes();
    header.push(b'\n');
    header
}

impl Row<'_> {
    fn separate(&mut self) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
    }

    /// Writes a text that may be from outside, marked if a spreadsheet would take it for a formula.
    fn text_cell(&mut self, value: &[u8]) {
        self.separate();
        self.content(if spreadsheet::is_formula(value) { b"'" } else { b"" }, value);
    }

    /// Writes a value of our own that is never a formula.
    fn cell(&mut self, value: &[u8]) {
        self.separate();
        self.content(b"", value);
    }

    fn content(&mut self, mark: &[u8], value: &[u8]) {
        // Nearly all cells are plain, and this looks at many bytes at once.
        let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
        if value.iter().fold(false, |found, byte| found | is_special(byte)) {
            self.out.push(b'"');
            self.out.extend_from_slice(mark);
            for byte in value {
                if *byte == b'"' {
                    self.out.push(b'"');
                }
                self.out.push(*byte);
            }
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(mark);
            self.out.extend_from_slice(value);
        }
    }

    /// Makes a cell in the scratch buffer, because it may have to be quoted.
    fn made(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        make(&mut scratch);
        self.cell(&scratch);
        self.scratch = scratch;
    }
}

impl Sink for Row<'_> {
    fn text(&mut self, _name: &'static str, value: &str) {
        self.text_cell(value.as_bytes());
    }

    fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.separate(),
        }
    }

    fn joined(&mut self, _name: &'static str, parts: &[Part<'_>]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        part::write(parts, &mut scratch, |out, text| out.extend_from_slice(text.as_bytes()));
        self.text_cell(&scratch);
        self.scratch = scratch;
    }

    fn optional_joined(&mut self, name: &'static str, parts: Option<&[Part<'_>]>) {
        match parts {
            Some(parts) => self.joined(name, parts),
            None => self.separate(),
        }
    }

    fn integer(&mut self, _name: &'static str, value: i64) {
        self.separate();
        text::signed(value, self.out);
    }

    fn optional_integer(&mut self, name: &'static str, value: Option<i64>) {
        match value {
            Some(value) => self.integer(name, value),
            None => self.separate(),
        }
    }

    fn amount(&mut self, _name: &'static str, value: Amount) {
        self.separate();
        text::amount(value, self.out);
    }

    fn optional_amount(&mut self, name: &'static str, value: Option<Amount>) {
        match value {
            Some(value) => self.amount(name, value),
            None => self.separate(),
        }
    }

    fn time(&mut self, _name: &'static str, value: Timestamp) {
        self.separate();
        text::time(value, self.out);
    }

    fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>) {
        match value {
            Some(value) => self.time(name, value),
            None => self.separate(),
        }
    }

    fn pairs(&mut self, _name: &'static str, value: Pairs<'_>) {
        self.made(|out| {
            if !value.is_empty() {
                json::pairs(out, value);
            }
        });
    }

    fn bytes(&mut self, _name: &'static str, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(_) => {
                self.text_cell(value);
                self.separate();
            }
            Err(_) => {
                self.separate();
                // A sign may begin it, but no function can be called with these letters, and whoever decodes it needs all of them.
                self.made(|out| json::base64(value, out));
            }
        }
    }

    fn optional_bytes(&mut self, _name: &'static str, value: Option<&[u8]>) {
        // A file has no keys, and messages of topics are not rows.
        match value {
            Some(value) => self.made(|out| json::base64(value, out)),
            None => self.separate(),
        }
    }

    fn list<T: Item>(&mut self, _name: &'static str, items: &[T]) {
        self.made(|out| {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json::object(out, |sink| item.write(sink));
            }
            out.push(b']');
        });
    }

    fn texts(&mut self, _name: &'static str, texts: &[[Part<'_>; 3]]) {
        self.made(|out| json::list_of_texts(out, texts));
    }
}
