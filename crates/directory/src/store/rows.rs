//! Reading as of a head.
//!
//! Under each key rows are sorted from the newest version down, so that the first one that the head holds is the one that counts. Writers
//! keep the newest two committed rows of every key: where a head holds none of them but several are newer, those that it would need may be
//! gone, and the reader is told so.

use super::definition::{Definition, Kind, file_of};
use super::head::{HeadRow, bigint};
use super::query::{IN_FLIGHT, each};
use super::{Error, Store};
use crate::cache::{
    CatalogChange, Changes, Edition, EndpointChanges, EndpointRow, Head, IdentityKey, KeyKind, Misnumbered, Rows,
    SCAN_PARTS, StoreError, Version,
};
use crate::load::{Input, InputKind};
use crate::model::IdentityKind;
use crate::value::Digits;
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

/// Partitions of each kind of definition: part of the schema, never to be changed.
pub(super) const BUCKETS: u64 = 32;
/// Parts of the ring that are read at once.
pub(super) const SCANS: usize = 8;
/// Versions between two heads of which the change log is read; beyond, everything counts as changed.
const MAX_VERSIONS: u64 = 256;
/// Logs that are read at once, as far as they list keys: each of them may list 100,000.
const LOGS: usize = 4;
/// Keys after which a step ends.
const STEP_KEYS: usize = 20_000;

/// Name, version and body, as read.
pub(super) type Written = (String, i64, Option<String>);

/// Returns the bucket of a definition.
pub(super) fn bucket(name: &str) -> i32 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    // Below `BUCKETS`, so that it fits.
    (hasher.finish() % BUCKETS) as i32
}

/// Returns the columns of a key.
pub(super) fn key_columns(key: &IdentityKey) -> (&'static str, String) {
    match key {
        IdentityKey::Identity(kind, digits) => (kind.as_str(), digits.to_string()),
        IdentityKey::Name(name) => ("name", name.to_string()),
    }
}

/// The key of these columns, if they are one.
fn key_of(kind: &str, value: &str) -> Option<IdentityKey> {
    if kind == "name" {
        return Some(IdentityKey::Name(Box::from(value)));
    }
    let kind = IdentityKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Digits::parse(value).map(|digits| IdentityKey::Identity(kind, digits))
}

/// The key of a text in the change log.
fn key_of_text(text: &str) -> Result<IdentityKey, Error> {
    let key = text.split_once(':').and_then(|(kind, value)| key_of(kind, value));
    key.ok_or_else(|| Error::Corrupt(format!("\"{text}\" is no key of an endpoint")))
}

/// A key as text, for the change log.
pub(super) fn key_text(key: &IdentityKey) -> String {
    let (kind, value) = key_columns(key);
    format!("{kind}:{value}")
}

/// The row that counts of those of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Counting {
    /// This body.
    Body(String),
    /// Nothing: it was removed, or is not there yet.
    Nothing,
    /// None of them can be believed.
    Misnumbered(Misnumbered),
    /// It may have been deleted.
    Superseded,
}

/// Returns what counts for a head of the rows of one name, which are given from the newest version down. `latest` is a head that was read after them:
/// with it, numbers that were never claimed are distinguished from those of later writers.
fn counting(rows: &[Written], head: &Head, latest: Option<&HeadRow>) -> Counting {
    let mut newer = 0;
    let mut counts = None;
    let mut unclaimed = None;
    for (_, number, body) in rows {
        let Some(version) = u64::try_from(*number).ok().filter(|version| *version > 0).map(Version) else {
            return Counting::Misnumbered(Misnumbered(*number));
        };
        if head.holds(version) {
            counts = counts.or(Some(body));
        } else if version > head.version && !head.aborted.contains(&version) {
            match latest {
                Some(latest) if version > latest.last_claim => unclaimed = Some(Misnumbered(*number)),
                Some(latest) if latest.head.aborted.contains(&version) => {}
                Some(_) | None => newer += 1,
            }
        }
    }
    match (counts, unclaimed) {
        (Some(Some(body)), _) => Counting::Body(body.clone()),
        (Some(None), _) => Counting::Nothing,
        (None, Some(misnumbered)) => Counting::Misnumbered(misnumbered),
        (None, None) if newer > 1 => Counting::Superseded,
        (None, None) => Counting::Nothing,
    }
}

