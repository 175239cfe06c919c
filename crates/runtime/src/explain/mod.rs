//! Why an amount is what it is: what a folder has booked for a record, read from its outputs; and what today's reference data would give,
//! with its candidates looked at.
//!
//! The outputs alone say what was booked. Rating is a function of the reference data and the inputs, so the second part repeats what happened
//! before the record from the inputs that the folder remembers. It needs those inputs unchanged, and is left out with a reason where they are
//! not: gone, changed, or pipes.

mod booked;
mod differences;

pub use booked::{Booked, Outcome};
pub use differences::{Difference, Side};

use crate::embedded::{InputProgress, InputSource, Progress, RunError, open_store, read_progress};
use crate::engine::{BatchInput, EngineError, LegTrace};
use crate::session::{Session, Settings};
use crate::state::StoreError;
use crate::wire::{Decoded, Decoder, Prefix, RawBatch, Splitter};
use booked::{Causes, Found, Place};
use directory::Loaded;
use pipeline::identity::record_key;
use pipeline::{Field, IntakeRules, RawValue};
use rating::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Take};
use std::path::Path;

const BATCH_RECORDS: usize = 8192;

/// What became of one record, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The input it stands in; empty where only charges tell of it.
    pub input: String,
    /// Its line or number there.
    pub place: u64,
    /// The record as it arrived; empty where only charges tell of it.
    pub original: Vec<u8>,
    /// What was booked.
    pub booked: Booked,
    /// What today's reference data would give, or why that is not known.
    pub today: Result<Today, String>,
    /// Where the two differ.
    pub differences: Vec<Difference>,
    /// The reference data is not the one that the folder was last rated with.
    pub is_other_reference: bool,
}

/// What reference data makes of a record. The messages have the fields of their schemas (`schemas/*.avsc`).
#[derive(Debug)]
pub struct Today {
    /// What was looked at, per leg; empty if the record is suspended as a whole.
    pub legs: Vec<LegTrace>,
    /// Its charges.
    pub charges: Vec<Value>,
    /// What of it is suspended.
    pub suspense: Vec<Value>,
    /// What it made known.
    pub notifications: Vec<Value>,
    /// A copy of it came before, and it is dropped.
    pub is_duplicate: bool,
}

/// Why there is no explanation.
#[derive(Debug)]
pub enum ExplainError {
    /// The folder has no state: nothing was rated into it.
    NothingRated,
    /// Neither outputs nor inputs of the folder hold a record of this id, as far as it was rated; and why inputs could not be read, if so.
    UnknownId(Option<String>),
    /// Inputs, store, totals.
    Run(RunError),
}

impl std::fmt::Display for ExplainError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExplainError::NothingRated => f.write_str("nothing was rated into this folder yet"),
            ExplainError::UnknownId(None) => {
                f.write_str("no input of this folder holds a record of this id, as far as it was rated")
            }
            ExplainError::UnknownId(Some(why)) => {
                write!(f, "no output of this folder names a record of this id, and not all inputs can be read: {why}")
            }
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
    let is_other_reference = progress.reference_hash != loaded.hash;
    let (rows, unavailable) = match rate_again(loaded, &progress, settings, id) {
        Ok(rows) => (rows, None),
        Err(Missing::Inputs(why)) => (Vec::new(), Some(why)),
        Err(Missing::Failed(error)) => return Err(error),
    };
    let fees: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| &row.today.charges)
        .filter(|charge| charge["kind"] != "usage")
        .filter_map(|charge| charge["charge_id"].as_str())
        .collect();
    let is_of_id = |decoder: &Decoder, record: &[u8]| has_id(decoder, record, id);
    // Nobody else opens a store that is open: not while everything is rated again.
    let (store, _) = open_store(folder)?.ok_or(ExplainError::NothingRated)?;
    let found = booked::find((folder, &progress, &store), id, &fees, &is_of_id)?;
    drop(store);
    // It may stand where the folder has not come to: behind a break, or behind the last commit.
    if rows.is_empty() && found.is_empty() {
        return Err(ExplainError::UnknownId(unavailable));
    }
    let mut explanations = with_today(rows, &found, is_other_reference);
    let why = unavailable.unwrap_or_else(|| "no input of this folder holds it any more".to_owned());
    explanations.extend(without_today(&found, &explanations, &why, is_other_reference));
    Ok(explanations)
}

