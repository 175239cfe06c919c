//! Every message of the inputs, what it is, and what became of it.
//!
//! An input message has its place (topic, partition, offset), by which legs and suspense name it, and its identity (source, id), by which
//! charges name it. Kept per message: 40 bytes; per identity: about 50.

use super::framed::{Framed, Schemas};
use super::reader::Message;
use super::report::Report;
use super::said::{Kind, Note, Retry, Said, bit, identity_of};
use super::{EarlierTopic, Layout, Takes, VerifyError, hash_of};
use std::collections::HashMap;

/// Reasons for which a record waits before its identity is remembered: it may come again.
const NOT_REMEMBERED: [&str; 8] = [
    "undecodable",
    "invalid_record",
    "future_event",
    "past_event",
    "implausible_quantity",
    "wrong_kind",
    "duplicate_conflict",
    "too_late",
];
/// Reasons for which a command waits that could not even be read: nobody is answered.
const NOT_ANSWERED: [&str; 4] = ["undecodable", "invalid_record", "future_event", "wrong_kind"];
/// Reasons for which something waits that stands at the wrong door.
const AT_THE_WRONG_DOOR: [&str; 3] = ["wrong_kind", "undecodable", "invalid_record"];

/// The check of retries that have no outcome yet.
pub(super) const ON_THEIR_WAY: &str = "retries without an outcome yet";

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Hash of its identity; of its place where it has none.
    id: u64,
    /// Hash of everything else it says.
    payload: u64,
    /// Hash of its bytes.
    content: u64,
    kind: Kind,
    /// When it says that it happened, in milliseconds; [`i64::MIN`] where it says nothing.
    at_ms: i64,
    has_legs: bool,
    /// Whether its identity was new when it came.
    is_admitted: bool,
    /// Whether its topic was taken away before anybody had to read it.
    is_lost: bool,
    /// Times that it waits as a whole, and that it was tried again as a whole.
    waits: u8,
    retries: u8,
}

impl Slot {
    fn new(kind: Kind, id: u64, payload: u64, content: u64) -> Slot {
        Slot {
            id,
            payload,
            content,
            kind,
            at_ms: i64::MIN,
            has_legs: false,
            is_admitted: false,
            is_lost: false,
            waits: 0,
            retries: 0,
        }
    }
}

/// A place in the inputs, or in retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    topic: u16,
    partition: u32,
    offset: i64,
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug)]
struct Identity {
    place: Place,
    /// Levels, a bit each.
    guided: u64,
    charged: u64,
    waiting: u64,
    /// Messages whose identity was new when they came.
    admitted: u8,
    /// Payload of the one that was.
    payload: u64,
}

/// Replies to a command.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    commands: u32,
    not_answered: u32,
    /// Times that one was tried again.
    retries: u32,
    replies: u32,
    /// Replies that say that it was applied or refused.
    done: u32,
    /// Replies that say that it was refused since it takes effect before what is remembered: a copy is refused again.
    too_late: u32,
    /// The latest moment at which one of them takes effect.
    latest_ms: i64,
    /// Whether it went on to rate.
    guided: bool,
}

/// All of them.
pub(super) struct Inputs {
    /// Inputs, retries, and inputs that are no longer there, under the names that they had.
    topics: Vec<String>,
    /// By the number of the topic.
    takes: Vec<Option<Takes>>,
    /// By the number of the topic: from which offsets on, by partition, nobody had to read it.
    lost_from: HashMap<(u16, u32), i64>,
    default_source: String,
    slots: HashMap<(u16, u32), Vec<Option<Slot>>>,
    identities: HashMap<u64, Identity>,
    answers: HashMap<u64, Answers>,
    /// Legs that waited or were tried again.
    legs: HashMap<(Place, u8), WaitingLeg>,
    retries: Vec<Retry>,
    /// What waits since it came too late.
    too_late: u64,
    /// Events before this moment may be too late, in milliseconds; and commands before the other. `None` where that is not checked.
    remembered_from: Option<[i64; 2]>,
}

/// A leg that waited.
#[derive(Clone, Copy, Debug, Default)]
struct WaitingLeg {
    identity: u64,
    waits: u32,
    retries: u32,
    /// Times that it was guided, besides the first.
    guided_again: u32,
}

