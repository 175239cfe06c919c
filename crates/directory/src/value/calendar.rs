//! Times, calendar lengths and zones of time.

use jiff::tz::TimeZoneDatabase;
use rating::{Length, TimeZone, Timestamp};

use super::ValueError;
use crate::diagnostic::Code;

/// RFC 3339 with an offset and at most milliseconds.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, ValueError> {
    let malformed = || {
        ValueError::new(Code::BadTime, format!("\"{text}\" is not a time"))
            .help("write it with an offset, like `2026-01-01T00:00:00Z` or `2026-08-26T12:00:00+02:00`")
    };
    if !has_time_form(text.as_bytes()) {
        return Err(malformed());
    }
    if text.parse::<jiff::Timestamp>().is_err() {
        return Err(malformed());
    }
    let time = Timestamp::parse(text)
        .ok_or_else(|| ValueError::new(Code::BadTime, format!("\"{text}\" is finer than a millisecond")))?;
    if !time.is_plausible() {
        return Err(ValueError::new(Code::OutOfRange, format!("{text} is out of range"))
            .help("times go from 1970 up to, but not including, 2200"));
    }
    Ok(time)
}

/// The parser behind this takes more than RFC 3339 (no seconds, spaces, leap seconds, names of zones); this takes less.
fn has_time_form(text: &[u8]) -> bool {
    let matches = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(b, f)| if *f == b'0' { b.is_ascii_digit() } else { b == f })
    };
    let Some((start, rest)) = text.split_at_checked(19) else { return false };
    let rest = match rest.split_first() {
        Some((b'.', rest)) => match rest.iter().take_while(|b| b.is_ascii_digit()).count() {
            digits @ 1..=9 => &rest[digits..],
            _ => return false,
        },
        _ => rest,
    };
    let offset = rest == b"Z" || matches(rest, b"+00:00") || matches(rest, b"-00:00");
    matches(start, b"0000-00-00T00:00:00") && &start[17..] < b"60".as_slice() && offset
}

/// Longest length: more is a typing error, and the calendar arithmetic of what begins before 2200 stays far from its limits.
const MAX_YEARS: u32 = 100;

/// `1 month`, `30 days`
pub(crate) fn parse_length(text: &str) -> Result<Length, ValueError> {
    let malformed = || {
        ValueError::new(Code::BadLength, format!("\"{text}\" is not a length"))
            .help("write a whole number of hours, days, weeks, months or years, like `1 month`")
    };
    let (count, unit) = text.split_once(' ').ok_or_else(malformed)?;
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let count: u32 = count.parse().unwrap_or(u32::MAX);
    let months = |factor: u32| count.checked_mul(factor).filter(|n| (1..=MAX_YEARS * 12).contains(n));
    let days = |factor: u32| count.checked_mul(factor).filter(|n| (1..=MAX_YEARS * 366).contains(n));
    let length = match unit.trim_start() {
        "hour" | "hours" => Some(count).filter(|n| (1..=MAX_YEARS * 366 * 24).contains(n)).map(Length::Hours),
        "day" | "days" => days(1).map(Length::Days),
        "week" | "weeks" => days(7).map(Length::Days),
        "month" | "months" => months(1).map(Length::Months),
        "year" | "years" => months(12).map(Length::Months),
        _ => return Err(malformed()),
    };
    length.ok_or_else(|| {
        ValueError::new(Code::OutOfRange, format!("a length of {text} is out of range"))
            .help(format!("lengths are more than nothing and at most {MAX_YEARS} years"))
    })
}

/// A name of the IANA database, looked up in the bundled copy only.
pub(crate) fn parse_zone(text: &str) -> Result<TimeZone, ValueError> {
    TimeZone::named(text).ok_or_else(|| {
        let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
        let error = ValueError::new(Code::UnknownTimeZone, format!("\"{text}\" is not a time zone"));
        match crate::diagnostic::closest(text, names.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean \"{near}\"?")),
            None => error.help("write a name of the IANA database, like `Europe/London`"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_an_offset_and_milliseconds() {
        let time = parse_time("2026-08-26T12:00:00.25+02:00").unwrap();
        assert_eq!(time, parse_time("2026-08-26T10:00:00.250Z").unwrap());
        for text in ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"] {
            assert_eq!(parse_time(text).unwrap_err().code, Code::OutOfRange, "{text}");
        }
        for text in [
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.0001Z",
            "2026-01-01T00:00:00+2",
            "2026-01-01T00:00:00.Z",
            "",
            "now",
            "2026-01-01T00:00:00Z[Europe/London]",
            "2026-01-01T00:00:00+99:00",
        ] {
            assert_eq!(parse_time(text).unwrap_err().code, Code::BadTime, "{text}");
        }
    }

    #[test]
    fn lengths_are_calendar_units() {
        assert_eq!(parse_length("1 month"), Ok(Length::Months(1)));
        assert_eq!(parse_length("2 years"), Ok(Length::Months(24)));
        assert_eq!(parse_length("2 weeks"), Ok(Length::Days(14)));
        assert_eq!(parse_length("12 hours"), Ok(Length::Hours(12)));
        for text in ["month", "1", "1month", "1.5 days", "-1 day", "1 fortnight", ""] {
            assert_eq!(parse_length(text).unwrap_err().code, Code::BadLength, "{text}");
        }
        for text in ["0 days", "70000 days", "101 years", "99999999999 hours"] {
            assert_eq!(parse_length(text).unwrap_err().code, Code::OutOfRange, "{text}");
        }
    }

    #[test]
    fn zones_come_from_the_bundled_database() {
        assert!(parse_zone("Europe/London").is_ok());
        assert!(parse_zone("UTC").is_ok());
        assert_eq!(parse_zone("Europe/Londn").unwrap_err().help.unwrap(), "did you mean \"Europe/London\"?");
    }
}
