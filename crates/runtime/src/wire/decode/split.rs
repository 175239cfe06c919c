//! Cutting an input into raw records with bounded memory.

use super::container::{Container, Found};
use super::csv::{Columns, cells};
use super::source::{LineEnd, Prefix, Source};
use super::{Decoder, Form, InputError, InputFormat, MAX_RECORD_BYTES};
use std::io::Read;

/// Bytes of records after which a batch is full.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Raw records of one batch, in one buffer.
#[derive(Debug, Default)]
pub struct RawBatch {
    bytes: Vec<u8>,
    /// End of each record, and its place in the input.
    records: Vec<(usize, u64)>,
    /// Records of which only the front is here: their positions, ascending, and how many bytes they have.
    cut: Vec<(usize, u64)>,
}

impl RawBatch {
    /// Appends a record that stands at a place: a line, or the number of a record, from 1. Of one that is too long, the front is kept.
    pub fn push(&mut self, record: &[u8], place: u64) {
        self.push_front(record, record.len() as u64, place);
    }

    /// Appends a record of so many bytes, of which these are the front at least.
    fn push_front(&mut self, front: &[u8], length: u64, place: u64) {
        let kept = front.get(..MAX_RECORD_BYTES).unwrap_or(front);
        if length > kept.len() as u64 {
            self.cut.push((self.records.len(), length));
        }
        self.bytes.extend_from_slice(kept);
        self.records.push((self.bytes.len(), place));
    }

    /// How many bytes a record has of which only the front is here.
    pub(crate) fn length_if_cut(&self, at: usize) -> Option<u64> {
        let found = self.cut.binary_search_by_key(&at, |(position, _)| *position).ok()?;
        self.cut.get(found).map(|(_, length)| *length)
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
        for at in positions {
            let record = self.get(at);
            part.push_front(record, self.length_if_cut(at).unwrap_or(record.len() as u64), self.place(at));
        }
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
        self.cut.clear();
    }
}

/// What the end of an input means for a last line without a line break, or a block that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is not finished: nothing of it is taken.
    MayGrow,
    /// It is a record like any other.
    IsComplete,
}

/// A last line, row or block that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its line, or the number of the record that it begins with.
    pub place: u64,
    /// How many bytes of it there are; 0 if the input is empty but for what has no records.
    pub bytes: u64,
}

/// Where an input can be taken up again without reading what lies before, in a form of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Bytes before it.
    pub at: u64,
    /// Lines before it.
    pub place: u64,
    /// The byte before it is a carriage return: a line feed behind it belongs to the same line break.
    pub is_behind_return: bool,
    /// What was taken behind it was a last line without a line break.
    pub is_line_cut: bool,
}

/// How much of an input was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenBytes {
    /// Bytes from its start on.
    pub bytes: u64,
    /// Their hash.
    pub hash: u128,
    /// The hash of the first of them.
    pub head: u128,
    /// Where to go on; a container is cut from its start again.
    pub restart: Option<Restart>,
}

/// Cuts an input into raw records.
#[derive(Debug)]
pub struct Splitter<R> {
    source: Source<R>,
    form: SplitForm,
    ending: Ending,
    /// Lines or records so far.
    place: u64,
    /// Where a last line without a line break begins that was taken, and the lines before it.
    cut: Option<(u64, u64)>,
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
enum SplitForm {
    Lines,
    /// Lines, but line breaks between quotation marks may belong to a cell.
    Rows {
        delimiter: u8,
        columns: usize,
    },
    Container(Box<Container>),
}

impl<R: Read> Splitter<R> {
    /// Opens an input that is complete and reads its header, where the form has one.
    ///
    /// # Errors
    /// The input cannot be read, or the header is not what the form says.
    pub fn open(reader: R, format: InputFormat) -> Result<(Splitter<R>, Decoder), InputError> {
        Splitter::open_as(reader, format, Ending::IsComplete)
    }