/// The records that the inputs hold, with what was booked for each.
fn with_today(rows: Vec<Row>, found: &Found, is_other_reference: bool) -> Vec<Explanation> {
    // Of the copies of a record, the first one that is not suspended itself is the one that was charged, if any was.
    let mut owners: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        match owners.get(&row.key).and_then(|owner| rows.get(*owner)) {
            Some(owner)
                if !found.is_suspended(&owner.place)
                    || found.is_suspended(&row.place)
                    || !found.books(row.key.as_deref()) => {}
            Some(_) | None => {
                owners.insert(row.key.clone(), at);
            }
        }
    }
    let explain = |(at, row): (usize, Row)| {
        let owns = owners.get(&row.key) == Some(&at);
        let causes = Causes { at: row.at, charges: &row.today.charges };
        let booked = found.of(row.key.as_deref(), Some(&row.place), owns && row.key.is_some(), Some(&causes));
        let differences = differences::between(&booked, &row.today);
        let (input, place) = row.place;
        Explanation {
            input,
            place,
            original: row.original,
            booked,
            today: Ok(row.today),
            differences,
            is_other_reference,
        }
    };
    rows.into_iter().enumerate().map(explain).collect()
}

/// What the outputs alone tell of: by identity, and by place what has none.
fn without_today(found: &Found, known: &[Explanation], why: &str, is_other_reference: bool) -> Vec<Explanation> {
    let explanation = |(input, place): Place, booked: Booked| {
        let original = booked.suspense.iter().chain(&booked.resolved).find_map(booked::original).unwrap_or_default();
        let today = Err(why.to_owned());
        Explanation { input, place, original, booked, today, differences: Vec::new(), is_other_reference }
    };
    if !known.is_empty() {
        let is_known = |place: &Place| known.iter().any(|known| known.input == place.0 && known.place == place.1);
        let others = found.places().into_iter().filter(|place| !is_known(place));
        return others.map(|place| explanation(place.clone(), found.of(None, Some(&place), false, None))).collect();
    }
    let keys = found.keys();
    let mut explanations: Vec<Explanation> = Vec::new();
    for key in &keys {
        let booked = found.of(Some(key), None, true, None);
        let first = booked.suspense.iter().chain(&booked.resolved).next().map(booked::place_of);
        explanations.push(explanation(first.unwrap_or_default(), booked));
    }
    if keys.is_empty() {
        explanations.push(explanation(Place::default(), found.of(None, None, true, None)));
    }
    explanations
}

/// What a record that nobody sent would be charged, as the first one after the grants of the reference data. `line` is a usage record as JSON.
///
/// # Errors
/// A control total that does not balance.
pub fn quote(loaded: &Loaded, settings: &Settings, line: &[u8]) -> Result<Option<Today>, ExplainError> {
    let mut session = Session::new(loaded, settings)?;
    let mut search = Search { id: "", default_source: &settings.default_source, found: Vec::new() };
    let mut record = RawBatch::default();
    record.push(line, 1);
    search.explain(&mut session, &record, &Decoder::json_lines(), "quote")?;
    Ok(search.found.pop().map(|row| row.today))
}

/// Why nothing can be rated again.
enum Missing {
    /// Inputs are not what they were; in words.
    Inputs(String),
    Failed(ExplainError),
}

impl<E: Into<ExplainError>> From<E> for Missing {
    fn from(error: E) -> Missing {
        Missing::Failed(error.into())
    }
}

/// A record of an input, and what today's reference data makes of it.
struct Row {
    place: Place,
    /// Its identity, as ids begin with it; `None` if it has none.
    key: Option<String>,
    /// When it takes effect.
    at: Option<Timestamp>,
    original: Vec<u8>,
    today: Today,
}

