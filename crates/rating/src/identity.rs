//! Ids and keys that are stored or sent: which bytes each of them is a hash of.
//!
//! All of them keep their values for ever. State finds its counters by them, and consumers know charges by them. So nothing here leaves the bytes to
//! `derive(Hash)`, which follows the order of fields and variants, or to the standard library, which does not promise them.
//!
//! What is added to an id later is fed at its end, and only where it is given: what has none of it keeps its id.

use crate::bundle::{BundleScope, BundleTemplate, Element, ElementClass, Starts};
use crate::calendar::{Length, Month, Timestamp};
use crate::id::AccountId;
use crate::matching::{MatchKeys, UsageMatch};
use crate::money::Amount;
use crate::zone::Zone;
use siphasher::sip128::Hasher128;
use siphasher::{sip, sip128};
use std::hash::Hasher;

/// SipHash-1-3 over explicit bytes. Each method feeds the same bytes on every machine.
///
/// | method | bytes |
/// | --- | --- |
/// | [`text`](Self::text) | UTF-8, then `0xff`, which no text holds |
/// | [`bytes`](Self::bytes) | the number of bytes as 8 bytes, then the bytes |
/// | [`u8`](Self::u8), [`i32`](Self::i32), ... | the integer in its own width |
/// | [`length`](Self::length) | 8 bytes |
/// | [`variant`](Self::variant) | the number of the variant as 8 bytes |
/// | [`optional`](Self::optional) | variant 0 for nothing; variant 1, then the value |
///
/// Integers are little-endian.
#[derive(Clone, Copy, Debug)]
pub struct IdHasher<H>(H);

/// A hasher of 128 bits: for ids and keys that must never collide.
pub type IdHasher128 = IdHasher<sip128::SipHasher13>;

/// A hasher of 64 bits: for what is compared once the id is the same.
pub type IdHasher64 = IdHasher<sip::SipHasher13>;

impl IdHasher128 {
    /// A hasher with keys of zero.
    #[inline]
    #[expect(clippy::new_without_default, reason = "an id begins with a choice of keys")]
    pub fn new() -> IdHasher128 {
        IdHasher(sip128::SipHasher13::new())
    }

    /// A hasher with keys, which keep ids of different kinds apart.
    #[inline]
    pub fn with_keys(first: u64, second: u64) -> IdHasher128 {
        IdHasher(sip128::SipHasher13::new_with_keys(first, second))
    }

    /// The hash of what was fed so far.
    #[inline]
    pub fn finish(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

impl IdHasher64 {
    /// A hasher with keys, which keep hashes of different kinds apart.
    #[inline]
    pub fn with_keys(first: u64, second: u64) -> IdHasher64 {
        IdHasher(sip::SipHasher13::new_with_keys(first, second))
    }

    /// The hash of what was fed so far.
    #[inline]
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// `write_u8` to `write_u64` of both hashers feed little-endian bytes; for the widths that they lack, the trait's own methods would feed native ones.
impl<H: Hasher> IdHasher<H> {
    /// Feeds a text.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write_u8(0xff);
    }

    /// Feeds bytes with their number.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.write(bytes);
    }

    /// Feeds 1 byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.0.write_u8(value);
    }

    /// Feeds 4 bytes.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.0.write_u32(value as u32);
    }

    /// Feeds 8 bytes.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.0.write_u64(value);
    }

    /// Feeds 8 bytes.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.0.write_u64(value as u64);
    }

    /// Feeds 16 bytes.
    #[inline]
    pub fn u128(&mut self, value: u128) {
        self.0.write(&value.to_le_bytes());
    }

    /// Feeds 16 bytes.
    #[inline]
    pub fn i128(&mut self, value: i128) {
        self.0.write(&value.to_le_bytes());
    }

    /// Feeds how many items follow.
    #[inline]
    pub fn length(&mut self, length: usize) {
        self.0.write_u64(length as u64);
    }

    /// Feeds which variant of an enumeration follows, by a number that it keeps.
    #[inline]
    pub fn variant(&mut self, number: u64) {
        self.0.write_u64(number);
    }

    /// Feeds whether there is a value, and the value.
    #[inline]
    pub fn optional<T>(&mut self, value: Option<T>, feed: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.variant(0),
            Some(value) => {
                self.variant(1);
                feed(self, value);
            }
        }
    }
}

