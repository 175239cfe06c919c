//! A cluster behind TLS that wants a password: who has both is served, everybody else is told what is wrong. Built with the feature
//! `kafka-tls` only.

use crate::deployment::{Deployment, LEVELS, write_file};
use crate::shown;
use std::sync::OnceLock;
use testkit::services::{Flaw, Kafka, PASSWORD, PASSWORD_USER, SecureListener};

fn secured() -> (&'static Kafka, &'static SecureListener) {
    static SECURED: OnceLock<Kafka> = OnceLock::new();
    let kafka = SECURED.get_or_init(|| Kafka::secured().expect("a broker"));
    (kafka, kafka.brokers()[0].secure().expect("a listener with TLS"))
}

/// Options that are right but for what a test puts in their place.
fn options<'o>(listener: &'o SecureListener, mechanism: &'o str, authority: &'o str) -> Vec<&'o str> {
    let mut options = vec!["--kafka-brokers", listener.address(), "--kafka-security", "sasl-tls"];
    options.extend([
        "--kafka-mechanism",
        mechanism,
        "--kafka-user",
        PASSWORD_USER,
        "--kafka-password-file",
        "password",
    ]);
    if !authority.is_empty() {
        options.extend(["--kafka-ca-file", authority]);
    }
    options
}

#[test]
fn who_has_the_password_and_trusts_the_authority_is_served() {
    let (kafka, listener) = secured();
    let deployment = Deployment::on(kafka, "tls");
    write_file(deployment.folder.path(), "password", &format!("{PASSWORD}\n"));
    let authority = listener.authority().display().to_string();
    let mut running = deployment.start(&options(listener, "SCRAM-SHA-512", &authority));
    deployment.write_usage(0, 20);
    deployment.wait_for("charges", 20 * LEVELS, &mut running);
    let said = running.stop();
    assert!(!said.contains(PASSWORD), "{said}");
    deployment.check_charged(20);
}

#[test]
fn a_wrong_password_and_a_mechanism_that_is_not_offered_are_code_2() {
    let (kafka, listener) = secured();
    let deployment = Deployment::on(kafka, "tls-password");
    write_file(deployment.folder.path(), "password", "not-the-password");
    let authority = listener.authority().display().to_string();
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256"] {
        let said = deployment.start(&options(listener, mechanism, &authority)).expect(2);
        assert!(said.contains("refuses the credentials"), "{said}");
        assert!(!said.contains("not-the-password"), "{said}");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_code_2_and_the_way_out_is_said() {
    let (kafka, listener) = secured();
    let deployment = Deployment::on(kafka, "tls-stranger");
    write_file(deployment.folder.path(), "password", PASSWORD);
    let said = deployment.start(&options(listener, "SCRAM-SHA-512", "")).expect(2);
    assert!(said.contains("certificate is not trusted") && said.contains("--kafka-ca-file"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    // Nothing that tries it in the clear gets anywhere, either; it cannot tell why.
    let plain = ["--kafka-brokers", listener.address(), "--attempts", "1"];
    let said = deployment.start(&plain).expect(3);
    assert!(said.contains("no answer from kafka"), "{said}");
}

/// A cluster of one's own, whose certificate is changed.
fn rotating() -> &'static Kafka {
    static ROTATING: OnceLock<Kafka> = OnceLock::new();
    ROTATING.get_or_init(|| Kafka::secured().expect("a broker"))
}

#[test]
fn a_certificate_that_changes_is_waited_for_where_it_was_good_and_refused_at_a_start() {
    let kafka = rotating();
    let (broker, listener) = (&kafka.brokers()[0], kafka.brokers()[0].secure().expect("a listener with TLS"));
    let deployment = Deployment::on(kafka, "tls-rotated");
    let folder = deployment.folder.path();
    write_file(folder, "password", PASSWORD);
    let take = || std::fs::copy(listener.authority(), folder.join("authority.pem")).expect("copied");
    take();
    let options = options(listener, "SCRAM-SHA-512", "authority.pem");
    let (mut running, address) = shown::start(&deployment, &options);
    deployment.write_usage(0, 2);
    deployment.wait_for("charges", 2 * LEVELS, &mut running);

    // Of an authority that it does not know yet: it says so, and goes on when it is told of it.
    listener.renew(Flaw::Nothing).expect("a certificate");
    broker.restart().expect("a start");
    running.wait_for_words("the certificate is not trusted");
    shown::wait_for_page(&address, "/readyz", "the certificate is not trusted");
    take();
    deployment.write_usage(2, 2);
    deployment.wait_for("charges", 4 * LEVELS, &mut running);
    shown::wait_for_page(&address, "/readyz", "\"ready\":true");
    running.stop();

    // One that ends, or is of another host, ends it after all attempts; a start it refuses.
    for flaw in [Flaw::Expired, Flaw::OtherName] {
        let mut running = deployment.start(&[&options[..], &["--attempts", "6"]].concat());
        running.wait_for_words("restored");
        listener.renew(flaw).expect("a certificate");
        broker.restart().expect("a start");
        take();
        let said = running.expect(3);
        assert!(said.contains("has ended or is of another name"), "{flaw:?}: {said}");
        let said = deployment.start(&options).expect(2);
        assert!(said.contains("has ended or is of another name"), "{flaw:?}: {said}");
        listener.renew(Flaw::Nothing).expect("a certificate");
        broker.restart().expect("a start");
        take();
    }
    deployment.check_charged(4);
}
