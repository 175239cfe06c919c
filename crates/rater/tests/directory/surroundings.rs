//! A store that refuses, is not made, or is not there: what is said, and how the program ends.

use crate::store::{Directory, cassandra};
use crate::support::write;
use testkit::services::CASSANDRA_USER;

#[test]
fn a_password_that_is_refused_is_code_2_and_not_shown() {
    let directory = Directory::empty("refused");
    write(directory.path(), "wrong", "not-it\n");
    let node = cassandra().address();
    let options = ["get", "x", "--store-nodes", node, "--store-user", CASSANDRA_USER, "--store-password-file", "wrong"];
    let said = directory.run_bare(&options).expect(2);
    assert!(said.stderr.contains("the store refuses the credentials"), "{}", said.stderr);
    assert!(!said.stderr.contains("not-it"), "{}", said.stderr);
    let said = directory.run_bare(&["get", "x", "--store-nodes", node]).expect(2);
    assert!(said.stderr.contains("it wants a user and a password"), "{}", said.stderr);
    let said = directory.run_bare(&["get", "x", "--store-password-file", "nowhere"]).expect(2);
    assert!(said.stderr.contains("nowhere"), "{}", said.stderr);
}

#[test]
fn a_store_without_tables_is_code_2_and_the_way_out_is_said() {
    // The node knows its user from here on.
    Directory::empty("made");
    for action in [&["get", "x"][..], &["dump"], &["load"]] {
        let said = Directory::bare("never_made").run(action).expect(2);
        assert!(said.stderr.contains("rater directory migrate"), "{}", said.stderr);
    }
    let said = Directory::bare("Not A Name").run(&["migrate", "--store-replication", "1"]).expect(2);
    assert!(said.stderr.contains("keyspace \"Not A Name\""), "{}", said.stderr);
    let said = Directory::bare("made").run(&["migrate", "--store-replication", "dc1=x"]).expect(2);
    assert!(said.stderr.contains("is not DATACENTER=N"), "{}", said.stderr);
}

#[test]
fn a_store_that_cannot_be_reached_is_code_3() {
    let directory = Directory::bare("unreachable");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = socket.local_addr().expect("an address").to_string();
    drop(socket);
    let said = directory.run_bare(&["get", "x", "--store-nodes", &nobody]).expect(3);
    assert!(said.stderr.contains(&format!("no answer from the store: {nobody}: ")), "{}", said.stderr);
    let json = directory.run_bare(&["dump", "--json", "--store-nodes", &nobody]).expect(3).json();
    assert_eq!(json["error"]["kind"], "surroundings");
}

#[test]
fn settings_may_stand_in_a_file() {
    let directory = Directory::loaded("in_a_file");
    let file = format!(
        "workers = 2\n[store]\nnodes = [\"{}\"]\nkeyspace = \"in_a_file\"\nuser = \"{CASSANDRA_USER}\"\npassword-file = \"password\"\n",
        cassandra().address()
    );
    directory.write("rater.toml", &file);
    directory.run_bare(&["get", "meter-1", "--config", "rater.toml"]).expect(0);
    directory.write("wrong.toml", "[store]\nnode = \"a:1\"\ntimeout = \"5 s\"\n");
    let said = directory.run_bare(&["get", "meter-1", "--config", "wrong.toml"]).expect(2);
    for words in ["wrong.toml:2:1: there is no setting \"store-node\"", "wrong.toml:3:1: invalid value '5 s'"] {
        assert!(said.stderr.contains(words), "{words:?} is missing:\n{}", said.stderr);
    }
}
