//! Time as values: instants, calendar months and lengths in a zone of time. There is no clock here.

use jiff::tz;
use std::fmt;

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// Later than any event.
    pub const FAR_FUTURE: Timestamp = Timestamp(i64::MAX);
    /// The first instant accepted from outside.
    pub const EARLIEST: Timestamp = Timestamp(0);
    /// The first instant no longer accepted from outside: 2200-01-01T00:00:00Z.
    pub const LATEST: Timestamp = Timestamp(7_258_118_400_000);

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 with an offset; fractions below a millisecond are refused.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        (instant.as_nanosecond() % 1_000_000 == 0).then(|| Timestamp(instant.as_millisecond()))
    }

    /// Parses RFC 3339 with an offset; fractions below a millisecond are cut off.
    pub fn parse_cut(text: &str) -> Option<Timestamp> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).ok().map(Timestamp)
    }

    /// Whether an outside party may name this instant (1970 up to 2200): keeps calendar arithmetic in range.
    pub fn is_plausible(self) -> bool {
        (Timestamp::EARLIEST..Timestamp::LATEST).contains(&self)
    }

    /// This instant plus a number of seconds; `None` on overflow.
    pub fn plus_seconds(self, seconds: u64) -> Option<Timestamp> {
        self.0.checked_add(i64::try_from(seconds).ok()?.checked_mul(1000)?).map(Timestamp)
    }

    pub(crate) fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(self.0).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(instant) => instant.fmt(f),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A zone of time as a value, taken from the database compiled into the program, so that a price does not depend on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    zone: tz::TimeZone,
    is_utc: bool,
}

impl TimeZone {
    /// Coordinated universal time.
    pub fn utc() -> TimeZone {
        TimeZone { zone: tz::TimeZone::UTC, is_utc: true }
    }

    /// An IANA name such as `Europe/London`; `None` if the compiled-in database has no such zone.
    pub fn named(name: &str) -> Option<TimeZone> {
        if name == "UTC" {
            return Some(TimeZone::utc());
        }
        let zone = tz::TimeZoneDatabase::bundled().get(name).ok()?;
        Some(TimeZone { zone, is_utc: false })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        if self.is_utc { "UTC" } else { self.zone.iana_name().unwrap_or("UTC") }
    }

    pub(crate) fn jiff(&self) -> &tz::TimeZone {
        &self.zone
    }

    /// The calendar month that holds the instant (detail b).
    pub fn month_of(&self, instant: Timestamp) -> Month {
        if self.is_utc {
            return Month::of_days(instant.0.div_euclid(86_400_000));
        }
        let date = instant.to_jiff().map(|at| self.zone.to_datetime(at).date());
        date.map_or(Month(0), |date| Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1))
    }

    /// `start` plus a calendar length counted in this zone; `None` beyond the range of the calendar.
    ///
    /// Months keep the day where it exists (31 Jan + 1 month = 28 Feb, case 9).
    pub fn plus(&self, start: Timestamp, length: Length) -> Option<Timestamp> {
        if let Length::Hours(hours) = length {
            return start.plus_seconds(u64::from(hours) * 3600);
        }
        let zoned = start.to_jiff()?.to_zoned(self.zone.clone());
        let span = match length {
            Length::Months(months) => jiff::Span::new().try_months(months),
            Length::Days(days) => jiff::Span::new().try_days(days),
            Length::Hours(hours) => jiff::Span::new().try_hours(hours),
        };
        zoned.checked_add(span.ok()?).ok().map(|end| Timestamp(end.timestamp().as_millisecond()))
    }
}

/// A calendar month: months since year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(pub i32);

impl Month {
    /// The month that holds a day counted from 1970-01-01, in the proleptic Gregorian calendar.
    fn of_days(days: i64) -> Month {
        // Days are counted from 1 March of year 0, so that the leap day ends a year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let months = (era * 400 + year_of_era) * 12 + march_month + 2;
        Month(i32::try_from(months).unwrap_or(i32::MAX))
    }

    /// Returns whether the month is over at an instant, wherever it is counted: no zone is two days apart from UTC.
    pub fn is_over(self, instant: Timestamp) -> bool {
        Month::of_days(instant.0.div_euclid(86_400_000) - 2) > self
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// A calendar length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Calendar months (12 to a year).
    Months(u32),
    /// Calendar days (7 to a week).
    Days(u32),
    /// Exact hours.
    Hours(u32),
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Months(n) => write!(f, "{n} months"),
            Length::Days(n) => write!(f, "{n} days"),
            Length::Hours(n) => write!(f, "{n} hours"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_in_utc_agree_with_the_calendar_library() {
        let reference = |instant: Timestamp| {
            let date = tz::TimeZone::UTC.to_datetime(instant.to_jiff().unwrap()).date();
            Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
        };
        for day in (0..84_000).step_by(7) {
            let instant = Timestamp::from_millis(day * 86_400_000 + day % 86_400_000);
            assert_eq!(TimeZone::utc().month_of(instant), reference(instant), "{instant}");
        }
    }

    #[test]
    fn lengths_keep_the_day_where_it_exists() {
        let start = Timestamp::parse("2026-01-31T10:00:00Z").unwrap();
        let end = TimeZone::utc().plus(start, Length::Months(1)).unwrap();
        assert_eq!(end.to_string(), "2026-02-28T10:00:00Z");
        let london = TimeZone::named("Europe/London").unwrap();
        let start = Timestamp::parse("2026-03-28T12:00:00Z").unwrap();
        assert_eq!(london.plus(start, Length::Days(1)).unwrap().to_string(), "2026-03-29T11:00:00Z");
        assert_eq!(london.plus(start, Length::Hours(24)).unwrap().to_string(), "2026-03-29T12:00:00Z");
    }
}
