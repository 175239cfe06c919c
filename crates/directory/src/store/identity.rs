//! What tells a version from another one of the same number.
//!
//! A store that is restored from a snapshot, or that lost its last version, goes over its numbers again. So each version has an identity: the hash of
//! the one that it follows and of everything that it changes. Equal identities mean equal content, whenever it was written.

use super::change::Change;
use crate::cache::{Head, Version};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// Hashes texts so that what stands in one cannot count for the next.
#[derive(Default)]
struct Texts(SipHasher13);

impl Texts {
    fn add(&mut self, text: &str) {
        self.0.write(&(text.len() as u64).to_le_bytes());
        self.0.write(text.as_bytes());
    }

    fn add_body(&mut self, body: Option<&str>) {
        self.0.write(&[u8::from(body.is_some())]);
        self.add(body.unwrap_or_default());
    }

    fn identity(&self) -> String {
        format!("{:032x}", self.0.finish128().as_u128())
    }
}

/// Returns the identity of what a store holds whose versions had none. `now_ms` keeps a copy of the store that gets one later apart.
pub(super) fn first(store: &str, version: i64, now_ms: i64) -> String {
    let mut texts = Texts::default();
    texts.add(store);
    texts.add(&version.to_string());
    texts.add(&now_ms.to_string());
    texts.identity()
}

/// Returns the identity of the version that makes these changes on top of a head.
pub(super) fn next(planned: &Head, version: Version, changes: &[Change]) -> String {
    let mut texts = Texts::default();
    texts.add(&planned.identity);
    texts.add(&version.to_string());
    for Change { kind, name, old, new, strays: _ } in changes {
        texts.add(kind.as_str());
        texts.add(name);
        texts.add_body(old.as_deref());
        texts.add_body(new.as_deref());
    }
    texts.identity()
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn versions_that_differ_in_what_they_hold_or_follow_have_other_identities() {
        let head = |identity: &str| Head { identity: identity.into(), version: Version(3), ..Head::default() };
        let change = |name: &str, old: Option<&str>, new: Option<&str>| {
            Change::new(Kind::Zone, name.into(), old.map(Box::from), new.map(Box::from))
        };
        let base = [change("a", None, Some("b"))];
        let of = |head: &Head, version: u64, changes: &[Change]| next(head, Version(version), changes);
        let one = of(&head("x"), 4, &base);
        assert_eq!((one.len(), &one), (32, &of(&head("x"), 4, &base)));
        for other in [
            of(&head("y"), 4, &base),
            of(&head("x"), 5, &base),
            of(&head("x"), 4, &[]),
            of(&head("x"), 4, &[change("a", Some("b"), None)]),
            of(&head("x"), 4, &[change("ab", None, Some(""))]),
            of(&head("x"), 4, &[change("a", None, None)]),
            first("x", 4, 0),
        ] {
            assert_ne!(one, other);
        }
    }
}
