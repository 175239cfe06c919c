//! A change of some definitions, planned and validated before anything is written.
//!
//! What is validated is the catalogue as it would be, with the changed endpoints and every other one that they could collide with: those
//! that ever have one of their identities, and those that grants of accounts name. Only where a change could reach any endpoint (something
//! is removed, or is no longer what endpoints may lean on) all of them are read.

use super::change::{Change, identities};
use super::definition::{Definition, Files, Kind, field, read_files, span_of, with_tree};
use super::rows::{definitions, endpoint_definition, store_input};
use super::write::Author;
use super::{Error, Store, TakeOver};
use crate::cache::{Head, IdentityKey, Version};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Refused};
use crate::load::{Input, load};
use crate::yaml::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A definition that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
}

impl std::str::FromStr for Removal {
    type Err = String;

    fn from_str(text: &str) -> Result<Removal, String> {
        let wrong = || format!("\"{text}\" is not KIND:NAME, such as endpoint:meter-1");
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind = Kind::parse(kind).ok_or_else(wrong)?;
        Ok(Removal { kind, name: Box::from(name) })
    }
}

/// What would be written, and on top of what.
#[derive(Debug)]
pub struct Plan {
    head: Head,
    changes: Vec<Change>,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// The store did not answer, or does not hold what was named.
    Store(Error),
    /// The directory would not be valid.
    Refused(Box<Refused>),
}

impl From<Error> for PlanError {
    fn from(error: Error) -> PlanError {
        PlanError::Store(error)
    }
}

type Bodies = BTreeMap<(Kind, Box<str>), Box<str>>;

impl Plan {
    /// What would be written, by kind and name.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The version of the store that this was planned on.
    pub fn base(&self) -> Version {
        self.head.version
    }
}

impl Store {
    /// Plans to give the definitions that stand in these inputs the form that they have there, and to remove some.
    ///
    /// # Errors
    /// [`PlanError::Refused`] with everything that is wrong, at its place in the inputs or in what the store holds.
    pub async fn plan(&self, inputs: &[Input], removals: &[Removal]) -> Result<Plan, PlanError> {
        let files = read_files(inputs).map_err(|refused| PlanError::Refused(Box::new(refused)))?;
        let head = self.head_to_write().await?.head;
        let mut held = self.definitions(&head).await?;
        let mut named: BTreeSet<Box<str>> = of_kind(&files.definitions, Kind::Endpoint);
        named.extend(
            removals.iter().filter(|removal| removal.kind == Kind::Endpoint).map(|removal| removal.name.clone()),
        );
        for endpoint in self.named_endpoints(&head, named).await? {
            held.insert((endpoint.kind, endpoint.name), endpoint.body);
        }
        let changes = changes_of(&files, removals, &held)?;
        if !changes.is_empty() {
            let in_files = check_fixed(files, &changes)?;
            self.validate(inputs, &head, held, &changes, in_files).await?;
        }
        Ok(Plan { head, changes })
    }

    /// Writes what was planned, unless somebody else wrote meanwhile. `progress` hears how many definitions are written.
    ///
    /// # Errors
    /// See [`Error`]; nothing of it counts then.
    pub async fn apply(
        &self,
        plan: &Plan,
        author: Author,
        take_over: TakeOver,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Version, Error> {
        let writer = self.begin(&plan.head, author, take_over).await?;
        writer.finish(&plan.changes, progress).await
    }

    /// By `load`, as files are.
    async fn validate(
        &self,
        inputs: &[Input],
        head: &Head,
        held: Bodies,
        changes: &[Change],
        in_files: Vec<Definition>,
    ) -> Result<(), PlanError> {
        let mut rest: Bodies = held.into_iter().filter(|((kind, _), _)| *kind != Kind::Endpoint).collect();
        // What the files say stands in them, changed or not.
        let in_files_too = in_files.iter().map(|written| (written.kind, written.name.clone()));
        let written: BTreeSet<(Kind, Box<str>)> =
            changes.iter().map(|change| (change.kind, change.name.clone())).chain(in_files_too).collect();
        rest.retain(|key, _| !written.contains(key));
        let others = definitions(rest);
        let endpoints = if changes.iter().any(reaches_all_endpoints) {
            let all = self.all_endpoints(head, &mut |_| {}).await?;
            all.into_iter().map(|(name, body)| Definition { kind: Kind::Endpoint, name, body }).collect()
        } else {
            let mut found = self.named_endpoints(head, granted_endpoints(others.iter().chain(&in_files))).await?;
            let keys: Vec<IdentityKey> = changes.iter().filter_map(after).flat_map(|new| identities_of(&new)).collect();
            let rows = self.endpoints_at(head, &keys).await?;
            for row in rows.into_iter().flat_map(|(_, rows)| rows) {
                found.push(endpoint_definition(row, head)?);
            }
            found
        };
        let endpoints: BTreeMap<Box<str>, Definition> =
            endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), endpoint)).collect();
        let endpoints =
            endpoints.into_values().filter(|endpoint| !written.contains(&(Kind::Endpoint, endpoint.name.clone())));
        let stored: Vec<Definition> = others.into_iter().chain(endpoints).collect();
        let all: Vec<Input> = inputs.iter().cloned().chain([store_input(head, &stored)]).collect();
        load(all).map(|_| ()).map_err(|refused| PlanError::Refused(Box::new(refused)))
    }
}

