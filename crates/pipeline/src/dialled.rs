//! International prefixes: digits dialled in front of a country code, such as 00 and 011. They are no part of a number in international form, so
//! that a number with one would miss every zone and take the price of all the rest.

/// Prefixes that are doubted unless something else is said.
const DOUBTED: [&str; 2] = ["00", "011"];

/// Longest called number that is a short code, which has no prefix.
const MAX_SHORT_CODE: usize = 4;

/// Treatment of called numbers that begin with an international prefix. A plus is no prefix: it always goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InternationalPrefixes {
    /// A number that begins with 00 or 011 is doubted: which prefix a network uses is not known here.
    #[default]
    Doubted,
    /// These are taken away, the longest that fits; what begins with 00 or 011 and with none of them is doubted.
    Stripped(Box<[Box<str>]>),
    /// Numbers are taken as they are: zones have the prefixes.
    Kept,
}

impl InternationalPrefixes {
    /// Returns the number without its prefix.
    ///
    /// # Errors
    /// The prefix that is doubted.
    pub fn strip<'n>(&self, number: &'n str) -> Result<&'n str, &'static str> {
        if number.len() <= MAX_SHORT_CODE {
            return Ok(number);
        }
        let prefixes: &[Box<str>] = match self {
            InternationalPrefixes::Kept => return Ok(number),
            InternationalPrefixes::Doubted => &[],
            InternationalPrefixes::Stripped(prefixes) => prefixes,
        };
        let stripped =
            prefixes.iter().filter_map(|prefix| number.strip_prefix(&**prefix)).min_by_key(|rest| rest.len());
        match (stripped, DOUBTED.into_iter().find(|prefix| number.starts_with(prefix))) {
            // No country code begins with 0: another prefix is meant.
            (Some(rest), _) if !rest.is_empty() && !rest.starts_with('0') => Ok(rest),
            (Some(_) | None, Some(prefix)) => Err(prefix),
            (Some(_) | None, None) => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_stripped_or_doubted() {
        let stripped = |prefixes: &[&str]| {
            InternationalPrefixes::Stripped(prefixes.iter().map(|prefix| Box::from(*prefix)).collect())
        };
        let cases = [
            (InternationalPrefixes::Doubted, "00442079460000", Err("00")),
            (InternationalPrefixes::Doubted, "011442079460000", Err("011")),
            (InternationalPrefixes::Doubted, "0011442079460000", Err("00")),
            (InternationalPrefixes::Doubted, "02079460000", Ok("02079460000")),
            (InternationalPrefixes::Doubted, "000", Ok("000")),
            (InternationalPrefixes::Doubted, "442079460000", Ok("442079460000")),
            (InternationalPrefixes::Kept, "00442079460000", Ok("00442079460000")),
            (stripped(&["00"]), "00442079460000", Ok("442079460000")),
            (stripped(&["00"]), "011442079460000", Err("011")),
            (stripped(&["00", "011"]), "011442079460000", Ok("442079460000")),
            (stripped(&["00"]), "000442079460000", Err("00")),
            (stripped(&["00", "0011"]), "0011442079460000", Ok("442079460000")),
            (stripped(&["010"]), "010442079460000", Ok("442079460000")),
        ];
        for (prefixes, number, expected) in cases {
            assert_eq!(prefixes.strip(number), expected, "{number} with {prefixes:?}");
        }
    }
}
