//! `rater topics` against a real broker: what is missing is made, what is dangerous is left to people.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Ran, rater, write};
use testkit::services::Kafka;

/// A prefix of one's own in the broker that all tests share.
struct Deployment {
    kafka: &'static Kafka,
    prefix: String,
    folder: tempfile::TempDir,
}

impl Deployment {
    fn new(name: &str) -> Deployment {
        let kafka = Kafka::shared().expect("a broker");
        let prefix = format!("topics-{name}-{}.", std::process::id());
        Deployment { kafka, prefix, folder: tempfile::tempdir().expect("a folder") }
    }

    fn run(&self, action: &str, more: &[&str]) -> Ran {
        let fixed = ["topics", action, "--kafka-brokers", self.kafka.bootstrap(), "--topic-prefix", &self.prefix];
        rater(self.folder.path(), &[&fixed[..], more].concat())
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn make(&self, name: &str, partitions: u16, settings: &[(&str, &str)]) {
        self.kafka.create_topic(&self.topic(name), partitions, settings).expect("a topic");
    }

    /// What the plan says of a topic.
    fn planned(&self, name: &str, more: &[&str]) -> Value {
        let plan = self.run("plan", &[more, &["--json"]].concat());
        let topics = plan.json()["topics"].clone();
        let topics = topics.as_array().expect("topics");
        topics.iter().find(|topic| topic["topic"] == self.topic(name).as_str()).expect("the topic").clone()
    }

    /// That one difference is refused, with these words, and that nothing is done then.
    #[track_caller]
    fn check_refused(&self, more: &[&str], words: &[&str]) {
        let before = self.run("plan", &[]).stdout;
        let plan = self.run("plan", more).expect(1);
        let refused = self.run("apply", more).expect(2);
        assert!(plan.stdout.contains("yours to decide"), "{}", plan.stdout);
        for word in words.iter().chain(&["nothing was done"]) {
            assert!(refused.stderr.contains(word), "{word:?} is missing:\n{}", refused.stderr);
        }
        assert_eq!(self.run("plan", &[]).stdout, before);
    }
}

#[test]
fn what_is_missing_is_made_and_then_there_is_nothing_to_do() {
    let deployment = Deployment::new("made");
    let plan = deployment.run("plan", &[]).expect(1);
    assert!(plan.stdout.contains("18 of 18 topics are not as they should be"), "{}", plan.stdout);
    let row = plan.stdout.lines().find(|line| line.starts_with(&deployment.topic("guide-changelog"))).expect("a row");
    assert_eq!(row.split_whitespace().skip(1).take(4).collect::<Vec<_>>(), ["8", "compact", "cluster's", "make"]);

    let made = deployment.run("apply", &["--guided-partitions", "4"]).expect(0);
    assert_eq!(made.stdout.lines().count(), 18, "{}", made.stdout);
    let again = deployment.run("plan", &[]).expect(0);
    assert!(again.stdout.ends_with("nothing to do ✓\n"), "{}", again.stdout);
    assert_eq!(deployment.run("apply", &[]).expect(0).stdout, "nothing to do ✓\n");

    // The places for state follow from what is read.
    assert_eq!(deployment.planned("rate-changelog", &[])["partitions"]["have"], 4);
    assert_eq!(deployment.planned("intake-changelog", &[])["partitions"]["have"], 8);
    // What the broker itself says, through another client.
    let settings = settings(deployment.kafka, &deployment.topic("rate-changelog"));
    let expected = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "67108864"),
        ("min.compaction.lag.ms", "0"),
        ("max.message.bytes", "8388608"),
    ];
    for (name, value) in expected {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn rights_are_shown_by_party() {
    let deployment = Deployment::new("rights");
    let said = deployment.run("plan", &[]).expect(1).stdout;
    assert!(said.contains("sees of it what the operator sees"), "{said}");
    let rights = deployment.run("plan", &["--json"]).expect(1).json()["rights"].clone();
    let rights = rights.as_array().expect("rights");
    let has = |party: &str, operation: &str, kind: &str, name: &str| {
        rights.iter().any(|right| {
            let operations = right["operations"].as_array().expect("operations");
            right["party"] == party
                && operations.iter().any(|known| known == operation)
                && right["resource"]["type"] == kind
                && right["resource"]["name"] == name
        })
    };
    assert!(has("rater", "Read", "topic", &deployment.topic("usage")));
    assert!(has("rater", "Write", "topic", &deployment.topic("rate-changelog")));
    assert!(has("rater", "Write", "transactional_id", &deployment.topic("rater-")));
    assert!(has("rater", "Read", "group", &deployment.topic("rater-")));
    assert!(has("mediation", "Write", "topic", &deployment.topic("usage")));
    assert!(has("billing", "Read", "topic", &deployment.topic("charges")));
    assert!(!has("rater", "Read", "topic", &deployment.topic("charges")));
    assert!(!has("mediation", "Read", "topic", &deployment.topic("usage")));
    // Only Rater writes ticks and what it tries again, and reads them.
    for topic in [deployment.topic("ticks"), deployment.topic("retries")] {
        assert!(has("rater", "Write", "topic", &topic) && has("rater", "Read", "topic", &topic));
        assert!(rights.iter().all(|right| right["party"] == "rater" || right["resource"]["name"] != *topic));
    }
}

#[test]
fn what_can_be_mended_without_loss_is_mended_and_other_settings_stay() {
    let deployment = Deployment::new("mended");
    deployment.run("apply", &["--input-partitions", "2"]).expect(0);
    // A topic that somebody made by hand.
    let other = Deployment::new("mended-by-hand");
    let by_hand = [("retention.ms", "60000"), ("max.message.bytes", "1000000"), ("segment.bytes", "2000000")];
    other.make("charges", 3, &by_hand);
    let charges = other.planned("charges", &[]);
    assert_eq!(charges["to_do"], "retention.ms=2592000000, max.message.bytes=8388608");
    other.run("apply", &[]).expect(0);
    other.run("plan", &[]).expect(0);
    let settings = settings(other.kafka, &other.topic("charges"));
    assert_eq!(settings["retention.ms"], "2592000000");
    assert_eq!(settings["segment.bytes"], "2000000", "what was set by hand stays");

    // Inputs may grow, and the places for what intake knows of them with them.
    let grow = ["--input-partitions", "6"];
    let grown = deployment.run("apply", &grow).expect(0);
    assert_eq!(grown.stdout.lines().count(), 4, "{}", grown.stdout);
    deployment.run("plan", &grow).expect(0);
    assert_eq!(deployment.planned("intake-changelog", &[])["partitions"]["have"], 6);
    assert_eq!(deployment.planned("guide-changelog", &[])["partitions"]["have"], 8);
}

#[test]
fn what_would_lose_or_part_data_is_refused() {
    let deployment = Deployment::new("refused");
    deployment.run("apply", &["--output-retention", "40 days"]).expect(0);
    let more: [(&[&str], &[&str]); 9] = [
        (&["--input-partitions", "4"], &["usage: 8 partitions, 4 wanted", "Kafka takes no partitions away"]),
        (&["--intaken-partitions", "4"], &["intaken: 8 partitions, 4 wanted", "Kafka takes no partitions away"]),
        (
            &["--intaken-partitions", "16"],
            &["intaken: 8 partitions, 16 wanted", "be charged again", "guide-changelog: "],
        ),
        (&["--guided-partitions", "16"], &["guided: 8 partitions, 16 wanted", "do not have their balances"]),
        (&["--guided-partitions", "4"], &["guided: 8 partitions, 4 wanted"]),
        (&["--output-partitions", "9"], &["charges: 8 partitions, 9 wanted", "later messages of an account"]),
        (&["--output-partitions", "7"], &["charges: 8 partitions, 7 wanted"]),
        (&["--output-retention", "39 days"], &["charges: messages are kept 40 days, 39 days wanted", "at once"]),
        (&["--input-partitions", "9", "--skip-intake"], &["usage: 8 partitions, 9 wanted", "be charged again"]),
    ];
    for (options, words) in more {
        deployment.check_refused(options, words);
    }
    // A longer time loses nothing.
    deployment.run("apply", &["--output-retention", "41 days"]).expect(0);
    let settings = settings(deployment.kafka, &deployment.topic("charges"));
    assert_eq!(settings["retention.ms"], (41_u64 * 86_400_000).to_string());
    let odd = deployment.run("plan", &["--guided-partitions", "6"]).expect(2);
    assert!(odd.stderr.contains("a power of two is needed"), "{}", odd.stderr);
}

#[test]
fn topics_that_were_made_wrongly_are_left_to_people() {
    let cases: [(&str, u16, &str, &[&str]); 4] = [
        ("rate-changelog", 8, "delete", &["cleanup.policy is delete, not compact", "state is deleted by age"]),
        ("rate-changelog", 8, "compact,delete", &["cleanup.policy is compact,delete, not compact"]),
        ("usage", 8, "compact", &["cleanup.policy is compact, not delete", "the others are lost"]),
        ("guided", 6, "delete", &["6 partitions, which is no power of two", "does not start"]),
    ];
    for (at, (topic, partitions, clean_up, words)) in cases.into_iter().enumerate() {
        let deployment = Deployment::new(&format!("wrong-{at}"));
        deployment.make(topic, partitions, &[("cleanup.policy", clean_up)]);
        deployment.check_refused(&[], words);
    }
    let deployment = Deployment::new("wrong-changelog");
    deployment.make("rate-changelog", 4, &[("cleanup.policy", "compact")]);
    deployment.check_refused(&[], &["rate-changelog: 4 partitions, 8 wanted", "the pipeline does not start"]);
}

#[test]
fn settings_may_stand_in_the_file_of_rater_run() {
    let deployment = Deployment::new("file");
    let file = format!(
        "batch-wait = \"50 ms\"\n[kafka]\nbrokers = \"{}\"\n[topic]\nprefix = \"{}\"\n[guided]\npartitions = 2\n",
        deployment.kafka.bootstrap(),
        deployment.prefix
    );
    write(deployment.folder.path(), "rater.toml", &file);
    let run = |folder: &Path, action: &str| rater(folder, &["topics", action, "--config", "rater.toml"]);
    run(deployment.folder.path(), "apply").expect(0);
    run(deployment.folder.path(), "plan").expect(0);
    assert_eq!(deployment.planned("guided", &[])["partitions"]["have"], 2);
}

/// Settings of a topic as the broker says them.
fn settings(kafka: &Kafka, topic: &str) -> std::collections::BTreeMap<String, String> {
    kafka.topic_settings(topic).expect("settings")
}
