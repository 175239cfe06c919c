//! Entries of packed messages: a record on its way from intake to guide, and its legs on their way from guide to rate.

use super::bytes::{Reader, bytes, varint};
use super::facts::{KnownEdge, KnownFacts, read_rate, read_whole, write_rate};
use super::packed::{TABLES, Table, Unpacked};
use super::record::{IDENTITIES, IDENTITIES_OF_ENDPOINTS, read_record, write_record};
use crate::state::{Corrupt, Stored};
use crate::worker::log::{Incoming, TopicId};
use crate::worker::trace::TraceContext;
use pipeline::{Arrival, Intaken, Place, Taken};
use rating::bundle::BundleTemplate;
use rating::{
    AccountChange, AccountId, Command, Leg, Rate, RateChoice, Standing, SuspenseReason, Timestamp, UsageRecord,
};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use std::hash::Hasher;
use std::sync::Arc;

/// Tables by what they hold.
const ORIGINS: usize = 0;
const EDGES: usize = 1;
const RATES: usize = 2;
const TEMPLATES: usize = 3;

const USAGE: u8 = 0;
const COMMAND: u8 = 1;
const TICK: u8 = 2;
/// What the directory says of an account. A program that does not know it refuses the entry.
const CHANGE: u8 = 3;
/// Beside the kind: a trace context follows where the record came from.
const TRACED: u8 = 0x80;
/// Beside the kind: what recycling wants of it follows the way in which it waited. A program that does not know it refuses the entry, for it would
/// charge what is only to be held.
const WANTED: u8 = 0x40;

/// The topic of a record and its form there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) topic: String,
    pub(super) content_type: String,
    /// The topic's id, where it has one: another topic of its name is another one.
    pub(super) topic_id: Option<TopicId>,
}

/// Where a record came from, with all that suspense has to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) form: &'a Form,
    pub(super) partition: u32,
    pub(super) offset: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) bytes: &'a [u8],
    /// How it waited, if it is tried again.
    pub(super) retried: Option<Retried>,
    /// The trace that it belongs to.
    pub(super) trace: Option<TraceContext<'a>>,
}

/// How something waited that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retried {
    /// How often it was tried before: 1 or more.
    pub(super) attempt: u32,
    /// Why it waited.
    pub(super) reason: SuspenseReason,
    /// The level that waited; `None` for the whole record.
    pub(super) level: Option<u8>,
    /// What is wanted of it.
    pub(super) wanted: Wanted,
}

/// What recycling wants of something that waits or waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Try it again.
    Again,
    /// It waits: keep its id.
    Hold,
    /// It has been given up: its id need not be kept for it any more.
    Leave,
}

impl Wanted {
    fn byte(self) -> u8 {
        match self {
            Wanted::Again => 0,
            Wanted::Hold => 1,
            Wanted::Leave => 2,
        }
    }

    fn of(byte: u8) -> Option<Wanted> {
        [Wanted::Again, Wanted::Hold, Wanted::Leave].into_iter().find(|wanted| wanted.byte() == byte)
    }
}

