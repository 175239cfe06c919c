//! Numbers, amounts and times as text, without allocation.

use rating::money::AMOUNT_SCALE;
use rating::{Amount, Timestamp};
use std::fmt::Write;

/// The hexadecimal digits of a number.
pub(super) fn hex(value: u128) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

/// The decimal digits of a number.
pub(super) fn integer(mut value: u64, write: impl FnOnce(&[u8])) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    write(&digits[at..]);
}

/// A signed number.
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    integer(value.unsigned_abs(), |digits| out.extend_from_slice(digits));
}

/// An amount with its exact digits and no trailing zeros: `0`, `-3.17`.
pub(super) fn amount(value: Amount, out: &mut Vec<u8>) {
    const ONE: u128 = 10_u128.pow(AMOUNT_SCALE);
    let unscaled = value.unscaled();
    if unscaled < 0 {
        out.push(b'-');
    }
    let magnitude = unscaled.unsigned_abs();
    // Both fit 64 bits: amounts are below 10^18, the fraction below 10^10. Mostly the whole does, and then division is cheap.
    let (whole, mut fraction) = match u64::try_from(magnitude) {
        Ok(magnitude) => (magnitude / ONE as u64, magnitude % ONE as u64),
        Err(_) => ((magnitude / ONE) as u64, (magnitude % ONE) as u64),
    };
    integer(whole, |digits| out.extend_from_slice(digits));
    if fraction > 0 {
        let mut digits = [b'0'; AMOUNT_SCALE as usize];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        out.push(b'.');
        out.extend_from_slice(&digits[..end]);
    }
}

/// An instant in RFC 3339, in UTC, with milliseconds where there are any.
pub(super) fn time(value: Timestamp, out: &mut Vec<u8>) {
    let millis = value.millis();
    let days = millis.div_euclid(86_400_000);
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{value}");
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let in_day = millis.rem_euclid(86_400_000);
    let two = |number: i64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    out.extend_from_slice(&two(year / 100));
    out.extend_from_slice(&two(year % 100));
    out.push(b'-');
    out.extend_from_slice(&two(month));
    out.push(b'-');
    out.extend_from_slice(&two(day));
    out.push(b'T');
    out.extend_from_slice(&two(in_day / 3_600_000));
    out.push(b':');
    out.extend_from_slice(&two(in_day / 60_000 % 60));
    out.push(b':');
    out.extend_from_slice(&two(in_day / 1000 % 60));
    let fraction = in_day % 1000;
    if fraction > 0 {
        out.push(b'.');
        out.push(b'0' + (fraction / 100) as u8);
        let rest = two(fraction % 100);
        let end = if rest[1] != b'0' { 2 } else { usize::from(rest[0] != b'0') };
        out.extend_from_slice(&rest[..end]);
    }
    out.push(b'Z');
}

/// Year, month and day of a day counted from 1970-01-01. Years run from March, so that the leap day ends one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_read_as_the_calendar_library_writes_them() {
        let step = 86_400_000 / 7 * 13 + 1;
        for at in (0..7_258_118_400_000_i64).step_by(step as usize * 40) {
            for millis in [at, at + 10, at + 100, at - at % 1000] {
                let instant = Timestamp::from_millis(millis);
                assert_eq!(shown(|out| time(instant, out)), instant.to_string());
            }
        }
        assert_eq!(shown(|out| time(Timestamp::from_millis(-1), out)), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn amounts_read_as_decimals_do() {
        for unscaled in [0, 1, -1, 10, 10_i128.pow(10), 3_170_000_000 * 10, -(10_i128.pow(28)) + 1, 10_i128.pow(28) - 1]
        {
            let value = Amount::from_unscaled(unscaled).unwrap();
            assert_eq!(shown(|out| amount(value, out)), value.to_decimal().to_string());
        }
    }
}
