//! Cutting as it was before rows of several lines were doubted and carriage returns ended lines.
//!
//! A folder that was written by then says how many records of an interrupted input were rated, and nothing else of where that was.

use super::source::Source;
use super::split::trim_line;
use super::{InputError, MAX_RECORD_BYTES};
use std::io::Read;

/// Passes over a record of lines, or with a delimiter of rows; `false` at the end of the input.
pub(super) fn skip_record<R: Read>(
    source: &mut Source<R>,
    delimiter: Option<u8>,
    place: &mut u64,
) -> Result<bool, InputError> {
    loop {
        let row_end = match delimiter {
            Some(delimiter) => row_end(source, delimiter)?,
            None => None,
        };
        let end = match row_end {
            Some(end) => Some(end),
            None => line_end(source)?,
        };
        if end.is_none() && source.ahead().is_empty() {
            return Ok(false);
        }
        let end = end.unwrap_or(source.ahead().len());
        let line = source.ahead().get(..end).unwrap_or_default();
        let is_cut = !line.ends_with(b"\n");
        let is_blank = line.trim_ascii().is_empty();
        *place += memchr::memchr_iter(b'\n', trim_line(line)).count() as u64 + 1;
        source.consume(end);
        if is_cut {
            skip_line(source)?;
        }
        if !is_blank {
            return Ok(true);
        }
    }
}

/// Passes over the rest of a line that was cut.
fn skip_line<R: Read>(source: &mut Source<R>) -> Result<(), InputError> {
    loop {
        if let Some(at) = memchr::memchr(b'\n', source.ahead()) {
            source.consume(at + 1);
            return Ok(());
        }
        source.consume(source.ahead().len());
        if !source.more()? {
            return Ok(());
        }
    }
}

fn line_end<R: Read>(source: &mut Source<R>) -> Result<Option<usize>, InputError> {
    let mut scanned = 0;
    loop {
        let ahead = source.ahead();
        if let Some(found) = memchr::memchr(b'\n', ahead.get(scanned..).unwrap_or_default()) {
            return Ok(Some(scanned + found + 1));
        }
        scanned = ahead.len();
        if scanned > MAX_RECORD_BYTES || !source.more()? {
            return Ok(None);
        }
    }
}

/// The end of a row of RFC 4180; `None` if there is none, or a quotation mark is astray.
fn row_end<R: Read>(source: &mut Source<R>, delimiter: u8) -> Result<Option<usize>, InputError> {
    let mut scanned = 0;
    let mut is_quoted = false;
    loop {
        while let Some(found) = memchr::memchr2(b'\n', b'"', source.ahead().get(scanned..).unwrap_or_default()) {
            let at = scanned + found;
            scanned = at + 1;
            let is_mark = source.ahead().get(at) == Some(&b'"');
            match (is_mark, is_quoted) {
                (false, true) => {}
                (false, false) => return Ok(Some(at + 1)),
                (true, false) => {
                    let before = at.checked_sub(1).and_then(|before| source.ahead().get(before));
                    is_quoted = before.is_none_or(|before| *before == delimiter);
                }
                (true, true) => {
                    source.need(at + 3)?;
                    match source.ahead().get(at + 1..).unwrap_or_default() {
                        [b'"', ..] => scanned = at + 2,
                        [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..] => is_quoted = false,
                        [next, ..] if *next == delimiter => is_quoted = false,
                        [..] => return Ok(None),
                    }
                }
            }
        }
        scanned = source.ahead().len();
        if scanned > MAX_RECORD_BYTES || !source.more()? {
            return Ok(None);
        }
    }
}
