//! `rater directory changes`: the change log.

use super::present::effect_text;
use crate::args::ChangesArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use crate::settings;
use crate::store::{Connected, connect, failure};
use directory::cache::Version;
use rating::Timestamp;
use serde_json::json;

/// Shows what was written.
///
/// # Errors
/// A version that there is none of; a store that cannot be reached.
pub(super) fn changes(args: &ChangesArgs, console: &mut Console) -> Result<(), Failure> {
    let connected = connect(&args.store)?;
    match args.number {
        Some(version) => of_version(&connected, Version(version), args, console),
        None => versions(&connected, args, console),
    }
}

fn versions(connected: &Connected, args: &ChangesArgs, console: &mut Console) -> Result<(), Failure> {
    let until = connected.runtime.block_on(connected.store.clock()).map_err(failure)?;
    let back = settings::milliseconds("--since", &args.since)?;
    let from = Timestamp::from_millis(until.millis().saturating_sub(back));
    let found = connected.runtime.block_on(connected.store.versions(from, until)).map_err(failure)?;
    let found = found.into_iter().filter(|written| written.retroactive || !args.retroactive);
    if console.json {
        let each = found.map(|written| {
            json!({
                "version": written.version.0,
                "written_at": written.written_at.to_string(),
                "from": written.effect.to_json(),
                "retroactive": written.retroactive,
                "actor": written.actor,
                "note": written.note,
                "counts": written.counts,
            })
        });
        return console.print_json(&each.collect());
    }
    let mut table = Table::new(&[
        ("VERSION", Align::Right),
        ("WRITTEN AT", Align::Left),
        ("BY", Align::Left),
        ("+", Align::Right),
        ("~", Align::Right),
        ("-", Align::Right),
        ("ANSWERS DIFFER FROM", Align::Left),
        ("NOTE", Align::Left),
    ]);
    for written in found {
        let count = |what: &str| written.counts[what].to_string();
        let cells = vec![
            written.version.to_string(),
            written.written_at.to_string(),
            written.actor.clone(),
            count("added"),
            count("changed"),
            count("removed"),
            effect_text(written.effect),
            written.note.clone(),
        ];
        table.row(cells, if written.retroactive { "retroactive" } else { "" });
    }
    let text = table.render(console.paint());
    console.print(&text)
}

fn of_version(
    connected: &Connected,
    version: Version,
    args: &ChangesArgs,
    console: &mut Console,
) -> Result<(), Failure> {
    let found = connected.runtime.block_on(connected.store.changes_of(version)).map_err(failure)?;
    let found = found.into_iter().filter(|change| change.is_retroactive() || !args.retroactive);
    if console.json {
        return console.print_json(&found.map(|change| change.0).collect());
    }
    let mut table = Table::new(&[
        ("WHAT", Align::Left),
        ("KIND", Align::Left),
        ("NAME", Align::Left),
        ("ANSWERS DIFFER FROM", Align::Left),
    ]);
    for change in found {
        let cell = |key: &str| change.0[key].as_str().unwrap_or_default().to_owned();
        let remark = if change.is_retroactive() { "retroactive: rate again" } else { "" };
        table.row(["what", "kind", "name", "from"].map(cell).to_vec(), remark);
    }
    let text = table.render(console.paint());
    console.print(&text)
}
