//! Bytes of what is suspended, in memory up to a bound and beyond it in a scratch file.
//!
//! The file has no name, nobody else can open it, and it is gone with the process: it is filled anew from the changelog at each start. What is kept here is
//! freed when its last [`Body`] is dropped, so that undoing and settling a batch move handles only. Space in the file is used again; at the end of the file it is given
//! back.

use crate::worker::StageError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where bytes of suspended messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchSettings {
    /// Bytes that are kept in memory.
    pub memory_bytes: u64,
    /// The folder of the scratch file.
    pub folder: PathBuf,
}

impl Default for ScratchSettings {
    /// 64 MiB in memory, the rest where the system keeps what is temporary.
    fn default() -> ScratchSettings {
        ScratchSettings { memory_bytes: 64 << 20, folder: std::env::temp_dir() }
    }
}

impl ScratchSettings {
    /// Checks that a scratch file can be made.
    ///
    /// # Errors
    /// It cannot, with why.
    pub fn check(&self) -> Result<(), String> {
        let made = make_file(&self.folder).map(drop);
        made.map_err(|error| format!("--scratch-folder {}: {error}", self.folder.display()))
    }
}

/// Keeps bytes.
#[derive(Clone, Debug)]
pub(super) struct Bodies(Arc<Mutex<Kept>>);

/// Bytes that are kept, as long as this or a clone of it lives.
#[derive(Clone, Debug)]
pub(super) struct Body(Arc<Held>);

#[derive(Debug)]
struct Held {
    place: Place,
    length: u64,
    bodies: Bodies,
}

#[derive(Debug)]
enum Place {
    Memory(Box<[u8]>),
    File { start: u64 },
}

#[derive(Debug)]
struct Kept {
    settings: ScratchSettings,
    /// Bytes in memory.
    in_memory: u64,
    file: Option<File>,
    space: Space,
}

