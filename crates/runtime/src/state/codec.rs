//! Values as bytes, by their places: what is not state of accounts, and what state was before it had rows.
//!
//! One function per type and direction, next to each other, so that a field cannot be written and not read. Integers are LEB128,
//! signed ones zigzag. What is read is not trusted: a truncated or foreign value is an error with its place, never a panic.

use super::derive::{as_number, as_other, record};
use format::Corrupt;
use pipeline::{Held, Place};
use rating::account::CapCounter;
use rating::bundle::{Allowance, ElementClass, Phase};
use rating::{
    AccountId, Amount, BundleScope, BundleTemplate, Counter, Currency, Element, Exact, KeyFilter, Length, MatchKeys,
    Month, NetworkPattern, SessionCounter, SessionKey, SessionState, Starts, Status, Sum, Timestamp, Unit, UsageMatch,
    Zone,
};
use std::collections::BTreeMap;
use std::num::NonZeroU128;
use std::sync::Arc;

/// A value that is kept in the store.
pub trait Stored: Sized {
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the value from the front.
    ///
    /// # Errors
    /// Where the bytes are not such a value.
    fn read(input: &mut &[u8]) -> Result<Self, Corrupt>;
}

pub(super) fn corrupt<T>(what: &'static str, input: &[u8]) -> Result<T, Corrupt> {
    Err(Corrupt { what, left: input.len() })
}

impl Stored for u128 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        // Nearly all are small, and shifts of 128 bits are not.
        if let Ok(mut small) = u64::try_from(rest) {
            while small >= 0x80 {
                out.push((small & 0x7f) as u8 | 0x80);
                small >>= 7;
            }
            out.push(small as u8);
            return;
        }
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn read(input: &mut &[u8]) -> Result<u128, Corrupt> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let Some((byte, rest)) = input.split_first() else { return corrupt("an integer", input) };
            *input = rest;
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        corrupt("an integer of 128 bits", input)
    }
}

macro_rules! integers {
    ($($unsigned:ty),*) => { $(
        impl Stored for $unsigned {
            fn write(&self, out: &mut Vec<u8>) {
                u128::from(*self).write(out);
            }

            fn read(input: &mut &[u8]) -> Result<$unsigned, Corrupt> {
                let value = u128::read(input)?;
                <$unsigned>::try_from(value).or(corrupt("a smaller integer", input))
            }
        }
    )* };
}

integers!(u8, u16, u32, u64);

impl Stored for i128 {
    fn write(&self, out: &mut Vec<u8>) {
        ((self << 1) ^ (self >> 127)).cast_unsigned().write(out);
    }

    fn read(input: &mut &[u8]) -> Result<i128, Corrupt> {
        let zigzag = u128::read(input)?;
        Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }
}

impl Stored for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        i128::from(*self).write(out);
    }

    fn read(input: &mut &[u8]) -> Result<i64, Corrupt> {
        i64::try_from(i128::read(input)?).or(corrupt("an integer of 64 bits", input))
    }
}

impl Stored for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &[u8]) -> Result<bool, Corrupt> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => corrupt("yes or no", input),
        }
    }
}

impl Stored for Box<str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<Box<str>, Corrupt> {
        read_text(input).map(Box::from)
    }
}

impl Stored for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<Arc<str>, Corrupt> {
        read_text(input).map(Arc::from)
    }
}

/// Appends a text.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    (text.len() as u64).write(out);
    out.extend_from_slice(text.as_bytes());
}

/// Takes a text from the front.
///
/// # Errors
/// Where there is none.
pub fn read_text<'i>(input: &mut &'i [u8]) -> Result<&'i str, Corrupt> {
    let length = usize::try_from(u64::read(input)?).or(corrupt("a length", input))?;
    let Some((text, rest)) = input.split_at_checked(length) else { return corrupt("a text", input) };
    *input = rest;
    std::str::from_utf8(text).or(corrupt("text in UTF-8", input))
}

impl Stored for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<String, Corrupt> {
        read_text(input).map(str::to_owned)
    }
}

impl<K: Stored + Ord, V: Stored> Stored for BTreeMap<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write(out);
        for (key, value) in self {
            key.write(out);
            value.write(out);
        }
    }

    fn read(input: &mut &[u8]) -> Result<BTreeMap<K, V>, Corrupt> {
        let count = u64::read(input)?;
        (0..count).map(|_| Ok((K::read(input)?, V::read(input)?))).collect()
    }
}