impl<'a> Origin<'a> {
    /// Of a message from outside.
    pub(super) fn of(message: &Incoming<'a>, form: &'a Form) -> Origin<'a> {
        Origin {
            form,
            partition: message.partition.number,
            offset: message.offset,
            key: message.key,
            bytes: message.value,
            retried: None,
            trace: message.trace,
        }
    }

    /// How it comes.
    pub(super) fn arrival(&self) -> Arrival {
        self.retried.map_or(Arrival::FRESH, |Retried { reason, level, .. }| Arrival::again(reason, level))
    }

    /// Where this copy of the record stands, for [`pipeline::Duplicates`].
    pub(super) fn place(&self) -> Place {
        let mut hasher = SipHasher13::new_with_keys(0x7261_7465_7220_706c, 0x6163_6520_746f_7069);
        hasher.write(self.form.topic.as_bytes());
        hasher.write_u8(0);
        hasher.write(&self.partition.to_le_bytes());
        hasher.write(&self.offset.to_le_bytes());
        if let Some(TopicId(id)) = &self.form.topic_id {
            hasher.write(id);
        }
        Place(hasher.finish())
    }

    /// Whether this only says something of what waits, and nothing is tried.
    pub(super) fn is_note(&self) -> bool {
        self.retried.is_some_and(|retried| retried.wanted != Wanted::Again)
    }

    /// How often the record was tried before.
    pub(super) fn attempt(&self) -> u32 {
        self.retried.map_or(0, |retried| retried.attempt)
    }

    fn kind(&self, kind: u8) -> u8 {
        let traced = if self.trace.is_some() { TRACED } else { 0 };
        let is_wanted = self.retried.is_some_and(|retried| retried.wanted != Wanted::Again);
        kind | traced | if is_wanted { WANTED } else { 0 }
    }

    fn write(&self, tables: &mut [Table; TABLES], out: &mut Vec<u8>) {
        self.write_form(tables, out);
        self.write_rest(out);
    }

    fn write_form(&self, tables: &mut [Table; TABLES], out: &mut Vec<u8>) {
        let form = tables[ORIGINS].number(self.form, |out| {
            bytes(self.form.topic.as_bytes(), out);
            bytes(self.form.content_type.as_bytes(), out);
            // A program that knows no ids reads the two texts alone.
            if let Some(TopicId(id)) = &self.form.topic_id {
                out.extend_from_slice(id);
            }
        });
        varint(form, out);
    }

    /// What does not depend on the message that it goes into.
    fn write_rest(&self, out: &mut Vec<u8>) {
        varint(self.partition.into(), out);
        out.extend_from_slice(&self.offset.to_le_bytes());
        varint(self.attempt().into(), out);
        if let Some(Retried { reason, level, wanted, .. }) = self.retried {
            bytes(reason.name().as_bytes(), out);
            varint(level.map_or(0, |level| u64::from(level) + 1), out);
            if wanted != Wanted::Again {
                out.push(wanted.byte());
            }
        }
        match self.key {
            Some(key) => {
                varint(key.len() as u64 + 1, out);
                out.extend_from_slice(key);
            }
            None => out.push(0),
        }
        bytes(self.bytes, out);
        if let Some(trace) = self.trace {
            bytes(trace.as_bytes(), out);
        }
    }

    fn read<'m>(kind: Kind, reader: &mut Reader<'m>, forms: &'m [Arc<Form>]) -> Result<Origin<'m>, Corrupt> {
        let form = reader.small::<usize>("the number of a form")?;
        let form = forms.get(form).ok_or_else(|| reader.corrupt("a form in the table"))?;
        let (partition, offset) = (reader.small("a partition")?, reader.millis()?);
        let retried = match reader.small("a number of attempts")? {
            0 => None,
            attempt => {
                let reason = read_reason(reader)?;
                let level: u16 = reader.small("a level")?;
                let level = level.checked_sub(1).map(u8::try_from).transpose();
                let level = level.map_err(|_| reader.corrupt("a level"))?;
                let wanted = match kind.is_wanted {
                    true => Wanted::of(reader.byte()?).ok_or_else(|| reader.corrupt("what is wanted"))?,
                    false => Wanted::Again,
                };
                Some(Retried { attempt, reason, level, wanted })
            }
        };
        let key_length: usize = reader.small("a length")?;
        let key = key_length.checked_sub(1).map(|length| reader.take(length)).transpose()?;
        let original = reader.bytes()?;
        let trace = match kind.is_traced {
            true => Some(TraceContext::from_bytes(reader.bytes()?).ok_or_else(|| reader.corrupt("a trace context"))?),
            false => None,
        };
        Ok(Origin { form, partition, offset, key, bytes: original, retried, trace })
    }
}

/// How an entry begins.
#[derive(Clone, Copy)]
struct Kind {
    kind: u8,
    is_traced: bool,
    is_wanted: bool,
}

impl Kind {
    fn read(reader: &mut Reader<'_>) -> Result<Kind, Corrupt> {
        let byte = reader.byte()?;
        let (kind, is_traced, is_wanted) = (byte & !(TRACED | WANTED), byte & TRACED != 0, byte & WANTED != 0);
        // They come from nowhere.
        match (is_traced || is_wanted) && (kind == TICK || kind == CHANGE) {
            true => Err(reader.corrupt("a tick, or what the directory says")),
            false => Ok(Kind { kind, is_traced, is_wanted }),
        }
    }
}

/// Every form that was ever named, each at one place: messages name them by where they stand.
#[derive(Debug, Default)]
pub(super) struct Forms(Vec<Arc<Form>>);

