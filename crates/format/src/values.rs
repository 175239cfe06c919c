//! The fields of everything that state consists of. Their numbers are written down: they never change, and none is used twice.

use crate::field::{Kind, Value, fields, put_sized};
use crate::{Corrupt, number};
use rating::account::{CapCounter, Head};
use rating::bundle::{Allowance, ElementClass, Phase, Starts};
use rating::{
    AccountId, Amount, BundleScope, Counter, Currency, Exact, Length, Month, NetworkPattern, SessionCounter,
    SessionKey, SessionState, Standing, Status, Timeline, Timestamp, Unit, Zone,
};
use std::num::NonZeroU128;
use std::sync::Arc;

fields!(Head { 1: currency, 2: balance, 3: delta_sequence, 4: exhausted, 5: statuses, 6: ahead, 7: ancestors });
fields!(Timeline { 1: standings, 2: told_to, 3: told, 4: times });
fields!(Standing { 1: from, 2: ancestors, 3: status });
fields!(SaidOfAccount { 1: standings });
fields!(Counter {
    1: uncovered,
    2: covered,
    3: billed,
    4: priced,
    5: charged,
    6: connected,
    7: whole_blocks,
    8: last_event,
});
fields!(CapCounter { 1: charged, 2: notified, 3: month });
fields!(SessionState { 1: last_event, 2: since, 3: connected });
fields!(SessionCounter { 1: counter, 2: session });
fields!(StoredZone { 1: name, 2: networks, 3: prefixes });
fields!(StoredTemplate {
    1: id,
    2: currency,
    3: fee,
    4: starts,
    5: lasts,
    6: scope,
    7: promotional,
    8: warn_at,
    9: elements,
});
fields!(StoredElement {
    1: priority,
    2: service,
    3: zone,
    4: rating_group,
    5: apn,
    6: rat,
    7: direction,
    8: sponsor,
    9: unit,
    10: amount,
    11: class,
});
fields!(StoredInstance {
    1: template,
    2: payee,
    3: endpoint,
    4: granted_at,
    5: phase,
    6: terminated_at,
    7: statuses,
    8: allowances,
    9: activation_failed,
});
fields!(Allowance { 1: used, 2: warned });
fields!(StoredPhase { 1: kind, 2: start, 3: end });

/// What the directory says of an account, as it is sent.
#[derive(Debug)]
pub(crate) struct SaidOfAccount {
    pub(crate) standings: Vec<Standing>,
}

/// A zone as it is written.
#[derive(Debug)]
pub(crate) struct StoredZone {
    pub(crate) name: Arc<str>,
    pub(crate) networks: Vec<NetworkPattern>,
    pub(crate) prefixes: Vec<Box<str>>,
}

impl StoredZone {
    pub(crate) fn of(zone: &Zone) -> StoredZone {
        StoredZone { name: zone.name().clone(), networks: zone.networks().into(), prefixes: zone.prefixes().into() }
    }

    pub(crate) fn into_zone(self) -> Zone {
        Zone::new(&self.name, self.networks, self.prefixes)
    }
}

/// A template as it is written: its zones stand beside it.
#[derive(Debug)]
pub(crate) struct StoredTemplate {
    pub(crate) id: Arc<str>,
    pub(crate) currency: Currency,
    pub(crate) fee: Option<Amount>,
    pub(crate) starts: Starts,
    pub(crate) lasts: Option<Length>,
    pub(crate) scope: BundleScope,
    pub(crate) promotional: bool,
    pub(crate) warn_at: Vec<u8>,
    pub(crate) elements: Vec<StoredElement>,
}

/// An element of a template as it is written.
#[derive(Debug)]
pub(crate) struct StoredElement {
    pub(crate) priority: u32,
    pub(crate) service: Box<str>,
    /// Where its zone stands.
    pub(crate) zone: u128,
    pub(crate) rating_group: Option<i64>,
    pub(crate) apn: Option<Box<str>>,
    pub(crate) rat: Option<Box<str>>,
    pub(crate) direction: Option<Box<str>>,
    pub(crate) sponsor: Option<Box<str>>,
    pub(crate) unit: Unit,
    pub(crate) amount: Option<u64>,
    pub(crate) class: ElementClass,
}

/// An instance as it is written: its template stands beside it, its id in its key.
#[derive(Debug)]
pub(crate) struct StoredInstance {
    /// Where its template stands.
    pub(crate) template: u128,
    pub(crate) payee: AccountId,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) granted_at: Timestamp,
    pub(crate) phase: Phase,
    pub(crate) terminated_at: Option<Timestamp>,
    pub(crate) statuses: Vec<(Timestamp, Status)>,
    pub(crate) allowances: Vec<Allowance>,
    pub(crate) activation_failed: bool,
}