/// The identity of a rate over the versions of its tariff: names, not the networks of the zone, which may change.
pub(crate) fn rate_key(tariff: &str, applies: &UsageMatch) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text(tariff);
    hasher.text(&applies.service);
    hasher.text(applies.zone.name());
    // As they are written, though they are compared by what they mean: what has been counted under a rate stays under it.
    let MatchKeys { rating_group, apn, rat, direction, sponsor } = &*applies.keys;
    hasher.optional(*rating_group, IdHasher::i64);
    for text in [apn, rat, direction, sponsor] {
        hasher.optional(text.as_deref(), IdHasher::text);
    }
    hasher.finish()
}

/// The key of what a cap has let through.
#[inline]
pub(crate) fn cap_key(payee: &AccountId, tariff: &str, month: Month) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text(payee.as_str());
    hasher.text(tariff);
    hasher.i32(month.0);
    hasher.finish()
}

/// The key of a counter of a month.
#[inline]
pub(crate) fn month_counter_key(month: Month, payee: &AccountId, rate_key: u128) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.i32(month.0);
    hasher.text(payee.as_str());
    hasher.u128(rate_key);
    hasher.finish()
}

/// The base of the id of a fee that a bundle charges as it starts.
#[inline]
pub(crate) fn fee_base(payer: &AccountId, instance: &str, event_time: Timestamp) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text("bundle_fee");
    hasher.text(payer.as_str());
    hasher.text(instance);
    hasher.i64(event_time.millis());
    hasher.finish()
}

/// Tells work of an account that fell due from all other work: what it is, and when.
pub(crate) fn due_key(account: &AccountId, what: &str, at: Timestamp) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text("due_work");
    hasher.text(account.as_str());
    hasher.text(what);
    hasher.i64(at.millis());
    hasher.finish()
}

/// What tells one session from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionName<'a> {
    /// The session id.
    pub(crate) id: &'a str,
    /// The source of its records.
    pub(crate) source: &'a str,
    /// The payee of the edge.
    pub(crate) payee: &'a AccountId,
}

/// The key of a session within its endpoint; `account` is the one that its records name in place of an endpoint.
#[inline]
pub(crate) fn session_key(session: SessionName<'_>, account: Option<&str>) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text("session");
    hasher.text(session.id);
    hasher.text(session.source);
    hasher.text(session.payee.as_str());
    hasher.optional(account, IdHasher::text);
    hasher.finish()
}

/// The key of a counter in a session of a rate; and where sessions of an account count apart, the key without the account, by which older
/// programs found it.
#[inline]
pub(crate) fn session_counter_keys(
    session: SessionName<'_>,
    version_from: Timestamp,
    rate_key: u128,
    account: Option<&str>,
) -> (u128, Option<u128>) {
    let mut hasher = IdHasher128::new();
    hasher.text(session.id);
    hasher.text(session.source);
    hasher.i64(version_from.millis());
    hasher.text(session.payee.as_str());
    hasher.u128(rate_key);
    let without_account = hasher.finish();
    match account {
        None => (without_account, None),
        Some(account) => {
            hasher.text(account);
            (hasher.finish(), Some(without_account))
        }
    }
}

/// The key of the mark that older programs made when a version of a tariff had settled a session's connect fee.
#[inline]
pub(crate) fn older_connect_key(session: SessionName<'_>, tariff: &str, version_from: Timestamp) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text(session.id);
    hasher.text(session.source);
    hasher.text(session.payee.as_str());
    hasher.text(tariff);
    hasher.i64(version_from.millis());
    hasher.text("connect");
    hasher.finish()
}

