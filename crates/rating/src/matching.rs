//! Most-specific match (rule 9): which rate of a version, or which element of a bundle, fits a record, and how specifically.

use crate::few::Few;
use crate::identity::{IdHasher, IdHasher128};
use crate::usage::UsageRecord;
use crate::zone::{END_OF_NUMBER, Grade, Plmn, Zone};
use std::ops::Deref;
use std::sync::Arc;

/// How specific a match is; greater is more specific. The order of the fields is the order of rule 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    /// Number of keys given besides the service.
    pub keys: u8,
    /// Length of the matching called prefix, in digits.
    pub prefix: u8,
    /// Grade of the zone.
    pub grade: Grade,
}

/// Optional keys of a rate or element; an absent key matches anything. Nearly all have none, which takes the room of a pointer.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter(Option<Box<MatchKeys>>);

/// The keys of a [`KeyFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchKeys {
    /// Rating group of the charging rule.
    pub rating_group: Option<i64>,
    /// Access point name.
    pub apn: Option<Box<str>>,
    /// Radio access type.
    pub rat: Option<Box<str>>,
    /// Direction of use.
    pub direction: Option<Box<str>>,
    /// Sponsor operator.
    pub sponsor: Option<Box<str>>,
}

static NO_KEYS: MatchKeys = MatchKeys { rating_group: None, apn: None, rat: None, direction: None, sponsor: None };

impl From<MatchKeys> for KeyFilter {
    fn from(keys: MatchKeys) -> KeyFilter {
        KeyFilter((keys != NO_KEYS).then(|| Box::new(keys)))
    }
}

impl Deref for KeyFilter {
    type Target = MatchKeys;

    fn deref(&self) -> &MatchKeys {
        self.0.as_deref().unwrap_or(&NO_KEYS)
    }
}

impl PartialEq for KeyFilter {
    fn eq(&self, other: &KeyFilter) -> bool {
        **self == **other
    }
}

impl Eq for KeyFilter {}

impl KeyFilter {
    /// Which keys are given, a bit for each.
    pub fn mask(&self) -> u8 {
        u8::from(self.rating_group.is_some())
            | u8::from(self.apn.is_some()) << 1
            | u8::from(self.rat.is_some()) << 2
            | u8::from(self.direction.is_some()) << 3
            | u8::from(self.sponsor.is_some()) << 4
    }

    /// How many keys are given.
    pub fn count(&self) -> u8 {
        self.mask().count_ones() as u8
    }

    /// Whether the record has every key that is given, with the same value.
    pub fn accepts(&self, usage: &UsageRecord) -> bool {
        fn text(name: KeyName, key: &Option<Box<str>>, value: &Option<Box<str>>) -> bool {
            key.as_deref().is_none_or(|key| value.as_deref().is_some_and(|value| name.is_same(key, value)))
        }
        (self.rating_group.is_none() || self.rating_group == usage.rating_group)
            && text(KeyName::Apn, &self.apn, &usage.apn)
            && text(KeyName::Rat, &self.rat, &usage.rat)
            && text(KeyName::Direction, &self.direction, &usage.direction)
            && text(KeyName::Sponsor, &self.sponsor, &usage.sponsor)
    }

    /// Returns true if one record could have every key of both.
    pub fn is_compatible(&self, other: &KeyFilter) -> bool {
        fn text(name: KeyName, a: &Option<Box<str>>, b: &Option<Box<str>>) -> bool {
            a.as_deref().zip(b.as_deref()).is_none_or(|(a, b)| name.is_same(a, b))
        }
        (self.rating_group.is_none() || other.rating_group.is_none() || self.rating_group == other.rating_group)
            && text(KeyName::Apn, &self.apn, &other.apn)
            && text(KeyName::Rat, &self.rat, &other.rat)
            && text(KeyName::Direction, &self.direction, &other.direction)
            && text(KeyName::Sponsor, &self.sponsor, &other.sponsor)
    }

    fn hash_values(&self) -> u128 {
        self.hash_of(self.mask())
    }

    /// Returns a hash of the keys of a mask, all of which are given: equal where their values mean the same.
    pub fn hash_of(&self, mask: u8) -> u128 {
        hash_keys(mask, self.rating_group, [&self.apn, &self.rat, &self.direction, &self.sponsor])
    }
}

