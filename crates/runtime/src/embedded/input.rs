//! The inputs and the thread that cuts them into records.

use super::RunError;
use super::progress::InputProgress;
use crate::wire::{CsvMapping, Decoder, InputFormat, RawBatch, Splitter};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fs::File;
use std::hash::Hasher;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

/// An input to be rated.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its form; `None` goes by the ending of its name.
    pub format: Option<InputFormat>,
}

impl InputFile {
    /// The name shown in suspense: the path as given.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The form, by what was said or by the ending of the name.
    ///
    /// # Errors
    /// An ending that says nothing.
    pub fn format(&self) -> Result<InputFormat, RunError> {
        if let Some(format) = &self.format {
            return Ok(format.clone());
        }
        match self.path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => Ok(InputFormat::JsonLines),
            Some("csv") => Ok(InputFormat::Csv(CsvMapping::plain())),
            Some("avro") => Ok(InputFormat::Avro),
            Some(_) | None => Err(RunError::UnknownFormat(self.path.clone())),
        }
    }

    /// Size and hash of the contents: what an input is recognised by.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn fingerprint(&self) -> Result<(u64, u128), RunError> {
        let failed = |error| RunError::File(self.path.clone(), error);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut hasher = SipHasher13::new();
        let mut buffer = vec![0; 1 << 18];
        let mut size = 0_u64;
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                return Ok((size, hasher.finish128().as_u128()));
            }
            hasher.write(buffer.get(..count).unwrap_or_default());
            size += count as u64;
        }
    }
}

/// Opens an input for splitting.
pub(crate) fn open(path: &Path, format: InputFormat) -> Result<(Splitter<File>, Decoder), RunError> {
    let file = File::open(path).map_err(|error| RunError::File(path.to_owned(), error))?;
    Splitter::open(file, format).map_err(|error| RunError::Input(path.to_owned(), error))
}

/// Cuts an input into batches, from where the last commit left it, and hands them on; ends at the end of the input or when nobody
/// takes them any more. Empty batches come back to be filled again.
pub(super) fn split(
    path: &Path,
    mut splitter: Splitter<File>,
    progress: &InputProgress,
    batch_records: usize,
    batches: &SyncSender<RawBatch>,
    used: &Receiver<RawBatch>,
) -> Result<(), RunError> {
    let failed = |error| RunError::Input(path.to_owned(), error);
    let mut to_skip = usize::try_from(progress.records).unwrap_or(usize::MAX);
    loop {
        let mut batch = used.try_recv().unwrap_or_default();
        batch.clear();
        let limit = if to_skip > 0 { to_skip.min(batch_records) } else { batch_records };
        let filled = splitter.fill(&mut batch, limit);
        if to_skip > 0 {
            to_skip -= batch.len().min(to_skip);
        } else if !batch.is_empty() && batches.send(batch).is_err() {
            return Ok(());
        }
        // What was cut before a broken place has been handed on.
        if !filled.map_err(failed)? {
            return Ok(());
        }
    }
}