impl Forms {
    /// The form of a topic and type.
    pub(super) fn get(&mut self, topic: &str, topic_id: Option<TopicId>, content_type: &str) -> Arc<Form> {
        let is_it =
            |form: &&Arc<Form>| form.topic == topic && form.content_type == content_type && form.topic_id == topic_id;
        if let Some(form) = self.0.iter().find(is_it) {
            return form.clone();
        }
        let form = Arc::new(Form { topic: topic.to_owned(), content_type: content_type.to_owned(), topic_id });
        self.0.push(form.clone());
        form
    }

    /// The forms that a message names.
    pub(super) fn of(&mut self, message: &Unpacked<'_>) -> Result<Vec<Arc<Form>>, Corrupt> {
        let read = |reader: &Reader<'_>| {
            let mut reader = *reader;
            let (topic, content_type) = (reader.text()?, reader.text()?);
            let id = if reader.is_empty() { None } else { Some(TopicId(reader.array()?)) };
            Ok(self.get(topic, id, content_type))
        };
        message.tables[ORIGINS].iter().map(read).collect()
    }
}

/// Writes a record for guide; a fault never gets there.
pub(super) fn write_taken(origin: &Origin<'_>, taken: &Taken, tables: &mut [Table; TABLES], out: &mut Vec<u8>) {
    match taken {
        Taken::Usage(intaken) => {
            out.push(origin.kind(USAGE));
            origin.write(tables, out);
            out.extend_from_slice(&intaken.key.to_le_bytes());
            out.extend_from_slice(&intaken.payload.to_le_bytes());
            write_record(&intaken.record, 0, out);
        }
        Taken::Command(key, command) => {
            out.push(origin.kind(COMMAND));
            origin.write(tables, out);
            out.extend_from_slice(&key.to_le_bytes());
            command.write(out);
        }
        Taken::Tick(instant) => write_tick(*instant, out),
        Taken::Fault(_) => {}
    }
}

/// Writes a tick, to guide or to rate.
pub(super) fn write_tick(instant: Timestamp, out: &mut Vec<u8>) {
    out.push(TICK);
    out.extend_from_slice(&instant.millis().to_le_bytes());
}

/// Reads where something that intake wrote came from; a tick has no origin.
pub(super) fn read_origin<'m>(entry: Reader<'m>, forms: &'m [Arc<Form>]) -> Result<Option<Origin<'m>>, Corrupt> {
    let mut reader = entry;
    let kind = Kind::read(&mut reader)?;
    match kind.kind {
        USAGE | COMMAND => Origin::read(kind, &mut reader, forms).map(Some),
        TICK => Ok(None),
        _ => Err(reader.corrupt("a record, a command or a tick")),
    }
}

/// Reads what intake wrote; a tick has no origin.
pub(super) fn read_taken<'m>(
    entry: Reader<'m>,
    forms: &'m [Arc<Form>],
) -> Result<(Option<Origin<'m>>, Taken), Corrupt> {
    let mut reader = entry;
    let kind = Kind::read(&mut reader)?;
    match kind.kind {
        USAGE => {
            let origin = Origin::read(kind, &mut reader, forms)?;
            let (key, payload) = (u128::from_le_bytes(reader.array()?), u64::from_le_bytes(reader.array()?));
            let record = read_record(&mut reader)?;
            Ok((Some(origin), Taken::Usage(Box::new(Intaken { key, payload, record }))))
        }
        COMMAND => {
            let origin = Origin::read(kind, &mut reader, forms)?;
            let key = u128::from_le_bytes(reader.array()?);
            Ok((Some(origin), Taken::Command(key, Box::new(read_whole(reader)?))))
        }
        TICK => Ok((None, Taken::Tick(Timestamp::from_millis(reader.millis()?)))),
        _ => Err(reader.corrupt("a record, a command or a tick")),
    }
}

/// Writes what the legs of a record have in common: the same bytes for each owner.
pub(super) fn write_common(origin: &Origin<'_>, leg: &Leg<'_>, out: &mut Vec<u8>) {
    origin.write_rest(out);
    out.extend_from_slice(&leg.usage_key.to_le_bytes());
    // Where there is no endpoint the account that the record names tells its session.
    let skipped = if leg.endpoint.is_some() { IDENTITIES } else { IDENTITIES_OF_ENDPOINTS };
    write_record(leg.usage, skipped, out);
    match leg.endpoint {
        Some(endpoint) => {
            out.push(1);
            bytes(endpoint.as_bytes(), out);
        }
        None => out.push(0),
    }
    // Twice: once it was another instant that said from when on months are remembered.
    out.extend_from_slice(&leg.horizon.millis().to_le_bytes());
    out.extend_from_slice(&leg.horizon.millis().to_le_bytes());
}

