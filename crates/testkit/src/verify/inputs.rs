//! Every message of the inputs, what it is, and what became of it.
//!
//! An input message has its place (topic, partition, offset), by which legs and suspense name it, and its identity (source, id), by which
//! charges name it. Kept per message: 24 bytes; per identity: about 50.

use super::avro::{Found, Layout};
use super::framed::{Framed, Schemas};
use super::reader::Message;
use super::report::Report;
use super::{VerifyError, hash_of};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Reasons for which a record waits before its identity is remembered: it may come again.
const NOT_REMEMBERED: [&str; 5] = ["undecodable", "invalid_record", "future_event", "duplicate_conflict", "too_late"];
/// Reasons for which a command waits that could not even be read: nobody is answered.
const NOT_ANSWERED: [&str; 3] = ["undecodable", "invalid_record", "future_event"];

/// What an input message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Command,
    Tick,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Hash of its identity; of its place where it has none.
    id: u64,
    /// Hash of everything else it says.
    payload: u64,
    kind: Kind,
    has_legs: bool,
    /// Times that it waits as a whole.
    waits: u8,
}

/// A place in the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    replies: u32,
    /// Replies that say that it was applied or refused.
    done: u32,
    /// Whether it went on to rate.
    guided: bool,
}

/// All of them.
pub(super) struct Inputs {
    topics: Vec<String>,
    default_source: String,
    slots: HashMap<(u16, u32), Vec<Option<Slot>>>,
    identities: HashMap<u64, Identity>,
    answers: HashMap<u64, Answers>,
}

