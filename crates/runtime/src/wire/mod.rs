//! Wire formats: records in, messages out.

mod decode;
mod encode;
mod schema;

pub use decode::{CsvMapping, Decoded, Decoder, InputError, InputFormat, RawBatch, Splitter};
pub use encode::{Encoder, OutputFormat, SuspenseRecord, write_block};
pub use schema::Message;
