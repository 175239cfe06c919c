//! Expected against actual rows: the longest common part stays, the rest is told as missing and unexpected.

use super::actual::{self, Happened, Standing};
use super::markdown::{Alignment, aligned};
use super::parse::{Column, Expectation};
use super::section::Subject;
use std::collections::BTreeMap;
use std::ops::Range;

/// A difference between what was expected and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line of the file.
    pub line: usize,
    /// What is wrong, in one line.
    pub title: String,
    /// The rows: `-` was expected and did not happen, `+` happened and was not expected.
    pub rows: Vec<String>,
}

/// A table as it would have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) bytes: Range<usize>,
    pub(super) lines: Vec<String>,
}

/// A row that happened.
struct ActualRow {
    shown: Vec<String>,
    canonical: Vec<String>,
}

/// Tables with more pairs of rows than this are compared row by row, without looking for the longest common part.
const MAX_PAIRS: usize = 4_000_000;

/// Compares; a difference comes with the table as it would have to be.
pub(super) fn compare(
    expectation: &Expectation,
    happened: &mut Happened,
    standing: &Standing<'_>,
) -> Option<(Finding, Edit)> {
    let actual = rows_of(expectation, happened, standing);
    let pairs = align(expectation, &actual);
    if pairs.iter().all(|pair| matches!(pair, Pair::Same(_, _))) {
        return None;
    }
    let finding = finding(expectation, &actual, &pairs);
    let rows: Vec<Vec<String>> = pairs.iter().filter_map(|pair| pair.updated(expectation, &actual)).collect();
    let lines = match expectation.subject {
        Subject::Duplicates => rows.into_iter().flatten().collect(),
        Subject::Charges
        | Subject::Suspense
        | Subject::Allowances
        | Subject::Balances
        | Subject::Deltas
        | Subject::Notifications => aligned(&header(&expectation.columns), &alignments(&expectation.columns), &rows),
    };
    Some((finding, Edit { bytes: expectation.bytes.clone(), lines }))
}

fn header(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.to_owned()).collect()
}

fn alignments(columns: &[Column]) -> Vec<Alignment> {
    columns.iter().map(|column| column.alignment).collect()
}

/// What happened, in the columns of the expectation; where order means nothing, in its order.
fn rows_of(expectation: &Expectation, happened: &mut Happened, standing: &Standing<'_>) -> Vec<ActualRow> {
    let columns = &expectation.columns;
    let asked = column_of(expectation, "account");
    let by_name = |rows: Vec<BTreeMap<&'static str, String>>| {
        let cells = |row: &BTreeMap<&str, String>| {
            columns.iter().map(|column| row.get(column.name).cloned().unwrap_or_default()).collect()
        };
        rows.iter().map(cells).collect::<Vec<Vec<String>>>()
    };
    let cell: fn(&serde_json::Value, &str) -> String = match expectation.subject {
        Subject::Charges => actual::charge,
        Subject::Suspense => actual::suspense,
        Subject::Deltas => actual::delta,
        Subject::Notifications => actual::notification,
        Subject::Allowances | Subject::Balances | Subject::Duplicates => |_, _| String::new(),
    };
    let rows: Vec<Vec<String>> = match expectation.subject {
        Subject::Charges | Subject::Suspense | Subject::Deltas | Subject::Notifications => {
            let messages = happened.take(expectation.subject);
            messages.iter().map(|message| columns.iter().map(|column| cell(message, column.name)).collect()).collect()
        }
        Subject::Balances => by_name(standing.balances(&asked, &std::mem::take(&mut happened.moved))),
        Subject::Allowances => by_name(standing.allowances(&asked)),
        Subject::Duplicates => vec![vec![std::mem::take(&mut happened.duplicates).to_string()]],
    };
    let actual = rows.into_iter().map(|shown| {
        let canonical = shown.iter().zip(columns).map(|(cell, column)| {
            // What the product writes is compared as text where it is not of the column's kind.
            column.kind.canonical(cell).unwrap_or_else(|_| cell.clone())
        });
        ActualRow { canonical: canonical.collect(), shown }
    });
    in_expected_order(expectation, actual.collect())
}

fn column_of<'e>(expectation: &'e Expectation, name: &str) -> Vec<&'e str> {
    let Some(at) = expectation.columns.iter().position(|column| column.name == name) else { return Vec::new() };
    expectation.rows.iter().filter_map(|row| row.shown.get(at)).map(String::as_str).collect()
}

fn in_expected_order(expectation: &Expectation, actual: Vec<ActualRow>) -> Vec<ActualRow> {
    let keys = expectation.subject.keys();
    if keys.is_empty() {
        return actual;
    }
    let places: Vec<usize> =
        (0..).zip(&expectation.columns).filter(|(_, column)| keys.contains(&column.name)).map(|(at, _)| at).collect();
    let key = |canonical: &[String]| places.iter().map(|at| canonical.get(*at).cloned()).collect::<Vec<_>>();
    let mut left: Vec<Option<ActualRow>> = actual.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(left.len());
    for expected in &expectation.rows {
        let wanted = key(&expected.canonical);
        let same = |row: &&mut Option<ActualRow>| row.as_ref().is_some_and(|row| key(&row.canonical) == wanted);
        // Of several with this key, one that is equal as a whole comes first.
        let whole = left.iter().position(|row| row.as_ref().is_some_and(|row| row.canonical == expected.canonical));
        let found = match whole.and_then(|at| left.get_mut(at)) {
            Some(found) => found.take(),
            None => left.iter_mut().find(same).and_then(Option::take),
        };
        ordered.extend(found);
    }
    ordered.extend(left.into_iter().flatten());
    ordered
}

