//! Brokers that stand still, and processes that share a name: it is said in time, nothing is lost or doubled, and an end comes when it is asked for.

use crate::deployment::{Deployment, LEVELS};
use crate::shown;
use std::thread;
use std::time::{Duration, Instant};
use testkit::services::Kafka;

/// How often the broker stands still, and for how many seconds: `RATER_FREEZES=10x60`.
fn freezes() -> (u32, u64) {
    let text = std::env::var("RATER_FREEZES").unwrap_or_else(|_| "1x15".to_owned());
    let (times, seconds) = text.split_once('x').expect("TIMESxSECONDS");
    (times.parse().expect("a number"), seconds.parse().expect("seconds"))
}

/// The broker is frozen under load, longer than the sessions of the group and of the topics' leaders last.
#[test]
fn a_broker_that_stands_still_is_said_within_5_s_and_delays_all_and_changes_nothing() {
    let kafka: &'static Kafka = Box::leak(Box::new(Kafka::start().expect("a broker")));
    let deployment = Deployment::on(kafka, "frozen");
    let (mut running, address) = shown::start(&deployment, &[]);
    shown::wait_for_page(&address, "/readyz", "200 OK");
    let (times, seconds) = freezes();
    let mut records = 0;
    for _ in 0..times {
        deployment.write_usage(records, 4_000);
        records += 4_000;
        deployment.wait_for("charges", records as usize / 2, &mut running);
        // The group may still be sharing out after the last time.
        shown::wait_for_page(&address, "/readyz", "200 OK");
        kafka.pause().expect("frozen");
        let frozen = Instant::now();
        shown::wait_for_page(&address, "/readyz", "503");
        assert!(frozen.elapsed() < Duration::from_secs(5), "only after {:?}", frozen.elapsed());
        thread::sleep(Duration::from_secs(seconds).saturating_sub(frozen.elapsed()));
        kafka.resume().expect("going on");
        deployment.wait_for("charges", records as usize * LEVELS, &mut running);
        shown::wait_for_page(&address, "/readyz", "200 OK");
    }
    deployment.check_charged(records as usize);

    // Nobody answers any more, and something is under way: it ends in time nevertheless.
    deployment.write_usage(records, 4_000);
    kafka.pause().expect("frozen");
    let asked = Instant::now();
    running.ask_to_end();
    let code = running.wait_for_end();
    assert!(asked.elapsed() < Duration::from_secs(30) && matches!(code, Some(0 | 3)), "{code:?} {:?}", asked.elapsed());
    kafka.kill().expect("killed");
}

/// Two processes have the same transactional ids: without a holder of the name they would fence each other for ever.
#[test]
fn the_second_process_of_a_name_says_so_and_ends_and_the_first_goes_on() {
    let deployment = Deployment::new("namesake");
    let mut first = deployment.start(&["--instance", "one"]);
    deployment.write_usage(0, 10);
    deployment.wait_for("charges", 10 * LEVELS, &mut first);

    let second = deployment.start(&["--instance", "one"]);
    // A holder that died would have the name for a session.
    thread::sleep(Duration::from_secs(6));
    assert!(second.said().contains("another process runs under the name"), "{}", second.said());
    deployment.write_usage(10, 10);
    deployment.wait_for("charges", 20 * LEVELS, &mut first);
    let said = second.expect(2);
    assert!(said.lines().last().is_some_and(|line| line.contains("give each its own with --instance")), "{said}");
    assert!(!first.said().contains("starts over"), "{}", first.said());

    // The next one waits until the name is free: at once after an orderly end, after a session where it was killed.
    let mut third = deployment.start(&["--instance", "one"]);
    third.wait_for_words("another process runs under the name");
    first.stop();
    deployment.write_usage(20, 10);
    deployment.wait_for("charges", 30 * LEVELS, &mut third);
    third.kill();
    let mut fourth = deployment.start(&["--instance", "one"]);
    deployment.write_usage(30, 10);
    deployment.wait_for("charges", 40 * LEVELS, &mut fourth);

    // Names that nobody chose never meet.
    let mut others = [deployment.start(&[]), deployment.start(&[])];
    deployment.write_usage(40, 10);
    deployment.wait_for("charges", 50 * LEVELS, &mut others[0]);
    for running in others {
        running.stop();
    }
    fourth.stop();
    deployment.check_charged(50);
}
