//! `rater directory`: the reference data in a store.

mod apply;
mod changes;
mod dump;
mod get;
mod load;
mod present;
mod verify;

use crate::args::{Command, DirectoryCommand};
use crate::config_file;
use crate::console::Console;
use crate::exit::Failure;
use clap::ArgMatches;

/// Runs one of them.
///
/// # Errors
/// Why it does not end with 0.
pub(crate) fn run(command: &DirectoryCommand, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let (store, name) = command.store();
    let merged;
    let command = match store.config() {
        None => command,
        Some(path) => {
            let (arguments, _) = config_file::merge(path, &["directory", name], matches)?;
            match arguments.command {
                Command::Directory(command) => merged = command,
                _ => return Err(Failure::Data(format!("{}: not for this command", path.display()))),
            }
            &merged
        }
    };
    match command {
        DirectoryCommand::Migrate(args) => load::migrate(args, console),
        DirectoryCommand::Load(args) => load::load(args, console),
        DirectoryCommand::Apply(args) => apply::apply(args, console),
        DirectoryCommand::Dump(args) => dump::dump(args, console),
        DirectoryCommand::Diff(args) => dump::diff(args, console),
        DirectoryCommand::Get(args) => get::get(args, console),
        DirectoryCommand::Changes(args) => changes::changes(args, console),
        DirectoryCommand::Verify(args) => verify::verify(args, console),
    }
}
