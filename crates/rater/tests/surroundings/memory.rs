//! What is suspended does not take memory in proportion to its length, neither when it comes nor when it is read again at a start.

use crate::deployment::{Deployment, Running};
use crate::shown;

/// No records: longer than a record may be, and not JSON.
const MESSAGES: usize = 120;
const LENGTH: usize = 3_500_000;
/// What a process of recycle may take: 64 MiB of messages, the client's queues, and a batch.
const MOST_KIB: u64 = 300_000;

/// Bytes that do not compress.
fn message(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let bytes = std::iter::repeat_with(|| {
        // Xorshift: quick, and random enough for a compressor.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.flatten().take(LENGTH).collect()
}

/// The most memory that a process had, in KiB.
fn peak_kib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn long_messages_wait_on_disk() {
    let deployment = Deployment::new("long");
    let intake = deployment.start(&["--stage", "intake"]);
    let (recycle, address) = shown::start(&deployment, &["--stage", "recycle"]);
    for number in 0..MESSAGES {
        deployment.write("usage", &[message(number)]);
    }
    let all = format!("rater_suspense_open_records {MESSAGES}");
    shown::wait_for_page(&address, "/metrics", &all);
    let coming = peak_kib(&recycle);
    intake.stop();
    recycle.stop();
    let (recycle, address) = shown::start(&deployment, &["--stage", "recycle"]);
    shown::wait_for_page(&address, "/metrics", &all);
    let again = peak_kib(&recycle);
    println!("{MESSAGES} messages of {LENGTH} bytes: {coming} KiB as they come, {again} KiB at the next start");
    assert!(coming < MOST_KIB && again < MOST_KIB, "{coming} and {again} KiB");
    recycle.stop();
}

#[test]
fn a_scratch_folder_that_cannot_be_written_is_code_2() {
    let deployment = Deployment::new("scratch");
    let said = deployment.start(&["--scratch-folder", "not-there"]).expect(2);
    assert!(said.contains("--scratch-folder not-there"), "{said}");
}
