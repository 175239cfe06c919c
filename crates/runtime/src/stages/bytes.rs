//! Bytes of internal messages: plain readers and writers for what is on the hot path. The rest uses [`crate::state::Stored`].

use crate::state::Corrupt;

/// Writes an unsigned integer in base 128.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and bytes.
pub(super) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Writes bytes behind their length, which is known only afterwards.
pub(super) fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Takes values from the front of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn corrupt(&self, what: &'static str) -> Corrupt {
        Corrupt { what, left: self.0.len() }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], Corrupt> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| self.corrupt("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| self.corrupt("more bytes"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Corrupt> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt("an integer of 64 bits"))
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, Corrupt> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| self.corrupt(what))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Corrupt> {
        let length = self.small("a length")?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Corrupt> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("text in UTF-8"))
    }

    pub(super) fn sized(&mut self) -> Result<Reader<'b>, Corrupt> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX)).map(Reader)
    }

    pub(super) fn millis(&mut self) -> Result<i64, Corrupt> {
        self.array().map(i64::from_le_bytes)
    }
}