/// Rows of each name, of rows sorted by name.
pub(super) fn by_name(rows: &[Written]) -> impl Iterator<Item = (&str, &[Written])> {
    rows.chunk_by(|(name, ..), (next, ..)| name == next).filter_map(|rows| Some((&*rows.first()?.0, rows)))
}

/// Returns the definitions that count of the rows of a kind: all of them can be believed, or none is used.
fn held(kind: Kind, rows: &[Written], head: &Head) -> Result<Vec<Definition>, StoreError> {
    let mut found = Vec::new();
    for (name, rows) in by_name(rows) {
        match counting(rows, head, None) {
            Counting::Body(body) => found.push(Definition { kind, name: Box::from(name), body: body.into_boxed_str() }),
            Counting::Nothing => {}
            Counting::Misnumbered(misnumbered) => {
                return Err(StoreError::Corrupt(misnumbered.of(&format!("{} \"{name}\"", kind.as_str()), head)));
            }
            Counting::Superseded => return Err(StoreError::Superseded),
        }
    }
    Ok(found)
}

/// Returns true if only a later head can say what counts of the rows of a partition.
fn needs_latest(rows: &[Written], head: &Head) -> bool {
    by_name(rows).any(|(_, rows)| counting(rows, head, None) == Counting::Superseded)
}

/// Of the rows of one partition, the endpoints that count for a head.
fn endpoint_rows(rows: &[Written], head: &Head, latest: Option<&HeadRow>) -> Result<Vec<EndpointRow>, StoreError> {
    let mut found = Vec::new();
    for (name, rows) in by_name(rows) {
        let definition = match counting(rows, head, latest) {
            Counting::Body(body) => Ok(body.into_boxed_str()),
            Counting::Misnumbered(misnumbered) => Err(misnumbered),
            Counting::Nothing => continue,
            Counting::Superseded => return Err(StoreError::Superseded),
        };
        found.push(EndpointRow { endpoint: Box::from(name), definition });
    }
    Ok(found)
}

