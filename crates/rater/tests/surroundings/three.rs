//! Three brokers, of which up to two are away: a majority is lost, leaders move, answers are lost. The service goes on by itself, or ends with code 3 in time,
//! and the next process goes on.

use crate::deployment::{Deployment, LEVELS, Running};
use std::thread;
use std::time::{Duration, Instant};
use testkit::services::{Broker, Kafka};

/// How often the sequence is done: `RATER_TROUBLES=10`.
fn troubles() -> u32 {
    std::env::var("RATER_TROUBLES").map_or(1, |times| times.parse().expect("a number"))
}

/// From when on all brokers are there: session, transaction time-out, `--call-limit` of the test, the time to end, and one restore.
const STATED: Duration = Duration::from_secs(10 + 10 + 20 + 25 + 55);

/// Waits until all are charged. A process that ends with code 3 is followed by the next; how many did.
fn wait_for_all(deployment: &Deployment, running: &mut Running, records: usize, start: impl Fn() -> Running) -> u32 {
    let since = Instant::now();
    let mut ended = 0;
    while deployment.read("charges").len() < records * LEVELS {
        assert!(since.elapsed() < STATED, "{records} are not charged after {:?}:\n{}", since.elapsed(), running.said());
        if let Some(code) = running.has_ended() {
            assert_eq!(code, 3, "{}", running.said());
            ended += 1;
            *running = start();
        }
        thread::sleep(Duration::from_millis(500));
    }
    ended
}

/// One broker after the other is away, then two at once, while usage comes in.
#[test]
fn with_two_of_three_brokers_away_for_a_while_it_goes_on_or_ends_with_code_3() {
    let kafka: &'static Kafka = Box::leak(Box::new(Kafka::cluster(3).expect("three brokers")));
    let [first, second, _] = kafka.brokers() else { return };
    let deployment = Deployment::on(kafka, "three");
    let start = || deployment.start(&["--call-limit", "20 s"]);
    let mut running = start();
    let (mut records, mut ended) = (0, 0);
    let again = |broker: &Broker| broker.restart().expect("there again");
    for _ in 0..troubles() {
        deployment.write_usage(records, 3_000);
        records += 3_000;
        first.kill().expect("killed");
        thread::sleep(Duration::from_secs(3));
        again(first);
        second.stop().expect("stopped");
        thread::sleep(Duration::from_secs(3));
        again(second);
        deployment.write_usage(records, 3_000);
        records += 3_000;
        first.kill().expect("killed");
        second.kill().expect("killed");
        thread::sleep(Duration::from_secs(15));
        again(first);
        again(second);
        ended += wait_for_all(&deployment, &mut running, records as usize, start);
    }
    deployment.check_charged(records as usize);
    println!("{records} records, {ended} times it ended with code 3");
    running.stop();
    kafka.kill().expect("killed");
}
