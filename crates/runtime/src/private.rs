//! Files and folders that only their owner reads and writes.
//!
//! They are made so: there is no moment in which they are open, and no umask opens them. What is there already stays as somebody made it, except
//! the state, with which nobody but the program has to do.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What only the owner may do with a folder, and with a file.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Whoever is not the owner, and what they may do.
const OTHERS: u32 = 0o077;
const OTHERS_READ: u32 = 0o044;
const OTHERS_WRITE: u32 = 0o022;
const OTHERS_ENTER: u32 = 0o011;

/// Makes a folder, and those above it that are missing.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Takes a folder from everybody but its owner.
///
/// # Errors
/// It is not ours.
pub(crate) fn close_folder(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.mode() & OTHERS == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

/// Opens a file to be written, and makes it if it is not there; what it holds stays.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(FILE_MODE).open(path)
}

/// Makes a file, or empties one that is there.
///
/// # Errors
/// It cannot be made.
pub fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(FILE_MODE).open(path)
}

/// Why a folder or file cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Somebody who is neither this user nor root may change it whenever they like.
    OwnedBy(u32),
    /// Its group, or everybody, may write in it.
    WritableByOthers,
}

/// Finds out whether somebody else may have changed a file or folder; what is not there is fine.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn exposure(path: &Path) -> io::Result<Option<Exposure>> {
    let Some(found) = look(path)? else { return Ok(None) };
    Ok(match found.uid() {
        owner if owner != 0 && owner != rustix::process::geteuid().as_raw() => Some(Exposure::OwnedBy(owner)),
        _ if found.mode() & OTHERS_WRITE != 0 => Some(Exposure::WritableByOthers),
        _ => None,
    })
}

/// Returns true if others may enter a folder.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn others_may_enter(folder: &Path) -> io::Result<bool> {
    Ok(look(folder)?.is_some_and(|found| found.mode() & OTHERS_ENTER != 0))
}

/// Returns true if others may read a file once they have come to it.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn others_may_read(file: &Path) -> io::Result<bool> {
    Ok(look(file)?.is_some_and(|found| found.mode() & OTHERS_READ != 0))
}

fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
