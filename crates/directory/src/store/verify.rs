//! Comparing every row with its copies, and mending those that differ.
//!
//! Nobody else finds such rows: what is compared, dumped and planned on is read under the names of endpoints, and records are rated by what is
//! found under their identities. A first pass over the ring sums what stands and what should, by endpoint; only endpoints whose sums differ are read as
//! a whole. So memory grows by some 50 bytes an endpoint. Mending is a version of its own, with a log that tells caches what to drop.

use super::copies::{Copies, Difference, Examined, examine, is_misnumbered, keys_anyhow};
use super::definition::Kind;
use super::head::{HeadRow, TakeOver, bigint};
use super::query::{IN_FLIGHT, each};
use super::rows::{BUCKETS, LogPart, SCANS, Written, bucket, by_name, key_columns, key_text, whole_log};
use super::write::Author;
use super::{Change, Error, Store};
use crate::cache::{IdentityKey, SCAN_PARTS, Version};
use hashbrown::{HashMap, HashSet};
use serde_json::json;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// The findings of a verification, and the changes that mend them.
#[derive(Debug)]
pub struct Verified {
    planned: HeadRow,
    /// Number of endpoints, counted by their names.
    pub endpoints: u64,
    /// Rows that differ from what they should be, table by table.
    pub differences: Vec<Difference>,
    changes: Vec<Change>,
    misnumbered: Vec<Misplaced>,
    logs: Vec<BrokenLog>,
}

/// A row that no writer has written.
#[derive(Debug)]
enum Misplaced {
    Definition(Kind, i32, Box<str>, i64),
    Endpoint(IdentityKey, Box<str>, i64),
}

/// A change log that lacks parts.
#[derive(Debug)]
struct BrokenLog {
    version: Version,
    missing: Vec<i32>,
    parts: i32,
    identity: String,
    follows: String,
}

/// Hash of an endpoint's name, by which its sums are found.
type NameHash = u128;

/// The sums over some rows of one endpoint.
#[derive(Clone, Copy, Default)]
struct Sum {
    /// Hashes of the rows that should stand under identities, less those of the rows that do.
    difference: u128,
    /// True if a row has a number that no writer had.
    is_suspect: bool,
    /// True if a row under the name holds a definition.
    is_named: bool,
}

impl Verified {
    /// Returns the version that was verified.
    pub fn version(&self) -> Version {
        self.planned.head.version
    }

    /// Returns true if something can be mended.
    pub fn can_mend(&self) -> bool {
        self.differences.iter().any(|difference| difference.is_mended)
    }
}

