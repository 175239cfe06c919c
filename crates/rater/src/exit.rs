//! How a command ends.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | fine |
//! | 1 | findings: the command worked and found something that it was to find; or somebody else was quicker, and it can be tried again |
//! | 2 | usage, data or configuration |
//! | 3 | surroundings unreachable: outputs, stores |
//! | 70 | control totals broken: a defect of the program, nothing of the batch was committed |

use directory::Refused;
use runtime::embedded::{RunError, RunSettings};
use runtime::engine::EngineError;
use runtime::state::StoreError;
use std::process::ExitCode;

/// Why a command does not end with 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something was found, and has been said already.
    Findings,
    /// Usage, data or configuration.
    Data(String),
    /// A folder that cannot be gone on with: a stable code, and the words.
    Folder(&'static str, String),
    /// Reference data with errors.
    Reference(Box<Refused>),
    /// Somebody else was quicker; nothing was done, and it can be tried again.
    #[cfg(feature = "store")]
    Conflict(String),
    /// Surroundings.
    Surroundings(String),
    /// Control totals.
    Control(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    fn number(&self) -> u8 {
        match self {
            Failure::Findings => 1,
            #[cfg(feature = "store")]
            Failure::Conflict(_) => 1,
            Failure::Data(_) | Failure::Folder(..) | Failure::Reference(_) => 2,
            Failure::Surroundings(_) => 3,
            Failure::Control(_) => 70,
        }
    }

    /// A stable word for tools.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Findings => "findings",
            #[cfg(feature = "store")]
            Failure::Conflict(_) => "conflict",
            Failure::Data(_) => "data",
            Failure::Folder(..) => "folder",
            Failure::Reference(_) => "reference",
            Failure::Surroundings(_) => "surroundings",
            Failure::Control(_) => "control_totals",
        }
    }

    /// From a run: an input that cannot be read is a matter of usage, an output that cannot be written one of surroundings.
    pub(crate) fn of_run(error: RunError, settings: &RunSettings) -> Failure {
        let is_input = |path| settings.inputs.iter().any(|input| &input.path == path);
        match &error {
            RunError::File(path, _) if is_input(path) => Failure::Data(error.to_string()),
            _ => Failure::from(error),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        let text = error.to_string();
        if let Some(code) = error.code() {
            return Failure::Folder(code, text);
        }
        match error {
            RunError::Input(..)
            | RunError::UnknownFormat(_)
            | RunError::Exposed(..)
            | RunError::OutputExists(_)
            | RunError::OutputTouched(_)
            | RunError::OutputEdited(_)
            | RunError::StateOlder { .. }
            | RunError::StateForeign(_)
            | RunError::OutputMissing(_)
            | RunError::OtherFormat { .. }
            | RunError::NotAnInput(..)
            | RunError::Interrupted { .. }
            | RunError::OtherContent { .. }
            | RunError::Shrunk { .. }
            | RunError::Currency(_)
            | RunError::Store(StoreError::Format(_)) => Failure::Data(text),
            RunError::File(..)
            | RunError::Store(StoreError::Database(_) | StoreError::Corrupt(_) | StoreError::InUse)
            | RunError::Ids(_)
            | RunError::Directory(_)
            | RunError::WriterStopped => Failure::Surroundings(text),
            RunError::Control(_) => Failure::Control(text),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::from(RunError::from(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::ControlMismatch;

    /// What no test can provoke from outside.
    #[test]
    fn broken_totals_and_stores_have_codes_of_their_own() {
        let mismatch = || ControlMismatch { check: "records", detail: "3 received, 2 outcomes".to_owned() };
        assert_eq!(Failure::from(RunError::Control(mismatch())).number(), 70);
        assert_eq!(Failure::from(EngineError::Control(mismatch())).number(), 70);
        assert_eq!(Failure::from(RunError::Store(StoreError::InUse)).number(), 3);
        assert_eq!(Failure::from(RunError::Store(StoreError::Format(9))).number(), 2);
    }
}
