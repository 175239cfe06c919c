//! Where use happened: networks, and rate zones with their grade of specificity (rule 9).

use std::fmt;
use std::sync::Arc;

/// A network as measured: MCC, and where known an MNC of 2 or 3 digits. MNC is text: 310-41 is not 310-410 (case 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plmn {
    mcc: u16,
    mnc: u16,
    mnc_digits: u8,
}

impl Plmn {
    /// An MCC of 3 digits and an optional MNC of 2 or 3 digits.
    pub fn new(mcc: &str, mnc: Option<&str>) -> Option<Plmn> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
        let mnc = mnc.unwrap_or("");
        if mcc.len() != 3 || !matches!(mnc.len(), 0 | 2 | 3) {
            return None;
        }
        let mnc_value = if mnc.is_empty() { 0 } else { digits(mnc)? };
        Some(Plmn { mcc: digits(mcc)?, mnc: mnc_value, mnc_digits: mnc.len() as u8 })
    }

    /// `234` or `234-15`.
    pub fn parse(text: &str) -> Option<Plmn> {
        match text.split_once('-') {
            Some((_, "")) => None,
            Some((mcc, mnc)) => Plmn::new(mcc, Some(mnc)),
            None => Plmn::new(text, None),
        }
    }

    /// The same as one number: for wires and stores.
    pub fn packed(self) -> u32 {
        u32::from(self.mcc) << 16 | u32::from(self.mnc) << 4 | u32::from(self.mnc_digits)
    }

    /// The inverse of [`Plmn::packed`]; `None` for a number that is no network.
    pub fn from_packed(packed: u32) -> Option<Plmn> {
        let (mcc, mnc, mnc_digits) = ((packed >> 16) as u16, (packed >> 4 & 0xfff) as u16, (packed & 0xf) as u8);
        let is_network = match mnc_digits {
            0 => mnc == 0,
            2 => mnc < 100,
            3 => mnc < 1000,
            _ => false,
        };
        (mcc < 1000 && is_network).then_some(Plmn { mcc, mnc, mnc_digits })
    }

    /// The country: this network without its MNC.
    #[must_use]
    pub fn country(self) -> Plmn {
        Plmn { mcc: self.mcc, mnc: 0, mnc_digits: 0 }
    }

    /// Whether only a country is known.
    pub fn is_country(self) -> bool {
        self.mnc_digits == 0
    }
}

impl fmt::Display for Plmn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnc_digits {
            0 => write!(f, "{:03}", self.mcc),
            2 => write!(f, "{:03}-{:02}", self.mcc, self.mnc),
            _ => write!(f, "{:03}-{:03}", self.mcc, self.mnc),
        }
    }
}

/// An entry of a zone: a country (MCC) or one network; the same form as a measured network.
pub type NetworkPattern = Plmn;

/// How specific a zone's networks are (rule 9): network > named group > country > root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grade {
    /// Everywhere.
    Root,
    /// A set of MCCs.
    Country,
    /// Several networks, or a mixture.
    Group,
    /// Exactly one network.
    Network,
}

/// Parts of fixed size, with their lengths, where a zone is stored.
const ZONE_BYTES: usize = 16;
const NETWORK_BYTES: usize = 8;
const PREFIX_BYTES: usize = 4;

/// Behind a called prefix: the number ends there. A number with this behind it begins with such a prefix only where it is the whole number, and
/// the prefix is longer than every other one that fits.
pub(crate) const END_OF_NUMBER: char = '$';

/// A rate zone: where use happened and, for voice and SMS, what number was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    grade: Grade,
    networks: Box<[NetworkPattern]>,
    prefixes: Box<[Box<str>]>,
    /// The most that it takes where it is stored: each bundle that is held brings its zones.
    size_bytes: usize,
}

impl Zone {
    /// The grade follows from the networks (docs/reference-data.md, zones).
    pub fn new(name: &str, networks: Vec<NetworkPattern>, prefixes: Vec<Box<str>>) -> Zone {
        let grade = match &networks[..] {
            [] => Grade::Root,
            all if all.iter().all(|network| network.is_country()) => Grade::Country,
            [_] => Grade::Network,
            _ => Grade::Group,
        };
        let of_prefixes: usize = prefixes.iter().map(|prefix| PREFIX_BYTES + prefix.len()).sum();
        let size_bytes = ZONE_BYTES + name.len() + NETWORK_BYTES * networks.len() + of_prefixes;
        Zone { name: Arc::from(name), grade, networks: networks.into(), prefixes: prefixes.into(), size_bytes }
    }

    /// The built-in zone that matches everything.
    pub fn root() -> Zone {
        Zone::new("root", Vec::new(), Vec::new())
    }

    /// The zone's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How specific the networks are.
    pub fn grade(&self) -> Grade {
        self.grade
    }

    /// Countries and networks; empty means everywhere.
    pub fn networks(&self) -> &[NetworkPattern] {
        &self.networks
    }

    /// Called-number prefixes, and whole numbers with `$` behind them; empty means any destination or none.
    pub fn prefixes(&self) -> &[Box<str>] {
        &self.prefixes
    }

    /// The most that it takes where it is stored, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether the zone holds this network.
    pub fn holds_network(&self, network: Option<Plmn>) -> bool {
        self.networks.is_empty()
            || network.is_some_and(|at| self.networks.iter().any(|entry| *entry == at || *entry == at.country()))
    }

    /// The length of the longest called prefix that matches, a whole number one longer than its digits; `Some(0)` where the zone names none;
    /// `None` where none matches.
    pub fn prefix_length(&self, destination: Option<&str>) -> Option<usize> {
        if self.prefixes.is_empty() {
            return Some(0);
        }
        let called = destination?;
        let fits = |prefix: &str| match prefix.strip_suffix(END_OF_NUMBER) {
            Some(whole) => called == whole,
            None => called.starts_with(prefix),
        };
        self.prefixes.iter().filter(|prefix| fits(prefix)).map(|prefix| prefix.len()).max()
    }
}
