//! Passwords and the like.

use std::fmt;

/// A text that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being printed.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one who has to know.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns an address without the user and password that stand in front of its host, and without what stands behind `?` or `#`: people put
/// tokens there. What may be a part of a password counts as one.
pub fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let (hidden, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    match rest.find(['?', '#']).and_then(|at| rest.get(..=at)) {
        Some(shown) => format!("{scheme}{hidden}{shown}***"),
        None => format!("{scheme}{hidden}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_who_asks() {
        for (address, shown) in [
            ("http://host:1/path", "http://host:1/path"),
            ("host:9092", "host:9092"),
            ("http://user:hush@host/path", "http://***@host/path"),
            ("http://user:hu/sh@host", "http://***@host"),
            ("http://user:hu@sh@host", "http://***@host"),
            ("http://user:hu?sh@host", "http://***@host"),
            ("user:hush@host:9092", "***@host:9092"),
            ("http://host/?token=hush", "http://host/?***"),
            ("http://host#hush", "http://host#***"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(address), shown, "{address}");
        }
    }
}
