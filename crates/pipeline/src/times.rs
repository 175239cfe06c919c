//! Times from outside: RFC 3339 with an offset, or milliseconds since 1970. Digits that are something else are doubted, and the doubt says what they look like.

use crate::text::quoted;
use rating::Timestamp;

/// Digits below this are no milliseconds of an event: 2001-09-09T01:46:40Z, since when milliseconds have 13 digits. Seconds, dates and day numbers have fewer.
pub const LEAST_MILLIS: i64 = 1_000_000_000_000;

/// Why a text or a number is not taken for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong with it, with the value as written.
    pub what: String,
    /// Taken for milliseconds, it would lie long ago.
    pub is_past: bool,
}

/// Reads a time. What is finer than a millisecond is cut off.
///
/// # Errors
/// It is none, or digits that look like something else than milliseconds.
pub fn read_time(text: &str) -> Result<Timestamp, Misread> {
    if let Some(instant) = parse_plain_utc(text.as_bytes()).filter(|at| at.is_plausible()) {
        return Ok(instant);
    }
    if let Ok(millis) = text.parse() {
        return read_millis(millis);
    }
    Timestamp::parse_cut(text).filter(|at| at.is_plausible()).ok_or_else(|| no_time(text))
}

/// As [`read_time`], for a number.
///
/// # Errors
/// As [`read_time`].
pub fn read_millis(millis: i64) -> Result<Timestamp, Misread> {
    let at = Timestamp::from_millis(millis);
    if !at.is_plausible() {
        return Err(no_time(&millis.to_string()));
    }
    if millis < LEAST_MILLIS {
        let looks = likeness(&millis.to_string()).map_or(String::new(), |what| format!("; it looks like {what}"));
        return Err(Misread { what: format!("{millis} as milliseconds since 1970 is {at}{looks}"), is_past: true });
    }
    Ok(at)
}

fn no_time(text: &str) -> Misread {
    let looks = likeness(text).map_or(String::new(), |what| format!("; it looks like {what}"));
    let what = format!("is not a time with an offset between 1970 and 2200: {}{looks}", quoted(text));
    Misread { what, is_past: false }
}

/// Returns what a text that is no time looks like, with the time that was probably meant.
fn likeness(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || fraction.is_some_and(|fraction| !is_number(fraction)) {
        return likeness_of_text(text);
    }
    let number: i64 = whole.parse().ok()?;
    let at = |millis: i64| Some(Timestamp::from_millis(millis)).filter(|at| at.is_plausible());
    if fraction.is_some() {
        return match whole.len() {
            5 => day_number(number),
            9 | 10 => Some(format!("seconds since 1970 ({})", at(number.checked_mul(1000)?)?)),
            13 => Some(format!("milliseconds with a fraction ({})", at(number)?)),
            _ => None,
        };
    }
    match whole.len() {
        5 => day_number(number),
        8 => calendar(whole, "").map(|at| format!("a date YYYYMMDD ({at})")),
        9 | 10 => Some(format!("seconds since 1970 ({})", at(number.checked_mul(1000)?)?)),
        12 => {
            let short = || calendar(&format!("20{whole}"), "");
            let minutes = || calendar(&format!("{whole}00"), "");
            let is_long = whole.starts_with("19") || whole.starts_with("20");
            let found = if is_long { minutes().or_else(short) } else { short() };
            found.map(|at| format!("a date and time without an offset ({at} if it is UTC)"))
        }
        14 => calendar(whole, "").map(|at| format!("a date and time YYYYMMDDhhmmss ({at} if it is UTC)")),
        16 => Some(format!("microseconds since 1970 ({})", at(number / 1000)?)),
        17 => calendar(whole.get(..14)?, "").map(|at| format!("a date and time YYYYMMDDhhmmssSSS ({at} if it is UTC)")),
        // From 0001 in .NET, from 1601 in Windows.
        18 => at(number / 10_000 - 62_135_596_800_000)
            .or_else(|| at(number / 10_000 - 11_644_473_600_000))
            .map(|at| format!("ticks of 100 nanoseconds ({at})")),
        19 => Some(format!("nanoseconds since 1970 ({})", at(number / 1_000_000)?)),
        _ => None,
    }
}

