//! Endpoints as few bytes as possible: what is kept of them in memory.
//!
//! All endpoints under one key stand one behind the other: name, number of states, states. A state is a byte of flags, the first moment
//! (not for the first state), the customer's number, the identities that the flags tell (nine bytes each), further IMSIs behind their number,
//! and the plan's tariff. No state at all says that the definition cannot be read, and is followed by why.

use super::epoch::Names;
use super::rows::{EndpointRow, Head, IdentityKey};
use crate::diagnostic::Code;
use crate::model::{BEGINNING, Endpoint, IdentityKind, Reference};
use crate::read::{Flaw, read_endpoint};
use crate::snapshot::{Catalog, EndpointSlice, Endpoints, IdentityFacts, PlanFacts};
use crate::value::Digits;
use rating::{Mode, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

const ACTIVE: u8 = 1;
const HAS_PLAN: u8 = 2;
const HAS_TARIFF: u8 = 4;
const PREPAID: u8 = 8;
/// The first of three bits, in the order of [`IdentityKind`].
const HAS_IDENTITY: u8 = 16;
/// The bit behind them: there are further IMSIs.
const HAS_MORE: u8 = 128;

/// So many bytes need no allocation: an endpoint with three identities and a name of up to 15 letters.
const SHORT: usize = 46;

/// All endpoints that are found under a key at some time.
#[derive(Clone, Debug)]
pub(super) enum Packed {
    /// In place: a hit touches one part of memory less.
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
}

/// What was packed, and what of it cannot be read.
pub(super) struct Packing {
    pub(super) packed: Packed,
    pub(super) flaws: Vec<Arc<str>>,
}

/// What holds from a moment on.
struct State {
    flags: u8,
    from: Timestamp,
    /// Position of the customer.
    customer: u32,
    identities: SmallVec<[(IdentityKind, Digits); 3]>,
    tariff: Option<u32>,
}

impl Packed {
    /// Packs what a store holds under a key for a head. A definition that cannot be read, or names what the catalog of the epoch does not
    /// have, costs its endpoint and nobody else.
    pub(super) fn pack(rows: &[EndpointRow], head: &Head, names: &Names) -> Packing {
        let mut out = Vec::with_capacity(64 * rows.len());
        let mut flaws = Vec::new();
        for EndpointRow { endpoint: name, definition } in rows {
            let before = out.len();
            let definition = match definition {
                Ok(definition) => definition,
                Err(misnumbered) => {
                    write_unreadable(name, &misnumbered.of(&format!("endpoint \"{name}\""), head), &mut out);
                    flaws.push(misnumbered.of("an endpoint", head).into());
                    continue;
                }
            };
            let written =
                read_endpoint(name, definition).and_then(|endpoint| write_endpoint(name, &endpoint, names, &mut out));
            if let Err(flaw) = written {
                let message = flaw.message.strip_prefix(&format!("endpoint \"{name}\": ")).unwrap_or(&flaw.message);
                let why = format!("{}: {message}", place(&format!("endpoint \"{name}\""), definition, head, &flaw));
                out.truncate(before);
                write_unreadable(name, &why, &mut out);
                // Whoever reads the log is not told what stands there, nor whose it is.
                flaws.push(place("an endpoint", definition, head, &flaw).into());
            }
        }
        Packing { packed: Packed::of(&out), flaws }
    }

    fn of(bytes: &[u8]) -> Packed {
        let mut short = [0; SHORT];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Packed::Short(length, short)
            }
            (_, _) => Packed::Long(bytes.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Packed::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Packed::Long(bytes) => bytes,
        }
    }

    /// How many bytes it has allocated, without what it takes where it stands.
    pub(super) fn allocated(&self) -> usize {
        match self {
            Packed::Short(..) => 0,
            Packed::Long(bytes) => bytes.len(),
        }
    }

    /// Adds the endpoints that were found under a key to those of a batch, unless they are there. `None` if they name what the epoch does
    /// not have.
    pub(super) fn unpack(
        &self,
        key: &IdentityKey,
        catalog: &Catalog,
        names: &Names,
        endpoints: &mut Endpoints,
    ) -> Option<()> {
        let mut rest = self.bytes();
        while !rest.is_empty() {
            let name = text(&mut rest)?;
            let count = usize::try_from(number(&mut rest)?).ok()?;
            if count == 0 {
                let why: Arc<str> = text(&mut rest)?.into();
                add_unreadable(key, why, endpoints);
                continue;
            }
            let mut states: SmallVec<[State; 2]> = SmallVec::with_capacity(count);
            for at in 0..count {
                states.push(read_state(at == 0, names, &mut rest)?);
            }
            let slices = states.iter().map(|state| slice(state, names));
            let added = endpoints.add(catalog, Arc::from(name), slices);
            if let Ok(endpoint) = added {
                identities(&states, endpoint, |identity| endpoints.add_identity(identity));
            }
        }
        Some(())
    }
}

/// Notes that what is found under a key cannot be read, and why.
pub(super) fn add_unreadable(key: &IdentityKey, why: Arc<str>, endpoints: &mut Endpoints) {
    match key {
        IdentityKey::Identity(kind, digits) => endpoints.add_unreadable_identity(*kind, *digits, why),
        IdentityKey::Name(name) => endpoints.add_unreadable_name(name, why),
    }
}

