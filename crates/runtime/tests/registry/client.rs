//! What the client asks, and what it makes of the answers.

use super::{config, started};
use runtime::registry::{
    CompatibilityLevel, Credentials, Registered, Registry, RegistryConfig, RegistryError, SchemaId, Secret, TlsFiles,
};
use runtime::wire::{Frames, Message, Registration};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use testkit::registry::Fault;

const FIRST: &str = r#"{"type":"record","name":"T","fields":[{"name":"a","type":"long"}]}"#;
const SECOND: &str = r#"{"type":"record","name":"T","fields":[{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}]}"#;
const OTHER: &str = r#"{"type":"record","name":"T","fields":[{"name":"c","type":"string"}]}"#;

#[test]
fn schemas_are_registered_once_and_found_by_id() {
    let (server, client) = started();
    let id = client.register("t-value", FIRST).expect("an id");
    assert_eq!(client.register("t-value", FIRST), Ok(id), "what is there keeps its id");
    assert_eq!(client.register("u-value", FIRST), Ok(id), "one schema has one id");
    assert_eq!(client.look_up("t-value", FIRST), Ok(id));
    let registered = Registered { schema: FIRST.to_owned(), kind: "AVRO".to_owned(), references: 0 };
    assert_eq!(client.schema(id), Ok(registered));
    assert_ne!(client.register("t-value", SECOND).expect("an id"), id);
    assert_eq!(server.requests(), 6);
}

#[test]
fn refusals_are_told_apart() {
    let (_server, client) = started();
    assert_eq!(client.schema(SchemaId(7)), Err(RegistryError::SchemaUnknown));
    assert_eq!(client.look_up("t-value", FIRST), Err(RegistryError::SubjectUnknown));
    assert_eq!(client.check("t-value", FIRST), Err(RegistryError::SubjectUnknown));
    client.register("t-value", FIRST).expect("an id");
    assert_eq!(client.look_up("t-value", SECOND), Err(RegistryError::SchemaUnknown));
    let invalid = client.register("t-value", "{\"type\":\"nonsense\"}");
    assert!(matches!(invalid, Err(RegistryError::InvalidSchema(_))), "{invalid:?}");
    let incompatible = client.register("t-value", OTHER);
    assert!(
        matches!(&incompatible, Err(RegistryError::Incompatible(what)) if what.contains("schema 1")),
        "{incompatible:?}"
    );
}

#[test]
fn compatibility_is_read_set_and_checked() {
    let (_server, client) = started();
    assert_eq!(client.compatibility("t-value"), Ok(CompatibilityLevel::Backward), "the general one");
    for level in CompatibilityLevel::ALL {
        client.set_compatibility("t-value", *level).expect("is set");
        assert_eq!(client.compatibility("t-value"), Ok(*level));
    }
    client.register("t-value", FIRST).expect("an id");
    let verdict = client.check("t-value", SECOND).expect("a verdict");
    assert!(verdict.is_compatible && verdict.messages.is_empty());
    let verdict = client.check("t-value", OTHER).expect("a verdict");
    assert!(!verdict.is_compatible);
    assert_eq!(verdict.messages.len(), 2, "both ways: {:?}", verdict.messages);
}

#[test]
fn names_of_subjects_are_escaped() {
    let (server, client) = started();
    let subject = "a b/ü?x#%-value";
    let id = client.register(subject, FIRST).expect("an id");
    assert_eq!(client.look_up(subject, FIRST), Ok(id));
    assert_eq!(server.log(), [format!("POST /subjects/{subject}/versions"), format!("POST /subjects/{subject}")]);
}

