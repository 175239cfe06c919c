//! Creates the generators' output files.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// A new, buffered file `name` in `directory`; what was there is replaced.
///
/// # Errors
/// When the file cannot be created; the text names it.
pub(super) fn create(directory: &Path, name: &str) -> io::Result<BufWriter<File>> {
    let path = directory.join(name);
    let file =
        File::create(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
