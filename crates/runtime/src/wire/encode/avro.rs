//! Messages as Avro: the binary encoding of a datum, and container files with the same bytes every time.

use super::part::{self, Part};
use super::sink::{Item, Pairs, Sink};
use crate::wire::schema::{Contracts, Message};
use rating::identity::IdHasher128;
use rating::{Amount, Timestamp};

/// Writes the fields of one datum.
pub(super) struct Avro<'o> {
    out: &'o mut Vec<u8>,
}

/// Position of the value's branch in the union with null, zigzag.
const PRESENT: u8 = 2;
const ABSENT: u8 = 0;

impl<'o> Avro<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Avro<'o> {
        Avro { out }
    }

    fn raw(&mut self, value: &[u8]) {
        long(value.len() as i64, self.out);
        self.out.extend_from_slice(value);
    }

    fn parts(&mut self, parts: &[Part<'_>]) {
        long(part::length(parts) as i64, self.out);
        part::write(parts, self.out, |out, text| out.extend_from_slice(text.as_bytes()));
    }

    fn decimal(&mut self, value: Amount) {
        let unscaled = value.unscaled();
        // Fewest bytes of two's complement that keep the sign.
        let significant = if unscaled < 0 { unscaled.leading_ones() } else { unscaled.leading_zeros() };
        let length = ((129 - significant) as usize).div_ceil(8);
        let bytes = unscaled.to_be_bytes();
        self.raw(&bytes[bytes.len() - length..]);
    }
}

/// Zigzag and base 128.
fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

impl Sink for Avro<'_> {
    fn text(&mut self, _name: &'static str, value: &str) {
        self.raw(value.as_bytes());
    }

    fn optional_text(&mut self, _name: &'static str, value: Option<&str>) {
        match value {
            Some(value) => {
                self.out.push(PRESENT);
                self.raw(value.as_bytes());
            }
            None => self.out.push(ABSENT),
        }
    }

    fn joined(&mut self, _name: &'static str, parts: &[Part<'_>]) {
        self.parts(parts);
    }

    fn optional_joined(&mut self, _name: &'static str, parts: Option<&[Part<'_>]>) {
        match parts {
            Some(parts) => {
                self.out.push(PRESENT);
                self.parts(parts);
            }
            None => self.out.push(ABSENT),
        }
    }

    fn integer(&mut self, _name: &'static str, value: i64) {
        long(value, self.out);
    }

    fn optional_integer(&mut self, _name: &'static str, value: Option<i64>) {
        match value {
            Some(value) => {
                self.out.push(PRESENT);
                long(value, self.out);
            }
            None => self.out.push(ABSENT),
        }
    }

    fn amount(&mut self, _name: &'static str, value: Amount) {
        self.decimal(value);
    }

    fn optional_amount(&mut self, _name: &'static str, value: Option<Amount>) {
        match value {
            Some(value) => {
                self.out.push(PRESENT);
                self.decimal(value);
            }
            None => self.out.push(ABSENT),
        }
    }

    fn time(&mut self, _name: &'static str, value: Timestamp) {
        long(value.millis(), self.out);
    }

    fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>) {
        self.optional_integer(name, value.map(Timestamp::millis));
    }

    fn pairs(&mut self, _name: &'static str, value: Pairs<'_>) {
        if !value.is_empty() {
            long(value.len() as i64, self.out);
            for (name, value) in value {
                self.raw(name.as_bytes());
                self.raw(value.as_bytes());
            }
        }
        self.out.push(0);
    }

    fn bytes(&mut self, _name: &'static str, value: &[u8]) {
        self.raw(value);
    }

    fn optional_bytes(&mut self, _name: &'static str, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.out.push(PRESENT);
                self.raw(value);
            }
            None => self.out.push(ABSENT),
        }
    }

    fn absent(&mut self, names: &[&'static str]) {
        self.out.resize(self.out.len() + names.len(), ABSENT);
    }

    fn list<T: Item>(&mut self, _name: &'static str, items: &[T]) {
        if !items.is_empty() {
            long(items.len() as i64, self.out);
            for item in items {
                item.write(self);
            }
        }
        self.out.push(0);
    }

    fn texts(&mut self, _name: &'static str, texts: &[[Part<'_>; 3]]) {
        if !texts.is_empty() {
            long(texts.len() as i64, self.out);
            texts.iter().for_each(|parts| self.parts(parts));
        }
        self.out.push(0);
    }
}

/// The marker between blocks: a function of the message, so that files do not differ from run to run.
fn sync_marker(message: Message, contracts: Contracts) -> [u8; 16] {
    let mut hasher = IdHasher128::new();
    hasher.text(message.schema_of(contracts));
    hasher.finish().to_le_bytes()
}

/// The header of a container file.
pub(super) fn header(message: Message, contracts: Contracts) -> Vec<u8> {
    let mut out = b"Obj\x01".to_vec();
    let mut avro = Avro::new(&mut out);
    long(2, avro.out);
    avro.raw(b"avro.codec");
    avro.raw(b"null");
    avro.raw(b"avro.schema");
    avro.raw(message.schema_of(contracts).as_bytes());
    avro.out.push(0);
    out.extend_from_slice(&sync_marker(message, contracts));
    out
}

/// What stands before and behind the messages of a block in a container file.
pub fn block_frame(message: Message, contracts: Contracts, count: u64, byte_count: usize) -> (Vec<u8>, [u8; 16]) {
    let mut head = Vec::with_capacity(20);
    long(i64::try_from(count).unwrap_or(i64::MAX), &mut head);
    long(i64::try_from(byte_count).unwrap_or(i64::MAX), &mut head);
    (head, sync_marker(message, contracts))
}
