//! Cutting an input into raw records with bounded memory.

use super::avro::{self, Plan, items_of};
use super::csv::{Columns, cells};
use super::{Decoder, Form, InputError, InputFormat, MAX_RECORD_BYTES};
use std::io::Read;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 18;
/// Bytes of records after which a batch is full.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Largest block of a container.
const MAX_BLOCK_BYTES: usize = 256 << 20;
/// Largest header of a container: a schema and little else.
const MAX_HEADER_BYTES: usize = 4 << 20;

/// Raw records of one batch, in one buffer.
#[derive(Debug, Default)]
pub struct RawBatch {
    bytes: Vec<u8>,
    /// End of each record, and its place in the input.
    records: Vec<(usize, u64)>,
}

impl RawBatch {
    /// Appends a record that stands at a place: a line, or the number of a record, from 1.
    pub fn push(&mut self, record: &[u8], place: u64) {
        self.bytes.extend_from_slice(record);
        self.records.push((self.bytes.len(), place));
    }

    /// A record's bytes; empty beyond the end.
    pub fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.records.get(before)).map_or(0, |(end, _)| *end);
        let end = self.records.get(at).map_or(start, |(end, _)| *end);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// A copy of some records.
    pub(crate) fn part(&self, positions: std::ops::Range<usize>) -> RawBatch {
        let mut part = RawBatch::default();
        positions.for_each(|at| part.push(self.get(at), self.place(at)));
        part
    }

    /// A record's place in the input.
    pub fn place(&self, at: usize) -> u64 {
        self.records.get(at).map_or(0, |(_, place)| *place)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all records.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for other records.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

/// Cuts an input into raw records.
#[derive(Debug)]
pub struct Splitter<R> {
    source: Source<R>,
    form: SplitForm,
    /// Lines or records so far.
    place: u64,
}

#[derive(Debug)]
enum SplitForm {
    Lines,
    /// Lines, but line breaks between quotation marks belong to a cell. With the delimiter of cells.
    Rows(u8),
    Container(Container),
}

#[derive(Debug)]
struct Container {
    plan: Plan,
    codec: Codec,
    sync: [u8; 16],
    block: Vec<u8>,
    /// Where the block begins in the input.
    block_at: u64,
    /// Start of the next record in the block, and how many are left.
    next: usize,
    left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Codec {
    Null,
    Deflate,
}

impl<R: Read> Splitter<R> {
    /// Opens an input and reads its header, where the form has one.
    ///
    /// # Errors
    /// The input cannot be read, or the header is not what the form says.
    pub fn open(reader: R, format: InputFormat) -> Result<(Splitter<R>, Decoder), InputError> {
        let mut source = Source::new(reader);
        source.skip_byte_order_mark()?;
        let (form, decoder, place) = match format {
            InputFormat::JsonLines => (SplitForm::Lines, Form::Json, 0),
            InputFormat::Csv(mapping) => {
                let delimiter = mapping.delimiter_byte().map_err(InputError::Header)?;
                let end = source.row_or_line_end(delimiter)?.unwrap_or(source.ahead().len());
                let row = source.ahead().get(..end).unwrap_or_default();
                if row.len() > MAX_RECORD_BYTES {
                    return Err(InputError::Header(format!("is longer than {MAX_RECORD_BYTES} bytes")));
                }
                let header =
                    std::str::from_utf8(trim_line(row)).map_err(|error| InputError::Header(error.to_string()))?;
                let names = cells(header, mapping.delimiter).map_err(|fault| InputError::Header(fault.detail))?;
                let names = names.into_iter().map(|name| name.trim().to_owned()).collect();
                let lines = line_count(row);
                source.consume(end);
                let columns = Columns::new(mapping, names).map_err(InputError::Header)?;
                (SplitForm::Rows(delimiter), Form::Csv(columns), lines)
            }
            InputFormat::Avro => {
                let container = Container::open(&mut source)?;
                let plan = container.plan.clone();
                (SplitForm::Container(container), Form::Avro(plan), 0)
            }
        };
        Ok((Splitter { source, form, place }, Decoder(decoder)))
    }

    /// Appends up to `max_records` records; `false` at the end of the input. Blank lines are passed over.
    ///
    /// # Errors
    /// The input cannot be read further. What was appended before is whole.
    pub fn fill(&mut self, batch: &mut RawBatch, max_records: usize) -> Result<bool, InputError> {
        while batch.len() < max_records && batch.byte_count() < MAX_BATCH_BYTES {
            let has_more = match &mut self.form {
                SplitForm::Lines => self.source.push_line(None, &mut self.place, batch)?,
                SplitForm::Rows(delimiter) => self.source.push_line(Some(*delimiter), &mut self.place, batch)?,
                SplitForm::Container(container) => container.push_record(&mut self.source, &mut self.place, batch)?,
            };
            if !has_more {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A reader with a look-ahead.
#[derive(Debug)]
struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes consumed before `start`.
    consumed: u64,
    is_at_end: bool,
}

impl<R: Read> Source<R> {
    fn new(reader: R) -> Source<R> {
        Source { reader, buffer: Vec::new(), start: 0, consumed: 0, is_at_end: false }
    }

    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.consumed += count as u64;
    }

    /// Reads more; `false` if there is no more.
    fn more(&mut self) -> Result<bool, InputError> {
        if self.is_at_end {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let count = loop {
            match self.reader.read(self.buffer.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(InputError::Read)?,
            }
        };
        self.buffer.truncate(filled + count);
        self.is_at_end = count == 0;
        Ok(count > 0)
    }

    /// Makes sure that this many bytes are ahead; `false` if the input ends before.
    fn need(&mut self, count: usize) -> Result<bool, InputError> {
        while self.ahead().len() < count {
            if !self.more()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), InputError> {
        if self.need(3)? && self.ahead().starts_with(b"\xef\xbb\xbf") {
            self.consume(3);
        }
        Ok(())
    }

    /// The end of the line ahead, its line break included; `None` if the input ends without one, or the line is too long.
    fn line_end(&mut self) -> Result<Option<usize>, InputError> {
        let mut scanned = 0;
        loop {
            let ahead = self.ahead();
            if let Some(found) = memchr::memchr(b'\n', ahead.get(scanned..).unwrap_or_default()) {
                return Ok(Some(scanned + found + 1));
            }
            scanned = ahead.len();
            if scanned > MAX_RECORD_BYTES || !self.more()? {
                return Ok(None);
            }
        }
    }

    /// The end of the row ahead (RFC 4180), its line break included. `None` if the input ends without one, the row is too long, or
    /// a quotation mark is astray: then the line is broken, and the lines behind it are rows of their own.
    fn row_end(&mut self, delimiter: u8) -> Result<Option<usize>, InputError> {
        let mut scanned = 0;
        let mut is_quoted = false;
        loop {
            while let Some(found) = memchr::memchr2(b'\n', b'"', self.ahead().get(scanned..).unwrap_or_default()) {
                let at = scanned + found;
                scanned = at + 1;
                let is_mark = self.ahead().get(at) == Some(&b'"');
                match (is_mark, is_quoted) {
                    (false, true) => {}
                    (false, false) => return Ok(Some(at + 1)),
                    // A mark opens at the start of a cell; within one it is a character.
                    (true, false) => {
                        let before = at.checked_sub(1).and_then(|before| self.ahead().get(before));
                        is_quoted = before.is_none_or(|before| *before == delimiter);
                    }
                    (true, true) => {
                        self.need(at + 3)?;
                        match self.ahead().get(at + 1..).unwrap_or_default() {
                            [b'"', ..] => scanned = at + 2,
                            [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..] => is_quoted = false,
                            [next, ..] if *next == delimiter => is_quoted = false,
                            [..] => return Ok(None),
                        }
                    }
                }
            }
            scanned = self.ahead().len();
            if scanned > MAX_RECORD_BYTES || !self.more()? {
                return Ok(None);
            }
        }
    }

    /// As [`Source::row_end`], but the end of the line where the row has none: a quotation mark that is never closed must not
    /// swallow the lines behind it.
    fn row_or_line_end(&mut self, delimiter: u8) -> Result<Option<usize>, InputError> {
        match self.row_end(delimiter)? {
            Some(end) => Ok(Some(end)),
            None => self.line_end(),
        }
    }

    /// Appends a line, or with a delimiter a row; `false` at the end of the input.
    fn push_line(&mut self, delimiter: Option<u8>, place: &mut u64, batch: &mut RawBatch) -> Result<bool, InputError> {
        loop {
            let end = match delimiter {
                Some(delimiter) => self.row_or_line_end(delimiter)?,
                None => self.line_end()?,
            };
            if end.is_none() && self.ahead().is_empty() {
                return Ok(false);
            }
            let end = end.unwrap_or(self.ahead().len());
            let line = self.ahead().get(..end).unwrap_or_default();
            let is_cut = !line.ends_with(b"\n");
            let record = trim_line(line);
            let number = *place + 1;
            *place += line_count(line);
            let is_blank = record.trim_ascii().is_empty();
            if !is_blank {
                batch.push(record.get(..MAX_RECORD_BYTES).unwrap_or(record), number);
            }
            self.consume(end);
            if is_cut {
                self.skip_to_line_end()?;
            }
            if !is_blank {
                return Ok(true);
            }
        }
    }

    /// Passes over the rest of a line that was too long.
    fn skip_to_line_end(&mut self) -> Result<(), InputError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.ahead()) {
                self.consume(at + 1);
                return Ok(());
            }
            let count = self.ahead().len();
            self.consume(count);
            if !self.more()? {
                return Ok(());
            }
        }
    }
}

fn trim_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Lines that a record takes: more than one where cells hold line breaks.
fn line_count(record: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', trim_line(record)).count() as u64 + 1
}

impl Container {
    fn open<R: Read>(source: &mut Source<R>) -> Result<Container, InputError> {
        let broken =
            |source: &Source<R>, what: &str| InputError::Container { at: source.consumed, what: what.to_owned() };
        // The header is small; it is looked for in ever larger pieces of the input.
        let mut wanted = 4096;
        loop {
            let is_all = !source.need(wanted)?;
            if !source.ahead().starts_with(b"Obj\x01") {
                return Err(broken(source, "is not an Avro container"));
            }
            let mut rest = source.ahead().get(4..).unwrap_or_default();
            let before = source.ahead().len();
            if let Some((schema, codec, sync)) = header(&mut rest) {
                let length = before - rest.len();
                let plan = Plan::new(&schema).map_err(|what| InputError::Container { at: source.consumed, what })?;
                let codec = match codec.as_str() {
                    "null" => Codec::Null,
                    "deflate" => Codec::Deflate,
                    other => {
                        let what = format!("codec \"{other}\" is not supported; null and deflate are");
                        return Err(InputError::Container { at: source.consumed, what });
                    }
                };
                source.consume(length);
                return Ok(Container { plan, codec, sync, block: Vec::new(), block_at: 0, next: 0, left: 0 });
            }
            if is_all || wanted >= MAX_HEADER_BYTES {
                return Err(broken(source, "the header of the container is broken"));
            }
            wanted *= 4;
        }
    }

    fn push_record<R: Read>(
        &mut self,
        source: &mut Source<R>,
        place: &mut u64,
        batch: &mut RawBatch,
    ) -> Result<bool, InputError> {
        while self.left == 0 {
            if !self.read_block(source)? {
                return Ok(false);
            }
        }
        let rest = self.block.get(self.next..).unwrap_or_default();
        let length = self.plan.record_length(rest).filter(|length| *length > 0);
        *place += 1;
        self.left -= 1;
        match length {
            Some(length) => {
                batch.push(rest.get(..length.min(MAX_RECORD_BYTES)).unwrap_or_default(), *place);
                self.next += length;
                if self.left == 0 && self.next != self.block.len() {
                    return Err(self.broken("bytes follow the last record of a block"));
                }
                Ok(true)
            }
            None => Err(self.broken(&format!("record {place} is not what the schema says"))),
        }
    }

    fn broken(&self, what: &str) -> InputError {
        InputError::Container { at: self.block_at, what: format!("{what} (in the block that begins here)") }
    }

    /// Reads the next block; `false` at the end of the input.
    fn read_block<R: Read>(&mut self, source: &mut Source<R>) -> Result<bool, InputError> {
        if !source.need(1)? {
            return Ok(false);
        }
        let at = source.consumed;
        let broken = |what: &str| InputError::Container { at, what: what.to_owned() };
        source.need(20)?;
        let mut rest = source.ahead();
        let before = rest.len();
        let numbers = avro::long(&mut rest).zip(avro::long(&mut rest));
        let head = before - rest.len();
        let (count, size) = numbers.ok_or_else(|| broken("a block is cut off"))?;
        let count = u64::try_from(count).map_err(|_| broken("a block has a negative count"))?;
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BLOCK_BYTES);
        let size = size.ok_or_else(|| broken("a block is negative or larger than 256 MiB"))?;
        if !source.need(head + size + self.sync.len())? {
            return Err(broken("a block is cut off"));
        }
        let (data, after) = source.ahead().get(head..).unwrap_or_default().split_at(size);
        if !after.starts_with(&self.sync) {
            return Err(broken("a block does not end with the marker of the file"));
        }
        self.block.clear();
        match self.codec {
            Codec::Null => self.block.extend_from_slice(data),
            Codec::Deflate => {
                self.block = miniz_oxide::inflate::decompress_to_vec_with_limit(data, MAX_BLOCK_BYTES)
                    .map_err(|error| broken(&format!("a block cannot be decompressed: {error}")))?;
            }
        }
        (self.block_at, self.next, self.left) = (at, 0, count);
        if count == 0 && !self.block.is_empty() {
            return Err(broken("a block without records is not empty"));
        }
        source.consume(head + size + self.sync.len());
        Ok(true)
    }
}

/// Schema, codec and marker of a container whose magic bytes are gone.
fn header(rest: &mut &[u8]) -> Option<(String, String, [u8; 16])> {
    let (mut schema, mut codec) = (None, "null".to_owned());
    items_of(rest, |rest| {
        let name = avro::bytes(rest)?;
        let value = avro::bytes(rest)?;
        match name {
            b"avro.schema" => schema = Some(std::str::from_utf8(value).ok()?.to_owned()),
            b"avro.codec" => codec = std::str::from_utf8(value).ok()?.to_owned(),
            _ => {}
        }
        Some(())
    })?;
    let (sync, after) = rest.split_first_chunk::<16>()?;
    *rest = after;
    Some((schema?, codec, *sync))
}
