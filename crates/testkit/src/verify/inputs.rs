//! Every message of the inputs, what it is, and what became of it.
//!
//! An input message has its place (topic, partition, offset), by which legs and suspense name it, and its identity (source, id), by which
//! charges name it. Kept per message: 24 bytes; per identity: about 50.

use super::avro::{Found, Layout};
use super::framed::{Framed, Schemas};
use super::reader::Message;
use super::report::Report;
use super::{Layout as Topics, Takes, VerifyError, hash_of};
use serde_json::{Map, Value};
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

/// What an input message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Command,
    /// What belongs to another topic: here it waits.
    Foreign,
}

impl Kind {
    fn is_foreign(self, takes: Option<&Takes>) -> bool {
        match self {
            Kind::Usage => takes == Some(&Takes::Commands),
            Kind::Command => takes == Some(&Takes::Usage),
            Kind::Foreign => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Hash of its identity; of its place where it has none.
    id: u64,
    /// Hash of everything else it says.
    payload: u64,
    kind: Kind,
    has_legs: bool,
    /// Whether its identity was new when it came.
    is_admitted: bool,
    /// Times that it waits as a whole, and that it was tried again as a whole.
    waits: u8,
    retries: u8,
}

impl Slot {
    fn new(kind: Kind, id: u64, payload: u64) -> Slot {
        Slot { id, payload, kind, has_legs: false, is_admitted: false, waits: 0, retries: 0 }
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
    replies: u32,
    /// Replies that say that it was applied or refused.
    done: u32,
    /// Whether it went on to rate.
    guided: bool,
}

/// All of them.
pub(super) struct Inputs {
    topics: Vec<String>,
    /// By the number of the topic.
    takes: Vec<Takes>,
    default_source: String,
    slots: HashMap<(u16, u32), Vec<Option<Slot>>>,
    identities: HashMap<u64, Identity>,
    answers: HashMap<u64, Answers>,
    /// Legs that waited or were tried again.
    legs: HashMap<(Place, u8), WaitingLeg>,
    retries: Vec<Retry>,
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
    pub(super) fn new(layout: &Topics, default_source: &str) -> Inputs {
        Inputs {
            // The topic of retries stands behind the inputs: what others write there waits as well.
            topics: layout.input_names().into_iter().chain([layout.topic("retries")]).collect(),
            takes: layout.inputs.iter().map(|(_, takes)| *takes).collect(),
            default_source: default_source.to_owned(),
            slots: HashMap::new(),
            identities: HashMap::new(),
            answers: HashMap::new(),
            legs: HashMap::new(),
            retries: Vec::new(),
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
            Some(Said { kind, .. }) if kind.is_foreign(self.takes.get(usize::from(topic))) => (Kind::Foreign, None, 0),
            Some(Said { kind, source, id, payload, .. }) => {
                let source = source.unwrap_or_else(|| self.default_source.clone());
                (kind, id.map(|id| identity_of(kind, &source, &id)), payload)
            }
            None => (Kind::Usage, None, 0),
        };
        let id = id.unwrap_or_else(|| hash_of(&[b"place", format!("{place:?}").as_bytes()]));
        if kind == Kind::Command {
            self.answers.entry(id).or_default().commands += 1;
        }
        self.put(place, Slot::new(kind, id, payload));
        Ok(())
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
                self.put(place, Slot::new(Kind::Foreign, id, 0));
            }
        }
    }

    fn put(&mut self, place: Place, slot: Slot) {
        let slots = self.slots.entry((place.topic, place.partition)).or_default();
        let at = usize::try_from(place.offset).unwrap_or(usize::MAX);
        // Offsets are skipped where transactions end.
        slots.resize(at, None);
        slots.push(Some(slot));
    }

    /// All inputs are there: what was tried again?
    pub(super) fn note_retries(&mut self, report: &mut Report) {
        let retries = std::mem::take(&mut self.retries);
        for Retry { topic, partition, offset, level } in &retries {
            let place = self.place(topic, *partition, *offset);
            let Some((place, slot)) = place.and_then(|place| Some((place, self.slot(place)?))) else {
                report.differ(|| format!("a retry of no input message: {topic}:{partition}:{offset}"));
                continue;
            };
            match level {
                None => slot.retries = slot.retries.saturating_add(1),
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
        slot.has_legs = true;
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
        let Waiting { level, reason, attempt } = waiting;
        let shown = || format!("{topic}:{partition}:{offset} ({reason})");
        let Some(place) = self.place(topic, partition, offset) else {
            return report.differ(|| format!("suspense: no input {}", shown()));
        };
        let Some(slot) = self.slot(place) else {
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
        if !NOT_REMEMBERED.contains(&reason) && kind == Kind::Usage && !std::mem::replace(&mut slot.is_admitted, true) {
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
    pub(super) fn finish(&mut self, report: &mut Report) {
        self.finish_retries();
        let mut on_their_way = 0_u64;
        let (mut usage, mut guided, mut duplicates, mut waiting, mut foreign) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        for ((topic, partition), slots) in &self.slots {
            for (offset, slot) in (0_i64..).zip(slots) {
                let Some(slot) = slot else { continue };
                let shown = || self.show(Place { topic: *topic, partition: *partition, offset });
                let outcomes = u32::from(slot.has_legs) + u32::from(slot.waits);
                if slot.kind == Kind::Foreign {
                    foreign += 1;
                    // Each time that it is tried again it waits again.
                    if slot.has_legs || outcomes == 0 {
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
                if outcomes < u32::from(slot.retries) {
                    report.differ(|| format!("missing: {} was tried again and has no outcome", shown()));
                }
                on_their_way += u64::from(slot.retries > 0 && outcomes == u32::from(slot.retries));
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
        // What is tried again while this looks on may have no outcome yet.
        report.end("retries without an outcome yet", on_their_way, on_their_way);
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
        report.end("what belongs to another topic", foreign, foreign);
    }

    /// What was tried again and waits no more than before does not wait.
    fn finish_retries(&mut self) {
        for ((_, level), leg) in &self.legs {
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

/// Something that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'w> {
    pub(super) level: Option<u8>,
    pub(super) reason: &'w str,
    /// How often it was tried before.
    pub(super) attempt: u32,
}

fn bit(level: u8) -> u64 {
    1_u64.checked_shl(u32::from(level)).unwrap_or(0)
}

fn identity_of(kind: Kind, source: &str, id: &str) -> u64 {
    match kind {
        Kind::Usage => hash_of(&[b"usage", source.as_bytes(), id.as_bytes()]),
        Kind::Command | Kind::Foreign => hash_of(&[b"command", id.as_bytes()]),
    }
}

/// What a message says.
struct Said {
    kind: Kind,
    source: Option<String>,
    id: Option<String>,
    payload: u64,
}

/// What recycling says in the topic of retries.
enum Note {
    Again(Retry),
    HoldOrLeave,
}

/// Where something comes from that is tried again.
struct Retry {
    topic: String,
    partition: u32,
    offset: i64,
    level: Option<u8>,
}

impl Note {
    /// `None` if Rater did not write it.
    fn read(value: &[u8]) -> Option<Note> {
        let value: Value = serde_json::from_slice(value.starts_with(b"{\"retry\":").then_some(value)?).ok()?;
        let retry = value.as_object().filter(|outer| outer.len() == 1)?.get("retry")?.as_object()?;
        let number = |name: &str| retry.get(name).and_then(Value::as_i64);
        let text = |name: &str| retry.get(name).and_then(Value::as_str);
        let encoded = |name: &str| retry.get(name).is_none_or(|value| value.is_null() || is_base64(value));
        let is_ours = retry.keys().all(|name| RETRY.contains(&&**name))
            && number("attempt").is_some_and(|attempt| attempt > 0 && u32::try_from(attempt).is_ok())
            && rating::SuspenseReason::parse(text("reason")?).is_some()
            && text("original").is_some()
            && ["original", "key", "topic_id"].into_iter().all(encoded);
        let level = match retry.get("level").filter(|level| !level.is_null()) {
            None => None,
            Some(level) => Some(u8::try_from(level.as_i64()?).ok()?),
        };
        let (topic, partition) = (text("topic")?.to_owned(), u32::try_from(number("partition")?).ok()?);
        let again = Retry { topic, partition, offset: number("offset")?, level };
        match retry.get("wanted").map(Value::as_str) {
            None => is_ours.then_some(Note::Again(again)),
            Some(Some("hold" | "leave")) => is_ours.then_some(Note::HoldOrLeave),
            Some(_) => None,
        }
    }
}

/// Fields of a retry.
const RETRY: [&str; 10] =
    ["topic", "partition", "offset", "attempt", "reason", "level", "key", "original", "wanted", "topic_id"];

fn is_base64(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let digits = text.trim_end_matches('=');
        text.len() % 4 == 0
            && text.len() - digits.len() < 3
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
    })
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
        } else if text("tick").is_some_and(|tick| tick.parse::<jiff::Timestamp>().is_ok())
            || object.contains_key("retry")
        {
            Kind::Foreign
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
            "Tick" => Kind::Foreign,
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
