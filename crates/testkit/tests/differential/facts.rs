//! What happened, as short texts by what they are about: the form in which two sides are compared.

use num_rational::BigRational;
use num_traits::Signed;
use std::collections::{BTreeMap, BTreeSet};

/// Texts by subject; the order in which they were added does not count, how often they were does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    texts: BTreeMap<String, Vec<String>>,
    /// Exact sums before rounding, with the number of parts that were cut to ten decimal places.
    sums: BTreeMap<String, (BigRational, u32)>,
    /// How many usage charges there are.
    pub(crate) charges: u64,
}

impl Facts {
    pub(crate) fn add(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.texts.entry(subject.into()).or_default().push(text.into());
    }

    pub(crate) fn add_sum(&mut self, subject: impl Into<String>, sum: BigRational, parts: u32) {
        self.sums.insert(subject.into(), (sum, parts));
    }

    /// What differs, as lines that begin with `-` for what only the oracle says and `+` for what only the product says.
    pub(crate) fn differences(mut oracle: Facts, mut product: Facts) -> Vec<String> {
        let mut lines = Vec::new();
        let subjects: BTreeSet<String> = oracle.texts.keys().chain(product.texts.keys()).cloned().collect();
        for subject in subjects {
            let expected = oracle.texts.remove(&subject).unwrap_or_default();
            let mut actual = product.texts.remove(&subject).unwrap_or_default();
            let mut missing = Vec::new();
            for text in expected {
                match actual.iter().position(|other| *other == text) {
                    Some(position) => drop(actual.swap_remove(position)),
                    None => missing.push(text),
                }
            }
            if missing.is_empty() && actual.is_empty() {
                continue;
            }
            missing.sort();
            actual.sort();
            lines.push(subject);
            lines.extend(missing.iter().map(|text| format!("  - {text}")));
            lines.extend(actual.iter().map(|text| format!("  + {text}")));
        }
        for (subject, (exact, _)) in &oracle.sums {
            let Some((shown, parts)) = product.sums.get(subject) else {
                continue;
            };
            let unit = BigRational::new(1.into(), 10_000_000_000_u64.into());
            if (exact - shown).abs() > unit * BigRational::from_integer((*parts).into()) {
                lines.push(format!("{subject}\n  - sum of segments {exact}\n  + sum of segments {shown}"));
            }
        }
        lines
    }
}
