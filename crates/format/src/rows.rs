//! Rows one after the other: what logs of changes and checkpoints consist of.
//!
//! Each begins with a [`RowByte`], which says what follows: its key, and then, except for [`RowByte::Account`], its value behind its length and one; 0 says
//! that the row is gone. Numbers are little-endian.

use crate::field::Value;
use crate::first_byte::RowByte;
use crate::values::{StoredElement, StoredInstance, StoredTemplate, StoredZone};
use crate::{Corrupt, number};
use rating::bundle::{BundleTemplate, Instance};
use rating::bundles::InstanceKey;
use rating::dictionary::KnownTemplate;
use rating::state::{EndpointKey, EndpointRowKey, HashedKey, Row};
use rating::{AccountId, AccountNumber, Element, MatchKeys, State, UsageMatch, Zone};
use std::sync::Arc;

/// Writes rows one after the other; what it writes has to be read by one [`RowReader`].
#[derive(Debug, Default)]
pub struct RowWriter {
    /// Whose rows follow.
    account: Option<AccountId>,
    value: Vec<u8>,
}

impl RowWriter {
    /// Begins a new message: what was written before will not be read with it.
    pub fn restart(&mut self) {
        self.account = None;
    }

    /// Appends a row.
    pub fn write(&mut self, row: &Row<'_>, out: &mut Vec<u8>) {
        match row {
            Row::Zone(address, zone) => {
                out.push(RowByte::Zone as u8);
                out.extend_from_slice(&address.to_le_bytes());
                self.value(zone.map(StoredZone::of).as_ref(), out);
            }
            Row::Template(address, template) => {
                out.push(RowByte::Template as u8);
                out.extend_from_slice(&address.to_le_bytes());
                self.value(template.map(stored_template).as_ref(), out);
            }
            Row::Account(id, head) => {
                out.push(RowByte::Head as u8);
                number::write_sized(id.as_str().as_bytes(), out);
                self.account = Some((*id).clone());
                self.value(*head, out);
            }
            Row::Timeline(id, timeline) => {
                self.account(id, out);
                out.push(RowByte::Timeline as u8);
                self.value(*timeline, out);
            }
            Row::Counter(id, key, counter) => self.hashed(RowByte::Counter, id, *key, *counter, out),
            Row::Cap(id, key, cap) => self.hashed(RowByte::Cap, id, *key, *cap, out),
            Row::Session(id, endpoint, key, session) => {
                self.of_endpoint(RowByte::Session, id, *endpoint, *key, *session, out);
            }
            Row::SessionCounter(id, endpoint, key, counter) => {
                self.of_endpoint(RowByte::SessionCounter, id, *endpoint, *key, *counter, out);
            }
            Row::Instance(id, key, instance) => {
                self.account(id, out);
                out.push(RowByte::Instance as u8);
                match &key.holder {
                    Some(holder) => {
                        number::write(holder.len() as u128 + 1, out);
                        out.extend_from_slice(holder.as_bytes());
                    }
                    None => out.push(0),
                }
                number::write_sized(key.id.as_bytes(), out);
                self.value(instance.map(stored_instance).as_ref(), out);
            }
        }
    }

    fn account(&mut self, id: &AccountId, out: &mut Vec<u8>) {
        if self.account.as_ref() != Some(id) {
            out.push(RowByte::Account as u8);
            number::write_sized(id.as_str().as_bytes(), out);
            self.account = Some(id.clone());
        }
    }

    /// A row whose key is a hash.
    fn hashed<T: Value>(&mut self, first: RowByte, id: &AccountId, key: u128, value: Option<&T>, out: &mut Vec<u8>) {
        self.account(id, out);
        out.push(first as u8);
        out.extend_from_slice(&key.to_le_bytes());
        self.value(value, out);
    }

