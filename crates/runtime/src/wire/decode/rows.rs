//! Where a CSV row ends.
//!
//! A line is a row, unless a quoted cell holds its line break. A quotation mark that is never closed looks the same up to the next mark, which may
//! stand many rows further on. So several lines are taken as one row only if they can be nothing else: the row has as many cells as the header, no
//! cell holds both a line break and a delimiter, and at most one of the lines has enough delimiters to be a row. Otherwise each line is a row by
//! itself, and the one with the open mark is undecodable.

/// What is known about the row at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowScan {
    /// It ends here, line break included.
    Ends(usize),
    /// Its marks do not hold lines together: its first line is a row.
    EndsWithLine,
    /// More bytes decide.
    NeedsMore,
    /// The input ends before the row does.
    IsOpen,
}

/// How much of the input the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// There may be more behind them.
    Part,
    /// The input ends with them.
    All,
}

/// Scans the row at the front of `bytes`, which has `columns` cells if it is a good one.
pub(super) fn scan(bytes: &[u8], delimiter: u8, columns: usize, ahead: Ahead) -> RowScan {
    let mut at = 0;
    let mut cells = 1;
    let mut is_cell_start = true;
    let mut has_breaks = false;
    while let Some(byte) = bytes.get(at).copied() {
        if is_cell_start && byte == b'"' {
            match quoted_cell(bytes, at + 1, delimiter, ahead) {
                Ok(cell) => {
                    at = cell.end;
                    has_breaks |= cell.has_break;
                }
                Err(scan) => return scan,
            }
            is_cell_start = false;
            continue;
        }
        let end = match byte {
            b'\n' => at + 1,
            b'\r' => match bytes.get(at + 1) {
                Some(b'\n') => at + 2,
                None if ahead == Ahead::Part => return RowScan::NeedsMore,
                Some(_) | None => at + 1,
            },
            _ => {
                is_cell_start = byte == delimiter;
                cells += usize::from(is_cell_start);
                at += 1;
                continue;
            }
        };
        let is_doubted = has_breaks && (cells != columns || holds_rows(bytes.get(..at), delimiter, columns));
        return if is_doubted { RowScan::EndsWithLine } else { RowScan::Ends(end) };
    }
    match ahead {
        Ahead::Part => RowScan::NeedsMore,
        Ahead::All if has_breaks && (cells != columns || holds_rows(Some(bytes), delimiter, columns)) => {
            RowScan::EndsWithLine
        }
        Ahead::All => RowScan::IsOpen,
    }
}

/// Returns true if more than one of the lines has as many delimiters as a row, wherever they stand.
fn holds_rows(bytes: Option<&[u8]>, delimiter: u8, columns: usize) -> bool {
    let lines = bytes.unwrap_or_default().split(|byte| matches!(byte, b'\n' | b'\r'));
    let is_like_a_row = |line: &&[u8]| memchr::memchr_iter(delimiter, line).count() + 1 >= columns;
    lines.filter(is_like_a_row).nth(1).is_some()
}

struct QuotedCell {
    /// Behind its closing mark.
    end: usize,
    has_break: bool,
}

/// Scans a quoted cell from behind its opening mark.
fn quoted_cell(bytes: &[u8], start: usize, delimiter: u8, ahead: Ahead) -> Result<QuotedCell, RowScan> {
    let mut at = start;
    let (mut has_break, mut has_delimiter) = (false, false);
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' => match bytes.get(at + 1).copied() {
                Some(b'"') => at += 1,
                None if ahead == Ahead::Part => return Err(RowScan::NeedsMore),
                Some(b'\n' | b'\r') | None => return Ok(QuotedCell { end: at + 1, has_break }),
                Some(next) if next == delimiter => return Ok(QuotedCell { end: at + 1, has_break }),
                Some(_) => return Err(RowScan::EndsWithLine),
            },
            b'\n' | b'\r' => has_break = true,
            _ => has_delimiter |= byte == delimiter,
        }
        if has_break && has_delimiter {
            return Err(RowScan::EndsWithLine);
        }
        at += 1;
    }
    match ahead {
        Ahead::Part => Err(RowScan::NeedsMore),
        // A line that has ended does not wait for a mark that may never come.
        Ahead::All => Err(RowScan::EndsWithLine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows that `text` is cut into, each with its line breaks shown as `/`.
    fn rows(text: &str, columns: usize) -> Vec<String> {
        let mut rest = text.as_bytes();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            let end = match scan(rest, b',', columns, Ahead::All) {
                RowScan::Ends(end) => end,
                RowScan::EndsWithLine => {
                    rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(rest.len(), |at| at + 1)
                }
                RowScan::IsOpen | RowScan::NeedsMore => rest.len(),
            };
            let (row, after) = rest.split_at(end);
            rows.push(String::from_utf8_lossy(row).replace(['\n', '\r'], "/"));
            rest = after;
        }
        rows
    }

    #[test]
    fn a_row_holds_several_lines_only_if_it_can_be_nothing_else() {
        for (text, expected) in [
            ("a,b,c\nd,e,f\n", &["a,b,c/", "d,e,f/"][..]),
            ("a,\"b\nb\",c\nd,e,f\n", &["a,\"b/b\",c/", "d,e,f/"]),
            ("a,b,\"c\nc\"\nd,e,f\n", &["a,b,\"c/c\"/", "d,e,f/"]),
            ("\"a\n\n\"\"a\",b,c\r\nd,e,f", &["\"a//\"\"a\",b,c//", "d,e,f"]),
            ("a,\"b,b\",\"c\nc\"\n", &["a,\"b,b\",\"c/c\"/"]),
            // Two marks, each unclosed, with rows between them.
            ("a,b,\"5\nd,e,f\ng,h,\"\nj,k,l\n", &["a,b,\"5/", "d,e,f/", "g,h,\"/", "j,k,l/"]),
            ("a,\"5,c\nd,e,f\ng,\",i\n", &["a,\"5,c/", "d,e,f/", "g,\",i/"]),
            ("\"5,b,c\n\",e,f\n", &["\"5,b,c/", "\",e,f/"]),
            ("a,b,\"5\nd\"\n", &["a,b,\"5/d\"/"]),
            ("\",,\",b,\"c\nc\"\n\",,\",b,c\n", &["\",,\",b,\"c/c\"/", "\",,\",b,c/"]),
            (",\",,\",\"c\n\"\"\",\",,\"\n", &[",\",,\",\"c/", "\"\"\",\",,\"/"]),
            // Too few or too many cells: not one row.
            ("a,\"5\nd\"\n", &["a,\"5/", "d\"/"]),
            ("a,b,\"5\nd\",e,f\n", &["a,b,\"5/", "d\",e,f/"]),
            // A text with delimiters and line breaks could be rows.
            ("a,b,\"hello,\nworld\"\n", &["a,b,\"hello,/", "world\"/"]),
            // Never closed; astray.
            ("a,b,\"5\nd\n", &["a,b,\"5/", "d/"]),
            ("a,b,\"5\nd\"x\n", &["a,b,\"5/", "d\"x/"]),
            ("a,b,\"5\rd,e,f\rg,h,\"\r", &["a,b,\"5/", "d,e,f/", "g,h,\"/"]),
        ] {
            assert_eq!(rows(text, 3), expected, "{text:?}");
        }
    }
}
