//! Most-specific match (rule 9): which rate of a version, or which element of a bundle, fits a record, and how specifically.

use crate::usage::UsageRecord;
use crate::zone::{Grade, Plmn, Zone};
use hashbrown::HashMap;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::{Hash, Hasher};
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

/// Optional keys of a rate or element; an absent key matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyFilter {
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

impl KeyFilter {
    fn mask(&self) -> u8 {
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
        fn text(key: &Option<Box<str>>, value: &Option<Box<str>>) -> bool {
            key.is_none() || key == value
        }
        (self.rating_group.is_none() || self.rating_group == usage.rating_group)
            && text(&self.apn, &usage.apn)
            && text(&self.rat, &usage.rat)
            && text(&self.direction, &usage.direction)
            && text(&self.sponsor, &usage.sponsor)
    }

    fn hash_values(&self) -> u128 {
        hash_keys(self.mask(), self.rating_group, [&self.apn, &self.rat, &self.direction, &self.sponsor])
    }
}

fn hash_keys(mask: u8, rating_group: Option<i64>, texts: [&Option<Box<str>>; 4]) -> u128 {
    if mask == 0 {
        return 0;
    }
    let mut hasher = SipHasher13::new();
    hasher.write_u8(mask);
    if mask & 1 != 0 {
        rating_group.hash(&mut hasher);
    }
    for (bit, text) in texts.into_iter().enumerate() {
        if mask & (2 << bit) != 0 {
            text.hash(&mut hasher);
        }
    }
    hasher.finish128().as_u128()
}

/// What a rate or an element applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UsageMatch {
    /// The service.
    pub service: Box<str>,
    /// Where.
    pub zone: Arc<Zone>,
    /// Further keys.
    pub keys: KeyFilter,
}

impl UsageMatch {
    /// Feeds what identifies a rate over the versions of its tariff: names, not the networks of the zone, which may change.
    pub(crate) fn hash_identity(&self, hasher: &mut impl Hasher) {
        self.service.hash(hasher);
        self.zone.name().hash(hasher);
        self.keys.hash(hasher);
    }

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
    services: HashMap<Box<str>, Vec<KeyGroup>>,
}

/// All entries of a service that give the same set of keys; groups are sorted by the number of keys, most first.
#[derive(Debug)]
struct KeyGroup {
    mask: u8,
    count: u8,
    by_values: HashMap<u128, ZoneTable>,
}

#[derive(Debug, Default)]
struct ZoneTable {
    /// Lengths of called prefixes in use, longest first.
    prefix_lengths: Vec<usize>,
    by_prefix: HashMap<Box<str>, NetworkTable>,
    any_destination: NetworkTable,
}

#[derive(Debug, Default)]
struct NetworkTable {
    networks: HashMap<Plmn, u32>,
    groups: HashMap<Plmn, u32>,
    countries: HashMap<Plmn, u32>,
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
        }
        Ok(index)
    }

    fn insert(&mut self, position: usize, entry: &UsageMatch) -> Result<(), Overlap> {
        let mask = entry.keys.mask();
        let groups = self.services.entry(entry.service.clone()).or_default();
        let at = groups.iter().position(|group| group.mask == mask).unwrap_or_else(|| {
            groups.push(KeyGroup { mask, count: entry.keys.count(), by_values: HashMap::new() });
            groups.len() - 1
        });
        let table = groups[at].by_values.entry(entry.keys.hash_values()).or_default();
        if entry.zone.prefixes().is_empty() {
            return table.any_destination.insert(position, &entry.zone);
        }
        for prefix in entry.zone.prefixes() {
            if let Err(slot) = table.prefix_lengths.binary_search_by(|length| prefix.len().cmp(length)) {
                table.prefix_lengths.insert(slot, prefix.len());
            }
            table.by_prefix.entry(prefix.clone()).or_default().insert(position, &entry.zone)?;
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

impl ZoneTable {
    fn find(&self, usage: &UsageRecord) -> Option<(u8, Grade, u32)> {
        if let Some(called) = usage.destination.as_deref() {
            for &length in &self.prefix_lengths {
                let table = called.get(..length).and_then(|prefix| self.by_prefix.get(prefix));
                if let Some((grade, position)) = table.and_then(|table| table.find(usage.network)) {
                    return Some((u8::try_from(length).unwrap_or(u8::MAX), grade, position));
                }
            }
        }
        self.any_destination.find(usage.network).map(|(grade, position)| (0, grade, position))
    }
}

impl NetworkTable {
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
