//! `rater run` in bad surroundings, with the real program on a real broker: what it says, how it ends, and that nothing is lost or doubled.
#![cfg(feature = "kafka")]

mod deployment;
#[cfg(feature = "store")]
mod faults;
mod frozen;
mod grants;
#[cfg(target_os = "linux")]
mod memory;
mod settings;
mod shown;
mod skipped;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod suspense;
mod three;
#[cfg(feature = "kafka-tls")]
mod tls;
mod told;

use deployment::{Deployment, LEVELS, nobody, write_file};
use runtime::registry::{Registry, RegistryConfig};
use testkit::registry::TestRegistry;
use testkit::services::{Kafka, PASSWORD_USER};

#[test]
fn a_broker_that_cannot_be_reached_is_asked_again_visibly_and_then_it_is_code_3() {
    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "unreachable");
    let broker = nobody();
    let properties = ["--kafka-brokers", &broker, "--attempts", "2"];
    let said = deployment.start(&properties).expect(3);
    assert_eq!(said.matches("waits ").count(), 2, "{said}");
    let last = said.lines().last().expect("a line");
    assert!(last.starts_with("error: ") && last.contains(&format!("no answer from kafka at {broker}")), "{said}");
}

#[test]
fn a_missing_topic_is_code_2_and_the_way_out_is_said() {
    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "missing");
    let said = deployment.start(&[]).expect(2);
    assert!(
        said.contains("missing") && said.contains("has no such topic") && said.contains("rater topics apply"),
        "{said}"
    );
}

#[test]
fn credentials_that_are_refused_are_code_2() {
    let deployment = Deployment::new("credentials");
    let Some(broker) = deployment.kafka.brokers().first() else { return };
    let options =
        ["--kafka-brokers", broker.password_address(), "--kafka-security", "sasl", "--kafka-user", PASSWORD_USER];
    let said = deployment.start_with(&options, &[("RATER_KAFKA_PASSWORD", "not-it")]).expect(2);
    assert!(said.contains("refuses the credentials"), "{said}");
    assert!(!said.contains("not-it"), "{said}");
    write_file(deployment.folder.path(), "password", &format!("{}\n", testkit::services::PASSWORD));
    let mut running = deployment.start(&[&options[..], &["--kafka-password-file", "password"]].concat());
    deployment.write_usage(0, 2);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);
    running.stop();
}

#[test]
fn a_password_that_changes_under_a_running_process_is_waited_for() {
    static CHANGING: std::sync::OnceLock<Kafka> = std::sync::OnceLock::new();
    let kafka = CHANGING.get_or_init(|| Kafka::start().expect("a broker"));
    let Some(broker) = kafka.brokers().first() else { return };
    let deployment = Deployment::on(kafka, "password");
    let folder = deployment.folder.path();
    write_file(folder, "password", testkit::services::PASSWORD);
    let options =
        ["--kafka-brokers", broker.password_address(), "--kafka-security", "sasl", "--kafka-user", PASSWORD_USER];
    let options = [&options[..], &["--kafka-password-file", "password"]].concat();
    let (mut running, address) = shown::start(&deployment, &options);
    deployment.write_usage(0, 2);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);

    broker.change_password(testkit::services::PASSWORD, "another").expect("changed");
    broker.restart().expect("a start");
    running.wait_for_words("refuses the credentials");
    shown::wait_for_page(&address, "/readyz", "refuses the credentials");
    write_file(folder, "password", "another\n");
    deployment.write_usage(2, 2);
    deployment.wait_for("charges", 4 * LEVELS, &mut running);
    shown::wait_for_page(&address, "/readyz", "\"ready\":true");
    let said = running.stop();
    assert!(!said.contains("another") && !said.contains(testkit::services::PASSWORD), "{said}");

    // Nobody changes the file: it ends after all attempts.
    let mut running = deployment.start(&[&options[..], &["--attempts", "6"]].concat());
    running.wait_for_words("restored");
    broker.change_password("another", "a third").expect("changed");
    broker.restart().expect("a start");
    let said = running.expect(3);
    assert!(said.contains("refuses the credentials"), "{said}");
    deployment.check_charged(4);
}

