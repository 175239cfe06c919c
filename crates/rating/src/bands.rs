//! Time bands: the parts into which the bands of a week cut a call (rule 13).
//!
//! A call of a month over half-hour bands has 1,488 parts, and a charge lists them all as long as they are few. Beyond [`MAX_LISTED`] parts they
//! are summed up by band, so that neither memory nor a message grows with the length of a call. The amounts are the same: a part is priced by
//! integers over one denominator, and only the sum is rounded (rule 11).

use crate::calendar::{TimeZone, Timestamp};
use crate::rate::WEEK_MINUTES;
use crate::reason::SuspenseReason;
use smallvec::SmallVec;

/// Most parts of a call that a charge lists one by one, as they follow each other: five weeks of hourly bands are 840.
const MAX_LISTED: usize = 1000;

/// Most parts that are followed at all, more than a year of hourly bands: it bounds the time that a record takes.
const MAX_FOLLOWED: usize = 10_000;

/// Units of a call in one band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Position of the band.
    pub(crate) band: usize,
    /// Units used.
    pub(crate) quantity: u64,
    /// Units newly billed.
    pub(crate) billable: u64,
}

/// The parts of a call; nearly always one or two.
pub(crate) type Parts = SmallVec<[Part; 2]>;

/// Units that follow each other in time, a second each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    /// Start of the first newly billed increment.
    pub(crate) start: Timestamp,
    /// Rating increment in seconds; at least 1.
    pub(crate) increment: u64,
    /// Units used.
    pub(crate) quantity: u64,
    /// Units newly billed, in whole increments but for a minimum.
    pub(crate) billable: u64,
}

impl Timed {
    /// Cuts the units into parts: each increment belongs to the band in which it starts.
    ///
    /// # Errors
    /// `duration_too_long` beyond [`MAX_FOLLOWED`] parts; `amount_overflow` beyond the calendar.
    pub(crate) fn over(self, zone: &TimeZone, week: &[(u16, u8)]) -> Result<Parts, SuspenseReason> {
        self.listed_up_to(MAX_LISTED, zone, week)
    }

    fn listed_up_to(self, max_listed: usize, zone: &TimeZone, week: &[(u16, u8)]) -> Result<Parts, SuspenseReason> {
        let step_ms = i128::from(self.increment) * 1000;
        let (mut at, mut quantity, mut units) = (self.start, self.quantity, self.billable);
        let mut parts = Collected { parts: Parts::new(), max_listed, is_summed: false };
        for _ in 0..MAX_FOLLOWED {
            let (band, boundary) = band_at(zone, week, at).ok_or(SuspenseReason::AmountOverflow)?;
            let to_boundary = i128::from(boundary.millis()) - i128::from(at.millis());
            let increments = (to_boundary + step_ms - 1) / step_ms;
            let stretch = increments.saturating_mul(i128::from(self.increment));
            let billable = u64::try_from(stretch).unwrap_or(u64::MAX).min(units);
            units -= billable;
            let used = if units == 0 { quantity } else { quantity.min(billable) };
            quantity -= used;
            parts.add(Part { band, quantity: used, billable });
            if units == 0 {
                return Ok(parts.parts);
            }
            at = at.plus_seconds(billable).ok_or(SuspenseReason::AmountOverflow)?;
        }
        Err(SuspenseReason::DurationTooLong)
    }
}

/// Returns the one part of units that do not follow each other in time: all are in the band of their event time (detail e).
///
/// # Errors
/// `amount_overflow` beyond the calendar.
pub(crate) fn at_once(
    zone: &TimeZone,
    week: &[(u16, u8)],
    at: Timestamp,
    quantity: u64,
    billable: u64,
) -> Result<Parts, SuspenseReason> {
    let (band, _) = band_at(zone, week, at).ok_or(SuspenseReason::AmountOverflow)?;
    Ok(SmallVec::from_elem(Part { band, quantity, billable }, 1))
}

/// Parts so far: as they follow each other, or one for each band in the order in which the bands were met.
struct Collected {
    parts: Parts,
    max_listed: usize,
    is_summed: bool,
}

impl Collected {
    fn add(&mut self, part: Part) {
        if !self.is_summed && self.parts.len() == self.max_listed {
            self.is_summed = true;
            for listed in std::mem::take(&mut self.parts) {
                self.sum(listed);
            }
        }
        if self.is_summed { self.sum(part) } else { self.parts.push(part) }
    }

    fn sum(&mut self, part: Part) {
        match self.parts.iter_mut().find(|sum| sum.band == part.band) {
            // Neither sum exceeds the units of the call.
            Some(sum) => {
                sum.quantity += part.quantity;
                sum.billable += part.billable;
            }
            None => self.parts.push(part),
        }
    }
}

