//! Wire formats: records in, messages out.
//!
//! | module | owns |
//! | --- | --- |
//! | `decode`, `encode` | records of files, and the messages |
//! | `kept` | messages of output files, read back |
//! | `value` | values in Avro, and bytes, as JSON |
//! | `schema` | the contracts of the messages |
//! | `framing`, `fingerprint`, `incoming` | messages that say what their schema is (feature `registry`) |

mod decode;
mod encode;
#[cfg(feature = "registry")]
mod fingerprint;
#[cfg(feature = "registry")]
mod framing;
#[cfg(feature = "registry")]
mod incoming;
mod kept;
mod schema;
mod value;

pub use decode::{
    CsvMapping, Decoded, Decoder, Ending, InputError, InputFormat, RawBatch, Restart, Splitter, TakenBytes, Unfinished,
};
pub(crate) use decode::{HEAD_BYTES, Prefix, too_long};
#[cfg(feature = "registry")]
pub(crate) use encode::base64;
pub use encode::{
    CloudEvents, CommandOutcome, CommandReply, Encoder, Headers, Origin, OutputFormat, SuspenseRecord, block_frame,
};
#[cfg(feature = "registry")]
pub use fingerprint::Fingerprint;
#[cfg(feature = "registry")]
pub use framing::{Frame, Frames, Registration, SubjectError, subject};
#[cfg(feature = "registry")]
pub use incoming::{FramedDecoder, Limits, Prepared, RegistryUnreachable};
pub(crate) use kept::visit_kept;
pub use schema::{Contracts, Message};
#[cfg(feature = "registry")]
pub(crate) use value::of_avro;
pub use value::text_or_base64;
