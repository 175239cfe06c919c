//! What a folder has booked for the records of an id, read from its outputs.

use super::ExplainError;
use crate::embedded::{Progress, RunError, output_path};
use crate::state::{Corrupt, Store, StoreError};
use crate::wire::{Decoder, InputError, Message, OutputFormat, visit_kept};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rating::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

/// Hexadecimal digits of an identity, with which ids of charges, suspense and notifications begin.
const KEY_DIGITS: usize = 32;

/// Things suspended that are looked at at a time.
const OPEN_AT_A_TIME: usize = 4096;

/// What was booked for one record or command. The messages have the fields of their schemas (`schemas/*.avsc`).
#[derive(Clone, Debug, Default)]
pub struct Booked {
    /// What became of it, as far as the outputs tell.
    pub outcome: Outcome,
    /// Charges: of usage by level, then fees.
    pub charges: Vec<Value>,
    /// Changes of balances.
    pub deltas: Vec<Value>,
    /// What of it is suspended at present.
    pub suspense: Vec<Value>,
    /// What was suspended once and no longer is.
    pub resolved: Vec<Value>,
    /// Notifications.
    pub notifications: Vec<Value>,
}

/// What became of a record or command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It has charges, deltas or notifications, or legs that are suspended.
    Booked,
    /// It is suspended as a whole.
    Suspended,
    /// A copy of it came before.
    Duplicate,
    /// The outputs do not name it: a record without a level that is charged, or a command that moved no money.
    #[default]
    Nothing,
}

impl Outcome {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Booked => "booked",
            Outcome::Suspended => "suspended",
            Outcome::Duplicate => "duplicate",
            Outcome::Nothing => "nothing",
        }
    }
}

/// Where a record stands: the name of its input and its place there.
pub(super) type Place = (String, u64);

/// Everything that the outputs hold about an id.
#[derive(Debug, Default)]
pub(super) struct Found {
    id: String,
    charges: Vec<Value>,
    fees: Vec<Value>,
    deltas: Vec<Value>,
    suspense: Vec<Value>,
    notifications: Vec<Value>,
    /// Input, place, level and attempt of what is suspended at present.
    open: HashSet<(String, u64, Option<u8>, u64)>,
}

/// Reads the outputs of a folder for an id. `fees` are ids of fees that records of the id would cause today; `is_of_id` tells from the bytes of
/// a record whether it has the id.
pub(super) fn find(
    (folder, progress, store): (&Path, &Progress, &Store),
    id: &str,
    fees: &BTreeSet<&str>,
    is_of_id: &dyn Fn(&Decoder, &[u8]) -> bool,
) -> Result<Found, ExplainError> {
    let outputs = Files { folder, progress, format: format_of(progress)? };
    let mut found = Found { id: id.to_owned(), ..Found::default() };
    let texts: Vec<&str> = fees.iter().copied().chain([id]).collect();
    outputs.visit(Message::Charge, &texts, &mut |charge| {
        let is_fee =
            fee_instance(&charge) == Some(id) || charge["charge_id"].as_str().is_some_and(|id| fees.contains(id));
        if charge["usage_id"] == id || is_fee {
            found.charges.push(charge);
        }
    })?;
    (found.fees, found.charges) = found.charges.into_iter().partition(|charge| charge["kind"] != "usage");
    found.add_fees_of_activations(&outputs)?;
    let causes: BTreeSet<&str> =
        found.charges.iter().chain(&found.fees).filter_map(|charge| charge["charge_id"].as_str()).collect();
    let mut texts: Vec<&str> = causes.iter().copied().collect();
    texts.push(id);
    let mut deltas = Vec::new();
    outputs.visit(Message::BalanceDelta, &texts, &mut |delta| {
        let is_caused = delta["charge_id"].as_str().is_some_and(|charge| causes.contains(charge));
        if is_caused || delta["command_id"] == id {
            deltas.push(delta);
        }
    })?;
    found.deltas = deltas;
    let decoders = decoders(progress)?;
    let has_id = |message: &Value| match message["usage_id"].as_str() {
        Some(known) => known == id,
        None => {
            let decoder = message["file"].as_str().and_then(|file| decoders.get(file));
            decoder.zip(original(message)).is_some_and(|(decoder, bytes)| is_of_id(decoder, &bytes))
        }
    };
    // An original may stand there in base64, where no text of it is found.
    outputs.visit(Message::Suspense, &[id, "original_base64"], &mut |message| {
        if has_id(&message) {
            found.suspense.push(message);
        }
    })?;
    outputs.visit(Message::Notification, &[id], &mut |message| {
        if message["caused_by"] == id {
            found.notifications.push(message);
        }
    })?;
    if !found.suspense.is_empty() {
        found.open = open(store, &found.suspense)?;
    }
    Ok(found)
}

