//! Exact numbers, quantities, prices, times and lengths, read from text, and rounding.
//!
//! Everything is a big rational or a big integer: nothing here can overflow or lose a digit. Written from docs/reference-data.md, "Values".

use jiff::{Span, Timestamp, ToSpan, tz::TimeZone};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use std::str::FromStr;

/// What KB, MB, GB and TB mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Decimal,
    Binary,
}

impl Units {
    pub(super) fn read(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("decimal") => Ok(Units::Decimal),
            Some("binary") => Ok(Units::Binary),
            Some(other) => Err(format!("units {other:?}")),
        }
    }
}

/// How a charge is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

impl Mode {
    pub(super) fn read(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("half-up") => Ok(Mode::HalfUp),
            Some("half-even") => Ok(Mode::HalfEven),
            Some("up") => Ok(Mode::Up),
            Some("down") => Ok(Mode::Down),
            Some(other) => Err(format!("rounding mode {other:?}")),
        }
    }
}

/// A whole number as a rational.
pub(super) fn whole(number: &BigInt) -> BigRational {
    BigRational::from_integer(number.clone())
}

/// A count of base units as an ordinary number; nothing that is read comes near its end.
pub(super) fn units_of(units: &BigInt) -> u128 {
    u128::try_from(units).unwrap_or(u128::MAX)
}

/// 10 to the power of `exponent`.
fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// An exact decimal such as `-0.010`.
pub(super) fn decimal(text: &str) -> Result<BigRational, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{integer}{fraction}");
    if integer.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || unsigned.ends_with('.') {
        return Err(format!("{text:?} is no decimal"));
    }
    let scale = u32::try_from(fraction.len()).map_err(|_| format!("{text:?} is too long"))?;
    let magnitude = BigInt::from_str(&digits).map_err(|error| format!("{text:?}: {error}"))?;
    let value = BigRational::new(magnitude, power_of_ten(scale));
    Ok(if text.starts_with('-') { -value } else { value })
}

/// `amount` with `scale` decimal places (rule 11: once per charge).
pub(super) fn round(amount: &BigRational, scale: u32, mode: Mode) -> BigRational {
    let shift = whole(&power_of_ten(scale));
    let shifted = amount.abs() * &shift;
    let floor = shifted.floor();
    let rest = &shifted - &floor;
    let half = BigRational::new(BigInt::from(1), BigInt::from(2));
    let one = BigRational::from_integer(BigInt::from(1));
    let is_odd = &floor.numer().clone() % BigInt::from(2) != BigInt::zero();
    let up = match mode {
        Mode::HalfUp => rest >= half,
        Mode::HalfEven => rest > half || (rest == half && is_odd),
        Mode::Up => !rest.is_zero(),
        Mode::Down => false,
    };
    let magnitude = if up { floor + one } else { floor } / shift;
    if amount.is_negative() { -magnitude } else { magnitude }
}

