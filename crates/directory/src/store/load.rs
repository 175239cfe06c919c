//! A whole directory into the store.

use super::change::{Change, What};
use super::definition::{Definition, Kind, definitions_of, read_files};
use super::plan::{PlanError, check_fixed};
use super::rows::definitions;
use super::write::Author;
use super::{Error, Store, TakeOver};
use crate::cache::{Head, Version};
use crate::load::{Input, Loaded};
use std::collections::BTreeMap;

/// What to do where the store holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Refuse.
    No,
    /// Make it hold what is loaded and nothing else.
    Yes,
}

/// A load that was planned: what has to be written so that the store holds what the files say.
#[derive(Debug)]
pub struct Loading {
    head: Head,
    changes: Vec<Change>,
}

impl Loading {
    /// What is written.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The version of the store that this was planned on.
    pub fn base(&self) -> Version {
        self.head.version
    }
}

impl Store {
    /// Plans to make the store hold what was loaded from these inputs. Reads everything that the store holds.
    ///
    /// # Errors
    /// [`Error::Usage`] for a store that holds something already, unless it may be replaced; an account's currency that is another one.
    pub async fn plan_load(&self, inputs: &[Input], loaded: &Loaded, replace: Replace) -> Result<Loading, PlanError> {
        let head = self.head_to_write().await?.head;
        let new = definitions_of(inputs, &loaded.model);
        if head.version == Version(0) {
            return Ok(Loading { head, changes: added(new) });
        }
        if replace == Replace::No {
            return Err(PlanError::Store(Error::Usage(format!(
                "the store holds version {} already: --replace makes it hold these files instead",
                head.version
            ))));
        }
        let changes = difference(self.everything(&head, &mut |_| {}).await?, new);
        if changes.iter().any(|change| change.kind == Kind::Account && change.what() == What::Changed) {
            let files = read_files(inputs).map_err(|refused| PlanError::Refused(Box::new(refused)))?;
            check_fixed(files, &changes)?;
        }
        Ok(Loading { head, changes })
    }

    /// Writes what was planned. `progress` hears how many definitions are written. Nothing is written where nothing changes.
    ///
    /// # Errors
    /// See [`Error`]; nothing of it counts then.
    pub async fn carry_out(
        &self,
        loading: &Loading,
        author: Author,
        take_over: TakeOver,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Version, Error> {
        if loading.changes.is_empty() {
            return Ok(loading.head.version);
        }
        let writer = self.begin(&loading.head, author, take_over).await?;
        writer.finish(&loading.changes, progress).await
    }

    /// Every definition that a head holds, endpoints behind the others, each kind by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn everything(&self, head: &Head, progress: &mut dyn FnMut(u64)) -> Result<Vec<Definition>, Error> {
        let mut all = definitions(self.definitions(head).await?);
        let endpoints = self.all_endpoints(head, progress).await?;
        all.extend(endpoints.into_iter().map(|(name, body)| Definition { kind: Kind::Endpoint, name, body }));
        Ok(all)
    }

    /// What differs between the store and loaded files: what the files say is new.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn diff(&self, inputs: &[Input], loaded: &Loaded) -> Result<(Version, Vec<Change>), Error> {
        let head = self.head_row().await?.head;
        let held = self.everything(&head, &mut |_| {}).await?;
        Ok((head.version, difference(held, definitions_of(inputs, &loaded.model))))
    }
}

fn added(new: Vec<Definition>) -> Vec<Change> {
    let change = |Definition { kind, name, body }| Change::new(kind, name, None, Some(body));
    new.into_iter().map(change).collect()
}

/// Changes from one directory to another, by kind and name.
pub(super) fn difference(old: Vec<Definition>, new: Vec<Definition>) -> Vec<Change> {
    let mut old: BTreeMap<(Kind, Box<str>), Box<str>> =
        old.into_iter().map(|Definition { kind, name, body }| ((kind, name), body)).collect();
    let mut changes = Vec::new();
    for Definition { kind, name, body } in new {
        let before = old.remove(&(kind, name.clone()));
        if before.as_ref() != Some(&body) {
            changes.push(Change::new(kind, name, before, Some(body)));
        }
    }
    changes.extend(old.into_iter().map(|((kind, name), body)| Change::new(kind, name, Some(body), None)));
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    changes
}
