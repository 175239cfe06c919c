//! Just enough of HTTP/1.1 for clients that keep connections open: one request after the other, bodies with a length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Longest body that is taken.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Longest line and most headers that are taken.
const MAX_LINE_BYTES: u64 = 16 << 10;
const MAX_HEADERS: usize = 100;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Segments of the path, unescaped.
    pub(super) segments: Vec<String>,
    /// What stands behind the question mark.
    pub(super) query: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    let length = reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut line)?;
    if length as u64 == MAX_LINE_BYTES {
        return Err(bad("a line is too long"));
    }
    Ok(line.trim_end().to_owned())
}

/// Reads a request; `None` when the other side has closed.
pub(super) fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let first = line(reader)?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(bad("no request")) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        segments: path.split('/').filter(|segment| !segment.is_empty()).map(unescaped).collect(),
        query: query.to_owned(),
        ..Request::default()
    };
    let mut length = 0;
    for _ in 0..MAX_HEADERS {
        let header = line(reader)?;
        if header.is_empty() {
            request.body = vec![0; length];
            reader.read_exact(&mut request.body)?;
            return Ok(Some(request));
        }
        let (name, value) = header.split_once(':').ok_or_else(|| bad("no header"))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = value
                    .trim()
                    .parse()
                    .ok()
                    .filter(|length| *length <= MAX_BODY_BYTES)
                    .ok_or_else(|| bad("length"))?;
            }
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            "transfer-encoding" => return Err(bad("chunks are not supported")),
            _ => {}
        }
    }
    Err(bad("too many headers"))
}

fn unescaped(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escaped = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, escaped) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes an answer.
pub(super) fn write(mut stream: &TcpStream, status: u16, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())
}
