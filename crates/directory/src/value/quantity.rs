//! Quantities of use and prices per quantity.

use rating::Unit;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::ValueError;
use super::money::parse_amount;
use crate::diagnostic::{Code, closest};

/// What `KB`, `MB`, `GB` and `TB` mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitSystem {
    /// 1 KB = 1000 octets.
    #[default]
    Decimal,
    /// 1 KB = 1024 octets.
    Binary,
}

/// Words for units, with the powers of 1000 (or 1024) or the plain factor they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Power of the tariff's thousand.
    Scaled(u32),
    /// Power of 1024.
    Binary(u32),
    /// Seconds.
    Time(i64),
    Message,
    Unit,
}

const WORDS: [(&str, Word); 16] = [
    ("B", Word::Scaled(0)),
    ("KB", Word::Scaled(1)),
    ("MB", Word::Scaled(2)),
    ("GB", Word::Scaled(3)),
    ("TB", Word::Scaled(4)),
    ("KiB", Word::Binary(1)),
    ("MiB", Word::Binary(2)),
    ("GiB", Word::Binary(3)),
    ("TiB", Word::Binary(4)),
    ("s", Word::Time(1)),
    ("min", Word::Time(60)),
    ("h", Word::Time(3600)),
    ("message", Word::Message),
    ("messages", Word::Message),
    ("unit", Word::Unit),
    ("units", Word::Unit),
];

impl Word {
    fn unit(self) -> Unit {
        match self {
            Word::Scaled(_) | Word::Binary(_) => Unit::Octets,
            Word::Time(_) => Unit::Seconds,
            Word::Message => Unit::Messages,
            Word::Unit => Unit::Units,
        }
    }

    fn factor(self, system: UnitSystem) -> i64 {
        let power = |base: i64, exponent| base.pow(exponent);
        match (self, system) {
            (Word::Scaled(exponent), UnitSystem::Decimal) => power(1000, exponent),
            (Word::Scaled(exponent), UnitSystem::Binary) | (Word::Binary(exponent), _) => power(1024, exponent),
            (Word::Time(seconds), _) => seconds,
            (Word::Message | Word::Unit, _) => 1,
        }
    }
}

/// A quantity as written: what it is in base units depends on the tariff's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenQuantity {
    number: Decimal,
    word: Option<Word>,
}

impl WrittenQuantity {
    /// The unit that was named; none for a bare integer, which is base units of whatever is measured.
    pub(crate) fn unit(self) -> Option<Unit> {
        self.word.map(Word::unit)
    }

    /// In base units; refused unless a whole number of at most `i64::MAX`, possibly negative.
    pub(crate) fn base_units(self, system: UnitSystem) -> Result<i64, ValueError> {
        let factor = self.word.map_or(1, |word| word.factor(system));
        let too_large = || {
            ValueError::new(Code::OutOfRange, "the quantity is too large")
                .help(format!("quantities go up to {} base units", i64::MAX))
        };
        let base = self.number.checked_mul(Decimal::from(factor)).ok_or_else(too_large)?;
        if !base.fract().is_zero() {
            let unit = self.unit().map_or("units", Unit::name);
            return Err(ValueError::new(
                Code::BadQuantity,
                format!("{} {unit} is not a whole number", base.normalize()),
            ));
        }
        base.to_i64().ok_or_else(too_large)
    }
}

/// A quantity that a person gives outside of reference data: base units and, unless it is a bare integer, their unit.
///
/// # Errors
/// What is wrong, in words that begin with the text or the quantity.
pub fn base_units(text: &str, system: UnitSystem) -> Result<(i64, Option<Unit>), String> {
    let written = parse_quantity(text);
    let units = written.and_then(|written| Ok((written.base_units(system)?, written.unit())));
    units.map_err(|error| match error.help {
        Some(help) => format!("{}; {help}", error.reason),
        None => error.reason,
    })
}

/// A price as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenPrice {
    pub(crate) amount: Decimal,
    pub(crate) per: WrittenQuantity,
}

const QUANTITY_HELP: &str = "write it like `100 KB`, `60 s`, `10 messages`, or as a whole number of base units";

/// `100 KB`, `1500`
pub(crate) fn parse_quantity(text: &str) -> Result<WrittenQuantity, ValueError> {
    let malformed = || ValueError::new(Code::BadQuantity, format!("\"{text}\" is not a quantity")).help(QUANTITY_HELP);
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(text.len());
    let (number, word) = (&text[..split], text[split..].trim());
    let number = parse_number(number).map_err(|code| match code {
        Code::OutOfRange => ValueError::new(code, format!("{text} is too large")),
        _ => malformed(),
    })?;
    let word = if word.is_empty() { None } else { Some(parse_word(word)?) };
    if word.is_none() && !number.fract().is_zero() {
        return Err(malformed());
    }
    Ok(WrittenQuantity { number, word })
}

