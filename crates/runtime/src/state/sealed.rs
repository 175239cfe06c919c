//! Record ids moved out of memory: sorted, immutable files, so that memory does not grow with the number of records.
//!
//! A run holds entries of 16 bytes (key, value) in order of the key. Keys are hashes, so that the first bits of a key say well where it
//! stands: per run an index of bucket starts is kept in memory, and a look-up reads one bucket. Runs of similar size are merged, so that
//! there are few; a run whose every event lies behind the window is dropped.

use super::codec::Stored;
use super::derive::record;
use crate::private;
use format::Corrupt;
use pipeline::duplicates::hour_of;
use siphasher::sip::SipHasher13;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const ENTRY_BYTES: usize = 16;
/// Entries to a bucket, about: one kilobyte is read per look-up.
const BUCKET_ENTRIES: u64 = 64;
/// How many runs of one size are merged into the next.
const MERGE_RUNS: usize = 4;

/// A run, as remembered by a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Number in the file's name.
    pub number: u64,
    /// Entries.
    pub entries: u64,
    /// The latest hour of an event in it.
    pub last_hour: i64,
    /// Hash of its contents.
    pub hash: u64,
}

record!(RunInfo { number, entries, last_hour, hash });

#[derive(Debug)]
struct Run {
    info: RunInfo,
    path: PathBuf,
    file: File,
    /// Bits of a key beyond its bucket.
    shift: u32,
    /// First entry of each bucket, and the end.
    starts: Vec<u32>,
}

/// All runs of a folder.
#[derive(Debug)]
pub struct SealedIds {
    folder: PathBuf,
    runs: Vec<Run>,
    next_number: u64,
    /// Files that no commit names any more.
    obsolete: Vec<PathBuf>,
}

impl SealedIds {
    /// Opens the runs that a commit named.
    ///
    /// # Errors
    /// A run cannot be read, or is not what was committed.
    pub fn open(folder: &Path, infos: &[RunInfo]) -> io::Result<SealedIds> {
        let mut sealed = SealedIds {
            folder: folder.to_owned(),
            runs: Vec::new(),
            next_number: infos.iter().map(|info| info.number + 1).max().unwrap_or(0),
            obsolete: Vec::new(),
        };
        for info in infos {
            let run = sealed.index(info.clone())?;
            sealed.runs.push(run);
        }
        Ok(sealed)
    }

    /// What is kept under a key.
    ///
    /// # Errors
    /// A run cannot be read.
    pub fn find(&self, key: u64) -> io::Result<Option<u64>> {
        let mut buffer = Vec::new();
        let mut latest: Option<u64> = None;
        for run in &self.runs {
            // A key may stand in two runs: once forgotten by the window and once remembered anew.
            if let Some(value) = run.find(key, &mut buffer)? {
                latest = Some(latest.map_or(value, |known| later(known, value)));
            }
        }
        Ok(latest)
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Writes entries as a new run, on the disk when this returns, and merges runs of similar size.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn seal(&mut self, mut entries: Vec<(u64, u64)>) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        entries.sort_unstable();
        let run = self.write(entries.into_iter().map(Ok))?;
        self.runs.push(run);
        while let Some(first) = self.mergeable() {
            let merged = self.write(Merge::new(&self.runs[first..])?)?;
            let replaced = self.runs.split_off(first);
            self.obsolete.extend(replaced.into_iter().map(|run| run.path));
            self.runs.push(merged);
        }
        Ok(())
    }

    /// The first of the last runs, if these are of one size.
    fn mergeable(&self) -> Option<usize> {
        let first = self.runs.len().checked_sub(MERGE_RUNS)?;
        let last = self.runs.get(first..)?;
        let smallest = last.iter().map(|run| run.info.entries).min()?;
        // Where buckets start is kept in 32 bits.
        if last.iter().map(|run| run.info.entries).sum::<u64>() > u64::from(u32::MAX) {
            return None;
        }
        last.iter().all(|run| run.info.entries < smallest.saturating_mul(MERGE_RUNS as u64)).then_some(first)
    }