/// How rows go together, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    Same(usize, usize),
    Missing(usize),
    Unexpected(usize),
}

impl Pair {
    /// The row as it would have to be: what is right keeps its wording.
    fn updated(self, expectation: &Expectation, actual: &[ActualRow]) -> Option<Vec<String>> {
        match self {
            Pair::Same(expected, _) => expectation.rows.get(expected).map(|row| row.shown.clone()),
            Pair::Missing(_) => None,
            Pair::Unexpected(at) => actual.get(at).map(|row| row.shown.clone()),
        }
    }
}

/// The longest common part of both lists, with what stands between.
fn align(expectation: &Expectation, actual: &[ActualRow]) -> Vec<Pair> {
    let expected = &expectation.rows;
    let same = |e: usize, a: usize| match (expected.get(e), actual.get(a)) {
        (Some(expected), Some(actual)) => expected.canonical == actual.canonical,
        (None, _) | (_, None) => false,
    };
    let (height, width) = (expected.len(), actual.len());
    if height.saturating_mul(width) > MAX_PAIRS {
        let rows = (0..height.max(width)).flat_map(|at| match (at < height, at < width) {
            (true, true) if same(at, at) => vec![Pair::Same(at, at)],
            (true, true) => vec![Pair::Missing(at), Pair::Unexpected(at)],
            (true, false) => vec![Pair::Missing(at)],
            (false, _) => vec![Pair::Unexpected(at)],
        });
        return rows.collect();
    }
    // lengths[e][a]: of the longest common part of what follows.
    let mut lengths = vec![vec![0_u32; width + 1]; height + 1];
    for e in (0..height).rev() {
        for a in (0..width).rev() {
            lengths[e][a] =
                if same(e, a) { lengths[e + 1][a + 1] + 1 } else { lengths[e + 1][a].max(lengths[e][a + 1]) };
        }
    }
    let (mut e, mut a) = (0, 0);
    let mut pairs = Vec::with_capacity(height + width);
    while e < height || a < width {
        if e < height && a < width && same(e, a) {
            pairs.push(Pair::Same(e, a));
            (e, a) = (e + 1, a + 1);
        } else if a == width || (e < height && lengths[e + 1][a] >= lengths[e][a + 1]) {
            pairs.push(Pair::Missing(e));
            e += 1;
        } else {
            pairs.push(Pair::Unexpected(a));
            a += 1;
        }
    }
    pairs
}

fn finding(expectation: &Expectation, actual: &[ActualRow], pairs: &[Pair]) -> Finding {
    let shown: Vec<(char, usize, Vec<String>)> = pairs
        .iter()
        .filter_map(|pair| match *pair {
            Pair::Same(at, _) => expectation.rows.get(at).map(|row| (' ', row.line, row.shown.clone())),
            Pair::Missing(at) => expectation.rows.get(at).map(|row| ('-', row.line, row.shown.clone())),
            Pair::Unexpected(at) => actual.get(at).map(|row| ('+', 0, row.shown.clone())),
        })
        .collect();
    let count = |mark: char| shown.iter().filter(|(is, _, _)| *is == mark).count();
    let title = format!(
        "{}: {} expected and missing, {} happened and not expected",
        expectation.subject.name(),
        count('-'),
        count('+')
    );
    let cells: Vec<Vec<String>> = shown.iter().map(|(_, _, cells)| cells.clone()).collect();
    let mut lines = aligned(&header(&expectation.columns), &alignments(&expectation.columns), &cells).into_iter();
    let mut rows: Vec<String> = lines.by_ref().take(2).map(|line| format!("  {line}")).collect();
    rows.extend(lines.zip(&shown).map(|(line, (mark, place, _))| match mark {
        '-' => format!("{mark} {line}  line {place}"),
        _ => format!("{mark} {line}"),
    }));
    let first = shown.iter().find(|(mark, _, _)| *mark == '-').map_or(expectation.line, |(_, line, _)| *line);
    Finding { line: first, title, rows }
}

/// What happened and nobody expected, at the end of a scenario: nothing that decides about money passes unseen.
pub(super) fn leftovers(line: usize, happened: &Happened) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |subject: Subject, columns: &[&str], rows: Vec<Vec<String>>| {
        if rows.is_empty() {
            return;
        }
        let header: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut lines = aligned(&header, &vec![Alignment::Left; columns.len()], &rows).into_iter();
        let mut told: Vec<String> = lines.by_ref().take(2).map(|line| format!("  {line}")).collect();
        told.extend(lines.map(|line| format!("+ {line}")));
        let title = format!("{}: {} happened and nothing follows that expects them", subject.name(), rows.len());
        findings.push(Finding { line, title, rows: told });
    };
    let row = |message: &serde_json::Value, columns: &[&str], cell: fn(&serde_json::Value, &str) -> String| {
        columns.iter().map(|column| cell(message, column)).collect::<Vec<_>>()
    };
    let charges = ["usage", "level", "payer", "payee", "amount", "reason"];
    tell(
        Subject::Charges,
        &charges,
        happened.charges.iter().map(|message| row(message, &charges, actual::charge)).collect(),
    );
    let suspense = ["usage", "level", "reason", "detail"];
    tell(
        Subject::Suspense,
        &suspense,
        happened.suspense.iter().map(|message| row(message, &suspense, actual::suspense)).collect(),
    );
    if happened.duplicates > 0 {
        tell(Subject::Duplicates, &["duplicates"], vec![vec![happened.duplicates.to_string()]]);
    }
    findings
}
