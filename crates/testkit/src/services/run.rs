//! The folder and the ports of one running service, and that neither folder nor process outlives the test process.
//!
//! A test process may end in ways that run no code of ours: SIGKILL, or with the service in a static. So a shell, the
//! *keeper*, reads a pipe from the test process. It is told the ids of the service's processes, and when the pipe ends it kills
//! them and removes the folder. A process does not begin its work before the keeper knows it: it waits for a line first.
//! Should the keeper be killed as well, the next start of any service finds the folder without a lock and does the same.

use super::ServiceError;
use super::cache;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports from which systems choose for outgoing connections: none of those can take the port of a service that is down.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// `+ id` and `- id` say which processes there are; the end of the input says that nobody is left who could.
const KEEPER: &str = r#"
trap '' INT TERM HUP
ids=
while read -r verb id; do
    kept=
    for known in $ids; do [ "$known" = "$id" ] || kept="$kept $known"; done
    ids=$kept
    [ "$verb" = + ] && ids="$ids $id"
done
for id in $ids; do kill -KILL "$id" 2>/dev/null; done
tries=0
while ! rm -rf -- "$1" 2>/dev/null && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// Numbers the runs of this process.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// As whom a process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum User {
    /// As the tests do.
    Ours,
    /// As the one who owns nothing: for programs that root must not run. Only root can become somebody else.
    Nobody,
}

impl User {
    /// Number of the user and of the group that Linux sets aside for this.
    pub(super) const NOBODY: u32 = 65534;

    /// Has a command run as this user.
    pub(super) fn apply(self, command: &mut Command) {
        match self {
            Self::Ours => {}
            Self::Nobody => {
                command.uid(Self::NOBODY).gid(Self::NOBODY);
            }
        }
    }
}

/// One running service: its folder, its ports, its keeper.
pub(super) struct Run {
    folder: PathBuf,
    keeper: Mutex<Child>,
    /// Locked as long as this process lives.
    _owner: File,
    ports: Vec<(u16, File)>,
    user: User,
}

impl Run {
    /// A fresh folder with `ports` free ports, after removing what crashed runs left behind.
    ///
    /// # Errors
    /// The cache cannot be written, or there are no ports.
    pub(super) fn new(cache: &Path, ports: usize) -> Result<Self, ServiceError> {
        Self::below(cache, cache, ports, User::Ours)
    }

    /// The same with the folder below another one, which has a folder `runs`, and its processes as another user. Ports are those of
    /// the cache.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn below(place: &Path, cache: &Path, ports: usize, user: User) -> Result<Self, ServiceError> {
        let (folder, owner) = {
            let _alone = cache::lock(&place.join("runs.lock"))?;
            remove_leftovers(&place.join("runs"));
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let folder = place.join("runs").join(format!("{}-{number}", std::process::id()));
            fs::create_dir_all(&folder).map_err(ServiceError::io(folder.display()))?;
            let owner = cache::lock(&folder.join(OWNER))?;
            (folder, owner)
        };
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "rater-keeper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: what interrupts the tests at a terminal must not end the one who cleans up.
            .process_group(0)
            .spawn()
            .map_err(ServiceError::io("cannot start sh"))?;
        Ok(Self {
            folder,
            keeper: Mutex::new(keeper),
            _owner: owner,
            ports: take_ports(&cache.join("ports"), ports)?,
            user,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port of an index below the number that was asked for.
    pub(super) fn port(&self, index: usize) -> u16 {
        self.ports[index].0
    }

    /// Starts a process that the keeper knows from the first on; its output is appended to `log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn spawn(&self, command: &[String], folder: &Path, log: &Path) -> Result<Child, ServiceError> {
        let output = File::options().create(true).append(true).open(log).map_err(ServiceError::io(log.display()))?;
        let errors = output.try_clone().map_err(ServiceError::io(log.display()))?;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"read -r go && exec "$@" </dev/null"#, "rater-service"])
            .args(command)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        self.user.apply(&mut shell);
        let mut child = shell.spawn().map_err(ServiceError::io("cannot start sh"))?;
        self.tell("+", child.id())?;
        if let Some(mut go) = child.stdin.take() {
            go.write_all(b"go\n").map_err(ServiceError::io(format!("{} did not start", command[0])))?;
        }
        Ok(child)
    }

    /// To be said of a process before it is waited for, since its id may be given to another one then.
    pub(super) fn forget(&self, id: u32) -> Result<(), ServiceError> {
        self.tell("-", id)
    }

    fn tell(&self, verb: &str, id: u32) -> Result<(), ServiceError> {
        let known = self.folder.join(PROCESSES).join(id.to_string());
        if verb == "+" {
            fs::create_dir_all(self.folder.join(PROCESSES))
                .and_then(|()| fs::write(&known, ""))
                .map_err(ServiceError::io(known.display()))?;
        } else if known.exists() {
            fs::remove_file(&known).map_err(ServiceError::io(known.display()))?;
        }
        let mut keeper = self.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let pipe = keeper.stdin.as_mut().ok_or_else(|| ServiceError::Surroundings("the keeper is gone".to_owned()))?;
        writeln!(pipe, "{verb} {id}").map_err(ServiceError::io("the keeper is gone"))
    }
}

impl Drop for Run {
    /// The keeper removes the folder, here as after a crash; this waits until it has.
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
}

/// In the folder of a run: locked while its test process lives.
const OWNER: &str = "owner.lock";
/// In the folder of a run: an empty file per process, named by its id.
const PROCESSES: &str = "processes";

/// Kills and removes what runs left behind whose test process and keeper are both gone. Called by one process at a time. What
/// cannot be removed now is left for the next start: it is no reason to fail a test.
fn remove_leftovers(runs: &Path) {
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        let folder = run.path();
        let owned = File::open(folder.join(OWNER)).is_ok_and(|owner| owner.try_lock().is_err());
        if owned {
            continue;
        }
        for process in fs::read_dir(folder.join(PROCESSES)).into_iter().flatten().flatten() {
            let id = process.file_name();
            let id = id.to_str().and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(id) = id.filter(|id| is_of_run(*id, &folder)) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&folder);
    }
}

/// Whether a process is what the run started, and not one that was given the same id later: our services name their folder in
/// their command line.
fn is_of_run(id: rustix::process::Pid, folder: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{}/cmdline", id.as_raw_nonzero())).unwrap_or_default();
    let folder = folder.as_os_str().as_encoded_bytes();
    arguments.windows(folder.len()).any(|part| part == folder)
}

/// Ports on which nobody listens, locked against other test processes until the files are dropped.
fn take_ports(folder: &Path, wanted: usize) -> Result<Vec<(u16, File)>, ServiceError> {
    let range = PORTS.end - PORTS.start;
    // Processes that start at the same moment begin at different ports.
    let first = (std::process::id() % u32::from(range)) as u16;
    let mut taken = Vec::with_capacity(wanted);
    for port in (0..range).map(|step| PORTS.start + (first + step) % range) {
        if taken.len() == wanted {
            break;
        }
        let path = folder.join(port.to_string());
        let file = File::create(&path).map_err(ServiceError::io(path.display()))?;
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.push((port, file));
        }
    }
    if taken.len() < wanted {
        return Err(ServiceError::Surroundings(format!(
            "not {wanted} free ports from {} to {}",
            PORTS.start,
            PORTS.end - 1
        )));
    }
    Ok(taken)
}
