//! What was written, when and by whom.

use super::change::Effect;
use super::head::bigint;
use super::rows::{LogPart, whole_log};
use super::write::day_of;
use super::{Error, Store};
use crate::cache::Version;
use rating::Timestamp;
use scylla::value::CqlTimestamp;
use serde_json::Value;

/// A committed version.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenVersion {
    /// Its number.
    pub version: Version,
    /// When its writer began.
    pub written_at: Timestamp,
    /// From when on answers differ.
    pub effect: Effect,
    /// Whether something that was there changed for a time that may have been charged already.
    pub retroactive: bool,
    /// Who wrote it.
    pub actor: String,
    /// Why.
    pub note: String,
    /// How many definitions were added, changed and removed.
    pub counts: Value,
}

/// One thing that a version changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedChange(
    /// `kind`, `name`, `what`, `from` and `retroactive`.
    pub Value,
);

impl LoggedChange {
    /// Whether what was charged since `from` is a candidate for re-rating.
    pub fn is_retroactive(&self) -> bool {
        self.0["retroactive"] == Value::Bool(true)
    }
}

type Columns =
    (i64, Option<CqlTimestamp>, Option<CqlTimestamp>, Option<bool>, Option<String>, Option<String>, Option<String>);

const DAY_MS: i64 = 86_400_000;
/// Days that are looked through at most.
const MAX_DAYS: i64 = 3_660;

impl Store {
    /// Versions written between two moments, by whole days, oldest first.
    ///
    /// # Errors
    /// [`Error::Usage`] for more than ten years.
    pub async fn versions(&self, from: Timestamp, until: Timestamp) -> Result<Vec<WrittenVersion>, Error> {
        let head = self.head_row().await?.head;
        let (first, last) = (from.millis().div_euclid(DAY_MS), until.millis().div_euclid(DAY_MS));
        if last.saturating_sub(first) > MAX_DAYS {
            return Err(Error::Usage("at most ten years are looked through".to_owned()));
        }
        let days = (first..=last).map(|day| day_of(Timestamp::from_millis(day.saturating_mul(DAY_MS))));
        let parts = super::query::each(super::query::IN_FLIGHT, days, |day| {
            let store = self.clone();
            async move { store.rows::<Columns>(&store.statements().versions, (day,)).await }
        });
        let mut found: Vec<WrittenVersion> = parts.await?.into_iter().flatten().filter_map(written).collect();
        found.retain(|written| head.holds(written.version));
        found.sort_by_key(|written| written.version);
        Ok(found)
    }

    /// What a version changed: everything, or in bulk only what was there before.
    ///
    /// # Errors
    /// [`Error::Usage`] for a version that is not committed; [`Error::Corrupt`] where a part of its log is missing.
    pub async fn changes_of(&self, version: Version) -> Result<Vec<LoggedChange>, Error> {
        let head = self.head_row().await?.head;
        if !head.holds(version) || bigint(version)? == 0 {
            return Err(Error::Usage(format!("there is no version {version}; the newest is {}", head.version)));
        }
        let parts: Vec<LogPart> = self.rows(&self.statements().changes, (bigint(version)?,)).await?;
        let missing =
            |why| Error::Corrupt(format!("{why}: what else it changed is not known; see rater directory verify"));
        let things = whole_log(version, parts).map_err(missing)?.into_iter();
        let parse = |thing: String| {
            serde_json::from_str(&thing)
                .map(LoggedChange)
                .map_err(|error| Error::Corrupt(format!("change log: {error}")))
        };
        things.map(parse).collect()
    }
}

fn written(columns: Columns) -> Option<WrittenVersion> {
    let (version, written_at, effective_from, retroactive, actor, note, counts) = columns;
    let time = |at: CqlTimestamp| Timestamp::from_millis(at.0);
    Some(WrittenVersion {
        version: Version(u64::try_from(version).ok()?),
        written_at: written_at.map(time)?,
        effect: Effect::of(effective_from.map(time)),
        retroactive: retroactive.unwrap_or(false),
        actor: actor.unwrap_or_default(),
        note: note.unwrap_or_default(),
        counts: counts.and_then(|counts| serde_json::from_str(&counts).ok()).unwrap_or(Value::Null),
    })
}
