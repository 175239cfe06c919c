//! Days and hours of time bands.

use std::ops::Range;

use super::ValueError;
use crate::diagnostic::Code;

/// Minutes from midnight to midnight of a band's clock.
pub const MINUTES_PER_DAY: u16 = 24 * 60;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Days of a week, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySet(u8);

impl DaySet {
    /// Every day.
    pub const ALL: DaySet = DaySet(0b111_1111);

    /// Whether the day is in it; 0 is Monday, 6 Sunday.
    pub fn contains(self, day: usize) -> bool {
        day < 7 && self.0 & (1 << day) != 0
    }

    /// As bits, Monday the lowest.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// `Mon`, for messages.
    pub(crate) fn name(day: usize) -> &'static str {
        DAYS.get(day).copied().unwrap_or("?")
    }
}

/// `Mon-Fri`, `Sat,Sun`, `Mon-Wed,Sat`; a range may run over the end of the week.
pub(crate) fn parse_days(text: &str) -> Result<DaySet, ValueError> {
    let malformed = || {
        ValueError::new(Code::BadBandTime, format!("\"{text}\" is not a set of days"))
            .help("write it like `Mon-Fri` or `Sat,Sun`")
    };
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim()).ok_or_else(malformed);
    let mut set = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for offset in 0..=count {
            let bit = 1 << ((first + offset) % 7);
            if set & bit != 0 {
                let name = DaySet::name((first + offset) % 7);
                return Err(ValueError::new(Code::BadBandTime, format!("\"{text}\" names {name} twice")));
            }
            set |= bit;
        }
    }
    Ok(DaySet(set))
}

/// `18:00-24:00` as minutes of the day, half-open.
pub(crate) fn parse_hours(text: &str) -> Result<Range<u16>, ValueError> {
    let malformed = || {
        ValueError::new(Code::BadBandTime, format!("\"{text}\" is not a range of hours"))
            .help("write it like `18:00-24:00`")
    };
    let (from, to) = text.split_once('-').ok_or_else(malformed)?;
    let minute = |text: &str| -> Option<u16> {
        let bytes = text.trim().as_bytes();
        let &[a, b, b':', c, d] = bytes else { return None };
        if ![a, b, c, d].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digit = |byte: u8| u16::from(byte - b'0');
        let (hour, minute) = (digit(a) * 10 + digit(b), digit(c) * 10 + digit(d));
        (minute < 60 && hour * 60 + minute <= MINUTES_PER_DAY).then_some(hour * 60 + minute)
    };
    let (from, to) = (minute(from).ok_or_else(malformed)?, minute(to).ok_or_else(malformed)?);
    if from >= to {
        return Err(ValueError::new(Code::BadBandTime, format!("\"{text}\" does not end after it begins"))
            .help("over midnight, write two bands: one until 24:00 and one from 00:00"));
    }
    Ok(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours() {
        assert_eq!(parse_days("Mon-Fri").unwrap().bits(), 0b001_1111);
        assert_eq!(parse_days("Sat,Sun").unwrap().bits(), 0b110_0000);
        assert_eq!(parse_days("Sun-Mon").unwrap().bits(), 0b100_0001);
        for text in ["", "monday", "Mon-", "Mon,Mon", "Mon-Wed,Tue", "mon"] {
            assert!(parse_days(text).is_err(), "{text}");
        }
        assert_eq!(parse_hours("18:00-24:00").unwrap(), 1080..1440);
        for text in [
            "",
            "18-24",
            "18:00",
            "24:00-18:00",
            "22:00-06:00",
            "18:00-24:01",
            "18:60-19:00",
            "10:00-10:00",
            "1:00-2:00",
        ] {
            assert!(parse_hours(text).is_err(), "{text}");
        }
    }
}