impl Store {
    /// All zones, tariffs, bundles and accounts, by kind and name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn definitions(&self, head: &Head) -> Result<BTreeMap<(Kind, Box<str>), Box<str>>, Error> {
        let places = Kind::CATALOG.into_iter().flat_map(|kind| (0..BUCKETS as i32).map(move |bucket| (kind, bucket)));
        let parts = each(IN_FLIGHT, places, |(kind, bucket)| {
            let store = self.clone();
            async move {
                let rows: Vec<Written> = store.rows(&store.statements().bucket, (kind.as_str(), bucket)).await?;
                Ok((kind, rows))
            }
        });
        let mut found = BTreeMap::new();
        for (kind, rows) in parts.await? {
            let each = held(kind, &rows, head)?.into_iter();
            found.extend(each.map(|Definition { kind, name, body }| ((kind, name), body)));
        }
        Ok(found)
    }

    /// Endpoints under these keys, in the order of the keys.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn endpoints_at(
        &self,
        head: &Head,
        keys: &[IdentityKey],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, Error> {
        let parts = each(IN_FLIGHT, keys.iter().cloned(), |key| {
            let store = self.clone();
            async move {
                let (kind, value) = key_columns(&key);
                let rows: Vec<Written> = store.rows(&store.statements().endpoints, (kind, value)).await?;
                Ok((key, rows))
            }
        });
        self.believed(parts.await?, head).await
    }

    /// Returns the rows under keys that count. The head is read again where rows seem to be missing: a number that nobody has claimed costs its endpoint alone.
    async fn believed(
        &self,
        parts: Vec<(IdentityKey, Vec<Written>)>,
        head: &Head,
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, Error> {
        let latest = match parts.iter().any(|(_, rows)| needs_latest(rows, head)) {
            true => Some(self.head_row().await?),
            false => None,
        };
        let rows = |(key, rows): (IdentityKey, Vec<Written>)| Ok((key, endpoint_rows(&rows, head, latest.as_ref())?));
        parts.into_iter().map(rows).collect()
    }

    /// Every endpoint, by name: reads the whole table, part by part. `progress` hears how many were found so far.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn all_endpoints(
        &self,
        head: &Head,
        progress: &mut dyn FnMut(u64),
    ) -> Result<BTreeMap<Box<str>, Box<str>>, Error> {
        let parts: Vec<u32> = (0..SCAN_PARTS).collect();
        let mut found = BTreeMap::new();
        for some in parts.chunks(SCANS) {
            let read = each(SCANS, some.iter().copied(), |part| {
                let (store, head) = (self.clone(), head.clone());
                // Each endpoint has one partition under its name.
                async move { store.scan_part(&head, part, &[KeyKind::Name]).await }
            });
            for row in read.await?.into_iter().flatten().flat_map(|(_, rows)| rows) {
                let Definition { name, body, .. } = endpoint_definition(row, head)?;
                found.insert(name, body);
            }
            progress(found.len() as u64);
        }
        Ok(found)
    }

    /// Reads the endpoints under keys of these kinds, in one part of the ring.
    async fn scan_part(
        &self,
        head: &Head,
        part: u32,
        kinds: &[KeyKind],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, Error> {
        let mut parts = self.rows_of_part(part).await?;
        parts.retain(|(key, _)| kinds.contains(&key.kind()));
        let mut found = self.believed(parts, head).await?;
        found.retain(|(_, rows)| !rows.is_empty());
        Ok(found)
    }

    /// Every row of one part of the ring, by key.
    pub(super) async fn rows_of_part(&self, part: u32) -> Result<Vec<(IdentityKey, Vec<Written>)>, Error> {
        let ring = i128::from(i64::MAX) - i128::from(i64::MIN) + 1;
        let edge = |part: u32| i128::from(i64::MIN) + ring * i128::from(part) / i128::from(SCAN_PARTS);
        let token = |at: i128| i64::try_from(at).unwrap_or(i64::MAX);
        let ends = (token(edge(part)), token(edge(part.saturating_add(1)) - 1));
        let rows: Vec<(String, String, String, i64, Option<String>)> = self.rows(&self.statements().scan, ends).await?;
        let mut parts = Vec::new();
        // Rows of a partition come one after the other.
        for rows in
            rows.chunk_by(|(kind, value, ..), (next_kind, next_value, ..)| (kind, value) == (next_kind, next_value))
        {
            let (kind, value, ..) = &rows[0];
            // A row under what is no key cannot be looked up, so it rates nobody; an error would take all other endpoints of the part away.
            let Some(key) = key_of(kind, value) else { continue };
            let rows = rows.iter().map(|(_, _, endpoint, version, body)| (endpoint.clone(), *version, body.clone()));
            parts.push((key, rows.collect()));
        }
        Ok(parts)
    }

    /// The catalogue as one input, and with it the endpoints that grants of accounts name: without them it would not be complete.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn catalog_input(&self, head: &Head) -> Result<Input, Error> {
        let mut definitions: Vec<Definition> = definitions(self.definitions(head).await?);
        let named = super::plan::granted_endpoints(definitions.iter());
        definitions.extend(self.named_endpoints(head, named).await?);
        Ok(store_input(head, &definitions))
    }

    /// Endpoints of these names, as far as there are such.
    pub(super) async fn named_endpoints(
        &self,
        head: &Head,
        names: BTreeSet<Box<str>>,
    ) -> Result<Vec<Definition>, Error> {
        let keys: Vec<IdentityKey> = names.into_iter().map(IdentityKey::Name).collect();
        let found = self.endpoints_at(head, &keys).await?;
        found.into_iter().flat_map(|(_, rows)| rows).map(|row| endpoint_definition(row, head)).collect()
    }

    /// Reads the changes after a version, as far as one step goes.
    async fn changes_between(&self, after: &Edition, head: &Head) -> Result<Changes, Error> {
        let all = |endpoints| Ok(Changes { catalog: CatalogChange::Changed, endpoints, until: head.edition() });
        if head.version.0.saturating_sub(after.version.0) > MAX_VERSIONS {
            return all(EndpointChanges::Everything);
        }
        let logged = self.logged_between(after.version, head).await?;
        let logged = match chain(after, logged, head) {
            Ok(logged) => logged,
            Err(why) => return all(EndpointChanges::Unknown(why)),
        };
        if logged.iter().any(|logged| logged.bulk) {
            return all(EndpointChanges::Everything);
        }
        let mut changes = Changes {
            catalog: CatalogChange::Same,
            endpoints: EndpointChanges::Keys(Vec::new()),
            until: after.clone(),
        };
        let mut keys = BTreeSet::new();
        for some in logged.chunks(LOGS) {
            if keys.len() >= STEP_KEYS {
                changes.endpoints = EndpointChanges::Keys(keys.into_iter().collect());
                return Ok(changes);
            }
            let versions: Vec<Version> = some.iter().map(|logged| logged.edition.version).collect();
            let logs = each(LOGS, versions, |version| {
                let store = self.clone();
                async move {
                    let values = (bigint(version)?,);
                    let parts: Vec<LogPart> = store.rows(&store.statements().changed_keys, values).await?;
                    Ok((version, parts))
                }
            });
            for (version, parts) in logs.await? {
                match whole_log(version, parts) {
                    Ok(parts) => {
                        for key in parts {
                            keys.insert(key_of_text(&key)?);
                        }
                    }
                    Err(why) => return all(EndpointChanges::Unknown(why)),
                }
            }
            for logged in some {
                changes.until = logged.edition.clone();
                if logged.catalog {
                    changes.catalog = CatalogChange::Changed;
                }
            }
        }
        // Behind the last committed one, versions may have been given up.
        changes.until = head.edition();
        changes.endpoints = EndpointChanges::Keys(keys.into_iter().collect());
        Ok(changes)
    }

    /// Reads the first parts of the logs of committed versions, ascending; none where there is no such part.
    async fn logged_between(&self, after: Version, head: &Head) -> Result<Vec<(Version, Option<Logged>)>, Error> {
        let versions = (after.0.saturating_add(1)..=head.version.0).map(Version).filter(|version| head.holds(*version));
        let logged = each(IN_FLIGHT, versions, |version| {
            let store = self.clone();
            async move {
                let rows: Vec<FirstPart> = store.rows(&store.statements().changed_kinds, (bigint(version)?,)).await?;
                // A version of a program that wrote no identities has neither of them: no version that is served is followed by it, and `chain` refuses it.
                let logged = rows.into_iter().next().map(|(bulk, catalog, identity, follows)| Logged {
                    edition: Edition { version, identity: identity.unwrap_or_default().into() },
                    follows: follows.unwrap_or_default(),
                    bulk: bulk.unwrap_or(true),
                    catalog: catalog.unwrap_or(true),
                });
                Ok((version, logged))
            }
        });
        logged.await
    }
}