impl Found {
    /// A fee of a bundle that the record activated names the instance from which it draws, and its time.
    fn add_fees_of_activations(&mut self, outputs: &Files<'_>) -> Result<(), ExplainError> {
        let drawn: BTreeSet<(String, Option<Timestamp>)> = drawn(&self.charges).collect();
        if drawn.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = drawn.iter().map(|(instance, _)| &**instance).collect();
        outputs.visit(Message::Charge, &texts, &mut |charge| {
            if is_activated_by(&drawn, &charge)
                && !self.fees.iter().any(|known| known["charge_id"] == charge["charge_id"])
            {
                self.fees.push(charge);
            }
        })
    }

    /// Returns true if the outputs do not name the id.
    pub(super) fn is_empty(&self) -> bool {
        let Found { id: _, charges, fees, deltas, suspense, notifications, open: _ } = self;
        [charges, fees, deltas, suspense, notifications].into_iter().all(Vec::is_empty)
    }

    /// Places of everything that is or was suspended.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        self.suspense.iter().map(place_of).collect()
    }

    /// Identities that were charged, notified or suspended.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        let ids =
            [(&self.charges, "charge_id"), (&self.notifications, "notification_id"), (&self.suspense, "suspense_id")];
        let keys = ids.into_iter().flat_map(|(messages, name)| messages.iter().filter_map(move |of| key_of(of, name)));
        keys.map(str::to_owned).collect()
    }

    /// Returns true if anything but a suspension as a whole was booked under an identity.
    pub(super) fn books(&self, key: Option<&str>) -> bool {
        let has_key = |messages: &[Value], name: &str| messages.iter().any(|message| key_of(message, name) == key);
        let is_leg = |message: &Value| !message["level"].is_null() && key_of(message, "suspense_id") == key;
        has_key(&self.charges, "charge_id")
            || has_key(&self.notifications, "notification_id")
            || self.suspense.iter().any(is_leg)
            || self.charges.is_empty() && !(self.fees.is_empty() && self.deltas.is_empty())
    }

    fn is_open(&self, message: &Value) -> bool {
        let (file, line) = place_of(message);
        self.open.contains(&(file, line, level_of(message), message["attempt"].as_u64().unwrap_or_default()))
    }

    /// Returns true if the record at a place is suspended as a whole at present.
    pub(super) fn is_suspended(&self, place: &Place) -> bool {
        let of_place = |message: &&Value| place_of(message) == *place && message["level"].is_null();
        self.suspense.iter().filter(of_place).any(|message| self.is_open(message))
    }

    /// What was booked for the record at a place. Of several of one identity one `owns` what is not told by place. `causes` tells which fees
    /// of bundles a command caused, where that is known.
    pub(super) fn of(
        &self,
        key: Option<&str>,
        place: Option<&Place>,
        owns: bool,
        causes: Option<&Causes<'_>>,
    ) -> Booked {
        let has_key = |of: Option<&str>| owns && key.is_none_or(|key| of == Some(key));
        let by_key = |messages: &[Value], name: &str| -> Vec<Value> {
            messages.iter().filter(|message| has_key(key_of(message, name))).cloned().collect()
        };
        let mut charges = by_key(&self.charges, "charge_id");
        charges.sort_by_key(|charge| charge["level"].as_u64());
        let drawn: BTreeSet<(String, Option<Timestamp>)> = drawn(&charges).collect();
        let is_caused = |fee: &&Value| {
            let is_of_command = fee_instance(fee) == Some(&*self.id);
            match causes {
                _ if !charges.is_empty() => is_activated_by(&drawn, fee),
                Some(causes) => causes.names(fee) || is_of_command && time_of(fee) == causes.at,
                None => is_of_command,
            }
        };
        let fees: Vec<Value> = self.fees.iter().filter(|_| owns).filter(is_caused).cloned().collect();
        charges.extend(fees);
        let ids: BTreeSet<&str> = charges.iter().filter_map(|charge| charge["charge_id"].as_str()).collect();
        let is_of = |delta: &&Value| delta["charge_id"].as_str().map_or(owns, |charge| ids.contains(charge));
        let deltas: Vec<Value> = self.deltas.iter().filter(is_of).cloned().collect();
        let notifications = by_key(&self.notifications, "notification_id");
        let is_here = |message: &&Value| match place {
            Some(place) => place_of(message) == *place,
            None => has_key(key_of(message, "suspense_id")),
        };
        let (suspense, resolved): (Vec<Value>, Vec<Value>) =
            self.suspense.iter().filter(is_here).cloned().partition(|message| self.is_open(message));
        let is_whole = |messages: &[Value]| messages.iter().any(|message| message["level"].is_null());
        let outcome = if is_whole(&suspense) {
            Outcome::Suspended
        } else if !(charges.is_empty() && deltas.is_empty() && notifications.is_empty() && suspense.is_empty()) {
            Outcome::Booked
        } else if !owns || is_whole(&resolved) {
            Outcome::Duplicate
        } else {
            Outcome::Nothing
        };
        Booked { outcome, charges, deltas, suspense, resolved, notifications }
    }
}

