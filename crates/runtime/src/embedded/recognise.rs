//! Which input of a folder an opened one is.
//!
//! | an input | begins with what was rated of a known one, which | is |
//! | --- | --- | --- |
//! | file | is interrupted, broken, or was cut while it was read | that one, and goes on |
//! | file | is done, and has the same path, the same file or the same size | that one, and goes on if it has grown |
//! | stream | is interrupted | that one, and goes on; a stream that turns out to be another one is refused, because it cannot be read again |
//! | any | none of these | another one: each of its rows has an outcome, if only that of a duplicate |
//!
//! A file is never taken for another one because of a common beginning alone.

use super::input::InputReader;
use super::progress::{InputSource, InputStand};
use super::{Folder, InputFile, InputProgress, RunError, RunSettings};
use crate::wire::{Decoder, Ending, HEAD_BYTES, InputError, Prefix, Splitter, Unfinished};
use std::path::{Path, PathBuf};

/// What an interrupted file means for other inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptedInputs {
    /// It has to be finished first.
    ComeFirst,
    /// It is left for later.
    AreLeft,
}

/// An input that is ready to be rated.
pub(super) struct TakenUp {
    /// Its place in the progress; `None` for a new one.
    pub(super) at: Option<usize>,
    pub(super) splitter: Splitter<InputReader>,
    pub(super) decoder: Decoder,
}

/// What came of opening an input.
pub(super) enum Opening {
    Rate(Box<TakenUp>),
    /// All of it was rated before.
    Rated,
    /// It ends before its header does.
    NoHeader(Unfinished),
}

/// A known input that an opened one begins with, and where it goes on.
struct Match {
    at: usize,
    /// What lies before the restart.
    before: Prefix,
}

impl Folder {
    /// Finds out which input it is, and cuts from where it goes on.
    pub(super) fn take_up(
        &self,
        input: &InputFile,
        mut reader: InputReader,
        settings: &RunSettings,
    ) -> Result<Opening, RunError> {
        let found = match reader.source() {
            InputSource::File => self.match_file(input, &mut reader)?,
            InputSource::Stream => self.match_stream(input, &mut reader, settings)?,
        };
        let known = found.as_ref().and_then(|found| self.progress.inputs.get(found.at));
        if let Some(known) = known
            && known.done
            && reader.size() == Some(known.bytes)
        {
            return Ok(Opening::Rated);
        }
        self.ensure_first(found.as_ref().map(|found| found.at), settings)?;
        match (found, known) {
            (Some(found), Some(known)) => self.go_on(input, reader, found, known, settings.ending),
            (Some(_), None) | (None, _) => {
                let format = input.format()?;
                match Splitter::open_as(reader, format, settings.ending) {
                    Ok((splitter, decoder)) => Ok(Opening::Rate(TakenUp { at: None, splitter, decoder }.into())),
                    Err(InputError::Unfinished(unfinished)) => Ok(Opening::NoHeader(unfinished)),
                    Err(error) => Err(RunError::Input(input.path.clone(), error)),
                }
            }
        }
    }

    /// Refuses another input while one is interrupted.
    pub(super) fn ensure_first(&self, found: Option<usize>, settings: &RunSettings) -> Result<(), RunError> {
        if settings.interrupted == InterruptedInputs::AreLeft || found.is_some_and(|at| self.is_interrupted(at)) {
            return Ok(());
        }
        match self.progress.inputs.iter().find(|known| known.is_interrupted() && known.source == InputSource::File) {
            Some(known) => Err(RunError::Interrupted {
                name: known.name.clone(),
                records: known.records,
                bytes: known.stand.map(|_| known.bytes),
            }),
            None => Ok(()),
        }
    }

    fn is_interrupted(&self, at: usize) -> bool {
        self.progress.inputs.get(at).is_some_and(InputProgress::is_interrupted)
    }

    /// The known inputs that a file of this path may be, by what can be seen without reading it.
    pub(super) fn candidates(&self, input: &InputFile, reader: &InputReader) -> Vec<usize> {
        let path = absolute(&input.path).display().to_string();
        let size = reader.size().unwrap_or(0);
        let may_be = |known: &InputProgress| {
            let is_same_file = known.file_id.is_some() && known.file_id == reader.file_id();
            let is_same = *known.path == *path || is_same_file || known.bytes == size;
            known.is_begun() && known.bytes <= size && (!known.done || is_same)
        };
        let inputs = self.progress.inputs.iter().enumerate();
        inputs.filter(|(_, known)| may_be(known)).map(|(at, _)| at).collect()
    }

