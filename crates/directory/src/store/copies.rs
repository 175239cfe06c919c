//! One endpoint and its copies: what stands under each key, what should, and which definition decides.
//!
//! | the rows | what decides |
//! | --- | --- |
//! | all of one version | the one under the name |
//! | those under all identities of a definition are newer than the one under the name | that definition: the row under the name was lost |
//! | under all identities of the name's definition a newer version removed it | that it was removed |
//! | none under the name, and no definition that stands under all its identities | nobody knows: a definition has to be applied |

use super::change::{Change, keys_in, keys_of};
use super::definition::Kind;
use super::head::HeadRow;
use super::rows::key_text;
use crate::cache::{IdentityKey, Version};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of one endpoint: key, number, body.
pub(super) type Copies = Vec<(IdentityKey, i64, Option<String>)>;

/// A row that differs from what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The key in the table.
    pub key: String,
    /// Name of its endpoint or definition; empty where the key says it.
    pub name: String,
    /// The content that was found.
    pub stands: String,
    /// The content that belongs there.
    pub should: String,
    /// True if it can be mended from other rows of the store.
    pub is_mended: bool,
}

/// Differences of an endpoint's rows, and the change that mends them.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) differences: Vec<Difference>,
    pub(super) change: Option<Change>,
    /// Rows that no writer has written.
    pub(super) misnumbered: Vec<(IdentityKey, i64)>,
}

type Held = (Version, Option<String>);

/// Returns true if nobody has ever claimed a number.
pub(super) fn is_misnumbered(number: i64, latest: &HeadRow) -> bool {
    u64::try_from(number).ok().is_none_or(|number| number == 0 || Version(number) > latest.last_claim)
}

/// Compares the rows of an endpoint. `latest` was read after them.
pub(super) fn examine(name: &str, rows: &Copies, planned: &HeadRow, latest: &HeadRow) -> Examined {
    let mut examined = Examined::default();
    let mut held: BTreeMap<&IdentityKey, Held> = BTreeMap::new();
    for (key, number, body) in rows {
        if is_misnumbered(*number, latest) {
            examined.misnumbered.push((key.clone(), *number));
            examined.differences.push(difference(
                key,
                name,
                format!("a row of version {number}, which no writer has written"),
                "no such row".to_owned(),
            ));
            continue;
        }
        let version = Version(number.unsigned_abs());
        if planned.head.holds(version) && held.get(key).is_none_or(|(known, _)| *known < version) {
            held.insert(key, (version, body.clone()));
        }
    }
    let Some(decided) = decide(name, &held) else {
        examined.differences.extend(held.iter().filter_map(|(key, (_, body))| {
            let should = "nothing, or a row under the name: apply the definition that is meant".to_owned();
            let unknown = difference(key, name, body.clone()?, should);
            Some(Difference { is_mended: false, ..unknown })
        }));
        return examined;
    };
    let keys = decided.as_deref().map_or_else(BTreeSet::new, |body| keys_anyhow(name, body));
    let is_readable = decided.as_deref().is_none_or(|body| keys_of(name, body).is_ok());
    let mut wrong: Vec<Option<&str>> = Vec::new();
    let mut strays: BTreeSet<IdentityKey> = examined.misnumbered.iter().map(|(key, _)| key.clone()).collect();
    for key in keys.iter().chain(held.keys().copied().filter(|key| !keys.contains(key))) {
        let stands = held.get(key).and_then(|(_, body)| body.as_deref());
        let should = decided.as_deref().filter(|_| keys.contains(key));
        if stands == should {
            continue;
        }
        let shown = |body: Option<&str>| body.unwrap_or("nothing").to_owned();
        let found = difference(key, name, shown(stands), shown(should));
        examined.differences.push(Difference { is_mended: is_readable, ..found });
        wrong.push(stands);
        strays.insert(key.clone());
    }
    if !is_readable {
        examined.differences.iter_mut().for_each(|difference| difference.is_mended = false);
        examined.misnumbered.clear();
    } else if !examined.differences.is_empty() {
        examined.change = Some(mending(name, wrong, decided.as_deref(), strays));
    }
    examined
}

