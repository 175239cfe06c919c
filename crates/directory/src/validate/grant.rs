//! Grants: bundles that reference data gives to accounts and to plans.

use hashbrown::HashMap;
use rating::{BundleScope, Starts, Timestamp};

use super::{Check, Hierarchy, NameKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Bundle, Endpoint, Grant, Plan};
use crate::read::Thing;
use crate::source::Span;

/// Checks all grants, and returns them as commands in the order of their moments.
pub(crate) fn check_grants(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>) -> Vec<crate::Grant> {
    let model = check.model;
    let mut grants = Grants { list: Vec::new(), seen: HashMap::new() };
    for (position, item) in model.accounts.items().iter().enumerate() {
        let Some(account) = &item.value else { continue };
        let thing = Thing { kind: "account", name: &item.name };
        for grant in &account.bundles {
            let Some(bundle) = check_bundle(check, thing, grant, account.currency.value) else { continue };
            let at = grant.at.map_or(Timestamp::EPOCH, |at| at.value);
            let endpoint = match check_scope(check, thing, grant, bundle, None) {
                Ok(endpoint) => endpoint,
                Err(()) => continue,
            };
            if endpoint.is_some() && !check_below(check, thing, grant, hierarchy, position, at) {
                continue;
            }
            grants.add(check, thing, grant, item.name.to_string(), endpoint, at);
        }
    }
    for item in model.endpoints.items() {
        let Some(endpoint) = &item.value else { continue };
        let thing = Thing { kind: "endpoint", name: &item.name };
        for (start, plan) in endpoint.plans() {
            check_plan(check, &mut grants, thing, endpoint, plan, start);
        }
    }
    grants.list.sort_by_key(|grant| grant.at);
    grants.list
}

struct Grants {
    list: Vec<crate::Grant>,
    seen: HashMap<String, Span>,
}

impl Grants {
    fn add(
        &mut self,
        check: &mut Check<'_, '_>,
        thing: Thing<'_>,
        grant: &Grant,
        account: String,
        endpoint: Option<&str>,
        at: Timestamp,
    ) {
        let bundle = &*grant.bundle.value;
        let granted = crate::Grant::new(account, bundle, endpoint, at);
        if let Some(first) = self.seen.get(&granted.command_id) {
            let diagnostic = Diagnostic::new(
                Code::GrantedTwice,
                grant.span,
                format!("{thing}: bundle \"{bundle}\" is granted twice"),
            );
            check.report(diagnostic.label("again here").related(*first, "first here"));
            return;
        }
        self.seen.insert(granted.command_id.clone(), grant.span);
        self.list.push(granted);
    }
}

/// The bundle, if it is defined, in the currency of its holder (rule 8), and granted with a start where it needs one.
fn check_bundle<'m>(
    check: &mut Check<'m, '_>,
    thing: Thing<'_>,
    grant: &Grant,
    currency: rating::Currency,
) -> Option<&'m Bundle> {
    let model = check.model;
    let at = check.find(&model.bundles, NameKind::Bundle, thing, &grant.bundle)?;
    let bundle = model.bundles.item(at).value.as_ref()?;
    let name = &grant.bundle.value;
    let before = check.count();
    if bundle.currency != currency {
        let message =
            format!("{thing}: bundle \"{name}\" is in {}, but the account pays in {currency}", bundle.currency);
        let diagnostic = Diagnostic::new(Code::CurrencyMismatch, grant.bundle.span, message);
        check.report(diagnostic.label(format!("in {}", bundle.currency)));
    }
    if grant.at.is_none() && bundle.lasts.is_some() && bundle.starts == Starts::Date {
        let message = format!("{thing}: the grant of bundle \"{name}\" does not say when it starts");
        let help = format!("write `{{ bundle: {name}, at: 2026-01-01T00:00:00Z }}`");
        check.report(Diagnostic::new(Code::GrantIncomplete, grant.span, message).label("needs `at`").help(help));
    }
    (check.count() == before).then_some(bundle)
}

