//! Values as written: quoted in messages, and numbers read digit by digit.

/// Most characters of a value that a message quotes.
const MAX_QUOTED: usize = 40;

/// Returns the value between quotation marks, cut to a bounded length, with control characters escaped.
pub fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if value.chars().nth(MAX_QUOTED).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// Why a number is not taken for a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWhole {
    /// It has a fraction.
    Fraction,
    /// It has more than 64 bits.
    TooLarge,
    /// It has an exponent, and its format has no numbers: a spreadsheet wrote it so and dropped digits.
    Exponent,
    /// It is no number.
    NoNumber,
}

/// Reads a whole number, also one written as `136.000000` or, where the format has numbers, as `1e3`. No digit passes through a float.
///
/// # Errors
/// Why it is none.
pub fn whole(text: &str, exponents: Exponents) -> Result<i64, NotWhole> {
    if let Ok(integer) = text.parse() {
        return Ok(integer);
    }
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if before.is_empty() || !is_digits(before) || !is_digits(after) {
        return Err(NotWhole::NoNumber);
    }
    let exponent: i64 = match (exponent, exponents) {
        (None, _) => 0,
        (Some(_), Exponents::Doubted) => return Err(NotWhole::Exponent),
        (Some(exponent), Exponents::Taken) => exponent.parse().map_err(|_| NotWhole::NoNumber)?,
    };
    let digits = before.bytes().chain(after.bytes()).map(|byte| i64::from(byte - b'0'));
    // How many of the digits stand before the point once the exponent has moved it.
    let point = i64::try_from(before.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    let mut value = 0_i64;
    let mut places = 0_i64;
    for digit in digits {
        if places >= point {
            if digit != 0 {
                return Err(NotWhole::Fraction);
            }
            continue;
        }
        value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(NotWhole::TooLarge)?;
        places += 1;
    }
    while places < point && value != 0 {
        value = value.checked_mul(10).ok_or(NotWhole::TooLarge)?;
        places += 1;
    }
    Ok(if is_negative { -value } else { value })
}

/// Treatment of exponents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponents {
    /// The format has numbers: they are exact.
    Taken,
    /// The format has texts.
    Doubted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_whole_however_they_are_written() {
        use Exponents::{Doubted, Taken};
        use NotWhole::{Exponent, Fraction, NoNumber, TooLarge};
        let cases = [
            ("136", Doubted, Ok(136)),
            ("+5", Doubted, Ok(5)),
            ("007", Doubted, Ok(7)),
            ("136.000000", Doubted, Ok(136)),
            ("1200.0000000000", Doubted, Ok(1200)),
            ("-4.0", Doubted, Ok(-4)),
            ("0.0", Doubted, Ok(0)),
            ("5.", Doubted, Ok(5)),
            ("9223372036854775807.0", Doubted, Ok(i64::MAX)),
            ("9223372036854775808.0", Doubted, Err(TooLarge)),
            ("9007199254740993.0", Doubted, Ok(9_007_199_254_740_993)),
            ("136.298", Doubted, Err(Fraction)),
            ("0.5", Doubted, Err(Fraction)),
            ("136.00000000000000000000000000001", Doubted, Err(Fraction)),
            ("1e3", Doubted, Err(Exponent)),
            ("1.23E+08", Doubted, Err(Exponent)),
            ("1e3", Taken, Ok(1000)),
            ("1.5e3", Taken, Ok(1500)),
            ("1.5E+1", Taken, Ok(15)),
            ("15e-1", Taken, Err(Fraction)),
            ("1500e-2", Taken, Ok(15)),
            ("0e400", Taken, Ok(0)),
            ("1e19", Taken, Err(TooLarge)),
            ("1e999999999999", Taken, Err(TooLarge)),
            ("1e99999999999999999999", Taken, Err(NoNumber)),
            ("1e-999999999999", Taken, Err(Fraction)),
            ("-0", Taken, Ok(0)),
            ("-0.0", Taken, Ok(0)),
            ("", Doubted, Err(NoNumber)),
            (".5", Doubted, Err(NoNumber)),
            ("1.2.3", Doubted, Err(NoNumber)),
            ("00:02:16", Doubted, Err(NoNumber)),
            ("136,0", Doubted, Err(NoNumber)),
            (" 5", Doubted, Err(NoNumber)),
            ("NaN", Doubted, Err(NoNumber)),
            ("٣", Doubted, Err(NoNumber)),
        ];
        for (text, exponents, expected) in cases {
            assert_eq!(whole(text, exponents), expected, "{text}");
        }
    }

    #[test]
    fn quoted_values_are_bounded_and_plain() {
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
        assert_eq!(quoted("a\u{1b}[31m\n"), "\"a\\u{1b}[31m\\n\"");
        assert_eq!(quoted(&"é".repeat(41)), format!("\"{}…\"", "é".repeat(40)));
    }
}
