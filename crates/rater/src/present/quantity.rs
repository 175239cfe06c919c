//! Quantities for people: rounded to one decimal place where the unit is scaled. Exact figures are in the outputs and in `--json`.

use rating::Unit;

/// `8.0 MB`, `3 min 20 s`, `2 messages`.
pub(crate) fn quantity(unit: Unit, quantity: u128) -> String {
    match unit {
        Unit::Octets => octets(quantity),
        Unit::Seconds => seconds(quantity),
        Unit::Messages => counted(quantity, "message"),
        Unit::Units => counted(quantity, "unit"),
    }
}

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
    }
}