/// A day number of a spreadsheet: days since 1899-12-30.
fn day_number(days: i64) -> Option<String> {
    let at = Timestamp::from_millis((days - 25_569) * 86_400_000);
    at.is_plausible().then(|| format!("a day number of a spreadsheet ({at})"))
}

fn likeness_of_text(text: &str) -> Option<String> {
    // TS 32.298, TimeStamp: YYMMDDhhmmss, the sign and the offset, as text or with the sign as its byte in hexadecimal.
    let gateway = text.get(..12).filter(|time| time.bytes().all(|byte| byte.is_ascii_digit())).and_then(|time| {
        let (sign, offset) = match text.get(12..)? {
            rest if rest.len() == 5 => rest.split_at_checked(1)?,
            rest if rest.len() == 6 => match rest.split_at_checked(2)? {
                ("2B" | "2b", offset) => ("+", offset),
                ("2D" | "2d", offset) => ("-", offset),
                _ => return None,
            },
            _ => return None,
        };
        let is_offset = matches!(sign, "+" | "-") && offset.len() == 4 && offset.bytes().all(|b| b.is_ascii_digit());
        let (hours, minutes) = offset.split_at_checked(2).filter(|_| is_offset)?;
        calendar(&format!("20{time}"), &format!("{sign}{hours}:{minutes}"))
    });
    if let Some(at) = gateway {
        return Some(format!("a time stamp of TS 32.298 ({at})"));
    }
    let has_exponent = text.bytes().any(|byte| matches!(byte, b'e' | b'E'))
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'e' | b'E' | b'+' | b'.'));
    if has_exponent {
        return Some("a number whose digits a spreadsheet has dropped".to_owned());
    }
    Timestamp::parse_cut(&format!("{text}Z")).map(|_| "a time without an offset".to_owned())
}

/// The instant of `YYYYMMDD` or `YYYYMMDDhhmmss` at an offset, UTC if it is empty.
fn calendar(digits: &str, offset: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = match digits.len() {
        8 => ("00", "00", "00"),
        _ => (part(8, 10)?, part(10, 12)?, part(12, 14)?),
    };
    let offset = if offset.is_empty() { "Z" } else { offset };
    let at = Timestamp::parse_cut(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}{offset}"))?;
    at.is_plausible().then_some(at)
}