struct StoredPhase {
    kind: u8,
    start: Timestamp,
    end: Option<Timestamp>,
}

impl Value for Phase {
    const KIND: Kind = Kind::Bytes;

    fn absent() -> Option<Phase> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, start, end) = match self {
            Phase::Pending => (0, Timestamp::EPOCH, None),
            Phase::Armed => (1, Timestamp::EPOCH, None),
            Phase::Active { start, end } => (2, *start, *end),
        };
        StoredPhase { kind, start, end }.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Phase, Corrupt> {
        let StoredPhase { kind, start, end } = Value::read(input)?;
        match kind {
            0 => Ok(Phase::Pending),
            1 => Ok(Phase::Armed),
            2 => Ok(Phase::Active { start, end }),
            _ => Corrupt::new("a phase", input),
        }
    }
}

/// An integer, of which 0 is what a missing field means.
macro_rules! unsigned {
    ($($type:ty),*) => { $(
        impl Value for $type {
            const KIND: Kind = Kind::Number;

            fn absent() -> Option<$type> {
                Some(0)
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }

            fn write(&self, out: &mut Vec<u8>) {
                number::write((*self).into(), out);
            }

            fn read(input: &mut &[u8]) -> Result<$type, Corrupt> {
                let value = number::read(input)?;
                <$type>::try_from(value).or(Corrupt::new("a smaller integer", input))
            }
        }
    )* };
}

unsigned!(u8, u32, u64, u128);

/// What is written as an integer that may be negative; `$absent` is what a missing field means.
macro_rules! signed {
    ($type:ty, |$value:ident| $to:expr, |$number:ident| $from:expr, $absent:expr, $what:literal) => {
        impl Value for $type {
            const KIND: Kind = Kind::Number;

            fn absent() -> Option<$type> {
                $absent
            }

            fn is_absent(&self) -> bool {
                $absent.is_some_and(|absent: $type| absent == *self)
            }

            fn write(&self, out: &mut Vec<u8>) {
                let $value = self;
                number::write_signed(i128::from($to), out);
            }

            fn read(input: &mut &[u8]) -> Result<$type, Corrupt> {
                let $number = number::read_signed(input)?;
                let value: Option<$type> = $from;
                value.map_or_else(|| Corrupt::new($what, input), Ok)
            }
        }
    };
}

signed!(i64, |value| *value, |number| i64::try_from(number).ok(), Some(0), "an integer of 64 bits");
signed!(
    Timestamp,
    |at| at.millis(),
    |number| i64::try_from(number).ok().map(Timestamp::from_millis),
    Some(Timestamp::EPOCH),
    "an instant"
);
signed!(Amount, |amount| amount.unscaled(), |number| Amount::from_unscaled(number), Some(Amount::ZERO), "an amount");
signed!(Month, |month| month.0, |number| i32::try_from(number).ok().map(Month), None, "a month");

/// What is written as a small number.
macro_rules! numbered {
    ($type:ident, $what:literal, $($variant:ident = $number:literal),+) => {
        impl Value for $type {
            const KIND: Kind = Kind::Number;

            fn absent() -> Option<$type> {
                None
            }

            fn is_absent(&self) -> bool {
                false
            }

            fn write(&self, out: &mut Vec<u8>) {
                number::write(match self { $($type::$variant => $number,)+ }, out);
            }

            fn read(input: &mut &[u8]) -> Result<$type, Corrupt> {
                match number::read(input)? {
                    $($number => Ok($type::$variant),)+
                    _ => Corrupt::new($what, input),
                }
            }
        }
    };
}

numbered!(Status, "a status", Active = 0, Suspended = 1, Closed = 2);
numbered!(Starts, "how a bundle starts", Date = 0, FirstUse = 1, Activation = 2);
numbered!(BundleScope, "the scope of a bundle", Customer = 0, Endpoint = 1);
numbered!(ElementClass, "the class of an element", Standard = 0, FairUse = 1);

/// What is written as a text.
macro_rules! text {
    ($type:ty, |$value:ident| $to:expr, |$text:ident| $from:expr, $what:literal) => {
        impl Value for $type {
            const KIND: Kind = Kind::Bytes;

            fn absent() -> Option<$type> {
                None
            }

            fn is_absent(&self) -> bool {
                false
            }

            fn write(&self, out: &mut Vec<u8>) {
                let $value = self;
                out.extend_from_slice($to.as_bytes());
            }

            fn read(input: &mut &[u8]) -> Result<$type, Corrupt> {
                let bytes = number::take(input.len(), input)?;
                let $text = std::str::from_utf8(bytes).or(Corrupt::new("text in UTF-8", input))?;
                let value: Option<$type> = $from;
                value.map_or_else(|| Corrupt::new($what, input), Ok)
            }
        }
    };
}

