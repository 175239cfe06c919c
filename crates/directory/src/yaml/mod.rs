//! YAML as a tree in which every node knows where it was written.
//!
//! Owns the step from text to [`Node`]s. Scalars stay the text that was written: nothing is turned into a number, a date or a boolean here,
//! so `010` and `1e3` reach the reader of the model as they are and no price ever passes through a float. Anchors, aliases, tags, duplicate
//! keys and second documents are refused with their place. Does not know what the keys mean.

mod parse;

use std::borrow::Cow;

#[cfg(any(test, feature = "store"))]
pub(crate) use parse::parse;
pub(crate) use parse::{Definitions, parse_file};

use crate::source::Span;

/// A value and where it was written.
#[derive(Debug)]
pub(crate) struct Node<'s> {
    pub(crate) span: Span,
    pub(crate) value: Value<'s>,
}

/// What was written.
#[derive(Debug)]
pub(crate) enum Value<'s> {
    Scalar(Scalar<'s>),
    List(Vec<Node<'s>>),
    Map(Vec<Entry<'s>>),
    /// Something that has been reported already; readers pass over it in silence.
    Broken,
}

/// Text, as written.
#[derive(Debug, Clone)]
pub(crate) struct Scalar<'s> {
    pub(crate) text: Cow<'s, str>,
    /// Whether it stood in quotes or in a block, so that it can only be text.
    pub(crate) quoted: bool,
}

/// One key of a map with its value. Keys of a map are unique.
#[derive(Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) key: Cow<'s, str>,
    pub(crate) key_span: Span,
    pub(crate) value: Node<'s>,
}

impl Scalar<'_> {
    /// Whether this is the absence of a value: nothing, `~` or `null`, unquoted.
    pub(crate) fn is_null(&self) -> bool {
        !self.quoted && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node<'_> {
    /// Whether this is the absence of a value.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// What kind of value this is, as people say it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Broken => "something broken",
        }
    }
}
