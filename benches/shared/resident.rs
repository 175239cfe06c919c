//! What a process takes of the machine: memory as the kernel counts it, processor time of a thread.

use crate::table::median;
use directory::cache::{Cache, IdentityKey, Rows};
use rustix::time::{ClockId, clock_gettime};
use testkit::generator::random::Random;

const ROUNDS: usize = 21;
/// Look-ups to a round.
const LOOKUPS: u64 = 100_000;

/// Time that this thread had a processor, in nanoseconds: others on the machine disturb it less than they do the clock.
pub(crate) fn thread_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("a time after the start")
}

/// Kilobytes of memory that this process holds, as the kernel counts them.
pub(crate) fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process of Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}

/// Median nanoseconds of processor time of a look-up that finds its endpoint at hand. Keys come in no order, so that memory is met as it is
/// when records stream; making them is not measured.
pub(crate) fn ns_a_hit<R: Rows>(cache: &Cache<R>, keys: impl Fn(&mut Random) -> IdentityKey) -> f64 {
    let mut random = Random::new(23);
    let times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let keys: Vec<IdentityKey> = (0..LOOKUPS).map(|_| keys(&mut random)).collect();
            let start = thread_time_ns();
            assert!(keys.iter().all(|key| cache.is_at_hand(key)), "at hand");
            (thread_time_ns() - start) as f64 / LOOKUPS as f64
        })
        .collect();
    median(times).0
}
