//! The generated lines one by one, as whoever sends them somewhere needs them: what each is, and whether it was sent before.
//!
//! A stream has one edition of the reference data: what the traffic of files does after its change comes all the same, and is rated by the
//! first edition.

use super::traffic::{self, Step};
use super::{Parameters, Profile, bench};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A usage record, or what pretends to be one.
    Usage {
        /// Whether a record of the same source and id was sent before.
        is_copy: bool,
    },
    /// An account command.
    Command,
    /// A tick.
    Tick,
}

/// Hands out all lines in order, without line feeds.
///
/// # Errors
/// Whatever `visit` answers; nothing follows it.
pub fn each_line(parameters: &Parameters, mut visit: impl FnMut(LineKind, &[u8]) -> io::Result<()>) -> io::Result<()> {
    match parameters.profile {
        Profile::Bench => {
            let mut line = Vec::new();
            bench::each(parameters, |item| match item {
                bench::Item::Tick(at_ms) => visit(LineKind::Tick, bench::tick_line(at_ms).as_bytes()),
                bench::Item::Usage { record, is_copy } => {
                    line.clear();
                    record.write_json(&mut line)?;
                    visit(LineKind::Usage { is_copy }, line.trim_ascii_end())
                }
            })
        }
        Profile::Traffic => {
            let mut sent = HashSet::new();
            for step in traffic::generate(parameters.seed, parameters.records).steps {
                match step {
                    Step::Line(line) => visit(kind_of(&line, &mut sent), &line)?,
                    Step::Replace(_) | Step::Recycle => {}
                }
            }
            Ok(())
        }
    }
}

/// What tells lines apart.
#[derive(Deserialize)]
struct Marks<'a> {
    #[serde(borrow)]
    command_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tick: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

fn kind_of(line: &[u8], sent: &mut HashSet<(String, String)>) -> LineKind {
    let Ok(marks) = serde_json::from_slice::<Marks<'_>>(line) else { return LineKind::Usage { is_copy: false } };
    if marks.command_id.is_some() {
        return LineKind::Command;
    }
    // One that names no time is something broken, and not for every partition.
    if marks.tick.is_some_and(|tick| tick.parse::<jiff::Timestamp>().is_ok()) {
        return LineKind::Tick;
    }
    let source = marks.source.unwrap_or_default().into_owned();
    let is_copy = marks.id.is_some_and(|id| !sent.insert((source, id.into_owned())));
    LineKind::Usage { is_copy }
}
