//! Trace context of a message (W3C, `traceparent` and `tracestate`), carried from what comes in to what leaves because of it.
//!
//! Rater takes part in no trace: it makes no spans and changes nothing. Whoever reads what leaves finds the context that came in. What is not
//! well formed is as good as absent, never an error: no record waits because of a header.
//!
//! | what | rule |
//! | --- | --- |
//! | version | two digits, not `ff`; a later one than `00` is carried as `00` with the fields that `00` has, as the standard asks |
//! | length | 55 bytes; more for later versions only, behind another `-` |
//! | ids | hexadecimal in lower case, not all zero |
//! | `tracestate` | 512 bytes of printable ASCII at most, 32 members with a `=` each; otherwise it alone is left out |
//! | several of a name | the last one counts |

use std::fmt::Write;

/// Name of the header with the ids.
pub const PARENT: &str = "traceparent";
/// Name of the header with what systems on the way have added.
pub const STATE: &str = "tracestate";

/// Trace id, parent id and flags.
const PARENT_BYTES: usize = 16 + 8 + 1;
/// Length of `traceparent` in the version that is known.
const PARENT_CHARS: usize = 55;
/// Longest `traceparent` of a later version that is looked at.
const MAX_PARENT_CHARS: usize = 255;
/// Longest `tracestate`, in bytes: as much as everybody has to carry.
const MAX_STATE_BYTES: usize = 512;
/// Most members of a `tracestate`.
const MAX_STATE_MEMBERS: usize = 32;
/// The one flag that later versions are known to share.
const SAMPLED: u8 = 1;

/// A trace context as it travels: 25 bytes, and the text of `tracestate` behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext<'t>(&'t [u8]);

impl<'t> TraceContext<'t> {
    /// Reads the headers of a message into `room`, whose bytes are replaced.
    pub fn read<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        room: &'t mut Vec<u8>,
    ) -> Option<TraceContext<'t>> {
        let (mut parent, mut state) = (None, None);
        for (name, value) in headers {
            match name {
                PARENT => parent = Some(value),
                STATE => state = Some(value),
                _ => {}
            }
        }
        room.clear();
        room.extend_from_slice(&parse_parent(parent?)?);
        room.extend_from_slice(state.filter(|state| is_state(state)).unwrap_or_default());
        Some(TraceContext(room))
    }

    /// What [`TraceContext::as_bytes`] gave; `None` for any other bytes.
    pub fn from_bytes(bytes: &'t [u8]) -> Option<TraceContext<'t>> {
        let (parent, state) = bytes.split_first_chunk::<PARENT_BYTES>()?;
        (has_ids(parent) && (state.is_empty() || is_state(state))).then_some(TraceContext(bytes))
    }

    /// It as bytes.
    pub fn as_bytes(self) -> &'t [u8] {
        self.0
    }

    /// It as headers.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, String)> {
        let (ids, state) = self.0.split_at_checked(PARENT_BYTES).unwrap_or_default();
        let mut parent = String::with_capacity(PARENT_CHARS);
        parent.push_str("00-");
        for (at, byte) in ids.iter().enumerate() {
            if matches!(at, 16 | 24) {
                parent.push('-');
            }
            // Writing to a text cannot fail.
            let _ = write!(parent, "{byte:02x}");
        }
        let state = (!state.is_empty()).then(|| (STATE, String::from_utf8_lossy(state).into_owned()));
        std::iter::once((PARENT, parent)).chain(state)
    }
}

fn parse_parent(text: &[u8]) -> Option<[u8; PARENT_BYTES]> {
    let (known, rest) = text.split_first_chunk::<PARENT_CHARS>()?;
    let version = hex(known.get(..2)?)?;
    let is_fit = match (version, rest) {
        (0xff, _) => false,
        (_, []) => true,
        (0, _) => false,
        (_, [b'-', ..]) => text.len() <= MAX_PARENT_CHARS,
        (_, _) => false,
    };
    if !is_fit || [2, 35, 52].iter().any(|at| known.get(*at) != Some(&b'-')) {
        return None;
    }
    let mut parent = [0; PARENT_BYTES];
    let digits = [known.get(3..35)?, known.get(36..52)?, known.get(53..)?].into_iter().flat_map(|part| part.chunks(2));
    for (byte, digits) in parent.iter_mut().zip(digits) {
        *byte = hex(digits)?;
    }
    if let (1.., [.., flags]) = (version, &mut parent) {
        *flags &= SAMPLED;
    }
    has_ids(&parent).then_some(parent)
}

