//! One version: its rows, its change log, its commit.
//!
//! Nothing that a writer writes is seen before the head says so. Rows are plain inserts with the writer's own version in their key, so that
//! repeating them changes nothing. Beside the row that it writes, a writer deletes those of given-up versions and those behind the newest two
//! committed ones: rows that no head needs which could still be read from.

use super::change::{Change, Effect, Keys, What};
use super::definition::Kind;
use super::head::{KEEP_MS, TakeOver, bigint, stamp};
use super::identity;
use super::query::{IN_FLIGHT, each, next};
use super::rows::{LogPart, Written, bucket, key_columns, key_text, whole_log};
use super::{Error, Store};
use crate::cache::{Head, IdentityKey, Version};
use rating::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// From so many changes on a version is one in bulk: caches read everything again.
const BULK: usize = 20_000;
/// Keys or things to a part of the change log.
const PART: usize = 500;
/// Committed rows that are kept of every key beside the one being written.
const KEPT: usize = 2;
/// How often a write is tried.
const ATTEMPTS: u32 = 6;

/// Who writes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who, as the change log tells it.
    pub actor: String,
    /// This process among all that might write, as others are told who have to wait for it.
    pub process: String,
    /// Why; may be empty.
    pub note: String,
}

/// A version that is being written.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    version: Version,
    planned: Head,
    identity: String,
    author: Author,
    written_at: Timestamp,
    heard: Instant,
}

/// How long a commit may take after its changes were logged, in milliseconds.
const COMMIT_MS: i64 = 60_000;

/// A row to be written.
#[derive(Clone)]
enum Row {
    Definition { kind: Kind, name: Box<str>, body: Option<Arc<str>> },
    Endpoint { key: IdentityKey, name: Box<str>, body: Option<Arc<str>> },
}

impl Store {
    /// Claims the version that comes after a head that was planned against.
    ///
    /// # Errors
    /// [`Error::Claimed`] and [`Error::Conflict`] where somebody else is or was writing; nothing was done then.
    pub async fn begin(&self, planned: &Head, author: Author, take_over: TakeOver) -> Result<Writer, Error> {
        let written_at = self.clock().await?;
        let by = format!("{} ({})", author.actor, author.process);
        let version = self.claim(planned, &by, take_over).await?;
        let planned = self.claimed(version).await?;
        let identity = identity::next(&planned, version, &[]);
        Ok(Writer { store: self.clone(), version, planned, identity, author, written_at, heard: Instant::now() })
    }

    async fn write(&self, row: &Row, version: Version, planned: &Head) -> Result<(), Error> {
        let number = bigint(version)?;
        let statements = self.statements();
        match row {
            Row::Definition { kind, name, body } => {
                let (kind, place) = (kind.as_str(), bucket(name));
                let before: Vec<Written> = self.rows(&statements.definition, (kind, place, &**name)).await?;
                for old in superseded(&before, name, version, planned) {
                    self.run(&statements.delete_definition, (kind, place, &**name, old)).await?;
                }
                self.run(&statements.put_definition, (kind, place, &**name, number, body.as_deref())).await
            }
            Row::Endpoint { key, name, body } => {
                let (kind, value) = key_columns(key);
                // In the empty store there is nothing to clean up.
                if planned.version != Version(0) || !planned.aborted.is_empty() {
                    let before: Vec<Written> = self.rows(&statements.endpoints, (kind, &*value)).await?;
                    for old in superseded(&before, name, version, planned) {
                        self.run(&statements.delete_endpoint, (kind, &*value, &**name, old)).await?;
                    }
                }
                self.run(&statements.put_endpoint, (kind, value, &**name, number, body.as_deref())).await
            }
        }
    }

    /// All rows in the place of one: the place in words, name and body that belong there, and what stands there.
    async fn rows_at(&self, row: Row) -> Result<(String, Box<str>, Option<Arc<str>>, Vec<Written>), Error> {
        let statements = self.statements();
        match row {
            Row::Definition { kind, name, body } => {
                let found = self.rows(&statements.definition, (kind.as_str(), bucket(&name), &*name)).await?;
                Ok((format!("{}:{name} of table definitions", kind.as_str()), name, body, found))
            }
            Row::Endpoint { key, name, body } => {
                let (kind, value) = key_columns(&key);
                let found = self.rows(&statements.endpoints, (kind, &*value)).await?;
                Ok((format!("{} of table endpoints_by_identity", key_text(&key)), name, body, found))
            }
        }
    }

