//! Cells that were written or deleted with a time ahead of the store's clock hide what is written after them, though the store says that it was done.

use crate::store::{Directory, block_on};
use testkit::store::now;

const CHANGE: &str = "endpoints: { meter-9: { customer: acme, imsi: 001010000000009 } }";

#[test]
fn what_was_written_and_does_not_stand_there_is_told_and_never_counts() {
    let directory = Directory::loaded("hidden");
    let tomorrow = (now().millis() + 86_400_000) * 1_000;
    let refused = |words: &[&str]| {
        let said = directory.apply(CHANGE).expect(3);
        assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
        assert!(!said.stdout.contains("version"), "{}", said.stdout);
        said
    };
    let head = || block_on(async { directory.connect().await.head_row().await.expect("a head") });
    directory.damage(&[&format!(
        "DELETE FROM endpoints_by_identity USING TIMESTAMP {tomorrow} WHERE kind = 'imsi' AND value = '001010000000009'"
    )]);
    refused(&["imsi:001010000000009 of table endpoints_by_identity", "nothing of it counts"]);
    directory.damage(&["TRUNCATE endpoints_by_identity"]);
    directory.run(&["load", "--replace"]).expect(0);

    // The number that is claimed stays the same.
    let claimed = head().last_claim.0;
    directory.damage(&[&format!("UPDATE head USING TIMESTAMP {tomorrow} SET last_claim = {claimed} WHERE id = 0")]);
    let claim = format!("the claim of version {} was written and does not stand in table head", claimed + 1);
    refused(&[&claim, "last_claim was written with the time"]);
    assert_eq!(head().claim, None);

    // And then the version as well.
    let directory = Directory::loaded("hidden_version");
    let head = || block_on(async { directory.connect().await.head_row().await.expect("a head") });
    directory.damage(&[&format!("UPDATE head USING TIMESTAMP {tomorrow} SET version = 1 WHERE id = 0")]);
    let said = directory.apply(CHANGE).expect(3);
    let words = ["version 2 was written and does not stand in table head", "version was written with the time"];
    assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
    // It would come to be seen tomorrow.
    assert!(!head().head.holds(directory::cache::Version(2)) && head().head.aborted.len() == 1);
    let found = directory.json(&["verify"], 1);
    assert_eq!(
        (&found["differences"][0]["table"], found["differences"].as_array().map(Vec::len)),
        (&"head".into(), Some(1))
    );

    // Without it nobody knows what is committed, and no migration makes it again.
    directory.damage(&[&format!("DELETE FROM head USING TIMESTAMP {} WHERE id = 0", tomorrow + 1)]);
    for command in [&["dump"][..], &["migrate", "--store-replication", "1"], &["apply", "change.yaml"], &["verify"]] {
        let said = directory.run(command).expect(3);
        assert!(
            said.stderr.contains("table head has no row") && said.stderr.contains("from a backup"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains("migrate"), "{}", said.stderr);
    }
}