/// `amount`, which has at most 10 decimal places, as text without trailing zeros: `12`, `0.047`, `-0.2`.
pub(super) fn amount_text(amount: &BigRational) -> String {
    let shifted = (amount * whole(&power_of_ten(10))).to_integer();
    let magnitude = shifted.magnitude().to_string();
    let padded = format!("{magnitude:0>11}");
    let (integer, fraction) = padded.split_at(padded.len() - 10);
    let fraction = fraction.trim_end_matches('0');
    let sign = if shifted.is_negative() { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") }
}

/// A quantity such as `100 KB` in base units.
pub(super) fn quantity(text: &str, units: Units) -> Result<BigInt, String> {
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let value = decimal(number)? * whole(&unit_size(unit.trim(), units)?);
    if value.is_integer() { Ok(value.to_integer()) } else { Err(format!("{text:?} is no whole number of base units")) }
}

fn unit_size(unit: &str, units: Units) -> Result<BigInt, String> {
    let thousand = match units {
        Units::Decimal => 1000,
        Units::Binary => 1024,
    };
    let (base, exponent) = match unit {
        "" | "B" | "s" | "message" | "messages" | "unit" | "units" => (1, 1),
        "KB" => (thousand, 1),
        "MB" => (thousand, 2),
        "GB" => (thousand, 3),
        "TB" => (thousand, 4),
        "KiB" => (1024, 1),
        "MiB" => (1024, 2),
        "GiB" => (1024, 3),
        "TiB" => (1024, 4),
        "min" => (60, 1),
        "h" => (3600, 1),
        other => return Err(format!("unit {other:?}")),
    };
    Ok(BigInt::from(base).pow(exponent))
}

/// A price such as `0.20/MB` or `0.10/100 KB`, as money per base unit.
pub(super) fn price(text: &str, units: Units) -> Result<BigRational, String> {
    let (money, per) = text.split_once('/').ok_or_else(|| format!("price {text:?} has no /"))?;
    let per = per.trim();
    let size = if per.starts_with(|letter: char| letter.is_ascii_digit()) {
        quantity(per, units)?
    } else {
        unit_size(per, units)?
    };
    if size.is_zero() {
        return Err(format!("price {text:?} per nothing"));
    }
    Ok(decimal(money.trim())? / whole(&size))
}

/// Money such as `5.00` or `5.00 GBP`: the amount and the currency, if it is named.
pub(super) fn money(text: &str) -> Result<(BigRational, Option<String>), String> {
    let mut words = text.split_whitespace();
    let amount = decimal(words.next().unwrap_or_default())?;
    Ok((amount, words.next().map(str::to_owned)))
}

/// An RFC 3339 time, in milliseconds since 1970.
pub(super) fn time(text: &str) -> Result<i64, String> {
    Timestamp::from_str(text).map(Timestamp::as_millisecond).map_err(|error| format!("time {text:?}: {error}"))
}

/// A calendar length such as `1 month`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Length {
    count: i64,
    unit: LengthUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LengthUnit {
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

impl Length {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (count, unit) = text.split_once(' ').ok_or_else(|| format!("length {text:?}"))?;
        let unit = match unit.trim().trim_end_matches('s') {
            "hour" => LengthUnit::Hours,
            "day" => LengthUnit::Days,
            "week" => LengthUnit::Weeks,
            "month" => LengthUnit::Months,
            "year" => LengthUnit::Years,
            other => return Err(format!("length unit {other:?}")),
        };
        let count = i64::from_str(count).map_err(|error| format!("length {text:?}: {error}"))?;
        Ok(Self { count, unit })
    }

    /// The moment one length after `start`, by the calendar of `zone`.
    pub(super) fn after(&self, start: i64, zone: &TimeZone) -> Result<i64, String> {
        let span: Span = match self.unit {
            LengthUnit::Hours => self.count.hours(),
            LengthUnit::Days => self.count.days(),
            LengthUnit::Weeks => self.count.weeks(),
            LengthUnit::Months => self.count.months(),
            LengthUnit::Years => self.count.years(),
        };
        let start = Timestamp::from_millisecond(start).map_err(|error| error.to_string())?;
        let end = start.to_zoned(zone.clone()).checked_add(span).map_err(|error| error.to_string())?;
        Ok(end.timestamp().as_millisecond())
    }
}

/// The zone of a name such as `Europe/London`; UTC if none is given.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None | Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|error| format!("time zone {name:?}: {error}")),
    }
}

/// `moment` on the clock of `zone`: (year, month), day of the week from Monday = 0, second of the day.
pub(super) fn local(moment: i64, zone: &TimeZone) -> ((i16, i8), i8, i64) {
    let zoned = Timestamp::from_millisecond(moment).unwrap_or_default().to_zoned(zone.clone());
    let second = i64::from(zoned.hour()) * 3600 + i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
    ((zoned.year(), zoned.month()), zoned.weekday().to_monday_zero_offset(), second)
}
