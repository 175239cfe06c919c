//! The lock: one row that is changed by conditions only.
//!
//! Numbers are claimed once and never again (`last_claim` only grows), so that "the claim is mine" means the same to everybody, whoever
//! came late. Where an answer is lost, the row is read again the way that conditions see it, and says what happened.

use super::query::Applied;
use super::{Error, Store};
use crate::cache::{Head, Version};
use rating::Timestamp;
use scylla::value::{CqlTimestamp, CqlValue};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A writer that has not been heard of for so long has crashed: it says something every [`KEEP_MS`].
pub(super) const SILENCE_MS: i64 = 60_000;
/// Time between two signs of life of a writer.
pub(super) const KEEP_MS: i64 = 10_000;

/// Clocks of a store's nodes differ by less.
const AHEAD_MS: i64 = 60_000;

/// The head, and who is writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// The committed version and those given up.
    pub head: Head,
    /// The greatest number that was ever claimed.
    pub last_claim: Version,
    /// The version that is being written.
    pub claim: Option<Claim>,
}

/// A version that somebody writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub version: Version,
    /// The person or program that writes it.
    pub by: String,
    /// Time of the last sign of life, by the store's clock.
    pub at: Timestamp,
}

/// The way to treat a version that somebody else is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Give it up if its writer has been silent for a minute.
    Silent,
    /// Give it up whatever its writer does.
    Always,
}

type Columns = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<CqlTimestamp>,
    Option<Vec<i64>>,
    Option<CqlValue>,
    Option<String>,
);

/// Times at which version, identity, last claim and claim were written, in microseconds.
type WriteTimes = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);

fn number(value: i64) -> Result<Version, Error> {
    u64::try_from(value).map(Version).map_err(|_| Error::Corrupt(format!("{value} is no version")))
}

/// Returns the number as CQL has it. Numbers come from there, or are one more.
pub(super) fn bigint(version: Version) -> Result<i64, Error> {
    i64::try_from(version.0).map_err(|_| Error::Corrupt(format!("{version} is no version")))
}

pub(super) fn stamp(time: Timestamp) -> CqlTimestamp {
    CqlTimestamp(time.millis())
}

