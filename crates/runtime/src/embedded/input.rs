//! The inputs: files, pipes and standard input, and the thread that cuts them into records.

use super::RunError;
use super::progress::{FileId, InputSource};
use crate::wire::{CsvMapping, InputFormat, Prefix, RawBatch, Splitter, TakenBytes, Unfinished};
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Bytes read at a time to compare them.
const COMPARE_BYTES: usize = 1 << 18;

/// An input to be rated.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Its path; `-` is standard input.
    pub path: PathBuf,
    /// Its form; `None` goes by the ending of its name.
    pub format: Option<InputFormat>,
}

impl InputFile {
    /// The name shown in suspense: the path as given, or `stdin`.
    pub fn name(&self) -> String {
        if self.is_standard_input() { "stdin".to_owned() } else { self.path.display().to_string() }
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

    pub(super) fn is_standard_input(&self) -> bool {
        self.path == Path::new(STANDARD_INPUT)
    }

    /// What it is, without opening it: opening a named pipe waits for its writer.
    ///
    /// # Errors
    /// It is not there, or is nothing that can be read.
    pub(super) fn source(&self) -> Result<InputSource, RunError> {
        if self.is_standard_input() {
            return Ok(InputSource::Stream);
        }
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.failed(error))?;
        self.source_of(&metadata)
    }

    fn source_of(&self, metadata: &Metadata) -> Result<InputSource, RunError> {
        if metadata.is_file() {
            return Ok(InputSource::File);
        }
        if metadata.is_dir() {
            return Err(RunError::NotAnInput(self.path.clone(), "is a folder; name the files in it"));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if metadata.file_type().is_socket() {
                return Err(RunError::NotAnInput(self.path.clone(), "is a socket; name a file or a pipe"));
            }
            if metadata.file_type().is_block_device() {
                return Err(RunError::NotAnInput(self.path.clone(), "is a disk; name a file or a pipe"));
            }
        }
        Ok(InputSource::Stream)
    }

    /// Opens it. A named pipe is waited for.
    pub(super) fn open(&self) -> Result<InputReader, RunError> {
        if self.is_standard_input() {
            let file = standard_input().map_err(|error| self.failed(error))?;
            let metadata = file.metadata().map_err(|error| self.failed(error))?;
            if metadata.is_dir() {
                return Err(RunError::NotAnInput(self.path.clone(), "is a folder; name the files in it"));
            }
            return Ok(InputReader::new(file, InputSource::Stream, &metadata));
        }
        // Looked at first: some of what is no input cannot be opened, and the system says why in other words.
        self.source()?;
        let file = File::open(&self.path).map_err(|error| self.failed(error))?;
        let metadata = file.metadata().map_err(|error| self.failed(error))?;
        let source = self.source_of(&metadata)?;
        Ok(InputReader::new(file, source, &metadata))
    }

    pub(super) fn failed(&self, error: std::io::Error) -> RunError {
        RunError::File(self.path.clone(), error)
    }
}

#[cfg(unix)]
fn standard_input() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(not(unix))]
fn standard_input() -> std::io::Result<File> {
    Err(std::io::Error::other("standard input cannot be read on this system; name a file"))
}

#[cfg(unix)]
fn file_id(metadata: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some(FileId { device: metadata.dev(), number: metadata.ino() })
}

#[cfg(not(unix))]
fn file_id(_: &Metadata) -> Option<FileId> {
    None
}

/// An open input. A file that becomes shorter ends there: what is read behind that could belong to other contents.
#[derive(Debug)]
pub(super) struct InputReader {
    file: File,
    source: InputSource,
    file_id: Option<FileId>,
    /// What was read of a stream to compare it, and how much of that was handed on.
    ahead: Vec<u8>,
    next: usize,
    /// The largest size that the file was seen to have.
    largest: u64,
    shrunk_to: Option<u64>,
}

