//! Integers in base 128, the low digits first and every byte but the last with its high bit set; texts and bytes.

use crate::Corrupt;

/// Appends an integer.
pub(crate) fn write(value: u128, out: &mut Vec<u8>) {
    // Nearly all are small, and shifts of 128 bits are not.
    if let Ok(mut small) = u64::try_from(value) {
        while small >= 0x80 {
            out.push((small & 0x7f) as u8 | 0x80);
            small >>= 7;
        }
        out.push(small as u8);
        return;
    }
    let mut rest = value;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes an integer from the front.
pub(crate) fn read(input: &mut &[u8]) -> Result<u128, Corrupt> {
    let mut value = 0_u128;
    for shift in (0..128).step_by(7) {
        let Some((byte, rest)) = input.split_first() else { return Corrupt::new("an integer", input) };
        *input = rest;
        let digit = u128::from(byte & 0x7f);
        if digit << shift >> shift != digit {
            break;
        }
        value |= digit << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Corrupt::new("an integer of 128 bits", input)
}

/// Appends a signed integer: small ones are short, whatever their sign.
pub(crate) fn write_signed(value: i128, out: &mut Vec<u8>) {
    write(((value << 1) ^ (value >> 127)).cast_unsigned(), out);
}

/// Takes a signed integer from the front.
pub(crate) fn read_signed(input: &mut &[u8]) -> Result<i128, Corrupt> {
    let zigzag = read(input)?;
    Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
}

/// Takes bytes from the front.
pub(crate) fn take<'i>(length: usize, input: &mut &'i [u8]) -> Result<&'i [u8], Corrupt> {
    let Some((taken, rest)) = input.split_at_checked(length) else { return Corrupt::new("more bytes", input) };
    *input = rest;
    Ok(taken)
}

/// Takes bytes of a fixed length from the front.
pub(crate) fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let Some((taken, rest)) = input.split_first_chunk::<N>() else { return Corrupt::new("more bytes", input) };
    *input = rest;
    Ok(*taken)
}

/// Appends bytes behind their length.
pub(crate) fn write_sized(bytes: &[u8], out: &mut Vec<u8>) {
    write(bytes.len() as u128, out);
    out.extend_from_slice(bytes);
}

/// Takes bytes behind their length.
pub(crate) fn take_sized<'i>(input: &mut &'i [u8]) -> Result<&'i [u8], Corrupt> {
    let length = read_length(input)?;
    take(length, input)
}

/// Takes a length from the front.
pub(crate) fn read_length(input: &mut &[u8]) -> Result<usize, Corrupt> {
    let length = read(input)?;
    usize::try_from(length).or(Corrupt::new("a length", input))
}

/// Takes a text behind its length.
pub(crate) fn take_text<'i>(input: &mut &'i [u8]) -> Result<&'i str, Corrupt> {
    let bytes = take_sized(input)?;
    std::str::from_utf8(bytes).or(Corrupt::new("text in UTF-8", input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_and_too_long_ones_do_not() {
        for shift in 0..128 {
            for value in [1_u128 << shift, (1_u128 << shift) - 1, u128::MAX >> shift] {
                let mut bytes = Vec::new();
                write(value, &mut bytes);
                assert_eq!(read(&mut &*bytes), Ok(value));
                let signed = value.cast_signed();
                bytes.clear();
                write_signed(signed, &mut bytes);
                assert_eq!(read_signed(&mut &*bytes), Ok(signed));
            }
        }
        let mut long = vec![0xff; 18];
        long.push(0x04);
        assert!(read(&mut &*long).is_err());
        assert!(read(&mut &[0x80; 30][..]).is_err() && read(&mut &[0x80_u8][..]).is_err());
    }
}
