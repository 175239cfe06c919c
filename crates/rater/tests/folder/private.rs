//! What is written is its owner's, whatever the process is allowed to give away; what others may write is not trusted.

use crate::support::{Ran, example, rater, write};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Everything in a folder and below, with what the owner, the group and others may do.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(folder.to_owned(), mode(folder))];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            found.push((path.clone(), mode(&path)));
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
}

/// Runs with a umask that gives everything away.
fn with_open_umask(folder: &Path, arguments: &str) -> Ran {
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(folder).arg("-c").arg(format!("umask 000; exec \"$RATER\" {arguments}"));
    shell.env("RATER", crate::support::binary());
    Ran::from(shell.output().expect("a shell"))
}

#[track_caller]
fn assert_private(folder: &Path) {
    let open: Vec<_> = modes(folder).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn folders_and_files_are_their_owners_whatever_the_umask() {
    let folder = example();
    let usage = std::fs::read_to_string(folder.path().join("usage.csv")).expect("usage");
    write(folder.path(), "nobody.csv", &usage.replace("00101000", "00101999"));
    for form in ["jsonl", "csv", "avro"] {
        let out = format!("new/{form}");
        let arguments = format!("rate usage.csv nobody.csv -r rating.yaml --format {form} -o {out}");
        with_open_umask(folder.path(), &arguments).expect(0);
        with_open_umask(folder.path(), &format!("rate --recycle -r rating.yaml --format {form} -o {out}")).expect(0);
        assert_private(&folder.path().join(out));
    }
    assert_private(&folder.path().join("new"));
    let written: Vec<_> = modes(&folder.path().join("new")).into_iter().map(|(path, _)| path).collect();
    for name in ["charges.csv", "suspense.jsonl", "state.redb", "lock"] {
        assert!(written.iter().any(|path| path.ends_with(name)), "{name}: {written:?}");
    }
}

#[test]
fn what_others_may_read_stays_so_and_is_said_and_what_is_new_in_it_is_private() {
    let folder = example();
    let out = folder.path().join("out");
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    // As an earlier version left it.
    for (path, mode) in modes(&out) {
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 } | mode);
    }
    std::fs::remove_file(out.join(".rater/lock")).expect("removed");
    let ran = rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    assert!(ran.stderr.contains("others may read out") && ran.stderr.contains("chmod -R go= out"), "{}", ran.stderr);
    assert_eq!((mode(&out), mode(&out.join("charges.jsonl"))), (0o755, 0o644));
    // Nobody but the program has to do with its state.
    assert_eq!((mode(&out.join(".rater")), mode(&out.join(".rater/lock"))), (0o700, 0o600));
    let quiet = rater(folder.path(), &["rate", "usage.csv", "--quiet"]).expect(0);
    assert_eq!(quiet.stderr, "");
    set_mode(&out, 0o700);
    let ran = rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    assert!(!ran.stderr.contains("others may read"), "{}", ran.stderr);
}

#[test]
fn what_others_may_write_is_refused_and_nothing_is_done_in_it() {
    let folder = example();
    let out = folder.path().join("out");
    for open in [0o777, 0o1777, 0o775, 0o722] {
        std::fs::create_dir(&out).expect("made");
        set_mode(&out, open);
        let said = rater(folder.path(), &["rate", "usage.csv"]).expect(2).stderr;
        assert!(said.contains("out: others may write here") && said.contains("chmod go-w"), "{said}");
        assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 0, "{open:o}");
        std::fs::remove_dir(&out).expect("removed");
    }
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    // Where others cannot come to them, files may be as they like.
    set_mode(&out.join("charges.jsonl"), 0o666);
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
    set_mode(&out.join("charges.jsonl"), 0o600);
    set_mode(&out, 0o755);
    for name in [".rater", ".rater/state.redb", "charges.jsonl", "balance-deltas.jsonl"] {
        let path = out.join(name);
        let before = mode(&path);
        set_mode(&path, before | 0o020);
        let said = rater(folder.path(), &["rate", "usage.csv"]).expect(2).stderr;
        assert!(said.contains(&format!("{name}: others may write here")), "{said}");
        set_mode(&path, before);
    }
    rater(folder.path(), &["rate", "usage.csv"]).expect(0);
}

#[test]
fn what_somebody_else_owns_is_refused() {
    let folder = example();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("made");
    set_mode(&out, 0o755);
    // Only root can give anything away.
    if std::fs::metadata(&out).expect("it is there").uid() != 0 || chown(&out, Some(12_345), None).is_err() {
        return;
    }
    let said = rater(folder.path(), &["rate", "usage.csv"]).expect(2).stderr;
    assert!(said.contains("out: belongs to another user (12345)"), "{said}");
    assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 0);
}

#[test]
fn a_dry_run_asks_nobody_for_a_folder() {
    let folder = example();
    rater(folder.path(), &["rate", "usage.csv", "--dry-run"]).expect(0);
    assert!(!folder.path().join("out").exists());
}
