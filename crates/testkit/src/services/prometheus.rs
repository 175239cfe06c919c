//! Prometheus: a server that scrapes what it is told to, and `promtool`, which checks rules and tests them.
//!
//! The programs are those in PATH; where there are none, Debian's package is unpacked into the shared folder, which needs no rights and
//! starts nothing by itself.

use super::process::Process;
use super::run::Run;
use super::{ServiceError, cache};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const EXISTING: &str = "RATER_TEST_PROMETHEUS";
const SERVER: &str = "prometheus";
const TOOL: &str = "promtool";
const INSTALL: &str = "neither in PATH, nor to be had by apt-get download; install Prometheus 2.42 or newer (Debian, Ubuntu: apt-get \
                       install prometheus; macOS: brew install prometheus)";

/// A server of our own, which ends with this value or with the test process.
pub struct Prometheus {
    address: String,
    process: Process,
}

impl Prometheus {
    /// Starts one with this configuration (the text of a `prometheus.yml`), whose `rules/` are those of `folder`. `history` is what it has
    /// scraped before, as OpenMetrics text with times; empty for nothing.
    ///
    /// # Errors
    /// It cannot be had, refuses the configuration or the history, or does not answer in time.
    pub fn start(configuration: &str, folder: &Path, history: &str) -> Result<Self, ServiceError> {
        let cache = cache::folder()?;
        let programs = programs(&cache)?;
        let run = Arc::new(Run::new(&cache, 1)?);
        let own = run.folder().to_owned();
        // Rule files are named relative to the configuration.
        let settings = own.join("prometheus.yml");
        let linked = own.join("rules");
        fs::write(&settings, configuration).map_err(ServiceError::io(settings.display()))?;
        std::os::unix::fs::symlink(folder.join("rules"), &linked).map_err(ServiceError::io(linked.display()))?;
        if !history.is_empty() {
            fs::write(own.join("history"), history).map_err(ServiceError::io(own.display()))?;
            promtool(&own, &["tsdb", "create-blocks-from", "openmetrics", "history", "data"])?;
        }
        let address = format!("127.0.0.1:{}", run.port(0));
        let command = vec![
            programs.join(SERVER).display().to_string(),
            format!("--config.file={}", settings.display()),
            format!("--storage.tsdb.path={}", own.join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let process = Process::new("prometheus".to_owned(), run, own, command);
        process.start()?;
        let prometheus = Self { address, process };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            prometheus.process.check()?;
            match prometheus.get("/-/ready") {
                Ok(_) => return Ok(prometheus),
                Err(error) if Instant::now() >= deadline => {
                    return Err(ServiceError::failed(format!("prometheus: {error}"), prometheus.process.log()));
                }
                Err(_) => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The body that a path gives, such as `/api/v1/targets`.
    ///
    /// # Errors
    /// No answer, or one that is not 200; with its body.
    pub fn get(&self, path: &str) -> Result<String, ServiceError> {
        let failed = |error: std::io::Error| ServiceError::Surroundings(format!("{}{path}: {error}", self.address));
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(failed)?;
        // Version 1.0: the answer ends with the connection, and comes in one piece.
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).as_bytes())
            .map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(ServiceError::Refused(format!(
                "{}{path}: {}: {body}",
                self.address,
                head.lines().next().unwrap_or("")
            ))),
        }
    }

    /// What an expression gives now, as the interface says it: an object with `resultType` and `result`.
    ///
    /// # Errors
    /// No answer, or an expression that does not parse or cannot be worked out.
    pub fn query(&self, expression: &str) -> Result<serde_json::Value, ServiceError> {
        let body = self.get(&format!("/api/v1/query?query={}", percent_encoded(expression)))?;
        let answer: Result<serde_json::Value, _> = serde_json::from_str(&body);
        let mut answer = answer.map_err(|error| ServiceError::Refused(format!("{expression}: {error}: {body}")))?;
        Ok(answer["data"].take())
    }
}

/// Runs `promtool` in a folder, and returns what it put out.
///
/// # Errors
/// It cannot be had, or found something: with all that it said.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Result<String, ServiceError> {
    let programs = programs(&cache::folder()?)?;
    let said = run(Command::new(programs.join(TOOL)).args(arguments).current_dir(folder))?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if said.status.success() {
        Ok(text)
    } else {
        Err(ServiceError::Refused(format!("promtool {arguments:?}:\n{text}")))
    }
}

/// Everything but letters, digits and a few marks as %XX.
fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The folder of both programs.
fn programs(cache: &Path) -> Result<PathBuf, ServiceError> {
    let has_both = |folder: &Path| [SERVER, TOOL].iter().all(|name| folder.join(name).is_file());
    if let Some(folder) = std::env::var_os(EXISTING).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        return match has_both(&folder) {
            true => Ok(folder),
            false => Err(ServiceError::Refused(format!("{EXISTING}: no {SERVER} and {TOOL} in {}", folder.display()))),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(|folder| has_both(folder)) {
        return Ok(folder);
    }
    let there = cache.join("prometheus");
    let bin = there.join("usr/bin");
    let _alone = cache::lock(&cache.join("prometheus.lock"))?;
    if has_both(&bin) {
        return Ok(bin);
    }
    for leftover in [&there, &cache.join("prometheus.part")] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(ServiceError::io(leftover.display()))?;
        }
    }
    unpack_debian(&cache.join("prometheus.part"))?;
    fs::rename(cache.join("prometheus.part"), &there).map_err(ServiceError::io(there.display()))?;
    Ok(bin)
}

/// Unpacks Debian's package into a folder.
fn unpack_debian(folder: &Path) -> Result<(), ServiceError> {
    fs::create_dir_all(folder).map_err(ServiceError::io(folder.display()))?;
    let missing = |said: String| ServiceError::Missing { program: "Prometheus", advice: format!("{INSTALL}\n{said}") };
    let download = || apt_get(folder, &["download", SERVER]);
    // A machine that never asked for the lists of packages has none.
    if download().is_err() {
        apt_get(folder, &["update"]).map_err(|said| missing(said.to_string()))?;
        download().map_err(|said| missing(said.to_string()))?;
    }
    let entries = fs::read_dir(folder).map_err(ServiceError::io(folder.display()))?;
    let packages = entries.flatten().map(|entry| entry.path());
    let package = packages.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let package = package.ok_or_else(|| missing("no package came".to_owned()))?;
    let said = run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(folder))?;
    if !said.status.success() {
        return Err(missing(String::from_utf8_lossy(&said.stderr).into_owned()));
    }
    fs::remove_file(&package).map_err(ServiceError::io(package.display()))
}

fn apt_get(folder: &Path, arguments: &[&str]) -> Result<(), ServiceError> {
    let said = run(Command::new("apt-get").arg("--quiet").args(arguments).current_dir(folder))?;
    if said.status.success() {
        return Ok(());
    }
    Err(ServiceError::Refused(format!("apt-get {arguments:?}: {}", String::from_utf8_lossy(&said.stderr))))
}

fn run(command: &mut Command) -> Result<Output, ServiceError> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).output().map_err(ServiceError::io(shown))
}