/// The band that holds an instant, and the next instant at which another may begin: the end of the range, or a change of the zone's offset.
fn band_at(zone: &TimeZone, week: &[(u16, u8)], at: Timestamp) -> Option<(usize, Timestamp)> {
    let instant = at.to_jiff()?;
    let local = zone.jiff().to_datetime(instant);
    let day = u16::try_from(local.weekday().to_monday_zero_offset()).ok()?;
    let minute = day * 1440 + u16::try_from(local.hour()).ok()? * 60 + u16::try_from(local.minute()).ok()?;
    let position = week.partition_point(|(from, _)| *from <= minute).checked_sub(1)?;
    let (_, band) = week.get(position)?;
    let end = week.get(position + 1).map_or(WEEK_MINUTES, |(from, _)| *from);
    // Local time runs with the instant up to the next change of offset, so the distance to the end is exact until there.
    let into_minute = i64::from(local.second()) * 1000 + i64::from(local.subsec_nanosecond()) / 1_000_000;
    let to_end = i64::from(end - minute) * 60_000 - into_minute;
    let mut boundary = at.millis().checked_add(to_end)?;
    if let Some(transition) = zone.jiff().following(instant).next() {
        boundary = boundary.min(transition.timestamp().as_millisecond());
    }
    Some((usize::from(*band), Timestamp::from_millis(boundary)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const DAY_MINUTES: u16 = 1440;

    /// Numbers of a seed (SplitMix64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % limit
        }
    }

    /// A week of ranges between random minutes, with random bands.
    fn random_week(numbers: &mut Numbers, ranges: u64) -> Vec<(u16, u8)> {
        let mut starts: Vec<u16> =
            (1..ranges).map(|_| u16::try_from(numbers.below(u64::from(WEEK_MINUTES))).unwrap()).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        starts.into_iter().map(|start| (start, u8::try_from(numbers.below(4)).unwrap())).collect()
    }

    /// Bands of the same length one behind the other, as many as a day holds.
    fn every(minutes: u16) -> Vec<(u16, u8)> {
        let bands = DAY_MINUTES / minutes;
        (0..WEEK_MINUTES / minutes).map(|at| (at * minutes, u8::try_from(at % bands).unwrap())).collect()
    }

    /// Units of each band, by looking at every increment for itself.
    fn one_by_one(timed: Timed, zone: &TimeZone, week: &[(u16, u8)]) -> BTreeMap<usize, u64> {
        let mut sums = BTreeMap::new();
        let mut done = 0;
        while done < timed.billable {
            let local = zone.jiff().to_datetime(timed.start.plus_seconds(done).unwrap().to_jiff().unwrap());
            let day = u16::try_from(local.weekday().to_monday_zero_offset()).unwrap();
            let minute =
                day * DAY_MINUTES + local.hour().unsigned_abs() as u16 * 60 + local.minute().unsigned_abs() as u16;
            let (_, band) = *week.iter().rev().find(|(from, _)| *from <= minute).unwrap();
            let step = timed.increment.min(timed.billable - done);
            *sums.entry(usize::from(band)).or_default() += step;
            done += step;
        }
        sums
    }

    fn by_band(parts: &Parts, units: impl Fn(&Part) -> u64) -> BTreeMap<usize, u64> {
        let mut sums = BTreeMap::new();
        for part in parts.iter().filter(|part| units(part) > 0) {
            *sums.entry(part.band).or_default() += units(part);
        }
        sums
    }

    #[test]
    fn parts_are_those_of_every_increment_however_many_are_listed() {
        for seed in 0..2_000 {
            let mut numbers = Numbers(seed);
            let zone = ["UTC", "Europe/London", "Australia/Lord_Howe", "America/New_York"][numbers.below(4) as usize];
            let zone = TimeZone::named(zone).unwrap();
            let ranges = 1 + numbers.below(60);
            let week = random_week(&mut numbers, ranges);
            let increment = [1, 7, 60, 900, 3600, 100_000][numbers.below(6) as usize];
            let billable = increment * (1 + numbers.below(400));
            let quantity = billable - numbers.below(increment);
            // In spring and autumn, where offsets change.
            let start = 1_772_000_000_000 + i64::try_from(numbers.below(20_000_000_000)).unwrap();
            let timed = Timed { start: Timestamp::from_millis(start), increment, quantity, billable };
            let listed = timed.over(&zone, &week).unwrap();
            let context = format!("seed {seed}: {timed:?} in {} over {week:?}", zone.name());
            assert_eq!(by_band(&listed, |part| part.billable), one_by_one(timed, &zone, &week), "{context}");
            assert_eq!(listed.iter().map(|part| part.quantity).sum::<u64>(), quantity, "{context}");
            for max_listed in [0, 1, 2, 5, 40] {
                let parts = timed.listed_up_to(max_listed, &zone, &week).unwrap();
                if listed.len() <= max_listed {
                    assert_eq!(parts, listed, "{context}");
                    continue;
                }
                assert!(parts.len() <= 4, "{context}: {parts:?}");
                assert_eq!(parts[0].band, listed[0].band, "{context}: the connect fee is that of the first");
                assert_eq!(by_band(&parts, |part| part.billable), by_band(&listed, |part| part.billable), "{context}");
                assert_eq!(by_band(&parts, |part| part.quantity), by_band(&listed, |part| part.quantity), "{context}");
            }
        }
    }

    #[test]
    fn parts_do_not_grow_with_the_length_of_a_call() {
        let zone = TimeZone::named("Europe/London").unwrap();
        let day = 86_400;
        // Minutes of a band, seconds of a call, parts.
        let cases = [
            (360, 35 * day, Ok(140)),
            (60, 35 * day, Ok(840)),
            (60, 366 * day, Ok(24)),
            (30, 31 * day, Ok(48)),
            (30, 208 * day, Ok(48)),
            (30, 366 * day, Err(SuspenseReason::DurationTooLong)),
            (1440, 3650 * day, Ok(1)),
            (1440, i64::MAX as u64 / 1000, Err(SuspenseReason::DurationTooLong)),
        ];
        for (minutes, seconds, expected) in cases {
            let start = Timestamp::parse("2026-01-05T00:00:00Z").unwrap();
            let timed = Timed { start, increment: 1, quantity: seconds, billable: seconds };
            let parts = timed.over(&zone, &every(minutes)).map(|parts| parts.len());
            // Where the clocks change, a part is cut in two.
            let is_close = |parts: usize, expected: usize| (expected..=expected + 2).contains(&parts);
            let is_right = match (&parts, &expected) {
                (Ok(parts), Ok(expected)) => is_close(*parts, *expected),
                (parts, expected) => parts == expected,
            };
            assert!(is_right, "bands of {minutes} minutes, {seconds} s: {parts:?}, not {expected:?}");
        }
    }
}
