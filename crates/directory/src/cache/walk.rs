//! Walks through the endpoints of a store, for what they cause without a record: bundles that their plans grant, and what their accounts are told. No snapshot of a batch holds it.
//! Who carries it out goes through the endpoints part by part, and reads those that changed meanwhile; who does not has to know whether there are grants.

use super::Cache;
use super::rows::{EndpointRow, FoundRows, IdentityKey, KeyKind, Rows, SCAN_PARTS, StoreError};
use super::shared::{Shared, in_time};
use crate::compile;
use crate::model::{Endpoint, Reference};
use crate::needs::{Changed, SaidOfEndpoints, Unavailable, Walk};
use crate::read::read_endpoint;
use crate::snapshot::{Catalog, EndpointSlice, Grant};
use rating::{AccountId, BundleScope};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, mpsc};
use tokio::task::JoinSet;

/// Parts that are read at once.
const AT_ONCE: usize = 8;
/// Limits how often a part is tried that the store did not answer.
const ATTEMPTS: u32 = 5;

/// Returns whether any endpoint has a plan with bundles at some time. Without any, every definition was read.
pub(super) async fn has_plans_with_bundles<R: Rows>(shared: &Arc<Shared<R>>) -> Result<bool, StoreError> {
    let mut parts = 0..SCAN_PARTS;
    let mut reading = JoinSet::new();
    loop {
        for part in parts.by_ref().take(AT_ONCE - reading.len()) {
            let shared = shared.clone();
            reading.spawn(async move { are_in(&shared, part).await });
        }
        let Some(done) = reading.join_next().await else { return Ok(false) };
        if done.map_err(|error| StoreError::Unavailable(format!("reading plans was given up: {error}")))?? {
            return Ok(true);
        }
    }
}

async fn are_in<R: Rows>(shared: &Shared<R>, part: u32) -> Result<bool, StoreError> {
    let mut attempt = 1;
    loop {
        let head = shared.present().head.clone();
        match in_time(shared.settings.read_timeout, shared.rows.scan(&head, part, &[KeyKind::Name])).await {
            Ok(rows) => return Ok(rows.iter().flat_map(|(_, rows)| rows).any(grants)),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => tokio::time::sleep(shared.settings.poll).await,
        }
        attempt += 1;
    }
}

fn grants(row: &EndpointRow) -> bool {
    row.definition.as_deref().is_ok_and(|definition| has_bundles(&row.endpoint, definition))
}

/// Returns whether an endpoint has a plan with bundles at some time.
pub(crate) fn has_bundles(name: &str, definition: &str) -> bool {
    // Reading a definition costs far more than looking for the key, and few have it.
    definition.contains("bundles")
        && read_endpoint(name, definition)
            .is_ok_and(|endpoint| endpoint.plans().any(|(_, plan)| !plan.bundles.is_empty()))
}

/// Returns what the plans of an endpoint grant. What names no bundle that there is was refused when it was written.
fn grants_of(name: &str, endpoint: &Endpoint, catalog: &Catalog) -> Vec<Grant> {
    let mut seen = BTreeSet::new();
    let of_plan = endpoint.plans().flat_map(|(start, plan)| plan.bundles.iter().map(move |grant| (start, plan, grant)));
    let granted = of_plan.filter_map(|(start, plan, grant)| {
        let (at, state) = endpoint.granted(start, plan, grant);
        let own = catalog.bundle(&grant.bundle.value)?.scope == BundleScope::Endpoint;
        let account = AccountId::of_endpoint(&state?.customer.value, name).as_str().to_owned();
        let granted = Grant::new(account, &grant.bundle.value, own.then_some(name), at);
        seen.insert(granted.command_id.clone()).then_some(granted)
    });
    granted.collect()
}

/// Collects what endpoints under keys cause. A definition that cannot be read costs its endpoint alone, and is told where a batch asks for it.
fn said_in(rows: &FoundRows, catalog: &Catalog) -> SaidOfEndpoints {
    let mut said = SaidOfEndpoints::default();
    for EndpointRow { endpoint: name, definition } in rows.iter().flat_map(|(_, rows)| rows) {
        // Without a plan it has no account of its own.
        let Some(definition) = definition.as_deref().ok().filter(|definition| definition.contains("plan")) else {
            continue;
        };
        let Ok(endpoint) = read_endpoint(name, definition) else { continue };
        said.grants.extend(grants_of(name, &endpoint, catalog));
        let customer = |customer: &Reference| catalog.position_of(&AccountId::new(&customer.value));
        let slices: Option<Vec<EndpointSlice>> = compile::slices(&endpoint, customer, |_| None).collect();
        // It names an account that is not there: its records wait.
        let Some(slices) = slices else { continue };
        said.timelines.extend(catalog.timelines_of_endpoint(name, slices.into_iter()));
    }
    said
}

impl<R: Rows> Cache<R> {
    /// Has something read on the runtime, and waits for it.
    fn wait_for<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.shared.check_confirmed()?;
        if let Some(why) = self.shared.away() {
            return Err(Unavailable(why));
        }
        let (tell, told) = mpsc::sync_channel(1);
        self.runtime.spawn(async move { drop(tell.send(read.await)) });
        let told = told.recv().map_err(|_| Unavailable("the read was given up".to_owned()))?;
        told.map_err(|error| Unavailable(error.to_string()))
    }
}

impl<R: Rows> Walk for Cache<R> {
    fn parts(&self) -> u32 {
        SCAN_PARTS
    }

    fn of_part(&self, part: u32) -> Result<SaidOfEndpoints, Unavailable> {
        let (shared, epoch) = (self.shared.clone(), self.shared.present().clone());
        self.wait_for(async move {
            let read = shared.rows.scan(&epoch.head, part, &[KeyKind::Name]);
            // A part of a large store is many endpoints.
            let rows = shared.checked(&epoch, in_time(shared.settings.catalog_timeout, read)).await?;
            Ok(said_in(&rows, &epoch.catalog))
        })
    }

    fn of_endpoints(&self, endpoints: &[Box<str>]) -> Result<SaidOfEndpoints, Unavailable> {
        let (shared, epoch) = (self.shared.clone(), self.shared.present().clone());
        let keys: Vec<_> = endpoints.iter().cloned().map(IdentityKey::Name).collect();
        self.wait_for(async move {
            let mut found = FoundRows::default();
            for keys in keys.chunks(shared.settings.keys_per_read.max(1)) {
                let read = shared.rows.endpoints(&epoch.head, keys);
                found.extend(shared.checked(&epoch, in_time(shared.settings.read_timeout, read)).await?);
            }
            Ok(said_in(&found, &epoch.catalog))
        })
    }

    fn take_changed(&self) -> Changed {
        self.shared.take_changed()
    }
}
