//! What differs between two directories.

use super::Error;
use super::definition::Kind;
use super::timeline;
use crate::cache::{IdentityKey, has_bundles};
use crate::model::{BEGINNING, Endpoint, Identities, IdentityKind, Model};
use crate::source::Sources;
use crate::value::Digits;
use crate::{Diagnostics, Input, InputKind};
use rating::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A change has to be written so long before it takes effect, in milliseconds, that every cache knows of it in time.
pub const LEAD_MS: i64 = 60_000;

/// One definition that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it defines.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
    /// What it was; none: not there.
    pub old: Option<Box<str>>,
    /// What it is; none: removed.
    pub new: Option<Box<str>>,
    /// Keys under which rows of an endpoint stand that neither definition explains: nothing is to be found there.
    pub strays: BTreeSet<IdentityKey>,
}

/// What happens to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It is another one.
    Changed,
    /// It is no longer there.
    Removed,
}

/// From when on answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At all times.
    Always,
    /// From a moment on.
    From(Timestamp),
    /// Never: it is written in other words.
    Never,
}

impl What {
    /// As people say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::Added => "added",
            What::Changed => "changed",
            What::Removed => "removed",
        }
    }
}

impl Effect {
    pub(super) fn of(moment: Option<Timestamp>) -> Effect {
        match moment {
            None => Effect::Never,
            Some(BEGINNING) => Effect::Always,
            Some(moment) => Effect::From(moment),
        }
    }

    /// The first moment; none: never.
    pub fn moment(self) -> Option<Timestamp> {
        match self {
            Effect::Always => Some(BEGINNING),
            Effect::From(moment) => Some(moment),
            Effect::Never => None,
        }
    }

    /// As JSON: a time, or a word.
    pub fn to_json(self) -> Value {
        match self {
            Effect::Always => json!("always"),
            Effect::From(moment) => json!(moment.to_string()),
            Effect::Never => json!("never"),
        }
    }
}

impl Change {
    /// A definition that becomes another one, comes or goes.
    pub fn new(kind: Kind, name: Box<str>, old: Option<Box<str>>, new: Option<Box<str>>) -> Change {
        Change { kind, name, old, new, strays: BTreeSet::new() }
    }

    /// What happens.
    pub fn what(&self) -> What {
        match (&self.old, &self.new) {
            (None, _) => What::Added,
            (Some(_), Some(_)) => What::Changed,
            (Some(_), None) => What::Removed,
        }
    }

    /// Returns whether an endpoint gets a plan that grants bundles at some time, which nothing buys that reads its directory from a store.
    pub fn grants_bundles(&self) -> bool {
        self.kind == Kind::Endpoint && self.new.as_deref().is_some_and(|body| has_bundles(&self.name, body))
    }

    /// From when on answers differ.
    pub fn effect(&self) -> Effect {
        timeline::effect(self.kind, self.old.as_deref(), self.new.as_deref())
    }

    /// Whether something may have been charged by what held before: it was there, and the change reaches back behind the lead time.
    pub fn is_retroactive(&self, effect: Effect, now: Timestamp) -> bool {
        let soonest = now.millis().saturating_add(LEAD_MS);
        self.old.is_some() && effect.moment().is_some_and(|moment| moment.millis() < soonest)
    }

    /// Under which keys an endpoint was or is found.
    ///
    /// # Errors
    /// A new definition that this program cannot read.
    pub(super) fn keys(&self) -> Result<Keys, Error> {
        let before = match &self.old {
            // What cannot be read can be mended, if it is not left where it is found.
            Some(body) => keys_of(&self.name, body).unwrap_or_else(|_| keys_in(&self.name, body)),
            None => BTreeSet::new(),
        };
        let after = self.new.as_ref().map_or(Ok(BTreeSet::new()), |body| keys_of(&self.name, body))?;
        let before: BTreeSet<IdentityKey> = before.union(&self.strays).cloned().collect();
        Ok(Keys { gone: before.difference(&after).cloned().collect(), after })
    }
}

/// Where an endpoint is to be written.
pub(super) struct Keys {
    /// Where it was found and no longer is.
    pub(super) gone: Vec<IdentityKey>,
    /// Where it is found.
    pub(super) after: BTreeSet<IdentityKey>,
}

/// Its name and every identity that the endpoint of a body ever has.
pub(super) fn keys_of(name: &str, body: &str) -> Result<BTreeSet<IdentityKey>, Error> {
    let endpoint = read_endpoint(name, body);
    let endpoint =
        endpoint.ok_or_else(|| Error::Corrupt(format!("endpoint {name} has a definition of a later version")))?;
    let mut keys = BTreeSet::from([IdentityKey::Name(Box::from(name))]);
    keys.extend(identities(&endpoint));
    Ok(keys)
}

