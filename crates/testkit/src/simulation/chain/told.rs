//! What accounts were told of the directory, against its last edition: counted without the engine.

use super::logs::{Logs, text, value_of};
use super::world::{DUSK, DUSK_AT_LAST};

/// Looks for the first thing that is wrong: a status told twice, or another one at last than the directory has.
///
/// # Errors
/// What it is.
pub(super) fn check(logs: &Logs<'_>) -> Result<(), String> {
    let mut last = ("active".to_owned(), String::new());
    for message in logs.by_account("life-events").get(DUSK.as_bytes()).into_iter().flatten() {
        let value = value_of(message);
        if text(&value, "kind") != "account_status" {
            return Err(format!("{DUSK} is told of what it does not have: {value}"));
        }
        let state = text(&value, "state").to_owned();
        if state == last.0 {
            return Err(format!("{DUSK} is told once more that it is {state}: {value}"));
        }
        last = (state, text(&value, "ancestors").to_owned());
    }
    match (&*last.0, &*last.1) == DUSK_AT_LAST {
        true => Ok(()),
        false => Err(format!("{DUSK} is told {last:?} at last, not {DUSK_AT_LAST:?}")),
    }
}
