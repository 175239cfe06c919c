//! A row, a restart and a freeze, over the wire protocol: version 4 of CQL's, as far as this test needs it.

use crate::timed;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use testkit::services::Cassandra;

const STARTUP: u8 = 1;
const READY: u8 = 2;
const QUERY: u8 = 7;
const RESULT: u8 = 8;
const CONSISTENCY_ONE: u16 = 1;

struct Session(TcpStream);

impl Session {
    fn new(cassandra: &Cassandra) -> Self {
        let stream = TcpStream::connect(cassandra.address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let mut session = Self(stream);
        session.send(STARTUP, b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0");
        let (opcode, body) = session.receive().expect("an answer");
        assert_eq!(opcode, READY, "{}", String::from_utf8_lossy(&body));
        session
    }

    fn send(&mut self, opcode: u8, body: &[u8]) {
        let length = u32::try_from(body.len()).expect("short");
        let frame = [&[4, 0, 0, 0, opcode][..], &length.to_be_bytes(), body].concat();
        self.0.write_all(&frame).expect("sent");
    }

    fn receive(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header)?;
        let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body)?;
        Ok((header[4], body))
    }

    fn ask(&mut self, statement: &str) {
        let length = u32::try_from(statement.len()).expect("short");
        let body = [&length.to_be_bytes()[..], statement.as_bytes(), &CONSISTENCY_ONE.to_be_bytes(), &[0]].concat();
        self.send(QUERY, &body);
    }

    fn run(&mut self, statement: &str) -> Vec<u8> {
        self.ask(statement);
        let (opcode, body) = self.receive().expect("an answer");
        assert_eq!(opcode, RESULT, "{statement}: {}", String::from_utf8_lossy(&body));
        body
    }
}

/// The one value of the one row: the last thing in the answer, after its length.
fn only_value(answer: &[u8]) -> i64 {
    let (length, value) = answer[answer.len() - 12..].split_at(4);
    assert_eq!(length, 8_u32.to_be_bytes());
    i64::from_be_bytes(value.try_into().expect("8 bytes"))
}

#[test]
fn cassandra_keeps_what_was_written() {
    let cassandra = timed("cassandra: fetch, if needed, and start", Cassandra::start).expect("a node");
    let mut session = Session::new(&cassandra);
    session.run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    session.run("CREATE TABLE k.owed (account text PRIMARY KEY, amount bigint)");
    session.run("INSERT INTO k.owed (account, amount) VALUES ('acme', 45)");
    let select = "SELECT amount FROM k.owed WHERE account = 'acme'";
    assert_eq!(only_value(&session.run(select)), 45);

    timed("cassandra: restart", || cassandra.restart()).expect("a node again");
    let mut session = Session::new(&cassandra);
    assert_eq!(only_value(&session.run(select)), 45);

    cassandra.pause().expect("frozen");
    session.0.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit");
    session.ask(select);
    let silence = session.receive().expect_err("frozen");
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    cassandra.resume().expect("thawed");
    session.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    assert_eq!(only_value(&session.receive().expect("an answer").1), 45);

    cassandra.kill().expect("killed");
    assert!(TcpStream::connect(cassandra.address()).is_err());
    cassandra.pause().expect_err("nothing runs that could be frozen");
    timed("cassandra: restart after the kill", || cassandra.restart()).expect("a node again");
    assert_eq!(only_value(&Session::new(&cassandra).run(select)), 45);

    let folder = cassandra.log().expect("ours").ancestors().nth(2).expect("the folder of the run").to_owned();
    assert!(folder.is_dir());
    drop(cassandra);
    assert!(!folder.exists(), "{} is left", folder.display());
}
