//! The written forms of single values: text in, checked value or a reason out.
//!
//! Owns the table "Values" of `docs/reference-data.md`. Everything is exact or refused: nothing is rounded, clamped or read through a
//! floating point number. Knows neither places nor keys; the reader adds those.

mod calendar;
mod digits;
mod money;
mod quantity;
mod week;

pub use digits::Digits;
pub use quantity::{UnitSystem, base_units};
pub use week::{DaySet, MINUTES_PER_DAY};

pub(crate) use calendar::{parse_length, parse_time, parse_zone};
pub(crate) use digits::{intersects, parse_identity, parse_network, parse_prefix};
pub(crate) use money::{parse_currency, parse_money};
pub(crate) use quantity::{WrittenPrice, parse_price, parse_quantity};
pub(crate) use week::{parse_days, parse_hours};

use crate::diagnostic::Code;

/// Why a text is not a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueError {
    pub(crate) code: Code,
    /// What is wrong, as the end of a sentence that begins with the thing.
    pub(crate) reason: String,
    pub(crate) help: Option<String>,
}

impl ValueError {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        ValueError { code, reason: reason.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Whole number without sign, or with one if `T` takes it.
pub(crate) fn parse_integer<T: std::str::FromStr>(text: &str) -> Result<T, ValueError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::new(Code::BadNumber, format!("\"{text}\" is not a whole number")));
    }
    text.parse().map_err(|_| ValueError::new(Code::OutOfRange, format!("{text} is out of range")))
}

/// `80 %`, from 1 to 100.
pub(crate) fn parse_percent(text: &str) -> Result<u8, ValueError> {
    let Some(number) = text.strip_suffix('%') else {
        return Err(
            ValueError::new(Code::BadNumber, format!("\"{text}\" is not a percentage")).help("write it like `80 %`")
        );
    };
    match parse_integer::<u8>(number.trim_end())? {
        percent @ 1..=100 => Ok(percent),
        other => Err(ValueError::new(Code::OutOfRange, format!("{other} % is out of range"))
            .help("thresholds are from 1 % to 100 %")),
    }
}

/// Whether `text` is a name: `[a-z0-9_-]+` (rule 33).
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