/// The endpoint of a grant, for scope `endpoint`. In a plan it is the plan's `own`.
fn check_scope<'g>(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    grant: &'g Grant,
    bundle: &Bundle,
    own: Option<&'g str>,
) -> Result<Option<&'g str>, ()> {
    let name = &grant.bundle.value;
    match (bundle.scope, &grant.endpoint, own) {
        (BundleScope::Customer, None, _) => Ok(None),
        (BundleScope::Customer, Some(endpoint), _) => {
            let message = format!("{thing}: bundle \"{name}\" is a pool, so its grant names no endpoint");
            check
                .report(Diagnostic::new(Code::GrantEndpoint, endpoint.span, message).label("not for scope `customer`"));
            Err(())
        }
        (BundleScope::Endpoint, None, Some(own)) => Ok(Some(own)),
        (BundleScope::Endpoint, None, None) => {
            let message = format!("{thing}: the grant of bundle \"{name}\" does not name its endpoint");
            check.report(Diagnostic::new(Code::GrantIncomplete, grant.span, message).label("needs `endpoint`"));
            Err(())
        }
        (BundleScope::Endpoint, Some(endpoint), Some(own)) if *endpoint.value != *own => {
            let message = format!("{thing}: the grant of bundle \"{name}\" names another endpoint");
            check.report(
                Diagnostic::new(Code::GrantEndpoint, endpoint.span, message).help("leave out `endpoint` in a plan"),
            );
            Err(())
        }
        (BundleScope::Endpoint, Some(endpoint), _) => Ok(Some(&endpoint.value)),
    }
}

/// Whether the endpoint of a grant is below the account at some moment from the start of the grant on.
fn check_below(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    grant: &Grant,
    hierarchy: &Hierarchy<'_>,
    account: usize,
    start: Timestamp,
) -> bool {
    let model = check.model;
    let Some(name) = &grant.endpoint else { return true };
    let Some(at) = check.find(&model.endpoints, NameKind::Endpoint, thing, name) else { return false };
    let Some(endpoint) = &model.endpoints.item(at).value else { return false };
    if is_below(check, hierarchy, endpoint, account, start) {
        return true;
    }
    let message =
        format!("{thing}: endpoint \"{}\" is not below the account at any moment from {start} on", name.value);
    check.report(Diagnostic::new(Code::GrantEndpoint, name.span, message).label("not below"));
    false
}

fn is_below(
    check: &Check<'_, '_>,
    hierarchy: &Hierarchy<'_>,
    endpoint: &Endpoint,
    account: usize,
    start: Timestamp,
) -> bool {
    let model = check.model;
    let states = endpoint.states();
    states.iter().enumerate().any(|(number, (from, state))| {
        let until = states.get(number + 1).map(|(until, _)| *until);
        let first = start.max(*from);
        let Some(customer) = model.accounts.find(&state.customer.value) else { return false };
        if until.is_some_and(|until| until <= first) {
            return false;
        }
        // The path can change only where some account on it changes its parent.
        let moments = path_changes(hierarchy, customer)
            .into_iter()
            .filter(|at| *at > first && until.is_none_or(|until| *at < until));
        std::iter::once(first).chain(moments).any(|at| hierarchy.path(customer, at).any(|other| other == account))
    })
}

/// Moments at which a parent changes, of all accounts that can be reached upwards.
fn path_changes(hierarchy: &Hierarchy<'_>, account: usize) -> Vec<Timestamp> {
    let mut reached = vec![account];
    let mut moments = Vec::new();
    let mut next = 0;
    while let Some(&here) = reached.get(next) {
        next += 1;
        for (from, parent) in hierarchy.parents(here) {
            moments.push(*from);
            if let Some(parent) = parent.filter(|parent| !reached.contains(parent)) {
                reached.push(parent);
            }
        }
    }
    moments
}

/// Grants of a plan: they belong to the account of the endpoint at the customer that it has at that moment (detail G).
fn check_plan(
    check: &mut Check<'_, '_>,
    grants: &mut Grants,
    thing: Thing<'_>,
    endpoint: &Endpoint,
    plan: &Plan,
    start: Timestamp,
) {
    let model = check.model;
    for grant in &plan.bundles {
        let (at, state) = endpoint.granted(start, plan, grant);
        let Some(state) = state else {
            let span = grant.at.map_or(grant.span, |at| at.span);
            let message =
                format!("{thing}: bundle \"{}\" is granted at {at}, when the plan does not hold", grant.bundle.value);
            check.report(Diagnostic::new(Code::GrantOutsidePlan, span, message).label("outside the plan"));
            continue;
        };
        let Some(customer) = model.accounts.get(&state.customer.value) else { continue };
        let Some(bundle) = check_bundle(check, thing, grant, customer.currency.value) else { continue };
        let Ok(own) = check_scope(check, thing, grant, bundle, Some(thing.name)) else { continue };
        let account = rating::AccountId::of_endpoint(&state.customer.value, thing.name);
        grants.add(check, thing, grant, account.as_str().to_owned(), own, at);
    }
}
