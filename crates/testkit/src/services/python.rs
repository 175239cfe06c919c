//! A Python with packages of its own, for tests that let other people's clients read and write our bytes.

use super::{ServiceError, cache};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const INSTALL_PYTHON: &str = "no program python3 with venv and pip; install Python 3.9 or newer \
     (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python)";

/// A virtual environment in the shared folder.
#[derive(Clone, Debug)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// The environment of this name with these packages, made if it is not there; a name stands for one list of packages, versions
    /// included. Any number of processes may ask at once.
    ///
    /// # Errors
    /// No Python, or pip's own errors.
    pub fn with(name: &str, packages: &[&str]) -> Result<Python, ServiceError> {
        let folder = cache::folder()?;
        let environments = folder.join("python");
        fs::create_dir_all(&environments).map_err(ServiceError::io(environments.display()))?;
        let there = environments.join(name);
        // The last thing written: says that everything is there, and what.
        let (complete, wanted) = (there.join("complete"), packages.join("\n"));
        let _alone = cache::lock(&folder.join("python.lock"))?;
        let program = there.join("bin/python");
        if fs::read_to_string(&complete).is_ok_and(|packages| packages == wanted) {
            return Ok(Python { program });
        }
        if there.exists() {
            fs::remove_dir_all(&there).map_err(ServiceError::io(there.display()))?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&there))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
        run(Command::new(&program).args(pip).args(packages))?;
        fs::write(&complete, wanted).map_err(ServiceError::io(complete.display()))?;
        Ok(Python { program })
    }

    /// Runs a script to its end and returns what it put out.
    ///
    /// # Errors
    /// It failed: with all that it said.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Result<String, ServiceError> {
        let said = run(self.command(script).args(arguments))?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// A script to be started by the caller, who also ends it.
    pub fn command(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.program);
        // No compiled files beside the script: it is in the source tree.
        command.arg("-B").arg(script);
        command
    }
}

fn run(command: &mut Command) -> Result<Output, ServiceError> {
    let shown = format!("{command:?}");
    match command.stdin(Stdio::null()).output() {
        Ok(said) if said.status.success() => Ok(said),
        Ok(said) => Err(ServiceError::Surroundings(format!(
            "{shown}: {}\n{}{}",
            said.status,
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ServiceError::Missing { program: "Python", advice: INSTALL_PYTHON.to_owned() })
        }
        Err(error) => Err(ServiceError::Surroundings(format!("{shown}: {error}"))),
    }
}