/// The change that makes all copies say what was decided. It takes effect where the first of the wrong ones began to answer otherwise: what was
/// charged by them is a candidate for re-rating.
fn mending(name: &str, wrong: Vec<Option<&str>>, decided: Option<&str>, strays: BTreeSet<IdentityKey>) -> Change {
    let change = |old: Option<&str>| Change {
        strays: strays.clone(),
        ..Change::new(Kind::Endpoint, Box::from(name), old.map(Box::from), decided.map(Box::from))
    };
    let charged = wrong.into_iter().flatten().map(|body| change(Some(body)));
    let earliest = charged.min_by_key(|change| change.effect().moment().map_or((1, None), |moment| (0, Some(moment))));
    // Under a key without a row nobody was found, and under one with a wrong number nobody was charged.
    earliest.unwrap_or_else(|| change(decided))
}

/// Returns the definition that counts: `Some(None)` if it was removed, `None` if the rows do not say.
fn decide(name: &str, held: &BTreeMap<&IdentityKey, Held>) -> Option<Option<String>> {
    let key = IdentityKey::Name(Box::from(name));
    let named = held.get(&key);
    let below = named.map_or(Version(0), |(version, _)| *version);
    let copies = || held.iter().filter(|(copy, _)| ***copy != key).map(|(copy, held)| (*copy, held));
    let newest = copies().map(|(_, (version, _))| *version).max().filter(|newest| *newest > below);
    let Some(newest) = newest else { return named.map(|(_, body)| body.clone()).or(Some(None)) };
    let stands = |copy: &IdentityKey, body: Option<&str>| {
        held.get(copy).is_some_and(|(version, found)| *version == newest && found.as_deref() == body)
    };
    let identities = |body: &str| keys_anyhow(name, body).into_iter().filter(|copy| *copy != key).collect::<Vec<_>>();
    let is_everywhere = |of: &str, body: Option<&str>| {
        let keys = identities(of);
        !keys.is_empty() && keys.iter().all(|copy| stands(copy, body))
    };
    let mut bodies =
        copies().filter(|(_, (version, _))| *version == newest).filter_map(|(_, (_, body))| body.as_deref());
    if let Some(body) = bodies.find(|body| is_everywhere(body, Some(body))) {
        return Some(Some(body.to_owned()));
    }
    match named {
        Some((_, Some(body))) if is_everywhere(body, None) => Some(None),
        Some((_, body)) => Some(body.clone()),
        None if copies().all(|(_, (_, body))| body.is_none()) => Some(None),
        None => None,
    }
}

/// The keys of a definition, also of one that nobody can read.
pub(super) fn keys_anyhow(name: &str, body: &str) -> BTreeSet<IdentityKey> {
    keys_of(name, body).unwrap_or_else(|_| keys_in(name, body))
}