/// Columns of the first part of a log: bulk, catalog, identity, follows.
type FirstPart = (Option<bool>, Option<bool>, Option<String>, Option<String>);

/// Facts of a version in the first part of its change log.
struct Logged {
    edition: Edition,
    /// The identity of the version that was planned on.
    follows: String,
    bulk: bool,
    catalog: bool,
}

/// Checks that each version follows the one before, from the one that is served to the head.
///
/// # Errors
/// The reason for which the changes are not known.
fn chain(after: &Edition, logged: Vec<(Version, Option<Logged>)>, head: &Head) -> Result<Vec<Logged>, String> {
    let mut before = after.clone();
    let mut all = Vec::with_capacity(logged.len());
    for (version, logged) in logged {
        let logged = logged.ok_or_else(|| format!("the change log of version {version} lacks its first part"))?;
        if *logged.follows != *before.identity {
            return Err(format!(
                "version {version} does not follow the version {} that was served: the store was restored or rewritten",
                before.version
            ));
        }
        before = logged.edition.clone();
        all.push(logged);
    }
    if before != head.edition() {
        return Err(format!("version {} is not the one that its change log tells of", head.version));
    }
    Ok(all)
}

/// Number of a part, how many there are, and what it lists.
pub(super) type LogPart = (i32, Option<i32>, Option<Vec<String>>);

