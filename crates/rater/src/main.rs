//! The command line: reads arguments, calls the libraries, shows what they answer.
//!
//! | module | owns |
//! | --- | --- |
//! | [`args`] | options and their defaults |
//! | [`commands`] | one module per command |
//! | `config_file` | settings from a file |
//! | [`console`] | what goes to stdout and stderr, and in which form |
//! | [`exit`] | exit codes |
//! | `log` | events of `run` as lines |
//! | [`present`] | tables, money, quantities |
//! | [`mod@reference`] | which files are the reference data |
//! | [`settings`] | options as the libraries take them |
//! | `store` | options as a connection to the store, its errors as exit codes |
//! | [`source`] | where reference data comes from: files or a store |
//!
//! Deliberately decides nothing: what a tariff, a record or a total means is known to the libraries.

mod args;
mod commands;
#[cfg(any(feature = "kafka", feature = "store"))]
mod config_file;
mod console;
mod exit;
#[cfg(feature = "kafka")]
mod log;
mod present;
mod reference;
mod settings;
mod source;
#[cfg(feature = "store")]
mod store;

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;

/// A batch makes and drops some ten texts per record on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = args::Arguments::command().get_matches();
    let arguments = match args::Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let mut console = console::Console::new(&arguments.globals);
    match commands::run(&arguments.command, &matches, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.failure(&failure);
            failure.code()
        }
    }
}