/// Rates again everything up to the last input that holds the id.
fn rate_again(loaded: &Loaded, progress: &Progress, settings: &Settings, id: &str) -> Result<Vec<Row>, Missing> {
    let mut session = Session::new(loaded, settings)?;
    let mut search = Search { id, default_source: &settings.default_source, found: Vec::new() };
    let Some(last) = last_input_with(progress, id)? else { return Ok(Vec::new()) };
    for input in progress.inputs.iter().take(last + 1) {
        let (mut splitter, decoder) = reopen(input)?;
        let mut batch = RawBatch::default();
        let mut left = usize::try_from(input.records).unwrap_or(usize::MAX);
        while left > 0 {
            batch.clear();
            let filled = splitter.fill(&mut batch, BATCH_RECORDS.min(left));
            let has_more = filled.map_err(|error| Missing::Inputs(format!("\"{}\": {error}", input.name)))?;
            left -= batch.len().min(left);
            search.rate(&mut session, &batch, &decoder, &input.name)?;
            if !has_more {
                break;
            }
        }
    }
    Ok(search.found)
}

fn last_input_with(progress: &Progress, id: &str) -> Result<Option<usize>, Missing> {
    let mut last = None;
    for (at, input) in progress.inputs.iter().enumerate() {
        let (mut splitter, decoder) = reopen(input)?;
        let mut batch = RawBatch::default();
        let mut has_more = true;
        while has_more {
            batch.clear();
            let filled = splitter.fill(&mut batch, BATCH_RECORDS);
            // What cannot be read was not rated either.
            has_more = filled.unwrap_or(false);
            if (0..batch.len()).any(|position| has_id(&decoder, batch.get(position), id)) {
                last = Some(at);
                break;
            }
        }
    }
    Ok(last)
}

/// Opens what was rated of an input, if it can be read again and is what it was.
fn reopen(input: &InputProgress) -> Result<(Splitter<Take<File>>, Decoder), Missing> {
    match input.source {
        InputSource::File => {}
        InputSource::Stream => {
            return Err(Missing::Inputs(format!("\"{}\" was read from a pipe and cannot be read again", input.name)));
        }
    }
    let decoder = Decoder::from_description(&input.decoder).map_err(StoreError::Corrupt).map_err(ExplainError::from)?;
    let path = Path::new(&*input.path);
    // A pipe that has taken its place would be waited for for ever.
    if !path.metadata().is_ok_and(|about| about.is_file()) {
        let what = if path.exists() { "is no longer a file" } else { "is no longer there" };
        return Err(Missing::Inputs(format!("\"{}\" {what}", input.name)));
    }
    let failed = |error: std::io::Error| Missing::Inputs(format!("\"{}\": {error}", input.name));
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
        return Err(Missing::Inputs(format!("\"{}\" is no longer what it was when it was rated", input.name)));
    }
    file.rewind().map_err(failed)?;
    let opened = Splitter::open(file.take(input.bytes), decoder.input_format());
    opened.map_err(|error| Missing::Inputs(format!("\"{}\": {error}", input.name)))
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

/// The identity of a record, as ids begin with it, and its time; `None` for what it has not.
fn identity_of(decoder: &Decoder, record: &[u8], default_source: &str) -> (Option<String>, Option<Timestamp>) {
    let Ok(decoded) = decoder.decode(record) else { return (None, None) };
    let taken = decoded.take_in(&IntakeRules::new(default_source));
    let identity = taken.identity().map(|(key, _, at)| (key, at));
    let key = identity.map(|(key, _)| key).or_else(|| match &decoded {
        // Also a record that cannot be taken in has an identity, if it has an id.
        Decoded::Usage(raw) => {
            let text = |field| match raw.get(field) {
                RawValue::Text(text) => Some(text.to_string()),
                RawValue::Integer(integer) => Some(integer.to_string()),
                RawValue::Absent | RawValue::Number(_) | RawValue::Other(_) => None,
            };
            let source = text(Field::Source);
            Some(record_key(source.as_deref().unwrap_or(default_source), &text(Field::Id)?))
        }
        Decoded::Command(_) | Decoded::Tick(_) => None,
    });
    (key.map(|key| format!("{key:032x}")), identity.map(|(_, at)| at))
}

struct Search<'i> {
    id: &'i str,
    default_source: &'i str,
    found: Vec<Row>,
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
        let today = Today {
            legs: if is_duplicate { Vec::new() } else { legs },
            charges: values(&output.charges),
            suspense: values(&output.suspense),
            notifications: values(&output.notifications),
            is_duplicate,
        };
        let original = record.get(0).to_vec();
        let (key, at) = identity_of(decoder, &original, self.default_source);
        self.found.push(Row { place: (input.to_owned(), record.place(0)), key, at, original, today });
        Ok(())
    }
}
