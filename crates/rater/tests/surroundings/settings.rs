//! Settings of `rater run` from flags, environment, file and defaults.

use crate::deployment::write_file;
use crate::support::{Ran, command};
use std::path::Path;

fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = command(folder);
    command.args(arguments).envs(environment.iter().copied());
    Ran::from(command.output().expect("the program runs"))
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "workers = 2\nbatch_wait = \"70 ms\"\ninstance = \"of-file\"\nskip-intake = true\nguided-partitions = 4\n\
                reference = [\"a.yaml\", \"b.yaml\"]\n[kafka]\nbrokers = \"a:1,b:2\"\nsecurity = \"sasl\"\n\
                [kafka.property]\n\"linger.ms\" = 7\n";
    write_file(folder.path(), "rater.toml", file);
    let environment = [("RATER_WORKERS", "3"), ("RATER_INSTANCE", "of-environment"), ("RATER_CONFIG", "rater.toml")];
    let shown =
        run(folder.path(), &["config", "show", "run", "--json", "--instance", "of-flag"], &environment).expect(0);
    let settings = shown.json();
    let find = |name: &str| {
        let all = settings.as_array().expect("a list");
        let setting = all.iter().find(|setting| setting["setting"] == name).expect("the setting");
        format!("{} {}", setting["value"].as_str().expect("a text"), setting["origin"].as_str().expect("a text"))
    };
    assert_eq!(find("instance"), "of-flag flag");
    assert_eq!(find("workers"), "3 environment RATER_WORKERS");
    assert_eq!(find("batch-wait"), "70 ms file rater.toml");
    assert_eq!(find("skip-intake"), "true file rater.toml");
    assert_eq!(find("reference"), "a.yaml, b.yaml file rater.toml");
    assert_eq!(find("kafka-brokers"), "a:1, b:2 file rater.toml");
    assert_eq!(find("kafka-security"), "sasl file rater.toml");
    assert_eq!(find("kafka-property"), "linger.ms=*** file rater.toml");
    assert_eq!(find("tick-every"), "10 s default");
    let topics = run(folder.path(), &["config", "show", "topics"], &environment).expect(0).stdout;
    let line = topics.lines().find(|line| line.starts_with("guided-partitions")).expect("the setting");
    assert!(line.ends_with("4  file rater.toml") || line.contains("file rater.toml"), "{line}");
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "workers = 0\n\n  stage = \"mediation\"\nbatch-wait = \"soon\"\nskip-intake = \"yes\"\nworker = 1\n\
                duplicate-window = \"90 min\"\n[kafka]\nbroker = \"a:1\"\nsecurity = 1.5\n[[kafka.brokers]]\n\
                [topic]\nprefix = \"x.\"\n[batch]\nwait = \"1 s\"\n[guided]\npartitions = -1\n";
    write_file(folder.path(), "wrong.toml", file);
    let said = run(folder.path(), &["run", "--config", "wrong.toml"], &[]).expect(2).stderr;
    let expected = [
        "wrong.toml:1:1: invalid value '0' for '--workers <N>'",
        "wrong.toml:3:3: invalid value 'mediation' for '--stage <STAGE>' [possible values: intake, guide, rate, recycle, cycle, all]",
        "wrong.toml:4:1: invalid value 'soon' for '--batch-wait <LENGTH>': \"soon\" is not a length",
        "wrong.toml:5:1: \"skip-intake\" is true or false",
        "wrong.toml:6:1: there is no setting \"worker\"",
        "wrong.toml:7:1: invalid value '90 min' for '--duplicate-window <LENGTH>'",
        "wrong.toml:9:1: there is no setting \"kafka-broker\"",
        "wrong.toml:10:1: \"kafka-security\" is a text or a whole number",
        "wrong.toml:11:9: \"kafka-brokers\" is not a setting",
        "wrong.toml:15:1: \"batch-wait\" stands in line 4 already",
        "wrong.toml:17:1: invalid value '-1' for '--guided-partitions <N>'",
    ];
    for words in expected {
        assert!(said.contains(words), "{words:?} is missing:\n{said}");
    }
    assert_eq!(said.matches("wrong.toml:").count(), expected.len(), "{said}");

    write_file(folder.path(), "broken.toml", "workers = \n");
    let said = run(folder.path(), &["run", "--config", "broken.toml"], &[]).expect(2).stderr;
    assert!(said.contains("broken.toml:1:11: "), "{said}");
    let said = run(folder.path(), &["run", "--config", "nowhere.toml"], &[]).expect(2).stderr;
    assert!(said.contains("nowhere.toml: "), "{said}");
}