text!(Box<str>, |text| text, |text| Some(text.into()), "a text");
text!(Arc<str>, |text| text, |text| Some(text.into()), "a text");
text!(AccountId, |id| id.as_str(), |text| Some(AccountId::new(text)), "an account");
text!(Currency, |code| code.as_str(), |text| Currency::parse(text), "a currency");
text!(Unit, |unit| unit.name(), |text| Unit::parse(text), "a unit");

impl Value for bool {
    const KIND: Kind = Kind::Number;

    fn absent() -> Option<bool> {
        Some(false)
    }

    fn is_absent(&self) -> bool {
        !self
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &[u8]) -> Result<bool, Corrupt> {
        match number::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Corrupt::new("yes or no", input),
        }
    }
}

impl Value for NetworkPattern {
    const KIND: Kind = Kind::Number;

    fn absent() -> Option<NetworkPattern> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, out: &mut Vec<u8>) {
        number::write(self.packed().into(), out);
    }

    fn read(input: &mut &[u8]) -> Result<NetworkPattern, Corrupt> {
        let packed = u32::try_from(number::read(input)?).ok();
        packed.and_then(NetworkPattern::from_packed).map_or_else(|| Corrupt::new("a network", input), Ok)
    }
}

impl Value for SessionKey {
    const KIND: Kind = Kind::Bytes;

    fn absent() -> Option<SessionKey> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.get().to_le_bytes());
    }

    fn read(input: &mut &[u8]) -> Result<SessionKey, Corrupt> {
        let key = NonZeroU128::new(u128::from_le_bytes(number::take_array(input)?));
        key.map_or_else(|| Corrupt::new("the key of a session", input), |key| Ok(SessionKey(key)))
    }
}

impl Value for Length {
    const KIND: Kind = Kind::Number;

    fn absent() -> Option<Length> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, count) = match self {
            Length::Months(count) => (0, count),
            Length::Days(count) => (1, count),
            Length::Hours(count) => (2, count),
        };
        number::write(u128::from(*count) << 2 | kind, out);
    }

    fn read(input: &mut &[u8]) -> Result<Length, Corrupt> {
        let number = number::read(input)?;
        match (number & 3, u32::try_from(number >> 2)) {
            (0, Ok(count)) => Ok(Length::Months(count)),
            (1, Ok(count)) => Ok(Length::Days(count)),
            (2, Ok(count)) => Ok(Length::Hours(count)),
            _ => Corrupt::new("a length of time", input),
        }
    }
}

/// Numerator and denominator.
impl Value for Exact {
    const KIND: Kind = Kind::Bytes;

    fn absent() -> Option<Exact> {
        Some(Exact::ZERO)
    }

    fn is_absent(&self) -> bool {
        *self == Exact::ZERO
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (numerator, denominator) = self.parts();
        number::write_signed(numerator, out);
        number::write_signed(denominator, out);
    }

    fn read(input: &mut &[u8]) -> Result<Exact, Corrupt> {
        let (numerator, denominator) = (number::read_signed(input)?, number::read_signed(input)?);
        Exact::new(numerator, denominator).map_or_else(|| Corrupt::new("an exact amount", input), Ok)
    }
}

/// An instant and what holds from it on.
impl Value for (Timestamp, Status) {
    const KIND: Kind = Kind::Bytes;

    fn absent() -> Option<(Timestamp, Status)> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<(Timestamp, Status), Corrupt> {
        Ok((Timestamp::read(input)?, Status::read(input)?))
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(out));
    }

    fn read(input: &mut &[u8]) -> Result<Option<T>, Corrupt> {
        T::read(input).map(Some)
    }
}

/// Numbers one after the other; other values each behind its length.
impl<T: Value> Value for Vec<T> {
    const KIND: Kind = Kind::Bytes;

    fn absent() -> Option<Vec<T>> {
        Some(Vec::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for value in self {
            match T::KIND {
                Kind::Number => value.write(out),
                Kind::Bytes => put_sized(out, |out| value.write(out)),
            }
        }
    }

    fn read(input: &mut &[u8]) -> Result<Vec<T>, Corrupt> {
        let mut all = Vec::new();
        while !input.is_empty() {
            all.push(match T::KIND {
                Kind::Number => T::read(input)?,
                Kind::Bytes => {
                    let mut bytes = number::take_sized(input)?;
                    let value = T::read(&mut bytes)?;
                    if !bytes.is_empty() {
                        return Corrupt::new("the end of a value", bytes);
                    }
                    value
                }
            });
        }
        Ok(all)
    }
}