impl Store {
    /// The head as the last committed change left it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_row(&self) -> Result<HeadRow, Error> {
        let rows: Vec<Columns> = self.rows(&self.statements().head, ()).await?;
        head_of(rows)
    }

    /// The head, with what is just being agreed on: for writers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_to_write(&self) -> Result<HeadRow, Error> {
        let rows: Vec<Columns> = self.rows(&self.statements().head_serial, ()).await?;
        head_of(rows)
    }

    /// Claims the next version on top of what was planned against.
    pub(super) async fn claim(&self, planned: &Head, by: &str, take_over: TakeOver) -> Result<Version, Error> {
        let found = self.head_to_write().await?;
        unchanged(planned, &found.head)?;
        let version = Version(found.last_claim.0.saturating_add(1));
        let (mine, last) = (bigint(version)?, bigint(found.last_claim)?);
        let (base, identity) = (bigint(found.head.version)?, found.head.identity.clone());
        let now = self.clock().await?;
        let outcome = match &found.claim {
            None => {
                self.condition(&self.statements().claim, (mine, mine, by, stamp(now), base, &*identity, last)).await
            }
            Some(theirs) => {
                let silent_ms = now.millis().saturating_sub(theirs.at.millis());
                if take_over == TakeOver::Silent && silent_ms < SILENCE_MS {
                    let (version, by) = (theirs.version, theirs.by.clone());
                    return Err(Error::Claimed { version, by, silent_s: silent_ms.max(0) / 1000 });
                }
                let theirs_number = bigint(theirs.version)?;
                let values = (
                    mine,
                    mine,
                    by,
                    stamp(now),
                    vec![theirs_number],
                    base,
                    &*identity,
                    last,
                    theirs_number,
                    stamp(theirs.at),
                );
                self.condition(&self.statements().take_over, values).await
            }
        };
        if let Ok(Applied::Yes) = outcome {
            return Ok(version);
        }
        // Refused, or the answer was lost.
        let after = self.head_to_write().await?;
        match after.claim {
            Some(claim) if claim.version == version && claim.by == by => Ok(version),
            Some(claim) if outcome.is_ok() => {
                let silent_s = (now.millis().saturating_sub(claim.at.millis())).max(0) / 1000;
                Err(Error::Claimed { version: claim.version, by: claim.by, silent_s })
            }
            Some(_) | None => {
                unchanged(planned, &after.head)?;
                match outcome {
                    Err(error) => Err(error),
                    Ok(_) => {
                        Err(Error::Conflict("somebody else began to write at the same moment; try again".to_owned()))
                    }
                }
            }
        }
    }

    /// Says that the writer is still there.
    pub(super) async fn keep(&self, version: Version) -> Result<(), Error> {
        let now = match self.clock().await {
            Err(Error::Unreachable(_)) => return Ok(()),
            now => now?,
        };
        match self.condition(&self.statements().keep, (stamp(now), bigint(version)?)).await {
            Ok(Applied::Yes) => Ok(()),
            Ok(Applied::No) => Err(taken(version)),
            // The next one may come through; the commit finds out.
            Err(Error::Unreachable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads a claim back, and returns the head that it stands beside: a cell that was written with a time ahead hides it, though the condition held.
    pub(super) async fn claimed(&self, version: Version) -> Result<Head, Error> {
        let found = self.head_to_write().await?;
        if found.last_claim > version {
            return Err(taken(version));
        }
        if found.last_claim == version && found.claim.is_some_and(|claim| claim.version == version) {
            return Ok(found.head);
        }
        // Of no use if it is hidden as well.
        let _ = self.condition(&self.statements().release, (bigint(version)?,)).await;
        Err(self.hidden(&format!("the claim of version {version}")).await)
    }

    /// Says that the head does not show what was written, and why.
    async fn hidden(&self, what: &str) -> Error {
        let why = match self.ahead().await {
            Ok(Some(ahead)) => ahead,
            Ok(None) | Err(_) => {
                "something hides it that was written or deleted with a time ahead of the store's clock".to_owned()
            }
        };
        Error::Corrupt(format!(
            "{what} was written and does not stand in table head: {why}. Nothing of it counts. Until that time nothing can be written: restore the \
             table from a backup, or load a dump into another keyspace"
        ))
    }

    /// Names the cell of the head that was written with a time ahead of the store's clock, if there is one.
    pub(super) async fn ahead(&self) -> Result<Option<String>, Error> {
        const COLUMNS: [&str; 4] = ["version", "identity", "last_claim", "claim"];
        let rows: Vec<WriteTimes> = self.rows(&self.statements().head_times, ()).await?;
        let now = self.clock().await?;
        let Some((version, identity, last_claim, claim)) = rows.into_iter().next() else { return Err(no_head()) };
        let times = COLUMNS.into_iter().zip([version, identity, last_claim, claim]);
        let ahead = times.filter_map(|(column, micros)| Some((column, micros? / 1_000)));
        let latest =
            ahead.filter(|(_, millis)| *millis > now.millis().saturating_add(AHEAD_MS)).max_by_key(|(_, at)| *at);
        Ok(latest.map(|(column, millis)| {
            format!("{column} was written with the time {}, and it is {now} there", Timestamp::from_millis(millis))
        }))
    }

    /// Makes a version the head.
    pub(super) async fn commit(&self, version: Version, identity: &str) -> Result<(), Error> {
        const ATTEMPTS: u32 = 5;
        let mine = bigint(version)?;
        let (mut last, mut is_applied) = (taken(version), false);
        for _ in 0..ATTEMPTS {
            match self.condition(&self.statements().commit, (mine, identity, mine)).await {
                Ok(Applied::Yes) => is_applied = true,
                Ok(Applied::No) => last = taken(version),
                Err(error) => last = error,
            }
            let Ok(found) = self.head_to_write().await else { continue };
            if found.head.holds(version) && (found.head.version > version || *found.head.identity == *identity) {
                return Ok(());
            }
            if is_applied {
                let _ = self.condition(&self.statements().void, (vec![mine], mine)).await;
                return Err(self.hidden(&format!("version {version}")).await);
            }
            if found.claim.is_none_or(|claim| claim.version != version) {
                return Err(taken(version));
            }
        }
        Err(match last {
            Error::Unreachable(what) => Error::Unreachable(format!(
                "{what}; whether version {version} is committed is not known: rater directory changes tells"
            )),
            other => other,
        })
    }

    /// Gives a version up, so that nobody has to wait for it.
    pub(super) async fn give_up(&self, version: Version) -> Result<(), Error> {
        let mine = bigint(version)?;
        self.condition(&self.statements().give_up, (vec![mine], mine)).await.map(|_| ())
    }
}

fn taken(version: Version) -> Error {
    Error::Conflict(format!("version {version} was taken over by somebody else; nothing of it counts, try again"))
}

/// The head is made with the tables, and by nothing else: it cannot be made again without knowing what is committed.
pub(super) fn no_head() -> Error {
    lost("no row")
}

/// Names what is missing in the head, without which nobody knows what is committed.
pub(super) fn lost(what: &str) -> Error {
    Error::Corrupt(format!(
        "table head has {what}, so that nobody knows what is committed: restore the table from a backup, or load the directory into another keyspace"
    ))
}

/// Returns the identity of a store, which differs from that of one that stood in its place before.
pub(super) fn store_name(id: Option<CqlValue>) -> Result<Arc<str>, Error> {
    match id {
        Some(CqlValue::Uuid(id)) => Ok(id.to_string().into()),
        Some(_) | None => Err(lost("no id of the store")),
    }
}

fn unchanged(planned: &Head, found: &Head) -> Result<(), Error> {
    if planned.store != found.store {
        return Err(Error::Conflict(
            "the store was made anew since this was planned; nothing was done, try again".to_owned(),
        ));
    }
    if planned.edition() == found.edition() {
        return Ok(());
    }
    if planned.version == found.version {
        return Err(Error::Conflict(format!(
            "version {} is another one than this was planned on: the store was restored or rewritten; nothing was done, try again",
            found.version
        )));
    }
    Err(Error::Conflict(format!(
        "somebody else wrote version {} since this was planned on version {}; nothing was done, try again",
        found.version, planned.version
    )))
}

fn head_of(rows: Vec<Columns>) -> Result<HeadRow, Error> {
    let Some((version, last_claim, claim, claimed_by, claimed_at, aborted, store, identity)) = rows.into_iter().next()
    else {
        return Err(no_head());
    };
    // CQL has no empty set but null.
    let aborted: Result<BTreeSet<Version>, Error> = aborted.unwrap_or_default().into_iter().map(number).collect();
    // Written with the claim, and only writers need it: readers go on without. A writer that would take over a claim without a time is refused by the condition.
    let claim = claim.map(number).transpose()?.map(|version| Claim {
        version,
        by: claimed_by.unwrap_or_default(),
        at: Timestamp::from_millis(claimed_at.map_or(0, |at| at.0)),
    });
    // Both are 0 from the beginning on.
    let version = number(version.ok_or_else(|| lost("no version"))?)?;
    let last_claim = number(last_claim.ok_or_else(|| lost("no last claim"))?)?.max(version);
    let identity = identity
        .ok_or_else(|| Error::Schema("the store's version has no identity: rater directory migrate".to_owned()))?;
    let head = Head { store: store_name(store)?, version, identity: identity.into(), aborted: Arc::new(aborted?) };
    Ok(HeadRow { head, last_claim, claim })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_without_its_numbers_is_no_empty_store() {
        let head = |version, last_claim| {
            let store = Some(CqlValue::Uuid("5c1bd1a9-2ac0-4d9a-8b4e-0d2d0b5e0f5a".parse().expect("an id")));
            head_of(vec![(version, last_claim, None, None, None, None, store, Some("a".to_owned()))])
        };
        assert_eq!(head(Some(0), Some(3)).map(|row| (row.head.version, row.last_claim)), Ok((Version(0), Version(3))));
        for (row, why) in [(head(None, Some(3)), "has no version"), (head(Some(2), None), "has no last claim")] {
            let said = row.expect_err("refused").to_string();
            assert!(said.contains(why) && said.contains("restore the table"), "{said}");
        }
    }
}
