//! State as bytes that can grow (ADR 41).
//!
//! A value consists of numbered fields. A field that is what it would be if it were missing is not written; one that a program does not know is passed over;
//! one that is missing has its default. So a program reads what earlier ones wrote, and a field can be added without a new format.
//!
//! | module | owns |
//! | --- | --- |
//! | `number` | integers in base 128, texts, bytes of a fixed length |
//! | `field` | what a field can hold, and how fields follow each other |
//! | `values` | the fields of everything that state consists of |
//! | `first_byte` | what says what follows |
//! | `rows` | rows of accounts and of the dictionary, one after the other |
//!
//! What is read is not trusted: bytes that are no such value are an error with its place, never a panic.

mod field;
pub mod first_byte;
mod number;
mod rows;
mod values;

use std::fmt;

use field::Value;
use rating::Standing;
use values::SaidOfAccount;

pub use first_byte::RowByte;
pub use rows::{RowReader, RowWriter};

/// Appends what the directory says of an account, to be sent to whoever owns the account: fields, up to the end.
pub fn write_said(standings: &[Standing], out: &mut Vec<u8>) {
    SaidOfAccount { standings: standings.to_vec() }.write(out);
}

/// Reads what the directory says of an account: all bytes.
///
/// # Errors
/// Bytes that say nothing of an account.
pub fn read_said(mut bytes: &[u8]) -> Result<Vec<Standing>, Corrupt> {
    let SaidOfAccount { standings } = Value::read(&mut bytes)?;
    match rating::timeline::ascend(&standings) {
        true => Ok(standings),
        false => Corrupt::new("instants that ascend", bytes),
    }
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What was expected.
    pub what: &'static str,
    /// How many bytes were left.
    pub left: usize,
}

impl Corrupt {
    fn new<T>(what: &'static str, input: &[u8]) -> Result<T, Corrupt> {
        Err(Corrupt { what, left: input.len() })
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored state is damaged: {} expected, {} bytes before the end", self.what, self.left)
    }
}

impl std::error::Error for Corrupt {}
