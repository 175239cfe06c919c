//! Messages as JSON lines: amounts as text with exact digits, times in RFC 3339, absent values left out.

use super::part::{self, Part};
use super::sink::{Item, Pairs, Sink};
use super::text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rating::{Amount, Timestamp};

/// Writes the fields of one object.
pub(super) struct Json<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

/// Appends one line.
pub(super) fn line(out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
    out.push(b'{');
    write(&mut Json { out, is_first: true });
    out.extend_from_slice(b"}\n");
}

/// Appends one object.
pub(super) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
    out.push(b'{');
    write(&mut Json { out, is_first: true });
    out.push(b'}');
}

/// Appends an object of texts.
pub(super) fn pairs(out: &mut Vec<u8>, pairs: Pairs<'_>) {
    out.push(b'{');
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// Appends a text in quotation marks.
pub(super) fn string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    escaped(out, value);
    out.push(b'"');
}

/// Whether a byte cannot stand in a text as it is.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends a text as it stands between quotation marks.
fn escaped(out: &mut Vec<u8>, value: &str) {
    // Nearly all texts are plain, and this looks at many bytes at once.
    if !value.bytes().fold(false, |found, byte| found | is_special(byte)) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    let mut rest = value.as_bytes();
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(control >> 4)]);
                out.push(DIGITS[usize::from(control & 15)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

impl Json<'_> {
    fn name(&mut self, name: &'static str) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }
}

impl Sink for Json<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        string(self.out, value);
    }

    fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn joined(&mut self, name: &'static str, parts: &[Part<'_>]) {
        self.name(name);
        self.quoted(|out| part::write(parts, out, escaped));
    }

    fn optional_joined(&mut self, name: &'static str, parts: Option<&[Part<'_>]>) {
        if let Some(parts) = parts {
            self.joined(name, parts);
        }
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.name(name);
        text::signed(value, self.out);
    }

    fn optional_integer(&mut self, name: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.integer(name, value);
        }
    }

    fn amount(&mut self, name: &'static str, value: Amount) {
        self.name(name);
        self.quoted(|out| text::amount(value, out));
    }

    fn optional_amount(&mut self, name: &'static str, value: Option<Amount>) {
        if let Some(value) = value {
            self.amount(name, value);
        }
    }

    fn time(&mut self, name: &'static str, value: Timestamp) {
        self.name(name);
        self.quoted(|out| text::time(value, out));
    }

    fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>) {
        if let Some(value) = value {
            self.time(name, value);
        }
    }

    fn pairs(&mut self, name: &'static str, value: Pairs<'_>) {
        if !value.is_empty() {
            self.name(name);
            pairs(self.out, value);
        }
    }

    /// Text where the bytes are UTF-8; else `NAME_base64`, so that no byte is lost.
    fn bytes(&mut self, name: &'static str, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(value) => self.text(name, value),
            Err(_) => {
                self.name(match name {
                    "original" => "original_base64",
                    "original_key" => "original_key_base64",
                    other => other,
                });
                self.quoted(|out| base64(value, out));
            }
        }
    }

    fn optional_bytes(&mut self, name: &'static str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.bytes(name, value);
        }
    }

    fn list<T: Item>(&mut self, name: &'static str, items: &[T]) {
        self.name(name);
        self.out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            object(self.out, |sink| item.write(sink));
        }
        self.out.push(b']');
    }

    fn texts(&mut self, name: &'static str, texts: &[[Part<'_>; 3]]) {
        self.name(name);
        list_of_texts(self.out, texts);
    }
}

/// A list of texts.
pub(super) fn list_of_texts(out: &mut Vec<u8>, texts: &[[Part<'_>; 3]]) {
    out.push(b'[');
    for (at, parts) in texts.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        part::write(parts, out, escaped);
        out.push(b'"');
    }
    out.push(b']');
}

/// Base 64 as in RFC 4648, padded.
pub(crate) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_a_json_reader() {
        for value in ["", "plain", "a\"b\\c", "tab\tline\nfeed\r", "\u{1}\u{1f}", "naïve ✓ 𝄞"] {
            let mut out = Vec::new();
            string(&mut out, value);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }
    }

    #[test]
    fn base64_as_in_the_examples_of_rfc_4648() {
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            base64(bytes.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
