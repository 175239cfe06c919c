//! A cluster behind TLS that wants a password: who has both is served, everybody else is told what is wrong. Built with the feature
//! `kafka-tls` only.

use crate::deployment::{Deployment, LEVELS, write_file};
use std::sync::OnceLock;
use testkit::services::{Kafka, PASSWORD, PASSWORD_USER, SecureListener};

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
