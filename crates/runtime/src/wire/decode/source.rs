//! A reader with a look-ahead that knows what was taken from it: how many bytes, and their hash.
//!
//! The hash runs over consumed bytes alone, never over what was only looked at, so that it identifies what was rated.

use super::rows::{self, Ahead, RowScan};
use super::split::trim_line;
use super::{InputError, MAX_RECORD_BYTES};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::io::Read;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 18;

/// Bytes at the front of an input that tell it from another one before the rest is read.
pub(crate) const HEAD_BYTES: u64 = 1 << 16;

/// Size and hash of the front of an input; more can be added.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    bytes: u64,
    hasher: SipHasher13,
    /// Hash of the first [`HEAD_BYTES`]; `None` while there are fewer.
    head: Option<u128>,
}

impl Prefix {
    /// Nothing yet.
    pub(crate) fn new() -> Prefix {
        Prefix { bytes: 0, hasher: SipHasher13::new(), head: None }
    }

    /// Appends bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let to_head = usize::try_from(HEAD_BYTES.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
        if self.head.is_none() && bytes.len() >= to_head {
            let (head, rest) = bytes.split_at(to_head);
            self.hasher.write(head);
            self.head = Some(self.hash());
            self.hasher.write(rest);
        } else {
            self.hasher.write(bytes);
        }
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their hash.
    pub(crate) fn hash(&self) -> u128 {
        self.hasher.finish128().as_u128()
    }

    /// The hash of the first of them, up to [`HEAD_BYTES`].
    pub(crate) fn head(&self) -> u128 {
        self.head.unwrap_or_else(|| self.hash())
    }
}

/// Where a line or row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// Here, its line break included.
    At(usize),
    /// The input ends before it does.
    Nowhere,
    /// Further away than a record may be long.
    TooFar,
}

/// A reader with a look-ahead.
#[derive(Debug)]
pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    /// How far the buffer is in `taken`.
    hashed: usize,
    taken: Prefix,
    /// The last byte in `taken`.
    last: u8,
    is_at_end: bool,
}

