//! What was found: a table, and the first differences.

use std::fmt;

/// How many differences are kept in words.
pub const SHOWN: usize = 20;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is checked.
    pub check: String,
    /// What has to be, or one side of an equation.
    pub expected: String,
    /// What is there, or its other side.
    pub found: String,
    /// How many differences there are.
    pub differences: u64,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The table.
    pub rows: Vec<Row>,
    /// The first differences, in words.
    pub shown: Vec<String>,
    /// How many differences there are altogether.
    pub differences: u64,
    /// Differences since the last row.
    pub(super) since_row: u64,
    /// The first of what may still come right, in words, and how much there is.
    unsettled: (Vec<String>, u64),
}

impl Report {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences == 0
    }

    /// The row of a check.
    #[must_use]
    pub fn row(&self, check: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.check == check)
    }

    pub(super) fn differ(&mut self, words: impl FnOnce() -> String) {
        self.differences += 1;
        self.since_row += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(words());
        }
    }

    /// Notes something that is a difference if it stays so.
    pub(super) fn unsettled(&mut self, count: u64, words: impl FnOnce() -> String) {
        self.unsettled.1 += count;
        if self.unsettled.0.len() < SHOWN {
            self.unsettled.0.push(words());
        }
    }

    /// How much may still come right.
    pub(super) fn count_unsettled(&self) -> u64 {
        self.unsettled.1
    }

    /// It stayed so.
    pub(super) fn give_up(&mut self) {
        let (words, count) = std::mem::take(&mut self.unsettled);
        self.differences += count;
        self.since_row += count;
        self.shown.extend(words.into_iter().take(SHOWN.saturating_sub(self.shown.len())));
    }

    /// Ends a check: its differences are those since the row before.
    pub(super) fn end(&mut self, check: impl Into<String>, expected: impl fmt::Display, found: impl fmt::Display) {
        let differences = std::mem::take(&mut self.since_row);
        let (expected, found) = (expected.to_string(), found.to_string());
        self.rows.push(Row { check: check.into(), expected, found, differences });
    }

    /// Ends a check of two numbers that have to be equal.
    pub(super) fn end_equal<T: PartialEq + fmt::Display>(&mut self, check: &str, expected: T, found: T) {
        if expected != found && self.since_row == 0 {
            self.differ(|| format!("{check}: {expected} expected, {found} found"));
        }
        self.end(check, expected, found);
    }

    /// As one JSON object.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "check": row.check, "expected": row.expected, "found": row.found, "differences": row.differences,
            })
        });
        serde_json::json!({
            "rows": rows.collect::<Vec<_>>(), "differences": self.differences, "shown": self.shown,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Row) -> &str, title: &str| {
            self.rows.iter().map(|row| of(row).chars().count()).chain([title.len()]).max().unwrap_or(0)
        };
        let (check, expected) = (width(|row| &row.check, "CHECK"), width(|row| &row.expected, "EXPECTED"));
        let found = width(|row| &row.found, "FOUND");
        writeln!(f, "{:check$}  {:>expected$}  {:>found$}", "CHECK", "EXPECTED", "FOUND")?;
        for row in &self.rows {
            let mark = match row.differences {
                0 => "✓".to_owned(),
                1 => "✗ 1 difference".to_owned(),
                count => format!("✗ {count} differences"),
            };
            writeln!(f, "{:check$}  {:>expected$}  {:>found$}  {mark}", row.check, row.expected, row.found)?;
        }
        for words in &self.shown {
            writeln!(f, "  {words}")?;
        }
        let more = self.differences.saturating_sub(self.shown.len() as u64);
        if more > 0 {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }
}