/// Where a person could put a secret by mistake or on purpose: arguments, environment, what stands in the file `s.toml`. All hold `hush`.
const PLACES: [(&[&str], (&str, &str), &str); 33] = [
    (&["run", "--registry-url", "http://rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run", "--registry-url", "http://rater:hu/hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run", "--registry-url", "https://127.0.0.1:1/?token=hush"], NOT_SET, ""),
    (&["run", "--registry-url", "rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run", "--registry-url", "HTTP://rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run"], ("RATER_REGISTRY_URL", "http://rater:hush@127.0.0.1:1"), ""),
    (&["run", "--config", "s.toml"], NOT_SET, "registry-url = \"http://rater:hush@127.0.0.1:1\""),
    (&["schema", "check", "--registry-url", "http://rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["tail", "usage", "--registry-url", "http://rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["config", "show", "run", "--registry-url", "http://rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["config", "show", "run", "--registry-url", "https://127.0.0.1:1/?token=hush"], NOT_SET, ""),
    (&["config", "show", "run", "--json"], ("RATER_REGISTRY_URL", "http://rater:hush@127.0.0.1:1"), ""),
    (&["config", "show", "run", "--config", "s.toml"], NOT_SET, "registry-url = \"http://rater:hush@127.0.0.1:1\""),
    (&["config", "show", "run", "--kafka-property", "ssl.key.password=hush"], NOT_SET, ""),
    (&["config", "show", "run", "--kafka-property", "ssl.key.password:hush"], NOT_SET, ""),
    (&["config", "show", "run", "--kafka-brokers", "rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["config", "show", "directory", "--store-nodes", "a:1,rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run", "--help"], ("RATER_REGISTRY_URL", "http://rater:hush@127.0.0.1:1"), ""),
    (&["run", "--help"], ("RATER_KAFKA_BROKERS", "rater:hush@127.0.0.1:1"), ""),
    (&["run", "--help"], ("RATER_KAFKA_PROPERTY", "ssl.key.password=hush"), ""),
    (&["directory", "get", "--help"], ("RATER_STORE_NODES", "rater:hush@127.0.0.1:1"), ""),
    (&["run", "--kafka-property", "ssl.key.password:hush"], NOT_SET, ""),
    (&["run", "--kafka-property", "=hush"], NOT_SET, ""),
    (&["run", "--kafka-property", "linger.ms=hush"], NOT_SET, ""),
    (&["run"], ("RATER_KAFKA_PROPERTY", "ssl.key.password:hush"), ""),
    (&["run", "--config", "s.toml"], NOT_SET, "kafka-property = [\"ssl.key.password:hush\"]"),
    (&["run", "--config", "s.toml"], NOT_SET, "[kafka.property]\n\"ssl.key.password\" = hush"),
    (&["run", "--config", "s.toml"], NOT_SET, "[kafka]\npassword = \"hush\""),
    (&["run", "--kafka-brokers", "rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["run", "--cloudevents-source", "http://rater:hush@127.0.0.1"], NOT_SET, ""),
    (&["directory", "get", "x", "--store-nodes", "rater:hush@127.0.0.1:1"], NOT_SET, ""),
    (&["top", "rater:hush@127.0.0.1:1", "--once"], NOT_SET, ""),
    (&["top", "rater:hush@127.0.0.1:1", "--json"], NOT_SET, ""),
];
const NOT_SET: (&str, &str) = ("RATER_STORE_USER", "nobody");

#[test]
fn a_secret_in_an_option_is_never_shown_and_an_address_that_has_one_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    write_file(folder.path(), "rating.yaml", include_str!("../../../../examples/first/rating.yaml"));
    let mut wrong = String::new();
    for (arguments, variable, file) in PLACES {
        write_file(folder.path(), "s.toml", file);
        // No address of this machine: what is not refused ends there, without waiting for a broker.
        let nowhere = [("RATER_LISTEN", "192.0.2.1:9")];
        let ran = run(folder.path(), arguments, &[nowhere.as_slice(), &[variable]].concat());
        let is_shown = ran.stdout.contains("hush") || ran.stderr.contains("hush");
        // What shows settings only shows them.
        let may_succeed = arguments.contains(&"show") || arguments.contains(&"--help");
        if is_shown || (ran.code == 0) != may_succeed {
            wrong.push_str(&format!(
                "{arguments:?} {variable:?} {file:?}: {}\n{}{}\n",
                ran.code, ran.stdout, ran.stderr
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
