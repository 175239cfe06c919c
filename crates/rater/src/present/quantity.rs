//! Quantities for people: rounded to one decimal place where the unit is scaled. Exact figures are in the outputs and in `--json`.

use super::money::decimal;
use rating::Unit;
use rust_decimal::Decimal;

/// `8.0 MB`, `3 min 20 s`, `2 messages`.
pub(crate) fn quantity(unit: Unit, quantity: u128) -> String {
    match unit {
        Unit::Octets => octets(quantity),
        Unit::Seconds => seconds(quantity),
        Unit::Messages => counted(quantity, "message"),
        Unit::Units => counted(quantity, "unit"),
    }
}

/// The same without rounding: `4.123456 MB`.
pub(crate) fn exact(unit: Unit, quantity: u64) -> String {
    match unit {
        Unit::Octets => {
            let (word, size) = OCTETS.iter().rev().find(|(_, size)| *size <= quantity).copied().unwrap_or(("B", 1));
            format!("{} {word}", decimal(Decimal::from(quantity) / Decimal::from(size), 0))
        }
        Unit::Seconds | Unit::Messages | Unit::Units => self::quantity(unit, quantity.into()),
    }
}

/// What a unit price is for: `MB`, `100 KB`, `min`, `message`.
pub(crate) fn per(unit: Unit, units: u64) -> String {
    let words: &[(&str, u64)] = match unit {
        Unit::Octets => &OCTETS,
        Unit::Seconds => &[("s", 1), ("min", 60), ("h", 3600)],
        Unit::Messages => &[("message", 1)],
        Unit::Units => &[("unit", 1)],
    };
    let binary: &[(&str, u64)] = match unit {
        Unit::Octets => &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)],
        Unit::Seconds | Unit::Messages | Unit::Units => &[],
    };
    let whole = words.iter().chain(binary).find(|(_, size)| *size == units);
    whole.map_or_else(|| exact(unit, units), |(word, _)| (*word).to_owned())
}

/// Powers of 1000, up to where 64 bits end.
const OCTETS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("EB", 1_000_000_000_000_000_000),
];

fn counted(quantity: u128, word: &str) -> String {
    if quantity == 1 { format!("1 {word}") } else { format!("{quantity} {word}s") }
}

fn octets(quantity: u128) -> String {
    const WORDS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if quantity < 1000 {
        return format!("{quantity} B");
    }
    let mut size = 1000;
    for (at, word) in WORDS.iter().enumerate() {
        // Tenths, rounded to the nearest; 999.95 KB is 1.0 MB.
        let tenths = (quantity * 10 + size / 2) / size;
        if tenths < 10_000 || at + 1 == WORDS.len() {
            return format!("{}.{} {word}", tenths / 10, tenths % 10);
        }
        size *= 1000;
    }
    format!("{quantity} B")
}

fn seconds(quantity: u128) -> String {
    let (hours, minutes, seconds) = (quantity / 3600, quantity / 60 % 60, quantity % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, 0) => format!("{hours} h"),
        (hours, minutes, 0) => format!("{hours} h {minutes} min"),
        (hours, minutes, seconds) => format!("{hours} h {minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_scaled_by_their_unit() {
        let cases = [
            (Unit::Octets, 0, "0 B"),
            (Unit::Octets, 999, "999 B"),
            (Unit::Octets, 8_000_000, "8.0 MB"),
            (Unit::Octets, 999_949, "999.9 KB"),
            (Unit::Octets, 999_950, "1.0 MB"),
            (Unit::Octets, 1_250_000_000, "1.3 GB"),
            (Unit::Seconds, 59, "59 s"),
            (Unit::Seconds, 200, "3 min 20 s"),
            (Unit::Seconds, 7200, "2 h"),
            (Unit::Seconds, 7261, "2 h 1 min 1 s"),
            (Unit::Messages, 1, "1 message"),
            (Unit::Units, 12, "12 units"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(quantity(unit, value), expected);
        }
        assert_eq!(quantity(Unit::Octets, u128::from(u64::MAX)), "18.4 EB");
        let exact = [(4_000_000, "4 MB"), (4_123_456, "4.123456 MB"), (0, "0 B"), (1001, "1.001 KB")];
        for (value, expected) in exact {
            assert_eq!(super::exact(Unit::Octets, value), expected);
        }
        let per = [(1_000_000, "MB"), (100_000, "100 KB"), (1 << 20, "MiB")];
        for (units, expected) in per {
            assert_eq!(super::per(Unit::Octets, units), expected);
        }
        assert_eq!(super::per(Unit::Seconds, 60), "min");
    }
}