/// The keys that are texts. They are compared by what they mean, and kept as they are written: what has been counted under a rate stays under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyName {
    Apn,
    Rat,
    Direction,
    Sponsor,
}

impl KeyName {
    /// In the order of the mask.
    const ALL: [KeyName; 4] = [KeyName::Apn, KeyName::Rat, KeyName::Direction, KeyName::Sponsor];

    fn is_same(self, a: &str, b: &str) -> bool {
        a == b || self.bytes(a).eq(self.bytes(b))
    }

    /// The bytes that are compared. Letters of either case are one; an APN is compared without its operator identifier (TS 23.003, clause 9),
    /// a radio access type without hyphens and under its name (TS 29.274, clause 8.17).
    fn bytes(self, text: &str) -> impl Iterator<Item = u8> + '_ {
        let (text, is_joined) = match self {
            KeyName::Apn => (without_operator(text), false),
            KeyName::Rat => (radio_access(text), true),
            KeyName::Direction | KeyName::Sponsor => (text, false),
        };
        let is_kept = move |byte: &u8| !(is_joined && matches!(byte, b'-' | b'_' | b' '));
        text.bytes().filter(is_kept).map(|byte| byte.to_ascii_lowercase())
    }
}

/// An APN without `.mncNNN.mccNNN.gprs` at its end.
fn without_operator(apn: &str) -> &str {
    const LENGTH: usize = ".mnc015.mcc234.gprs".len();
    let Some((network, operator)) = apn.len().checked_sub(LENGTH).and_then(|at| apn.split_at_checked(at)) else {
        return apn;
    };
    let is_operator = operator.bytes().zip(*b".mnc###.mcc###.gprs").all(|(byte, form)| match form {
        b'#' => byte.is_ascii_digit(),
        letter => byte.eq_ignore_ascii_case(&letter),
    });
    if is_operator && !network.is_empty() { network } else { apn }
}

/// The name of a radio access type that is given as a number.
pub fn radio_access(text: &str) -> &str {
    match text {
        "1" => "utran",
        "2" => "geran",
        "3" => "wlan",
        "4" => "gan",
        "5" => "hspa_evolution",
        "6" => "eutran",
        "7" => "virtual",
        "8" => "eutran_nb_iot",
        "9" => "lte_m",
        "10" => "nr",
        other => other,
    }
}

fn hash_keys(mask: u8, rating_group: Option<i64>, texts: [&Option<Box<str>>; 4]) -> u128 {
    if mask == 0 {
        return 0;
    }
    let mut hasher = IdHasher128::new();
    hasher.u8(mask);
    if mask & 1 != 0 {
        hasher.optional(rating_group, IdHasher::i64);
    }
    for (bit, (name, text)) in KeyName::ALL.into_iter().zip(texts).enumerate() {
        if mask & (2 << bit) != 0 {
            hasher.u8(u8::from(text.is_some()));
            text.as_deref().into_iter().flat_map(|text| name.bytes(text)).for_each(|byte| hasher.u8(byte));
            hasher.u8(0xff);
        }
    }
    hasher.finish()
}

/// What a rate or an element applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageMatch {
    /// The service.
    pub service: Box<str>,
    /// Where.
    pub zone: Arc<Zone>,
    /// Further keys.
    pub keys: KeyFilter,
}

impl UsageMatch {
    /// How specifically this fits the record; `None` if it does not. Linear in the zone: for bundles, which are few.
    pub fn specificity(&self, usage: &UsageRecord) -> Option<Specificity> {
        if self.service != usage.service || !self.keys.accepts(usage) || !self.zone.holds_network(usage.network) {
            return None;
        }
        let prefix = self.zone.prefix_length(usage.destination.as_deref())?;
        Some(Specificity {
            keys: self.keys.count(),
            prefix: u8::try_from(prefix).unwrap_or(u8::MAX),
            grade: self.zone.grade(),
        })
    }
}

/// Two entries that fit one record equally well: refused at load (rule 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Position of the earlier entry.
    pub first: usize,
    /// Position of the later entry.
    pub second: usize,
}

/// Finds the most specific entry by look-ups whose number does not depend on how many entries there are.
#[derive(Debug, Default)]
pub struct MatchIndex {
    services: Few<Box<str>, Vec<KeyGroup>>,
}

