//! What a running service shows of itself: metrics that move, readiness, and a log without persons and secrets.

use crate::deployment::{Deployment, LEVELS, Read1, Running};
use crate::support::rater;
use crate::suspense::suspense;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::registry::TestRegistry;

/// In usage: of the example's endpoint, of nobody, and in bytes that are no record.
const IMSIS: [&str; 3] = ["001010000000001", "001019999999999", "001018888888888"];
const MSISDN: &str = "447700900123";
const SECRETS: [&str; 3] = ["pass-of-the-broker", "pass-of-the-registry", "value-of-a-property"];

/// Starts it with pages on a port of the system's choice; the address is in the log.
pub(crate) fn start(deployment: &Deployment, more: &[&str]) -> (Running, String) {
    let property = format!("client.rack={}", SECRETS[2]);
    let fixed = ["--listen", "127.0.0.1:0", "--log-format", "json", "--kafka-property", &property];
    let environment = [("RATER_KAFKA_PASSWORD", SECRETS[0]), ("RATER_REGISTRY_PASSWORD", SECRETS[1])];
    let mut running = deployment.start_with(&[&fixed, more].concat(), &environment);
    running.wait_for_words("serves /metrics");
    let said = running.said();
    let event = said.lines().find(|line| line.contains("serves /metrics")).expect("an event");
    let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
    (running, event["address"].as_str().expect("an address").to_owned())
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[track_caller]
pub(crate) fn wait_for_page(address: &str, path: &str, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let page = get(address, path);
        if page.contains(wanted) {
            return page;
        }
        assert!(Instant::now() < deadline, "no {wanted:?} in {page}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Two records of an endpoint, one of nobody, one that lacks its id and one that is no record.
fn write_usage(deployment: &Deployment) {
    deployment.write_usage(0, 2);
    let unknown = format!(
        r#"{{"id":"n1","source":"test","service":"voice","quantity":60,"event_time":"2026-03-05T14:00:00Z","imsi":"{}","msisdn":"{MSISDN}"}}"#,
        IMSIS[1]
    );
    let lacking = format!(r#"{{"source":"test","service":"data","quantity":-1,"imsi":"{}"}}"#, IMSIS[2]);
    let garbage = format!("\u{7}{} {MSISDN}", IMSIS[2]);
    deployment.write("usage", &[unknown.into_bytes(), lacking.into_bytes(), garbage.into_bytes()]);
}

#[test]
fn metrics_move_it_becomes_ready_and_the_log_names_nobody() {
    let deployment = Deployment::new("shown");
    let (mut running, address) = start(&deployment, &["--log-level", "info", "--workers", "3"]);
    // Three workers on two partitions: one of each stage stands by, and that is ready, too.
    let ready = wait_for_page(&address, "/readyz", "\"ready\":true");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    write_usage(&deployment);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);
    deployment.wait_for("suspense", 3, &mut running);
    let seen = rater(deployment.folder.path(), &["top", &address, "--once", "--every", "200 ms"]).expect(0).stdout;
    for words in
        ["STAGE", "recycle  1 running", "cycle    1 running", "GBP", "control totals balance", "unknown_endpoint 1"]
    {
        assert!(seen.contains(words), "no {words:?} in\n{seen}");
    }
    let json = rater(deployment.folder.path(), &["top", &address, "--json"]).expect(0).json();
    assert_eq!(json["charges"]["3"], 2.0, "{json:#}");
    for line in [
        "rater_records_total{outcome=\"guided\",service=\"data\"} 2\n",
        "rater_records_total{outcome=\"suspended\",service=\"voice\"} 1\n",
        "rater_records_total{outcome=\"suspended\",service=\"unknown\"} 2\n",
        "rater_usage_bytes_total{outcome=\"guided\"} 2000\n",
        "rater_usage_seconds_total{outcome=\"suspended\"} 60\n",
        "rater_legs_total{level=\"3\",outcome=\"charged\"} 2\n",
        "rater_suspended_total{reason=\"unknown_endpoint\"} 1\n",
        "rater_suspended_total{reason=\"undecodable\"} 1\n",
        "rater_suspended_total{reason=\"invalid_record\"} 1\n",
        "rater_record_age_seconds_count{stage=\"intake\"} 3\n",
        "rater_workers{stage=\"rate\",state=\"standby\"} 1\n",
        "rater_workers{stage=\"rate\",state=\"running\"} 2\n",
        "rater_state_entries{stage=\"guide\"} 3\n",
        "rater_consumer_lag_records{partition=\"0\",topic=\"",
        "rater_reference_reload_successful 1\n",
    ] {
        wait_for_page(&address, "/metrics", line);
    }
    // All is processed, and markers of transactions are nothing to process.
    let guided = format!("rater_consumer_lag_records{{partition=\"0\",topic=\"{}\"}} 0\n", deployment.topic("guided"));
    wait_for_page(&address, "/metrics", &guided);
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    let said = running.stop();
    for line in said.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
    }
    let waits = said.lines().find(|line| line.contains("went to suspense")).expect("an event");
    let event: serde_json::Value = serde_json::from_str(waits).expect("JSON");
    assert!(
        event["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["messages"].is_u64())),
        "{waits}"
    );
    for personal in IMSIS.iter().chain(&[MSISDN]).chain(&SECRETS) {
        assert!(!said.contains(personal), "{personal} in\n{said}");
    }
}

#[test]
fn who_comes_second_is_ready_only_with_what_it_is_given_restored() {
    let deployment = Deployment::new("second");
    let (first, address) = start(&deployment, &["--instance", "first"]);
    wait_for_page(&address, "/readyz", "\"ready\":true");
    // At first the group has nothing to give: the other has to let go of half.
    let (second, address) = start(&deployment, &["--log-level", "info", "--instance", "second"]);
    wait_for_page(&address, "/readyz", "\"ready\":true");
    let said = second.said();
    // Cycle has one partition, which the first keeps.
    for stage in ["intake", "guide", "rate", "recycle"] {
        let is_restored =
            |line: &str| line.contains("\"message\":\"restored\"") && line.contains(&format!("\"stage\":\"{stage}\""));
        assert!(said.lines().any(is_restored), "{stage} is not restored:\n{said}");
    }
    // What the span says, the event does not say again.
    let restored = said.lines().find(|line| line.contains("\"message\":\"restored\"")).expect("an event");
    assert_eq!((restored.matches("\"stage\"").count(), restored.matches("\"worker\":").count()), (1, 1), "{restored}");
    second.stop();
    first.stop();
}

#[test]
fn persons_are_in_the_log_where_they_are_asked_for_and_secrets_are_not() {
    let deployment = Deployment::new("persons");
    let registry = TestRegistry::start().expect("a free port");
    let url = registry.url();
    let shown = ["--log-level", "trace", "--log-personal-data", "--registry-url", &url, "--registry-user", "rater"];
    let (mut running, address) = start(&deployment, &shown);
    write_usage(&deployment);
    deployment.wait_for("suspense", 3, &mut running);
    wait_for_page(&address, "/metrics", "rater_suspended_total{reason=\"unknown_endpoint\"} 1\n");
    let pages: String = ["/metrics", "/readyz", "/healthz"].iter().map(|path| get(&address, path)).collect();
    let said = running.stop();
    assert!(said.contains(IMSIS[1]) && said.contains("\"unknown_endpoint\""), "{said}");
    // The password of the registry as it is and as a header has it.
    for secret in SECRETS.iter().chain(&["cmF0ZXI6cGFzcy1vZi10aGUt"]) {
        assert!(!said.contains(secret) && !pages.contains(secret), "{secret} in\n{said}{pages}");
    }
}

#[test]
fn what_messages_hold_is_shown_as_text_and_never_obeyed() {
    let deployment = Deployment::new("obeyed");
    let mut running = deployment.start_with(&["--log-level", "trace", "--log-personal-data"], &[]);
    let id = "i\u{202e}d";
    let lacking = format!(r#"{{"id":"{id}","source":"test","service":"data\u001b[2J\nforged","imsi":"\u009b2J"}}"#);
    let garbage = "rub\u{1b}[2Jbish\u{9b}2J\nforged\u{202e}".to_owned();
    deployment.write("usage", &[lacking.into_bytes(), garbage.into_bytes()]);
    deployment.wait_for("suspense", 2, &mut running);
    let place = ["--kafka-brokers", deployment.kafka.bootstrap()];
    let (usage, suspended) = (deployment.topic("usage"), deployment.topic("suspense"));
    let mut texts = vec![running.stop()];
    for arguments in [&["tail", &*usage, "--last", "all"], &["tail", &*suspended, "--last", "all"]] {
        let ran = rater(deployment.folder.path(), &[&arguments[..], &place].concat()).expect(0);
        assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
        let all =
            ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON").to_string());
        assert!(all.collect::<String>().contains('\u{202e}'), "the same text for programs");
        texts.push(ran.stdout);
    }
    for (action, more) in [("ls", &[][..]), ("show", &[]), ("show", &["--json"])] {
        texts.push(suspense(&deployment, action, more).expect(0).stdout);
    }
    for text in texts {
        let is_obeyed = |found: char| found != '\n' && found.is_control() || ('\u{202a}'..='\u{202e}').contains(&found);
        assert!(!text.contains(is_obeyed), "{}", text.escape_debug());
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
    }
}

#[test]
fn an_address_that_was_asked_for_and_is_taken_is_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let deployment = Deployment::bare(testkit::services::Kafka::shared().expect("a broker"), "taken");
    let said = deployment.start(&["--listen", &address]).expect(2);
    assert!(said.contains(&format!("--listen {address}: ")), "{said}");
}

#[test]
fn the_trace_of_what_comes_in_is_the_trace_of_what_leaves() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let deployment = Deployment::new("traced");
    let (mut running, _) = start(&deployment, &[]);
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let unknown = format!(
        r#"{{"id":"n1","source":"test","service":"data","quantity":1,"event_time":"2026-03-05T14:00:00Z","imsi":"{}"}}"#,
        IMSIS[1]
    );
    let usage = deployment.usage(0, 1).remove(0);
    let values = [usage, unknown.clone().into_bytes(), b"rubbish".to_vec()];
    deployment.write_with("usage", &values, &[("traceparent", &parent), ("tracestate", "congo=t61"), ("other", "x")]);
    // Without one, and with one that is none.
    deployment.write_usage(1, 1);
    let malformed = [deployment.usage(2, 1).remove(0), unknown.replace("n1", "n2").into_bytes()];
    deployment.write_with("usage", &malformed, &[("traceparent", &parent[1..]), ("tracestate", "congo=t61")]);
    deployment.wait_for("charges", 3 * LEVELS, &mut running);
    deployment.wait_for("suspense", 3, &mut running);
    // Tried again, it is still the same trace.
    suspense(&deployment, "recycle", &["--apply"]).expect(0);
    deployment.wait_for("suspense", 6, &mut running);
    running.stop();
    let traced = |topic: &str| {
        let messages = deployment.read(topic);
        let of = |message: &Read1, name: &str| {
            let found = message.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let with = messages.iter().filter(|message| of(message, "traceparent").is_some());
        let with = with.inspect(|message| {
            assert_eq!(of(message, "traceparent").as_deref(), Some(&*parent), "{topic}");
            assert_eq!(of(message, "tracestate").as_deref(), Some("congo=t61"), "{topic}");
        });
        let with = with.count();
        assert!(messages.iter().all(|message| of(message, "other").is_none()), "{topic}");
        (with, messages.len())
    };
    assert_eq!(traced("charges"), (LEVELS, 3 * LEVELS));
    let (deltas, all) = traced("balance-deltas");
    assert!(deltas > 0 && all == 3 * deltas, "{deltas} of {all} deltas");
    assert_eq!(traced("suspense"), (4, 6));
}

#[test]
fn what_leaves_says_what_it_is_where_that_is_wanted() {
    let deployment = Deployment::new("headers");
    let (mut running, _) = start(&deployment, &["--cloudevents-source", "/rater/test"]);
    write_usage(&deployment);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);
    deployment.wait_for("suspense", 3, &mut running);
    running.stop();
    for (topic, kind) in
        [("charges", "rater.v1.Charge"), ("balance-deltas", "rater.v1.BalanceDelta"), ("suspense", "rater.v1.Suspense")]
    {
        for message in deployment.read(topic) {
            let header = |name: &str| {
                let found = message.headers.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("{topic}: no {name}"))
            };
            assert_eq!((header("ce_type"), header("ce_specversion")), (kind.to_owned(), "1.0".to_owned()));
            assert!(header("ce_source").starts_with("/rater/test/") && !header("ce_id").is_empty());
        }
    }
    // What stays inside has none.
    for topic in ["guided", "waiting"] {
        assert!(deployment.read(topic).iter().all(|message| message.headers.is_empty()), "{topic}");
    }
}
