//! One endpoint, as the store has it, and whom it belongs to at a moment.

use super::definition::Definition;
use super::rows::{endpoint_definition, store_input};
use super::{Error, Store};
use crate::cache::{EndpointRow, IdentityKey, Version};
use crate::load::load;
use crate::model::{EndpointStatus, IdentityKind};
use crate::value::Digits;
use rating::{SuspenseReason, Timestamp, UsageRecord};
use std::collections::BTreeSet;

/// An endpoint at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The version of the store that says so.
    pub version: Version,
    /// Its name.
    pub endpoint: Box<str>,
    /// Its whole definition.
    pub definition: Box<str>,
    /// The customer it belongs to then.
    pub customer: String,
    /// Whether it is switched on then.
    pub status: EndpointStatus,
    /// IMSIs, ICCID and MSISDN that it has then.
    pub identities: [Vec<String>; 3],
    /// Why a record of that moment would wait; none: it is rated.
    pub waits: Option<SuspenseReason>,
    /// The edges on which a record of that moment is charged, lowest first.
    pub edges: Vec<FoundEdge>,
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEdge {
    /// Its level.
    pub level: u8,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub payee: String,
    /// By which tariff; none: by no tariff, or none is to be found.
    pub tariff: Option<String>,
}

/// What an endpoint is asked for by: `imsi:`, `iccid:` or `msisdn:` and digits, or its name.
///
/// # Errors
/// What is wrong with it.
pub fn parse_key(text: &str) -> Result<IdentityKey, String> {
    let Some((kind, digits)) = text.split_once(':') else { return Ok(IdentityKey::Name(Box::from(text))) };
    let kind = IdentityKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = kind.ok_or_else(|| format!("\"{text}\": an identity is imsi:, iccid: or msisdn: and digits"))?;
    let digits = Digits::parse(digits).ok_or_else(|| format!("\"{text}\": an identity is at most 20 digits"))?;
    Ok(IdentityKey::Identity(kind, digits))
}

impl Store {
    /// The endpoint that is found by a key at a moment; none: nobody has it then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, key: &IdentityKey, at: Timestamp) -> Result<Option<Found>, Error> {
        let head = self.head_row().await?.head;
        let rows = self.endpoints_at(&head, std::slice::from_ref(key)).await?;
        let rows: Vec<EndpointRow> = rows.into_iter().flat_map(|(_, rows)| rows).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let mut catalog = super::rows::definitions(self.definitions(&head).await?);
        let mut granted = super::plan::granted_endpoints(catalog.iter());
        let asked: BTreeSet<Box<str>> = rows.iter().map(|row| row.endpoint.clone()).collect();
        granted.retain(|name| !asked.contains(name));
        catalog.extend(self.named_endpoints(&head, granted).await?);
        let found: Vec<Definition> =
            rows.into_iter().map(|row| endpoint_definition(row, &head)).collect::<Result<_, Error>>()?;
        catalog.extend(found.iter().cloned());
        let broken = |error| Error::Corrupt(format!("what it holds does not validate:\n{error}"));
        let loaded = load(vec![store_input(&head, &catalog)]).map_err(broken)?;
        for Definition { name: endpoint, body: definition, .. } in found {
            let Some(model) = loaded.model.endpoints.get(&endpoint) else { continue };
            let states = model.states();
            let Some((_, state)) = states.iter().rev().find(|(from, _)| *from <= at) else { continue };
            if let IdentityKey::Identity(kind, digits) = key
                && !state.identities[*kind as usize].iter().any(|held| held.value == *digits)
            {
                continue;
            }
            let usage = usage_of(&endpoint, at);
            let (waits, edges) = match loaded.snapshot.lineage_for(&usage) {
                Err(reason) => (Some(reason), Vec::new()),
                Ok(lineage) => {
                    let edge = |step: &crate::snapshot::LineageEdge| FoundEdge {
                        level: step.edge.level,
                        payer: step.edge.payer.as_str().to_owned(),
                        payee: step.edge.payee.as_str().to_owned(),
                        tariff: step.tariff().map(|tariff| tariff.id().to_string()),
                    };
                    (None, lineage.edges().map(edge).collect())
                }
            };
            return Ok(Some(Found {
                version: head.version,
                customer: state.customer.value.to_string(),
                status: state.status,
                identities: state.identities.map(|held| held.iter().map(|held| held.value.to_string()).collect()),
                endpoint,
                definition,
                waits,
                edges,
            }));
        }
        Ok(None)
    }

    /// The definition of one thing of the catalogue; none: there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn definition(&self, kind: super::Kind, name: &str) -> Result<Option<Definition>, Error> {
        let head = self.head_row().await?.head;
        let held = self.definitions(&head).await?;
        let body = held.get(&(kind, Box::from(name))).cloned();
        Ok(body.map(|body| Definition { kind, name: Box::from(name), body }))
    }
}

/// A record of an endpoint that names nothing else.
fn usage_of(endpoint: &str, at: Timestamp) -> UsageRecord {
    UsageRecord { endpoint_id: Some(Box::from(endpoint)), ..UsageRecord::new("", "", "data", at) }
}