/// Joins the lists of all parts of a log. A program that counted no parts left no hole before its last one.
///
/// # Errors
/// The part that is missing, or whose list is.
pub(super) fn whole_log(version: Version, parts: Vec<LogPart>) -> Result<Vec<String>, String> {
    let last = parts.iter().map(|(part, ..)| part.saturating_add(1)).max().unwrap_or_default();
    let count = parts.iter().filter_map(|(_, parts, _)| *parts).max().unwrap_or_default().max(last).max(1);
    let there: BTreeSet<i32> = parts.iter().map(|(part, ..)| *part).collect();
    match (0..count).find(|part| !there.contains(part)) {
        Some(part) => Err(format!("the change log of version {version} lacks part {} of {count}", part + 1)),
        None => {
            // Nothing to list is an empty list. None at all is a list that was lost, and whoever took it for empty would go on with what changed.
            let lost = |part: i32| {
                format!("the change log of version {version} lacks the list in part {} of {count}", part + 1)
            };
            let lists = parts.into_iter().map(|(part, _, listed)| listed.ok_or_else(|| lost(part)));
            lists.collect::<Result<Vec<_>, _>>().map(|lists| lists.concat())
        }
    }
}

/// Lists definitions.
pub(super) fn definitions(found: BTreeMap<(Kind, Box<str>), Box<str>>) -> Vec<Definition> {
    found.into_iter().map(|((kind, name), body)| Definition { kind, name, body }).collect()
}

/// An endpoint as a definition.
///
/// # Errors
/// [`Error::Corrupt`] where its rows cannot be believed: whoever changes it has to know what it was.
pub(super) fn endpoint_definition(row: EndpointRow, head: &Head) -> Result<Definition, Error> {
    let EndpointRow { endpoint: name, definition } = row;
    let body =
        definition.map_err(|misnumbered| Error::Corrupt(misnumbered.of(&format!("endpoint \"{name}\""), head)))?;
    Ok(Definition { kind: Kind::Endpoint, name, body })
}

/// Definitions of the store as an input of `load`, under a name that says where they are from.
pub(super) fn store_input(head: &Head, definitions: &[Definition]) -> Input {
    let text = file_of(&definitions.iter().collect::<Vec<_>>());
    Input { name: format!("store@{}", head.version), bytes: text.into_bytes(), kind: InputKind::Yaml }
}