    /// As [`Store::write`], again where the store is too busy.
    async fn write_surely(&self, row: &Row, version: Version, planned: &Head) -> Result<(), Error> {
        let mut wait = Duration::from_millis(100);
        for _ in 1..ATTEMPTS {
            match self.write(row, version, planned).await {
                Err(Error::Unreachable(_)) => tokio::time::sleep(wait).await,
                outcome => return outcome,
            }
            wait *= 2;
        }
        self.write(row, version, planned).await
    }
}

/// Versions of one name that nobody needs, of rows from the newest version down.
fn superseded(rows: &[Written], name: &str, writing: Version, planned: &Head) -> Vec<i64> {
    let mut kept = 0;
    let mut gone = Vec::new();
    for (_, number, _) in rows.iter().filter(|(row, ..)| row == name) {
        // What no writer has written makes all of them unreadable.
        let Some(version) = u64::try_from(*number).ok().filter(|number| *number > 0).map(Version) else {
            gone.push(*number);
            continue;
        };
        if planned.aborted.contains(&version) {
            gone.push(*number);
        } else if version < writing && planned.holds(version) {
            kept += 1;
            if kept > KEPT {
                gone.push(*number);
            }
        }
    }
    gone
}

impl Writer {
    /// The version that is being written.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Writes the rows of changes, many at once. `progress` hears how many changes are written.
    ///
    /// # Errors
    /// [`Error::Conflict`] where somebody else has taken the version over; see [`Error`].
    pub async fn write(&mut self, changes: &[Change], progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let mut running: JoinSet<Result<(), Error>> = JoinSet::new();
        for (at, change) in changes.iter().enumerate() {
            for row in rows_of(change)? {
                if running.len() >= IN_FLIGHT {
                    next(&mut running).await?;
                }
                let (store, version, planned) = (self.store.clone(), self.version, self.planned.clone());
                running.spawn(async move { store.write_surely(&row, version, &planned).await });
            }
            if at % 1_000 == 999 {
                progress(at as u64 + 1);
                self.keep().await?;
            }
        }
        while next(&mut running).await?.is_some() {}
        progress(changes.len() as u64);
        Ok(())
    }

    /// Says that the version is still being written.
    ///
    /// # Errors
    /// [`Error::Conflict`] where somebody else has taken the version over.
    pub(super) async fn keep_now(&mut self) -> Result<(), Error> {
        self.store.keep(self.version).await?;
        self.heard = Instant::now();
        Ok(())
    }