impl<R: Read> Source<R> {
    /// Reads from behind a prefix.
    pub(super) fn new(reader: R, taken: Prefix) -> Source<R> {
        Source { reader, buffer: Vec::new(), start: 0, hashed: 0, taken, last: 0, is_at_end: false }
    }

    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    pub(super) fn ahead(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// How many bytes were consumed.
    pub(super) fn consumed(&self) -> u64 {
        self.taken.bytes() + (self.start - self.hashed) as u64
    }

    /// The last byte that was consumed; 0 before the first.
    pub(super) fn last(&mut self) -> u8 {
        self.taken();
        self.last
    }

    /// What was consumed.
    pub(super) fn taken(&mut self) -> &Prefix {
        let fresh = self.buffer.get(self.hashed..self.start).unwrap_or_default();
        if let Some(last) = fresh.last() {
            self.last = *last;
            self.taken.add(fresh);
        }
        self.hashed = self.start;
        &self.taken
    }

    /// Forgets what was consumed since `taken` was so; the bytes themselves are gone.
    pub(super) fn take_back(&mut self, taken: Prefix, last: u8) {
        self.hashed = self.start;
        (self.taken, self.last) = (taken, last);
    }

    /// Reads more; `false` if there is no more.
    pub(super) fn more(&mut self) -> Result<bool, InputError> {
        if self.is_at_end {
            return Ok(false);
        }
        if self.start > 0 {
            self.taken();
            self.buffer.drain(..self.start);
            (self.start, self.hashed) = (0, 0);
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let count = loop {
            match self.reader.read(self.buffer.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + count.as_ref().copied().unwrap_or(0));
        let count = count.map_err(InputError::Read)?;
        self.is_at_end = count == 0;
        Ok(count > 0)
    }

    /// Makes sure that this many bytes are ahead; `false` if the input ends before.
    pub(super) fn need(&mut self, count: usize) -> Result<bool, InputError> {
        while self.ahead().len() < count {
            if !self.more()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Passes over a byte order mark of UTF-8, and refuses what is no text in UTF-8 from its first bytes on.
    pub(super) fn begin_text(&mut self) -> Result<(), InputError> {
        self.need(4)?;
        match self.ahead() {
            [0xef, 0xbb, 0xbf, ..] => self.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(wide_text()),
            [1..=0x7f, 0, 1..=0x7f, 0, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..] => return Err(wide_text()),
            [0x1f, 0x8b, 8, ..] => {
                return Err(InputError::NotText(
                    "is compressed by gzip; unpack it first: gunzip -c FILE | rater rate -",
                ));
            }
            [..] => {}
        }
        Ok(())
    }

    /// The end of the line ahead: behind a line feed, a carriage return, or both.
    pub(super) fn line_end(&mut self) -> Result<LineEnd, InputError> {
        self.line_end_from(0)
    }

    /// As [`Source::line_end`] if there is no line break before `scanned`.
    fn line_end_from(&mut self, mut scanned: usize) -> Result<LineEnd, InputError> {
        loop {
            let ahead = self.ahead();
            if let Some(found) = memchr::memchr2(b'\n', b'\r', ahead.get(scanned..).unwrap_or_default()) {
                let at = scanned + found;
                if ahead.get(at) == Some(&b'\r') {
                    self.need(at + 2)?;
                    let is_pair = self.ahead().get(at + 1) == Some(&b'\n');
                    return Ok(LineEnd::At(if is_pair { at + 2 } else { at + 1 }));
                }
                return Ok(LineEnd::At(at + 1));
            }
            scanned = ahead.len();
            if scanned > MAX_RECORD_BYTES {
                return Ok(LineEnd::TooFar);
            }
            if !self.more()? {
                return Ok(LineEnd::Nowhere);
            }
        }
    }

    /// The end of the CSV row ahead, by the rule of [`rows`].
    pub(super) fn row_end(&mut self, delimiter: u8, columns: usize) -> Result<LineEnd, InputError> {
        // Most rows have no quotation mark.
        let mut scanned = 0;
        loop {
            let ahead = self.ahead();
            match memchr::memchr3(b'\n', b'\r', b'"', ahead.get(scanned..).unwrap_or_default()) {
                Some(found) if ahead.get(scanned + found) == Some(&b'"') => break,
                Some(found) => return self.line_end_from(scanned + found),
                None => {}
            }
            scanned = ahead.len();
            if scanned > MAX_RECORD_BYTES {
                return Ok(LineEnd::TooFar);
            }
            if !self.more()? {
                return Ok(LineEnd::Nowhere);
            }
        }
        loop {
            let ahead = if self.is_at_end { Ahead::All } else { Ahead::Part };
            match rows::scan(self.ahead(), delimiter, columns, ahead) {
                RowScan::Ends(end) => return Ok(LineEnd::At(end)),
                RowScan::IsOpen => return Ok(LineEnd::Nowhere),
                RowScan::EndsWithLine => return self.line_end(),
                RowScan::NeedsMore if self.ahead().len() > MAX_RECORD_BYTES => return self.line_end(),
                RowScan::NeedsMore => self.more().map(|_| ())?,
            }
        }
    }

    /// Passes over the rest of a line, and returns the length of its line break; `None` if the input ends before.
    pub(super) fn skip_line(&mut self) -> Result<Option<usize>, InputError> {
        loop {
            match self.line_end()? {
                LineEnd::At(end) => {
                    let line = self.ahead().get(..end).unwrap_or_default();
                    let break_bytes = line.len() - trim_line(line).len();
                    self.consume(end);
                    return Ok(Some(break_bytes));
                }
                LineEnd::TooFar => self.consume(self.ahead().len()),
                LineEnd::Nowhere => {
                    self.consume(self.ahead().len());
                    return Ok(None);
                }
            }
        }
    }
}

fn wide_text() -> InputError {
    InputError::NotText("is UTF-16 or UTF-32; make it UTF-8 first: iconv -f UTF-16 -t UTF-8")
}
