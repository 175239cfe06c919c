//! A store behind TLS: who trusts its authority is served, everybody else is told what is wrong. Built with the feature `store-tls` only.

use crate::store::Directory;
use crate::support::write;
use testkit::services::{CASSANDRA_USER, Cassandra};

#[test]
fn who_trusts_the_authority_is_served_and_nobody_else() {
    let node = Cassandra::start_with_tls().expect("a node");
    let authority = node.authority().expect("an authority").display().to_string();
    let directory = Directory::bare("encrypted");
    write(directory.path(), "wrong", "not-the-password\n");
    let run = |action: &[&str], password: &str, trust: &[&str]| {
        let place = ["--store-nodes", node.address(), "--store-security", "tls", "--store-keyspace", "encrypted"];
        let user = ["--store-user", CASSANDRA_USER, "--store-password-file", password];
        directory.run_bare(&[action, &place, &user, trust].concat())
    };
    let trusted = ["--store-ca-file", &authority];
    let migrate = ["migrate", "--store-replication", "1"];
    // The user is there a little after the node answers.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while run(&migrate, "password", &trusted).code != 0 {
        assert!(std::time::Instant::now() < deadline, "{}", run(&migrate, "password", &trusted).stderr);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    run(&["load"], "password", &trusted).expect(0);
    let found = run(&["get", "meter-1"], "password", &trusted).expect(0);
    assert!(found.stdout.contains("acme"), "{}", found.stdout);

    let refused = run(&["get", "meter-1"], "wrong", &trusted).expect(2).stderr;
    assert!(
        refused.contains("the store refuses the credentials") && !refused.contains("not-the-password"),
        "{refused}"
    );
    let stranger = run(&["get", "meter-1"], "password", &[]).expect(3).stderr;
    assert!(stranger.contains("no answer from the store") && stranger.contains("certificate"), "{stranger}");
}
