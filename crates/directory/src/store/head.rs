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
/// How often a writer says that it is still there.
pub(super) const KEEP_MS: i64 = 10_000;

/// The head, and who is writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// What is committed and what was given up.
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
    /// Who writes it.
    pub by: String,
    /// When they were last heard of, by their own clock.
    pub at: Timestamp,
}

/// What to do about a version that somebody else is writing.
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

fn number(value: i64) -> Result<Version, Error> {
    u64::try_from(value).map(Version).map_err(|_| Error::Corrupt(format!("{value} is no version")))
}

/// As CQL has it. Numbers come from there, or are one more.
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
        let now = self.now();
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
        match self.condition(&self.statements().keep, (stamp(self.now()), bigint(version)?)).await {
            Ok(Applied::Yes) => Ok(()),
            Ok(Applied::No) => Err(taken(version)),
            // The next one may come through; the commit finds out.
            Err(Error::Unreachable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a version the head.
    pub(super) async fn commit(&self, version: Version, identity: &str) -> Result<(), Error> {
        const ATTEMPTS: u32 = 5;
        let mine = bigint(version)?;
        let mut last = taken(version);
        for _ in 0..ATTEMPTS {
            match self.condition(&self.statements().commit, (mine, identity, mine)).await {
                Ok(Applied::Yes) => return Ok(()),
                Ok(Applied::No) => last = taken(version),
                Err(error) => last = error,
            }
            let Ok(found) = self.head_to_write().await else { continue };
            if found.head.holds(version) {
                return Ok(());
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

pub(super) fn no_head() -> Error {
    Error::Schema("the store has no head: rater directory migrate".to_owned())
}

/// What tells a store from one that stood in its place before.
pub(super) fn store_name(id: Option<CqlValue>) -> Result<Arc<str>, Error> {
    match id {
        Some(CqlValue::Uuid(id)) => Ok(id.to_string().into()),
        Some(_) | None => Err(Error::Schema("the store has no id: rater directory migrate".to_owned())),
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
    let aborted: Result<BTreeSet<Version>, Error> = aborted.unwrap_or_default().into_iter().map(number).collect();
    let claim = claim.map(number).transpose()?.map(|version| Claim {
        version,
        by: claimed_by.unwrap_or_default(),
        at: Timestamp::from_millis(claimed_at.map_or(0, |at| at.0)),
    });
    let version = number(version.unwrap_or_default())?;
    let last_claim = number(last_claim.unwrap_or_default())?.max(version);
    let identity = identity
        .ok_or_else(|| Error::Schema("the store's version has no identity: rater directory migrate".to_owned()))?;
    let head = Head { store: store_name(store)?, version, identity: identity.into(), aborted: Arc::new(aborted?) };
    Ok(HeadRow { head, last_claim, claim })
}