    async fn keep(&mut self) -> Result<(), Error> {
        let interval = Duration::from_millis(KEEP_MS.unsigned_abs());
        if self.heard.elapsed() >= interval {
            self.store.keep(self.version).await?;
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// Writes the change log: what caches have to drop, and what people want to know.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn log(&mut self, changes: &[Change]) -> Result<(), Error> {
        self.identity = identity::next(&self.planned, self.version, changes);
        let bulk = changes.len() >= BULK;
        let catalog = changes.iter().any(|change| change.kind != Kind::Endpoint);
        let mut keys: Vec<String> = Vec::new();
        let mut things: Vec<String> = Vec::new();
        let mut soonest: Option<Timestamp> = None;
        // It is seen when it is committed, which is a little later than now: rather a candidate too many than one too few.
        let seen_from = Timestamp::from_millis(self.store.clock().await?.millis().saturating_add(COMMIT_MS));
        let (mut retroactive, mut counts) = (false, [0_u64; 3]);
        for (at, change) in changes.iter().enumerate() {
            if at % 1000 == 999 {
                self.keep().await?;
            }
            let what = change.what();
            counts[what as usize] += 1;
            if change.kind == Kind::Endpoint && !bulk {
                let Keys { gone, after } = change.keys()?;
                keys.extend(gone.iter().chain(&after).map(key_text));
            }
            // Whoever loads a million endpoints need not be told of each: what was not there was not charged.
            if bulk && what == What::Added {
                soonest = Effect::Always.moment();
                continue;
            }
            let effect = change.effect();
            let reaches_back = change.is_retroactive(effect, seen_from);
            retroactive |= reaches_back;
            soonest = soonest.into_iter().chain(effect.moment()).min();
            things.push(thing(change, effect, reaches_back));
        }
        let parts = keys.len().div_ceil(PART).max(things.len().div_ceil(PART)).max(1);
        let parts = i32::try_from(parts).map_err(|_| Error::Usage("too many changes for one version".to_owned()))?;
        let (mut keys, mut things) = (keys.chunks(PART), things.chunks(PART));
        let number = bigint(self.version)?;
        for part in 0..parts {
            let keys = keys.next().unwrap_or_default();
            let things = things.next().unwrap_or_default();
            let history = (&*self.identity, &*self.planned.identity, parts);
            let values = (number, part, bulk, catalog, keys, things, history.0, history.1, history.2);
            self.store.run(&self.store.statements().put_changes, values).await?;
            self.keep().await?;
        }
        let [added, changed, removed] = counts;
        let counts = json!({ "added": added, "changed": changed, "removed": removed }).to_string();
        let day = day_of(self.written_at);
        let values = (
            day,
            number,
            stamp(self.written_at),
            soonest.map(stamp),
            retroactive,
            &*self.author.actor,
            &*self.author.note,
            counts,
        );
        self.store.run(&self.store.statements().put_version, values).await
    }

    /// Reads what was written: where something hides it, such as a deletion with a time ahead of the store's clock, the version is not committed. A load in bulk is
    /// read back by `rater directory verify`.
    async fn read_back(&mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.len() >= BULK {
            return Ok(());
        }
        let mut rows = Vec::new();
        for change in changes {
            rows.extend(rows_of(change)?);
        }
        let number = bigint(self.version)?;
        for some in rows.chunks(1_000) {
            let read = each(IN_FLIGHT, some.iter().cloned(), |row| {
                let store = self.store.clone();
                async move {
                    let (place, name, body, found) = store.rows_at(row).await?;
                    let stands = found
                        .iter()
                        .any(|(of, at, text)| *of == *name && *at == number && text.as_deref() == body.as_deref());
                    if stands { Ok(()) } else { Err(hidden(&place)) }
                }
            });
            read.await?;
            self.keep().await?;
        }
        let parts: Vec<LogPart> = self.store.rows(&self.store.statements().changed_keys, (number,)).await?;
        whole_log(self.version, parts).map(|_| ()).map_err(|why| hidden(&why))
    }

    /// Makes the version the head: from here on it is seen.
    ///
    /// # Errors
    /// [`Error::Conflict`] where somebody else has taken the version over: nothing of it counts.
    pub async fn commit(self) -> Result<Version, Error> {
        self.store.commit(self.version, &self.identity).await?;
        Ok(self.version)
    }

    /// Gives the version up: nothing of it counts, and nobody has to wait.
    ///
    /// # Errors
    /// See [`Error`]; then it is given up when the next writer finds it silent.
    pub async fn give_up(self) -> Result<(), Error> {
        self.store.give_up(self.version).await
    }

    /// Everything: rows, log, commit. What fails on the way is given up.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn finish(mut self, changes: &[Change], progress: &mut dyn FnMut(u64)) -> Result<Version, Error> {
        let written = match self.write(changes, progress).await {
            Ok(()) => self.log(changes).await,
            failed => failed,
        };
        let written = match written {
            Ok(()) => self.read_back(changes).await,
            failed => failed,
        };
        if let Err(error) = written {
            // If even this fails, the next writer takes over after a minute.
            let _ = self.give_up().await;
            return Err(error);
        }
        self.commit().await
    }
}

fn hidden(place: &str) -> Error {
    Error::Corrupt(format!(
        "{place}: what was written does not stand there, as if something hid it that was deleted with a time ahead of the store's clock; nothing of it counts"
    ))
}

/// The day of a moment, in UTC.
pub(super) fn day_of(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

fn thing(change: &Change, effect: Effect, retroactive: bool) -> String {
    json!({
        "kind": change.kind.as_str(),
        "name": change.name,
        "what": change.what().as_str(),
        "from": effect.to_json(),
        "retroactive": retroactive,
    })
    .to_string()
}

fn rows_of(change: &Change) -> Result<Vec<Row>, Error> {
    let body: Option<Arc<str>> = change.new.as_deref().map(Arc::from);
    let name = &change.name;
    if change.kind != Kind::Endpoint {
        return Ok(vec![Row::Definition { kind: change.kind, name: name.clone(), body }]);
    }
    let Keys { gone, after } = change.keys()?;
    let row = |key: IdentityKey, body: Option<Arc<str>>| Row::Endpoint { key, name: name.clone(), body };
    let gone = gone.into_iter().map(|key| row(key, None));
    Ok(gone.chain(after.into_iter().map(|key| row(key, body.clone()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_is_what_was_given_up_or_lies_behind_two_committed_rows() {
        let aborted = Arc::new([Version(4), Version(8)].into());
        let planned = Head { version: Version(9), aborted, ..Head::default() };
        let row = |name: &str, version: i64| (name.to_owned(), version, None);
        let rows = [
            row("a", 9),
            row("b", 12),
            row("b", 9),
            row("b", 8),
            row("b", 6),
            row("b", 4),
            row("b", 2),
            row("b", 1),
            row("b", -3),
        ];
        assert_eq!(superseded(&rows, "b", Version(10), &planned), [8, 4, 2, 1, -3]);
        assert_eq!(superseded(&rows, "a", Version(10), &planned), [0; 0]);
    }
}
