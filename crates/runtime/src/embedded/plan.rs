//! Which inputs a run rates: those given, less those that the folder has rated before.

use super::{Folder, InputFile, InputProgress, Recycle, RunError, RunSettings, input};
use std::path::{Path, PathBuf};

impl Folder {
    /// Which inputs are left, and their places in the progress. An interrupted input has to be among them.
    pub(super) fn plan<'s>(&mut self, settings: &'s RunSettings) -> Result<Vec<(usize, &'s InputFile)>, RunError> {
        let mut left = Vec::new();
        for (input, (size, hash)) in settings.inputs.iter().zip(self.given.clone()) {
            let known = self.progress.inputs.iter().position(|known| known.size == size && known.hash == hash);
            match known {
                Some(at) if self.progress.inputs.get(at).is_some_and(|known| known.done) => {
                    self.skipped.push(input.name());
                }
                Some(at) if self.progress.inputs.get(at).is_some_and(InputProgress::is_begun) => left.push((at, input)),
                Some(_) | None => {
                    let (_, decoder) = input::open(&input.path, input.format()?)?;
                    let mut planned = InputProgress {
                        name: Box::default(),
                        path: absolute(&input.path).display().to_string().into(),
                        size,
                        hash,
                        decoder: decoder.describe(),
                        records: 0,
                        done: false,
                        broken: false,
                    };
                    let at = known.unwrap_or(self.progress.inputs.len());
                    planned.name = self.free_name(&input.name(), at);
                    match self.progress.inputs.get_mut(at) {
                        Some(known) => *known = planned,
                        None => self.progress.inputs.push(planned),
                    }
                    left.push((at, input));
                }
            }
        }
        left.dedup_by_key(|(at, _)| *at);
        let mut unfinished = self
            .progress
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, known)| known.is_begun() && !known.done && !known.broken);
        let begun = unfinished.next();
        if let Some((at, known)) = begun
            && left.first().is_none_or(|(first, _)| *first != at)
            && !(settings.inputs.is_empty() && settings.recycle != Recycle::Nothing)
        {
            return Err(RunError::Unfinished(known.name.clone()));
        }
        Ok(left)
    }

    /// A name that no other input has: what waits finds its input, and so the form of its bytes, by it, also when a file of the same
    /// name had other contents before.
    fn free_name(&self, name: &str, at: usize) -> Box<str> {
        let is_taken = |name: &str| {
            let others = self.progress.inputs.iter().enumerate().filter(|(other, _)| *other != at);
            others.into_iter().any(|(_, known)| &*known.name == name) || name == crate::grants::INPUT
        };
        let numbered = (2..).map(|number: u32| format!("{name}#{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_default().into()
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