/// Like an amount of money, but with up to 19 digits before the point, because quantities go up to `i64::MAX`.
fn parse_number(text: &str) -> Result<Decimal, Code> {
    match parse_amount(text) {
        Ok(number) => Ok(number),
        Err(error) if error.code == Code::OutOfRange => {
            text.parse::<i64>().map(Decimal::from).map_err(|_| Code::OutOfRange)
        }
        Err(error) => Err(error.code),
    }
}

fn parse_word(text: &str) -> Result<Word, ValueError> {
    if let Some((_, word)) = WORDS.iter().find(|(name, _)| *name == text) {
        return Ok(*word);
    }
    let same_but_case = WORDS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(text));
    let near = same_but_case.or_else(|| closest(text, WORDS.iter().map(|(name, _)| *name)));
    let error = ValueError::new(Code::BadQuantity, format!("\"{text}\" is not a unit"));
    Err(match near {
        Some(near) => error.help(format!("did you mean \"{near}\"?")),
        None => error.help("units are B, KB, MB, GB, TB, KiB, MiB, GiB, TiB, s, min, h, message and unit"),
    })
}

/// `0.20/MB`, `0.10/100 KB`; may be negative.
pub(crate) fn parse_price(text: &str) -> Result<WrittenPrice, ValueError> {
    let malformed = || {
        ValueError::new(Code::BadPrice, format!("\"{text}\" is not a price"))
            .help("write it like `0.20/MB` or `0.05/message`")
    };
    let Some((amount, per)) = text.split_once('/') else {
        return Err(malformed());
    };
    let amount = parse_amount(amount.trim_end())
        .map_err(|error| if error.code == Code::OutOfRange { error } else { malformed() })?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_alphabetic()) {
        WrittenQuantity { number: Decimal::ONE, word: Some(parse_word(per)?) }
    } else {
        parse_quantity(per)
            .map_err(|error| if error.code == Code::BadQuantity && per.is_empty() { malformed() } else { error })?
    };
    Ok(WrittenPrice { amount, per })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str, system: UnitSystem) -> Result<i64, Code> {
        parse_quantity(text).and_then(|q| q.base_units(system)).map_err(|e| e.code)
    }

    #[test]
    fn quantities_become_whole_base_units() {
        let decimal = |text| base(text, UnitSystem::Decimal);
        assert_eq!(decimal("100 KB"), Ok(100_000));
        assert_eq!(base("100 KB", UnitSystem::Binary), Ok(102_400));
        assert_eq!(decimal("1 GiB"), Ok(1 << 30));
        assert_eq!(decimal("5 min"), Ok(300));
        assert_eq!(decimal("2h"), Ok(7200));
        assert_eq!(decimal("10 messages"), Ok(10));
        assert_eq!(decimal("1500"), Ok(1500));
        assert_eq!(decimal("1.5 KB"), Ok(1500));
        assert_eq!(decimal("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(decimal("9223372036854775807 B"), Ok(i64::MAX));
        assert_eq!(decimal("9223372036854775808"), Err(Code::OutOfRange));
        assert_eq!(decimal("9223373 TB"), Err(Code::OutOfRange));
        assert_eq!(decimal("99999999999999999999 TB"), Err(Code::OutOfRange));
        for text in ["", "KB", "1.5", "0.0001 KB", "1 kb", "1 parsec", "1 KB s", "1e3", "one", "1..5 KB"] {
            assert_eq!(decimal(text), Err(Code::BadQuantity), "{text}");
        }
    }

    #[test]
    fn prices_are_per_quantity() {
        let price = parse_price("0.10/100 KB").unwrap();
        assert_eq!(
            (price.amount.to_string(), price.per.base_units(UnitSystem::Decimal)),
            ("0.10".to_owned(), Ok(100_000))
        );
        assert_eq!(parse_price("1.00/s").unwrap().per.unit(), Some(Unit::Seconds));
        assert_eq!(parse_price("-0.05 / MB").unwrap().amount.to_string(), "-0.05");
        for text in ["0.20", "/MB", "0.20/", "0.20 GBP/MB", "£1/MB"] {
            assert_eq!(parse_price(text).unwrap_err().code, Code::BadPrice, "{text}");
        }
        assert_eq!(parse_price("0.20/mb").unwrap_err().help.unwrap(), "did you mean \"MB\"?");
    }
}
