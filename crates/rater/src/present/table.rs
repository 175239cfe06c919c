//! Columns of text, two spaces apart.

use crate::console::Paint;
use directory::visible;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// At the left.
    Left,
    /// At the right.
    Right,
}

/// A table with a header. A header in the last column may be wider than the column.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<(&'static str, Align)>,
    rows: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    Cells { cells: Vec<String>, remark: String },
    Text(String),
}

impl Table {
    /// An empty table.
    pub(crate) fn new(header: &[(&'static str, Align)]) -> Table {
        Table { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; the remark stands behind its last cell.
    pub(crate) fn row(&mut self, cells: Vec<String>, remark: &str) {
        // A name with a line break would look like a row of its own.
        let cells = cells.into_iter().map(|cell| visible(&cell).into_owned()).collect();
        self.rows.push(Line::Cells { cells, remark: remark.to_owned() });
    }

    /// Adds a line without columns.
    pub(crate) fn text(&mut self, text: String) {
        self.rows.push(Line::Text(text));
    }

    /// The lines.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let last = self.header.len().saturating_sub(1);
        let mut header = String::new();
        for (at, ((title, align), width)) in self.header.iter().zip(&widths).enumerate() {
            if at > 0 {
                header.push_str("  ");
            }
            let align = if at == last { Align::Left } else { *align };
            pad(&mut header, title, *width, align);
        }
        let mut text = paint.bold(header.trim_end());
        text.push('\n');
        for row in &self.rows {
            let mut line = String::new();
            match row {
                Line::Text(words) => line.push_str(words),
                Line::Cells { cells, remark } => {
                    for (at, ((cell, (_, align)), width)) in cells.iter().zip(&self.header).zip(&widths).enumerate() {
                        if at > 0 {
                            line.push_str("  ");
                        }
                        pad(&mut line, cell, *width, *align);
                    }
                    if !remark.is_empty() {
                        line.push_str("  ");
                        line.push_str(&paint.bad(remark));
                    }
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let last = self.header.len().saturating_sub(1);
        let mut widths: Vec<usize> = self
            .header
            .iter()
            .enumerate()
            .map(|(at, (title, _))| if at == last { 0 } else { title.chars().count() })
            .collect();
        for row in &self.rows {
            if let Line::Cells { cells, .. } = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        widths
    }
}

fn pad(line: &mut String, text: &str, width: usize, align: Align) {
    let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
    match align {
        Align::Left => {
            line.push_str(text);
            line.push_str(&blanks);
        }
        Align::Right => {
            line.push_str(&blanks);
            line.push_str(text);
        }
    }
}