impl<T: Stored> Stored for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(input: &mut &[u8]) -> Result<Option<T>, Corrupt> {
        if bool::read(input)? { T::read(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<Vec<T>, Corrupt> {
        let count = u64::read(input)?;
        (0..count).map(|_| T::read(input)).collect()
    }
}

impl<T: Stored> Stored for Box<[T]> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<Box<[T]>, Corrupt> {
        Vec::read(input).map(Into::into)
    }
}

fn write_list<T: Stored>(list: &[T], out: &mut Vec<u8>) {
    (list.len() as u64).write(out);
    for item in list {
        item.write(out);
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<(A, B), Corrupt> {
        Ok((A::read(input)?, B::read(input)?))
    }
}

as_other!(Timestamp as i64, |at| at.millis(), |millis| Some(Timestamp::from_millis(millis)), "an instant");
as_other!(Amount as i128, |amount| amount.unscaled(), |unscaled| Amount::from_unscaled(unscaled), "an amount");
as_other!(Sum as i128, |sum| sum.unscaled(), |unscaled| Some(Sum::from_unscaled(unscaled)), "a sum");
as_other!(Place as u64, |place| place.0, |number| Some(Place(number)), "a place");
as_other!(Month as i64, |month| month.0.into(), |months| i32::try_from(months).ok().map(Month), "a month");
as_other!(AccountId as Box<str>, |id| id.as_str().into(), |name| Some(AccountId::new(&name)), "an account");
as_other!(Currency as Box<str>, |code| code.as_str().into(), |code| Currency::parse(&code), "a currency");
as_other!(Unit as Box<str>, |unit| unit.name().into(), |name| Unit::parse(&name), "a unit");
as_other!(
    NetworkPattern as Box<str>,
    |network| network.to_string().into(),
    |text| NetworkPattern::parse(&text),
    "a network"
);
as_other!(Exact as (i128, i128), |exact| exact.parts(), |parts| Exact::new(parts.0, parts.1), "an exact amount");

as_number!(Status, "a status", Active = 0, Suspended = 1, Closed = 2);
as_number!(Starts, "how a bundle starts", Date = 0, FirstUse = 1, Activation = 2);
as_number!(BundleScope, "the scope of a bundle", Customer = 0, Endpoint = 1);
as_number!(ElementClass, "the class of an element", Standard = 0, FairUse = 1);

impl Stored for Length {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, count) = match self {
            Length::Months(count) => (0_u8, count),
            Length::Days(count) => (1, count),
            Length::Hours(count) => (2, count),
        };
        kind.write(out);
        count.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Length, Corrupt> {
        match (u8::read(input)?, u32::read(input)?) {
            (0, count) => Ok(Length::Months(count)),
            (1, count) => Ok(Length::Days(count)),
            (2, count) => Ok(Length::Hours(count)),
            _ => corrupt("a length of time", input),
        }
    }
}

impl Stored for Phase {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Phase::Pending => out.push(0),
            Phase::Armed => out.push(1),
            Phase::Active { start, end } => {
                out.push(2);
                start.write(out);
                end.write(out);
            }
        }
    }

    fn read(input: &mut &[u8]) -> Result<Phase, Corrupt> {
        match u8::read(input)? {
            0 => Ok(Phase::Pending),
            1 => Ok(Phase::Armed),
            2 => Ok(Phase::Active { start: Stored::read(input)?, end: Stored::read(input)? }),
            _ => corrupt("a phase", input),
        }
    }
}

impl Stored for Arc<Zone> {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self.name(), out);
        write_list(self.networks(), out);
        write_list(self.prefixes(), out);
    }

    fn read(input: &mut &[u8]) -> Result<Arc<Zone>, Corrupt> {
        let name = read_text(input)?;
        Ok(Arc::new(Zone::new(name, Vec::read(input)?, Vec::read(input)?)))
    }
}

record!(Counter { uncovered, covered, billed, priced, charged, connected, whole_blocks, last_event });
record!(SessionState { last_event, since, connected });
record!(SessionCounter { counter, session });

impl Stored for SessionKey {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.get().write(out);
    }

    fn read(input: &mut &[u8]) -> Result<SessionKey, Corrupt> {
        let key = NonZeroU128::new(u128::read(input)?);
        key.map(SessionKey).ok_or(Corrupt { what: "the key of a session", left: input.len() })
    }
}

record!(CapCounter { charged, notified, month });
record!(BundleTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements });
record!(Element { priority, applies, unit, amount, class });
record!(UsageMatch { service, zone, keys });
record!(MatchKeys { rating_group, apn, rat, direction, sponsor });
record!(Allowance { used, warned });
record!(Held { value, owner, count });

impl Stored for KeyFilter {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }

    fn read(input: &mut &[u8]) -> Result<KeyFilter, Corrupt> {
        MatchKeys::read(input).map(KeyFilter::from)
    }
}
