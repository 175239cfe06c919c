//! Apache Cassandra, one node: the store that speaks CQL, as ScyllaDB does, and that runs without containers.
//!
//! It answers at its CQL port without a password. Data is fresh; a keyspace has replication 1.

use super::ServiceError;
use super::cache::{self, Jars};
use super::certificate::{Certificate, Flaw, STORE_PASSWORD};
use super::java;
use super::process::Process;
use super::run::Run;
use rustix::process::Signal;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long the node may take until it answers. A tenth of it is usual; a loaded machine needs more.
const START_LIMIT: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const ASK_LIMIT: Duration = Duration::from_secs(2);
const EXISTING: &str = "RATER_TEST_CASSANDRA";

/// Who may do everything on a node that wants a password.
pub const CASSANDRA_USER: &str = "cassandra";
/// The password.
pub const CASSANDRA_PASSWORD: &str = "cassandra";

/// A line of its configuration.
const PASSWORD_WANTED: &str = "authenticator: PasswordAuthenticator\n";

const JARS: Jars = Jars { key: "cassandra-5.0.6", artifacts: &[("org.apache.cassandra", "cassandra-all", "5.0.6")] };

/// What Cassandra reaches of Java's insides.
const EXPORTS: &[&str] = &[
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.unsupported/sun.misc",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %level %msg \(%logger{0}\)%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"#;

/// A Cassandra that answers: a node of our own, which ends with this value or with the test process, or an existing one.
pub struct Cassandra {
    address: String,
    /// What to trust, where it offers TLS.
    authority: Option<PathBuf>,
    /// None for an existing one.
    java: Option<Process>,
}

impl Cassandra {
    /// A fresh node; or the one that `RATER_TEST_CASSANDRA` names.
    ///
    /// # Errors
    /// Whatever keeps it from answering; see [`ServiceError`].
    pub fn start() -> Result<Self, ServiceError> {
        match std::env::var(EXISTING) {
            Ok(address) if !address.is_empty() => {
                let cassandra = Self { address, authority: None, java: None };
                cassandra.wait()?;
                Ok(cassandra)
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => Self::own(|_| Ok((String::new(), None))),
            Err(error) => Err(ServiceError::Refused(format!("{EXISTING}: {error}"))),
        }
    }

    /// The one that all tests of this process share, started by the first that asks. Name keyspaces by the test. Do not stop it.
    ///
    /// # Errors
    /// As [`Self::start`]; the same one for everybody.
    pub fn shared() -> Result<&'static Self, ServiceError> {
        static SHARED: OnceLock<Result<Cassandra, ServiceError>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// A fresh node that wants a user and a password, [`CASSANDRA_USER`] and [`CASSANDRA_PASSWORD`]. They are good a little after it
    /// answers: try again where it refuses them at first.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_password() -> Result<Self, ServiceError> {
        Self::own(|_| Ok((PASSWORD_WANTED.to_owned(), None)))
    }

    /// The same, which offers TLS besides, on the same port.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_tls() -> Result<Self, ServiceError> {
        Self::own(|folder| {
            let Certificate { store, authority } = Certificate::new(folder, Flaw::Nothing)?;
            let store = store.display();
            let tls = format!(
                "client_encryption_options:\n  enabled: true\n  optional: true\n  require_client_auth: false\n  \
                 keystore: {store}\n  keystore_password: {STORE_PASSWORD}\n"
            );
            Ok((format!("{PASSWORD_WANTED}{tls}"), Some(authority)))
        })
    }

    /// A node with further lines of configuration, and the authority that it brings.
    fn own(more: impl FnOnce(&Path) -> Result<(String, Option<PathBuf>), ServiceError>) -> Result<Self, ServiceError> {
        java::check_version()?;
        let cache = cache::folder()?;
        let jars = JARS.fetch(&cache)?;
        let run = Arc::new(Run::new(&cache, 3)?);
        let folder = run.folder().join("node-1");
        let settings = folder.join("cassandra.yaml");
        let logging = folder.join("logback.xml");
        fs::create_dir_all(&folder).map_err(ServiceError::io(folder.display()))?;
        let (more, authority) = more(&folder)?;
        fs::write(&settings, cassandra_yaml(&run, &folder) + &more)
            .and_then(|()| fs::write(&logging, LOGGING))
            .map_err(ServiceError::io(folder.display()))?;
        let arguments = arguments(&jars, &folder, &settings, &logging)?;
        let address = format!("127.0.0.1:{}", run.port(0));
        let java = java::process("cassandra".to_owned(), run, folder, arguments)?;
        java.start()?;
        let cassandra = Self { address, authority, java: Some(java) };
        cassandra.wait()?;
        Ok(cassandra)
    }

    /// Host and port for CQL, as drivers want them.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The authority to trust, as PEM, where it offers TLS.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Its log, which goes on over restarts. It vanishes with the node.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node.
    pub fn log(&self) -> Result<&Path, ServiceError> {
        self.ours("show the log of").map(Process::log)
    }

    /// The id of its process, if it is ours and runs.
    pub fn process_id(&self) -> Option<u32> {
        self.java.as_ref().and_then(Process::process_id)
    }

    /// Ends it in order, if it runs, and starts it again on the same ports and data; waits until it answers.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node; else as [`Self::start`].
    pub fn restart(&self) -> Result<(), ServiceError> {
        self.stop()?;
        self.ours("restart")?.start()?;
        self.wait()
    }

    /// Ends it in order: what was written is on disk then. After 15 s it is killed.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node.
    pub fn stop(&self) -> Result<(), ServiceError> {
        let java = self.ours("stop")?;
        java.ask_to_end()?;
        java.wait_for_end()
    }

    /// Kills it by SIGKILL. What it wrote in the last 10 s may be lost, since it syncs that often.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.ours("kill")?.kill()
    }

    /// Freezes it by SIGSTOP: connections stay, nothing is answered.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node; it does not run.
    pub fn pause(&self) -> Result<(), ServiceError> {
        self.ours("pause")?.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] for an existing node; it does not run.
    pub fn resume(&self) -> Result<(), ServiceError> {
        self.ours("resume")?.signal(Signal::CONT)
    }

    fn ours(&self, action: &str) -> Result<&Process, ServiceError> {
        self.java.as_ref().ok_or_else(|| {
            ServiceError::Refused(format!(
                "cannot {action} the existing node of {EXISTING}; run this test without that variable"
            ))
        })
    }

    /// Until it answers, or its process ends.
    fn wait(&self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(java) = &self.java {
                java.check()?;
            }
            let Err(error) = ask(&self.address) else { return Ok(()) };
            if Instant::now() >= deadline {
                let what =
                    format!("cassandra at {}: no answer after {} s: {error}", self.address, START_LIMIT.as_secs());
                return Err(match &self.java {
                    Some(java) => ServiceError::failed(what, java.log()),
                    None => ServiceError::Surroundings(what),
                });
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Asks for options, which needs neither login nor session: version 4, no flags, stream 0, opcode 5, no body. The answer is
/// opcode 6 with the highest bit of the version set.
fn ask(address: &str) -> io::Result<()> {
    let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "no such address");
    let mut stream = TcpStream::connect_timeout(&address.to_socket_addrs()?.next().ok_or_else(none)?, ASK_LIMIT)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    stream.write_all(&[4, 0, 0, 0, 5, 0, 0, 0, 0])?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    if header[0] == 0x84 && header[4] == 6 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("not an answer of CQL: {header:02x?}")))
}