impl Inputs {
    pub(super) fn new(layout: &Layout, earlier: &[EarlierTopic], default_source: &str) -> Inputs {
        // The topic of retries stands behind the inputs: what others write there waits as well.
        let mut topics: Vec<String> = layout.input_names().into_iter().chain([layout.topic("retries")]).collect();
        let mut takes: Vec<Option<Takes>> = layout.inputs.iter().map(|(_, takes)| Some(*takes)).chain([None]).collect();
        let mut lost_from = HashMap::new();
        for topic in earlier {
            let now = topics.iter().position(|name| *name == topic.name);
            for (partition, offset) in (0..).zip(&topic.unread_from) {
                lost_from.insert((number_of(topics.len()), partition), *offset);
            }
            takes.push(now.and_then(|at| takes.get(at).copied().flatten()));
            topics.push(topic.name.clone());
        }
        Inputs {
            topics,
            takes,
            lost_from,
            default_source: default_source.to_owned(),
            slots: HashMap::new(),
            identities: HashMap::new(),
            answers: HashMap::new(),
            legs: HashMap::new(),
            retries: Vec::new(),
            too_late: 0,
            remembered_from: None,
        }
    }

    /// Says from when on ids of records and of commands are remembered, in milliseconds.
    pub(super) fn remember_from(&mut self, records_ms: i64, commands_ms: i64) {
        self.remembered_from = Some([records_ms, commands_ms]);
    }

    /// Takes in a message of the topic of this number.
    pub(super) fn add(&mut self, topic: u16, message: Message<'_>, schemas: &mut Schemas) -> Result<(), VerifyError> {
        let place = Place { topic, partition: message.partition, offset: message.offset };
        let said = match schemas.take_apart(message.value)? {
            Framed::Avro(layout, datum) => layout.read(datum).ok().map(|found| Said::of_avro(&layout, &found)),
            Framed::Bare(bytes) => serde_json::from_slice(bytes).ok().map(Said::of_json),
            Framed::Unknown => None,
        };
        let at_ms = said.as_ref().and_then(|said| said.at_ms).unwrap_or(i64::MIN);
        let (kind, id, payload) = match said {
            Some(Said { kind, .. }) if kind.is_foreign(self.takes_of(topic)) => (Kind::Foreign, None, 0),
            Some(Said { kind, source, id, payload, .. }) => {
                let source = source.unwrap_or_else(|| self.default_source.clone());
                (kind, id.map(|id| identity_of(kind, &source, &id)), payload)
            }
            None => (Kind::Usage, None, 0),
        };
        let id = id.unwrap_or_else(|| hash_of(&[b"place", format!("{place:?}").as_bytes()]));
        if kind == Kind::Command {
            let answers = self.answers.entry(id).or_default();
            answers.latest_ms = if answers.commands == 0 { at_ms } else { answers.latest_ms.max(at_ms) };
            answers.commands += 1;
        }
        let is_lost = self.lost_from.get(&(topic, message.partition)).is_some_and(|from| message.offset >= *from);
        self.put(place, Slot { at_ms, is_lost, ..Slot::new(kind, id, payload, hash_of(&[message.value])) });
        Ok(())
    }

    fn takes_of(&self, topic: u16) -> Option<&Takes> {
        self.takes.get(usize::from(topic))?.as_ref()
    }

    fn put(&mut self, place: Place, slot: Slot) {
        let slots = self.slots.entry((place.topic, place.partition)).or_default();
        let at = usize::try_from(place.offset).unwrap_or(usize::MAX);
        // Offsets are skipped where transactions end.
        slots.resize(at, None);
        slots.push(Some(slot));
    }

    /// Takes in a message of the topic of retries, which has this number. What only says that something waits, or does so no longer, is passed over;
    /// what Rater did not write waits.
    pub(super) fn add_retry(&mut self, topic: u16, message: Message<'_>) {
        match Note::read(message.value) {
            Some(Note::Again(retry)) => self.retries.push(retry),
            Some(Note::HoldOrLeave) => {}
            None => {
                let place = Place { topic, partition: message.partition, offset: message.offset };
                let id = hash_of(&[b"place", format!("{place:?}").as_bytes()]);
                self.put(place, Slot::new(Kind::Foreign, id, 0, hash_of(&[message.value])));
            }
        }
    }

    /// All inputs are there: what was tried again?
    pub(super) fn note_retries(&mut self, report: &mut Report) {
        let retries = std::mem::take(&mut self.retries);
        for Retry { topic, partition, offset, level, content } in &retries {
            let place = self.place(topic, *partition, *offset, *content);
            let Some((place, slot)) = place.and_then(|place| Some((place, self.slot(place)?))) else {
                report.differ(|| format!("a retry of no input message: {topic}:{partition}:{offset}"));
                continue;
            };
            match level {
                None => {
                    slot.retries = slot.retries.saturating_add(1);
                    let (kind, id) = (slot.kind, slot.id);
                    if kind == Kind::Command {
                        self.answers.entry(id).or_default().retries += 1;
                    }
                }
                Some(level) => {
                    let identity = slot.id;
                    let leg = self.legs.entry((place, *level)).or_default();
                    leg.identity = identity;
                    leg.retries += 1;
                }
            }
        }
        report.end("retries of what is there", retries.len(), retries.len());
    }