impl Bodies {
    pub(super) fn new(settings: ScratchSettings) -> Bodies {
        Bodies(Arc::new(Mutex::new(Kept { settings, in_memory: 0, file: None, space: Space::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// The scratch file cannot be made or written; then nothing has changed.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<Body, StageError> {
        let length = bytes.len() as u64;
        let mut kept = self.lock();
        let place = if kept.in_memory + length <= kept.settings.memory_bytes {
            kept.in_memory += length;
            Place::Memory(bytes.into())
        } else {
            Place::File { start: kept.write(bytes).map_err(|error| kept.failed("write", &error))? }
        };
        Ok(Body(Arc::new(Held { place, length, bodies: self.clone() })))
    }

    /// Bytes in memory, and the length of the file.
    #[cfg(test)]
    fn sizes(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.in_memory, kept.space.end)
    }
}

impl Body {
    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.0.length
    }

    /// The bytes.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn read(&self) -> Result<Vec<u8>, StageError> {
        match &self.0.place {
            Place::Memory(bytes) => Ok(bytes.to_vec()),
            Place::File { start } => {
                let mut kept = self.0.bodies.lock();
                kept.read(*start, self.0.length).map_err(|error| kept.failed("read", &error))
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut kept = self.bodies.lock();
        match self.place {
            Place::Memory(_) => kept.in_memory -= self.length,
            Place::File { start } => kept.free(start, self.length),
        }
    }
}

impl Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(make_file(&self.settings.folder)?),
        };
        let start = self.space.take(bytes.len() as u64);
        let written = file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(bytes));
        if let Err(error) = written {
            self.free(start, bytes.len() as u64);
            return Err(error);
        }
        Ok(start)
    }

    fn read(&mut self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn free(&mut self, start: u64, length: u64) {
        let end = self.space.end;
        self.space.give(start, length);
        if let Some(file) = self.file.as_ref().filter(|_| self.space.end < end) {
            // A file that stays longer than it has to be costs space and nothing else.
            let _ = file.set_len(self.space.end);
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> StageError {
        let folder = self.settings.folder.display();
        StageError::Surroundings(format!(
            "cannot {what} the scratch file of what is suspended in {folder}: {error}; --scratch-folder names another folder, and \
             --suspense-memory how much is kept without it. Nothing is lost: it is made anew at the next start"
        ))
    }
}

/// Makes a file without a name, which its owner alone may read: without a name it is still to be seen among the open files of the process.
fn make_file(folder: &Path) -> io::Result<File> {
    let file = tempfile::tempfile_in(folder)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// The parts of a file that are free.
#[derive(Debug, Default)]
struct Space {
    /// The file ends here.
    end: u64,
    /// Lengths of free parts before the end, by where they start. No two touch each other, and none touches the end.
    free: BTreeMap<u64, u64>,
    /// The same by length, then start.
    by_length: BTreeSet<(u64, u64)>,
}

impl Space {
    /// Takes the smallest free part that is large enough, or what is behind the end.
    fn take(&mut self, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        let Some((found, start)) = self.by_length.range((length, 0)..).next().copied() else {
            let start = self.end;
            self.end += length;
            return start;
        };
        self.remove(start, found);
        if found > length {
            self.insert(start + length, found - length);
        }
        start
    }

    /// Gives a part back.
    fn give(&mut self, mut start: u64, mut length: u64) {
        if length == 0 {
            return;
        }
        let before = self.free.range(..start).next_back().map(|(start, length)| (*start, *length));
        if let Some((earlier, its_length)) = before.filter(|(earlier, its_length)| earlier + its_length == start) {
            self.remove(earlier, its_length);
            (start, length) = (earlier, its_length + length);
        }
        if let Some(its_length) = self.free.get(&(start + length)).copied() {
            self.remove(start + length, its_length);
            length += its_length;
        }
        match start + length == self.end {
            true => self.end = start,
            false => self.insert(start, length),
        }
    }

    fn insert(&mut self, start: u64, length: u64) {
        self.free.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.free.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{Hash, Hasher};

    /// Numbers that look random, the same each time.
    fn number(seed: u64) -> u64 {
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(1, 2);
        seed.hash(&mut hasher);
        hasher.finish()
    }

    fn bodies(memory_bytes: u64, folder: &std::path::Path) -> Bodies {
        Bodies::new(ScratchSettings { memory_bytes, folder: folder.to_owned() })
    }

    #[test]
    fn what_is_kept_is_read_again_and_space_is_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for (seed, memory_bytes) in [(1, 0), (2, 500), (3, u64::MAX)] {
            let bodies = bodies(memory_bytes, folder.path());
            let mut kept: Vec<(Body, Vec<u8>)> = Vec::new();
            let (mut most, mut longest) = (0, 0);
            for step in 0..4_000 {
                let random = number(seed * 1_000_000 + step);
                if random.is_multiple_of(3) && !kept.is_empty() || kept.len() > 40 {
                    kept.swap_remove((random / 7) as usize % kept.len());
                } else {
                    let bytes = vec![random as u8; (random / 11 % 300) as usize];
                    kept.push((bodies.keep(&bytes).expect("kept"), bytes));
                }
                let live: u64 = kept.iter().map(|(body, _)| body.len()).sum();
                let (in_memory, in_file) = bodies.sizes();
                assert!(in_memory <= memory_bytes && in_memory + in_file >= live);
                (most, longest) = (most.max(live), longest.max(in_file));
                if step % 50 == 0 {
                    kept.iter().for_each(|(body, bytes)| assert_eq!(&body.read().expect("read"), bytes));
                }
            }
            assert!(longest < 2 * most, "{longest} bytes of file for {most}");
            assert_eq!(longest == 0, memory_bytes == u64::MAX);
            kept.clear();
            assert_eq!(bodies.sizes(), (0, 0));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "the file has no name");
    }

    #[test]
    fn a_clone_keeps_what_its_original_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = bodies(0, folder.path());
        let first = bodies.keep(b"first").expect("kept");
        let again = first.clone();
        drop(first);
        let second = bodies.keep(b"second").expect("kept");
        assert_eq!(
            (again.read().expect("read"), second.read().expect("read")),
            (b"first".to_vec(), b"second".to_vec())
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let bodies = bodies(3, std::path::Path::new("not/there"));
        let _fits = bodies.keep(b"abc").expect("in memory");
        let said = bodies.keep(b"d").expect_err("no folder").to_string();
        assert!(said.contains("not/there") && said.contains("--scratch-folder"), "{said}");
        assert_eq!(bodies.sizes().0, 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said_and_what_was_kept_is_still_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = bodies(0, folder.path());
        let first = bodies.keep(b"first").expect("kept");
        let mode = bodies.lock().file.as_ref().expect("a file").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let full = File::options().write(true).open("/dev/full").expect("a full device");
        let whole = bodies.lock().file.replace(full);
        let said = bodies.keep(b"second").expect_err("full").to_string();
        assert!(said.contains("No space left on device") && said.contains("Nothing is lost"), "{said}");
        bodies.lock().file = whole;
        assert_eq!(first.read().expect("read"), b"first");
        assert_eq!(bodies.sizes(), (0, 5));
        drop(first);
        assert_eq!(bodies.sizes(), (0, 0));
    }
}
