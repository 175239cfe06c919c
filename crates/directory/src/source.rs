//! Texts of reference data and places in them.
//!
//! Owns the text of every file that was read, so that a [`Span`] (twelve bytes) is all that the model has to carry to point at where
//! something was written. Lines and columns are computed only when a diagnostic is shown. Does not read the file system.

use std::ops::Range;

/// One of the files of a [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// First byte after the range; at least `start`.
    pub end: u32,
}

impl Span {
    /// The range as what slices take.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// From the start of this range to the end of `other`, which is in the same file and not before it.
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end.max(self.end), ..self }
    }
}

/// A place as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A file's name and text.
#[derive(Debug)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// The name as given by the caller, usually a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Index (from 0) of the line that holds byte `offset`.
    fn line_index(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Bytes of the line with index `line` (from 0), without its line break; empty beyond the end.
    fn line_range(&self, line: usize) -> Range<usize> {
        let Some(start) = self.line_starts.get(line).map(|s| *s as usize) else {
            return self.text.len()..self.text.len();
        };
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |s| *s as usize);
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }
}

/// A file that was refused because positions in it do not fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// All files of one load.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// Part of a file that a diagnostic shows.
#[derive(Debug)]
pub(crate) struct Excerpt<'s> {
    /// Number of the first line, from 1.
    pub(crate) first_line: usize,
    /// Whole lines.
    pub(crate) text: &'s str,
}

/// Most lines shown of one span: the rest of a large broken block says nothing more.
const MAX_EXCERPT_LINES: usize = 8;

impl Sources {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a file of at most 1 GiB.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> Result<FileId, TooLarge> {
        const LIMIT: usize = 1 << 30;
        let text = text.into();
        if text.len() > LIMIT {
            return Err(TooLarge);
        }
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at as u32 + 1));
        let id = FileId(self.files.len() as u32);
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        Ok(id)
    }

    /// The file, as it was added.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len() as u32).map(FileId)
    }

    /// Line and column of the first character of `span`.
    pub fn location(&self, span: Span) -> Location {
        let file = self.file(span.file);
        let line = file.line_index(span.start);
        let start = file.line_starts[line] as usize;
        let column = file.text.get(start..span.start as usize).unwrap_or_default().chars().count();
        Location { line: line as u32 + 1, column: column as u32 + 1 }
    }

    /// The text that `span` covers.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.range()).unwrap_or_default()
    }

    /// The whole lines that `span` touches, and the span within them, cut to what fits.
    pub(crate) fn excerpt(&self, span: Span) -> (Excerpt<'_>, Range<usize>) {
        let file = self.file(span.file);
        let first = file.line_index(span.start);
        let last = file.line_index(span.end.saturating_sub(1).max(span.start)).min(first + MAX_EXCERPT_LINES - 1);
        let offset = file.line_starts[first] as usize;
        let end = file.line_range(last).end.max(offset);
        let text = &file.text[offset..end];
        // Spans come from the parser's marks; one inside a character must not make showing an error fail.
        let whole = |at: u32| {
            let at = (at as usize).saturating_sub(offset).min(text.len());
            (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
        };
        let start_in = whole(span.start);
        let end_in = whole(span.end).max(start_in);
        (Excerpt { first_line: first + 1, text }, start_in..end_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let mut sources = Sources::new();
        let file = sources.add("a.yaml", "é: x\r\nbé: y\n").unwrap();
        let span = Span { file, start: 12, end: 13 };
        assert_eq!(sources.text(span), "y");
        assert_eq!(sources.location(span), Location { line: 2, column: 5 });
        let (excerpt, at) = sources.excerpt(span);
        assert_eq!((excerpt.first_line, excerpt.text, &excerpt.text[at]), (2, "bé: y", "y"));
    }

    #[test]
    fn a_span_at_the_end_of_the_file_has_a_place() {
        let mut sources = Sources::new();
        let file = sources.add("a.yaml", "a: b\n").unwrap();
        let span = Span { file, start: 5, end: 5 };
        assert_eq!(sources.location(span), Location { line: 2, column: 1 });
        assert_eq!(sources.excerpt(span).0.text, "");
    }
}