fn arguments(jars: &Path, folder: &Path, settings: &Path, logging: &Path) -> Result<Vec<String>, ServiceError> {
    let mut arguments = vec![
        "-Xms512m".to_owned(),
        "-Xmx1g".to_owned(),
        format!("-javaagent:{}", agent(jars)?),
        format!("-Dcassandra.config=file://{}", settings.display()),
        format!("-Dcassandra.storagedir={}", folder.display()),
        format!("-Dlogback.configurationFile={}", logging.display()),
        "-Dcassandra-foreground=yes".to_owned(),
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".to_owned(),
        "-Dcassandra.ring_delay_ms=1000".to_owned(),
        "-Dcassandra.superuser_setup_delay_ms=0".to_owned(),
        "-Djdk.attach.allowAttachSelf=true".to_owned(),
    ];
    for (verb, packages) in [("exports", EXPORTS), ("opens", OPENS)] {
        arguments.extend(packages.iter().map(|package| format!("--add-{verb}={package}=ALL-UNNAMED")));
    }
    arguments.extend(["-cp".to_owned(), format!("{}/*", jars.display())]);
    arguments.push("org.apache.cassandra.service.CassandraDaemon".to_owned());
    Ok(arguments)
}

/// The jar that measures objects; which version depends on Cassandra's.
fn agent(jars: &Path) -> Result<String, ServiceError> {
    let found = fs::read_dir(jars).map_err(ServiceError::io(jars.display()))?.flatten().find(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("jamm-") && name.ends_with(".jar")
    });
    match found {
        Some(file) => Ok(file.path().display().to_string()),
        None => Err(ServiceError::Surroundings(format!("no jamm in {}; remove that folder", jars.display()))),
    }
}

fn cassandra_yaml(run: &Run, folder: &Path) -> String {
    format!(
        "\
cluster_name: rater-test
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 10000ms
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: {native}
storage_port: {storage}
ssl_storage_port: {tls}
endpoint_snitch: SimpleSnitch
data_file_directories: [ \"{folder}/data\" ]
commitlog_directory: \"{folder}/commitlog\"
saved_caches_directory: \"{folder}/saved_caches\"
hints_directory: \"{folder}/hints\"
cdc_raw_directory: \"{folder}/cdc_raw\"
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [ {{ seeds: \"127.0.0.1:{storage}\" }} ]
",
        native = run.port(0),
        storage = run.port(1),
        tls = run.port(2),
        folder = folder.display(),
    )
}