/// Writes the legs of a record that one owner rates, behind what all its legs have in common.
pub(super) fn write_legs(
    origin: &Origin<'_>,
    common: &[u8],
    legs: &[Leg<'_>],
    tables: &mut [Table; TABLES],
    out: &mut Vec<u8>,
) {
    out.push(origin.kind(USAGE));
    origin.write_form(tables, out);
    out.extend_from_slice(common);
    varint(legs.len() as u64, out);
    for leg in legs {
        varint(tables[EDGES].edge(leg.edge, leg.ancestors), out);
        match leg.rate {
            RateChoice::NoTariff => out.push(0),
            RateChoice::Missing(reason) => {
                out.push(1);
                bytes(reason.name().as_bytes(), out);
            }
            RateChoice::Rate(rate) => varint(tables[RATES].number(rate, |out| write_rate(rate, out)) + 2, out),
        }
    }
}

/// Writes a command with its facts.
pub(super) fn write_command(
    origin: &Origin<'_>,
    guided: &rating::command::GuidedCommand<'_>,
    tables: &mut [Table; TABLES],
    out: &mut Vec<u8>,
) {
    out.push(origin.kind(COMMAND));
    origin.write(tables, out);
    out.extend_from_slice(&guided.key.to_le_bytes());
    varint(tables[EDGES].edge(guided.edge, guided.ancestors), out);
    match guided.template {
        Some(template) => varint(tables[TEMPLATES].number(&**template, |out| template.write(out)) + 1, out),
        None => out.push(0),
    }
    guided.command.write(out);
}

/// Writes what the directory says of an account.
pub(super) fn write_change(change: &AccountChange<'_>, out: &mut Vec<u8>) {
    out.push(CHANGE);
    bytes(change.account.as_str().as_bytes(), out);
    format::write_said(change.standings, out);
}

/// The facts of a message.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) forms: Vec<Arc<Form>>,
    pub(super) edges: Vec<Arc<KnownEdge>>,
    pub(super) rates: Vec<Arc<Rate>>,
    pub(super) templates: Vec<Arc<BundleTemplate>>,
    /// How far the state horizon lies behind the window of record ids, in milliseconds, where entries do not name the horizon.
    sessions_behind_ms: Option<i64>,
}

/// How messages are completed that were sent before guide named the state horizon.
#[derive(Clone, Copy, Debug)]
pub(super) struct OlderMessages {
    pub(super) duplicate_window_h: Option<u32>,
    pub(super) state_horizon_h: u32,
}

impl OlderMessages {
    /// For readers that do not look at horizon.
    pub(super) const WITHOUT_A_CLOCK: OlderMessages = OlderMessages { duplicate_window_h: None, state_horizon_h: 0 };

    fn sessions_behind_ms(self) -> i64 {
        // Where the window has no end such messages name no clock: all sessions are remembered.
        let behind_h = self.duplicate_window_h.map_or(0, |window_h| self.state_horizon_h.saturating_sub(window_h));
        i64::from(behind_h) * 3_600_000
    }
}

impl Facts {
    /// Reads the tables of a message; forms, edges and rates that were seen before are taken from what is known.
    pub(super) fn read(
        message: &Unpacked<'_>,
        forms: &mut Forms,
        known: &mut KnownFacts,
        older: &OlderMessages,
    ) -> Result<Facts, Corrupt> {
        let KnownFacts { edges, rates } = known;
        let edge = |reader: &Reader<'_>| edges.get(reader.0, KnownEdge::read);
        let rate = |reader: &Reader<'_>| rates.get(reader.0, read_rate);
        Ok(Facts {
            forms: forms.of(message)?,
            edges: message.tables[EDGES].iter().map(edge).collect::<Result<_, _>>()?,
            rates: message.tables[RATES].iter().map(rate).collect::<Result<_, _>>()?,
            templates: message.tables[TEMPLATES]
                .iter()
                .map(|reader| read_whole(*reader).map(Arc::new))
                .collect::<Result<_, _>>()?,
            sessions_behind_ms: (!message.names_state_horizon).then(|| older.sessions_behind_ms()),
        })
    }
}

