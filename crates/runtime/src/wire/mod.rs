//! Wire formats: records in, messages out.

mod decode;
mod encode;
mod schema;

pub use decode::{CsvMapping, Decoded, Decoder, InputError, InputFormat, RawBatch, Splitter};
pub use encode::{Encoder, OutputFormat, SuspenseRecord, block_frame};
pub use schema::Message;
