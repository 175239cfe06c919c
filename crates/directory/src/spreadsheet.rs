//! Text in CSV that people open with a spreadsheet: what begins like a formula is not one.
//!
//! A cell with such a text begins with an apostrophe, which whoever reads the file takes away again. Apostrophes that stand in front of such a
//! beginning count as its beginning, so that every text is read as it was written. Numbers are written as they are.

use std::borrow::Cow;

/// Beginnings of a formula in spreadsheets, and what they skip in front of one (OWASP, "CSV Injection"), in ASCII and in full width.
const BEGINNINGS: [&str; 11] = ["=", "+", "-", "@", "\t", "\r", "\n", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}"];

/// Returns true if a text would be taken for a formula.
pub fn is_formula(text: &[u8]) -> bool {
    // An empty cell is none.
    let Some(first) = text.first() else { return false };
    // Nearly all cells begin with a letter or a digit.
    if first.is_ascii_alphanumeric() {
        return false;
    }
    let marks = text.iter().take_while(|byte| **byte == b'\'').count();
    let rest = &text[marks..];
    BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning.as_bytes()))
}

/// Returns the text as a cell that is none.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if is_formula(text.as_bytes()) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Returns the text that a cell was made from.
pub fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text.as_bytes())).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_marked_and_read_back() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+44", "'+44"),
            ("-meter", "'-meter"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\n=1", "'\n=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("'=1", "''=1"),
            ("''-1", "'''-1"),
            ("'quoted'", "'quoted'"),
            ("'", "'"),
            ("", ""),
            (" =1", " =1"),
            ("a=1", "a=1"),
            ("1-1", "1-1"),
            ("(=1)", "(=1)"),
        ] {
            assert_eq!(guarded(text), cell);
            assert_eq!(unguarded(cell), text);
        }
        // Numbers were never texts.
        assert_eq!(unguarded("-0.30"), "-0.30");
    }
}