/// An entry for rate.
#[derive(Debug)]
pub(super) enum Guided<'m> {
    /// Legs of a record.
    Usage(Box<GuidedUsage<'m>>),
    /// A command.
    Command { origin: Origin<'m>, key: u128, command: Box<Command>, edge: usize, template: Option<usize> },
    /// What the directory says of an account.
    Change(AccountId, Vec<Standing>),
    /// A tick.
    Tick(Timestamp),
}

impl<'m> Guided<'m> {
    /// The trace that it belongs to.
    pub(super) fn trace(&self) -> Option<TraceContext<'m>> {
        match self {
            Guided::Usage(usage) => usage.origin.trace,
            Guided::Command { origin, .. } => origin.trace,
            Guided::Change(..) | Guided::Tick(_) => None,
        }
    }
}

/// Legs of one record.
#[derive(Debug)]
pub(super) struct GuidedUsage<'m> {
    pub(super) origin: Origin<'m>,
    pub(super) key: u128,
    pub(super) record: UsageRecord,
    pub(super) endpoint: Option<&'m str>,
    pub(super) horizon: Timestamp,
    pub(super) legs: SmallVec<[(usize, Choice); 4]>,
}

/// What guide found on an edge: see [`RateChoice`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    NoTariff,
    Missing(SuspenseReason),
    Rate(usize),
}

impl Facts {
    /// Reads an entry; every number in it stands in the tables.
    pub(super) fn read_entry<'m>(&'m self, entry: Reader<'m>) -> Result<Guided<'m>, Corrupt> {
        let mut reader = entry;
        let kind = Kind::read(&mut reader)?;
        match kind.kind {
            USAGE => {
                let origin = Origin::read(kind, &mut reader, &self.forms)?;
                let key = u128::from_le_bytes(reader.array()?);
                let record = read_record(&mut reader)?;
                let endpoint = if reader.byte()? == 0 { None } else { Some(reader.text()?) };
                let remembered_from = Timestamp::from_millis(reader.millis()?);
                let horizon = match self.sessions_behind_ms {
                    None => Timestamp::from_millis(reader.millis()?),
                    Some(behind_ms) => {
                        let millis = remembered_from.millis().saturating_sub(behind_ms);
                        Timestamp::from_millis(millis).max(Timestamp::EPOCH)
                    }
                };
                let count = reader.varint()?;
                let mut legs = SmallVec::new();
                for _ in 0..count {
                    let edge = in_table(&mut reader, self.edges.len())?;
                    let choice = match reader.varint()? {
                        0 => Choice::NoTariff,
                        1 => Choice::Missing(read_reason(&mut reader)?),
                        number => Choice::Rate(in_range(&reader, number - 2, self.rates.len())?),
                    };
                    legs.push((edge, choice));
                }
                Ok(Guided::Usage(Box::new(GuidedUsage { origin, key, record, endpoint, horizon, legs })))
            }
            COMMAND => {
                let origin = Origin::read(kind, &mut reader, &self.forms)?;
                let key = u128::from_le_bytes(reader.array()?);
                let edge = in_table(&mut reader, self.edges.len())?;
                let template = match reader.varint()? {
                    0 => None,
                    number => Some(in_range(&reader, number - 1, self.templates.len())?),
                };
                Ok(Guided::Command { origin, key, command: Box::new(read_whole(reader)?), edge, template })
            }
            CHANGE => {
                let account = AccountId::new(reader.text()?);
                Ok(Guided::Change(account, format::read_said(reader.0)?))
            }
            TICK => Ok(Guided::Tick(Timestamp::from_millis(reader.millis()?))),
            _ => Err(reader.corrupt("legs, a command, what the directory says, or a tick")),
        }
    }
}

fn in_table(reader: &mut Reader<'_>, length: usize) -> Result<usize, Corrupt> {
    let number = reader.varint()?;
    in_range(reader, number, length)
}

fn in_range(reader: &Reader<'_>, number: u64, length: usize) -> Result<usize, Corrupt> {
    let number = usize::try_from(number).ok().filter(|number| *number < length);
    number.ok_or_else(|| reader.corrupt("a number in the table"))
}

fn read_reason(reader: &mut Reader<'_>) -> Result<SuspenseReason, Corrupt> {
    SuspenseReason::parse(reader.text()?).ok_or_else(|| reader.corrupt("a suspense reason"))
}
