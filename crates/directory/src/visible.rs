//! Foreign text on a terminal: shown as what it is, and never obeyed.
//!
//! A name may hold escape sequences that move the cursor, rename the window or hide what follows, and marks that reorder a line. What no reader
//! could see is written as its code, such as `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns a text that stays in its line: line breaks and tabs are written as their codes, too.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |hidden, out| out.extend(hidden.escape_debug()))
}

/// Returns several lines, with line breaks and tabs as they are.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let is_hidden = |found| !matches!(found, '\n' | '\t') && is_hidden(found);
    escaped(text, is_hidden, |hidden, out| out.extend(hidden.escape_debug()))
}

/// Returns a JSON text of the same meaning: such characters stand in strings only, where they have a code. Line breaks between values stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |found| found != '\n' && is_hidden(found);
    escaped(json, is_hidden, |hidden, out| {
        for unit in hidden.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Controls (C0, delete, C1), marks and overrides of direction, separators of lines, and what has no width or stands for another character.
/// Joiners have none either, but belong to the spelling of some languages.
fn is_hidden(found: char) -> bool {
    found.is_control()
        || matches!(found,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Nearly all text is plain, and this looks at many bytes at once.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain || !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for found in text.chars() {
        if is_hidden(found) { write(found, &mut out) } else { out.push(found) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_its_code() {
        for (text, shown) in [
            ("acme", "acme"),
            ("Zürich – 東京 \u{200c}\u{200d} ✓", "Zürich – 東京 \u{200c}\u{200d} ✓"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\u{7f}"),
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\0"),
            ("\u{202e}cba\u{2066}\u{2069}\u{200f}", "\\u{202e}cba\\u{2066}\\u{2069}\\u{200f}"),
            ("\u{2028}\u{feff}\u{e0041}\u{fdd0}", "\\u{2028}\\u{feff}\\u{e0041}\\u{fdd0}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u{1b}");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{1b}\n", "\u{9b}\u{e0041}ü"] });
        for text in [value.to_string(), format!("{value:#}\n")] {
            let shown = visible_json(&text);
            assert_eq!(visible_lines(&shown), shown);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