    /// The place of a message that says this. Where a topic has been made anew, each of the two has a message there.
    fn place(&self, topic: &str, partition: u32, offset: i64, content: u64) -> Option<Place> {
        let at = usize::try_from(offset).ok()?;
        let slot = |number: u16| self.slots.get(&(number, partition))?.get(at)?.as_ref();
        let holds_it = |number: u16| slot(number).is_some_and(|slot| slot.content == content);
        let found = (0_u16..).zip(&self.topics).find(|(number, known)| *known == topic && holds_it(*number));
        found.map(|(topic, _)| Place { topic, partition, offset })
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let slots = self.slots.get_mut(&(place.topic, place.partition))?;
        slots.get_mut(usize::try_from(place.offset).ok()?)?.as_mut()
    }

    fn show(&self, place: Place) -> String {
        let topic = self.topics.get(usize::from(place.topic)).map_or("", String::as_str);
        format!("{topic}:{}:{}", place.partition, place.offset)
    }

    /// The message at a place, which said this, has a leg of this level.
    pub(super) fn guided(&mut self, origin: &(String, u32, i64), original: &[u8], level: u8, report: &mut Report) {
        let (topic, partition, offset) = origin;
        let place = self.place(topic, *partition, *offset, hash_of(&[original]));
        let Some((place, slot)) = place.and_then(|place| Some((place, self.slot(place)?))) else {
            return report.differ(|| format!("guided: no input message {topic}:{partition}:{offset}"));
        };
        slot.has_legs = true;
        if slot.kind != Kind::Usage {
            report.differ(|| format!("guided, and no usage at a door for it: {topic}:{partition}:{offset}"));
        }
        let is_admitted = std::mem::replace(&mut slot.is_admitted, true);
        let (id, payload) = (slot.id, slot.payload);
        let tried_again = self.legs.get_mut(&(place, level));
        let is_again = self.identities.get(&id).is_some_and(|identity| identity.guided & bit(level) != 0);
        if let Some(leg) = tried_again.filter(|leg| is_again && leg.guided_again < leg.retries) {
            leg.guided_again += 1;
            return;
        }
        let identity = self.identity(id, place);
        if !is_admitted {
            identity.admitted = identity.admitted.saturating_add(1);
            identity.payload = payload;
        }
        let bit = bit(level);
        if identity.guided & bit != 0 {
            report.differ(|| format!("guided twice: {topic}:{partition}:{offset} level {level}"));
        }
        identity.guided |= bit;
    }

    fn identity(&mut self, id: u64, place: Place) -> &mut Identity {
        self.identities.entry(id).or_insert(Identity {
            place,
            guided: 0,
            charged: 0,
            waiting: 0,
            admitted: 0,
            payload: 0,
        })
    }

    /// The message at a place, or one level of it, waits.
    pub(super) fn waits(
        &mut self,
        topic: &str,
        partition: u32,
        offset: i64,
        waiting: Waiting<'_>,
        report: &mut Report,
    ) {
        let Waiting { level, reason, attempt, original } = waiting;
        let shown = || format!("{topic}:{partition}:{offset} ({reason})");
        let place = self.place(topic, partition, offset, hash_of(&[original]));
        let Some((place, slot)) = place.and_then(|place| Some((place, self.slot(place)?))) else {
            return report.differ(|| format!("suspense: no input message {}", shown()));
        };
        let (id, payload, kind) = (slot.id, slot.payload, slot.kind);
        if let Some(level) = level {
            let leg = self.legs.entry((place, level)).or_default();
            leg.identity = id;
            if attempt > leg.retries {
                return;
            }
            leg.waits += 1;
            if leg.waits > leg.retries + 1 {
                let retries = leg.retries;
                report.differ(|| format!("waits again: {} level {level}, tried again {retries} times", shown()));
            }
            self.identity(id, place).waiting |= bit(level);
            return;
        }
        // Tried again after the inputs were read.
        if attempt > u32::from(slot.retries) {
            return;
        }
        slot.waits = slot.waits.saturating_add(1);
        let (at_ms, is_first) = (slot.at_ms, slot.waits == 1);
        if kind == Kind::Foreign && !AT_THE_WRONG_DOOR.contains(&reason) {
            report.differ(|| format!("at the wrong door, and waits for another reason: {}", shown()));
        }
        let Some(slot) = self.slot(place) else { return };
        if !NOT_REMEMBERED.contains(&reason) && kind == Kind::Usage && !std::mem::replace(&mut slot.is_admitted, true) {
            let identity = self.identity(id, place);
            identity.admitted = identity.admitted.saturating_add(1);
            identity.payload = payload;
        }
        if reason == "too_late" {
            self.too_late += u64::from(is_first);
            if self.remembered_from.is_some_and(|[from, _]| at_ms >= from) {
                report.differ(|| format!("too late, and is not: {}", shown()));
            }
        }
        if kind == Kind::Command && NOT_ANSWERED.contains(&reason) {
            self.answers.entry(id).or_default().not_answered += 1;
        }
    }

