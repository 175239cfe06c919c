//! What has the form of another topic's messages is suspended once, moves nothing, and stays what it is.

use crate::support::{self, Deployment, LEVELS, USAGE, command, retry, usage};
use crate::{KNOWN, PARTITIONS, REFERENCE};
use rating::Timestamp;
use runtime::service::{ServiceSettings, TopicNames};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::generator::stream::LineKind;

const TIME: &str = "2026-03-01T05:00:00Z";

/// Commands that would all be applied on the topic of commands.
fn commands() -> Vec<String> {
    let amount = r#","amount":"100000","currency":"GBP""#;
    let kinds = [
        ("credit", amount),
        ("debit", amount),
        ("top_up", amount),
        ("suspend", ""),
        ("buy_bundle", r#","bundle_id":"five""#),
    ];
    kinds.into_iter().map(|(kind, more)| command(&format!("forged-{kind}"), kind, more)).collect()
}

fn ticks() -> Vec<String> {
    let month = jiff::SignedDuration::from_hours(30 * 24);
    let now = jiff::Timestamp::from_millisecond(jiff::Timestamp::now().as_millisecond()).expect("a time");
    [now, now + month, TIME.parse().expect("a time")].map(|at| format!(r#"{{"tick":"{at}"}}"#)).to_vec()
}

/// With the kind named, too.
fn named(kind: &str, line: &str) -> String {
    line.replacen('{', &format!(r#"{{"type":"{kind}","#), 1)
}

/// Retries of the first record, which was charged, and of what never was.
fn retries(deployment: &Deployment, charged: &[u8]) -> Vec<Vec<u8>> {
    let topic = deployment.topic("usage");
    let place = (&*topic, 0, 0);
    let new = usage("forged-new", KNOWN, TIME);
    let of_level =
        |level: u8| retry(place, "no_rate", charged, "").replace("\"level\":null", &format!("\"level\":{level}"));
    let retries = [
        retry(place, "unknown_endpoint", charged, ""),
        retry(place, "too_late", charged, ""),
        retry(place, "wrong_kind", charged, ""),
        of_level(1),
        of_level(2),
        retry(place, "unknown_endpoint", charged, r#","wanted":"hold""#),
        retry(place, "unknown_endpoint", charged, r#","wanted":"leave""#),
        retry((&topic, 1, 99), "unknown_endpoint", new.as_bytes(), ""),
        retry(
            (&topic, 0, 0),
            "future_event",
            command("forged-inside", "credit", r#","amount":"1","currency":"GBP""#).as_bytes(),
            "",
        ),
    ];
    retries.map(String::into_bytes).to_vec()
}

fn forged(name: &str, skip_intake: bool) {
    let deployment = Deployment::new(name, PARTITIONS, skip_intake, Some(1));
    let running = deployment.start(REFERENCE);
    deployment.tick(TIME);
    let charged = usage("r0", KNOWN, TIME);
    deployment.write("usage", [(0, &charged), (1, &usage("r1", KNOWN, TIME))]);
    let credit = command("c1", "credit", r#","amount":"10","currency":"GBP""#);
    deployment.write("account-commands", [(0, &credit)]);
    deployment.wait("charged", &running, |deployment| {
        deployment.messages("charges").len() == 2 * LEVELS && deployment.messages("command-replies").len() == 1
    });
    let moved = deployment.messages("balance-deltas").len();

    let lines = support::avro(None, &deployment.prefix);
    let avro = |kind, line: &str| lines.message(kind, line.as_bytes()).expect("Avro");
    let record = usage("forged-record", KNOWN, TIME);
    let two_kinds = [
        usage("forged-both", KNOWN, TIME).replacen('{', &format!(r#"{{"tick":"{TIME}","#), 1),
        usage("forged-both", KNOWN, TIME).replacen('{', r#"{"command_id":"forged-both","#, 1),
        usage("forged-typed", KNOWN, TIME).replacen('{', r#"{"type":"tick","#, 1),
    ];
    let mut to_usage: Vec<Vec<u8>> = Vec::new();
    for line in commands() {
        to_usage.extend([
            line.clone().into_bytes(),
            named("command", &line).into_bytes(),
            avro(LineKind::Command, &line),
        ]);
    }
    let mut to_commands = vec![record.clone().into_bytes(), named("usage", &record).into_bytes(), avro(USAGE, &record)];
    for line in ticks() {
        let forms = [line.clone().into_bytes(), named("tick", &line).into_bytes(), avro(LineKind::Tick, &line)];
        to_usage.extend(forms.clone());
        to_commands.extend(forms);
    }
    for topic in [&mut to_usage, &mut to_commands] {
        topic.extend(retries(&deployment, charged.as_bytes()));
        topic.extend(two_kinds.iter().map(|line| line.clone().into_bytes()));
    }
    let spread = |messages: &[Vec<u8>]| -> Vec<(u32, Vec<u8>)> {
        (0..).zip(messages).map(|(at, value)| (at % 2, value.clone())).collect()
    };
    deployment.write("usage", spread(&to_usage));
    deployment.write("account-commands", spread(&to_commands));
    let count = to_usage.len() + to_commands.len();
    deployment.wait("suspended", &running, |deployment| deployment.messages("suspense").len() >= count);

    // The service goes on, its clock where it was.
    let later = usage("r2", KNOWN, TIME);
    deployment.write("usage", [(0, &later), (1, &usage("r3", KNOWN, "2026-03-01T04:30:00Z"))]);
    let debit = command("c2", "debit", r#","amount":"1","currency":"GBP""#);
    deployment.write("account-commands", [(1, &debit)]);
    deployment.wait("goes on", &running, |deployment| {
        deployment.messages("charges").len() >= 4 * LEVELS && deployment.messages("command-replies").len() >= 2
    });
    let check = |attempts: i64| {
        let rows = deployment.rows("suspense");
        let mut places = BTreeMap::new();
        for row in &rows {
            let (reason, place) = (row.text("reason"), row.place(&deployment.prefix));
            assert_eq!(
                reason,
                "wrong_kind",
                "{place:?} {}: {}",
                row.text("detail"),
                String::from_utf8_lossy(row.bytes("original"))
            );
            *places.entry((place, row.number("attempt").expect("a number"))).or_insert(0) += 1;
        }
        assert!(places.values().all(|count| *count == 1), "suspended twice: {places:?}");
        assert_eq!(places.len(), count * usize::try_from(attempts + 1).expect("small"));
        deployment.charged().check(["r0", "r1", "r2", "r3"]);
        // Two records more, and the debit.
        assert_eq!(deployment.messages("balance-deltas").len(), moved + 2 * LEVELS + 1);
        assert_eq!(deployment.messages("command-replies").len(), 2);
    };
    check(0);
    deployment.wait("kept", &running, |deployment| deployment.open().len() == count);

    // Tried again it is what it was.
    deployment.recycle(&[], true);
    deployment.wait("suspended again", &running, |deployment| deployment.messages("suspense").len() >= 2 * count);
    deployment.wait("kept again", &running, |deployment| deployment.open().iter().all(|open| open.waited.attempt == 1));
    check(1);
    deployment.check();
    running.stop().expect("a clean end");
}

#[test]
fn what_is_written_to_another_topic_moves_nothing() {
    forged("forged", false);
}

#[test]
fn what_is_written_to_another_topic_moves_nothing_without_intake() {
    forged("forged-guide", true);
}

/// A process whose clock is a month ahead, for a moment.
fn ahead() -> Timestamp {
    let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(30 * 24);
    Timestamp::from_millis(ahead.as_millisecond())
}

#[test]
fn a_process_whose_clock_is_a_month_ahead_moves_no_clock() {
    let deployment = Deployment::new("ahead", PARTITIONS, false, Some(1));
    let of_today = |id: &str| usage(id, KNOWN, &jiff::Timestamp::now().to_string());
    let every = Some(Duration::from_millis(100));
    let wrong = deployment.start_with(REFERENCE, |settings| ServiceSettings {
        now: ahead,
        tick_every: every,
        instance: "wrong".to_owned(),
        ..settings
    });
    // It takes records itself while it writes such ticks.
    deployment.wait("ticks", &wrong, |deployment| deployment.messages("ticks").len() > 10);
    deployment.write("usage", [(0, of_today("r0")), (1, of_today("r1"))]);
    deployment.wait("charged", &wrong, |deployment| deployment.messages("charges").len() == 2 * LEVELS);
    wrong.stop().expect("a clean end");
    let running = deployment.start_with(REFERENCE, |settings| ServiceSettings {
        now: || Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
        tick_every: every,
        future_ms: 60_000,
        ..settings
    });
    let ticks = deployment.messages("ticks").len();
    deployment.wait("ticks", &running, |deployment| deployment.messages("ticks").len() > ticks + 10);
    // The records, and copies of the first two: nothing is too late, and nothing is forgotten.
    let again: Vec<(u32, Vec<u8>)> =
        deployment.messages("usage").into_iter().map(|(partition, _, value)| (partition, value)).collect();
    deployment.write("usage", again);
    deployment.write("usage", [(0, of_today("r2")), (1, of_today("r3"))]);
    deployment.wait("charged", &running, |deployment| deployment.messages("charges").len() == 4 * LEVELS);
    running.stop().expect("a clean end");
    deployment.charged().check(["r0", "r1", "r2", "r3"]);
    assert_eq!(deployment.messages("suspense").len(), 0, "{:?}", deployment.reasons());
}

/// Nobody but Rater may write retries. Whoever can all the same has a record charged again, and the independent look says so.
#[test]
fn retries_and_commands_that_were_wrongly_carried_out_are_found() {
    let deployment = Deployment::new("carried-out", PARTITIONS, false, None);
    let topic = deployment.topic("usage");
    let records = [usage("r0", KNOWN, TIME), usage("r1", KNOWN, TIME), usage("r2", KNOWN, TIME)];
    let running = deployment.start(REFERENCE);
    deployment.write("usage", records.iter().map(|record| (0, record)));
    deployment.wait("charged", &running, |deployment| deployment.messages("charges").len() == 3 * LEVELS);
    deployment.check();
    let of_level = retry((&topic, 0, 1), "no_rate", records[1].as_bytes(), "").replace("\"level\":null", "\"level\":1");
    deployment
        .write("retries", [(0, &retry((&topic, 0, 0), "unknown_endpoint", records[0].as_bytes(), "")), (0, &of_level)]);
    deployment.write("retries", [(0, &retry((&topic, 1, 7), "future_event", usage("r9", KNOWN, TIME).as_bytes(), ""))]);
    deployment.wait("charged again", &running, |deployment| deployment.messages("charges").len() == 5 * LEVELS + 1);
    running.stop().expect("a clean end");
    // A service that takes commands where usage belongs, and usage where commands do.
    let running = deployment.start_with(REFERENCE, |settings| {
        let topics = TopicNames {
            usage: settings.topics.commands.clone(),
            commands: settings.topics.usage.clone(),
            ..settings.topics.clone()
        };
        ServiceSettings { topics, ..settings }
    });
    deployment.write("usage", [(1, &command("c1", "credit", r#","amount":"100000","currency":"GBP""#))]);
    deployment.write("account-commands", [(1, &usage("r3", KNOWN, TIME))]);
    deployment.wait("carried out", &running, |deployment| {
        deployment.messages("command-replies").len() == 1 && deployment.charged_ids().contains("r3")
    });
    running.stop().expect("a clean end");
    let report = deployment.verify();
    let shown = report.shown.join("\n");
    for words in [
        "charged twice: s r0 level 1",
        "charged twice: s r0 level 2",
        "charged twice: s r1 level 1",
        "a retry of no input message",
        "no usage record s r9 was guided",
        "guided: no command c1",
        "no usage record s r3 was guided",
    ] {
        assert!(shown.contains(words), "no {words:?} in {report}");
    }
}
