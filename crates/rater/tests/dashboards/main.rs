//! Dashboards, alerts and configuration of the monitoring are good for something: a real Prometheus takes them, scrapes a real run, and
//! has an answer to every expression. `.ci/dashboards.py` checks what needs no run.
#![cfg(feature = "kafka")]

mod history;
#[path = "../support/mod.rs"]
mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use testkit::generator::{self, Parameters, Times};
use testkit::load::{self, Connection, Extra, Form, Load, Sent};
use testkit::services::{Kafka, Prometheus, promtool};

const LIMIT: Duration = Duration::from_secs(90);
const RATE: u32 = 400;
const RECORDS: u64 = 16_000;
/// In place of Grafana's, for a scrape every second.
const RATE_INTERVAL: &str = "15s";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").canonicalize().expect("deploy/")
}

#[test]
fn promtool_takes_configuration_and_rules_and_every_alert_fires_and_is_silent_when_it_should() {
    let folder = deploy().join("prometheus");
    promtool(&folder, &["check", "config", "prometheus.yml"]).expect("a good configuration");
    let files = |part: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder.join(part)).expect(part);
        let mut files: Vec<String> =
            entries.map(|entry| format!("{part}/{}", entry.expect("a file").file_name().to_string_lossy())).collect();
        files.sort();
        files
    };
    for (check, part) in [("check", "rules"), ("test", "tests")] {
        let files = files(part);
        assert!(!files.is_empty(), "no {part}");
        let arguments: Vec<&str> = [check, "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
        promtool(&folder, &arguments).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_expression_has_data_in_a_real_run() {
    let run = Run::start();
    let prometheus = run.prometheus();
    let load = run.load();
    check_health(&run);
    // Rates need some scrapes on the way.
    let names = wait_for_traffic(&prometheus);
    let panels = panels();
    assert!(panels.len() > 40, "{} expressions", panels.len());
    let mut findings: Vec<String> = panels.iter().filter_map(|panel| check_panel(panel, &prometheus)).collect();
    findings.extend(check_rules(&prometheus, &names));
    let sent = load.join().expect("no panic");
    assert_eq!(sent.failed, 0);
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    run.stop();
}

/// The image's health check, as the image runs it.
fn check_health(run: &Run) {
    let healthy = |address: &str, path: &str| {
        let script = deploy().join("rater/healthy");
        let said = Command::new(script).args([address, path]).stderr(Stdio::null()).status().expect("bash");
        said.success()
    };
    let deadline = Instant::now() + LIMIT;
    while !healthy(&run.address, "/readyz") {
        assert!(Instant::now() < deadline, "never ready");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(healthy(&run.address, "/healthz"));
    assert!(!healthy(&run.address, "/nothing-here"), "anything is healthy");
    assert!(!healthy(&nobody(), "/readyz"), "nobody is healthy");
}

/// A panel's expression.
struct Panel {
    place: String,
    expression: String,
    description: String,
}

fn panels() -> Vec<Panel> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(deploy().join("grafana/dashboards")).expect("dashboards") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                found.push(Panel {
                    place: format!("{}, {}", dashboard["title"], panel["title"]),
                    expression: target["expr"].as_str().expect("an expression").to_owned(),
                    description: panel["description"].as_str().unwrap_or_default().to_owned(),
                });
            }
        }
        for variable in dashboard["templating"]["list"].as_array().expect("variables") {
            if let Some(query) = variable["query"]["query"].as_str() {
                // The data source asks for the values of a label of the series that a selector matches.
                let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(", job)"));
                found.push(Panel {
                    place: format!("{}, ${}", dashboard["title"], variable["name"]),
                    expression: inside.expect("label_values(SELECTOR, job)").to_owned(),
                    description: String::new(),
                });
            }
        }
    }
    found
}

/// What is wrong with a panel's expression.
fn check_panel(panel: &Panel, prometheus: &Prometheus) -> Option<String> {
    let expression = panel.expression.replace("$__rate_interval", RATE_INTERVAL).replace("$job", ".+");
    let Panel { place, description, .. } = panel;
    if expression.contains('$') {
        return Some(format!("{place}: {expression}: a variable that nobody sets"));
    }
    if expression.contains("offset") && !description.contains(" quiet: only when ") {
        return Some(format!("{place}: {expression}: looks back without saying that it needs history"));
    }
    match prometheus.query(&expression) {
        Err(error) => Some(format!("{place}: {expression}: {error}")),
        Ok(answer) if has_number(&answer) => None,
        Ok(answer) => Some(format!("{place}: {expression}: no data: {answer}")),
    }
}