    /// A leg is charged.
    pub(super) fn charged(&mut self, source: &str, usage_id: &str, level: u8, charge_id: &str, report: &mut Report) {
        let id = identity_of(Kind::Usage, source, usage_id);
        let Some(identity) = self.identities.get_mut(&id) else {
            return report.differ(|| format!("charge {charge_id}: no usage record {source} {usage_id} was guided"));
        };
        let bit = bit(level);
        if identity.charged & bit != 0 {
            report.differ(|| format!("charged twice: {source} {usage_id} level {level}, again by {charge_id}"));
        }
        if identity.guided & bit == 0 {
            report.differ(|| format!("charge {charge_id}: {source} {usage_id} was not guided on level {level}"));
        }
        identity.charged |= bit;
    }

    /// A command goes on to rate.
    pub(super) fn command_guided(&mut self, command_id: &str, report: &mut Report) {
        match self.answers.get_mut(&identity_of(Kind::Command, "", command_id)) {
            None => report.differ(|| format!("guided: no command {command_id}")),
            Some(answers) if answers.guided => report.differ(|| format!("guided twice: command {command_id}")),
            Some(answers) => answers.guided = true,
        }
    }

    /// A command is answered.
    pub(super) fn answered(&mut self, command_id: &str, outcome: &str, reason: &str, report: &mut Report) {
        let remembered_from = self.remembered_from;
        let Some(answers) = self.answers.get_mut(&identity_of(Kind::Command, "", command_id)) else {
            return report.differ(|| format!("reply: no command {command_id}"));
        };
        answers.replies += 1;
        if (outcome, reason) == ("refused", "too_late") {
            answers.too_late += 1;
            if remembered_from.is_some_and(|[_, from]| answers.latest_ms >= from) {
                report.differ(|| format!("command {command_id}: too late, and is not"));
            }
            return;
        }
        answers.done += u32::from(["applied", "refused"].contains(&outcome));
        if answers.done > 1 {
            report.differ(|| format!("command {command_id}: carried out twice"));
        }
    }

