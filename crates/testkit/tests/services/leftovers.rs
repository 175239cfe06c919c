//! A test process that is killed leaves neither processes nor folders, and what a killed keeper leaves is gone after the next start.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// The program that runs a broker.
struct Started {
    program: Child,
    run: PathBuf,
    ids: Vec<u32>,
}

fn start(cache: &Path) -> Started {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rater-services"))
        .arg("kafka")
        .env("RATER_SERVICES_DIR", cache)
        .env_remove("RATER_TEST_KAFKA")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut address = String::new();
    BufReader::new(program.stdout.as_mut().expect("a pipe")).read_line(&mut address).expect("an address");
    assert!(address.starts_with("127.0.0.1:"), "{address:?}");
    let run = cache.join("runs").join(format!("{}-0", program.id()));
    let ids = std::fs::read_dir(run.join("processes")).expect("a folder").flatten();
    let ids: Vec<u32> = ids.map(|id| id.file_name().to_string_lossy().parse().expect("an id")).collect();
    assert_eq!(ids.len(), 1, "one broker");
    Started { program, run, ids }
}

fn runs(id: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // A process that nobody has waited for yet has ended all the same.
    !state.is_empty() && !state.contains(") Z ")
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The keeper is the process whose arguments end with the folder of the run.
fn keeper(run: &Path) -> u32 {
    let wanted = [b"rater-keeper\0", run.as_os_str().as_encoded_bytes()].concat();
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let found = ids.filter(|id| {
        let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        arguments.windows(wanted.len()).any(|part| part == wanted)
    });
    let found: Vec<u32> = found.collect();
    assert_eq!(found.len(), 1, "one keeper");
    found[0]
}

fn kill(id: u32) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("killed");
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_test_process_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().canonicalize().expect("a folder");
    // Nobody else looks for leftovers here, but jars and ports are everybody's.
    let everybodys = testkit::services::folder().expect("a folder");
    for part in ["jars", "ports"] {
        std::os::unix::fs::symlink(everybodys.join(part), cache.join(part)).expect("linked");
    }

    let mut killed = start(&cache);
    assert!(killed.run.is_dir() && killed.ids.iter().all(|id| runs(*id)));
    killed.program.kill().expect("killed");
    killed.program.wait().expect("ended");
    wait_until("the broker ends", || !killed.ids.iter().any(|id| runs(*id)));
    wait_until("the folder goes", || !killed.run.exists());

    // Without the keeper the broker goes on, until somebody starts the next one.
    let mut orphaned = start(&cache);
    kill(keeper(&orphaned.run));
    orphaned.program.kill().expect("killed");
    orphaned.program.wait().expect("ended");
    assert!(orphaned.ids.iter().all(|id| runs(*id)));
    let mut next = start(&cache);
    wait_until("the broker ends", || !orphaned.ids.iter().any(|id| runs(*id)));
    assert!(!orphaned.run.exists());
    assert!(next.run.is_dir() && next.ids.iter().all(|id| runs(*id)), "what runs is left alone");

    // The end of the input ends it in order.
    drop(next.program.stdin.take());
    let mut rest = String::new();
    next.program.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("read");
    assert!(next.program.wait().expect("ended").success());
    assert!(!next.run.exists() && !next.ids.iter().any(|id| runs(*id)));
}

#[test]
fn a_missing_program_says_what_to_install() {
    let folder = tempfile::tempdir().expect("a folder");
    let without = |variables: &[(&str, &str)]| {
        let said = Command::new(env!("CARGO_BIN_EXE_rater-services"))
            .arg("kafka")
            .env("RATER_SERVICES_DIR", folder.path())
            .env_remove("RATER_TEST_KAFKA")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("started");
        assert!(!said.status.success());
        String::from_utf8(said.stderr).expect("text")
    };
    let said = without(&[("JAVA_HOME", "/nowhere")]);
    assert!(said.contains("Java is needed") && said.contains("install Java 17 or newer"), "{said}");

    let home = std::env::var("JAVA_HOME").unwrap_or_else(|_| home_of_java());
    let said = without(&[("JAVA_HOME", &home), ("PATH", "/nowhere")]);
    assert!(said.contains("Maven is needed") && said.contains("install Maven"), "{said}");
}

/// The folder above `bin/java`, as Java itself says it.
fn home_of_java() -> String {
    let said = Command::new("java").args(["-XshowSettings:properties", "-version"]).output().expect("java");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let home = said.lines().find_map(|line| line.trim().strip_prefix("java.home = "));
    home.expect("a home").to_owned()
}

#[test]
fn an_existing_cluster_is_not_ours_to_restart() {
    let kafka = testkit::services::Kafka::shared().expect("a broker");
    let again = testkit::services::Kafka::shared().expect("the same broker");
    assert_eq!(kafka.bootstrap(), again.bootstrap());
    let said = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kafka::kafka_keeps_what_was_committed_and_nothing_else", "--nocapture"])
        .env("RATER_TEST_KAFKA", kafka.bootstrap())
        .output()
        .expect("started");
    let text = [String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr)].concat();
    assert!(!said.status.success(), "{text}");
    let expected = "cannot stop the existing cluster of RATER_TEST_KAFKA; run this test without that variable";
    assert!(text.contains(expected), "{text}");
}
