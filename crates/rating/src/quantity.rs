//! Quantities are integers in base units; this module names the units.
//!
//! A quantity is a `u64` that is at most [`MAX_QUANTITY`], checked where a record comes in (intake), so that sums of two
//! never wrap.

use std::fmt;

/// The largest quantity of one record, in base units: what an Avro `long` holds.
pub const MAX_QUANTITY: u64 = i64::MAX as u64;

/// The base unit of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Data volume.
    Octets,
    /// Duration.
    Seconds,
    /// Short messages.
    Messages,
    /// Anything else that is counted.
    Units,
}

impl Unit {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Octets => "octets",
            Unit::Seconds => "seconds",
            Unit::Messages => "messages",
            Unit::Units => "units",
        }
    }

    /// The inverse of [`Unit::name`].
    pub fn parse(name: &str) -> Option<Unit> {
        [Unit::Octets, Unit::Seconds, Unit::Messages, Unit::Units].into_iter().find(|unit| unit.name() == name)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The unit in which a service is measured where the record does not say.
pub fn unit_of_service(service: &str) -> Unit {
    match service {
        "data" => Unit::Octets,
        "voice" => Unit::Seconds,
        "sms" => Unit::Messages,
        _ => Unit::Units,
    }
}