fn difference(key: &IdentityKey, name: &str, stands: String, should: String) -> Difference {
    let (key, name) = (key_text(key), name.to_owned());
    Difference { table: "endpoints_by_identity", key, name, stands, should, is_mended: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Head;
    use crate::store::{Effect, What};

    const A: &str = "{customer: acme, imsi: 1111111, iccid: 8944010000000000001}";
    const B: &str = "{customer: beta, imsi: 1111111, iccid: 8944010000000000001}";

    fn head(version: u64) -> HeadRow {
        let head = Head { version: Version(version), ..Head::default() };
        HeadRow { head, last_claim: Version(version), claim: None }
    }

    fn key(text: &str) -> IdentityKey {
        super::super::parse_key(text).expect("a key")
    }

    fn look(rows: &[(&str, i64, Option<&str>)]) -> Examined {
        let rows = rows.iter().map(|(at, number, body)| (key(at), *number, body.map(str::to_owned)));
        examine("x", &rows.collect(), &head(5), &head(5))
    }

    /// Compares differences (key, found, expected) and the definition that mends them.
    fn check(
        rows: &[(&str, i64, Option<&str>)],
        expected: &[(&str, &str, &str)],
        mended: Option<Option<&str>>,
    ) -> Examined {
        let examined = look(rows);
        let seen: Vec<(&str, &str, &str)> = examined
            .differences
            .iter()
            .map(|difference| (&*difference.key, &*difference.stands, &*difference.should))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(examined.change.as_ref().map(|change| change.new.as_deref()), mended);
        examined
    }

    #[test]
    fn copies_that_agree_are_left_alone() {
        check(&[("x", 1, Some(A)), ("imsi:1111111", 1, Some(A)), ("iccid:8944010000000000001", 1, Some(A))], &[], None);
        // Written by versions that nobody sees, or that came before.
        let moved = [("x", 3, Some(A)), ("imsi:1111111", 3, Some(A)), ("iccid:8944010000000000001", 3, Some(A))];
        let old = [("x", 2, Some(B)), ("imsi:333", 2, Some(B)), ("imsi:333", 3, None)];
        check(&[moved, old].concat(), &[], None);
        check(&[("x", 3, None), ("imsi:1111111", 3, None), ("imsi:1111111", 2, Some(A))], &[], None);
    }

    #[test]
    fn the_row_under_the_name_decides() {
        let missing = [("x", 1, Some(A)), ("iccid:8944010000000000001", 1, Some(A))];
        let examined = check(&missing, &[("imsi:1111111", "nothing", A)], Some(Some(A)));
        let change = examined.change.expect("a change");
        assert_eq!((change.effect(), change.keys().expect("keys").after.len()), (Effect::Never, 3));
        let other = [
            ("x", 1, Some(A)),
            ("imsi:1111111", 1, Some(B)),
            ("iccid:8944010000000000001", 1, Some(A)),
            ("msisdn:447700", 1, Some(A)),
        ];
        let expected = [("imsi:1111111", B, A), ("msisdn:447700", A, "nothing")];
        let examined = check(&other, &expected, Some(Some(A)));
        let change = examined.change.expect("a change");
        // Somebody was charged by it.
        assert_eq!((change.effect(), change.what()), (Effect::Always, What::Changed));
        let gone = change.keys().expect("keys").gone;
        assert_eq!(gone, [key("msisdn:447700")]);
        // One copy that is newer does not say that the others are lost.
        let newer = [("x", 1, Some(A)), ("imsi:1111111", 4, Some(B)), ("iccid:8944010000000000001", 1, Some(A))];
        check(&newer, &[("imsi:1111111", B, A)], Some(Some(A)));
    }

    #[test]
    fn a_row_under_the_name_that_is_lost_is_made_from_all_its_copies() {
        let lost = [("imsi:1111111", 4, Some(B)), ("iccid:8944010000000000001", 4, Some(B))];
        check(&lost, &[("name:x", "nothing", B)], Some(Some(B)));
        check(&[&lost[..], &[("x", 2, Some(A))]].concat(), &[("name:x", A, B)], Some(Some(B)));
        let removed = [("x", 2, Some(A)), ("imsi:1111111", 4, None), ("iccid:8944010000000000001", 4, None)];
        check(&removed, &[("name:x", A, "nothing")], Some(None));
        // Nobody knows whether it was removed.
        let examined = look(&lost[..1]);
        assert!(examined.change.is_none() && !examined.differences[0].is_mended, "{examined:?}");
    }

    #[test]
    fn numbers_that_no_writer_had_are_told_and_what_else_stands_is_not_touched() {
        let good = [("x", 1, Some(A)), ("imsi:1111111", 1, Some(A)), ("iccid:8944010000000000001", 1, Some(A))];
        let examined =
            look(&[&good[..], &[("imsi:1111111", -1, Some(B)), ("iccid:8944010000000000001", 6, None)]].concat());
        assert_eq!(examined.misnumbered, [(key("imsi:1111111"), -1), (key("iccid:8944010000000000001"), 6)]);
        let change = examined.change.expect("a change");
        assert_eq!((change.new.as_deref(), change.effect()), (Some(A), Effect::Never));
    }

    #[test]
    fn a_definition_that_nobody_can_read_is_not_copied() {
        let broken = "{castomer: acme, imsi: 1111111}";
        let examined = look(&[("x", 1, Some(broken))]);
        assert_eq!(examined.differences.len(), 1, "{examined:?}");
        assert!(examined.change.is_none() && !examined.differences[0].is_mended);
    }
}