    /// The longest known input that the file begins with.
    fn match_file(&self, input: &InputFile, reader: &mut InputReader) -> Result<Option<Match>, RunError> {
        let mut candidates: Vec<(usize, &InputProgress)> = self
            .candidates(input, reader)
            .into_iter()
            .filter_map(|at| Some((at, self.progress.inputs.get(at)?)))
            .collect();
        candidates.sort_by_key(|(_, known)| known.bytes);
        let mut found = None;
        // In order of the places at which hashes are needed.
        let mut prefix = Prefix::new();
        let mut before: Vec<(u64, Prefix)> = Vec::new();
        let mut stops: Vec<u64> = candidates.iter().flat_map(|(_, known)| [restart_of(known), known.bytes]).collect();
        stops.sort_unstable();
        stops.dedup();
        for stop in stops {
            let is_there = reader.read_prefix(&mut prefix, stop, None).map_err(|error| input.failed(error))?;
            if !is_there {
                break;
            }
            before.push((stop, prefix.clone()));
            for (at, known) in candidates.iter().filter(|(_, known)| known.bytes == stop && known.hash == prefix.hash())
            {
                let restart = restart_of(known);
                if let Some((_, before)) = before.iter().find(|(place, _)| *place == restart) {
                    found = Some(Match { at: *at, before: before.clone() });
                }
            }
        }
        if !candidates.is_empty() {
            let start = found.as_ref().map_or(0, |found| found.before.bytes());
            reader.seek(start).map_err(|error| input.failed(error))?;
        }
        Ok(found)
    }

    /// The interrupted input that the stream begins with.
    fn match_stream(
        &self,
        input: &InputFile,
        reader: &mut InputReader,
        settings: &RunSettings,
    ) -> Result<Option<Match>, RunError> {
        let interrupted = self.progress.inputs.iter().enumerate().filter(|(_, known)| known.is_interrupted());
        let mut candidates: Vec<(usize, &InputProgress, InputStand)> =
            interrupted.filter_map(|(at, known)| Some((at, known, known.stand?))).collect();
        if candidates.is_empty() || settings.interrupted == InterruptedInputs::AreLeft {
            return Ok(None);
        }
        let failed = |error| input.failed(error);
        let (mut head, mut bytes) = (Prefix::new(), Vec::new());
        reader.read_prefix(&mut head, HEAD_BYTES, Some(&mut bytes)).map_err(failed)?;
        candidates.retain(|(_, known, stand)| {
            let length = usize::try_from(known.bytes.min(HEAD_BYTES)).unwrap_or(usize::MAX);
            let hash = |front: &[u8]| {
                let mut prefix = Prefix::new();
                prefix.add(front);
                prefix.hash()
            };
            bytes.get(..length).is_some_and(|front| hash(front) == stand.head)
        });
        reader.give_back(&bytes);
        let Some((at, known, stand)) = candidates.into_iter().max_by_key(|(_, known, _)| known.bytes) else {
            return Ok(None);
        };
        let mut before = Prefix::new();
        let Some(restart) = stand.restart else { return Ok(Some(Match { at, before })) };
        let is_there = reader.read_prefix(&mut before, restart.at, None).map_err(failed)?;
        let (mut whole, mut cut) = (before.clone(), Vec::new());
        let is_there = is_there && reader.read_prefix(&mut whole, known.bytes, Some(&mut cut)).map_err(failed)?;
        if !is_there || whole.hash() != known.hash {
            return Err(self.other_stream(input, known));
        }
        reader.give_back(&cut);
        Ok(Some(Match { at, before }))
    }

    fn other_stream(&self, input: &InputFile, known: &InputProgress) -> RunError {
        RunError::OtherContent { input: input.name().into(), name: known.name.clone(), bytes: known.bytes }
    }

    fn go_on(
        &self,
        input: &InputFile,
        reader: InputReader,
        found: Match,
        known: &InputProgress,
        ending: Ending,
    ) -> Result<Opening, RunError> {
        let failed = |error| RunError::Input(input.path.clone(), error);
        // What was begun in one form is finished in it.
        let decoder = Decoder::from_description(&known.decoder).map_err(crate::state::StoreError::Corrupt)?;
        let at = Some(found.at);
        if let Some(restart) = known.stand.and_then(|stand| stand.restart) {
            let resumed = Splitter::resume(reader, &decoder, ending, found.before, restart, known.bytes);
            return match resumed.map_err(failed)? {
                Some(splitter) => Ok(Opening::Rate(TakenUp { at, splitter, decoder }.into())),
                None => Err(RunError::from(crate::state::StoreError::Corrupt(crate::state::Corrupt {
                    what: "an input of lines",
                    left: 0,
                }))),
            };
        }
        let source = reader.source();
        let (mut splitter, decoder) = Splitter::open_as(reader, decoder.input_format(), ending).map_err(failed)?;
        let is_there = splitter.skip(known.records).map_err(failed)?;
        let taken = splitter.taken();
        // A file has been compared already.
        let is_same = source == InputSource::File || (taken.bytes, taken.hash) == (known.bytes, known.hash);
        if !is_there || !is_same {
            return Err(self.other_stream(input, known));
        }
        Ok(Opening::Rate(TakenUp { at, splitter, decoder }.into()))
    }

    /// A name that no other input has: what is suspended finds its input, and so the form of its bytes, by it, also when a file of the same
    /// name had other contents before.
    pub(super) fn free_name(&self, name: &str) -> Box<str> {
        let is_taken =
            |name: &str| self.progress.inputs.iter().any(|known| &*known.name == name) || name == crate::grants::INPUT;
        let numbered = (2..).map(|number: u32| format!("{name}#{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_default().into()
    }
}

/// Where cutting goes on: at the start, unless the form is one of lines.
fn restart_of(known: &InputProgress) -> u64 {
    known.stand.and_then(|stand| stand.restart).map_or(0, |restart| restart.at)
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
