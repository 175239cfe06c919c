//! What can be said of the inputs before anything is rated. Which of them are left is known when they are read, one after the other: a pipe
//! cannot be looked at beforehand.

use super::progress::InputSource;
use super::{Folder, InputFile, Recycle, RunError, RunSettings};
use crate::wire::{InputError, Splitter};

/// Whether the form of an input may be known from a run before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Formats {
    MayBeKnown,
    Needed,
}

/// Refuses inputs that cannot be rated into any folder.
pub(super) fn check(inputs: &[InputFile], formats: Formats) -> Result<(), RunError> {
    if let Some(twice) = inputs.iter().filter(|input| input.is_standard_input()).nth(1) {
        return Err(RunError::NotAnInput(twice.path.clone(), "is standard input, which can be read once"));
    }
    for input in inputs {
        if input.source()? == InputSource::Stream || formats == Formats::Needed {
            input.format()?;
        }
    }
    Ok(())
}

impl Folder {
    /// Refuses inputs that cannot be rated, as far as that can be told now.
    pub(super) fn plan(&mut self, settings: &RunSettings) -> Result<(), RunError> {
        let mut may_be_first = settings.inputs.is_empty() && settings.recycle != Recycle::Nothing;
        for input in &settings.inputs {
            match input.source()? {
                InputSource::Stream => may_be_first = true,
                InputSource::File => {
                    let reader = input.open()?;
                    let candidates = self.candidates(input, &reader);
                    may_be_first |= candidates
                        .iter()
                        .any(|at| self.progress.inputs.get(*at).is_some_and(|known| known.is_interrupted()));
                    if candidates.is_empty() {
                        match Splitter::open_as(reader, input.format()?, settings.ending) {
                            Ok(_) | Err(InputError::Unfinished(_)) => {}
                            Err(error) => return Err(RunError::Input(input.path.clone(), error)),
                        }
                    }
                }
            }
        }
        if may_be_first { Ok(()) } else { self.ensure_first(None, settings) }
    }
}
