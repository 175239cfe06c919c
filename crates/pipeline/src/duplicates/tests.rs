//! Shows what is remembered, forgotten, held and undone, and which copy is charged.

use super::{Admission, Duplicates, Identity, Window};
use crate::held::Place;
use rating::Timestamp;

fn hour(number: i64) -> Timestamp {
    Timestamp::from_millis(number * super::HOUR_MS)
}

fn window(hours: u32) -> Duplicates {
    Duplicates::new(Window { hours: Some(hours), command_hours: 100 })
}

/// A copy of record 1 at a place.
fn copy(payload: u64, at: i64, place: u64) -> Identity {
    Identity { key: 1, payload, at: hour(at), place: Place(place) }
}

#[test]
fn what_was_undone_is_new_again_whatever_took_its_place_meanwhile() {
    let mut ids = window(1);
    ids.tick(hour(10));
    ids.settle();
    for _ in 0..2 {
        assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::New);
        // Now the first one is forgotten, and a copy that somebody vouches for takes its place.
        ids.tick(hour(20));
        assert_eq!(ids.admit_late(copy(5, 10, 2), None), Admission::New);
        assert_eq!(ids.len(), 1);
        ids.undo();
        assert!(ids.is_empty(), "nothing was committed");
    }
}

#[test]
fn what_was_forgotten_before_is_forgotten_after_an_undo() {
    let mut ids = window(1);
    ids.tick(hour(10));
    assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::New);
    ids.settle();
    ids.tick(hour(11));
    assert_eq!(ids.admit(copy(5, 11, 1), None), Admission::Duplicate);
    ids.tick(hour(20));
    assert_eq!(ids.admit(copy(6, 20, 1), None), Admission::New);
    assert_eq!(ids.admit(copy(5, 20, 1), None), Admission::Conflict);
    ids.undo();
    assert_eq!(ids.admit(copy(5, 11, 1), None), Admission::Duplicate, "the clock went back with it");
}

/// The first copy is suspended, and the window passes it by.
fn suspended() -> Duplicates {
    let mut ids = window(1);
    ids.tick(hour(10));
    assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::New);
    ids.hold(copy(5, 10, 1), true);
    ids.settle();
    ids.tick(hour(20));
    ids
}

#[test]
fn a_copy_of_what_is_suspended_is_its_duplicate_however_late_it_is() {
    let mut ids = suspended();
    assert_eq!(ids.admit(copy(5, 10, 2), None), Admission::Duplicate);
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::Conflict);
    assert_eq!(ids.admit_again(copy(5, 10, 1), None), Admission::New);
    ids.leave(1);
    // One window longer it is known.
    ids.tick(hour(21));
    assert_eq!(ids.admit(copy(5, 10, 2), None), Admission::Duplicate);
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::Conflict);
    assert_eq!(ids.admit_late(copy(5, 10, 2), None), Admission::Duplicate);
    ids.tick(hour(22));
    assert_eq!(ids.admit(copy(5, 10, 2), None), Admission::TooLate);
    assert_eq!(ids.admit_late(copy(5, 10, 2), None), Admission::New);
}

#[test]
fn of_copies_that_are_suspended_the_first_that_is_recycled_is_charged() {
    // The late copy was suspended by a program that did not know of the first any more.
    for late_first in [false, true] {
        let mut ids = suspended();
        ids.hold(copy(5, 10, 2), false);
        let (first, late) = if late_first {
            let late = ids.admit_late(copy(5, 10, 2), None);
            (ids.admit_again(copy(5, 10, 1), None), late)
        } else {
            (ids.admit_again(copy(5, 10, 1), None), ids.admit_late(copy(5, 10, 2), None))
        };
        assert_eq!((first, late), (Admission::New, Admission::Duplicate));
    }
    // Two late copies: nobody knows of a first one.
    let mut ids = window(1);
    ids.tick(hour(20));
    for place in [1, 2] {
        assert_eq!(ids.admit(copy(5, 10, place), None), Admission::TooLate);
        ids.hold(copy(5, 10, place), false);
    }
    assert_eq!(ids.admit_late(copy(5, 10, 2), None), Admission::New);
    ids.leave(1);
    ids.settle();
    ids.tick(hour(90));
    assert_eq!(ids.admit_late(copy(5, 10, 1), None), Admission::Duplicate, "windows later");
    ids.leave(1);
    assert!(ids.held().is_empty());
}

#[test]
fn another_payload_under_an_id_is_never_charged_beside_the_first() {
    let mut ids = window(1);
    ids.tick(hour(10));
    assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::New);
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::Conflict);
    ids.suspend_conflict(copy(6, 10, 2), None);
    ids.hold(copy(6, 10, 2), false);
    ids.settle();
    ids.tick(hour(90));
    // The first one, or a leg of it, is suspended as well: it stands for all again, whichever came to be known first.
    ids.hold(copy(5, 10, 1), true);
    assert_eq!(ids.admit_again(copy(5, 10, 1), None), Admission::New);
    assert_eq!(ids.admit_late(copy(5, 10, 7), None), Admission::Duplicate);
    ids.leave(1);
    for _ in 0..2 {
        assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::Conflict, "recycled windows later");
        assert_eq!(ids.admit(copy(5, 10, 3), None), Admission::Duplicate);
        ids.leave(1);
        ids.suspend_conflict(copy(6, 10, 2), None);
        ids.hold(copy(6, 10, 2), false);
    }
    assert_eq!(ids.held().get(1).map(|held| held.count), Some(1));
}

