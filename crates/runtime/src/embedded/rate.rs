//! One input, rated from where it was left to its end.

use super::input::{self, CutBatch, CutEnd};
use super::progress::InputSource;
use super::recognise::{Opening, TakenUp, absolute};
use super::{Folder, InputFile, InputProgress, QUEUE, RunError, RunSettings, Seen, Writing};
use crate::wire::{Decoder, RawBatch, Splitter, Unfinished};
use std::path::Path;
use std::sync::mpsc::sync_channel;

/// An input whose last line, row or block is not finished: nothing of that is rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedInput {
    /// The name of the input.
    pub input: String,
    /// The line, or the number of the record that a block begins with.
    pub place: u64,
    /// How many bytes there are of it.
    pub bytes: u64,
}

/// An input that was known, and had grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownInput {
    /// The name of the input.
    pub input: String,
    /// How many of its records had been rated before.
    pub records_before: u64,
}

impl Folder {
    /// Rates what is left of an input.
    pub(super) fn rate(
        &mut self,
        input: &InputFile,
        settings: &RunSettings,
        writing: &Writing,
        seen: &mut dyn FnMut(Seen<'_>),
    ) -> Result<(), RunError> {
        let reader = input.open()?;
        let (source, file_id, size) = (reader.source(), reader.file_id(), reader.size());
        let taken_up = match self.take_up(input, reader, settings)? {
            Opening::Rate(taken_up) => *taken_up,
            Opening::Rated => {
                self.skipped.push(input.name());
                return Ok(());
            }
            Opening::NoHeader(unfinished) => {
                self.note_end(input.name(), &unfinished);
                return Ok(());
            }
        };
        let at = taken_up.at.unwrap_or_else(|| self.begin(input, source, &taken_up.decoder));
        let Some(known) = self.progress.inputs.get_mut(at) else { return Ok(()) };
        // Where it is read now: it may have another name than before.
        known.path = match source {
            InputSource::Stream if input.is_standard_input() => Box::default(),
            InputSource::File | InputSource::Stream => absolute(&input.path).display().to_string().into(),
        };
        (known.source, known.file_id) = (source, file_id);
        let (name, records_before, was_read) = (known.name.clone(), known.records, known.done || known.broken);
        (known.done, known.broken) = (false, false);
        let TakenUp { splitter, decoder, .. } = taken_up;
        let end = self.rate_records(at, &input.path, splitter, &decoder, size, settings, writing, seen)?;
        let records = self.end_input(at, &end);
        if let Some(unfinished) = &end.unfinished {
            self.note_end(name.to_string(), unfinished);
        }
        match records {
            0 if end.unfinished.is_none() => self.empty.push(name.to_string()),
            records if was_read && records == records_before => self.skipped.push(name.to_string()),
            _ if was_read => self.grown.push(GrownInput { input: name.into(), records_before }),
            _ => {}
        }
        match end.shrunk {
            Some((before, now)) => {
                self.commit(writing)?;
                Err(RunError::Shrunk { path: input.path.clone(), before, now, taken: end.taken.bytes })
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self, input: &InputFile, source: InputSource, decoder: &Decoder) -> usize {
        self.progress.inputs.push(InputProgress {
            name: self.free_name(&input.name()),
            path: Box::default(),
            bytes: 0,
            hash: 0,
            decoder: decoder.describe(),
            records: 0,
            done: false,
            broken: false,
            source,
            file_id: None,
            stand: None,
        });
        self.progress.inputs.len() - 1
    }

    /// Notes that all of an input was read; returns how many records it has. One without records leaves no trace: another input may begin
    /// like it.
    fn end_input(&mut self, at: usize, end: &CutEnd) -> u64 {
        let Some(known) = self.progress.inputs.get_mut(at) else { return 0 };
        known.take(&end.taken);
        // Of a file that was cut while it was read there may be more, but other inputs need not wait for it.
        known.done = end.shrunk.is_none();
        known.broken = end.shrunk.is_some();
        let records = known.records;
        if records == 0 {
            self.progress.inputs.remove(at);
        }
        records
    }

    fn note_end(&mut self, input: String, unfinished: &Unfinished) {
        match unfinished.bytes {
            0 => self.empty.push(input),
            bytes => self.unfinished.push(UnfinishedInput { input, place: unfinished.place, bytes }),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, and nothing of it belongs together")]
    fn rate_records(
        &mut self,
        at: usize,
        path: &Path,
        splitter: Splitter<input::InputReader>,
        decoder: &Decoder,
        size: Option<u64>,
        settings: &RunSettings,
        writing: &Writing,
        seen: &mut dyn FnMut(Seen<'_>),
    ) -> Result<CutEnd, RunError> {
        let name = self.progress.inputs.get(at).map(|known| known.name.clone()).unwrap_or_default();
        std::thread::scope(|scope| {
            let (batches, received) = sync_channel::<CutBatch>(QUEUE);
            let (used, returned) = sync_channel::<RawBatch>(QUEUE);
            let batch_records = settings.batch_records.max(1);
            let reader = scope.spawn(move || input::split(path, splitter, batch_records, &batches, &returned));
            let mut outcome = Ok(());
            for (batch, taken) in &received {
                outcome = self.batch(&batch, decoder, &name, &[], writing).map(|_| ());
                if let Some(known) = self.progress.inputs.get_mut(at) {
                    known.records += batch.len() as u64;
                    known.take(&taken);
                    seen(Seen { input: &name, size, bytes: taken.bytes, records: known.records });
                }
                outcome = outcome.and_then(|()| self.commit_if_due(batch.len() as u64, writing));
                // A full channel means that enough buffers are on their way already.
                let _ = used.try_send(batch);
                if outcome.is_err() {
                    break;
                }
            }
            drop(received);
            let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if let (Err(RunError::Input(_, error)), Some(known)) = (&read, self.progress.inputs.get_mut(at)) {
                known.broken = error.is_lasting();
            }
            // What was read before a broken place is rated and committed.
            let committed = if outcome.is_ok() && read.is_err() { self.commit(writing) } else { Ok(()) };
            outcome.and(committed).and(read)
        })
    }
}
