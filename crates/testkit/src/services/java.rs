//! The Java of this machine: which one, whether it is new enough, and its processes.

use super::ServiceError;
use super::process::Process;
use super::run::Run;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The oldest Java that the services run on.
const OLDEST_JAVA: u32 = 17;

/// Describes a process of Java; see [`Process::new`].
///
/// # Errors
/// `JAVA_HOME` is not text.
pub(super) fn process(
    name: String,
    run: Arc<Run>,
    folder: PathBuf,
    arguments: Vec<String>,
) -> Result<Process, ServiceError> {
    let command = std::iter::once(program()?).chain(arguments).collect();
    Ok(Process::new(name, run, folder, command))
}

/// Runs a short program of a service to its end.
///
/// # Errors
/// It does not end well; the error has what it said.
pub(super) fn run_to_end(name: &str, folder: &Path, arguments: &[String]) -> Result<(), ServiceError> {
    let said = Command::new(program()?)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(ServiceError::io(name))?;
    if said.status.success() {
        return Ok(());
    }
    Err(ServiceError::Surroundings(format!(
        "{name}: {}\n{}{}",
        said.status,
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    )))
}

/// The Java to use.
pub(super) fn program() -> Result<String, ServiceError> {
    match std::env::var("JAVA_HOME") {
        Ok(home) if !home.is_empty() => Ok(format!("{home}/bin/java")),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok("java".to_owned()),
        Err(error) => Err(ServiceError::Surroundings(format!("JAVA_HOME: {error}"))),
    }
}

/// That there is a Java that is new enough.
///
/// # Errors
/// [`ServiceError::Missing`], with what to install.
pub(super) fn check_version() -> Result<(), ServiceError> {
    let program = program()?;
    let missing = |found: String| ServiceError::Missing {
        program: "Java",
        advice: format!(
            "{found}; install Java {OLDEST_JAVA} or newer (Debian, Ubuntu: apt-get install openjdk-17-jre-headless; macOS: brew \
             install openjdk@17), in PATH or in JAVA_HOME"
        ),
    };
    let said = Command::new(&program).arg("-version").stdin(Stdio::null()).output();
    let said = said.map_err(|error| missing(format!("{program}: {error}")))?;
    let text = String::from_utf8_lossy(&said.stderr);
    match major_version(&text) {
        Some(version) if version >= OLDEST_JAVA => Ok(()),
        _ => Err(missing(format!("{program} -version says: {}", text.trim()))),
    }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`; 1 of `java version "1.8.0_402"`.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split('"').nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
