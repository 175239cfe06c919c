//! Identities, called prefixes and networks: texts of digits.

use std::fmt;
use std::hash::{Hash, Hasher};

use rating::Plmn;

use super::ValueError;
use crate::diagnostic::Code;

/// Up to 20 decimal digits, leading zeros included, in nine bytes: reference data holds three of them for every endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Digits([u8; 9]);

impl Digits {
    /// Longest text of digits.
    pub const MAX_LENGTH: usize = 20;
    /// No digits.
    pub const NONE: Digits = Digits([0; 9]);

    /// The digits of `text`; `None` if it is empty, too long or holds anything else.
    pub fn parse(text: &str) -> Option<Digits> {
        if text.is_empty() || text.len() > Self::MAX_LENGTH || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // 20 digits need 67 bits and the length 5: together they fill the nine bytes.
        // Ten digits each are below 2^34, so that only the last step is made in 128 bits: every record in is looked up by these.
        let number = |part: &[u8]| part.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        let (high, low) = text.as_bytes().split_at(text.len().saturating_sub(10));
        let number = u128::from(number(high)) * 10_000_000_000 + u128::from(number(low));
        let packed = number << 5 | text.len() as u128;
        let bytes = packed.to_be_bytes();
        let mut kept = [0; 9];
        kept.copy_from_slice(&bytes[7..]);
        Some(Digits(kept))
    }

    /// As bytes, to be kept.
    #[cfg(feature = "store")]
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        self.0
    }

    /// From [`Digits::to_bytes`].
    #[cfg(feature = "store")]
    pub(crate) fn from_bytes(bytes: [u8; 9]) -> Digits {
        Digits(bytes)
    }

    /// Whether there are none.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Hash for Digits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // All are equally long: hashing the length, as arrays do, would tell nothing.
        state.write(&self.0);
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 16];
        bytes[7..].copy_from_slice(&self.0);
        let packed = u128::from_be_bytes(bytes);
        match (packed & 31) as usize {
            0 => Ok(()),
            length => write!(f, "{:0length$}", packed >> 5),
        }
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// `234` or `234-15`
pub(crate) fn parse_network(text: &str) -> Result<Plmn, ValueError> {
    Plmn::parse(text).ok_or_else(|| {
        ValueError::new(Code::BadNetwork, format!("\"{text}\" is not a network"))
            .help("write an MCC like `234`, or an MCC and an MNC like `234-15`")
    })
}

/// Whether some record could be in both: a country holds its networks, and `310-41` is not `310-410` (case 5).
pub(crate) fn intersects(a: Plmn, b: Plmn) -> bool {
    a == b || a.country() == b || b.country() == a
}

/// A called-number prefix: 1 to 15 digits; with `$` behind them a whole number, such as that of a short code.
pub(crate) fn parse_prefix(text: &str) -> Result<Box<str>, ValueError> {
    parse_digits(text.strip_suffix('$').unwrap_or(text), "called prefix", 1, 15).map(|_| Box::from(text))
}

/// An identity of an endpoint with the lengths that the standards give it (E.212, E.118, E.164).
pub(crate) fn parse_identity(kind: crate::model::IdentityKind, text: &str) -> Result<Digits, ValueError> {
    use crate::model::IdentityKind;
    match kind {
        IdentityKind::Imsi => parse_digits(text, "IMSI", 6, 15),
        IdentityKind::Iccid => parse_digits(text, "ICCID", 18, 20),
        IdentityKind::Msisdn => parse_digits(text, "MSISDN", 3, 15),
    }
}

fn parse_digits(text: &str, what: &str, least: usize, most: usize) -> Result<Digits, ValueError> {
    match Digits::parse(text) {
        Some(digits) if (least..=most).contains(&text.len()) => Ok(digits),
        _ => Err(ValueError::new(
            Code::BadDigits,
            format!("\"{text}\" is not {} {what}", if what.starts_with(['I']) { "an" } else { "a" }),
        )
        .help(format!("write {least} to {most} digits and nothing else"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_keep_leading_zeros_and_length() {
        for text in ["0", "00", "001010000000001", "99999999999999999999", "00000000000000000001"] {
            assert_eq!(Digits::parse(text).unwrap().to_string(), text);
        }
        assert_ne!(Digits::parse("41"), Digits::parse("041"));
        for text in ["", "1a", "+44", "999999999999999999999", "٣"] {
            assert_eq!(Digits::parse(text), None);
        }
    }

    #[test]
    fn networks_of_two_and_three_digits_differ() {
        let network = |text| parse_network(text).unwrap();
        assert!(!intersects(network("310-41"), network("310-410")));
        assert!(intersects(network("310"), network("310-410")));
        assert!(!intersects(network("310"), network("311")));
        for text in ["23", "2345", "234-1", "234-1500", "234-", "abc", "234 15", ""] {
            assert!(parse_network(text).is_err(), "{text}");
        }
    }
}
