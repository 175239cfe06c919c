//! Why an amount is what it is: a record of an output folder is rated again, in memory, with its candidates looked at.
//!
//! Rating is a function of the reference data and the inputs, so what happened before the record is repeated from the inputs that the
//! folder remembers. An explanation therefore needs those inputs unchanged, and says so if the reference data is another one.

use crate::embedded::{InputProgress, InputSource, Progress, RunError, read_progress};
use crate::engine::{BatchInput, EngineError, LegTrace};
use crate::session::{Session, Settings};
use crate::state::StoreError;
use crate::wire::{Decoded, Decoder, Prefix, RawBatch, Splitter};
use directory::Loaded;
use pipeline::{Field, RawValue};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, Take};
use std::path::Path;

const BATCH_RECORDS: usize = 8192;

/// What became of one record, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The input it stands in.
    pub input: String,
    /// Its line or number there.
    pub place: u64,
    /// The record as it arrived.
    pub original: Vec<u8>,
    /// What was looked at, per leg; empty if the record waits as a whole.
    pub legs: Vec<LegTrace>,
    /// Its charges, in the form of `schemas/charge.avsc`.
    pub charges: Vec<Value>,
    /// What of it waits, in the form of `schemas/suspense.avsc`.
    pub suspense: Vec<Value>,
    /// What it made known, in the form of `schemas/notification.avsc`.
    pub notifications: Vec<Value>,
    /// It had been sent before and was dropped.
    pub is_duplicate: bool,
    /// The reference data is not the one that the folder was last rated with.
    pub is_other_reference: bool,
}

/// Why there is no explanation.
#[derive(Debug)]
pub enum ExplainError {
    /// The folder has no state: nothing was rated into it.
    NothingRated,
    /// No input of the folder holds a record of this id, as far as it was rated.
    UnknownId,
    /// An input is no longer what it was.
    InputChanged(String),
    /// An input was a pipe and cannot be read again.
    InputGone(String),
    /// Inputs, store, totals.
    Run(RunError),
}

