//! What comes from outside is shown as text, and never obeyed by a terminal.

use crate::support::{Ran, example, rater, write};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Clears the screen; the same with one character; forges a line; shows what follows the other way round.
const EVIL: &str = "x\u{1b}[2J\u{9b}2J\nforged ok\u{202e}z";

/// Whatever a terminal would obey beyond line breaks.
#[track_caller]
fn assert_obeys_nothing(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let found: Vec<char> =
            text.chars().filter(|c| *c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(c))).collect();
        assert!(found.is_empty(), "{found:?} in\n{}", text.escape_debug());
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
    }
}

#[test]
fn names_of_files_and_values_of_records_are_shown_as_text() {
    let folder = example();
    let name = format!("{EVIL}.jsonl");
    let evil = EVIL.replace('\n', "\\n").replace('\u{1b}', "\\u001b");
    let records = [
        // Allowed in an id, and yet not to be obeyed.
        "{\"id\":\"a\u{202e}b\",\"source\":\"t\",\"service\":\"data\",\"quantity\":5,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\"}\n".to_owned(),
        format!("{{\"id\":\"{evil}\",\"service\":\"data\"}}\n"),
        format!("{{\"id\":\"c\",\"service\":\"{evil}\",\"quantity\":\"{evil}\",\"event_time\":\"{evil}\"}}\n"),
        format!("{EVIL}\n"),
    ];
    write(folder.path(), &name, &records.concat());
    for more in [&[][..], &["--json"], &["--verbose"], &["--final"]] {
        let ran = rater(folder.path(), &[&["rate", &name, "-r", "rating.yaml"], more].concat());
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_obeys_nothing(&ran);
    }
    let shown = rater(folder.path(), &["rate", &name, "-r", "rating.yaml", "-o", "other"]).expect(0).stdout;
    assert!(shown.contains(r"x\u{1b}[2J\u{9b}2J\nforged ok\u{202e}z.jsonl:2"), "{shown}");
    // It is the same text for programs.
    let json = rater(folder.path(), &["rate", &name, "-r", "rating.yaml", "--json"]).expect(0).json();
    assert_eq!(json["already_rated"][0], *name);
    for more in [&[][..], &["--json"]] {
        let explained = rater(folder.path(), &[&["explain", "a\u{202e}b", "-r", "rating.yaml"], more].concat());
        assert_eq!(explained.code, 0, "{}", explained.stderr);
        assert_obeys_nothing(&explained);
        assert_obeys_nothing(&rater(folder.path(), &[&["explain", EVIL], more].concat()));
        assert_obeys_nothing(&rater(folder.path(), &[&["rate", "nowhere\u{1b}[2J.csv"], more].concat()));
    }
}

#[test]
fn reference_data_with_errors_are_shown_as_text() {
    let folder = example();
    let evil = "x\\e[2J\\u009b2J\\nforged ok\\u202Ez";
    let raw = "# raw \u{202e} \u{1b}[2J \u{9b}2J";
    for text in [
        format!("format: rater/v1\naccounts:\n  \"{evil}\": {{ kind: operator, currency: GBP }}\n"),
        format!("format: rater/v1\naccounts:\n  a: {{ kind: \"{evil}\", \"{evil}\": 1, currency: \"{evil}\" }}\n"),
        format!("format: rater/v1\naccounts:\n  a: {{ kind: operator, currency: XXXX }} {raw}\n"),
        format!("format: rater/v1\n{raw}\naccounts: [\n"),
    ] {
        write(folder.path(), "evil.yaml", &text);
        let ran = rater(folder.path(), &["check", "evil.yaml"]).expect(2);
        assert!(ran.stderr.contains("error"), "{}", ran.stderr);
        assert_obeys_nothing(&ran);
        assert_obeys_nothing(&rater(folder.path(), &["check", "evil.yaml", "--json"]).expect(2));
        let coloured = rater(folder.path(), &["check", "evil.yaml", "--color", "always"]).expect(2).stderr;
        assert!(!coloured.contains("\u{1b}[2J") && !coloured.contains(['\u{9b}', '\u{202e}']), "{coloured:?}");
    }
}

#[test]
fn colours_are_ours_alone() {
    let folder = example();
    let name = "a\u{1b}[31mb\u{fdd0}.jsonl";
    write(folder.path(), name, "{}\n");
    let shown = rater(folder.path(), &["rate", name, "-r", "rating.yaml", "--color", "always"]).expect(0);
    assert!(shown.stdout.contains("\u{1b}[33msuspense\u{1b}[0m  a\\u{1b}[31mb\\u{fdd0}.jsonl:1"), "{}", shown.stdout);
}

/// Serves one page, however often it is asked for; returns its address.
fn serve(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
        }
    });
    address
}

#[test]
#[cfg(feature = "kafka")]
fn labels_of_a_page_are_shown_as_text() {
    let evil = EVIL.replace('\n', "\\n");
    let page = format!(
        "rater_build_info{{version=\"1\"}} 1\nrater_consumer_lag_records{{topic=\"{evil}\"}} 3\n\
         rater_workers{{stage=\"rate\",state=\"{evil}\"}} 1\nrater_suspended_total{{reason=\"{evil}\"}} 2\n\
         rater_charges_total{{level=\"{evil}\"}} 1\nrater_charged_amount_total{{level=\"{evil}\",currency=\"{evil}\"}} 1\n"
    );
    let address = serve(page);
    let folder = tempfile::tempdir().expect("a folder");
    let shown = rater(folder.path(), &["top", &address, "--once", "--every", "100 ms"]).expect(0);
    assert_obeys_nothing(&shown);
    assert_eq!(shown.stdout.matches(r"x\u{1b}[2J\u{9b}2J\nforged ok\u{202e}z").count(), 5, "{}", shown.stdout);
    assert_obeys_nothing(&rater(folder.path(), &["top", &address, "--json"]).expect(0));
}

#[test]
#[cfg(feature = "kafka")]
fn a_page_of_another_service_is_no_page_of_rater() {
    let folder = tempfile::tempdir().expect("a folder");
    for page in ["up 1\nprocess_cpu_seconds_total 5\n", "<html>welcome</html>", "", "rater_records_total nonsense\n"] {
        let address = serve(page.to_owned());
        for more in ["--once", "--json"] {
            let ran = rater(folder.path(), &["top", &address, more]).expect(3);
            let said = format!("http://{address}/metrics is no page of `rater run`");
            assert!(ran.stderr.contains(&said) || ran.stdout.contains(&said), "{}{}", ran.stdout, ran.stderr);
            assert!(!ran.stdout.contains("records"), "{}", ran.stdout);
        }
    }
}
