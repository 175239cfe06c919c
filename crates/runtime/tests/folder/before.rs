//! Folders as earlier programs left them.

use runtime::embedded::{InputSource, Progress};
use runtime::state::{Commit, Store, Stored};
use runtime::wire::Contracts;
use std::path::Path;

/// What an earlier program knew of the inputs of a folder: size and hash of the whole content, and a number of records.
pub(crate) fn as_before(out: &Path, input: &Path, records: u64) {
    let whole = std::fs::read(input).expect("a file");
    let store = Store::open(&out.join(".rater/state.redb")).expect("a store");
    let bytes = store.progress().expect("readable").expect("progress");
    let mut progress = Progress::read(&mut &*bytes).expect("progress");
    for known in &mut progress.inputs {
        let mut hasher = siphasher::sip128::SipHasher13::new();
        std::hash::Hasher::write(&mut hasher, &whole);
        (known.bytes, known.hash) = (whole.len() as u64, siphasher::sip128::Hasher128::finish128(&hasher).as_u128());
        (known.records, known.file_id, known.stand, known.source) = (records, None, None, InputSource::File);
    }
    // It knew no checksums of outputs either.
    progress.commits = None;
    progress.outputs.iter_mut().for_each(|output| output.checksum = None);
    // Nor up to when things are done.
    (progress.complete_to, progress.charged_until) = (None, None);
    // Nor what caused the money, and it kept fewer outputs.
    progress.contracts = Contracts::V1;
    progress.outputs.truncate(Contracts::V1.kept().len());
    let mut commit = Commit::default();
    progress.write(&mut commit.progress);
    // Where that begins with its mark, and what stands before is all that a program of then wrote.
    let written = std::mem::take(&mut commit.progress);
    let is_mark = |end: &usize| written[*end] == 3;
    let end = (0..written.len())
        .rev()
        .filter(is_mark)
        .find(|end| Progress::read(&mut &written[..*end]) == Ok(progress.clone()));
    commit.progress.extend_from_slice(&written[..end.expect("a mark")]);
    // What has been added since stands behind all else: a mark, and three bytes for an input without any of it; a mark, and a byte for the count of commits
    // and each output.
    let added = 1 + 3 * progress.inputs.len() + 1 + 1 + progress.outputs.len();
    commit.progress.truncate(commit.progress.len() - added);
    assert!(Progress::read(&mut &*commit.progress).is_ok_and(|before| before == progress));
    store.commit(&commit).expect("committed");
}