    /// As [`Splitter::open`] for an input that may grow. A header that is not finished is [`InputError::Unfinished`].
    ///
    /// # Errors
    /// As [`Splitter::open`].
    pub fn open_as(reader: R, format: InputFormat, ending: Ending) -> Result<(Splitter<R>, Decoder), InputError> {
        let mut source = Source::new(reader, Prefix::new());
        let (form, decoder, place) = match format {
            InputFormat::JsonLines => {
                source.begin_text()?;
                (SplitForm::Lines, Form::Json, 0)
            }
            InputFormat::Csv(mapping) => {
                source.begin_text()?;
                let delimiter = mapping.delimiter_byte().map_err(InputError::Header)?;
                let end = match source.line_end()? {
                    LineEnd::At(end) => end,
                    LineEnd::Nowhere if ending == Ending::MayGrow => {
                        let bytes = source.ahead().len() as u64;
                        return Err(InputError::Unfinished(Unfinished { place: 1, bytes }));
                    }
                    LineEnd::Nowhere | LineEnd::TooFar => source.ahead().len(),
                };
                let line = source.ahead().get(..end).unwrap_or_default();
                if line.len() > MAX_RECORD_BYTES {
                    return Err(InputError::Header(format!("is longer than {MAX_RECORD_BYTES} bytes")));
                }
                let header =
                    std::str::from_utf8(trim_line(line)).map_err(|error| InputError::Header(error.to_string()))?;
                let names = cells(header, mapping.delimiter).map_err(|fault| InputError::Header(fault.detail))?;
                let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
                let columns = names.len();
                source.consume(end);
                (
                    SplitForm::Rows { delimiter, columns },
                    Form::Csv(Columns::new(mapping, names).map_err(InputError::Header)?),
                    1,
                )
            }
            InputFormat::Avro => {
                let container = Container::open(&mut source, ending)?;
                let plan = container.plan.clone();
                (SplitForm::Container(container.into()), Form::Avro(plan), 0)
            }
        };
        Ok((Splitter { source, form, ending, place, cut: None, unfinished: None }, Decoder(decoder)))
    }

    /// Goes on with an input of lines: `reader` stands at `restart`, and `before` is what lies before that. `taken` is how many bytes were taken.
    /// `None` for a decoder of another form.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(crate) fn resume(
        reader: R,
        decoder: &Decoder,
        ending: Ending,
        before: Prefix,
        restart: Restart,
        taken: u64,
    ) -> Result<Option<Splitter<R>>, InputError> {
        let form = match &decoder.0 {
            Form::Json => SplitForm::Lines,
            Form::Csv(columns) => SplitForm::Rows {
                delimiter: columns.mapping().delimiter_byte().map_err(InputError::Header)?,
                columns: columns.header().len(),
            },
            Form::Avro(_) => return Ok(None),
        };
        let source = Source::new(reader, before);
        let mut splitter = Splitter { source, form, ending, place: restart.place, cut: None, unfinished: None };
        if restart.is_behind_return && splitter.source.need(1)? && splitter.source.ahead().starts_with(b"\n") {
            splitter.source.consume(1);
        }
        if restart.is_line_cut {
            splitter.pass_cut_line(usize::try_from(taken.saturating_sub(restart.at)).unwrap_or(usize::MAX))?;
        }
        Ok(Some(splitter))
    }

    /// Passes over a last line that was taken, unless it goes on: then it is another line, and taken again.
    fn pass_cut_line(&mut self, length: usize) -> Result<(), InputError> {
        let goes_on = self.source.need(length.saturating_add(1))?;
        let line = self.source.ahead().get(..length).unwrap_or(self.source.ahead());
        let lines = line_count(line);
        match self.source.ahead().get(length) {
            None => {
                self.cut = Some((self.source.consumed(), self.place));
                self.source.consume(length.min(self.source.ahead().len()));
                self.place += lines;
            }
            Some(b'\n' | b'\r') => {
                self.source.consume(length);
                self.place += lines;
                self.source.skip_line()?;
            }
            Some(_) => debug_assert!(goes_on),
        }
        Ok(())
    }

