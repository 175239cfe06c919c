//! Texts made of several parts (identifiers), written where they belong without being put together first.

use super::text;

/// A part of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'p> {
    /// As it is.
    Text(&'p str),
    /// Decimal digits.
    Number(u64),
    /// 32 hexadecimal digits.
    Hex(u128),
}

/// Bytes of all parts together.
pub(super) fn length(parts: &[Part<'_>]) -> usize {
    let of = |part: &Part<'_>| match part {
        Part::Text(text) => text.len(),
        Part::Number(number) => number.checked_ilog10().map_or(1, |power| power as usize + 1),
        Part::Hex(_) => 32,
    };
    parts.iter().map(of).sum()
}

/// Appends all parts, texts by `text`: numbers need no escaping.
pub(super) fn write(parts: &[Part<'_>], out: &mut Vec<u8>, text: impl Fn(&mut Vec<u8>, &str)) {
    for part in parts {
        match part {
            Part::Text(part) => text(out, part),
            Part::Number(number) => text::integer(*number, |digits| out.extend_from_slice(digits)),
            Part::Hex(number) => out.extend_from_slice(&text::hex(*number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_what_is_written() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, 999_999_999_999_999_999, u64::MAX] {
            let parts = [Part::Text("naïve:"), Part::Number(number), Part::Text(""), Part::Hex(u128::from(number))];
            let mut out = Vec::new();
            write(&parts, &mut out, |out, text| out.extend_from_slice(text.as_bytes()));
            assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("naïve:{number}{:032x}", u128::from(number)));
            assert_eq!(length(&parts), out.len());
        }
    }
}