    /// Everything is seen: what has no outcome, or two?
    pub(super) fn finish(&mut self, report: &mut Report) {
        self.finish_retries(report);
        let (mut duplicate_retries, mut lost) = (0_u64, 0_u64);
        let (mut usage, mut guided, mut duplicates, mut waiting, mut foreign) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        for ((topic, partition), slots) in &self.slots {
            for (offset, slot) in (0_i64..).zip(slots) {
                let Some(slot) = slot else { continue };
                let shown = || self.show(Place { topic: *topic, partition: *partition, offset });
                let outcomes = u32::from(slot.has_legs) + u32::from(slot.waits);
                if slot.is_lost && outcomes == 0 {
                    lost += 1;
                    continue;
                }
                if slot.kind == Kind::Foreign {
                    foreign += 1;
                    if outcomes != 1 && outcomes != u32::from(slot.retries) + 1 {
                        report.differ(|| format!("{outcomes} outcomes of what belongs to another topic: {}", shown()));
                    }
                }
                if slot.kind == Kind::Usage {
                    usage += 1;
                    guided += u64::from(slot.has_legs);
                    waiting += u64::from(slot.waits > 0 && !slot.has_legs);
                    duplicates += u64::from(outcomes == 0);
                }
                if outcomes > 1 && outcomes > u32::from(slot.retries) + 1 {
                    report.differ(|| format!("more than one outcome: {}", shown()));
                }
                let missing = (u32::from(slot.retries) + 1).saturating_sub(outcomes);
                if slot.retries > 0 && missing > 0 && slot.kind != Kind::Command {
                    // Tried again, it turned out to be a copy of one that was charged meanwhile; or it has no outcome yet.
                    let other = self
                        .identities
                        .get(&slot.id)
                        .filter(|identity| slot.kind == Kind::Usage && identity.guided != 0);
                    match other {
                        Some(other) if other.payload == slot.payload => duplicate_retries += u64::from(missing),
                        Some(_) | None if missing == 1 => report.unsettled(1, || {
                            format!(
                                "{} ({:?}): tried again {} times, {outcomes} outcomes",
                                shown(),
                                slot.kind,
                                slot.retries
                            )
                        }),
                        Some(_) | None => {
                            report.differ(|| format!("missing: {} was tried again and has no outcome", shown()));
                        }
                    }
                }
                if outcomes == 0 && slot.kind == Kind::Usage {
                    match self.identities.get(&slot.id).filter(|identity| identity.admitted > 0) {
                        None => report.differ(|| format!("missing: {} has no outcome", shown())),
                        Some(first) if first.payload != slot.payload => {
                            report.differ(|| format!("missing: {} is no copy of {}", shown(), self.show(first.place)))
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        let sum = format!("{guided} guided + {duplicates} duplicates + {waiting} waiting");
        report.end("usage records", usage, sum);
        report.end("retries that were copies", duplicate_retries, duplicate_retries);
        report.end("unread when their topic was made anew", lost, lost);
        report.end("too late", self.too_late, self.too_late);
        for identity in self.identities.values().filter(|identity| identity.admitted > 1) {
            report.differ(|| format!("passed more than once: {}", self.show(identity.place)));
        }
        report.end("identities", self.identities.len(), self.identities.len());
        self.finish_legs(report);
        for answers in self.answers.values() {
            let Answers { commands, not_answered, retries, replies, .. } = *answers;
            let expected = (commands + retries).saturating_sub(not_answered);
            if expected > replies && expected - replies <= retries {
                report.unsettled(u64::from(expected - replies), || {
                    format!("{commands} commands of one id, {not_answered} unreadable, {retries} tried again, {replies} replies")
                });
            } else if expected != replies {
                report.differ(|| {
                    format!("{commands} commands of one id, {not_answered} unreadable, {retries} tried again, {replies} replies")
                });
            }
            if answers.guided && answers.done == 0 {
                report.differ(|| "a command that went on to rate was neither applied nor refused".to_owned());
            }
        }
        let sum = |of: fn(&Answers) -> u32| self.answers.values().map(|answers| u64::from(of(answers))).sum::<u64>();
        let commands = format!("{} - {} unreadable", sum(|of| of.commands), sum(|of| of.not_answered));
        report.end("replies to commands", commands, sum(|of| of.replies));
        report.end("what belongs to another topic", foreign, foreign);
        // What is tried again while this looks on may have no outcome yet.
        let on_their_way = report.count_unsettled();
        report.end(ON_THEIR_WAY, on_their_way, on_their_way);
        let too_late = sum(|of| of.too_late);
        report.end("commands too late", too_late, too_late);
    }

    /// What was tried again and waits no more than before does not wait.
    fn finish_retries(&mut self, report: &mut Report) {
        for ((place, level), leg) in &self.legs {
            if leg.waits <= leg.retries && leg.guided_again < leg.retries {
                report.unsettled(1, || format!("leg {level} of {place:?}: {leg:?}"));
            }
            if leg.waits <= leg.retries
                && let Some(identity) = self.identities.get_mut(&leg.identity)
            {
                identity.waiting &= !bit(*level);
            }
        }
    }

    fn finish_legs(&self, report: &mut Report) {
        let mut levels = [(0_u64, 0_u64, 0_u64); 64];
        for identity in self.identities.values() {
            for (level, (guided, charged, waiting)) in levels.iter_mut().enumerate() {
                let has = |bits: u64| bits >> level & 1;
                *guided += has(identity.guided);
                *charged += has(identity.charged);
                *waiting += has(identity.waiting);
                if has(identity.guided) != has(identity.charged) + has(identity.waiting) {
                    report.differ(|| {
                        let place = self.show(identity.place);
                        let (charged, waiting) = (has(identity.charged), has(identity.waiting));
                        format!("leg {level} of {place}: charged {charged} times, waiting {waiting} times")
                    });
                }
            }
        }
        for (level, (guided, charged, waiting)) in levels.iter().enumerate() {
            if guided + charged + waiting > 0 {
                report.end(format!("legs of level {level}"), guided, format!("{charged} charged + {waiting} waiting"));
            }
        }
    }
}

/// A place in the list of topics.
pub(super) fn number_of(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// Something that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'w> {
    pub(super) level: Option<u8>,
    pub(super) reason: &'w str,
    /// The message that waits.
    pub(super) original: &'w [u8],
    /// How often it was tried before.
    pub(super) attempt: u32,
}
