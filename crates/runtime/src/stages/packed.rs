//! Packed messages between stages: everything that one commit sends from one partition of a stage's input to one partition of its output.
//!
//! | part | what |
//! | --- | --- |
//! | version, least reader | one byte each; a reader below the second refuses the message |
//! | source | topic and partition of the sender's input |
//! | sequence | 1 for the first message from this source to this partition, then without gaps: a message lost or doubled is noticed |
//! | directory | version of the directory that the sender read; empty if it read none |
//! | tables | facts and origins that entries name by number, each once |
//! | entries | in the order of the source: (partition, offset, level) |
//! | checksum | CRC-32 of all before |
//!
//! Messages of version 1 name no directory, legs of versions 1 and 2 no state horizon, and edges of versions 1 to 3 not the names above their payers; an entry with a trace context is refused by readers from before there were any. A message is cut at [`MAX_BYTES`]; the next one has the next sequence.

use super::bytes::{Reader, bytes, sized, varint};
use crate::state::{Corrupt, Stored};
use hashbrown::HashMap;
use rating::Edge;

/// Size at which a message is closed, in bytes.
pub(super) const MAX_BYTES: usize = 400_000;

const VERSION: u8 = 4;
const LEAST_READER: u8 = 4;
/// The first version that names the directory.
const WITH_DIRECTORY: u8 = 2;
/// The first version whose legs name the state horizon.
const WITH_STATE_HORIZON: u8 = 3;

/// A partition of the sender's input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source {
    pub(super) topic: String,
    pub(super) partition: u32,
}

/// Values that entries name by their number.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Numbers by where the value stands in memory, which is the same value all through a batch.
    numbers: HashMap<(usize, usize), u32>,
    bytes: Vec<u8>,
}

impl Table {
    /// The number of a value, which is written at its first use.
    pub(super) fn number<T>(&mut self, value: &T, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.number_at((std::ptr::from_ref(value).addr(), 0), write)
    }

    /// The number of an edge with the names above it: the edge of an endpoint is the same one wherever its customer stands.
    pub(super) fn edge(&mut self, edge: &Edge, ancestors: &str) -> u64 {
        let places = (std::ptr::from_ref(edge).addr(), ancestors.as_ptr().addr());
        self.number_at(places, |out| {
            edge.write(out);
            bytes(ancestors.as_bytes(), out);
        })
    }

    fn number_at(&mut self, places: (usize, usize), write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let next = self.numbers.len() as u32;
        let bytes = &mut self.bytes;
        let number = *self.numbers.entry(places).or_insert_with(|| {
            sized(bytes, write);
            next
        });
        u64::from(number)
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.bytes.clear();
    }
}

/// How many tables a message has.
pub(super) const TABLES: usize = 4;

/// Packs entries for one target.
#[derive(Debug, Default)]
pub(super) struct Packer {
    open: Body,
    /// Messages that are full.
    full: Vec<Body>,
    /// Messages that are gone: their memory serves the next ones.
    spare: Vec<Body>,
}

/// Tables and entries of a message.
#[derive(Debug, Default)]
struct Body {
    tables: [Table; TABLES],
    entries: Vec<u8>,
    count: u64,
}

impl Body {
    fn size_bytes(&self) -> usize {
        self.entries.len() + self.tables.iter().map(|table| table.bytes.len()).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for table in &self.tables {
            varint(table.numbers.len() as u64, out);
            out.extend_from_slice(&table.bytes);
        }
        varint(self.count, out);
        out.extend_from_slice(&self.entries);
    }

    fn clear(&mut self) {
        self.tables.iter_mut().for_each(Table::clear);
        self.entries.clear();
        self.count = 0;
    }
}

impl Packer {
    /// Adds an entry.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut [Table; TABLES], &mut Vec<u8>)) {
        let Body { tables, entries, count } = &mut self.open;
        sized(entries, |out| write(tables, out));
        *count += 1;
        if self.open.size_bytes() >= MAX_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let next = self.spare.pop().unwrap_or_default();
        self.full.push(std::mem::replace(&mut self.open, next));
    }

    /// Gives each message away, with the sequence that comes after `sequence`; returns the last one.
    pub(super) fn finish(
        &mut self,
        source: &Source,
        directory: &str,
        mut sequence: u64,
        mut send: impl FnMut(&dyn Fn(&mut Vec<u8>)),
    ) -> u64 {
        if self.open.count > 0 {
            self.close();
        }
        for body in &self.full {
            sequence += 1;
            send(&|out: &mut Vec<u8>| {
                let start = out.len();
                out.extend_from_slice(&[VERSION, LEAST_READER]);
                bytes(source.topic.as_bytes(), out);
                varint(source.partition.into(), out);
                varint(sequence, out);
                bytes(directory.as_bytes(), out);
                body.write(out);
                let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
                out.extend_from_slice(&checksum.to_le_bytes());
            });
        }
        self.clear();
        sequence
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.full.iter_mut().for_each(Body::clear);
        self.spare.append(&mut self.full);
    }
}

/// A message, checked as a whole.
#[derive(Debug)]
pub(super) struct Unpacked<'m> {
    pub(super) source: Source,
    pub(super) sequence: u64,
    pub(super) directory: &'m str,
    pub(super) names_state_horizon: bool,
    pub(super) tables: [Vec<Reader<'m>>; TABLES],
    pub(super) entries: Vec<Reader<'m>>,
}

impl<'m> Unpacked<'m> {
    /// Reads a message.
    ///
    /// # Errors
    /// Bytes that are no such message, or one for later readers only.
    pub(super) fn read(message: &'m [u8]) -> Result<Unpacked<'m>, Corrupt> {
        let whole = Reader(message);
        let (content, checksum) = message.split_last_chunk::<4>().ok_or_else(|| whole.corrupt("a checksum"))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return Err(whole.corrupt("a message with its checksum"));
        }
        let mut reader = Reader(content);
        let [version, least_reader] = reader.array()?;
        if least_reader > VERSION {
            return Err(reader.corrupt("a message for readers of this version"));
        }
        let source = Source { topic: reader.text()?.to_owned(), partition: reader.small("a partition")? };
        let sequence = reader.varint()?;
        let directory = if version < WITH_DIRECTORY { "" } else { reader.text()? };
        let mut tables: [Vec<Reader<'m>>; TABLES] = Default::default();
        for table in &mut tables {
            *table = read_list(&mut reader)?;
        }
        let entries = read_list(&mut reader)?;
        if !reader.is_empty() {
            return Err(reader.corrupt("the end of the message"));
        }
        let names_state_horizon = version >= WITH_STATE_HORIZON;
        Ok(Unpacked { source, sequence, directory, names_state_horizon, tables, entries })
    }
}

fn read_list<'m>(reader: &mut Reader<'m>) -> Result<Vec<Reader<'m>>, Corrupt> {
    let count = reader.varint()?;
    // What is not there cannot be reserved for: each has four bytes at least.
    let mut list = Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX).min(reader.0.len() / 4));
    for _ in 0..count {
        list.push(reader.sized()?);
    }
    Ok(list)
}