#[test]
fn passing_troubles_are_tried_again() {
    let (server, client) = started();
    let unavailable = || Fault::Answer(503, b"busy".to_vec());
    let crowded = Fault::Answer(429, br#"{"error_code":42901,"message":"slow down"}"#.to_vec());
    server.fail_next([unavailable(), Fault::Closed, crowded]);
    let id = client.register("t-value", FIRST).expect("the fourth attempt is answered");
    assert_eq!(server.requests(), 4);
    server.fail_always(Some(unavailable()));
    let error = client.schema(id).expect_err("it stays away");
    let expected = RegistryError::Unreachable { attempts: 4, cause: "status 503: busy".to_owned() };
    assert_eq!(error, expected);
    assert!(error.is_transient());
    assert_eq!(server.requests(), 8);
    server.fail_always(None);
    assert!(client.schema(id).is_ok(), "the same client goes on");
}

#[test]
fn refusals_are_not_tried_again() {
    let (server, client) = started();
    server.fail_next([Fault::Answer(403, b"<html>\nnot here".to_vec())]);
    let expected = RegistryError::Refused { status: 403, code: None, message: "<html>not here".to_owned() };
    assert_eq!(client.schema(SchemaId(1)), Err(expected.clone()));
    assert!(!expected.is_transient());
    // Something that is no registry says 404 too.
    server.fail_next([Fault::Answer(404, Vec::new())]);
    let elsewhere = client.schema(SchemaId(1)).expect_err("not a registry");
    assert!(matches!(elsewhere, RegistryError::Refused { status: 404, code: None, .. }), "{elsewhere:?}");
    server.fail_next([Fault::Answer(302, Vec::new())]);
    assert!(matches!(client.schema(SchemaId(1)), Err(RegistryError::Refused { status: 302, .. })));
    assert_eq!(server.requests(), 3);
}

#[test]
fn answers_that_no_registry_gives_are_noticed() {
    let (server, client) = started();
    for body in ["", "{", "[]", "{\"id\":\"7\"}", "{\"id\":-1}", "{\"id\":4294967296}", "null"] {
        server.fail_next([Fault::Answer(200, body.as_bytes().to_vec())]);
        let answer = client.register("t-value", FIRST);
        assert!(matches!(answer, Err(RegistryError::Garbled(_))), "{body}: {answer:?}");
    }
    server.fail_next([Fault::Answer(200, vec![b' '; 5 << 20])]);
    let long = client.schema(SchemaId(1)).expect_err("too long");
    assert_eq!(long, RegistryError::TooLong(4 << 20));
    server.fail_next([Fault::Answer(200, br#"{"compatibilityLevel":"PERFECT"}"#.to_vec())]);
    assert_eq!(client.compatibility("t"), Err(RegistryError::Garbled("compatibility \"PERFECT\"".to_owned())));
}

#[test]
fn a_slow_answer_is_given_up() {
    let (server, _) = started();
    let mut config = config(&server);
    config.timeout = Duration::from_millis(200);
    config.attempts = 2;
    let client = Registry::new(&config).expect("a client");
    server.fail_always(Some(Fault::Slow(Duration::from_secs(10))));
    let begun = Instant::now();
    let error = client.schema(SchemaId(1)).expect_err("too slow");
    assert!(matches!(error, RegistryError::Unreachable { attempts: 2, .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut config = RegistryConfig::new(format!("http://{}", listener.local_addr().expect("an address")));
    drop(listener);
    config.pause = Duration::from_millis(1);
    let error = Registry::new(&config).expect("a client").schema(SchemaId(1)).expect_err("nobody");
    assert!(matches!(error, RegistryError::Unreachable { attempts: 4, .. }), "{error:?}");
}

#[test]
fn credentials_are_sent_and_not_shown() {
    let (server, without) = started();
    server.ask_for("Basic cmF0ZXI6b3BlbiBzZXNhbWU=");
    let refused = without.register("t-value", FIRST).expect_err("credentials are asked for");
    assert!(matches!(refused, RegistryError::Refused { status: 401, code: Some(40101), .. }), "{refused:?}");
    let mut config = config(&server);
    config.credentials = Some(Credentials { user: "rater".to_owned(), password: Secret::new("open sesame") });
    let client = Registry::new(&config).expect("a client");
    assert!(client.register("t-value", FIRST).is_ok());
    assert!(client.look_up("t-value", FIRST).is_ok() && client.compatibility("t-value").is_ok());
    let shown = format!("{config:?} {client:?}");
    assert!(shown.contains(&server.url()) && !shown.contains("sesame") && !shown.contains("cmF0"), "{shown}");
}

#[test]
fn a_broken_configuration_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "nothing").expect("a file");
    let with = |tls: TlsFiles| Registry::new(&RegistryConfig { tls, ..RegistryConfig::new("https://localhost") });
    let authorities = |path: &std::path::Path| TlsFiles { authorities: Some(path.to_owned()), identity: None };
    let error = with(authorities(&missing)).expect_err("a missing file");
    assert!(error.to_string().starts_with(&missing.display().to_string()), "{error}");
    let error = with(authorities(&empty)).expect_err("no certificate");
    assert_eq!(error.to_string(), format!("{}: holds no certificate in PEM", empty.display()));
    let identity = TlsFiles { authorities: None, identity: Some((empty.clone(), empty.clone())) };
    let error = with(identity).expect_err("no key");
    assert_eq!(error.to_string(), format!("{}: holds no private key in PEM", empty.display()));
}

#[test]
fn outputs_get_their_ids_at_the_start() {
    let (server, client) = started();
    let topic = |message: Message| format!("rater.{}.v1", message.file_stem());
    let missing = Frames::confluent(&client, Registration::LookUp, topic).expect_err("nothing is registered");
    assert_eq!(missing.to_string(), "subject \"rater.charges.v1-value\": the subject is unknown");
    let frames = Frames::confluent(&client, Registration::Register, topic).expect("frames");
    assert_eq!(Frames::confluent(&client, Registration::LookUp, topic), Ok(frames));
    for (at, message) in Message::ALL.iter().enumerate() {
        let prefix = frames.prefix(*message);
        assert_eq!(prefix, [0, 0, 0, 0, at as u8 + 1]);
        let registered = client.schema(SchemaId(at as u32 + 1)).expect("a schema");
        assert_eq!(registered.schema, message.schema());
    }
    assert!(server.log().contains(&"POST /subjects/rater.balance-deltas.v1-value/versions".to_owned()));
}
