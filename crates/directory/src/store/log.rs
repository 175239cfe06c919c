//! Versions as they were written: their time, author and changes.

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
    /// The time at which its writer began.
    pub written_at: Timestamp,
    /// The time from which answers differ.
    pub effect: Effect,
    /// True if something that was there changed for a time that may have been charged already.
    pub retroactive: bool,
    /// The person or program that wrote it.
    pub actor: String,
    /// The reason that was given.
    pub note: String,
    /// Numbers of definitions added, changed and removed.
    pub counts: Value,
}

/// One thing that a version changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedChange(
    /// `kind`, `name`, `what`, `from` and `retroactive`.
    pub Value,
);

impl LoggedChange {
    /// Returns true if what was charged since `from` is a candidate for re-rating.
    pub fn is_retroactive(&self) -> bool {
        self.0["retroactive"] == Value::Bool(true)
    }
}

type Columns =
    (i64, Option<CqlTimestamp>, Option<CqlTimestamp>, Option<bool>, Option<String>, Option<String>, Option<String>);

const DAY_MS: i64 = 86_400_000;
/// Most days that are read.
const MAX_DAYS: i64 = 3_660;

impl Store {
    /// Reads the versions written between two moments, by whole days, oldest first.
    ///
    /// # Errors
    /// [`Error::Usage`] for more than ten years; [`Error::Corrupt`] for a row that no writer has written.
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
        let found: Result<Vec<WrittenVersion>, Error> = parts.await?.into_iter().flatten().map(written).collect();
        let mut found = found?;
        found.retain(|written| head.holds(written.version));
        found.sort_by_key(|written| written.version);
        Ok(found)
    }

    /// Reads the changes of a version: everything, or in bulk only what was there before.
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

/// Reads a row of the table of versions.
///
/// # Errors
/// [`Error::Corrupt`] for a row that no writer has written: all columns are written at once, and only `effective_from` may be null.
fn written(columns: Columns) -> Result<WrittenVersion, Error> {
    let (version, written_at, effective_from, retroactive, actor, note, counts) = columns;
    let broken = |what: &str| Error::Corrupt(format!("table versions: version {version} has {what}"));
    let time = |at: CqlTimestamp| Timestamp::from_millis(at.0);
    let counts = counts.ok_or_else(|| broken("no counts"))?;
    Ok(WrittenVersion {
        version: Version(u64::try_from(version).map_err(|_| broken("a number that no writer has"))?),
        written_at: written_at.map(time).ok_or_else(|| broken("no time of writing"))?,
        effect: Effect::of(effective_from.map(time)),
        retroactive: retroactive.ok_or_else(|| broken("no word on whether it is retroactive"))?,
        actor: actor.ok_or_else(|| broken("no actor"))?,
        note: note.ok_or_else(|| broken("no note"))?,
        counts: serde_json::from_str(&counts).map_err(|error| broken(&format!("counts that are no JSON: {error}")))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_no_writer_has_written_is_named() {
        let row = |version, written_at: Option<i64>, note: Option<&str>, counts: &str| {
            let text = |text: &str| Some(text.to_owned());
            (version, written_at.map(CqlTimestamp), None, Some(false), text("ops"), note.and_then(text), text(counts))
        };
        let good = written(row(7, Some(1), Some(""), "{\"added\":1}"));
        assert_eq!(good.map(|written| written.counts["added"] == 1), Ok(true));
        for (broken, why) in [
            (row(-7, Some(1), Some(""), "{}"), "version -7 has a number that no writer has"),
            (row(7, None, Some(""), "{}"), "version 7 has no time of writing"),
            (row(7, Some(1), None, "{}"), "version 7 has no note"),
            (row(7, Some(1), Some(""), "{"), "version 7 has counts that are no JSON"),
        ] {
            let said = written(broken).expect_err("refused").to_string();
            assert!(said.contains("table versions") && said.contains(why), "{said}");
        }
    }
}