/// Two digits in lower case.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

fn has_ids(parent: &[u8; PARENT_BYTES]) -> bool {
    let is_there = |id: Option<&[u8]>| id.is_some_and(|id| id.iter().any(|byte| *byte != 0));
    is_there(parent.get(..16)) && is_there(parent.get(16..24))
}

fn is_state(state: &[u8]) -> bool {
    let members = || state.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    (1..=MAX_STATE_BYTES).contains(&state.len())
        && state.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && members().count() <= MAX_STATE_MEMBERS
        && members().all(|member| member.is_empty() || member.iter().skip(1).any(|byte| *byte == b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// What of these headers is carried.
    fn carried(headers: &[(&str, &[u8])]) -> Option<Vec<(&'static str, String)>> {
        let mut room = b"from before".to_vec();
        let context = TraceContext::read(headers.iter().copied(), &mut room)?;
        assert_eq!(TraceContext::from_bytes(context.as_bytes()), Some(context));
        Some(context.headers().collect())
    }

    #[test]
    fn what_is_well_formed_is_carried() {
        let later = |rest: &str| format!("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{rest}");
        for (given, expected) in [
            (GOOD.to_owned(), GOOD.to_owned()),
            (GOOD.replace("-01", "-ff"), GOOD.replace("-01", "-ff")),
            (later("09"), GOOD.to_owned()),
            (later("08-what-comes-later"), GOOD.replace("-01", "-00")),
        ] {
            assert_eq!(carried(&[(PARENT, given.as_bytes())]), Some(vec![(PARENT, expected)]), "{given}");
        }
        let state = "congo=t61rcWkgMzE, ,rojo@de=00f067aa0ba902b7";
        let both = Some(vec![(PARENT, GOOD.to_owned()), (STATE, state.to_owned())]);
        let (good, state) = ((PARENT, GOOD.as_bytes()), (STATE, state.as_bytes()));
        assert_eq!(carried(&[state, ("other", b""), (PARENT, b"bad"), good]), both);
    }

    #[test]
    fn what_is_not_is_not_there() {
        let with = |at: usize, byte: u8| {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            bytes
        };
        let long = [GOOD.replacen("00", "01", 1), "-".to_owned() + &"x".repeat(200)].concat();
        let bad = [
            Vec::new(),
            GOOD.as_bytes()[..54].to_vec(),
            [GOOD.as_bytes(), b"-"].concat(),
            [GOOD.replacen("00", "01", 1).as_bytes(), b"x"].concat(),
            long.into_bytes(),
            GOOD.replacen("00", "ff", 1).into_bytes(),
            GOOD.to_uppercase().into_bytes(),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)).into_bytes(),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)).into_bytes(),
            with(0, b'g'),
            with(2, b'0'),
            with(10, 0xff),
            with(35, b'_'),
            with(52, b' '),
            with(54, b' '),
        ];
        for parent in bad {
            assert_eq!(carried(&[(PARENT, &parent)]), None, "{}", String::from_utf8_lossy(&parent));
        }
        assert_eq!(carried(&[(STATE, b"congo=1")]), None);
        let alone = Some(vec![(PARENT, GOOD.to_owned())]);
        let many = vec!["a=1"; 33].join(",");
        let long = format!("a={}", "x".repeat(511));
        for state in ["", "no member", "=1", "a=\u{7}", "a=\u{e4}", &many, &long] {
            assert_eq!(carried(&[(PARENT, GOOD.as_bytes()), (STATE, state.as_bytes())]), alone, "{state}");
        }
    }

    #[test]
    fn bytes_of_others_are_no_context() {
        for bytes in [&[][..], &[1; 24], &[0; 25], &[1; 26]] {
            assert_eq!(TraceContext::from_bytes(bytes), None);
        }
    }
}
