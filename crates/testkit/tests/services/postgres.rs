//! A row is there while the server is, over another client; nothing is left after it.

use crate::timed;
use testkit::services::{Postgres, Python};

#[test]
fn postgres_answers_and_leaves_nothing() {
    let postgres = timed("postgres: fetch, if needed, and start", Postgres::start).expect("a server");
    let python = Python::with("postgres-client-1", &["psycopg[binary]==3.3.9"]).expect("Python");
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("ask.py");
    let text = "import psycopg, sys\n\
                with psycopg.connect(sys.argv[1], autocommit=True) as server:\n    server.execute('create database owed')\n\
                with psycopg.connect(sys.argv[2]) as books:\n    books.execute('create table owed as select 0.45 as amount')\n\
                with psycopg.connect(sys.argv[2]) as books:\n    print(books.execute('select amount from owed').fetchone()[0])\n";
    std::fs::write(&script, text).expect("written");
    let said = python.run(&script, &[postgres.url(), &postgres.url_of("owed")]).expect("all is done");
    assert_eq!(said, "0.45\n");
    let Ok(log) = postgres.log() else { return };
    let folder = log.ancestors().nth(2).expect("the folder of the run").to_owned();
    assert!(folder.is_dir());
    drop(postgres);
    assert!(!folder.exists(), "{} is left", folder.display());
}