impl Store {
    /// Compares every row with its copies. `progress` hears how many parts of all are read, of [`SCAN_PARTS`] at first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verified, Error> {
        let planned = self.head_to_write().await?;
        let sums = self.sums(&planned, progress).await?;
        let suspects: HashSet<NameHash> =
            sums.iter().filter(|(_, sum)| sum.is_suspect || sum.difference != 0).map(|(name, _)| *name).collect();
        let endpoints = sums.values().filter(|sum| sum.is_named).count() as u64;
        drop(sums);
        let mut verified = Verified {
            planned,
            endpoints,
            differences: Vec::new(),
            changes: Vec::new(),
            misnumbered: Vec::new(),
            logs: Vec::new(),
        };
        if let Some(stands) = self.ahead().await? {
            let should = "a time that is not ahead of the store's clock: until then nothing can be written".to_owned();
            let (key, name) = ("0".to_owned(), String::new());
            verified.differences.push(Difference { table: "head", key, name, stands, should, is_mended: false });
        }
        self.verify_definitions(&mut verified).await?;
        let mut found: BTreeMap<Box<str>, Copies> = BTreeMap::new();
        if !suspects.is_empty() {
            found = self.copies(suspects, progress).await?;
        }
        // Read behind the rows: what is claimed by then is somebody's.
        let latest = self.head_to_write().await?;
        for (name, copies) in found {
            let Examined { differences, change, misnumbered } = examine(&name, &copies, &verified.planned, &latest);
            verified.differences.extend(differences);
            verified.changes.extend(change);
            let misplaced = |(key, number)| Misplaced::Endpoint(key, name.clone(), number);
            verified.misnumbered.extend(misnumbered.into_iter().map(misplaced));
        }
        self.verify_logs(&mut verified).await?;
        Ok(verified)
    }

    /// Sums the rows that stand and those that should, by endpoint.
    async fn sums(&self, planned: &HeadRow, progress: &mut dyn FnMut(u64)) -> Result<HashMap<NameHash, Sum>, Error> {
        let mut sums: HashMap<NameHash, Sum> = HashMap::new();
        let parts: Vec<u32> = (0..SCAN_PARTS).collect();
        for some in parts.chunks(SCANS) {
            let read = each(SCANS, some.iter().copied(), |part| {
                let (store, planned) = (self.clone(), planned.clone());
                async move { Ok(sums_of(&store.rows_of_part(part).await?, &planned)) }
            });
            for (name, sum) in read.await?.into_iter().flatten() {
                let entry = sums.entry(name).or_default();
                entry.difference = entry.difference.wrapping_add(sum.difference);
                entry.is_suspect |= sum.is_suspect;
                entry.is_named |= sum.is_named;
            }
            progress(u64::from(some.last().copied().unwrap_or_default()) + 1);
        }
        Ok(sums)
    }

    /// Every row of some endpoints.
    async fn copies(
        &self,
        names: HashSet<NameHash>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<BTreeMap<Box<str>, Copies>, Error> {
        let names = std::sync::Arc::new(names);
        let mut found: BTreeMap<Box<str>, Copies> = BTreeMap::new();
        let parts: Vec<u32> = (0..SCAN_PARTS).collect();
        for some in parts.chunks(SCANS) {
            let read = each(SCANS, some.iter().copied(), |part| {
                let (store, names) = (self.clone(), names.clone());
                async move {
                    let mut rows = store.rows_of_part(part).await?;
                    rows.iter_mut().for_each(|(_, rows)| rows.retain(|(name, ..)| names.contains(&hash(&[name]))));
                    Ok(rows)
                }
            });
            for (key, rows) in read.await?.into_iter().flatten() {
                for (name, number, body) in rows {
                    found.entry(name.into_boxed_str()).or_default().push((key.clone(), number, body));
                }
            }
            progress(u64::from(SCAN_PARTS) + u64::from(some.last().copied().unwrap_or_default()) + 1);
        }
        Ok(found)
    }

    /// Zones, tariffs, bundles and accounts have no copies; their rows may have numbers that no writer had, or stand elsewhere.
    async fn verify_definitions(&self, verified: &mut Verified) -> Result<(), Error> {
        let places = Kind::CATALOG.into_iter().flat_map(|kind| (0..BUCKETS as i32).map(move |bucket| (kind, bucket)));
        let parts = each(IN_FLIGHT, places, |(kind, place)| {
            let store = self.clone();
            async move {
                let rows: Vec<Written> = store.rows(&store.statements().bucket, (kind.as_str(), place)).await?;
                Ok((kind, place, rows))
            }
        });
        let parts = parts.await?;
        let latest = self.head_to_write().await?;
        for (kind, place, rows) in parts {
            for (name, rows) in by_name(&rows) {
                let is_elsewhere = bucket(name) != place;
                let wrong: Vec<i64> = rows
                    .iter()
                    .map(|(_, number, _)| *number)
                    .filter(|number| is_elsewhere || is_misnumbered(*number, &latest))
                    .collect();
                if wrong.is_empty() {
                    continue;
                }
                for number in wrong {
                    verified.differences.push(Difference {
                        table: "definitions",
                        key: format!("{}:{name}", kind.as_str()),
                        name: String::new(),
                        stands: match is_elsewhere {
                            true => format!("a row of version {number} in bucket {place}, where no writer writes it"),
                            false => format!("a row of version {number}, which no writer has written"),
                        },
                        should: "no such row".to_owned(),
                        is_mended: true,
                    });
                    verified.misnumbered.push(Misplaced::Definition(kind, place, name.into(), number));
                }
                let holds = |number: i64| {
                    !is_misnumbered(number, &latest) && verified.planned.head.holds(Version(number.unsigned_abs()))
                };
                let body = rows.iter().find(|(_, number, _)| holds(*number)).and_then(|(.., body)| body.as_deref());
                // Written again as it is, so that everybody reads it again.
                if let Some(body) = body.filter(|_| !is_elsewhere).map(Box::<str>::from) {
                    verified.changes.push(Change::new(kind, name.into(), Some(body.clone()), Some(body)));
                }
            }
        }
        Ok(())
    }

    /// Finds parts that are missing in the change log of any version.
    async fn verify_logs(&self, verified: &mut Verified) -> Result<(), Error> {
        /// Number of a part, how many there are, identity, follows, and when its keys and things were written.
        type Part = (i32, Option<i32>, Option<String>, Option<String>, Option<i64>, Option<i64>);
        let has_lists = |(.., keys, things): &Part| keys.is_some() && things.is_some();
        let head = verified.planned.head.clone();
        let versions = (1..=head.version.0).map(Version).filter(|version| head.holds(*version));
        let logs = each(IN_FLIGHT, versions, |version| {
            let store = self.clone();
            async move {
                let parts: Vec<Part> = store.rows(&store.statements().log_parts, (bigint(version)?,)).await?;
                Ok((version, parts))
            }
        });
        let mut before = String::new();
        for (version, parts) in logs.await? {
            let text = |of: fn(&Part) -> &Option<String>| parts.iter().find_map(|part| of(part).clone());
            // A program that wrote no identities left them empty, and so does mending.
            let identity = text(|(_, _, identity, ..)| identity)
                .or_else(|| (version == head.version).then(|| head.identity.to_string()))
                .unwrap_or_default();
            let follows = text(|(_, _, _, follows, ..)| follows).unwrap_or_else(|| std::mem::take(&mut before));
            before.clone_from(&identity);
            let list = |part: &Part| has_lists(part).then(Vec::<String>::new);
            let listed: Vec<LogPart> = parts.iter().map(|part| (part.0, part.1, list(part))).collect();
            let Err(stands) = whole_log(version, listed) else { continue };
            let last = parts.iter().map(|(part, ..)| part.saturating_add(1)).max().unwrap_or_default();
            let count = parts.iter().filter_map(|(_, parts, ..)| *parts).max().unwrap_or_default().max(last).max(1);
            let there: HashSet<i32> = parts.iter().filter(|part| has_lists(part)).map(|(part, ..)| *part).collect();
            verified.differences.push(Difference {
                table: "changes",
                key: version.to_string(),
                name: String::new(),
                stands,
                should: format!("{count} parts: as nobody knows what was lost, that everything may have changed"),
                is_mended: true,
            });
            let missing = (0..count).filter(|part| !there.contains(part)).collect();
            verified.logs.push(BrokenLog { version, missing, parts: count, identity, follows });
        }
        Ok(())
    }

    /// Mends what can be mended, as a version of its own.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Conflict`] where somebody else wrote since.
    pub async fn mend(&self, verified: &Verified, author: Author, take_over: TakeOver) -> Result<Version, Error> {
        let mut writer = self.begin(&verified.planned.head, author, take_over).await?;
        // A number that nobody has claimed may be claimed one day: by then these rows have to be gone.
        writer.keep_now().await?;
        for misplaced in &verified.misnumbered {
            let statements = self.statements();
            match misplaced {
                Misplaced::Definition(kind, place, name, number) => {
                    let place = (kind.as_str(), *place, &**name, *number);
                    self.run(&statements.delete_definition, place).await?;
                }
                Misplaced::Endpoint(key, name, number) => {
                    let (kind, value) = key_columns(key);
                    self.run(&statements.delete_endpoint, (kind, value, &**name, *number)).await?;
                }
            }
        }
        for log in &verified.logs {
            self.mend_log(log).await?;
        }
        writer.finish(&verified.changes, &mut |_| {}).await
    }

    /// Fills the holes of a log: caches drop everything, and people are told that something was lost.
    async fn mend_log(&self, log: &BrokenLog) -> Result<(), Error> {
        let version = bigint(log.version)?;
        for part in &log.missing {
            let lost = json!({
                "kind": "log",
                "name": format!("part {} of {}", part + 1, log.parts),
                "what": "lost",
                "from": "always",
                "retroactive": true,
            });
            let history = (&*log.identity, &*log.follows, log.parts);
            let keys: [&str; 0] = [];
            let values =
                (version, *part, true, true, &keys[..], &[lost.to_string()][..], history.0, history.1, history.2);
            self.run(&self.statements().put_changes, values).await?;
        }
        self.run(&self.statements().forget_keys, (log.parts, version)).await
    }
}

