//! Wire formats: records in, messages out.

mod decode;
mod encode;
mod schema;

pub use decode::{CsvMapping, Decoded, Decoder, InputError, InputFormat, RawBatch, Splitter};
pub use encode::{CommandOutcome, CommandReply, Encoder, Origin, OutputFormat, SuspenseRecord, block_frame};
pub use schema::Message;
