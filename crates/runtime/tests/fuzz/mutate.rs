//! Changes to samples, of the kinds that readers trip over. A function of seed, target and round alone.

/// Texts and numbers at the ends of their ranges, and characters that mean something.
const TOKENS: &[&[u8]] = &[
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"340282366920938463463374607431768211456",
    b"1e308",
    b"1e999",
    b"-0",
    b"0.1",
    b"NaN",
    b"null",
    b"true",
    b"{}",
    b"[[[[[[[[",
    b"\"\"",
    b"\"",
    b"\"\"\"",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b",",
    b";",
    b":",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\"tick\":",
    b"\"command_id\":",
    b"\"attributes\":{\"a\":\"b\"},",
    b"9999-12-31T23:59:59Z",
    b"2026-02-29T24:00:60+99:99",
    b"Obj\x01",
    // Variable-length integers: the largest, the smallest, too long ones, a negative count, huge lengths.
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
    b"\x80\x80\x80\x80\x08",
    b"\x01",
    b"\x01\x02",
    b"\xfe\xff\xff\xff\x0f",
];

pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64, target: &str, round: u64) -> Mutator {
        let start =
            target.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut mutator = Mutator(start ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mutator.next();
        mutator
    }

    /// The next random number (splitmix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A piece of some bytes, mostly short.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 16 };
        let end = (start + self.below(most + 1)).min(length);
        start..end
    }

    pub(crate) fn mutate(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, samples);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        let length = bytes.len();
        let at = self.below(length);
        match self.below(10) {
            0 if length > 0 => bytes[at] ^= 1 << self.below(8),
            1 if length > 0 => bytes[at] = self.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                bytes.drain(self.range(length));
            }
            4 => {
                let piece = bytes[self.range(length)].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &samples[self.below(samples.len())];
                let piece = other[self.range(other.len())].to_vec();
                let gone = self.range(length);
                bytes.splice(gone, piece);
            }
            6 => {
                let piece = bytes[self.range(length)].to_vec();
                for _ in 0..self.below(40) {
                    bytes.splice(at..at, piece.iter().copied().take(64));
                }
            }
            7 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                let gone = at..(at + self.below(token.len() + 1)).min(length);
                bytes.splice(gone, token.iter().copied());
            }
        }
    }
}