impl std::fmt::Display for ExplainError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExplainError::NothingRated => f.write_str("nothing was rated into this folder yet"),
            ExplainError::UnknownId => {
                f.write_str("no input of this folder holds a record of this id, as far as it was rated")
            }
            ExplainError::InputGone(name) => write!(f, "\"{name}\" was read from a pipe and cannot be read again"),
            ExplainError::InputChanged(name) => write!(f, "\"{name}\" is no longer what it was when it was rated"),
            ExplainError::Run(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ExplainError {}

impl<E: Into<RunError>> From<E> for ExplainError {
    fn from(error: E) -> ExplainError {
        ExplainError::Run(error.into())
    }
}

/// Explains every record of an id (sent again, or of several sources) in a folder.
///
/// # Errors
/// See [`ExplainError`].
pub fn explain(
    loaded: &Loaded,
    folder: &Path,
    settings: &Settings,
    id: &str,
) -> Result<Vec<Explanation>, ExplainError> {
    let progress = read_progress(folder)?.ok_or(ExplainError::NothingRated)?;
    let mut session = Session::new(loaded, settings)?;
    let mut search = Search { id, is_other_reference: progress.reference_hash != loaded.hash, found: Vec::new() };
    let last = last_input_with(&progress, id)?.ok_or(ExplainError::UnknownId)?;
    for input in progress.inputs.iter().take(last + 1) {
        let (mut splitter, decoder) = reopen(input)?;
        let mut batch = RawBatch::default();
        let mut left = usize::try_from(input.records).unwrap_or(usize::MAX);
        while left > 0 {
            batch.clear();
            let has_more =
                splitter.fill(&mut batch, BATCH_RECORDS.min(left)).map_err(|error| input_error(input, error))?;
            left -= batch.len().min(left);
            search.rate(&mut session, &batch, &decoder, &input.name)?;
            if !has_more {
                break;
            }
        }
    }
    // It stands where the folder has not come to: behind a break, or behind the last commit.
    if search.found.is_empty() { Err(ExplainError::UnknownId) } else { Ok(search.found) }
}

/// What a record that nobody sent would be charged, as the first one after the grants of the reference data. `line` is a usage record as JSON.
///
/// # Errors
/// A control total that does not balance.
pub fn quote(loaded: &Loaded, settings: &Settings, line: &[u8]) -> Result<Option<Explanation>, ExplainError> {
    let mut session = Session::new(loaded, settings)?;
    let mut search = Search { id: "", is_other_reference: false, found: Vec::new() };
    let mut record = RawBatch::default();
    record.push(line, 1);
    search.explain(&mut session, &record, &Decoder::json_lines(), "quote")?;
    Ok(search.found.pop())
}

fn last_input_with(progress: &Progress, id: &str) -> Result<Option<usize>, ExplainError> {
    let mut last = None;
    for (at, input) in progress.inputs.iter().enumerate() {
        let (mut splitter, decoder) = reopen(input)?;
        let mut batch = RawBatch::default();
        let mut has_more = true;
        while has_more {
            batch.clear();
            has_more = splitter.fill(&mut batch, BATCH_RECORDS).map_err(|error| input_error(input, error))?;
            if (0..batch.len()).any(|position| has_id(&decoder, batch.get(position), id)) {
                last = Some(at);
                break;
            }
        }
    }
    Ok(last)
}

/// Opens what was rated of an input.
fn reopen(input: &InputProgress) -> Result<(Splitter<Take<File>>, Decoder), ExplainError> {
    match input.source {
        InputSource::File => {}
        InputSource::Stream => return Err(ExplainError::InputGone(input.name.to_string())),
    }
    let decoder = Decoder::from_description(&input.decoder).map_err(StoreError::Corrupt)?;
    let path = Path::new(&*input.path);
    let failed = |error| ExplainError::Run(RunError::File(path.to_owned(), error));
    let mut file = File::open(path).map_err(failed)?;
    let mut prefix = Prefix::new();
    let mut buffer = vec![0; 1 << 18];
    while prefix.bytes() < input.bytes {
        let wanted = usize::try_from(input.bytes - prefix.bytes()).unwrap_or(usize::MAX).min(buffer.len());
        match file.read(buffer.get_mut(..wanted).unwrap_or_default()).map_err(failed)? {
            0 => break,
            count => prefix.add(buffer.get(..count).unwrap_or_default()),
        }
    }
    if (prefix.bytes(), prefix.hash()) != (input.bytes, input.hash) {
        return Err(ExplainError::InputChanged(input.name.to_string()));
    }
    file.rewind().map_err(failed)?;
    Splitter::open(file.take(input.bytes), decoder.input_format()).map_err(|error| input_error(input, error))
}

fn input_error(input: &InputProgress, error: crate::wire::InputError) -> ExplainError {
    ExplainError::Run(RunError::Input(Path::new(&*input.path).to_owned(), error))
}

fn has_id(decoder: &Decoder, record: &[u8], id: &str) -> bool {
    match decoder.decode(record) {
        Ok(Decoded::Usage(raw)) => match raw.get(Field::Id) {
            RawValue::Text(text) => text == id,
            RawValue::Integer(integer) => integer.to_string() == id,
            RawValue::Absent | RawValue::Number(_) | RawValue::Other(_) => false,
        },
        Ok(Decoded::Command(raw)) => raw.command_id.as_deref() == Some(id),
        Ok(Decoded::Tick(_)) | Err(_) => false,
    }
}

struct Search<'i> {
    id: &'i str,
    is_other_reference: bool,
    found: Vec<Explanation>,
}

impl Search<'_> {
    /// Rates a batch, stopping at each record of the id to look at its candidates.
    fn rate(
        &mut self,
        session: &mut Session,
        batch: &RawBatch,
        decoder: &Decoder,
        input: &str,
    ) -> Result<(), EngineError> {
        let mut part = RawBatch::default();
        for position in 0..batch.len() {
            let record = batch.get(position);
            let is_wanted = has_id(decoder, record, self.id);
            if is_wanted && !part.is_empty() {
                session.rate(&part, decoder, input, &[])?;
                part.clear();
            }
            part.push(record, batch.place(position));
            if is_wanted {
                self.explain(session, &part, decoder, input)?;
                part.clear();
            }
        }
        if !part.is_empty() {
            session.rate(&part, decoder, input, &[])?;
        }
        Ok(())
    }

    fn explain(
        &mut self,
        session: &mut Session,
        record: &RawBatch,
        decoder: &Decoder,
        input: &str,
    ) -> Result<(), EngineError> {
        let batch = BatchInput { records: record, decoder, input, retries: &[] };
        let legs = session.engine().trace(batch, 0).unwrap_or_default();
        let output = session.rate(record, decoder, input, &[])?;
        let values = |encoded: &crate::engine::Encoded| {
            encoded.messages().filter_map(|message| serde_json::from_slice(message).ok()).collect()
        };
        let is_duplicate = output.totals.duplicates > 0;
        self.found.push(Explanation {
            input: input.to_owned(),
            place: record.place(0),
            original: record.get(0).to_vec(),
            legs: if is_duplicate { Vec::new() } else { legs },
            charges: values(&output.charges),
            suspense: values(&output.suspense),
            notifications: values(&output.notifications),
            is_duplicate,
            is_other_reference: self.is_other_reference,
        });
        Ok(())
    }
}
