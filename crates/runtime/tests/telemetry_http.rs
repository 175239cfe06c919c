//! The pages of a service, over real connections: what they answer, and that slow or hostile clients keep nobody else from an answer.

use rating::Timestamp;
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceReport, StageName, WorkerReport};
use runtime::telemetry::http::{MAX_CONNECTIONS, MAX_HEAD_BYTES, PATIENCE, Server};
use runtime::telemetry::{ReferenceNumbers, Telemetry};
use runtime::worker::Report;
use runtime::worker::counts::StageStatus;
use runtime::worker::log::Partition;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::deployment::{self, Shape};

const PARTITION: Partition = Partition { topic: 0, number: 0 };

/// A service of one worker per stage, and whether its reference data is fresh.
fn service() -> (Arc<Telemetry>, Server, Arc<AtomicBool>) {
    let partitions = PartitionCounts { inputs: 1, intaken: 1, guided: 1, outputs: 1 };
    let shape = Shape { partitions, skip_intake: false, workers: 1, batch: 10 };
    let is_fresh = Arc::new(AtomicBool::new(true));
    let fresh = Arc::clone(&is_fresh);
    let reference = move || ReferenceNumbers {
        confirmed: Timestamp::EPOCH,
        is_good: true,
        is_fresh: fresh.load(Ordering::Relaxed),
        cache: None,
    };
    let telemetry = Telemetry::new(&deployment::settings("127.0.0.1:1", "", shape), &[], Box::new(reference));
    let telemetry = Arc::new(telemetry.expect("telemetry"));
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&telemetry)).expect("a server");
    (telemetry, server, is_fresh)
}

/// Sends bytes and reads up to the end.
fn ask(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.write_all(request).expect("sent");
    let mut answer = Vec::new();
    // One who is cut off has what came before.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn get(server: &Server, path: &str) -> (String, String) {
    let answer = ask(server, format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn tell(telemetry: &Telemetry, stage: StageName, report: Report<'_>) {
    telemetry.tell(&ServiceReport::Worker(WorkerReport { stage, number: 0, report }));
}

#[test]
fn each_request_has_its_answer() {
    let (_telemetry, server, _) = service();
    let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; MAX_HEAD_BYTES]].concat();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    let cases: [(&[u8], &str); 9] = [
        (
            b"GET /metrics HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
        ),
        (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        (b"GET /other HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "HTTP/1.1 400 Bad Request\r\n"),
        (b"GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        (&long, "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (many.as_bytes(), "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
    ];
    for (request, expected) in cases {
        let answer = ask(&server, request);
        assert!(answer.starts_with(expected), "{:?}: {answer}", String::from_utf8_lossy(request));
    }
    let head = ask(&server, b"HEAD /healthz HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn it_is_ready_when_all_stages_are_restored_or_stand_by_and_reference_data_is_fresh() {
    let (telemetry, server, is_fresh) = service();
    let not_ready = |reasons: &str| {
        let (head, body) = get(&server, "/readyz");
        assert!(head.starts_with("HTTP/1.1 503") && head.contains("Content-Type: application/json"), "{head}");
        assert_eq!(body, format!("{{\"ready\":false,\"reasons\":[{reasons}]}}\n"));
    };
    not_ready(
        r#""intake 0: starting","guide 0: starting","rate 0: starting","recycle 0: starting","cycle 0: starting""#,
    );
    let status = StageStatus::default;
    tell(&telemetry, StageName::Intake, Report::Assigned(&[PARTITION]));
    tell(&telemetry, StageName::Intake, Report::Started { partitions: 1, status: status() });
    for stage in [StageName::Recycle, StageName::Cycle] {
        tell(&telemetry, stage, Report::Assigned(&[PARTITION]));
        tell(&telemetry, stage, Report::Started { partitions: 1, status: status() });
    }
    tell(&telemetry, StageName::Guide, Report::Assigned(&[]));
    tell(&telemetry, StageName::Guide, Report::Started { partitions: 0, status: status() });
    tell(&telemetry, StageName::Rate, Report::Assigned(&[PARTITION]));
    // Others may have to let go first of what guide will have.
    not_ready(r#""guide 0: without a partition: others may have to let go first","rate 0: restoring""#);
    tell(&telemetry, StageName::Guide, Report::Assigned(&[PARTITION]));
    tell(&telemetry, StageName::Guide, Report::Started { partitions: 1, status: status() });
    tell(&telemetry, StageName::Guide, Report::Released(&[PARTITION]));
    not_ready(r#""rate 0: restoring""#);
    tell(&telemetry, StageName::Rate, Report::Waiting("no answer"));
    not_ready(r#""rate 0: waiting: no answer""#);
    tell(&telemetry, StageName::Rate, Report::Restored(PARTITION, 5));
    tell(&telemetry, StageName::Rate, Report::Started { partitions: 1, status: status() });
    let (head, body) = get(&server, "/readyz");
    assert!(head.starts_with("HTTP/1.1 200") && body == "{\"ready\":true,\"reasons\":[]}\n", "{head}{body}");
    is_fresh.store(false, Ordering::Relaxed);
    not_ready(r#""reference data: not confirmed for too long""#);
    is_fresh.store(true, Ordering::Relaxed);

    tell(&telemetry, StageName::Guide, Report::Ended(None));
    assert!(get(&server, "/healthz").0.starts_with("HTTP/1.1 200"), "it was told to stop");
    tell(&telemetry, StageName::Rate, Report::Ended(Some("a gap")));
    assert!(get(&server, "/healthz").0.starts_with("HTTP/1.1 503"));
    not_ready(r#""guide 0: stopped: told to stop","rate 0: stopped: a gap""#);
}

#[test]
fn slow_clients_keep_nobody_from_an_answer_and_are_cut_off() {
    let (_telemetry, server, _) = service();
    let connect = |_| {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").expect("sent");
        stream
    };
    let slow: Vec<TcpStream> = (0..3 * MAX_CONNECTIONS).map(connect).collect();
    for _ in 0..5 {
        let start = Instant::now();
        assert!(get(&server, "/metrics").1.contains("rater_workers"));
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    }
    // Those that were closed for others, and those that were not in time.
    for mut stream in slow {
        stream.set_read_timeout(Some(PATIENCE + Duration::from_secs(20))).expect("a time-out");
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest)),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}