/// The output files of a folder, as far as they are committed.
struct Files<'f> {
    folder: &'f Path,
    progress: &'f Progress,
    format: OutputFormat,
}

impl Files<'_> {
    fn visit(&self, message: Message, texts: &[&str], visit: &mut dyn FnMut(Value)) -> Result<(), ExplainError> {
        let at = Message::KEPT.iter().position(|kept| *kept == message);
        let Some(output) = at.and_then(|at| self.progress.outputs.get(at)) else { return Ok(()) };
        let path = output_path(self.folder, message, self.format);
        let Progress { contracts, .. } = self.progress;
        visit_kept((&path, message, self.format, *contracts), output.bytes, &output.pending, texts, visit).map_err(
            |error| match error {
                InputError::Read(error) => ExplainError::Run(RunError::File(path, error)),
                other => ExplainError::Run(RunError::Input(path, other)),
            },
        )
    }
}

fn format_of(progress: &Progress) -> Result<OutputFormat, ExplainError> {
    let forms = [OutputFormat::JsonLines, OutputFormat::Csv, OutputFormat::Avro];
    let known = forms.into_iter().find(|form| form.extension() == &*progress.output_format);
    known.ok_or_else(|| StoreError::Corrupt(Corrupt { what: "a form of outputs", left: 0 }).into())
}

fn decoders(progress: &Progress) -> Result<BTreeMap<&str, Decoder>, ExplainError> {
    let decoder = |input: &'_ crate::embedded::InputProgress| Decoder::from_description(&input.decoder);
    let all = progress.inputs.iter().map(|input| Ok((&*input.name, decoder(input).map_err(StoreError::Corrupt)?)));
    all.collect()
}

/// Something that is suspended: input, place, level and attempt.
type OpenPlace = (String, u64, Option<u8>, u64);

/// What of the messages is suspended at present.
fn open(store: &Store, messages: &[Value]) -> Result<HashSet<OpenPlace>, ExplainError> {
    let places: HashSet<Place> = messages.iter().map(place_of).collect();
    let mut open = HashSet::new();
    let mut next = 0;
    loop {
        let some = store.open_suspense(next, OPEN_AT_A_TIME)?;
        let Some((last, _)) = some.last() else { return Ok(open) };
        next = last + 1;
        for (_, waiting) in some {
            let place = (waiting.input, waiting.place);
            if places.contains(&place) {
                open.insert((place.0, place.1, waiting.level, waiting.attempt.into()));
            }
        }
    }
}

/// What a command causes today.
pub(super) struct Causes<'c> {
    /// When it takes effect.
    pub(super) at: Option<Timestamp>,
    /// Its charges.
    pub(super) charges: &'c [Value],
}

impl Causes<'_> {
    fn names(&self, fee: &Value) -> bool {
        self.charges.iter().any(|charge| charge["charge_id"] == fee["charge_id"])
    }
}

/// Instances from which charges draw, and when.
fn drawn(charges: &[Value]) -> impl Iterator<Item = (String, Option<Timestamp>)> {
    charges.iter().flat_map(|charge| {
        let segments = charge["segments"].as_array().into_iter().flatten();
        let allowances = segments.filter_map(|segment| segment["allowance_id"].as_str()?.rsplit_once(':'));
        allowances.map(|(instance, _)| (instance.to_owned(), time_of(charge)))
    })
}

/// Returns true for the fee of a bundle whose first unit was drawn.
fn is_activated_by(drawn: &BTreeSet<(String, Option<Timestamp>)>, fee: &Value) -> bool {
    fee_instance(fee).is_some_and(|instance| drawn.contains(&(instance.to_owned(), time_of(fee))))
}

fn time_of(message: &Value) -> Option<Timestamp> {
    Timestamp::parse(message["event_time"].as_str()?)
}

/// The instance that a fee is of; `None` for charges of usage.
fn fee_instance(charge: &Value) -> Option<&str> {
    if charge["kind"] == "usage" { None } else { charge["segments"].get(0)?["allowance_id"].as_str() }
}

pub(super) fn place_of(message: &Value) -> Place {
    (message["file"].as_str().unwrap_or_default().to_owned(), message["line"].as_u64().unwrap_or_default())
}

fn level_of(message: &Value) -> Option<u8> {
    message["level"].as_u64().and_then(|level| u8::try_from(level).ok())
}

/// The identity with which an id begins; `None` for an id of a place.
fn key_of<'m>(message: &'m Value, name: &str) -> Option<&'m str> {
    let (key, rest) = message[name].as_str()?.split_at_checked(KEY_DIGITS)?;
    (rest.starts_with('-') && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(key)
}

/// The bytes of a suspended record.
pub(super) fn original(message: &Value) -> Option<Vec<u8>> {
    match message["original"].as_str() {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => STANDARD.decode(message["original_base64"].as_str()?).ok(),
    }
}
