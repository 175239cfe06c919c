//! What accounts have to do by time alone, and when: kept up to date with their heads and timelines.

use super::{AccountNumber, State};
use crate::account::Head;
use crate::calendar::Timestamp;
use crate::due::Source;
use crate::timeline::Timeline;

impl State {
    /// What the directory says of an account over time; `None` where it was told nothing.
    pub fn timeline(&self, account: AccountNumber) -> Option<&Timeline> {
        self.timelines.get(&account)
    }

    /// Returns whether any account was told anything.
    pub fn has_timelines(&self) -> bool {
        !self.timelines.is_empty()
    }

    pub(crate) fn set_timeline(&mut self, account: AccountNumber, timeline: Timeline) {
        let before = self.timeline(account).and_then(Timeline::next_due);
        let now = timeline.next_due();
        self.timelines.set(&account, timeline);
        self.note_due(account, Source::Directory, before, now);
    }

    /// Changes something of a head that may have to do with when its account has work to come.
    pub(crate) fn change_due<R>(&mut self, account: AccountNumber, change: impl FnOnce(&mut Head) -> R) -> R {
        let before = self.head(account).next_due();
        let head = self.head_mut(account);
        let result = change(head);
        let now = head.next_due();
        self.note_due(account, Source::Head, before, now);
        result
    }

    fn note_due(&mut self, account: AccountNumber, source: Source, before: Option<Timestamp>, now: Option<Timestamp>) {
        if before != now {
            let id = self.id(account).clone();
            self.due.replace(&id, source, before, now);
        }
    }

    /// The earliest instant at which an account has work to come.
    pub(crate) fn next_due(&self, account: AccountNumber) -> Option<Timestamp> {
        let of_directory = self.timeline(account).and_then(Timeline::next_due);
        self.head(account).next_due().into_iter().chain(of_directory).min()
    }

    /// The earliest instant at which an account of the shard has work to come.
    pub fn earliest_due(&self) -> Option<Timestamp> {
        self.due.earliest()
    }

    /// Returns whether an account has work that is due by the clock.
    #[inline]
    pub fn is_behind(&self, account: AccountNumber) -> bool {
        // Nearly always there is no work at all.
        self.has_due_work() && self.next_due(account).is_some_and(|at| Some(at) <= self.clock)
    }

    /// Returns whether any account has work that is due by the clock.
    #[inline]
    pub fn has_due_work(&self) -> bool {
        self.due.earliest().is_some_and(|at| Some(at) <= self.clock)
    }
}
