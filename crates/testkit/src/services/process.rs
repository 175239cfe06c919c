//! One process of a service, which can be stopped, killed, frozen and started again with the same arguments.

use super::ServiceError;
use super::run::Run;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a service may take to end by itself before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A process that runs, or that was ended and can be started again.
pub(super) struct Process {
    /// What errors call it.
    name: String,
    command: Vec<String>,
    folder: PathBuf,
    log: PathBuf,
    run: Arc<Run>,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Describes a process; nothing runs yet. `command` is the program and its arguments, one of which has to name the folder of
    /// the run; `folder` is where it runs and keeps `log`.
    pub(super) fn new(name: String, run: Arc<Run>, folder: PathBuf, command: Vec<String>) -> Self {
        let log = folder.join("log");
        Self { name, command, folder, log, run, child: Mutex::new(None) }
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Starts it, if it does not run.
    pub(super) fn start(&self) -> Result<(), ServiceError> {
        let mut child = self.child();
        if child.is_none() {
            *child = Some(self.run.spawn(&self.command, &self.folder, &self.log)?);
        }
        Ok(())
    }

    /// That it runs: a process that ended by itself is an error with its last words.
    pub(super) fn check(&self) -> Result<(), ServiceError> {
        let mut child = self.child();
        let Some(running) = child.as_mut() else {
            return Err(ServiceError::failed(format!("{} is not running", self.name), &self.log));
        };
        let ended = running.try_wait().map_err(ServiceError::io(&self.name))?;
        let Some(status) = ended else { return Ok(()) };
        self.run.forget(running.id())?;
        *child = None;
        Err(ServiceError::failed(format!("{} ended by itself: {status}", self.name), &self.log))
    }

    /// Sends a signal to the process, which has to run.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        self.check()?;
        self.child().as_ref().map_or(Ok(()), |child| send(child, signal, &self.name))
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) -> Result<(), ServiceError> {
        match self.child().as_ref() {
            // A frozen process would look at the other signal only when it is thawed.
            Some(child) => send(child, Signal::TERM, &self.name).and_then(|()| send(child, Signal::CONT, &self.name)),
            None => Ok(()),
        }
    }

    /// Waits until it has ended after [`Self::ask_to_end`]; kills it after [`STOP_LIMIT`], as a service manager does.
    pub(super) fn wait_for_end(&self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            let mut child = self.child();
            let Some(running) = child.as_mut() else { return Ok(()) };
            if running.try_wait().map_err(ServiceError::io(&self.name))?.is_some() {
                self.run.forget(running.id())?;
                *child = None;
                return Ok(());
            }
            drop(child);
            std::thread::sleep(LOOK_AGAIN);
        }
        self.kill()
    }

    /// Ends it by SIGKILL and waits until it is gone. Fine if it does not run.
    pub(super) fn kill(&self) -> Result<(), ServiceError> {
        let Some(mut child) = self.child().take() else { return Ok(()) };
        child.kill().map_err(ServiceError::io(&self.name))?;
        self.run.forget(child.id())?;
        child.wait().map_err(ServiceError::io(&self.name))?;
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    /// Data is thrown away, so nothing has to be ended in order.
    fn drop(&mut self) {
        // What fails here is left to the keeper.
        let _ = self.kill();
    }
}

/// The child has not been waited for, so its id is its own.
fn send(child: &Child, signal: Signal, name: &str) -> Result<(), ServiceError> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(id) = id else { return Err(ServiceError::Surroundings(format!("{name}: no process id"))) };
    kill_process(id, signal).map_err(|error| ServiceError::Surroundings(format!("{name}: {error}")))
}
