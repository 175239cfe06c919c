//! Fields: a number that says which and of what kind, then the content.

use crate::{Corrupt, number};

/// What follows the number of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One integer.
    Number,
    /// A length and as many bytes.
    Bytes,
}

/// What a field can hold.
pub(crate) trait Value: Sized {
    /// How it is written.
    const KIND: Kind;
    /// What a field means that is missing; `None` where it must not be.
    fn absent() -> Option<Self>;
    /// Returns whether it is what a missing field means, so that it need not be written.
    fn is_absent(&self) -> bool;
    /// Appends the content, without a length.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the content: one integer from the front, or all bytes that are left.
    ///
    /// # Errors
    /// Bytes that are no such value.
    fn read(input: &mut &[u8]) -> Result<Self, Corrupt>;
}

/// Appends a field, unless it is what it means if it is missing.
pub(crate) fn put<T: Value>(number: u8, value: &T, out: &mut Vec<u8>) {
    if value.is_absent() {
        return;
    }
    let kind = match T::KIND {
        Kind::Number => 0,
        Kind::Bytes => 1,
    };
    number::write(u128::from(number) << 1 | kind, out);
    match T::KIND {
        Kind::Number => value.write(out),
        Kind::Bytes => put_sized(out, |out| value.write(out)),
    }
}

/// Appends bytes behind their length, which is known only afterwards.
pub(crate) fn put_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    // Long contents are rare, and make room for their lengths.
    let mut digits = Vec::with_capacity(4);
    number::write(length as u128, &mut digits);
    out.splice(start..=start, digits);
}

/// The content of a field before it is read.
#[derive(Clone, Copy)]
pub(crate) struct Content<'i> {
    kind: Kind,
    bytes: &'i [u8],
}

impl Content<'_> {
    /// The value.
    pub(crate) fn read<T: Value>(self) -> Result<T, Corrupt> {
        if self.kind != T::KIND {
            return Corrupt::new("a field of another kind", self.bytes);
        }
        let mut rest = self.bytes;
        let value = T::read(&mut rest)?;
        if rest.is_empty() { Ok(value) } else { Corrupt::new("the end of a field", rest) }
    }
}

/// Takes a field from the front: its number and content.
pub(crate) fn take<'i>(input: &mut &'i [u8]) -> Result<(u64, Content<'i>), Corrupt> {
    let head = number::read(input)?;
    let number = u64::try_from(head >> 1).or(Corrupt::new("the number of a field", input))?;
    let content = match head & 1 {
        0 => {
            let start = *input;
            number::read(input)?;
            Content { kind: Kind::Number, bytes: start.get(..start.len() - input.len()).unwrap_or_default() }
        }
        _ => Content { kind: Kind::Bytes, bytes: number::take_sized(input)? },
    };
    Ok((number, content))
}

/// Gives a type its fields: `fields!(Type { 1: first, 2: second })`. A number is never used again for another field.
macro_rules! fields {
    ($type:ty { $($number:literal: $field:ident),+ $(,)? }) => {
        impl $crate::field::Value for $type {
            const KIND: $crate::field::Kind = $crate::field::Kind::Bytes;

            fn absent() -> Option<Self> {
                None
            }

            fn is_absent(&self) -> bool {
                false
            }

            fn write(&self, out: &mut Vec<u8>) {
                // Destructured without `..`, so that a new field does not compile until it is written.
                let Self { $($field),+ } = self;
                $($crate::field::put($number, $field, out);)+
            }

            fn read(input: &mut &[u8]) -> Result<Self, $crate::Corrupt> {
                $(let mut $field = $crate::field::Value::absent();)+
                while !input.is_empty() {
                    match $crate::field::take(input)? {
                        $(($number, content) => $field = Some(content.read()?),)+
                        // Written by a later program.
                        _ => {}
                    }
                }
                Ok(Self { $($field: $crate::field::present($field, stringify!($field), input)?),+ })
            }
        }
    };
}

/// A field that must not be missing.
pub(crate) fn present<T>(value: Option<T>, what: &'static str, input: &[u8]) -> Result<T, Corrupt> {
    value.map_or_else(|| Corrupt::new(what, input), Ok)
}

pub(crate) use fields;