fn of_kind(definitions: &[Definition], kind: Kind) -> BTreeSet<Box<str>> {
    definitions.iter().filter(|definition| definition.kind == kind).map(|definition| definition.name.clone()).collect()
}

fn after(change: &Change) -> Option<Definition> {
    let body = change.new.clone()?;
    Some(Definition { kind: change.kind, name: change.name.clone(), body })
}

fn identities_of(definition: &Definition) -> Vec<IdentityKey> {
    let endpoint = (definition.kind == Kind::Endpoint)
        .then(|| super::change::read_endpoint(&definition.name, &definition.body))
        .flatten();
    endpoint.iter().flat_map(identities).collect()
}

fn changes_of(files: &Files, removals: &[Removal], held: &Bodies) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for Definition { kind, name, body } in &files.definitions {
        let old = held.get(&(*kind, name.clone()));
        if old != Some(body) {
            changes.push(Change::new(*kind, name.clone(), old.cloned(), Some(body.clone())));
        }
    }
    let mut missing = Vec::new();
    for Removal { kind, name } in removals.iter().collect::<BTreeSet<_>>() {
        if span_of(&files.model, *kind, name).is_some() {
            missing.push(format!("{} \"{name}\" is defined by a file and to be removed as well", kind.as_str()));
            continue;
        }
        match held.get(&(*kind, name.clone())) {
            Some(old) => {
                changes.push(Change::new(*kind, name.clone(), Some(old.clone()), None));
            }
            None => missing.push(format!("{} \"{name}\" is to be removed, and the store has none", kind.as_str())),
        }
    }
    if !missing.is_empty() {
        return Err(Error::Usage(missing.join("\n       ")));
    }
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(changes)
}

/// What of an account is fixed for ever: balances are in its currency (rule 8).
///
/// # Errors
/// A currency that is another one; else the definitions of the files again.
pub(super) fn check_fixed(files: Files, changes: &[Change]) -> Result<Vec<Definition>, PlanError> {
    let mut errors = Diagnostics::new();
    for change in changes.iter().filter(|change| change.kind == Kind::Account) {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { continue };
        let (before, after) = (field(old, "currency"), field(new, "currency"));
        let account = files.model.accounts.get(&change.name);
        let (Some(before), Some(after), Some(account)) = (before, after, account) else { continue };
        if before != after {
            let message = format!(
                "account \"{}\": a change of an account's currency is not possible: it is in {before}",
                change.name
            );
            let diagnostic = Diagnostic::new(Code::NotSupported, account.currency.span, message);
            errors.push(diagnostic.label(format!("was {before}")).help("define a new account"));
        }
    }
    if errors.is_empty() {
        return Ok(files.definitions);
    }
    Err(PlanError::Refused(Box::new(Refused { sources: files.sources, diagnostics: errors })))
}

/// What endpoints may lean on, by kind: where one of these is another one, any endpoint may be concerned.
fn leant_on(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Account => &["kind", "currency"],
        Kind::Tariff => &["currency", "alias_of"],
        Kind::Bundle => &["currency", "price", "starts", "lasts", "scope"],
        Kind::Zone | Kind::Endpoint => &[],
    }
}

fn reaches_all_endpoints(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => leant_on(change.kind).iter().any(|key| field(old, key) != field(new, key)),
        (Some(_), None) => matches!(change.kind, Kind::Account | Kind::Tariff | Kind::Bundle),
        (None, _) => false,
    }
}

/// Names of endpoints that grants of accounts name.
pub(super) fn granted_endpoints<'d>(definitions: impl Iterator<Item = &'d Definition>) -> BTreeSet<Box<str>> {
    let mut names = BTreeSet::new();
    for account in definitions.filter(|definition| definition.kind == Kind::Account) {
        // Most accounts have none, and need not be read for that.
        if account.body.contains("endpoint: ") {
            with_tree(&account.body, |root| collect_endpoints(root, &mut names));
        }
    }
    names
}

/// Values of `endpoint` in the list `bundles`.
fn collect_endpoints(account: &Node<'_>, names: &mut BTreeSet<Box<str>>) {
    let under = |node: &Node<'_>, wanted: &str| match &node.value {
        Value::Map(entries) => entries.iter().position(|entry| entry.key == wanted),
        Value::Scalar(_) | Value::List(_) | Value::Broken => None,
    };
    let Value::Map(entries) = &account.value else { return };
    let Some(Value::List(grants)) = under(account, "bundles").map(|at| &entries[at].value.value) else { return };
    for grant in grants {
        let (Value::Map(fields), Some(at)) = (&grant.value, under(grant, "endpoint")) else { continue };
        if let Value::Scalar(name) = &fields[at].value.value {
            names.insert(Box::from(&*name.text));
        }
    }
}