    /// A row whose key is a hash within an endpoint.
    fn of_endpoint<T: Value>(
        &mut self,
        first: RowByte,
        id: &AccountId,
        endpoint: EndpointKey,
        key: u128,
        value: Option<&T>,
        out: &mut Vec<u8>,
    ) {
        self.account(id, out);
        out.push(first as u8);
        out.extend_from_slice(&endpoint.0.to_le_bytes());
        out.extend_from_slice(&key.to_le_bytes());
        self.value(value, out);
    }

    fn value<T: Value>(&mut self, value: Option<&T>, out: &mut Vec<u8>) {
        let Some(value) = value else {
            out.push(0);
            return;
        };
        self.value.clear();
        value.write(&mut self.value);
        number::write(self.value.len() as u128 + 1, out);
        out.extend_from_slice(&self.value);
    }
}

fn stored_template(template: &KnownTemplate) -> StoredTemplate {
    // Destructured without `..`, so that a new field does not compile until it is written.
    let BundleTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements } = &**template;
    let stored = elements.iter().zip(&template.zones).map(|(element, zone)| {
        let Element { priority, applies, unit, amount, class } = element;
        let UsageMatch { service, zone: _, keys } = applies;
        let MatchKeys { rating_group, apn, rat, direction, sponsor } = &**keys;
        StoredElement {
            priority: *priority,
            service: service.clone(),
            zone: *zone,
            rating_group: *rating_group,
            apn: apn.clone(),
            rat: rat.clone(),
            direction: direction.clone(),
            sponsor: sponsor.clone(),
            unit: *unit,
            amount: *amount,
            class: *class,
        }
    });
    StoredTemplate {
        id: id.clone(),
        currency: *currency,
        fee: *fee,
        starts: *starts,
        lasts: *lasts,
        scope: *scope,
        promotional: *promotional,
        warn_at: warn_at.to_vec(),
        elements: stored.collect(),
    }
}

fn known_template(address: u128, stored: StoredTemplate) -> KnownTemplate {
    let StoredTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements } = stored;
    let zones = elements.iter().map(|element| element.zone).collect();
    let awaited = Arc::new(Zone::root());
    let elements = elements.into_iter().map(|stored| {
        let StoredElement {
            priority,
            service,
            zone: _,
            rating_group,
            apn,
            rat,
            direction,
            sponsor,
            unit,
            amount,
            class,
        } = stored;
        let keys = MatchKeys { rating_group, apn, rat, direction, sponsor }.into();
        Element { priority, applies: UsageMatch { service, zone: awaited.clone(), keys }, unit, amount, class }
    });
    let elements = elements.collect();
    let warn_at = warn_at.into();
    let template = BundleTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements };
    KnownTemplate::restored(address, zones, template)
}

fn stored_instance(instance: &Instance) -> StoredInstance {
    let Instance {
        id: _,
        template,
        payee,
        endpoint,
        granted_at,
        phase,
        terminated_at,
        statuses,
        allowances,
        activation_failed,
    } = instance;
    StoredInstance {
        template: template.address,
        payee: payee.clone(),
        endpoint: endpoint.clone(),
        granted_at: *granted_at,
        phase: *phase,
        terminated_at: *terminated_at,
        statuses: statuses.clone(),
        allowances: allowances.to_vec(),
        activation_failed: *activation_failed,
    }
}

/// Puts back the rows of one message.
#[derive(Debug, Default)]
pub struct RowReader {
    account: Option<AccountNumber>,
}

