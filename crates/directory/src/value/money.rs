//! Exact decimals and money.

use rating::Currency;
use rust_decimal::Decimal;

use super::ValueError;
use crate::diagnostic::Code;

/// Most digits before the point: |x| < 10^18.
const MAX_WHOLE_DIGITS: usize = 18;
/// Most digits after the point.
const MAX_DECIMALS: usize = 10;

/// An amount with the currency that was written beside it, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) amount: Decimal,
    pub(crate) currency: Option<Currency>,
}

/// `GBP`
pub(crate) fn parse_currency(text: &str) -> Result<Currency, ValueError> {
    Currency::parse(text).ok_or_else(|| {
        ValueError::new(Code::BadCurrency, format!("\"{text}\" is not a currency"))
            .help("write three capital letters, such as `GBP`")
    })
}

/// `5.00` or `5.00 GBP`; may be negative.
pub(crate) fn parse_money(text: &str) -> Result<Money, ValueError> {
    let (number, code) = match text.split_once(char::is_whitespace) {
        Some((number, code)) => (number, Some(code.trim_start())),
        None => (text, None),
    };
    let amount = parse_amount(number).map_err(|error| match error.code {
        Code::OutOfRange => error,
        _ => ValueError::new(Code::BadMoney, format!("\"{text}\" is not an amount of money"))
            .help("write it like `5.00` or `5.00 GBP`"),
    })?;
    let currency = code.map(parse_currency).transpose()?;
    Ok(Money { amount, currency })
}

/// An exact decimal below 10^18 with at most 10 decimal places, possibly negative. The code of malformed text is [`Code::BadNumber`]; the
/// caller knows a better one.
pub(super) fn parse_amount(text: &str) -> Result<Decimal, ValueError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = match digits.split_once('.') {
        Some((_, "")) => return Err(malformed(text)),
        Some(parts) => parts,
        None => (digits, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(decimals.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(malformed(text));
    }
    if whole.trim_start_matches('0').len() > MAX_WHOLE_DIGITS {
        return Err(ValueError::new(Code::OutOfRange, format!("{text} is too large")).help("amounts are below 10^18"));
    }
    if decimals.len() > MAX_DECIMALS {
        let reason = format!("{text} has {} decimal places", decimals.len());
        return Err(ValueError::new(Code::OutOfRange, reason).help(format!("at most {MAX_DECIMALS} are kept exactly")));
    }
    Decimal::from_str_exact(text).map_err(|_| malformed(text))
}

fn malformed(text: &str) -> ValueError {
    ValueError::new(Code::BadNumber, format!("\"{text}\" is not a decimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_or_refused() {
        for (text, expected) in [
            ("0.20", "0.20"),
            ("-5", "-5"),
            ("999999999999999999.9999999999", "999999999999999999.9999999999"),
            ("007.5", "7.5"),
        ] {
            assert_eq!(parse_money(text).unwrap().amount.to_string(), expected);
        }
        for text in ["", "-", ".5", "5.", "1e3", "+1", "1,000", "1.2.3", "0x1", "£5", "1 000", "NaN", "--1"] {
            assert!(parse_money(text).is_err(), "{text}");
        }
        for text in ["1000000000000000000", "0.12345678901", "-1000000000000000000"] {
            assert_eq!(parse_money(text).unwrap_err().code, Code::OutOfRange, "{text}");
        }
        assert_eq!(parse_money("5.00 GBP").unwrap().currency.unwrap().as_str(), "GBP");
        assert_eq!(parse_money("5.00 gbp").unwrap_err().code, Code::BadCurrency);
    }
}
