//! `rater directory dump` and `diff`.

use super::present::{counts, table, to_json};
use crate::args::{DiffArgs, DumpArgs};
use crate::console::Console;
use crate::exit::Failure;
use crate::reference;
use crate::store::{connect, failure};
use directory::store::Csv;
use runtime::embedded::create_private_file;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Writes what the store holds.
///
/// # Errors
/// A store that cannot be reached, a file that cannot be written.
pub(super) fn dump(args: &DumpArgs, console: &mut Console) -> Result<(), Failure> {
    let connected = connect(&args.store)?;
    let csv = if args.endpoints.is_some() { Csv::Endpoints } else { Csv::No };
    let contents = connected.runtime.block_on(connected.store.dump(csv, &mut |_| {})).map_err(failure)?;
    if let (Some(path), Some(csv)) = (&args.endpoints, &contents.csv) {
        write(path, csv)?;
    }
    match &args.output {
        Some(path) => write(path, &contents.yaml)?,
        None if console.json => {}
        None => console.print_document(&contents.yaml)?,
    }
    if console.json {
        let yaml = if args.output.is_none() { json!(contents.yaml) } else { json!(null) };
        return console.print_json(&json!({ "version": contents.version.0, "yaml": yaml }));
    }
    console.say(&format!("version {}", contents.version));
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // Identities of people are in it. A file that is there already stays open to whom it is.
    let written = create_private_file(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::Surroundings(format!("{}: {error}", path.display())))
}

/// Compares.
///
/// # Errors
/// [`Failure::Findings`] where they differ; reference data with errors; a store that cannot be reached.
pub(super) fn diff(args: &DiffArgs, console: &mut Console) -> Result<(), Failure> {
    let inputs = reference::read_named(&args.files)?;
    let loaded = reference::load_inputs(inputs.clone())?;
    let connected = connect(&args.store)?;
    let diff = connected.runtime.block_on(connected.store.diff(&inputs, &loaded)).map_err(failure)?;
    let (version, changes) = diff;
    let now = connected.runtime.block_on(connected.store.clock()).map_err(failure)?;
    if console.json {
        console.print_json(&json!({ "version": version.0, "changes": to_json(&changes, now) }))?;
    } else if changes.is_empty() {
        console.print(&format!("no difference to version {version} ✓\n"))?;
    } else {
        let shown = table(&changes, now, console.paint());
        console.print(&shown)?;
        console.print(&format!("\nwhat the files would make of version {version}: {}\n", counts(&changes)))?;
    }
    if changes.is_empty() { Ok(()) } else { Err(Failure::Findings) }
}
