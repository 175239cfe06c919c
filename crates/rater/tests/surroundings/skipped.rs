//! What cannot be processed, ever: messages that are gone, and messages of others in internal topics. It is named, nothing is passed over by itself,
//! and there is a way on that counts.

use crate::deployment::{Deployment, LEVELS};
use crate::shown;

/// Retention deletes messages before guide has read them.
#[test]
fn a_gap_after_retention_is_named_and_skipped_only_when_asked() {
    let deployment = Deployment::new("gap");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 10);
    deployment.wait_for("charges", 10 * LEVELS, &mut running);
    running.stop();
    // Ten to each of two partitions; five of the first go unread.
    deployment.write_usage(10, 20);
    let usage = deployment.topic("usage");
    deployment.kafka.delete_records(&usage, 0, 10).expect("deleted");

    let gap = format!("topic {usage} partition 0: offsets 5 to 9 are gone, unread");
    for _ in 0..2 {
        let said = deployment.start(&[]).expect(2);
        let last = said.lines().last().expect("a line");
        assert!(last.contains(&gap) && last.contains(&format!("--skip-gap {usage}")), "{said}");
    }
    // Of another topic.
    deployment.start(&["--skip-gap", "usage"]).expect(2);
    let (mut running, address) = shown::start(&deployment, &["--skip-gap", &usage]);
    deployment.wait_for("charges", 25 * LEVELS, &mut running);
    shown::wait_for_page(&address, "/metrics", "rater_skipped_offsets_total{reason=\"gap\"} 5\n");
    assert!(running.said().contains("gap skipped"), "{}", running.said());
    running.stop();
    let mut running = deployment.start(&[]);
    deployment.write_usage(30, 10);
    deployment.wait_for("charges", 35 * LEVELS, &mut running);
    running.stop();
    deployment.check_charged(35);
}

/// `TOPIC:PARTITION:OFFSET` of "topic T partition P offset O".
fn place(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.starts_with("error: ") && line.contains(" offset "))?;
    let words: Vec<&str> = line.split([' ', ':']).collect();
    let behind = |word: &str| words.iter().position(|known| *known == word).and_then(|at| words.get(at + 1)).copied();
    Some(format!("{}:{}:{}", behind("topic")?, behind("partition")?, behind("offset")?))
}

/// Another program writes into the topics between the stages.
#[test]
fn a_foreign_message_in_an_internal_topic_is_named_and_skipped_only_when_asked() {
    let deployment = Deployment::new("foreign");
    let mut records = 0;
    let foreign = [("intaken", &b"{\"hello\":1}"[..]), ("guided", b"\x07hello"), ("waiting", b"\x07hello")];
    for (name, bytes) in foreign {
        let topic = deployment.topic(name);
        let mut running = deployment.start(&[]);
        deployment.write_usage(records, 10);
        records += 10;
        deployment.wait_for("charges", records as usize * LEVELS, &mut running);
        deployment.write(name, &[bytes.to_vec()]);
        let said = running.expect(2);
        let first = place(&said).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(
            first.starts_with(&format!("{topic}:0:")) && said.contains(&format!("--skip-message {first}")),
            "{said}"
        );
        assert_eq!(place(&deployment.start(&[]).expect(2)), Some(first.clone()), "{name}");

        let (mut running, address) = shown::start(&deployment, &["--skip-message", &first]);
        deployment.write_usage(records, 10);
        records += 10;
        deployment.wait_for("charges", records as usize * LEVELS, &mut running);
        shown::wait_for_page(&address, "/metrics", "rater_skipped_offsets_total{reason=\"message\"} 1\n");
        running.stop();
    }
    deployment.check_charged(records as usize);
}

/// The same in a changelog, which is read at each start.
#[test]
fn a_foreign_entry_in_a_changelog_is_named_and_skipped_only_when_asked() {
    let deployment = Deployment::new("foreign-state");
    let mut running = deployment.start(&[]);
    deployment.write_usage(0, 10);
    deployment.wait_for("charges", 10 * LEVELS, &mut running);
    running.stop();
    let mut options = Vec::new();
    // Keys of ours with values that are none: of guide's progress, and of a segment of rate's state.
    for (stage, input, entry) in [("guide", "intaken", &b"\0p"[..]), ("rate", "guided", b"\0s\0\0\0\0")] {
        let name = format!("{stage}-changelog");
        let key = [deployment.topic(input).as_bytes(), entry].concat();
        deployment.write_keyed(&name, &key, b"\x07hello");
        let more: Vec<&str> = options.iter().flat_map(|option: &String| ["--skip-message", option]).collect();
        let said = deployment.start(&more).expect(2);
        let place = place(&said).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(place.starts_with(&format!("{}:0:", deployment.topic(&name))), "{said}");
        options.push(place);
    }
    let more: Vec<&str> = options.iter().flat_map(|option| ["--skip-message", option]).collect();
    let mut running = deployment.start(&more);
    deployment.write_usage(10, 10);
    deployment.wait_for("charges", 20 * LEVELS, &mut running);
    let said = running.stop();
    assert_eq!(said.matches("message skipped").count(), 2, "{said}");
    deployment.check_charged(20);
}
