//! Who may read and write an output folder: looked at before anything in it is believed, as ssh looks at its keys.

use super::last_commit;
use super::output::path_of;
use super::{RunError, STATE_FILE, STATE_FOLDER};
use crate::private::{self, Exposure};
use crate::wire::{Message, OutputFormat};
use std::io;
use std::path::{Path, PathBuf};

/// Refuses a folder that somebody else may change, or could have changed: amounts and ids in it would be theirs. Files count where others may
/// come to them.
///
/// # Errors
/// [`RunError::Exposed`] with the first such path.
pub(super) fn check(folder: &Path) -> Result<(), RunError> {
    let mut paths = vec![folder.to_owned()];
    if is(private::others_may_enter, folder)? {
        let state = folder.join(STATE_FOLDER);
        paths.push(state.join(STATE_FILE));
        paths.push(state);
        paths.push(last_commit::path(folder));
        paths.extend(outputs(folder));
    }
    for path in paths {
        match private::exposure(&path) {
            Ok(None) => {}
            Ok(Some(exposure)) => return Err(RunError::Exposed(path, exposure)),
            Err(error) => return Err(RunError::File(path, error)),
        }
    }
    Ok(())
}

/// Makes a folder and its state for nobody else; of one that is there, only the state is taken from others.
pub(super) fn make(state: &Path) -> Result<(), RunError> {
    let made = private::make_folder(state).and_then(|()| private::close_folder(state));
    made.map_err(|error| RunError::File(state.to_owned(), error))
}

/// Returns true if others may read outputs of a folder: those of before are as somebody wanted them, or as an earlier version made them.
pub fn others_may_read(folder: &Path) -> bool {
    let all = || -> Result<bool, RunError> {
        if !is(private::others_may_enter, folder)? {
            return Ok(false);
        }
        outputs(folder).try_fold(false, |found, path| Ok(found || is(private::others_may_read, &path)?))
    };
    // What cannot be looked at cannot be shown to be open.
    all().unwrap_or(false)
}

fn outputs(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let of = move |format| Message::KEPT.iter().map(move |message| path_of(folder, *message, format));
    OutputFormat::ALL.into_iter().flat_map(of)
}

fn is(look: fn(&Path) -> io::Result<bool>, path: &Path) -> Result<bool, RunError> {
    look(path).map_err(|error| RunError::File(path.to_owned(), error))
}

/// Says what to do about a path that others may change.
pub(super) fn in_words(path: &Path, exposure: Exposure) -> String {
    let path = path.display();
    match exposure {
        Exposure::OwnedBy(user) => {
            format!(
                "{path}: belongs to another user ({user}), who may change it: chown it, or name a folder that is not there yet"
            )
        }
        Exposure::WritableByOthers => {
            format!("{path}: others may write here: chmod go-w {path}, or name a folder that is not there yet")
        }
    }
}