impl Rows for Store {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head_row().await?.head)
    }

    async fn catalog(&self, head: &Head) -> Result<Vec<Input>, StoreError> {
        Ok(vec![self.catalog_input(head).await?])
    }

    async fn endpoints(
        &self,
        head: &Head,
        keys: &[IdentityKey],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        Ok(self.endpoints_at(head, keys).await?)
    }

    async fn scan(
        &self,
        head: &Head,
        part: u32,
        kinds: &[KeyKind],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        Ok(self.scan_part(head, part, kinds).await?)
    }

    async fn changes(&self, after: &Edition, head: &Head) -> Result<Changes, StoreError> {
        Ok(self.changes_between(after, head).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn check(rows: &[(i64, Option<&str>)], head: u64, aborted: &[u64], expected: &Counting) {
        let aborted = Arc::new(aborted.iter().copied().map(Version).collect());
        let head = Head { version: Version(head), aborted, ..Head::default() };
        let rows: Vec<Written> =
            rows.iter().map(|(version, body)| ("x".to_owned(), *version, body.map(str::to_owned))).collect();
        assert_eq!(counting(&rows, &head, None), *expected);
    }

    fn body(text: &str) -> Counting {
        Counting::Body(text.to_owned())
    }

    #[test]
    fn the_newest_row_that_the_head_holds_counts() {
        let rows = [(5, Some("e")), (3, Some("c")), (1, Some("a"))];
        check(&rows, 5, &[], &body("e"));
        check(&rows, 4, &[], &body("c"));
        check(&rows, 5, &[5], &body("c"));
        check(&rows, 5, &[5, 3], &body("a"));
        check(&[(5, None), (3, Some("c"))], 5, &[], &Counting::Nothing);
        check(&[(5, Some("e"))], 4, &[], &Counting::Nothing);
        check(&[(6, Some("f")), (5, Some("e"))], 4, &[], &Counting::Superseded);
        check(&[(6, Some("f")), (5, Some("e"))], 4, &[5], &Counting::Nothing);
        check(&[(6, Some("f")), (5, Some("e")), (4, None)], 4, &[], &Counting::Nothing);
        check(&[(5, Some("e")), (-1, Some("a"))], 5, &[], &Counting::Misnumbered(Misnumbered(-1)));
    }

    #[test]
    fn a_log_is_whole_if_no_part_of_it_is_missing() {
        let of = |parts: &[i32], count| {
            let part = |part: &i32| (*part, count, Some(vec![format!("k{part}")]));
            whole_log(Version(7), parts.iter().map(part).collect())
        };
        assert_eq!(of(&[0, 1], Some(2)), Ok(vec!["k0".to_owned(), "k1".to_owned()]));
        assert_eq!(of(&[0, 1], Some(3)), Err("the change log of version 7 lacks part 3 of 3".to_owned()));
        assert_eq!(of(&[0, 2], None), Err("the change log of version 7 lacks part 2 of 3".to_owned()));
        assert_eq!(of(&[], None), Err("the change log of version 7 lacks part 1 of 1".to_owned()));
        assert_eq!(of(&[0, 1], None).map(|keys| keys.len()), Ok(2));
        let lost = whole_log(Version(7), vec![(0, Some(2), Some(Vec::new())), (1, Some(2), None)]);
        assert_eq!(lost, Err("the change log of version 7 lacks the list in part 2 of 2".to_owned()));
    }

    #[test]
    fn versions_that_do_not_follow_each_other_are_told() {
        let edition = |version, identity: &str| Edition { version: Version(version), identity: identity.into() };
        let head =
            |version, identity: &str| Head { version: Version(version), identity: identity.into(), ..Head::default() };
        let logged = |version, identity: &str, follows: &str| {
            let edition = edition(version, identity);
            (edition.version, Some(Logged { edition, follows: follows.to_owned(), bulk: false, catalog: false }))
        };
        let check = |after: &Edition, logged, head: &Head| chain(after, logged, head).map(|logged| logged.len());
        let two = || vec![logged(4, "d", "c"), logged(6, "f", "d")];
        assert_eq!(check(&edition(3, "c"), two(), &head(6, "f")), Ok(2));
        let other = check(&edition(3, "x"), two(), &head(6, "f")).unwrap_err();
        assert!(other.contains("version 4 does not follow the version 3"), "{other}");
        let other = check(&edition(3, "c"), two(), &head(6, "x")).unwrap_err();
        assert!(other.contains("version 6 is not the one"), "{other}");
        let lost = check(&edition(3, "c"), vec![(Version(4), None)], &head(4, "d")).unwrap_err();
        assert!(lost.contains("version 4 lacks its first part"), "{lost}");
    }

    #[test]
    fn a_number_that_nobody_has_claimed_is_told_from_those_of_later_writers() {
        let head = |version, aborted: &[u64]| Head {
            version: Version(version),
            aborted: Arc::new(aborted.iter().copied().map(Version).collect()),
            ..Head::default()
        };
        let row = |number| ("x".to_owned(), number, Some("a".to_owned()));
        let latest = HeadRow { head: head(7, &[6]), last_claim: Version(8), claim: None };
        let counts = |numbers: &[i64]| {
            let rows: Vec<Written> = numbers.iter().copied().map(row).collect();
            counting(&rows, &head(4, &[]), Some(&latest))
        };
        assert_eq!(counts(&[8, 7]), Counting::Superseded);
        assert_eq!(counts(&[8, 6]), Counting::Nothing);
        assert_eq!(counts(&[99, 98]), Counting::Misnumbered(Misnumbered(98)));
        assert_eq!(counts(&[99, 4]), body("a"));
    }
}
