//! Two writers, and writers that stop anywhere: one wins, nothing is half there, and the next one gets on.

use crate::store::{Directory, author, block_on};
use directory::store::{Change, Error, Kind, TakeOver};

fn added(name: &str) -> Change {
    let body = "{customer: acme, msisdn: 4477001}";
    Change::new(Kind::Endpoint, name.into(), None, Some(body.into()))
}

#[test]
fn of_two_writers_one_wins_and_the_other_says_so() {
    let directory = Directory::loaded("two_writers");
    block_on(async {
        let (one, two) = (directory.connect().await, directory.connect().await);
        let planned = one.head_row().await.expect("a head").head;
        let first = one.begin(&planned, author("one"), TakeOver::Silent).await.expect("the claim");
        let held = two.begin(&planned, author("two"), TakeOver::Silent).await.expect_err("held");
        assert!(matches!(&held, Error::Claimed { by, .. } if by.starts_with("one")), "{held}");
        // The program says the same, with a code that a script can tell from a mistake.
        let said = directory.apply("endpoints: { x: { customer: acme } }").expect(1);
        assert!(said.stderr.contains("version 2 is being written by one"), "{}", said.stderr);
        first.finish(&[added("x")], &mut |_| {}).await.expect("committed");
        let late = two.begin(&planned, author("two"), TakeOver::Silent).await.expect_err("planned on an older version");
        assert!(matches!(late, Error::Conflict(_)), "{late}");
    });
    directory.write("late.yaml", "format: rater/v1\nendpoints: { y: { customer: acme } }\n");
    assert_eq!(directory.json(&["apply", "late.yaml", "--yes"], 0)["version"], 3);
}

#[test]
fn a_writer_that_stops_before_its_commit_leaves_nothing_and_can_be_taken_over() {
    let directory = Directory::loaded("crash");
    block_on(async {
        let store = directory.connect().await;
        let planned = store.head_row().await.expect("a head").head;
        let mut writer = store.begin(&planned, author("crashed"), TakeOver::Silent).await.expect("the claim");
        writer.write(&[added("x")], &mut |_| {}).await.expect("written");
        writer.log(&[added("x")]).await.expect("logged");
        while_it_is_silent(&directory);
        // It comes back: what it writes late is not seen, and it is told.
        writer.write(&[Change { name: "z".into(), ..added("z") }], &mut |_| {}).await.expect("written");
        let lost = writer.commit().await.expect_err("taken over");
        assert!(matches!(lost, Error::Conflict(_)), "{lost}");
    });
    let found = directory.json(&["get", "z"], 0);
    assert_eq!((&found["definition"], &found["version"]), (&"{customer: acme}".into(), &3.into()));
    directory.run(&["get", "msisdn:4477001"]).expect(1);
}

fn while_it_is_silent(directory: &Directory) {
    // Its rows are there, and seen by nobody.
    directory.run(&["get", "msisdn:4477001"]).expect(1);
    directory.run(&["diff"]).expect(0);
    let held = directory.apply("endpoints: { z: { customer: acme } }").expect(1);
    assert!(held.stderr.contains("being written by crashed") && held.stderr.contains("--take-over"), "{}", held.stderr);
    let json = directory.json(&["apply", "change.yaml", "--yes"], 1);
    assert_eq!(json["error"]["kind"], "conflict");
    let taken = directory.json(&["apply", "change.yaml", "--yes", "--take-over"], 0);
    assert_eq!(taken["version"], 3);
}

#[test]
fn a_writer_that_gives_up_keeps_nobody_waiting() {
    let directory = Directory::loaded("given_up");
    block_on(async {
        let store = directory.connect().await;
        let planned = store.head_row().await.expect("a head").head;
        let mut writer = store.begin(&planned, author("other"), TakeOver::Silent).await.expect("the claim");
        writer.write(&[added("x")], &mut |_| {}).await.expect("written");
        writer.give_up().await.expect("given up");
        let row = store.head_row().await.expect("a head");
        assert!(row.claim.is_none() && row.head.aborted.len() == 1, "{row:?}");
    });
    directory.apply("endpoints: { x: { customer: zeta, msisdn: 4477001 } }").expect(0);
    let found = directory.json(&["get", "msisdn:4477001"], 0);
    assert_eq!((&found["customer"], &found["version"]), (&"zeta".into(), &3.into()));
}
