//! "Did you mean": the closest of the names that would have been right.

/// The candidate that was most probably meant: at most one edit per three characters away, the closest first, then the
/// alphabetically first, so that the answer does not depend on the order of candidates.
pub(crate) fn closest<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Longer names are not compared: the work is quadratic, and names of that length are not misspelt but pasted.
    const LONGEST: usize = 64;
    let wrong: Vec<char> = wrong.chars().collect();
    if wrong.is_empty() || wrong.len() > LONGEST {
        return None;
    }
    let allowed = (wrong.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST && candidate.len().abs_diff(wrong.len()) <= allowed)
        .map(|candidate| (distance(&wrong, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) from one to the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let zones = ["uk", "uk-net15", "france", "root"];
        assert_eq!(closest("uk-nett15", zones), Some("uk-net15"));
        assert_eq!(closest("uk-ent15", zones), Some("uk-net15"));
        assert_eq!(closest("rot", zones), Some("root"));
        assert_eq!(closest("germany", zones), None);
        assert_eq!(closest("", zones), None);
    }
}