/// Returns the sums that the rows of a part add to their endpoints.
fn sums_of(rows: &[(IdentityKey, Vec<Written>)], planned: &HeadRow) -> Vec<(NameHash, Sum)> {
    let mut sums = Vec::new();
    for (key, rows) in rows {
        for (name, rows) in by_name(rows) {
            let is_suspect = rows.iter().any(|(_, number, _)| is_misnumbered(*number, planned));
            let holds = |number: i64| number > 0 && planned.head.holds(Version(number.unsigned_abs()));
            let body = rows.iter().find(|(_, number, _)| holds(*number)).and_then(|(.., body)| body.as_deref());
            let is_named = matches!(key, IdentityKey::Name(_)) && body.is_some();
            let one = |key: &IdentityKey, body: &str| hash(&[name, &key_text(key), body]);
            let difference = match (key, body) {
                (_, None) => 0,
                (IdentityKey::Name(_), Some(body)) => {
                    // One that cannot be read is looked at.
                    let keys =
                        keys_anyhow(name, body).into_iter().filter(|key| matches!(key, IdentityKey::Identity(..)));
                    keys.fold(0_u128, |sum, key| sum.wrapping_add(one(&key, body)))
                }
                (IdentityKey::Identity(..), Some(body)) => one(key, body).wrapping_neg(),
            };
            // Most rows are told by their sums alone.
            sums.push((hash(&[name]), Sum { difference, is_suspect, is_named }));
        }
    }
    sums
}

fn hash(texts: &[&str]) -> u128 {
    let mut hasher = SipHasher13::new();
    for text in texts {
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    hasher.finish128().as_u128()
}
