//! One module per command.

mod check;
mod completions;
mod config;
#[cfg(feature = "store")]
mod directory;
mod explain;
mod init;
mod quote;
mod rate;
#[cfg(feature = "kafka")]
mod run;
#[cfg(feature = "kafka")]
mod schema;
#[cfg(feature = "kafka")]
mod suspense;
#[cfg(feature = "kafka")]
mod tail;
mod test;
#[cfg(feature = "kafka")]
mod top;
#[cfg(feature = "kafka")]
mod topics;

use crate::args::Command;
use crate::console::Console;
use crate::exit::Failure;
use clap::ArgMatches;

/// Runs a command.
///
/// # Errors
/// Why it does not end with 0.
pub(crate) fn run(command: &Command, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(args, console),
        Command::Check(args) => check::run(args, console),
        Command::Rate(args) => rate::run(args, console),
        #[cfg(feature = "kafka")]
        Command::Run(args) => run::run(args, matches, console),
        #[cfg(feature = "kafka")]
        Command::Topics(command) => topics::run(command, matches, console),
        #[cfg(feature = "store")]
        Command::Directory(command) => directory::run(command, matches, console),
        #[cfg(feature = "kafka")]
        Command::Tail(args) => tail::run(args, console),
        #[cfg(feature = "kafka")]
        Command::Suspense(command) => suspense::run(command, matches, console),
        #[cfg(feature = "kafka")]
        Command::Top(args) => top::run(args, console),
        Command::Explain(args) => explain::run(args, console),
        Command::Quote(args) => quote::run(args, console),
        Command::Test(args) => test::run(args, console),
        Command::Config(args) => config::run(args, matches, console),
        #[cfg(feature = "kafka")]
        Command::Schema(command) => schema::run(command, console),
        Command::Completions(args) => completions::run(args, console),
    }
}