impl InputReader {
    fn new(file: File, source: InputSource, metadata: &Metadata) -> InputReader {
        let (id, largest) = match source {
            InputSource::File => (file_id(metadata), metadata.len()),
            InputSource::Stream => (None, 0),
        };
        InputReader { file, source, file_id: id, ahead: Vec::new(), next: 0, largest, shrunk_to: None }
    }

    pub(super) fn source(&self) -> InputSource {
        self.source
    }

    pub(super) fn file_id(&self) -> Option<FileId> {
        self.file_id
    }

    /// The size of a file.
    pub(super) fn size(&self) -> Option<u64> {
        match self.source {
            InputSource::File => Some(self.largest),
            InputSource::Stream => None,
        }
    }

    /// The size that a file was cut to while it was read.
    pub(super) fn shrunk_to(&self) -> Option<u64> {
        self.shrunk_to
    }

    pub(super) fn seek(&mut self, to: u64) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(to)).map(|_| ())
    }

    /// Adds bytes up to an offset to a prefix; `false` if the input ends before. What lies behind `kept_from` is handed on again.
    pub(super) fn read_prefix(
        &mut self,
        prefix: &mut Prefix,
        to: u64,
        kept: Option<&mut Vec<u8>>,
    ) -> std::io::Result<bool> {
        let mut kept = kept;
        let mut buffer = vec![0; COMPARE_BYTES];
        while prefix.bytes() < to {
            let wanted = usize::try_from(to - prefix.bytes()).unwrap_or(usize::MAX).min(buffer.len());
            let count = match self.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(false);
            }
            prefix.add(bytes);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(bytes);
            }
        }
        Ok(true)
    }

    /// Has bytes that were read handed on again.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        self.ahead.drain(..self.next);
        self.ahead.splice(0..0, bytes.iter().copied());
        self.next = 0;
    }
}

impl Read for InputReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let ahead = self.ahead.get(self.next..).unwrap_or_default();
        if !ahead.is_empty() {
            let count = ahead.len().min(out.len());
            out.get_mut(..count).unwrap_or_default().copy_from_slice(ahead.get(..count).unwrap_or_default());
            self.next += count;
            return Ok(count);
        }
        if self.shrunk_to.is_some() {
            return Ok(0);
        }
        let count = self.file.read(out)?;
        if self.source == InputSource::File {
            let size = self.file.metadata()?.len();
            if size < self.largest {
                self.shrunk_to = Some(size);
                return Ok(0);
            }
            self.largest = size;
        }
        Ok(count)
    }
}

/// A batch, and how much of the input was taken with it.
pub(super) type CutBatch = (RawBatch, TakenBytes);

/// How cutting an input ended.
#[derive(Debug)]
pub(super) struct CutEnd {
    pub(super) taken: TakenBytes,
    pub(super) unfinished: Option<Unfinished>,
    /// Sizes in bytes: as it was, and as it was left when it was cut while being read.
    pub(super) shrunk: Option<(u64, u64)>,
}

/// Cuts an input into batches and hands them on; ends at the end of the input or when nobody takes them any more. Empty batches come back to
/// be filled again.
pub(super) fn split(
    path: &Path,
    mut splitter: Splitter<InputReader>,
    batch_records: usize,
    batches: &SyncSender<CutBatch>,
    used: &Receiver<RawBatch>,
) -> Result<CutEnd, RunError> {
    let failed = |error| RunError::Input(path.to_owned(), error);
    loop {
        let mut batch = used.try_recv().unwrap_or_default();
        batch.clear();
        let filled = splitter.fill(&mut batch, batch_records);
        let is_taken = batch.is_empty() || batches.send((batch, splitter.taken())).is_ok();
        // What was cut before a broken place has been handed on.
        if !filled.map_err(failed)? || !is_taken {
            let reader = splitter.reader();
            let shrunk = reader.shrunk_to().map(|left| (reader.largest, left));
            return Ok(CutEnd { unfinished: splitter.unfinished(), shrunk, taken: splitter.taken() });
        }
    }
}
