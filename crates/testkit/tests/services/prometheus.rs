//! Prometheus: a server that scrapes itself, and what it says of wrong expressions and wrong rules.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::services::{Prometheus, promtool};

const LIMIT: Duration = Duration::from_secs(30);
const RULES: &str = "groups:\n  - name: self\n    rules:\n      - alert: Down\n        expr: up == 0\n";

#[test]
fn a_server_scrapes_itself_and_refuses_what_does_not_parse() {
    let folder = tempfile::tempdir().expect("a folder");
    rules(folder.path(), RULES);
    let configuration = "global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [rules/*.yml]\n";
    let prometheus = Prometheus::start(configuration, folder.path(), "").expect("a server");
    let started = Instant::now();
    while prometheus.query("vector(1)").expect("an answer")["result"].as_array().is_none_or(Vec::is_empty) {
        assert!(started.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(50));
    }
    let told = prometheus.get("/api/v1/rules").expect("rules");
    assert!(told.contains("\"Down\""), "{told}");
    let refused = prometheus.query("sum(rate(up[5m])").expect_err("no closing bracket").to_string();
    assert!(refused.contains("parse error"), "{refused}");
}

#[test]
fn promtool_tells_good_rules_from_bad_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    rules(folder.path(), RULES);
    promtool(folder.path(), &["check", "rules", "rules/self.yml"]).expect("good rules");
    rules(folder.path(), &RULES.replace("up == 0", "up =="));
    let refused = promtool(folder.path(), &["check", "rules", "rules/self.yml"]).expect_err("bad rules").to_string();
    assert!(refused.contains("could not parse expression"), "{refused}");
}

fn rules(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder.join("rules")).expect("a folder");
    std::fs::write(folder.join("rules/self.yml"), text).expect("a file");
}
