//! The part of Markdown that scenarios are written in: headings, tables, fenced blocks; everything else is prose.
//!
//! Owns places: every cell knows its line and column, every table and paragraph the bytes it covers. Knows nothing of what they mean.

use super::error::Faults;
use std::ops::Range;

/// A piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// `## Usage`
    Heading { level: usize, text: String, line: usize },
    /// Lines that begin with `|`.
    Table(Table),
    /// Between two fences.
    Fence(Fence),
    /// Lines of anything else.
    Prose { text: String, line: usize, bytes: Range<usize> },
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// What stands after the opening fence.
    pub(super) info: String,
    /// The lines between the fences.
    pub(super) text: String,
    /// Line of the opening fence.
    pub(super) line: usize,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Line of the header.
    pub(super) line: usize,
    /// The header.
    pub(super) header: Vec<Cell>,
    /// Where each column stands.
    pub(super) alignments: Vec<Alignment>,
    /// The rows, each as long as the header.
    pub(super) rows: Vec<Row>,
    /// What it covers, without the last line break.
    pub(super) bytes: Range<usize>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line.
    pub(super) line: usize,
    /// Its cells.
    pub(super) cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Without the blanks around it; `\|` is `|`.
    pub(super) text: String,
    /// Column of its first character, from 1.
    pub(super) column: usize,
}

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alignment {
    /// `---`
    Left,
    /// `---:`
    Right,
}

/// A line with its place.
#[derive(Clone, Copy)]
struct Line<'t> {
    text: &'t str,
    number: usize,
    start: usize,
}

impl Line<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Column of the first character that is not blank.
    fn indent(&self) -> usize {
        self.text.chars().take_while(|c| c.is_whitespace()).count() + 1
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let numbered = text.split_inclusive('\n').zip(1..);
    let cut = numbered.map(|(whole, number)| {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = Line { text: line.strip_suffix('\r').unwrap_or(line), number, start };
        start += whole.len();
        line
    });
    cut.collect()
}

/// Cuts a text into blocks.
pub(super) fn blocks(text: &str, faults: &mut Faults) -> Vec<Block> {
    let lines = lines(text);
    let mut rest = lines.as_slice();
    let mut blocks = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let trimmed = first.text.trim();
        if trimmed.is_empty() {
            rest = after;
        } else if let Some(fence) = fence_of(trimmed) {
            let end = after.iter().position(|line| closes(line.text.trim(), fence)).unwrap_or_else(|| {
                faults.add(first.number, first.indent(), "this fenced block is never closed");
                after.len()
            });
            let inside = after.get(..end).unwrap_or_default();
            blocks.push(Block::Fence(Fence {
                info: trimmed.trim_start_matches(fence.0).trim().to_owned(),
                text: inside.iter().flat_map(|line| [line.text, "\n"]).collect(),
                line: first.number,
            }));
            rest = after.get(end + 1..).unwrap_or_default();
        } else if let Some((level, title)) = heading_of(trimmed) {
            blocks.push(Block::Heading { level, text: title.to_owned(), line: first.number });
            rest = after;
        } else if trimmed.starts_with('|') {
            let end = rest.iter().position(|line| !line.text.trim().starts_with('|')).unwrap_or(rest.len());
            let (table, others) = rest.split_at(end);
            blocks.extend(table_of(table, faults).map(Block::Table));
            rest = others;
        } else {
            let ends = |line: &Line<'_>| {
                let text = line.text.trim();
                text.is_empty() || text.starts_with('|') || fence_of(text).is_some() || heading_of(text).is_some()
            };
            let end = rest.iter().position(ends).unwrap_or(rest.len()).max(1);
            let (prose, others) = rest.split_at(end);
            let text = prose.iter().map(|line| line.text.trim()).collect::<Vec<_>>().join("\n");
            let bytes = first.start..prose.last().map_or(first.end(), Line::end);
            blocks.push(Block::Prose { text, line: first.number, bytes });
            rest = others;
        }
    }
    blocks
}

/// The character and length of a fence that opens.
fn fence_of(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == mark).count();
    (length >= 3).then_some((mark, length))
}

