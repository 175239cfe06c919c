//! `rater completions`: for the shell.

use crate::args::{Arguments, CompletionsArgs};
use crate::console::Console;
use crate::exit::Failure;
use clap::CommandFactory;

/// Prints them.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn run(args: &CompletionsArgs, console: &mut Console) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "rater", &mut script);
    console.print_document(&String::from_utf8_lossy(&script))
}