#[test]
fn topics_that_do_not_fit_together_are_code_2() {
    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "misfit");
    deployment.kafka.create_topic(&deployment.topic("guided"), 3, &[]).expect("a topic");
    deployment.kafka.create_topic(&deployment.topic("rate-changelog"), 1, &[]).expect("a topic");
    for name in ["usage", "account-commands", "intaken", "waiting", "retries"] {
        deployment.kafka.create_topic(&deployment.topic(name), 2, &[]).expect("a topic");
    }
    let appended = [("message.timestamp.type", "LogAppendTime")];
    deployment.kafka.create_topic(&deployment.topic("ticks"), 1, &appended).expect("a topic");
    let said = deployment.start(&[]).expect(2);
    assert!(said.contains("guided has 3 partitions: a power of two is needed"), "{said}");

    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "misfit-state");
    deployment
        .kafka
        .create_topic(&deployment.topic("rate-changelog"), 1, &[("cleanup.policy", "compact")])
        .expect("a topic");
    deployment.topics("apply", &["--guided-partitions", "1"]).expect(0);
    deployment.kafka.grow_topic(&deployment.topic("guided"), 2).expect("grown");
    let said = deployment.start(&[]).expect(2);
    assert!(said.contains("rate-changelog has 1 partitions: 2 are needed"), "{said}");
}

#[test]
fn partitions_that_changed_after_state_was_made_are_code_2() {
    let deployment = Deployment::new("parted");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 4);
    deployment.wait_for("charges", 4 * LEVELS, &mut running);
    running.stop();
    for topic in ["guided", "rate-changelog"] {
        deployment.kafka.grow_topic(&deployment.topic(topic), 4).expect("grown");
    }
    let said = deployment.start(&[]).expect(2);
    assert!(said.contains("guided has 4 partitions, but the state was made for 2"), "{said}");
}

#[test]
fn positions_that_kafka_forgot_stop_it_and_the_state_knows_them() {
    let deployment = Deployment::new("forgotten");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 10);
    deployment.wait_for("charges", 10 * LEVELS, &mut running);
    running.stop();
    for stage in ["intake", "guide", "rate"] {
        deployment.kafka.delete_group(&deployment.topic(&format!("rater-{stage}"))).expect("a group");
    }
    let said = deployment.start(&[]).expect(2);
    assert!(said.contains("the group's position is none, the state's is "), "{said}");
    assert!(said.contains("--positions-from-state") && said.contains("docs/operating.md"), "{said}");
    deployment.check_charged(10);

    let mut running = deployment.start(&["--positions-from-state"]);
    // Five of them again: their ids are remembered, too.
    deployment.write_usage(5, 10);
    deployment.wait_for("charges", 15 * LEVELS, &mut running);
    running.stop();
    let running = deployment.start(&[]);
    deployment.write_usage(100, 1);
    let mut running = running;
    deployment.wait_for("charges", 16 * LEVELS, &mut running);
    running.stop();
    deployment.check_charged(16);
}

#[test]
fn a_broker_that_takes_nothing_more_is_asked_again_and_nothing_is_lost_when_it_is_mended() {
    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "no-room");
    // No transaction of guide can be committed.
    let tiny = [("cleanup.policy", "compact"), ("max.message.bytes", "100")];
    deployment.kafka.create_topic(&deployment.topic("guide-changelog"), 2, &tiny).expect("a topic");
    for name in ["usage", "account-commands", "intaken", "guided", "waiting", "retries"] {
        deployment.kafka.create_topic(&deployment.topic(name), 2, &[]).expect("a topic");
    }
    let appended = [("message.timestamp.type", "LogAppendTime")];
    deployment.kafka.create_topic(&deployment.topic("ticks"), 1, &appended).expect("a topic");
    for name in ["intake-changelog", "rate-changelog", "recycle-changelog"] {
        deployment.kafka.create_topic(&deployment.topic(name), 2, &[("cleanup.policy", "compact")]).expect("a topic");
    }
    let compacted = [("cleanup.policy", "compact")];
    deployment.kafka.create_topic(&deployment.topic("cycle-changelog"), 1, &compacted).expect("a topic");
    for name in ["charges", "balance-deltas", "suspense", "notifications", "command-replies", "life-events"] {
        deployment.kafka.create_topic(&deployment.topic(name), 2, &[]).expect("a topic");
    }
    deployment.write_usage(0, 6);
    let said = deployment.start(&["--attempts", "2"]).expect(3);
    assert_eq!(said.matches("worker{stage=\"guide\" worker=0}: starts over reason=").count(), 2, "{said}");
    let last = said.lines().last().expect("a line");
    assert!(last.starts_with("error: guide 0: ") && last.contains("guide-changelog"), "{said}");
    deployment.check_charged(0);

    let mended = deployment.topics("apply", &[]).expect(0);
    assert!(mended.stdout.contains("guide-changelog: max.message.bytes=8388608"), "{}", mended.stdout);
    let mut running = deployment.start(&[]);
    deployment.wait_for("charges", 6 * LEVELS, &mut running);
    running.stop();
    deployment.check_charged(6);
}

