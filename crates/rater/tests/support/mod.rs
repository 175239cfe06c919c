//! The program as people start it: a folder, arguments, and what comes out.
#![allow(dead_code, reason = "each test binary uses its own part of the helper")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary; `RATER_KILL_BINARY` names another one, such as that of a release.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("RATER_KILL_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rater")), PathBuf::from)
}

/// A command without settings of the person who runs the tests.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RATER_") {
            command.env_remove(name);
        }
    }
    command.env_remove("NO_COLOR").env_remove("CI").current_dir(folder);
    command
}

/// Runs `rater` with these arguments.
pub(crate) fn rater(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(folder).args(arguments).output().expect("the program runs");
    Ran::from(output)
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

impl Ran {
    /// Insists on an exit code.
    pub(crate) fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}stderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

/// A folder with the example in it.
pub(crate) fn example() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    rater(folder.path(), &["init"]).expect(0);
    folder
}

/// Writes a file.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}
