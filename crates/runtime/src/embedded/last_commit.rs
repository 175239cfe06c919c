//! What the last commit left, in a file beside the outputs: a witness that the state and the outputs belong together.
//!
//! The state holds a checksum of each output, so an output that was edited, or is of another folder, is found by reading it. Reading all of
//! them at every start would cost more the older a folder is. So a run that ends writes down how the system describes each file (its number, length and times): a
//! file that still looks so was not touched, and is not read. After a crash, a copy or a restore all of them are read once.
//!
//! The state cannot bear witness against an older copy of itself, which looks like the state of a run that was killed; this file can. It is
//! written after each commit and brought to the disk only when a run begins, so it may lag behind the state, and never runs ahead of it.
//! Without it, as in folders of before, nothing is known but the checksums.

use super::progress::Progress;
use super::{RunError, STATE_FILE, STATE_FOLDER};
use crate::private;
use serde_json::{Value, json};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Its name, beside the outputs: whoever puts back the folder of the state alone does not put this back.
const FILE: &str = ".last-commit";
/// Version of its form; others are as good as none.
const VERSION: u64 = 1;
/// Bytes read at a time to check an output.
const CHECK_BYTES: usize = 1 << 18;

/// What is known of the last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastCommit {
    /// How many commits the folder has had.
    commits: u64,
    /// Hash of the progress that it wrote.
    state: u128,
    /// How each output looked when the run had ended; `None` while one is at work.
    outputs: Option<Vec<Stamp>>,
}

/// How the system describes a file. The time of its last change (`ctime`) is nobody's to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u64; 7]);

impl Stamp {
    pub(super) fn of(file: &Metadata) -> Stamp {
        let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()].map(i64::cast_unsigned);
        let [modified_s, modified_ns, changed_s, changed_ns] = times;
        Stamp([file.len(), file.dev(), file.ino(), modified_s, modified_ns, changed_s, changed_ns])
    }

    fn read(value: &Value) -> Option<Stamp> {
        let numbers: Option<Vec<u64>> = value.as_array()?.iter().map(Value::as_u64).collect();
        Some(Stamp(numbers?.try_into().ok()?))
    }

    fn bytes(self) -> u64 {
        let Stamp([bytes, ..]) = self;
        bytes
    }
}

/// Returns the hash by which the witness knows a progress.
pub(super) fn hash_of(progress: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(progress);
    hasher.finish128().as_u128()
}

impl LastCommit {
    pub(super) fn new(commits: u64, state: u128) -> LastCommit {
        LastCommit { commits, state, outputs: None }
    }

    /// The run has ended, and its outputs look like this.
    pub(super) fn ended(self, outputs: Vec<Stamp>) -> LastCommit {
        LastCommit { outputs: Some(outputs), ..self }
    }

    /// Reads what a folder has; a file that is none is as good as missing.
    pub(super) fn read(folder: &Path) -> Option<LastCommit> {
        let value: Value = serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()?;
        if value["version"].as_u64() != Some(VERSION) {
            return None;
        }
        let outputs = match &value["outputs"] {
            Value::Array(stamps) => Some(stamps.iter().map(Stamp::read).collect::<Option<Vec<_>>>()?),
            _ => None,
        };
        let state = u128::from_str_radix(value["state"].as_str()?, 16).ok()?;
        Some(LastCommit { commits: value["commits"].as_u64()?, state, outputs })
    }

    /// Writes it in place of the one before.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let LastCommit { commits, state, outputs } = self;
        let outputs = outputs.as_ref().map(|all| all.iter().map(|Stamp(numbers)| json!(numbers)).collect::<Vec<_>>());
        let state = format!("{state:032x}");
        let value = json!({ "version": VERSION, "commits": commits, "state": state, "outputs": outputs });
        let beside = folder.join(format!("{FILE}.new"));
        private::create_file(&beside)?.write_all(format!("{value}\n").as_bytes())?;
        std::fs::rename(beside, folder.join(FILE))
    }

    /// Writes that a run is at work, and brings it to the disk: what the run writes behind the last commit is no edit.
    pub(super) fn write_begun(&self, folder: &Path) -> Result<(), RunError> {
        let begun = LastCommit { outputs: None, ..self.clone() };
        let written = begun.write(folder);
        let synced = written.and_then(|()| File::open(folder.join(FILE))?.sync_all());
        synced.and_then(|()| File::open(folder)?.sync_all()).map_err(|error| RunError::File(folder.join(FILE), error))
    }

    /// Forgets what was before a folder was emptied and begun anew.
    pub(super) fn forget(folder: &Path) -> Result<(), RunError> {
        match std::fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RunError::File(folder.join(FILE), error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Refuses a state that is not the one of the last commit. A later one is fine: the witness may lag.
    ///
    /// # Errors
    /// [`RunError::StateOlder`], [`RunError::StateForeign`].
    pub(super) fn check_state(&self, folder: &Path, progress: &Progress, state: u128) -> Result<(), RunError> {
        // A program of before has committed, and counts none.
        let Some(commits) = progress.commits else { return Ok(()) };
        let path = folder.join(STATE_FOLDER).join(STATE_FILE);
        if commits < self.commits {
            return Err(RunError::StateOlder { path, commits, last: self.commits });
        }
        if commits == self.commits && state != self.state {
            return Err(RunError::StateForeign(path));
        }
        Ok(())
    }

    /// How an output looked at the end of the last run, if that left the state that is there.
    pub(super) fn stamp(&self, commits: Option<u64>, at: usize) -> Option<Stamp> {
        self.outputs.as_ref().filter(|_| commits == Some(self.commits))?.get(at).copied()
    }
}

/// Returns the checksum of the committed bytes of an output, having read them if they may have changed.
///
/// # Errors
/// [`RunError::OutputTouched`] where there are fewer, [`RunError::OutputEdited`] where they are others or a run that ended left fewer.
pub(super) fn check_output(
    (path, file): (&Path, &mut File),
    bytes: u64,
    known: Option<u32>,
    stamp: Option<Stamp>,
) -> Result<u32, RunError> {
    let failed = |error| RunError::File(path.to_owned(), error);
    let found = Stamp::of(&file.metadata().map_err(failed)?);
    if found.bytes() < bytes {
        return Err(RunError::OutputTouched(path.to_owned()));
    }
    if let (Some(known), Some(stamp)) = (known, stamp) {
        if found == stamp {
            return Ok(known);
        }
        if found.bytes() > stamp.bytes() {
            return Err(RunError::OutputEdited(path.to_owned()));
        }
    }
    let checksum = checksum_of(file, bytes).map_err(failed)?;
    // A folder of before has none: what is there now is what is believed from now on.
    match known {
        Some(known) if known != checksum => Err(RunError::OutputEdited(path.to_owned())),
        Some(_) | None => Ok(checksum),
    }
}

fn checksum_of(file: &mut File, bytes: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut rest = file.take(bytes);
    let mut buffer = vec![0; CHECK_BYTES];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the witness is, for whoever looks at who may write it.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}