/// Its name and everything that looks like an identity in a body that cannot be read. A key too many does no harm: nothing is found there.
pub(super) fn keys_in(name: &str, body: &str) -> BTreeSet<IdentityKey> {
    let mut keys = BTreeSet::from([IdentityKey::Name(Box::from(name))]);
    for kind in IdentityKind::ALL {
        for after in body.split(&format!("{}:", kind.as_str())).skip(1) {
            // One, or a list: up to the next key, or the end.
            let end = after.find(|c: char| c.is_ascii_alphabetic() || matches!(c, ']' | '}')).unwrap_or(after.len());
            let texts = after.get(..end).unwrap_or_default().split(|c: char| !c.is_ascii_digit());
            keys.extend(texts.filter_map(Digits::parse).map(|digits| IdentityKey::Identity(kind, digits)));
        }
    }
    keys
}

/// Every identity that an endpoint ever has.
pub(super) fn identities(endpoint: &Endpoint) -> impl Iterator<Item = IdentityKey> {
    let later = endpoint.changes.iter().map(|change| change.identities.each_ref().map(Option::as_ref));
    std::iter::once(endpoint.identities.each_ref().map(Some)).chain(later).flat_map(|state| {
        IdentityKind::ALL.into_iter().zip(state).flat_map(|(kind, identities)| {
            let held = identities.map_or(&[][..], Identities::as_slice);
            held.iter().map(move |identity| IdentityKey::Identity(kind, identity.value))
        })
    })
}

/// The model of one definition; what a store holds was validated before.
pub(super) fn read_one(kind: Kind, name: &str, body: &str) -> Option<Model> {
    let text = format!("format: rater/v1\n{}:\n  {name}: {body}\n", kind.section());
    let input = Input { name: name.to_owned(), bytes: text.into_bytes(), kind: InputKind::Yaml };
    let (mut sources, mut errors, mut model) = (Sources::new(), Diagnostics::new(), Model::default());
    let file = crate::load::add(&mut sources, input, &mut errors)?;
    crate::load::read(&sources, file, InputKind::Yaml, &mut model, &mut errors);
    errors.is_empty().then_some(model)
}

pub(super) fn read_endpoint(name: &str, body: &str) -> Option<Endpoint> {
    let mut model = read_one(Kind::Endpoint, name, body)?;
    std::mem::take(&mut model.endpoints).into_values().next()
}

#[cfg(test)]
mod tests {
    use super::super::endpoint_text::endpoint_text;
    use super::*;

    #[test]
    fn an_endpoint_is_written_wherever_it_was_or_is_found() {
        let old =
            "{customer: a, imsi: 234150000000001, changes: [{from: 2026-01-01T00:00:00Z, imsi: 234150000000002}]}";
        let new = "{customer: a, imsi: 234150000000002, msisdn: 4477}";
        let change = Change::new(Kind::Endpoint, "x".into(), Some(old.into()), Some(new.into()));
        let keys = change.keys().unwrap();
        let shown = |key: &IdentityKey| key.to_string();
        assert_eq!(keys.gone.iter().map(shown).collect::<Vec<_>>(), ["imsi 234150000000001"]);
        assert_eq!(
            keys.after.iter().map(shown).collect::<Vec<_>>(),
            ["imsi 234150000000002", "msisdn 4477", "endpoint x"]
        );
        // Of one that nobody can read, whatever looks like an identity.
        let broken = change.old.as_deref().map(|old| Box::from(old.replace("{customer", "{castomer: a, customer")));
        let mended = Change { old: broken, ..change }.keys().unwrap();
        assert_eq!((mended.gone.len(), mended.gone[0].to_string()), (1, "imsi 234150000000001".to_owned()));
        let endpoint = read_endpoint("x", old).expect("an endpoint");
        assert_eq!(endpoint_text(&endpoint), old);
    }

    #[test]
    fn an_endpoint_is_found_by_each_of_its_imsis() {
        let old = "{customer: a, imsi: [234150000000001, 901280000000001], iccid: 8944010000000000001, \
                   changes: [{from: 2026-01-01T00:00:00Z, imsi: [234150000000001, 310410000000001]}, {from: 2026-02-01T00:00:00Z, imsi: ~}]}";
        let new = "{customer: a, imsi: 310410000000001}";
        let endpoint = read_endpoint("x", old).expect("an endpoint");
        assert_eq!(endpoint_text(&endpoint), old);
        let change = Change::new(Kind::Endpoint, "x".into(), Some(old.into()), Some(new.into()));
        let gone = |change: &Change| -> Vec<String> {
            change.keys().expect("keys").gone.iter().map(ToString::to_string).collect()
        };
        let all = ["imsi 234150000000001", "imsi 901280000000001", "iccid 8944010000000000001"];
        assert_eq!(gone(&change), all);
        let broken = change.old.as_deref().map(|old| Box::from(old.replace("{customer", "{castomer: a, customer")));
        assert_eq!(gone(&Change { old: broken, ..change.clone() }), all);
        // The order in which they are listed makes no difference.
        let listed = "{customer: a, imsi: [1111111, 2222222]}";
        let otherwise = Some("{customer: a, imsi: [2222222, 1111111]}".into());
        let same = Change { old: Some(listed.into()), new: otherwise, ..change };
        assert_eq!(same.effect(), Effect::Never);
    }
}