/// An endpoint without states, and why.
fn write_unreadable(name: &str, why: &str, out: &mut Vec<u8>) {
    write_text(name, out);
    write_number(0, out);
    write_text(why, out);
}

/// What is wrong and where: `R026 at 1:25 of endpoint "meter-1" in store@7`.
fn place(whose: &str, definition: &str, head: &Head, flaw: &Flaw) -> String {
    let before = definition.get(..flaw.at as usize).unwrap_or(definition);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{} at {line}:{column} of {whose} in store@{}", flaw.code, head.version)
}

fn write_endpoint(name: &str, endpoint: &Endpoint, names: &Names, out: &mut Vec<u8>) -> Result<(), Flaw> {
    let undefined = |code: Code, what: &str, reference: &Reference| {
        Flaw::new(code, reference.span.start, format!("{what} \"{}\" is not defined", reference.value))
    };
    write_text(name, out);
    let states = endpoint.states();
    write_number(states.len() as u64, out);
    for (at, (from, state)) in states.iter().enumerate() {
        let mut flags = if state.is_active() { ACTIVE } else { 0 };
        for (bit, identities) in state.identities.iter().enumerate() {
            flags |= if identities.is_empty() { 0 } else { HAS_IDENTITY << bit };
        }
        let more = state.identities.first().and_then(|imsis| imsis.get(1..)).unwrap_or_default();
        flags |= if more.is_empty() { 0 } else { HAS_MORE };
        let mut tariff = None;
        if let Some(plan) = state.plan {
            flags |= HAS_PLAN;
            flags |= match plan.mode {
                Mode::Prepaid => PREPAID,
                Mode::Postpaid => 0,
            };
            if let Some(name) = &plan.tariff {
                flags |= HAS_TARIFF;
                let number = names.tariffs.number(&name.value);
                tariff = Some(number.ok_or_else(|| undefined(Code::UndefinedTariff, "tariff", name))?);
            }
        }
        let customer = names.accounts.number(&state.customer.value);
        let customer = customer.ok_or_else(|| undefined(Code::UndefinedAccount, "account", state.customer))?;
        out.push(flags);
        if at > 0 {
            out.extend_from_slice(&from.millis().to_le_bytes());
        }
        write_number(customer.into(), out);
        for identity in state.identities.iter().filter_map(|identities| identities.first()) {
            out.extend_from_slice(&identity.value.to_bytes());
        }
        if !more.is_empty() {
            write_number(more.len() as u64, out);
            more.iter().for_each(|identity| out.extend_from_slice(&identity.value.to_bytes()));
        }
        if let Some(tariff) = tariff {
            write_number(tariff.into(), out);
        }
    }
    Ok(())
}

fn read_state(is_first: bool, names: &Names, rest: &mut &[u8]) -> Option<State> {
    let [flags] = take(rest)?;
    let from = if is_first { BEGINNING } else { Timestamp::from_millis(i64::from_le_bytes(take(rest)?)) };
    let customer = *names.accounts.value(u32::try_from(number(rest)?).ok()?)?;
    let mut identities = SmallVec::new();
    for kind in IdentityKind::ALL {
        if flags & (HAS_IDENTITY << kind as u8) != 0 {
            identities.push((kind, Digits::from_bytes(take(rest)?)));
        }
    }
    let more = if flags & HAS_MORE != 0 { number(rest)? } else { 0 };
    for _ in 0..more {
        identities.push((IdentityKind::Imsi, Digits::from_bytes(take(rest)?)));
    }
    let tariff = if flags & HAS_TARIFF != 0 { Some(u32::try_from(number(rest)?).ok()?) } else { None };
    if let Some(tariff) = tariff {
        names.tariffs.value(tariff)?;
    }
    Some(State { flags, from, customer, identities, tariff })
}

fn slice(state: &State, names: &Names) -> EndpointSlice {
    let mode = if state.flags & PREPAID != 0 { Mode::Prepaid } else { Mode::Postpaid };
    let tariff = state.tariff.and_then(|tariff| names.tariffs.value(tariff)).cloned();
    EndpointSlice {
        from: state.from,
        customer: state.customer,
        is_active: state.flags & ACTIVE != 0,
        plan: (state.flags & HAS_PLAN != 0).then_some(PlanFacts { tariff, mode }),
    }
}

/// Who holds what when: from the state that brings an identity to the one that takes it away.
fn identities(states: &[State], endpoint: u32, mut add: impl FnMut(IdentityFacts)) {
    for (at, state) in states.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| states.get(before));
        for held in &state.identities {
            if before.is_some_and(|before| before.identities.contains(held)) {
                continue;
            }
            let end = states.iter().skip(at + 1).find(|later| !later.identities.contains(held));
            let (kind, digits) = *held;
            add(IdentityFacts { kind, digits, endpoint, from: state.from, until: end.map(|later| later.from) });
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn text<'p>(rest: &mut &'p [u8]) -> Option<&'p str> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Seven bits a byte, the lowest first.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let [byte] = take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
