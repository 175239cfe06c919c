//! Macros that store a type: by its fields, as another type, or as a number.

/// Stores a type as another one.
macro_rules! as_other {
    ($type:ty as $other:ty, |$value:ident| $to:expr, |$stored:ident| $from:expr, $what:literal) => {
        impl $crate::state::Stored for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let $value = self;
                let other: $other = $to;
                other.write(out);
            }

            fn read(input: &mut &[u8]) -> Result<$type, $crate::state::Corrupt> {
                let $stored = <$other as $crate::state::Stored>::read(input)?;
                let value: Option<$type> = $from;
                value.ok_or($crate::state::Corrupt { what: $what, left: input.len() })
            }
        }
    };
}

/// Stores an enumeration without fields as a small number.
macro_rules! as_number {
    ($type:ident, $what:literal, $($variant:ident = $number:literal),+) => {
        impl $crate::state::Stored for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $($type::$variant => $number,)+ });
            }

            fn read(input: &mut &[u8]) -> Result<$type, $crate::state::Corrupt> {
                match <u8 as $crate::state::Stored>::read(input)? {
                    $($number => Ok($type::$variant),)+
                    _ => Err($crate::state::Corrupt { what: $what, left: input.len() }),
                }
            }
        }
    };
}

/// Stores a record: its fields in the order written here. `read_before` reads the form that had no `later` fields.
macro_rules! record {
    ($type:ident { $($field:ident),+ $(,)? } later { $($later:ident),+ $(,)? }) => {
        $crate::state::record!($type { $($field,)+ $($later),+ });

        impl $type {
            fn read_before(input: &mut &[u8]) -> Result<$type, Corrupt> {
                Ok($type { $($field: Stored::read(input)?,)+ $($later: Default::default()),+ })
            }
        }
    };
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl Stored for $type {
            fn write(&self, out: &mut Vec<u8>) {
                // Destructured without `..`, so that a new field does not compile until it is stored.
                let $type { $($field),+ } = self;
                $($field.write(out);)+
            }

            fn read(input: &mut &[u8]) -> Result<$type, Corrupt> {
                Ok($type { $($field: Stored::read(input)?),+ })
            }
        }
    };
}

pub(crate) use {as_number, as_other, record};