    /// Passes over records; `false` if the input ends before that.
    ///
    /// # Errors
    /// The input cannot be read further.
    pub(crate) fn skip(&mut self, records: u64) -> Result<bool, InputError> {
        let mut batch = RawBatch::default();
        for _ in 0..records {
            batch.clear();
            let is_there = match &mut self.form {
                SplitForm::Lines => super::before::skip_record(&mut self.source, None, &mut self.place)?,
                SplitForm::Rows { delimiter, .. } => {
                    super::before::skip_record(&mut self.source, Some(*delimiter), &mut self.place)?
                }
                SplitForm::Container(container) => {
                    let found = container.push_record(&mut self.source, self.ending, &mut self.place, &mut batch)?;
                    matches!(found, Found::Record)
                }
            };
            if !is_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends up to `max_records` records; `false` at the end of the input. Blank lines are passed over.
    ///
    /// # Errors
    /// The input cannot be read further. What was appended before is whole.
    pub fn fill(&mut self, batch: &mut RawBatch, max_records: usize) -> Result<bool, InputError> {
        while batch.len() < max_records && batch.byte_count() < MAX_BATCH_BYTES {
            let has_more = match &mut self.form {
                SplitForm::Lines | SplitForm::Rows { .. } => self.push_line(batch)?,
                SplitForm::Container(container) => {
                    match container.push_record(&mut self.source, self.ending, &mut self.place, batch)? {
                        Found::Record => true,
                        Found::End => false,
                        Found::Cut(unfinished) => {
                            self.unfinished = Some(unfinished);
                            false
                        }
                    }
                }
            };
            if !has_more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How much was taken: all that was appended, and what has no records between.
    pub fn taken(&mut self) -> TakenBytes {
        let last = self.source.last();
        let prefix = self.source.taken();
        let (bytes, hash, head) = (prefix.bytes(), prefix.hash(), prefix.head());
        let restart = match &self.form {
            SplitForm::Container(_) => None,
            SplitForm::Lines | SplitForm::Rows { .. } => Some(match self.cut {
                Some((at, place)) => Restart { at, place, is_behind_return: false, is_line_cut: true },
                None => Restart { at: bytes, place: self.place, is_behind_return: last == b'\r', is_line_cut: false },
            }),
        };
        TakenBytes { bytes, hash, head, restart }
    }

    /// The last line, row or block, if it is not finished; known at the end of the input.
    pub fn unfinished(&self) -> Option<Unfinished> {
        self.unfinished
    }

    /// The reader.
    pub(crate) fn reader(&self) -> &R {
        self.source.reader()
    }

    /// Appends a line or row; `false` at the end of the input.
    fn push_line(&mut self, batch: &mut RawBatch) -> Result<bool, InputError> {
        loop {
            let end = match self.form {
                SplitForm::Rows { delimiter, columns } => self.source.row_end(delimiter, columns)?,
                SplitForm::Lines | SplitForm::Container(_) => self.source.line_end()?,
            };
            let end = match end {
                LineEnd::At(end) => end,
                LineEnd::Nowhere => return self.push_last_line(batch),
                LineEnd::TooFar => return self.push_long_line(batch),
            };
            let line = self.source.ahead().get(..end).unwrap_or_default();
            let record = trim_line(line);
            let is_blank = record.trim_ascii().is_empty();
            if !is_blank {
                batch.push(record, self.place + 1);
            }
            self.place += line_count(line);
            self.source.consume(end);
            if !is_blank {
                return Ok(true);
            }
        }
    }

    /// What is ahead is all there is, and has no line break at its end.
    fn push_last_line(&mut self, batch: &mut RawBatch) -> Result<bool, InputError> {
        let line = self.source.ahead();
        let length = line.len();
        let is_blank = line.trim_ascii().is_empty();
        match self.ending {
            _ if length == 0 => Ok(false),
            Ending::MayGrow => {
                if !is_blank {
                    self.unfinished = Some(Unfinished { place: self.place + 1, bytes: length as u64 });
                }
                Ok(false)
            }
            Ending::IsComplete => {
                if !is_blank {
                    batch.push(line, self.place + 1);
                }
                let lines = line_count(line);
                self.cut = Some((self.source.consumed(), self.place));
                self.place += lines;
                self.source.consume(length);
                Ok(!is_blank)
            }
        }
    }

    /// A line longer than a record may be: its front is kept. It waits for its line break like any other.
    fn push_long_line(&mut self, batch: &mut RawBatch) -> Result<bool, InputError> {
        let last = self.source.last();
        let before = self.source.taken().clone();
        let front = self.source.ahead().get(..MAX_RECORD_BYTES).unwrap_or_default().to_vec();
        let (is_finished, bytes) = match self.source.skip_line()? {
            Some(break_bytes) => (true, self.source.consumed() - before.bytes() - break_bytes as u64),
            None => (false, self.source.consumed() - before.bytes()),
        };
        if !is_finished && self.ending == Ending::MayGrow {
            self.unfinished = Some(Unfinished { place: self.place + 1, bytes });
            self.source.take_back(before, last);
            return Ok(false);
        }
        batch.push_front(&front, bytes, self.place + 1);
        self.place += 1;
        Ok(true)
    }
}

pub(super) fn trim_line(line: &[u8]) -> &[u8] {
    match line {
        [record @ .., b'\r', b'\n'] | [record @ .., b'\n' | b'\r'] => record,
        [..] => line,
    }
}

/// Lines that a record takes: more than one where cells hold line breaks.
fn line_count(line: &[u8]) -> u64 {
    let record = trim_line(line);
    let is_break = |at: usize| record.get(at) == Some(&b'\n') || record.get(at + 1) != Some(&b'\n');
    memchr::memchr2_iter(b'\n', b'\r', record).filter(|at| is_break(*at)).count() as u64 + 1
}