/// All entries of a service that give the same set of keys; groups are sorted by the number of keys, most first.
#[derive(Debug)]
struct KeyGroup {
    mask: u8,
    count: u8,
    by_values: Few<u128, ZoneTable>,
}

#[derive(Debug, Default)]
struct ZoneTable {
    /// Lengths of called prefixes in use, longest first.
    prefix_lengths: Vec<usize>,
    by_prefix: Few<Box<str>, NetworkTable>,
    any_destination: NetworkTable,
}

#[derive(Debug, Default)]
struct NetworkTable {
    networks: Few<Plmn, u32>,
    groups: Few<Plmn, u32>,
    countries: Few<Plmn, u32>,
    root: Option<u32>,
}

impl MatchIndex {
    /// Indexes entries by position.
    ///
    /// # Errors
    /// Entries that would take the same slot. Entries with different sets of keys are compared by the directory's validation.
    pub fn build<'a>(entries: impl IntoIterator<Item = &'a UsageMatch>) -> Result<MatchIndex, Overlap> {
        let mut index = MatchIndex::default();
        for (position, entry) in entries.into_iter().enumerate() {
            index.insert(position, entry)?;
        }
        for groups in index.services.values_mut() {
            groups.sort_by_key(|group| std::cmp::Reverse(group.count));
            groups.shrink_to_fit();
            groups.iter_mut().for_each(KeyGroup::shrink_to_fit);
        }
        index.services.shrink_to_fit();
        Ok(index)
    }

    fn insert(&mut self, position: usize, entry: &UsageMatch) -> Result<(), Overlap> {
        let mask = entry.keys.mask();
        let groups = self.services.get_or_default(entry.service.clone());
        let at = groups.iter().position(|group| group.mask == mask).unwrap_or_else(|| {
            groups.push(KeyGroup { mask, count: entry.keys.count(), by_values: Few::default() });
            groups.len() - 1
        });
        let table = groups[at].by_values.get_or_default(entry.keys.hash_values());
        if entry.zone.prefixes().is_empty() {
            return table.any_destination.insert(position, &entry.zone);
        }
        for prefix in entry.zone.prefixes() {
            if let Err(slot) = table.prefix_lengths.binary_search_by(|length| prefix.len().cmp(length)) {
                table.prefix_lengths.insert(slot, prefix.len());
            }
            table.by_prefix.get_or_default(prefix.clone()).insert(position, &entry.zone)?;
        }
        Ok(())
    }

    /// The position of the most specific entry for a record.
    pub fn find(&self, usage: &UsageRecord) -> Option<usize> {
        let mut best: Option<(Specificity, u32)> = None;
        for group in self.services.get(&*usage.service)? {
            if best.is_some_and(|(found, _)| found.keys > group.count) {
                break;
            }
            let texts = [&usage.apn, &usage.rat, &usage.direction, &usage.sponsor];
            let Some(table) = group.by_values.get(&hash_keys(group.mask, usage.rating_group, texts)) else {
                continue;
            };
            if let Some((prefix, grade, position)) = table.find(usage) {
                let found = Specificity { keys: group.count, prefix, grade };
                if best.is_none_or(|(so_far, _)| found > so_far) {
                    best = Some((found, position));
                }
            }
        }
        best.map(|(_, position)| position as usize)
    }
}

impl KeyGroup {
    fn shrink_to_fit(&mut self) {
        self.by_values.shrink_to_fit();
        for zones in self.by_values.values_mut() {
            zones.prefix_lengths.shrink_to_fit();
            zones.by_prefix.shrink_to_fit();
            zones.by_prefix.values_mut().for_each(NetworkTable::shrink_to_fit);
            zones.any_destination.shrink_to_fit();
        }
    }
}

impl ZoneTable {
    fn find(&self, usage: &UsageRecord) -> Option<(u8, Grade, u32)> {
        if let Some(called) = usage.destination.as_deref() {
            for &length in &self.prefix_lengths {
                let table = match called.get(..length) {
                    Some(prefix) => self.by_prefix.get(prefix),
                    None if length == called.len() + 1 => self.by_prefix.get(&*format!("{called}{END_OF_NUMBER}")),
                    None => None,
                };
                if let Some((grade, position)) = table.and_then(|table| table.find(usage.network)) {
                    return Some((u8::try_from(length).unwrap_or(u8::MAX), grade, position));
                }
            }
        }
        self.any_destination.find(usage.network).map(|(grade, position)| (0, grade, position))
    }
}