/// `2026-01-01T00:00:00Z`, the commonest form, without the generality of the calendar library.
fn parse_plain_utc(text: &[u8]) -> Option<Timestamp> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'Z'] = text else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(**digit - b'0')))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > days_in_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years run from March, so that the leap day ends one.
    let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era_years = march_year.rem_euclid(400);
    let day_of_era = era_years * 365 + era_years / 4 - era_years / 100 + (153 * march_month + 2) / 5 + day - 1;
    let days = march_year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    Some(Timestamp::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_form_agrees_with_the_calendar_library() {
        for day in (0..84_000_i64).step_by(11) {
            let at = Timestamp::from_millis(day * 86_400_000 + (day * 7919 % 86_400) * 1000);
            let text = at.to_string();
            assert_eq!(parse_plain_utc(text.as_bytes()), Some(at), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_plain_utc(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_read_or_its_likeness_is_told() {
        let cases = [
            ("2026-03-05T14:00:00Z", "2026-03-05T14:00:00Z"),
            ("2026-03-05t14:00:00z", "2026-03-05T14:00:00Z"),
            ("2026-03-05 14:00:00+00:00", "2026-03-05T14:00:00Z"),
            ("2026-03-05T14:00:00.376645589Z", "2026-03-05T14:00:00.376Z"),
            ("2026-03-05T14:00:00.123456+00:00", "2026-03-05T14:00:00.123Z"),
            ("2026-03-05T15:59:59.9999999+02:00", "2026-03-05T13:59:59.999Z"),
            ("1772719200000", "2026-03-05T14:00:00Z"),
            ("1000000000000", "2001-09-09T01:46:40Z"),
            ("999999999999", "past: 999999999999 as milliseconds since 1970 is 2001-09-09T01:46:39.999Z"),
            (
                "1772719200",
                "past: 1772719200 as milliseconds since 1970 is 1970-01-21T12:25:19.2Z; it looks like seconds since 1970 (2026-03-05T14:00:00Z)",
            ),
            (
                "46086",
                "past: 46086 as milliseconds since 1970 is 1970-01-01T00:00:46.086Z; it looks like a day number of a spreadsheet (2026-03-05T00:00:00Z)",
            ),
            (
                "20260305",
                "past: 20260305 as milliseconds since 1970 is 1970-01-01T05:37:40.305Z; it looks like a date YYYYMMDD (2026-03-05T00:00:00Z)",
            ),
            ("20261350", "past: 20261350 as milliseconds since 1970 is 1970-01-01T05:37:41.35Z"),
            (
                "202603051400",
                "past: 202603051400 as milliseconds since 1970 is 1976-06-02T22:37:31.4Z; it looks like a date and time without an offset (2026-03-05T14:00:00Z if it is UTC)",
            ),
            (
                "260305140000",
                "past: 260305140000 as milliseconds since 1970 is 1978-04-01T18:59:00Z; it looks like a date and time without an offset (2026-03-05T14:00:00Z if it is UTC)",
            ),
            ("0", "past: 0 as milliseconds since 1970 is 1970-01-01T00:00:00Z"),
            (
                "46086.58333",
                "none: \"46086.58333\"; it looks like a day number of a spreadsheet (2026-03-05T00:00:00Z)",
            ),
            ("1772719200.123", "none: \"1772719200.123\"; it looks like seconds since 1970 (2026-03-05T14:00:00Z)"),
            (
                "20260305140000",
                "none: \"20260305140000\"; it looks like a date and time YYYYMMDDhhmmss (2026-03-05T14:00:00Z if it is UTC)",
            ),
            (
                "1772719200000000",
                "none: \"1772719200000000\"; it looks like microseconds since 1970 (2026-03-05T14:00:00Z)",
            ),
            (
                "1772719200000000000",
                "none: \"1772719200000000000\"; it looks like nanoseconds since 1970 (2026-03-05T14:00:00Z)",
            ),
            (
                "639083160000000000",
                "none: \"639083160000000000\"; it looks like ticks of 100 nanoseconds (2026-03-05T14:00:00Z)",
            ),
            (
                "134171928000000000",
                "none: \"134171928000000000\"; it looks like ticks of 100 nanoseconds (2026-03-05T14:00:00Z)",
            ),
            (
                "2603051400002B0000",
                "none: \"2603051400002B0000\"; it looks like a time stamp of TS 32.298 (2026-03-05T14:00:00Z)",
            ),
            (
                "2603051500002d0130",
                "none: \"2603051500002d0130\"; it looks like a time stamp of TS 32.298 (2026-03-05T16:30:00Z)",
            ),
            (
                "260305140000+0100",
                "none: \"260305140000+0100\"; it looks like a time stamp of TS 32.298 (2026-03-05T13:00:00Z)",
            ),
            ("1.7727192E+09", "none: \"1.7727192E+09\"; it looks like a number whose digits a spreadsheet has dropped"),
            ("2026-03-05T14:00:00", "none: \"2026-03-05T14:00:00\"; it looks like a time without an offset"),
            ("05.03.2026", "none: \"05.03.2026\""),
            ("-5", "none: \"-5\""),
            ("é2603051400002B", "none: \"é2603051400002B\""),
            ("2201-01-01T00:00:00Z", "none: \"2201-01-01T00:00:00Z\""),
        ];
        for (text, expected) in cases {
            let read = match read_time(text) {
                Ok(at) => at.to_string(),
                Err(misread) if misread.is_past => format!("past: {}", misread.what),
                Err(misread) => misread.what.replace("is not a time with an offset between 1970 and 2200", "none"),
            };
            assert_eq!(read, expected, "{text}");
        }
    }
}