/// Found by the fuzz of doors (seed 707454): before the first tick nobody knows how late a command has come, so its id is forgotten with that tick.
#[test]
fn another_command_under_an_id_is_never_applied_beside_the_first() {
    let mut ids = window(1);
    assert_eq!(ids.admit_command(copy(5, 10, 1), None), Admission::New);
    assert_eq!(ids.admit_command(copy(6, 990, 2), None), Admission::Conflict);
    ids.suspend_conflict(copy(6, 990, 2), None);
    ids.hold(copy(6, 990, 2), false);
    ids.settle();
    ids.tick(hour(1_000));
    assert_eq!(ids.admit_command(copy(6, 990, 2), None), Admission::Conflict, "recycled when the first is forgotten");
    assert_eq!(ids.admit_command(copy(5, 10, 3), None), Admission::TooLate);
}

#[test]
fn a_copy_of_another_time_that_is_charged_stands_for_those_that_came_too_late() {
    let mut ids = window(1);
    ids.tick(hour(20));
    assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::TooLate);
    ids.hold(copy(5, 10, 1), false);
    assert_eq!(ids.admit(copy(6, 20, 2), None), Admission::New);
    ids.settle();
    ids.tick(hour(90));
    assert_eq!(ids.admit(copy(6, 20, 3), None), Admission::Duplicate, "windows later");
    assert_eq!(ids.admit_late(copy(5, 10, 1), None), Admission::Conflict);
    ids.leave(1);
    assert!(ids.held().is_empty());
}

#[test]
fn of_late_copies_at_one_place_of_files_of_one_name_one_is_charged() {
    let mut ids = window(1);
    ids.tick(hour(20));
    for _ in 0..2 {
        assert_eq!(ids.admit(copy(5, 10, 1), None), Admission::TooLate);
        ids.hold(copy(5, 10, 1), false);
    }
    for expected in [Admission::New, Admission::Duplicate] {
        assert_eq!(ids.admit_late(copy(5, 10, 1), None), expected);
        ids.leave(1);
    }
    assert!(ids.held().is_empty());
}

#[test]
fn another_payload_waits_for_the_first_also_where_the_first_leaves_before_it_is_counted() {
    let mut ids = window(1);
    ids.tick(hour(20));
    for (payload, place) in [(5, 1), (6, 2), (5, 3)] {
        assert_eq!(ids.admit(copy(payload, 10, place), None), Admission::TooLate);
        ids.hold(copy(payload, 10, place), false);
    }
    assert_eq!(ids.admit_late(copy(5, 10, 1), None), Admission::New);
    ids.leave(1);
    assert_eq!(ids.admit_late(copy(6, 10, 2), None), Admission::Conflict);
    ids.leave(1);
    ids.suspend_conflict(copy(6, 10, 2), None);
    assert_eq!(ids.admit_late(copy(5, 10, 3), None), Admission::Duplicate);
    ids.leave(1);
    ids.hold(copy(6, 10, 2), false);
    ids.tick(hour(90));
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::Conflict, "windows later");
    assert_eq!(ids.admit(copy(5, 10, 4), None), Admission::Duplicate);
}

#[test]
fn what_came_too_late_and_leaves_does_not_take_the_place_of_what_was_charged() {
    let mut ids = window(2);
    ids.tick(hour(20));
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::TooLate);
    ids.hold(copy(6, 10, 2), false);
    ids.restore([(1, super::pack(5, 20))]);
    assert_eq!(ids.admit_late(copy(6, 10, 2), None), Admission::Conflict);
    ids.leave(1);
    assert_eq!(ids.admit(copy(6, 20, 2), None), Admission::Conflict);
    assert_eq!(ids.admit(copy(5, 20, 3), None), Admission::Duplicate);
    // One that is given up was perhaps never charged: a copy is not its duplicate.
    let mut ids = window(2);
    ids.tick(hour(20));
    assert_eq!(ids.admit(copy(6, 10, 2), None), Admission::TooLate);
    ids.hold(copy(6, 10, 2), false);
    ids.leave(1);
    assert_eq!(ids.admit(copy(6, 10, 3), None), Admission::TooLate);
}

#[test]
fn what_is_held_is_undone_and_says_what_changed() {
    let mut ids = suspended();
    assert!(ids.held().changed().is_empty());
    ids.leave(1);
    assert_eq!(ids.held().changed(), [(1, None)]);
    ids.undo();
    assert_eq!((ids.held().len(), ids.held().changed()), (1, Vec::new()));
    ids.hold(copy(5, 10, 1), true);
    assert_eq!(ids.held().get(1).map(|held| held.count), Some(2));
}

#[test]
fn commands_are_remembered_from_their_arrival() {
    let mut ids = window(1);
    ids.tick(hour(500));
    assert_eq!(ids.admit_command(copy(5, 399, 1), None), Admission::TooLate);
    assert_eq!(ids.admit_command(copy(5, 450, 1), None), Admission::New);
    for (at, expected) in [(500, Admission::Duplicate), (600, Admission::Duplicate), (601, Admission::TooLate)] {
        ids.settle();
        ids.tick(hour(at));
        assert_eq!(ids.admit_command(copy(5, 450, 2), None), expected, "{at}");
    }
    let mut forever = Duplicates::new(Window::FOREVER);
    forever.tick(hour(50_000));
    assert_eq!(forever.admit_command(copy(5, 1, 1), None), Admission::New);
}