impl Inputs {
    pub(super) fn new(topics: &[String], default_source: &str) -> Inputs {
        Inputs {
            topics: topics.to_vec(),
            default_source: default_source.to_owned(),
            slots: HashMap::new(),
            identities: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    /// Takes in a message of the topic of this number.
    pub(super) fn add(&mut self, topic: u16, message: Message<'_>, schemas: &mut Schemas) -> Result<(), VerifyError> {
        let place = Place { topic, partition: message.partition, offset: message.offset };
        let said = match schemas.take_apart(message.value)? {
            Framed::Avro(layout, datum) => layout.read(datum).ok().map(|found| Said::of_avro(&layout, &found)),
            Framed::Bare(bytes) => serde_json::from_slice(bytes).ok().map(Said::of_json),
            Framed::Unknown => None,
        };
        let (kind, id, payload) = match said {
            Some(Said { kind: Kind::Tick, .. }) => (Kind::Tick, None, 0),
            Some(Said { kind, source, id, payload }) => {
                let source = source.unwrap_or_else(|| self.default_source.clone());
                (kind, id.map(|id| identity_of(kind, &source, &id)), payload)
            }
            None => (Kind::Usage, None, 0),
        };
        let id = id.unwrap_or_else(|| hash_of(&[b"place", format!("{place:?}").as_bytes()]));
        if kind == Kind::Command {
            self.answers.entry(id).or_default().commands += 1;
        }
        let slots = self.slots.entry((topic, message.partition)).or_default();
        let at = usize::try_from(message.offset).unwrap_or(usize::MAX);
        // Offsets are skipped where transactions end.
        slots.resize(at, None);
        slots.push(Some(Slot { id, payload, kind, has_legs: false, waits: 0 }));
        Ok(())
    }

    fn place(&self, topic: &str, partition: u32, offset: i64) -> Option<Place> {
        let topic = self.topics.iter().position(|known| known == topic)?;
        Some(Place { topic: u16::try_from(topic).ok()?, partition, offset })
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let slots = self.slots.get_mut(&(place.topic, place.partition))?;
        slots.get_mut(usize::try_from(place.offset).ok()?)?.as_mut()
    }

    fn show(&self, place: Place) -> String {
        let topic = self.topics.get(usize::from(place.topic)).map_or("", String::as_str);
        format!("{topic}:{}:{}", place.partition, place.offset)
    }

    /// The message at a place has a leg of this level.
    pub(super) fn guided(&mut self, origin: &(String, u32, i64), level: u8, report: &mut Report) {
        let (topic, partition, offset) = origin;
        let Some(place) = self.place(topic, *partition, *offset) else {
            return report.differ(|| format!("guided: no input {topic}:{partition}:{offset}"));
        };
        let Some(slot) = self.slot(place) else {
            return report.differ(|| format!("guided: no input message {topic}:{partition}:{offset}"));
        };
        let is_first_leg = !std::mem::replace(&mut slot.has_legs, true);
        let (id, payload) = (slot.id, slot.payload);
        let identity = self.identity(id, place);
        if is_first_leg {
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
        let Waiting { level, reason } = waiting;
        let shown = || format!("{topic}:{partition}:{offset} ({reason})");
        let Some(place) = self.place(topic, partition, offset) else {
            return report.differ(|| format!("suspense: no input {}", shown()));
        };
        let Some(slot) = self.slot(place) else {
            return report.differ(|| format!("suspense: no input message {}", shown()));
        };
        let (id, payload, kind) = (slot.id, slot.payload, slot.kind);
        if let Some(level) = level {
            let identity = self.identity(id, place);
            let bit = bit(level);
            if identity.waiting & bit != 0 {
                report.differ(|| format!("waits twice: {} level {level}", shown()));
            }
            identity.waiting |= bit;
            return;
        }
        slot.waits = slot.waits.saturating_add(1);
        if !NOT_REMEMBERED.contains(&reason) && kind == Kind::Usage {
            let identity = self.identity(id, place);
            identity.admitted = identity.admitted.saturating_add(1);
            identity.payload = payload;
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
    pub(super) fn answered(&mut self, command_id: &str, outcome: &str, report: &mut Report) {
        let Some(answers) = self.answers.get_mut(&identity_of(Kind::Command, "", command_id)) else {
            return report.differ(|| format!("reply: no command {command_id}"));
        };
        answers.replies += 1;
        answers.done += u32::from(["applied", "refused"].contains(&outcome));
        if answers.done > 1 {
            report.differ(|| format!("command {command_id}: carried out twice"));
        }
    }

    /// Everything is seen: what has no outcome, or two?
    pub(super) fn finish(&self, report: &mut Report) {
        let (mut usage, mut guided, mut duplicates, mut waiting, mut ticks) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        for ((topic, partition), slots) in &self.slots {
            for (offset, slot) in (0_i64..).zip(slots) {
                let Some(slot) = slot else { continue };
                let shown = || self.show(Place { topic: *topic, partition: *partition, offset });
                let outcomes = u32::from(slot.has_legs) + u32::from(slot.waits);
                ticks += u64::from(slot.kind == Kind::Tick);
                if slot.kind == Kind::Usage {
                    usage += 1;
                    guided += u64::from(slot.has_legs);
                    waiting += u64::from(slot.waits > 0);
                    duplicates += u64::from(outcomes == 0);
                }
                if outcomes > 1 {
                    report.differ(|| format!("more than one outcome: {}", shown()));
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
        for identity in self.identities.values().filter(|identity| identity.admitted > 1) {
            report.differ(|| format!("passed more than once: {}", self.show(identity.place)));
        }
        report.end("identities", self.identities.len(), self.identities.len());
        self.finish_legs(report);
        for answers in self.answers.values() {
            let Answers { commands, not_answered, replies, .. } = *answers;
            if commands - not_answered.min(commands) != replies {
                report
                    .differ(|| format!("{commands} commands of one id, {not_answered} unreadable, {replies} replies"));
            }
            if answers.guided && answers.done == 0 {
                report.differ(|| "a command that went on to rate was neither applied nor refused".to_owned());
            }
        }
        let sum = |of: fn(&Answers) -> u32| self.answers.values().map(|answers| u64::from(of(answers))).sum::<u64>();
        let commands = format!("{} - {} unreadable", sum(|of| of.commands), sum(|of| of.not_answered));
        report.end("replies to commands", commands, sum(|of| of.replies));
        report.end("ticks", ticks, ticks);
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

/// Something that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'w> {
    pub(super) level: Option<u8>,
    pub(super) reason: &'w str,
}

fn bit(level: u8) -> u64 {
    1_u64.checked_shl(u32::from(level)).unwrap_or(0)
}

fn identity_of(kind: Kind, source: &str, id: &str) -> u64 {
    match kind {
        Kind::Usage => hash_of(&[b"usage", source.as_bytes(), id.as_bytes()]),
        Kind::Command | Kind::Tick => hash_of(&[b"command", id.as_bytes()]),
    }
}

/// What a message says.
struct Said {
    kind: Kind,
    source: Option<String>,
    id: Option<String>,
    payload: u64,
}

/// Fields that are times: they may be given as a text or as milliseconds.
const TIMES: [&str; 4] = ["event_time", "end_time", "effective_time", "expires_at"];
/// Fields that are not part of what is compared: the identity, and what is filled in where it is missing.
const APART: [&str; 4] = ["id", "source", "unit", "command_id"];

impl Said {
    fn of_json(value: Value) -> Said {
        let nothing = Map::new();
        let object = value.as_object().unwrap_or(&nothing);
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = if object.contains_key("command_id") {
            Kind::Command
        } else if text("tick").is_some_and(|tick| tick.parse::<jiff::Timestamp>().is_ok()) {
            Kind::Tick
        } else {
            Kind::Usage
        };
        let mut parts: Vec<String> = object
            .iter()
            .filter(|(name, value)| !APART.contains(&&***name) && !value.is_null())
            .map(|(name, value)| {
                let time = value.as_str().filter(|_| TIMES.contains(&&**name));
                match time.and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
                    Some(time) => format!("{name}={}", time.as_millisecond()),
                    None => format!("{name}={value}"),
                }
            })
            .collect();
        parts.sort_unstable();
        let id = if kind == Kind::Command { text("command_id") } else { text("id") };
        Said { kind, source: text("source"), id, payload: hash_of(&[parts.join("\0").as_bytes()]) }
    }

    fn of_avro(layout: &Layout, found: &[Found<'_>]) -> Said {
        let text = |name: &str| layout.place(name).and_then(|at| found.get(at)?.text()).map(str::to_owned);
        let kind = match &*layout.name {
            "AccountCommand" => Kind::Command,
            "Tick" => Kind::Tick,
            _ => Kind::Usage,
        };
        let parts: Vec<String> = layout
            .names()
            .zip(found)
            .filter(|(name, value)| !APART.contains(name) && **value != Found::Null)
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let id = if kind == Kind::Command { text("command_id") } else { text("id") };
        Said { kind, source: text("source"), id, payload: hash_of(&[parts.join("\0").as_bytes()]) }
    }
}