#[test]
fn a_schema_that_the_registry_does_not_accept_is_code_2() {
    let deployment = Deployment::new("schema");
    let server = TestRegistry::start().expect("a free port");
    let registry = Registry::new(&RegistryConfig::new(server.url())).expect("a registry");
    let other =
        r#"{"type":"record","name":"Charge","namespace":"rater.v1","fields":[{"name":"charge_id","type":"long"}]}"#;
    let subject = format!("{}-value", deployment.topic("charges"));
    registry.register(&subject, other).expect("registered");
    let said = deployment.start(&["--registry-url", &server.url()]).expect(2);
    assert!(said.contains(&subject) && said.contains("compatible"), "{said}");
}

#[test]
fn what_nobody_can_read_waits_with_its_bytes_and_its_origin() {
    let deployment = Deployment::new("unreadable");
    let garbage = b"\xff\xfenot a record \x07 at all".to_vec();
    // Kafka takes it, a record it is not.
    let long: Vec<u8> = [b"{\"id\":\"".to_vec(), vec![b'x'; 1_500_000], b"\"}".to_vec()].concat();
    let mut running = deployment.start(&[]);
    deployment.write("usage", &[garbage.clone(), long.clone()]);
    deployment.wait_for("suspense", 2, &mut running);
    running.stop();
    let waiting = deployment.read("suspense");
    for (original, partition) in [(garbage, 0), (long, 1)] {
        let found = waiting.iter().find(|message| message.value.windows(original.len()).any(|part| part == original));
        let found = found.expect("the original bytes");
        let header = |name: &str| found.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("rater-reason"), Some("undecodable"));
        assert_eq!(header("rater-origin"), Some(format!("{}:{partition}:0", deployment.topic("usage")).as_str()));
    }
}

#[test]
fn a_signal_ends_it_in_order_and_what_it_said_is_committed_is() {
    let deployment = Deployment::new("signal");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 200);
    running.wait_for_words("worker{stage=\"rate\" worker=0}: restored ");
    let said = running.stop();
    assert!(said.ends_with("stopped\n"), "{said}");
    // The next one has the rest, at once: nothing was left open.
    let mut running = deployment.start(&[]);
    deployment.wait_for("charges", 200 * LEVELS, &mut running);
    let said = running.stop();
    assert!(!said.contains("starts over"), "{said}");
    deployment.check_charged(200);
}

#[test]
fn while_nobody_answers_one_signal_is_enough_and_a_second_ends_it_at_once() {
    let deployment = Deployment::bare(Kafka::shared().expect("a broker"), "signals");
    let broker = nobody();
    let options = ["--kafka-brokers", broker.as_str()];
    let mut running = deployment.start(&options);
    running.wait_for_words("waits ");
    running.ask_to_end();
    running.expect(0);

    let mut running = deployment.start(&options);
    running.wait_for_words("instance=");
    running.ask_to_end();
    // Within the ten seconds that a question takes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.ask_to_end();
    running.expect(130);
}

#[test]
fn a_process_that_was_killed_leaves_nothing_half_done() {
    let deployment = Deployment::new("killed");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 300);
    deployment.wait_for("charges", 1, &mut running);
    running.kill();
    deployment.write_usage(300, 50);
    let mut running = deployment.start(&[]);
    deployment.wait_for("charges", 350 * LEVELS, &mut running);
    running.stop();
    deployment.check_charged(350);
}