    /// Lets go of runs whose every event is before an hour.
    pub fn forget(&mut self, before_hour: i64) {
        let (kept, gone) =
            std::mem::take(&mut self.runs).into_iter().partition(|run| run.info.last_hour >= before_hour);
        self.runs = kept;
        self.obsolete.extend(gone.into_iter().map(|run: Run| run.path));
    }

    /// What a commit has to name.
    pub fn infos(&self) -> Vec<RunInfo> {
        self.runs.iter().map(|run| run.info.clone()).collect()
    }

    /// Files that may be removed once the commit that no longer names them is on the disk.
    pub fn take_obsolete(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.obsolete)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("ids-{number}"))
    }

    fn write(&mut self, entries: impl Iterator<Item = io::Result<(u64, u64)>>) -> io::Result<Run> {
        let number = self.next_number;
        self.next_number += 1;
        let mut info = RunInfo { number, entries: 0, last_hour: 0, hash: 0 };
        let mut hasher = SipHasher13::new();
        let mut file = BufWriter::with_capacity(1 << 20, private::create_file(&self.path(number))?);
        for entry in entries {
            let (key, value) = entry?;
            file.write_all(&key.to_le_bytes())?;
            file.write_all(&value.to_le_bytes())?;
            hasher.write_u64(key);
            hasher.write_u64(value);
            info.entries += 1;
            info.last_hour = info.last_hour.max(hour_of(value));
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        info.hash = hasher.finish();
        self.index(info)
    }

    fn index(&self, info: RunInfo) -> io::Result<Run> {
        let path = self.path(info.number);
        let file = File::open(&path)?;
        let foreign = || io::Error::other(format!("{}: is not what was committed", path.display()));
        let size = info.entries.checked_mul(ENTRY_BYTES as u64).filter(|_| info.entries <= u64::from(u32::MAX));
        if Some(file.metadata()?.len()) != size {
            return Err(foreign());
        }
        let buckets = (info.entries / BUCKET_ENTRIES).max(1).next_power_of_two();
        let shift = 64 - buckets.trailing_zeros();
        let mut starts = Vec::with_capacity(buckets as usize + 1);
        let mut reader = BufReader::with_capacity(1 << 18, &file);
        let mut at = 0;
        let mut hasher = SipHasher13::new();
        while let Some((key, value)) = next_entry(&mut reader)? {
            hasher.write_u64(key);
            hasher.write_u64(value);
            let bucket = key.checked_shr(shift).unwrap_or(0);
            while starts.len() as u64 <= bucket {
                starts.push(at);
            }
            at += 1;
        }
        if hasher.finish() != info.hash {
            return Err(foreign());
        }
        starts.resize(buckets as usize + 1, at);
        Ok(Run { info, path, file, shift, starts })
    }
}

impl Run {
    fn find(&self, key: u64, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let bucket = key.checked_shr(self.shift).unwrap_or(0) as usize;
        let (Some(from), Some(to)) = (self.starts.get(bucket), self.starts.get(bucket + 1)) else { return Ok(None) };
        buffer.resize((to - from) as usize * ENTRY_BYTES, 0);
        self.file.read_exact_at(buffer, u64::from(*from) * ENTRY_BYTES as u64)?;
        let (entries, _) = buffer.as_chunks::<ENTRY_BYTES>();
        let found = entries.binary_search_by_key(&key, |entry| split(entry).0);
        Ok(found.ok().and_then(|at| entries.get(at)).map(|entry| split(entry).1))
    }
}

fn split(entry: &[u8; ENTRY_BYTES]) -> (u64, u64) {
    let number = |half: &[u8]| half.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (key, value) = entry.split_at(8);
    (number(key), number(value))
}

/// A run being read, and its next entry.
type Source = (Option<(u64, u64)>, BufReader<File>);

/// The one of two values under a key whose event is later.
fn later(one: u64, other: u64) -> u64 {
    if hour_of(other) > hour_of(one) { other } else { one }
}

/// Runs merged in order of the key. Of a key that stands in two runs the later event is kept.
struct Merge {
    sources: Vec<Source>,
}