impl RowReader {
    /// The account whose rows follow a first byte, where that says so: for whoever keeps accounts apart.
    ///
    /// # Errors
    /// Bytes that are no name.
    pub fn account_of(first: RowByte, mut input: &[u8]) -> Result<Option<&str>, Corrupt> {
        match first {
            RowByte::Account | RowByte::Head => number::take_text(&mut input).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes a row, of which the first byte was taken already, and puts it back as written in a cycle.
    ///
    /// # Errors
    /// Bytes that are no row.
    pub fn read(&mut self, first: RowByte, input: &mut &[u8], state: &mut State, cycle: u32) -> Result<(), Corrupt> {
        match first {
            RowByte::Account => {
                let id = AccountId::new(number::take_text(input)?);
                self.account = Some(state.restored_account(&id));
            }
            RowByte::Zone => {
                let address = address(input)?;
                let zone: Option<StoredZone> = value(input)?;
                state.dictionary_mut().restore_zone(address, zone.map(StoredZone::into_zone), cycle);
            }
            RowByte::Template => {
                let address = address(input)?;
                let template: Option<StoredTemplate> = value(input)?;
                let template = template.map(|stored| known_template(address, stored));
                state.dictionary_mut().restore_template(address, template, cycle);
            }
            RowByte::Head => {
                let id = AccountId::new(number::take_text(input)?);
                let head = value(input)?;
                if head.is_none() {
                    return Corrupt::new("the head of an account", input);
                }
                state.restore_head(&id, head, cycle);
                self.account = Some(state.restored_account(&id));
            }
            RowByte::Timeline => state.restore_timeline(self.account(input)?, value(input)?, cycle),
            RowByte::Counter => state.restore_counter(&self.hashed_key(input)?, value(input)?, cycle),
            RowByte::Cap => state.restore_cap(&self.hashed_key(input)?, value(input)?, cycle),
            RowByte::Session => state.restore_session(&self.endpoint_key(input)?, value(input)?, cycle),
            RowByte::SessionCounter => state.restore_session_counter(&self.endpoint_key(input)?, value(input)?, cycle),
            RowByte::Instance => {
                let key = self.instance_key(input)?;
                let stored: Option<StoredInstance> = value(input)?;
                let instance = stored.map(|stored| instance(&key, stored, state));
                state.restore_instance(&key, instance, cycle);
            }
        }
        Ok(())
    }

    fn account(&self, input: &[u8]) -> Result<AccountNumber, Corrupt> {
        self.account.map_or_else(|| Corrupt::new("an account before its rows", input), Ok)
    }

    fn hashed_key(&self, input: &mut &[u8]) -> Result<HashedKey, Corrupt> {
        Ok(HashedKey { account: self.account(input)?, key: address(input)? })
    }

    fn endpoint_key(&self, input: &mut &[u8]) -> Result<EndpointRowKey, Corrupt> {
        let account = self.account(input)?;
        let endpoint = EndpointKey(u64::from_le_bytes(number::take_array(input)?));
        Ok(EndpointRowKey { account, endpoint, key: address(input)? })
    }

    fn instance_key(&self, input: &mut &[u8]) -> Result<InstanceKey, Corrupt> {
        let account = self.account(input)?;
        let length = number::read_length(input)?.checked_sub(1);
        let holder = length.map(|length| number::take(length, input)).transpose()?;
        let holder = holder.map(std::str::from_utf8).transpose().or(Corrupt::new("text in UTF-8", input))?;
        Ok(InstanceKey { account, holder: holder.map(Arc::from), id: Arc::from(number::take_text(input)?) })
    }
}

fn instance(key: &InstanceKey, stored: StoredInstance, state: &mut State) -> Instance {
    let StoredInstance {
        template,
        payee,
        endpoint,
        granted_at,
        phase,
        terminated_at,
        statuses,
        allowances,
        activation_failed,
    } = stored;
    Instance {
        id: key.id.clone(),
        template: state.dictionary_mut().awaited(template),
        payee,
        endpoint,
        granted_at,
        phase,
        terminated_at,
        statuses,
        allowances: allowances.into(),
        activation_failed,
    }
}

fn address(input: &mut &[u8]) -> Result<u128, Corrupt> {
    number::take_array(input).map(u128::from_le_bytes)
}

/// Takes a value behind its length and one; `None` where the row is gone.
fn value<T: Value>(input: &mut &[u8]) -> Result<Option<T>, Corrupt> {
    let Some(length) = number::read_length(input)?.checked_sub(1) else { return Ok(None) };
    let mut bytes = number::take(length, input)?;
    let value = T::read(&mut bytes)?;
    if bytes.is_empty() { Ok(Some(value)) } else { Corrupt::new("the end of a row", bytes) }
}

#[cfg(test)]
mod tests;