impl NetworkTable {
    fn shrink_to_fit(&mut self) {
        self.networks.shrink_to_fit();
        self.groups.shrink_to_fit();
        self.countries.shrink_to_fit();
    }

    fn insert(&mut self, position: usize, zone: &Zone) -> Result<(), Overlap> {
        let second = position;
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let table = match zone.grade() {
            Grade::Root => {
                return match self.root.replace(position) {
                    Some(first) => Err(Overlap { first: first as usize, second }),
                    None => Ok(()),
                };
            }
            Grade::Country => &mut self.countries,
            Grade::Group => &mut self.groups,
            Grade::Network => &mut self.networks,
        };
        for network in zone.networks() {
            match table.insert(*network, position) {
                Some(first) if first != position => return Err(Overlap { first: first as usize, second }),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn find(&self, network: Option<Plmn>) -> Option<(Grade, u32)> {
        if let Some(at) = network {
            let country = at.country();
            let group = || self.groups.get(&at).or_else(|| self.groups.get(&country));
            if let Some(&position) = self.networks.get(&at) {
                return Some((Grade::Network, position));
            }
            if let Some(&position) = group() {
                return Some((Grade::Group, position));
            }
            if let Some(&position) = self.countries.get(&country) {
                return Some((Grade::Country, position));
            }
        }
        self.root.map(|position| (Grade::Root, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Timestamp;

    #[test]
    fn keys_are_compared_by_what_they_mean() {
        let cases = [
            (KeyName::Apn, "iot.provider", "IOT.Provider", true),
            (KeyName::Apn, "IOT.Provider", "iot.provider.mnc015.mcc234.gprs", true),
            (KeyName::Apn, "iot.provider", "iot.provider.MNC015.MCC234.GPRS", true),
            (KeyName::Apn, "iot.provider", "iot.provider.mnc15.mcc234.gprs", false),
            (KeyName::Apn, "iot.provider", "iot.provider2", false),
            (KeyName::Apn, ".mnc015.mcc234.gprs", "", false),
            (KeyName::Apn, "iot", "io\u{e9}.mnc015.mcc234.gprs", false),
            (KeyName::Rat, "eutran", "EUTRAN", true),
            (KeyName::Rat, "eutran", "6", true),
            (KeyName::Rat, "eutran", "E-UTRAN", true),
            (KeyName::Rat, "eutran_nb_iot", "EUTRAN-NB-IoT", true),
            (KeyName::Rat, "nr", "10", true),
            (KeyName::Rat, "eutran", "nr", false),
            (KeyName::Direction, "mo", "MO", true),
            (KeyName::Direction, "mo", "m-o", false),
            (KeyName::Sponsor, "Orange", "orange", true),
            (KeyName::Sponsor, "orange", "tele", false),
        ];
        for (name, key, value, expected) in cases {
            let text = |wanted| (name == wanted).then(|| Box::<str>::from(key));
            let (apn, rat) = (text(KeyName::Apn), text(KeyName::Rat));
            let keys = KeyFilter::from(MatchKeys {
                rating_group: None,
                apn,
                rat,
                direction: text(KeyName::Direction),
                sponsor: text(KeyName::Sponsor),
            });
            let mut usage = UsageRecord::new("a", "s", "data", Timestamp::EPOCH);
            match name {
                KeyName::Apn => usage.apn = Some(value.into()),
                KeyName::Rat => usage.rat = Some(value.into()),
                KeyName::Direction => usage.direction = Some(value.into()),
                KeyName::Sponsor => usage.sponsor = Some(value.into()),
            }
            let applies = UsageMatch { service: "data".into(), zone: Arc::new(Zone::root()), keys };
            assert_eq!(applies.specificity(&usage).is_some(), expected, "{key} and {value}");
            let index = MatchIndex::build([&applies]).expect("one rate");
            assert_eq!(index.find(&usage).is_some(), expected, "{key} and {value}, by the index");
        }
    }
}
