//! What a form of output can write: the kinds of fields that the schemas have.

use super::part::Part;
use rating::{Amount, Timestamp};

/// Name and value pairs.
pub(super) type Pairs<'p> = &'p [(Box<str>, Box<str>)];

/// Takes the fields of a message in the order of its schema.
pub(super) trait Sink {
    /// A text.
    fn text(&mut self, name: &'static str, value: &str);
    /// A text that may be absent.
    fn optional_text(&mut self, name: &'static str, value: Option<&str>);
    /// A text made of parts.
    fn joined(&mut self, name: &'static str, parts: &[Part<'_>]);
    /// A text made of parts that may be absent.
    fn optional_joined(&mut self, name: &'static str, parts: Option<&[Part<'_>]>);
    /// An integer (int and long are one on every wire).
    fn integer(&mut self, name: &'static str, value: i64);
    /// An integer that may be absent.
    fn optional_integer(&mut self, name: &'static str, value: Option<i64>);
    /// An amount of money.
    fn amount(&mut self, name: &'static str, value: Amount);
    /// An amount that may be absent.
    fn optional_amount(&mut self, name: &'static str, value: Option<Amount>);
    /// An instant.
    fn time(&mut self, name: &'static str, value: Timestamp);
    /// An instant that may be absent.
    fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>);
    /// Names and values.
    fn pairs(&mut self, name: &'static str, value: Pairs<'_>);
    /// Bytes as they arrived.
    fn bytes(&mut self, name: &'static str, value: &[u8]);
    /// Bytes that may be absent.
    fn optional_bytes(&mut self, name: &'static str, value: Option<&[u8]>);
    /// Fields that are all absent.
    fn absent(&mut self, names: &[&'static str]) {
        names.iter().for_each(|name| self.optional_text(name, None));
    }
    /// A list of records.
    fn list<T: Item>(&mut self, name: &'static str, items: &[T]);
    /// A list of texts made of parts.
    fn texts(&mut self, name: &'static str, texts: &[[Part<'_>; 3]]);
}

/// A record within a list.
pub(super) trait Item {
    /// Its fields, in the order of the schema.
    fn write<S: Sink>(&self, sink: &mut S);
}
