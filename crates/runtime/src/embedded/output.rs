//! The output files, the thread that writes them, and the one that commits what was written.
//!
//! Files are only appended to. A commit first brings them to the disk, then writes their lengths with everything else in one transaction;
//! a start cuts off what stands behind the committed length. Commits so happen entirely or not at all. The disk is waited for by a thread of
//! its own, while the next messages are written behind those that it brings to the disk.

use super::RunError;
use super::last_commit::{self, LastCommit, Stamp, check_output};
use super::progress::{OutputProgress, Progress};
use crate::engine::{BatchOutput, Encoded};
use crate::private;
use crate::state::{Commit, Store, Stored};
use crate::wire::{Contracts, Message, OutputFormat, block_frame};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Messages to a block of a container: fixed, so that the bytes do not depend on batches.
const BLOCK_MESSAGES: u64 = 1000;

/// Commits that may wait for the disk, besides the one that does.
const COMMITS_AHEAD: usize = 1;

/// What the writing thread is asked to do, in order.
#[derive(Debug)]
pub(super) enum Order {
    /// Append.
    Append(Box<BatchOutput>),
    /// Commit what was appended. The lengths of outputs are filled in by the writer.
    Commit(Box<Commit>, Box<Progress>),
    /// Close blocks that are not full, so that the files can be read to the end.
    Close,
}

/// The file of a message in a folder.
pub(crate) fn path_of(folder: &Path, message: Message, format: OutputFormat) -> PathBuf {
    folder.join(format!("{}.{}", message.file_stem(), format.extension()))
}

/// The output files of a folder.
#[derive(Debug)]
pub(super) struct Outputs {
    folder: PathBuf,
    format: OutputFormat,
    contracts: Contracts,
    files: Vec<OutputFile>,
    /// The last commit that was handed over.
    last: LastCommit,
}

#[derive(Debug)]
struct OutputFile {
    path: PathBuf,
    message: Message,
    file: File,
    progress: OutputProgress,
    /// Of everything written.
    checksum: crc32fast::Hasher,
    is_synced: bool,
}

impl Outputs {
    /// Opens the files as of a commit, cutting off what came after it. Before anything is changed all of them are checked, as far as they may
    /// have been touched since the run that is known to have ended.
    pub(super) fn open(
        folder: &Path,
        format: OutputFormat,
        committed: &Progress,
        (last, ended): (LastCommit, Option<&LastCommit>),
    ) -> Result<Outputs, RunError> {
        let contracts = committed.contracts;
        let files = contracts.kept().iter().enumerate().map(|(at, message)| {
            let of_output = committed.outputs.get(at).cloned().unwrap_or_default();
            let stamp = ended.and_then(|ended| ended.stamp(committed.commits, at));
            OutputFile::open(path_of(folder, *message, format), *message, of_output, stamp)
        });
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        last.write_begun(folder)?;
        files.iter_mut().try_for_each(|file| file.begin(format, contracts))?;
        Ok(Outputs { folder: folder.to_owned(), format, contracts, files, last })
    }

    /// Refuses a folder that holds outputs of something else; called before the first commit.
    pub(super) fn ensure_absent(folder: &Path, format: OutputFormat) -> Result<(), RunError> {
        let mut paths = Message::KEPT.iter().map(|message| path_of(folder, *message, format));
        paths.find(|path| path.exists()).map_or(Ok(()), |path| Err(RunError::OutputExists(path)))
    }

    /// Follows orders until there are no more. Outputs go back when they are written, so that their buffers are used again.
    pub(super) fn run(
        mut self,
        store: &Store,
        orders: &Receiver<Order>,
        written: &SyncSender<Box<BatchOutput>>,
    ) -> Result<(), RunError> {
        std::thread::scope(|scope| {
            let (commits, due) = sync_channel::<DueCommit>(COMMITS_AHEAD);
            let folder = self.folder.clone();
            let committer = scope.spawn(move || due.into_iter().try_for_each(|due| due.commit(store, &folder)));
            let followed = self.follow(orders, written, &commits);
            drop(commits);
            let committed = committer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // A commit that failed is why no more could be handed over.
            committed.and(followed)
        })?;
        self.end()
    }

    /// Writes down how the files look now, if nothing stands behind the last commit.
    fn end(self) -> Result<(), RunError> {
        if self.files.iter().any(|file| !file.is_synced) {
            return Ok(());
        }
        let stamp = |file: &OutputFile| {
            let found = file.file.metadata().map_err(|error| RunError::File(file.path.clone(), error))?;
            Ok(Stamp::of(&found))
        };
        let stamps = self.files.iter().map(stamp).collect::<Result<Vec<_>, RunError>>()?;
        let written = self.last.ended(stamps).write(&self.folder);
        written.map_err(|error| RunError::File(last_commit::path(&self.folder), error))
    }

    fn follow(
        &mut self,
        orders: &Receiver<Order>,
        written: &SyncSender<Box<BatchOutput>>,
        commits: &SyncSender<DueCommit>,
    ) -> Result<(), RunError> {
        for order in orders {
            match order {
                Order::Append(output) => {
                    self.append(&output)?;
                    // If nobody takes it back, it is simply let go.
                    let _ = written.try_send(output);
                }
                Order::Commit(commit, progress) => {
                    let due = self.due_commit(*commit, *progress)?;
                    commits.send(due).map_err(|_| RunError::WriterStopped)?;
                }
                Order::Close => self.files.iter_mut().try_for_each(|file| file.close_block(self.contracts))?,
            }
        }
        Ok(())
    }

