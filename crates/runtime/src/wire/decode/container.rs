//! Avro container files: the header, and blocks of records.

use super::InputError;
use super::avro::{self, Plan, items_of};
use super::source::Source;
use super::split::{Ending, RawBatch, Unfinished};
use std::io::Read;

/// Largest block of a container.
const MAX_BLOCK_BYTES: usize = 256 << 20;
/// Largest header of a container: a schema and little else.
const MAX_HEADER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: Plan,
    codec: Codec,
    sync: [u8; 16],
    block: Vec<u8>,
    /// Where the block begins in the input.
    block_at: u64,
    /// Start of the next record in the block, and how many are left.
    next: usize,
    left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Codec {
    Null,
    Deflate,
}

/// What came of looking for the next record.
#[derive(Debug)]
pub(super) enum Found {
    /// It was appended.
    Record,
    /// The input ends behind the record before.
    End,
    /// The input ends within a block.
    Cut(Unfinished),
}

impl Container {
    pub(super) fn open<R: Read>(source: &mut Source<R>, ending: Ending) -> Result<Container, InputError> {
        let broken =
            |source: &Source<R>, what: &str| InputError::Container { at: source.consumed(), what: what.to_owned() };
        // The header is small; it is looked for in ever larger pieces of the input.
        let mut wanted = 4096;
        loop {
            let is_all = !source.need(wanted)?;
            if is_all && ending == Ending::MayGrow && b"Obj\x01".starts_with(source.ahead()) {
                return Err(InputError::Unfinished(Unfinished { place: 1, bytes: source.ahead().len() as u64 }));
            }
            if !source.ahead().starts_with(b"Obj\x01") {
                return Err(broken(source, "is not an Avro container"));
            }
            let mut rest = source.ahead().get(4..).unwrap_or_default();
            let before = source.ahead().len();
            if let Some((schema, codec, sync)) = header(&mut rest) {
                let length = before - rest.len();
                let plan = Plan::new(&schema).map_err(|what| InputError::Container { at: source.consumed(), what })?;
                let codec = match codec.as_str() {
                    "null" => Codec::Null,
                    "deflate" => Codec::Deflate,
                    other => {
                        let what = format!("codec \"{other}\" is not supported; null and deflate are");
                        return Err(InputError::Container { at: source.consumed(), what });
                    }
                };
                source.consume(length);
                return Ok(Container { plan, codec, sync, block: Vec::new(), block_at: 0, next: 0, left: 0 });
            }
            if is_all && ending == Ending::MayGrow {
                return Err(InputError::Unfinished(Unfinished { place: 1, bytes: source.ahead().len() as u64 }));
            }
            if is_all || wanted >= MAX_HEADER_BYTES {
                return Err(broken(source, "the header of the container is broken"));
            }
            wanted *= 4;
        }
    }

    pub(super) fn push_record<R: Read>(
        &mut self,
        source: &mut Source<R>,
        ending: Ending,
        place: &mut u64,
        batch: &mut RawBatch,
    ) -> Result<Found, InputError> {
        while self.left == 0 {
            match self.read_block(source, *place, ending)? {
                Found::Record => {}
                end => return Ok(end),
            }
        }
        let rest = self.block.get(self.next..).unwrap_or_default();
        let length = self.plan.record_length(rest).filter(|length| *length > 0);
        *place += 1;
        self.left -= 1;
        match length {
            Some(length) => {
                batch.push(rest.get(..length).unwrap_or_default(), *place);
                self.next += length;
                if self.left == 0 && self.next != self.block.len() {
                    return Err(self.broken("bytes follow the last record of a block"));
                }
                Ok(Found::Record)
            }
            None => Err(self.broken(&format!("record {place} is not what the schema says"))),
        }
    }

    fn broken(&self, what: &str) -> InputError {
        InputError::Container { at: self.block_at, what: format!("{what} (in the block that begins here)") }
    }

    /// Reads the next block.
    fn read_block<R: Read>(&mut self, source: &mut Source<R>, place: u64, ending: Ending) -> Result<Found, InputError> {
        if !source.need(1)? {
            return Ok(Found::End);
        }
        let at = source.consumed();
        let broken = |what: &str| InputError::Container { at, what: what.to_owned() };
        let cut = |source: &Source<R>| match ending {
            Ending::MayGrow => Ok(Found::Cut(Unfinished { place: place + 1, bytes: source.ahead().len() as u64 })),
            Ending::IsComplete => Err(broken("a block is cut off")),
        };
        let is_short = !source.need(20)?;
        let mut rest = source.ahead();
        let before = rest.len();
        let numbers = avro::long(&mut rest).zip(avro::long(&mut rest));
        let head = before - rest.len();
        let Some((count, size)) = numbers else {
            return if is_short { cut(source) } else { Err(broken("a block is cut off")) };
        };
        let count = u64::try_from(count).map_err(|_| broken("a block has a negative count"))?;
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BLOCK_BYTES);
        let size = size.ok_or_else(|| broken("a block is negative or larger than 256 MiB"))?;
        if !source.need(head + size + self.sync.len())? {
            return cut(source);
        }
        let (data, after) = source.ahead().get(head..).unwrap_or_default().split_at(size);
        if !after.starts_with(&self.sync) {
            return Err(broken("a block does not end with the marker of the file"));
        }
        self.block.clear();
        match self.codec {
            Codec::Null => self.block.extend_from_slice(data),
            Codec::Deflate => {
                self.block = miniz_oxide::inflate::decompress_to_vec_with_limit(data, MAX_BLOCK_BYTES)
                    .map_err(|error| broken(&format!("a block cannot be decompressed: {error}")))?;
            }
        }
        (self.block_at, self.next, self.left) = (at, 0, count);
        if count == 0 && !self.block.is_empty() {
            return Err(broken("a block without records is not empty"));
        }
        source.consume(head + size + self.sync.len());
        Ok(Found::Record)
    }
}

/// Schema, codec and marker of a container whose magic bytes are gone.
fn header(rest: &mut &[u8]) -> Option<(String, String, [u8; 16])> {
    let (mut schema, mut codec) = (None, "null".to_owned());
    items_of(rest, |rest| {
        let name = avro::bytes(rest)?;
        let value = avro::bytes(rest)?;
        match name {
            b"avro.schema" => schema = Some(std::str::from_utf8(value).ok()?.to_owned()),
            b"avro.codec" => codec = std::str::from_utf8(value).ok()?.to_owned(),
            _ => {}
        }
        Some(())
    })?;
    let (sync, after) = rest.split_first_chunk::<16>()?;
    *rest = after;
    Some((schema?, codec, *sync))
}
