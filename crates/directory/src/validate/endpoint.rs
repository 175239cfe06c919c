//! Checks of endpoints: their customers and plans, and identities that are unique at any moment.

use rating::{AccountKind, Timestamp};

use super::account::check_tariff_of;
use super::{Check, NameKind};
use crate::compile::Tariffs;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Account, BEGINNING, Endpoint, IdentityKind, Reference, Spanned};
use crate::read::{Thing, with_article};
use crate::source::Span;
use crate::value::Digits;

/// An identity and when an endpoint held it: half-open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) digits: Digits,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
    /// Position in the catalogue.
    pub(crate) endpoint: u32,
    span: Span,
}

/// Checks all endpoints, and returns who held which identity, in the order of [`IdentityKind`].
pub(crate) fn check_endpoints(check: &mut Check<'_, '_>, tariffs: &Tariffs) -> [Vec<Held>; 3] {
    let model = check.model;
    let mut held: [Vec<Held>; 3] = Default::default();
    for (at, item) in model.endpoints.items().iter().enumerate() {
        let Some(endpoint) = &item.value else { continue };
        let thing = Thing { kind: "endpoint", name: &item.name };
        if check_endpoint(check, thing, endpoint, tariffs) {
            collect_identities(endpoint, at as u32, &mut held);
        }
    }
    for (kind, held) in IdentityKind::ALL.into_iter().zip(&mut held) {
        check_unique(check, kind, held);
    }
    held
}

/// Whether the changes ascend, so that states can be told.
fn check_endpoint(check: &mut Check<'_, '_>, thing: Thing<'_>, endpoint: &Endpoint, tariffs: &Tariffs) -> bool {
    let first = check_customer(check, thing, &endpoint.customer);
    for customer in endpoint.changes.iter().filter_map(|change| change.customer.as_ref()) {
        check_customer(check, thing, customer);
    }
    if endpoint.changes.is_empty() {
        let tariff = endpoint.plan.as_ref().and_then(|plan| plan.tariff.as_ref());
        if let (Some(tariff), Some(customer)) = (tariff, first) {
            check_tariff_of(check, thing, tariff, customer.currency.value, tariffs);
        }
        return true;
    }
    if !check.ascending(thing, "changes", endpoint.changes.iter().map(|change| &change.from)) {
        return false;
    }
    let model = check.model;
    let mut seen: Vec<(Span, rating::Currency)> = Vec::new();
    for (_, state) in endpoint.states() {
        let tariff = state.plan.and_then(|plan| plan.tariff.as_ref());
        let customer = model.accounts.get(&state.customer.value);
        if let (Some(tariff), Some(customer)) = (tariff, customer)
            && !seen.contains(&(tariff.span, customer.currency.value))
        {
            seen.push((tariff.span, customer.currency.value));
            check_tariff_of(check, thing, tariff, customer.currency.value, tariffs);
        }
    }
    true
}

fn check_customer<'m>(check: &mut Check<'m, '_>, thing: Thing<'_>, customer: &Reference) -> Option<&'m Account> {
    let model = check.model;
    let at = check.find(&model.accounts, NameKind::Account, thing, customer)?;
    let account = model.accounts.item(at).value.as_ref()?;
    if account.kind.value == AccountKind::Customer {
        return Some(account);
    }
    let message = format!("{thing}: account \"{}\" is not a customer", customer.value);
    let diagnostic = Diagnostic::new(Code::NotACustomer, customer.span, message);
    check.report(diagnostic.label(with_article(account.kind.value.name())));
    None
}

fn collect_identities(endpoint: &Endpoint, at: u32, held: &mut [Vec<Held>; 3]) {
    if endpoint.changes.is_empty() {
        for (identities, held) in endpoint.identities.iter().zip(held) {
            let new = |identity: &Spanned<Digits>| Held {
                digits: identity.value,
                from: BEGINNING,
                until: None,
                endpoint: at,
                span: identity.span,
            };
            held.extend(identities.as_slice().iter().map(new));
        }
        return;
    }
    let states = endpoint.states();
    for (kind, held) in held.iter_mut().enumerate() {
        let mut open: Vec<Held> = Vec::new();
        for (from, state) in &states {
            let now = state.identities[kind];
            open.retain(|open| {
                let stays = now.iter().any(|now| now.value == open.digits);
                if !stays {
                    held.push(Held { until: Some(*from), ..*open });
                }
                stays
            });
            for Spanned { value, span } in now {
                if !open.iter().any(|open| open.digits == *value) {
                    open.push(Held { digits: *value, from: *from, until: None, endpoint: at, span: *span });
                }
            }
        }
        held.extend(open);
    }
}

/// Sorts, and reports identities that two endpoints hold at one moment.
fn check_unique(check: &mut Check<'_, '_>, kind: IdentityKind, held: &mut [Held]) {
    let model = check.model;
    held.sort_unstable_by_key(|held| (held.digits, held.from, held.span));
    let mut longest: Option<Held> = None;
    for one in held.iter() {
        let Some(before) = longest.filter(|before| before.digits == one.digits) else {
            longest = Some(*one);
            continue;
        };
        if before.until.is_none_or(|until| one.from < until) && before.endpoint != one.endpoint {
            let (first, second) = if before.span <= one.span { (before, *one) } else { (*one, before) };
            let name = |held: &Held| &*model.endpoints.item(held.endpoint as usize).name;
            let when = if one.from == BEGINNING { String::new() } else { format!(" from {} on", one.from) };
            let message = format!(
                "endpoint \"{}\": {} {} belongs to endpoint \"{}\" as well{when}",
                name(&second),
                kind.as_str(),
                one.digits,
                name(&first)
            );
            let diagnostic = Diagnostic::new(Code::IdentityTwice, second.span, message).label("the second");
            check.report(diagnostic.related(first.span, "the first"));
        }
        if before.until.is_some_and(|until| one.until.is_none_or(|end| end > until)) {
            longest = Some(*one);
        }
    }
}