impl Merge {
    fn new(runs: &[Run]) -> io::Result<Merge> {
        let mut sources = Vec::new();
        for run in runs {
            let mut reader = BufReader::with_capacity(1 << 18, File::open(&run.path)?);
            sources.push((next_entry(&mut reader)?, reader));
        }
        Ok(Merge { sources })
    }
}

fn next_entry(reader: &mut impl Read) -> io::Result<Option<(u64, u64)>> {
    let mut entry = [0; ENTRY_BYTES];
    match reader.read_exact(&mut entry) {
        Ok(()) => Ok(Some(split(&entry))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl Iterator for Merge {
    type Item = io::Result<(u64, u64)>;

    fn next(&mut self) -> Option<io::Result<(u64, u64)>> {
        let (key, mut value) = self.sources.iter().filter_map(|(head, _)| *head).min()?;
        for (head, reader) in &mut self.sources {
            while let Some((_, twin)) = head.filter(|(twin, _)| *twin == key) {
                value = later(value, twin);
                match next_entry(reader) {
                    Ok(next) => *head = next,
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        Some(Ok((key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that looks random: a seed's successor in a linear congruence, mixed.
    fn mixed(number: u64) -> u64 {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }

    #[test]
    fn what_was_sealed_is_found_also_after_merging_and_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = SealedIds::open(folder.path(), &[]).unwrap();
        for run in 0..11_u64 {
            let entries = (0..1000).map(|at| (mixed(run * 1000 + at), run << 24 | (run + 1))).collect();
            sealed.seal(entries).unwrap();
        }
        assert!(sealed.runs.len() < 6, "{} runs", sealed.runs.len());
        let reopened = SealedIds::open(folder.path(), &sealed.infos()).unwrap();
        for sealed in [&sealed, &reopened] {
            for number in 0..11_000 {
                let run = number / 1000;
                assert_eq!(sealed.find(mixed(number)).unwrap(), Some(run << 24 | (run + 1)), "{number}");
            }
            for number in 20_000..21_000 {
                assert_eq!(sealed.find(mixed(number)).unwrap(), None);
            }
        }
    }

    #[test]
    fn runs_behind_the_window_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = SealedIds::open(folder.path(), &[]).unwrap();
        sealed.seal(vec![(1, 10), (2, 20)]).unwrap();
        sealed.forget(20);
        assert_eq!(sealed.find(2).unwrap(), Some(20));
        sealed.forget(21);
        assert!(sealed.is_empty());
        assert_eq!(sealed.take_obsolete().len(), 1);
    }

    #[test]
    fn of_a_key_that_came_back_the_later_event_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = SealedIds::open(folder.path(), &[]).unwrap();
        for hour in [1, 9, 2, 3] {
            sealed.seal(vec![(7, hour), (mixed(hour), hour)]).unwrap();
            assert_eq!(sealed.find(7).unwrap(), Some(if hour == 1 { 1 } else { 9 }));
        }
        assert_eq!(sealed.runs.len(), 1, "merged");
        assert_eq!(sealed.infos().iter().map(|info| info.entries).sum::<u64>(), 5);
    }

    #[test]
    fn a_run_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = SealedIds::open(folder.path(), &[]).unwrap();
        sealed.seal(vec![(1, 10), (2, 20)]).unwrap();
        let infos = sealed.infos();
        let path = folder.path().join("ids-0");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            std::fs::write(&path, changed).unwrap();
            assert!(SealedIds::open(folder.path(), &infos).is_err(), "byte {at}");
        }
        std::fs::write(&path, whole).unwrap();
        assert!(SealedIds::open(folder.path(), &infos).is_ok());
    }

    #[test]
    fn a_run_that_was_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = SealedIds::open(folder.path(), &[]).unwrap();
        sealed.seal(vec![(1, 10), (2, 20)]).unwrap();
        let infos = sealed.infos();
        File::options().write(true).open(folder.path().join("ids-0")).unwrap().set_len(17).unwrap();
        assert!(SealedIds::open(folder.path(), &infos).is_err());
    }
}