/// The key of an endpoint within an account.
#[inline]
pub(crate) fn endpoint_key(endpoint: &str) -> u64 {
    let mut hasher = IdHasher64::with_keys(0x7261_7465_7220_656e, 0x6470_6f69_6e74_7320);
    hasher.text(endpoint);
    hasher.finish()
}

/// The address of a zone in the dictionary: its content.
pub(crate) fn zone_address(zone: &Zone) -> u128 {
    let mut hasher = IdHasher128::with_keys(0x7261_7465_7220_7a6f, 0x6e65_7320_6173_206f);
    hasher.text(zone.name());
    hasher.length(zone.networks().len());
    zone.networks().iter().for_each(|network| hasher.u64(network.packed().into()));
    hasher.length(zone.prefixes().len());
    zone.prefixes().iter().for_each(|prefix| hasher.text(prefix));
    hasher.finish()
}

/// The address of a template in the dictionary: its content.
pub(crate) fn template_address(template: &BundleTemplate) -> u128 {
    // Destructured without `..`, so that a new field does not compile until it tells templates apart. It is fed only where it is present, so
    // that what was bought before keeps its address.
    let BundleTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements } = template;
    let mut hasher = IdHasher128::with_keys(0x7261_7465_7220_6275, 0x6e64_6c65_7320_6173);
    hasher.text(id);
    hasher.text(currency.as_str());
    hasher.optional(fee.map(Amount::unscaled), IdHasher::i128);
    hasher.variant(match starts {
        Starts::Date => 0,
        Starts::FirstUse => 1,
        Starts::Activation => 2,
    });
    let lasts = lasts.map(|length| match length {
        Length::Months(count) => (0, count),
        Length::Days(count) => (1, count),
        Length::Hours(count) => (2, count),
    });
    hasher.optional(lasts, |hasher, (kind, count)| {
        hasher.variant(kind);
        hasher.u64(count.into());
    });
    hasher.variant(match scope {
        BundleScope::Customer => 0,
        BundleScope::Endpoint => 1,
    });
    hasher.u8((*promotional).into());
    hasher.bytes(warn_at);
    hasher.length(elements.len());
    for Element { priority, applies, unit, amount, class } in elements {
        let UsageMatch { service, zone, keys } = applies;
        let MatchKeys { rating_group, apn, rat, direction, sponsor } = &**keys;
        hasher.u64((*priority).into());
        hasher.text(service);
        hasher.u128(zone_address(zone));
        hasher.optional(*rating_group, IdHasher::i64);
        for text in [apn, rat, direction, sponsor] {
            hasher.optional(text.as_deref(), IdHasher::text);
        }
        hasher.text(unit.name());
        hasher.optional(*amount, IdHasher::u64);
        hasher.variant(match class {
            ElementClass::Standard => 0,
            ElementClass::FairUse => 1,
        });
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Currency;
    use crate::quantity::Unit;
    use crate::zone::NetworkPattern;
    use std::sync::Arc;

    fn applies(service: &str, zone: Zone, keys: MatchKeys) -> UsageMatch {
        UsageMatch { service: service.into(), zone: Arc::new(zone), keys: keys.into() }
    }

    fn session<'a>(id: &'a str, source: &'a str, payee: &'a AccountId) -> SessionName<'a> {
        SessionName { id, source, payee }
    }

    /// The values were written down when the standard library chose the bytes. Stored state and sent charges have them: a line never changes.
    #[test]
    fn ids_and_keys_keep_their_values() {
        let [empty, alpha, meter] = ["", "alpha", "acme/meter-1"].map(AccountId::new);
        let at = Timestamp::from_millis(1_772_323_200_123);
        let root = || applies("data", Zone::root(), MatchKeys::default());
        let uk = |networks: Vec<NetworkPattern>| Zone::new("uk", networks, vec!["44".into()]);
        let network = NetworkPattern::new("234", Some("15")).expect("a network");
        let keys = MatchKeys {
            rating_group: Some(-7),
            apn: Some("iot.example".into()),
            rat: Some("eutran".into()),
            direction: Some("up".into()),
            sponsor: Some("north".into()),
        };
        let group = MatchKeys { rating_group: Some(0), ..MatchKeys::default() };
        let apn = MatchKeys { apn: Some("".into()), ..MatchKeys::default() };
        let sponsor = MatchKeys { sponsor: Some("n\u{f6}rd".into()), ..MatchKeys::default() };
        let s1 = session("s1", "ggsn", &alpha);
        let nameless = session("", "", &empty);
        let long = session("p\u{e4}ge-0123456789-0123456789-0123456789", "pgw", &meter);
        let pair = |(key, older): (u128, Option<u128>)| [Some(key), older];
        let [counter, counter_older] = pair(session_counter_keys(s1, at, 5, None));
        let [of_account, of_account_older] = pair(session_counter_keys(s1, at, 5, Some("acme")));
        let [of_empty, of_empty_older] = pair(session_counter_keys(nameless, Timestamp::EPOCH, 0, Some("")));
        let [of_long, of_long_older] = pair(session_counter_keys(long, Timestamp::FAR_FUTURE, u128::MAX, None));
        let one = Some;
        let rows: [(&str, Option<u128>, Option<u128>); _] = [
            (
                "rate: a service everywhere",
                one(rate_key("retail", &root())),
                one(0x9bce_b356_f7fd_eb7f_49c5_4a4d_75a1_3074),
            ),
            (
                "rate: no names",
                one(rate_key("", &applies("", Zone::new("", vec![], vec![]), MatchKeys::default()))),
                one(0xcd54_f867_52a8_161c_b119_00bf_c500_7682),
            ),
            (
                "rate: a zone",
                one(rate_key("retail", &applies("voice", uk(vec![]), MatchKeys::default()))),
                one(0x3763_eba6_ef6d_dc82_d0bd_cd0b_11df_c181),
            ),
            (
                "rate: the same with a network",
                one(rate_key("retail", &applies("voice", uk(vec![network]), MatchKeys::default()))),
                one(0x3763_eba6_ef6d_dc82_d0bd_cd0b_11df_c181),
            ),
            (
                "rate: every key",
                one(rate_key("retail", &applies("data", Zone::root(), keys))),
                one(0x258d_5e46_fa59_1306_46d5_def6_28a1_96dc),
            ),
            (
                "rate: a rating group",
                one(rate_key("retail", &applies("data", Zone::root(), group))),
                one(0x064b_abb6_f3f2_1be3_4824_801b_ebcc_bc38),
            ),
            (
                "rate: an empty apn",
                one(rate_key("retail", &applies("data", Zone::root(), apn))),
                one(0x9702_ae32_3ee7_8ea0_52f6_f08a_398a_f3de),
            ),
            (
                "rate: a sponsor",
                one(rate_key("retail", &applies("data", Zone::root(), sponsor))),
                one(0xfc80_d019_6b9b_5288_c48b_ae32_0646_9c5d),
            ),
            ("cap", one(cap_key(&alpha, "retail", Month(24_314))), one(0xfe8b_8a51_7ecd_2068_4bc7_4ae4_5a23_3959)),
            ("cap: no names", one(cap_key(&empty, "", Month(0))), one(0xf12c_5993_b9a9_0b52_f2a5_0c09_ec02_5cb8)),
            (
                "cap: before year 0",
                one(cap_key(&meter, "r\u{e9}tail", Month(-1))),
                one(0x1230_cda9_1798_64b7_9a22_76c0_518a_3a8f),
            ),
            (
                "month",
                one(month_counter_key(Month(24_314), &alpha, 0x0123_4567_89ab_cdef_0011_2233_4455_6677)),
                one(0xcaee_d85b_af1b_70b0_49fe_7900_cea1_8014),
            ),
            (
                "month: no name",
                one(month_counter_key(Month(0), &empty, 0)),
                one(0xed00_db71_9c62_d7c7_2bef_b102_cd41_138f),
            ),
            (
                "month: before year 0",
                one(month_counter_key(Month(-12), &meter, u128::MAX)),
                one(0xe6f1_70d7_3fb4_0bed_77ef_3005_4390_eb1a),
            ),
            ("fee", one(fee_base(&alpha, "b1", at)), one(0x5106_bcae_54c9_283b_488c_d95b_4ef7_42c4)),
            (
                "fee: no names",
                one(fee_base(&empty, "", Timestamp::EPOCH)),
                one(0x7b1a_d8c7_c086_0eab_2483_1f4a_f403_60e0),
            ),
            (
                "fee: before 1970",
                one(fee_base(&meter, "reference:acme:pool", Timestamp::from_millis(-1))),
                one(0x8562_2788_3e86_f1dd_ba65_cfa2_a30f_8f4b),
            ),
            ("session of an endpoint", one(session_key(s1, None)), one(0x1777_6981_1572_2242_61d7_7cc9_783e_c0ed)),
            (
                "session of an account",
                one(session_key(s1, Some("acme"))),
                one(0x5c09_fb9e_14e0_0bf8_a2de_b1c3_9b7e_6c11),
            ),
            (
                "session of an account without a name",
                one(session_key(s1, Some(""))),
                one(0x7df9_a6cd_5e4d_6409_e74c_59be_31e7_d308),
            ),
            ("session: no names", one(session_key(nameless, None)), one(0x4d66_6cf9_ad7f_bf1e_e56a_4323_9601_eb9d)),
            ("session: long names", one(session_key(long, None)), one(0xa28e_5a6e_a9c8_1f74_f86b_4fd9_8049_631e)),
            ("counter of a session", counter, one(0x5403_bcd5_7cb3_ce11_9a79_6fd0_6e1d_97c6)),
            ("counter of a session, older", counter_older, None),
            ("counter of an account's session", of_account, one(0xfce2_d191_5ede_e57c_fbb3_d9bb_a8d3_e4cf)),
            (
                "counter of an account's session, older",
                of_account_older,
                one(0x5403_bcd5_7cb3_ce11_9a79_6fd0_6e1d_97c6),
            ),
            ("counter of a session without names", of_empty, one(0x23e6_3eef_86c3_8f5e_18d5_460f_0c04_31e6)),
            (
                "counter of a session without names, older",
                of_empty_older,
                one(0x4a5b_9b83_e8e9_e97e_d357_11b3_8ee7_1391),
            ),
            ("counter of a session with long names", of_long, one(0x41c1_9fc2_bbfe_ff3f_a95b_9679_9c27_e19f)),
            ("counter of a session with long names, older", of_long_older, None),
            ("connect", one(older_connect_key(s1, "retail", at)), one(0xff01_16fe_9653_571e_068c_bd41_af67_7522)),
            (
                "connect: no names",
                one(older_connect_key(nameless, "", Timestamp::EPOCH)),
                one(0xde49_326e_c3c2_cce2_5c35_61e1_2fd6_3bf9),
            ),
            (
                "connect: long names",
                one(older_connect_key(long, "retail", Timestamp::FAR_FUTURE)),
                one(0xa24f_2f24_4e27_41ec_a09d_b88b_b2dd_e184),
            ),
        ];
        let hex = |value: Option<u128>| value.map_or("none".to_owned(), |value| format!("{value:#034x}"));
        let wrong: Vec<String> = rows
            .iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(name, found, expected)| format!("{name}: {} instead of {}", hex(*found), hex(*expected)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn each_method_feeds_the_bytes_that_it_names() {
        type Feed = fn(&mut IdHasher128);
        let rows: [(&str, Feed, &[u8]); _] = [
            ("an empty text", |id| id.text(""), &[0xff]),
            ("a text", |id| id.text("\u{e4}b"), &[0xc3, 0xa4, b'b', 0xff]),
            ("no bytes", |id| id.bytes(&[]), &[0; 8]),
            ("bytes", |id| id.bytes(&[7, 0xff]), &[2, 0, 0, 0, 0, 0, 0, 0, 7, 0xff]),
            ("u8", |id| id.u8(0xfe), &[0xfe]),
            ("i32", |id| id.i32(-2), &[0xfe, 0xff, 0xff, 0xff]),
            ("u64", |id| id.u64(0x0102), &[2, 1, 0, 0, 0, 0, 0, 0]),
            ("i64", |id| id.i64(-2), &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("u128", |id| id.u128(0x0102), &[2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("i128", |id| id.i128(-1), &[0xff; 16]),
            ("length", |id| id.length(3), &[3, 0, 0, 0, 0, 0, 0, 0]),
            ("variant", |id| id.variant(3), &[3, 0, 0, 0, 0, 0, 0, 0]),
            ("nothing", |id| id.optional(None, IdHasher::text), &[0; 8]),
            ("something", |id| id.optional(Some(5), IdHasher::u8), &[1, 0, 0, 0, 0, 0, 0, 0, 5]),
        ];
        for (name, feed, expected) in rows {
            // From every place in a word of the hash.
            for before in 0..8 {
                let (mut found, mut whole) = (IdHasher128::new(), sip128::SipHasher13::new());
                (0..before).for_each(|_| found.u8(9));
                feed(&mut found);
                found.u8(1);
                whole.write(&[&vec![9; before][..], expected, &[1]].concat());
                assert_eq!(found.finish(), whole.finish128().as_u128(), "{name} behind {before}");
            }
        }
    }

    /// State names endpoints, zones and templates by these: a line never changes.
    #[test]
    fn names_within_state_keep_their_values() {
        assert_eq!(["", "meter-1"].map(endpoint_key), [0xa96d_5a68_adcc_9db9, 0xa2ac_32a5_e20d_394a]);
        let network = NetworkPattern::new("234", Some("15")).expect("a network");
        let zone = Arc::new(Zone::new("uk", vec![network], vec!["44".into()]));
        assert_eq!(
            [zone_address(&Zone::root()), zone_address(&zone)],
            [0xf41a_7706_df57_8810_a7e1_dc37_c93f_dfae, 0x4841_8fdd_ef3b_8b7d_24b2_bec9_07b8_01f2]
        );
        let plain = BundleTemplate {
            id: "pack".into(),
            currency: Currency::parse("GBP").expect("a currency"),
            fee: None,
            starts: Starts::Date,
            lasts: None,
            scope: BundleScope::Customer,
            promotional: false,
            warn_at: Box::new([]),
            elements: Box::new([]),
        };
        let full = BundleTemplate {
            fee: Amount::from_unscaled(1_500_000_000),
            starts: Starts::FirstUse,
            lasts: Some(Length::Days(30)),
            scope: BundleScope::Endpoint,
            promotional: true,
            warn_at: Box::new([80, 100]),
            elements: Box::new([Element {
                priority: 7,
                applies: UsageMatch {
                    service: "data".into(),
                    zone,
                    keys: MatchKeys { rating_group: Some(-7), apn: Some("iot".into()), ..MatchKeys::default() }.into(),
                },
                unit: Unit::Octets,
                amount: Some(5),
                class: ElementClass::FairUse,
            }]),
            ..plain.clone()
        };
        assert_eq!(
            [template_address(&plain), template_address(&full)],
            [0xc1be_c7f8_ad3d_f350_2db7_5db5_182b_de56, 0x28c2_cc4a_9213_3c9a_c400_59a3_4f7e_823a]
        );
    }
}
