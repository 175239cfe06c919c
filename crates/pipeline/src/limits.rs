//! Limits of quantity: what one record of a service may measure before it is doubted (`implausible_quantity`).

use rating::{Unit, UsageRecord};

/// Largest quantity of one data record, unless said otherwise: 1 PB, 1 Gbit/s for three months.
pub const MAX_DATA_OCTETS: u64 = 1_000_000_000_000_000;

/// Longest voice record, unless said otherwise: 31 days.
pub const MAX_VOICE_SECONDS: u64 = 31 * 86_400;

/// Most messages of one SMS record, unless said otherwise.
pub const MAX_SMS_MESSAGES: u64 = 1_000_000;

/// Longest record of any other service measured in seconds, unless said otherwise: 366 days.
pub const MAX_SECONDS: u64 = 366 * 86_400;

/// Largest quantity of any other service, unless said otherwise.
pub const MAX_UNITS: u64 = 1_000_000_000_000;

/// A limit that was set for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityLimit {
    /// The service.
    pub service: Box<str>,
    /// The largest quantity that is taken, in base units.
    pub quantity: u64,
    /// The unit that the limit counts in; `None` for whatever unit a record has.
    pub unit: Option<Unit>,
}

/// Limits of quantity by service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityLimits {
    set: Vec<QuantityLimit>,
    has_defaults: bool,
}

impl QuantityLimits {
    /// The default limits with these in place of them; a later one of a service replaces an earlier one.
    pub fn new(set: impl IntoIterator<Item = QuantityLimit>) -> QuantityLimits {
        QuantityLimits { set: set.into_iter().collect(), has_defaults: true }
    }

    /// No limit at all, for a rating of hypothetical usage.
    pub fn none() -> QuantityLimits {
        QuantityLimits { set: Vec::new(), has_defaults: false }
    }

    /// The largest quantity of a record's service and unit.
    pub fn of(&self, record: &UsageRecord) -> u64 {
        let is_meant = |limit: &&QuantityLimit| {
            limit.service == record.service && limit.unit.is_none_or(|unit| unit == record.unit)
        };
        match self.set.iter().rev().find(is_meant) {
            Some(limit) => limit.quantity,
            None if self.has_defaults => default_limit(record),
            None => u64::MAX,
        }
    }
}

fn default_limit(record: &UsageRecord) -> u64 {
    match (&*record.service, record.unit) {
        ("voice", Unit::Seconds) => MAX_VOICE_SECONDS,
        (_, Unit::Octets) => MAX_DATA_OCTETS,
        (_, Unit::Messages) => MAX_SMS_MESSAGES,
        (_, Unit::Seconds) => MAX_SECONDS,
        (_, Unit::Units) => MAX_UNITS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rating::Timestamp;

    #[test]
    fn the_last_limit_of_a_service_and_unit_counts() {
        let limit = |service: &str, quantity, unit| QuantityLimit { service: service.into(), quantity, unit };
        let limits = QuantityLimits::new([
            limit("data", 5, Some(Unit::Octets)),
            limit("data", 7, Some(Unit::Octets)),
            limit("steps", 3, None),
        ]);
        let cases = [
            ("data", Unit::Octets, 7),
            ("data", Unit::Units, MAX_UNITS),
            ("steps", Unit::Seconds, 3),
            ("voice", Unit::Seconds, MAX_VOICE_SECONDS),
            ("uptime", Unit::Seconds, MAX_SECONDS),
            ("sms", Unit::Messages, MAX_SMS_MESSAGES),
            ("water", Unit::Units, MAX_UNITS),
        ];
        for (service, unit, expected) in cases {
            let record = UsageRecord { unit, ..UsageRecord::new("a", "s", service, Timestamp::EPOCH) };
            assert_eq!(limits.of(&record), expected, "{service} in {unit}");
        }
    }
}
