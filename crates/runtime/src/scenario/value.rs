//! What stands in a cell: one written form per kind of column, compared by what it means, so that `0.3` is `0.30` and `1 GB` is `1000 MB`.

use rating::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Compared as it stands.
    Text,
    /// A whole number.
    Integer,
    /// Money, exact.
    Amount,
    /// Money that may be left out where it is 0.
    Waiver,
    /// `3 MB`, or base units; 0 may be left out.
    Quantity,
    /// RFC 3339.
    Time,
    /// `bundle 25 GB, other 1 GB`: what was drawn, in order.
    Draws,
}

const WORDS: [(&str, i64, &str); 17] = [
    ("TB", 1_000_000_000_000, "octets"),
    ("GB", 1_000_000_000, "octets"),
    ("MB", 1_000_000, "octets"),
    ("KB", 1_000, "octets"),
    ("B", 1, "octets"),
    ("octets", 1, "octets"),
    ("TiB", 1 << 40, "octets"),
    ("GiB", 1 << 30, "octets"),
    ("MiB", 1 << 20, "octets"),
    ("KiB", 1 << 10, "octets"),
    ("h", 3600, "seconds"),
    ("min", 60, "seconds"),
    ("s", 1, "seconds"),
    ("message", 1, "messages"),
    ("messages", 1, "messages"),
    ("unit", 1, "units"),
    ("units", 1, "units"),
];

/// Base units, and the unit if one was named.
pub(super) fn quantity(text: &str) -> Result<(i64, Option<&'static str>), String> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(text.len());
    let (number, word) = text.split_at(end);
    let malformed = || format!("\"{text}\" is not a quantity; write it like `3 MB`, `60 s` or `1500`");
    let word = word.trim();
    if word.is_empty() {
        return number.parse().map(|base| (base, None)).map_err(|_| malformed());
    }
    let number = Decimal::from_str_exact(number).map_err(|_| malformed())?;
    let (_, factor, unit) = WORDS.iter().find(|(name, _, _)| *name == word).ok_or_else(malformed)?;
    let base = number.checked_mul(Decimal::from(*factor)).filter(|base| base.fract().is_zero());
    let base = base.and_then(|base| base.to_i64()).ok_or_else(|| format!("{text} is not a whole number of {unit}"))?;
    Ok((base, Some(unit)))
}

/// A quantity as a person would write it.
pub(super) fn shown_quantity(base: i64, unit: &str) -> String {
    if base == 0 {
        return "0".to_owned();
    }
    let decimal = Decimal::from(base);
    let in_words = |name: &str, factor: i64, places: u32| {
        let number = decimal.checked_div(Decimal::from(factor))?.normalize();
        (number.abs() >= Decimal::ONE && number.scale() <= places).then(|| format!("{number} {name}"))
    };
    let choices: &[(&str, i64, u32)] = match unit {
        "octets" => &[
            ("TB", 1_000_000_000_000, 3),
            ("GB", 1_000_000_000, 3),
            ("MB", 1_000_000, 3),
            ("GiB", 1 << 30, 0),
            ("MiB", 1 << 20, 0),
            ("KiB", 1 << 10, 0),
            ("KB", 1_000, 3),
        ],
        "seconds" => &[("s", 1, 0)],
        "messages" => &[("messages", 1, 0)],
        _ => &[],
    };
    choices.iter().find_map(|(name, factor, places)| in_words(name, *factor, *places)).unwrap_or(base.to_string())
}

/// An amount as a person would write it.
pub(super) fn shown_amount(text: &str) -> String {
    match text.parse::<Decimal>() {
        Ok(amount) => {
            let amount = amount.normalize();
            if amount.scale() == 1 { format!("{amount}0") } else { amount.to_string() }
        }
        Err(_) => text.to_owned(),
    }
}

impl Kind {
    /// What is compared.
    ///
    /// # Errors
    /// The text is not of this kind.
    pub(super) fn canonical(self, text: &str) -> Result<String, String> {
        match self {
            Kind::Text => Ok(text.to_owned()),
            Kind::Integer if text.is_empty() => Ok(String::new()),
            Kind::Integer => match text.parse::<i64>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(format!("\"{text}\" is not a whole number")),
            },
            Kind::Amount if text.is_empty() => Ok(String::new()),
            Kind::Amount => amount(text).map(|amount| amount.to_string()),
            Kind::Waiver if text.is_empty() => Ok(String::new()),
            Kind::Waiver => {
                amount(text).map(|amount| if amount.is_zero() { String::new() } else { amount.to_string() })
            }
            Kind::Quantity if text.is_empty() || text == "unlimited" => Ok(text.to_owned()),
            Kind::Quantity => {
                let (base, _) = quantity(text)?;
                Ok(if base == 0 { String::new() } else { base.to_string() })
            }
            Kind::Time if text.is_empty() => Ok(String::new()),
            Kind::Time => match Timestamp::parse(text) {
                Some(time) => Ok(time.millis().to_string()),
                None => Err(format!("\"{text}\" is not a time; write it like 2026-01-01T00:00:00Z")),
            },
            Kind::Draws if text.is_empty() => Ok(String::new()),
            Kind::Draws => {
                let one = |draw: &str| {
                    let (name, drawn) = draw
                        .trim()
                        .split_once(' ')
                        .ok_or_else(|| format!("\"{}\" is not a draw; write it like `bundle 25 GB`", draw.trim()))?;
                    quantity(drawn.trim()).map(|(base, _)| format!("{name} {base}"))
                };
                Ok(text.split(',').map(one).collect::<Result<Vec<_>, _>>()?.join(", "))
            }
        }
    }
}

fn amount(text: &str) -> Result<Decimal, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let parsed = if is_plain { Decimal::from_str_exact(text).ok() } else { None };
    parsed.map(|amount| amount.normalize()).ok_or_else(|| format!("\"{text}\" is not an amount"))
}