/// Whether there is a sample that is a number.
fn has_number(answer: &Value) -> bool {
    let samples = answer["result"].as_array().map(Vec::as_slice).unwrap_or_default();
    samples.iter().any(|sample| {
        let value = sample["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        value.is_some_and(f64::is_finite)
    })
}

/// Rules that cannot be worked out, alerts that fire although all is well, and metrics that nobody exports.
fn check_rules(prometheus: &Prometheus, names: &BTreeSet<String>) -> Vec<String> {
    let text = prometheus.get("/api/v1/rules").expect("rules");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let groups = told["data"]["groups"].as_array().expect("groups");
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert!(rules.len() >= 10, "{} rules", rules.len());
    let mut findings = Vec::new();
    for rule in rules {
        let (name, query) = (&rule["name"], rule["query"].as_str().expect("a query"));
        if rule["health"] != "ok" {
            findings.push(format!("{name}: {}: {}", rule["health"], rule["lastError"]));
        }
        if rule["state"] == "firing" {
            findings.push(format!("{name} fires although all is well: {}", rule["alerts"]));
        }
        for metric in metrics_in(query).filter(|metric| !names.contains(*metric)) {
            findings.push(format!("{name}: nobody exports {metric}"));
        }
    }
    findings
}

/// Words of an expression that are names of ours.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(move |c| !is_name(c)).filter(|word| word.starts_with("rater_") || word.starts_with("process_"))
}

/// Waits until charges have been counted by some scrapes; the names of all metrics.
fn wait_for_traffic(prometheus: &Prometheus) -> BTreeSet<String> {
    let deadline = Instant::now() + LIMIT;
    let flows = format!("sum(rate(rater_charges_total[{RATE_INTERVAL}])) > {}", RATE);
    while !has_number(&prometheus.query(&flows).expect("an answer")) {
        assert!(Instant::now() < deadline, "{flows}: {}", prometheus.get("/api/v1/targets").unwrap_or_default());
        thread::sleep(Duration::from_millis(500));
    }
    // One whole window of it.
    thread::sleep(Duration::from_secs(15));
    let names = prometheus.get("/api/v1/label/__name__/values").expect("names");
    let names: Value = serde_json::from_str(&names).expect("JSON");
    names["data"].as_array().expect("names").iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// A deployment under load, as in docker-compose.yml.
struct Run {
    kafka: &'static Kafka,
    prefix: String,
    folder: tempfile::TempDir,
    address: String,
    service: Child,
}

impl Run {
    fn start() -> Run {
        let kafka = Kafka::shared().expect("a broker");
        let prefix = format!("dashboards-{}.", std::process::id());
        let folder = tempfile::tempdir().expect("a folder");
        generator::write_reference(&parameters(), folder.path()).expect("reference data");
        let brokers = kafka.bootstrap();
        let sizes = [
            "--input-partitions",
            "2",
            "--intaken-partitions",
            "2",
            "--guided-partitions",
            "2",
            "--output-partitions",
            "2",
        ];
        let topics = ["topics", "apply", "--kafka-brokers", brokers, "--topic-prefix", &prefix];
        support::rater(folder.path(), &[&topics[..], &sizes].concat()).expect(0);
        let address = nobody();
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let service = support::command(folder.path())
            .args(["run", "--reference", "rating.yaml", "--endpoints", "endpoints.csv", "--kafka-brokers", brokers])
            .args(["--grants", "ignore", "--topic-prefix", &prefix, "--listen", &address, "--tick-every", "1 s"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        Run { kafka, prefix, folder, address, service }
    }

    /// Scrapes it every second with the rules of the repository, a week after a deployment like it.
    fn prometheus(&self) -> Prometheus {
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules/*.yml]\nscrape_configs:\n  \
             - job_name: rater\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
            self.address
        );
        let history = history::a_week_ago(std::time::SystemTime::now(), &self.address);
        Prometheus::start(&configuration, &deploy().join("prometheus"), &history).expect("a Prometheus")
    }

    /// Sends usage of now until it is ended or all is sent.
    fn load(&self) -> thread::JoinHandle<Sent> {
        let parameters = parameters();
        let load = Load {
            first: load::grants(self.folder.path(), None).expect("grants"),
            parameters: Parameters {
                times: Times::live(now_ms(), parameters.records, NonZeroU32::new(RATE).expect("not 0")),
                ..parameters
            },
            form: Form::Json,
            usage: format!("{}usage", self.prefix),
            commands: Some(format!("{}account-commands", self.prefix)),
            ticks: None,
            rate: NonZeroU32::new(RATE),
            copies_per_mille: 20,
            extra: Extra::default(),
        };
        let connection = Connection::new(self.kafka.bootstrap());
        thread::spawn(move || load::run(&load, &connection, &mut |_| {}).expect("delivered"))
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.service), Signal::TERM).expect("a signal");
        let status = self.service.wait().expect("an end");
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

fn parameters() -> Parameters {
    Parameters { records: RECORDS, endpoints: 500, customers: 50, ..Parameters::bench(1) }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the end of time")
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}
