//! Endpoints as few bytes as possible: what is kept of them in memory.
//!
//! All endpoints under one key stand one behind the other: name, number of states, states. A state is a byte of flags, the first moment
//! (not for the first state), the customer's number, the identities that the flags tell (nine bytes each) and the plan's tariff.

use super::epoch::Names;
use super::rows::{EndpointRow, StoreError};
use crate::model::{BEGINNING, Endpoint, IdentityKind};
use crate::read::read_endpoint;
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

/// All endpoints that are found under a key at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed(Arc<[u8]>);

/// What holds from a moment on.
struct State {
    flags: u8,
    from: Timestamp,
    /// Position of the customer.
    customer: u32,
    identities: [Digits; 3],
    tariff: Option<u32>,
}

impl Packed {
    /// Packs what a store holds under a key.
    ///
    /// # Errors
    /// A definition that cannot be read, or names what the catalog of the epoch does not have.
    pub(super) fn pack(rows: &[EndpointRow], names: &Names) -> Result<Packed, StoreError> {
        let mut out = Vec::with_capacity(64 * rows.len());
        for EndpointRow { endpoint: name, definition } in rows {
            let in_words = |what: String| StoreError::Corrupt(format!("endpoint \"{name}\": {what}"));
            let endpoint = read_endpoint(name, definition).map_err(in_words)?;
            write_endpoint(name, &endpoint, names, &mut out).map_err(in_words)?;
        }
        Ok(Packed(out.into()))
    }

    /// How many bytes that are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the endpoints to those of a batch, unless they are there. `None` if they name what the epoch does not have.
    pub(super) fn unpack(&self, catalog: &Catalog, names: &Names, endpoints: &mut Endpoints) -> Option<()> {
        let mut rest = &*self.0;
        while !rest.is_empty() {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (name, after) = rest.split_at_checked(length)?;
            rest = after;
            let count = usize::try_from(number(&mut rest)?).ok()?;
            let mut states: SmallVec<[State; 2]> = SmallVec::with_capacity(count);
            for at in 0..count {
                states.push(read_state(at == 0, names, &mut rest)?);
            }
            let slices = states.iter().map(|state| slice(state, names));
            let added = endpoints.add(catalog, Arc::from(std::str::from_utf8(name).ok()?), slices);
            if let Ok(endpoint) = added {
                identities(&states, endpoint, |identity| endpoints.add_identity(identity));
            }
        }
        Some(())
    }
}

fn write_endpoint(name: &str, endpoint: &Endpoint, names: &Names, out: &mut Vec<u8>) -> Result<(), String> {
    write_number(name.len() as u64, out);
    out.extend_from_slice(name.as_bytes());
    let states = endpoint.states();
    write_number(states.len() as u64, out);
    for (at, (from, state)) in states.iter().enumerate() {
        let mut flags = if state.is_active() { ACTIVE } else { 0 };
        for (bit, identity) in state.identities.iter().enumerate() {
            flags |= if identity.is_some() { HAS_IDENTITY << bit } else { 0 };
        }
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
                tariff = Some(number.ok_or_else(|| format!("tariff \"{}\" is not defined", name.value))?);
            }
        }
        let customer = names.accounts.number(&state.customer.value);
        let customer = customer.ok_or_else(|| format!("account \"{}\" is not defined", state.customer.value))?;
        out.push(flags);
        if at > 0 {
            out.extend_from_slice(&from.millis().to_le_bytes());
        }
        write_number(customer.into(), out);
        for identity in state.identities.iter().flatten() {
            out.extend_from_slice(&identity.value.to_bytes());
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
    let mut identities = [Digits::NONE; 3];
    for (bit, identity) in identities.iter_mut().enumerate() {
        if flags & (HAS_IDENTITY << bit) != 0 {
            *identity = Digits::from_bytes(take(rest)?);
        }
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
    for kind in IdentityKind::ALL {
        let held = |state: &State| state.identities.get(kind as usize).copied().unwrap_or_default();
        let mut before = Digits::NONE;
        for (at, state) in states.iter().enumerate() {
            let digits = held(state);
            if digits != before && !digits.is_none() {
                let end = states.iter().skip(at + 1).find(|later| held(later) != digits);
                let until = end.map(|later| later.from);
                add(IdentityFacts { kind, digits, endpoint, from: state.from, until });
            }
            before = digits;
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
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