fn closes(line: &str, fence: (char, usize)) -> bool {
    line.chars().all(|c| c == fence.0) && line.len() >= fence.1
}

fn heading_of(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line.get(level..)?;
    let is_heading = (1..=6).contains(&level) && (title.is_empty() || title.starts_with([' ', '\t']));
    is_heading.then(|| (level, title.trim().trim_end_matches('#').trim_end()))
}

fn table_of(lines: &[Line<'_>], faults: &mut Faults) -> Option<Table> {
    let (first, rest) = lines.split_first()?;
    let header = cells(first);
    let dashes = rest.split_first().and_then(|(line, rows)| Some((alignments(line)?, line, rows)));
    let Some((alignments, dashed, rows)) = dashes else {
        faults.add(first.number, first.indent(), "a table needs a line of dashes under its header: | --- | --- |");
        return None;
    };
    if alignments.len() != header.len() {
        let message = format!("{} columns under a header of {}", alignments.len(), header.len());
        faults.add(dashed.number, dashed.indent(), message);
        return None;
    }
    let mut is_sound = true;
    let rows: Vec<Row> = rows.iter().map(|line| Row { line: line.number, cells: cells(line) }).collect();
    for row in &rows {
        if row.cells.len() != header.len() {
            is_sound = false;
            let message = format!("{} cells under a header of {}", row.cells.len(), header.len());
            faults.add(row.line, row.cells.last().map_or(1, |cell| cell.column), message);
        }
    }
    let bytes = first.start..lines.last().map_or(first.end(), Line::end);
    is_sound.then_some(Table { line: first.number, header, alignments, rows, bytes })
}

/// The cells between the bars; a bar after a backslash belongs to the cell.
fn cells(line: &Line<'_>) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut text = String::new();
    let mut begun = None;
    let mut is_open = false;
    let mut characters = line.text.chars().zip(1..).peekable();
    while let Some((c, column)) = characters.next() {
        let escaped = if c == '\\' { characters.next_if(|(next, _)| *next == '|') } else { None };
        match (c, escaped) {
            ('|', _) if !is_open => is_open = true,
            ('|', _) => {
                cells.push(Cell { text: text.trim().to_owned(), column: begun.take().unwrap_or(column) });
                text.clear();
            }
            (_, _) if !is_open => {}
            (c, escaped) => {
                if begun.is_none() && !c.is_whitespace() {
                    begun = Some(column);
                }
                text.push(escaped.map_or(c, |(bar, _)| bar));
            }
        }
    }
    if !text.trim().is_empty() {
        cells.push(Cell { text: text.trim().to_owned(), column: begun.unwrap_or(1) });
    }
    cells
}

/// The columns of a line of dashes.
fn alignments(line: &Line<'_>) -> Option<Vec<Alignment>> {
    let column = |cell: Cell| {
        let dashes = cell.text.trim_matches(':');
        let is_dashes = !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-');
        is_dashes.then_some(if cell.text.ends_with(':') { Alignment::Right } else { Alignment::Left })
    };
    cells(line).into_iter().map(column).collect()
}

/// Writes a table aligned, without a line break at the end.
pub(super) fn aligned(header: &[String], alignments: &[Alignment], rows: &[Vec<String>]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let escaped = |row: &[String]| row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>();
    let header = escaped(header);
    let rows: Vec<Vec<String>> = rows.iter().map(|row| escaped(row)).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|at| {
            let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(at));
            cells.map(|cell| width(cell)).max().unwrap_or(0).max(3)
        })
        .collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).zip(alignments).map(|((cell, width), alignment)| match alignment {
            Alignment::Left => format!("{cell:<width$}"),
            Alignment::Right => format!("{cell:>width$}"),
        });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let dashes = widths.iter().zip(alignments).map(|(width, alignment)| match alignment {
        Alignment::Left => "-".repeat(*width),
        Alignment::Right => format!("{}:", "-".repeat(width - 1)),
    });
    let dashes = format!("| {} |", dashes.collect::<Vec<_>>().join(" | "));
    [line(&header), dashes].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}