    fn append(&mut self, output: &BatchOutput) -> Result<(), RunError> {
        let (format, contracts) = (self.format, self.contracts);
        for file in &mut self.files {
            let encoded = match file.message {
                Message::Charge => &output.charges,
                Message::BalanceDelta => &output.deltas,
                Message::Suspense => &output.suspense,
                Message::Notification => &output.notifications,
                Message::CommandReply => &output.replies,
                Message::LifeEvent => &output.life_events,
            };
            file.append(format, contracts, encoded)?;
        }
        Ok(())
    }

    /// What a commit of everything written so far takes.
    fn due_commit(&mut self, mut commit: Commit, mut progress: Progress) -> Result<DueCommit, RunError> {
        progress.outputs = self.files.iter().map(OutputFile::progress).collect();
        progress.write(&mut commit.progress);
        self.last = LastCommit::new(progress.commits.unwrap_or_default(), last_commit::hash_of(&commit.progress));
        let unsynced = self.files.iter_mut().filter_map(|file| file.take_unsynced().transpose());
        Ok(DueCommit { files: unsynced.collect::<Result<_, _>>()?, commit, last: self.last.clone() })
    }
}

/// A commit that waits for the disk.
#[derive(Debug)]
struct DueCommit {
    /// Files with messages that may not be on the disk yet.
    files: Vec<(PathBuf, File)>,
    commit: Commit,
    last: LastCommit,
}

impl DueCommit {
    fn commit(self, store: &Store, folder: &Path) -> Result<(), RunError> {
        for (path, file) in self.files {
            file.sync_data().map_err(|error| RunError::File(path, error))?;
        }
        store.commit(&self.commit).map_err(RunError::Store)?;
        self.last.write(folder).map_err(|error| RunError::File(last_commit::path(folder), error))
    }
}

impl OutputFile {
    /// Opens a file and checks it; nothing in it is changed.
    fn open(
        path: PathBuf,
        message: Message,
        mut progress: OutputProgress,
        stamp: Option<Stamp>,
    ) -> Result<OutputFile, RunError> {
        if progress.bytes > 0 && !path.exists() {
            return Err(RunError::OutputMissing(path));
        }
        let mut file = private::open_file(&path).map_err(|error| RunError::File(path.clone(), error))?;
        let checksum = check_output((&path, &mut file), progress.bytes, progress.checksum, stamp)?;
        progress.checksum = Some(checksum);
        let checksum = crc32fast::Hasher::new_with_initial_len(checksum, progress.bytes);
        Ok(OutputFile { path, message, file, progress, checksum, is_synced: false })
    }

    /// Cuts off what was not committed, and goes on behind what was.
    fn begin(&mut self, format: OutputFormat, contracts: Contracts) -> Result<(), RunError> {
        let bytes = self.progress.bytes;
        let cut = self.file.set_len(bytes).and_then(|()| self.file.seek(SeekFrom::Start(bytes)));
        cut.map_err(|error| RunError::File(self.path.clone(), error))?;
        match bytes {
            0 => self.write(&format.header(self.message, contracts)),
            _ => Ok(()),
        }
    }

    fn progress(&self) -> OutputProgress {
        OutputProgress { checksum: Some(self.checksum.clone().finalize()), ..self.progress.clone() }
    }

    fn append(&mut self, format: OutputFormat, contracts: Contracts, encoded: &Encoded) -> Result<(), RunError> {
        match format {
            OutputFormat::JsonLines | OutputFormat::Csv => {
                self.progress.messages += encoded.ends.len() as u64;
                self.write(&encoded.bytes)
            }
            OutputFormat::Avro => self.append_blocks(contracts, encoded),
        }
    }

    fn append_blocks(&mut self, contracts: Contracts, encoded: &Encoded) -> Result<(), RunError> {
        let mut start = 0;
        let mut messages = encoded.ends.as_slice();
        while !messages.is_empty() {
            let room = BLOCK_MESSAGES.saturating_sub(self.progress.pending_messages).max(1);
            let room = usize::try_from(room).unwrap_or(1);
            let (now, later) = messages.split_at(room.min(messages.len()));
            let end = now.last().copied().unwrap_or(start);
            let bytes = encoded.bytes.get(start..end).unwrap_or_default();
            if now.len() as u64 == BLOCK_MESSAGES {
                // A whole block at once, the usual case: its bytes are not copied.
                self.write_block(contracts, BLOCK_MESSAGES, bytes)?;
            } else {
                self.progress.pending.extend_from_slice(bytes);
                self.progress.pending_messages += now.len() as u64;
                if self.progress.pending_messages == BLOCK_MESSAGES {
                    self.close_block(contracts)?;
                }
            }
            (start, messages) = (end, later);
        }
        Ok(())
    }

    fn close_block(&mut self, contracts: Contracts) -> Result<(), RunError> {
        if self.progress.pending_messages == 0 {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.progress.pending);
        let count = std::mem::take(&mut self.progress.pending_messages);
        self.write_block(contracts, count, &pending)
    }

    fn write_block(&mut self, contracts: Contracts, count: u64, bytes: &[u8]) -> Result<(), RunError> {
        let (head, tail) = block_frame(self.message, contracts, count, bytes.len());
        self.progress.messages += count;
        self.write(&head)?;
        self.write(bytes)?;
        self.write(&tail)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RunError> {
        if !bytes.is_empty() {
            self.file.write_all(bytes).map_err(|error| RunError::File(self.path.clone(), error))?;
            self.progress.bytes += bytes.len() as u64;
            self.checksum.update(bytes);
            self.is_synced = false;
        }
        Ok(())
    }

    /// The file, if something was written since the last call.
    fn take_unsynced(&mut self) -> Result<Option<(PathBuf, File)>, RunError> {
        if self.is_synced {
            return Ok(None);
        }
        self.is_synced = true;
        let file = self.file.try_clone().map_err(|error| RunError::File(self.path.clone(), error))?;
        Ok(Some((self.path.clone(), file)))
    }
}
