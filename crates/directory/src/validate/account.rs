//! Checks of the hierarchy: one root, no cycles and no more levels than can be counted at any moment, currencies of edges.

mod depth;

use rating::{AccountKind, Currency, Status, Timestamp};

use super::{Check, NameKind};
use crate::compile::Tariffs;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Account, AccountState, BEGINNING, Reference};
use crate::read::Thing;

/// Accounts over time, by their positions in the catalogue.
pub(crate) struct Hierarchy<'m> {
    /// States with their first moments, ascending; none for what could not be read or does not ascend.
    pub(crate) states: Vec<Vec<(Timestamp, AccountState<'m>)>>,
    /// Parents with their first moments, ascending.
    parents: Vec<Vec<(Timestamp, Option<usize>)>>,
}

impl Hierarchy<'_> {
    /// The parent that an account has at a moment.
    pub(crate) fn parent_at(&self, account: usize, at: Timestamp) -> Option<usize> {
        let parents = &self.parents[account];
        let after = parents.partition_point(|(from, _)| *from <= at);
        parents.get(after.checked_sub(1)?).and_then(|(_, parent)| *parent)
    }

    /// Parents with their first moments.
    pub(crate) fn parents(&self, account: usize) -> &[(Timestamp, Option<usize>)] {
        &self.parents[account]
    }

    /// An account and those above it at a moment, at most as many as there are accounts.
    pub(crate) fn path(&self, account: usize, at: Timestamp) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(account), move |account| self.parent_at(*account, at)).take(self.parents.len())
    }
}

/// Checks all accounts, and returns the hierarchy as far as it is sound.
pub(crate) fn check_accounts<'m>(check: &mut Check<'m, '_>, tariffs: &Tariffs) -> Hierarchy<'m> {
    let model = check.model;
    check_operator(check);
    let mut hierarchy = Hierarchy { states: Vec::new(), parents: Vec::new() };
    for item in model.accounts.items() {
        let thing = Thing { kind: "account", name: &item.name };
        let states =
            item.value.as_ref().map(|account| check_account(check, thing, account, tariffs)).unwrap_or_default();
        let position = |state: &AccountState<'_>| state.parent.and_then(|parent| model.accounts.find(&parent.value));
        hierarchy.parents.push(states.iter().map(|(from, state)| (*from, position(state))).collect());
        hierarchy.states.push(states);
    }
    let before = check.count();
    check_cycles(check, &hierarchy);
    // What goes round has no length.
    if check.count() == before {
        depth::check_depth(check, &hierarchy);
    }
    check_default_tariffs(check, &hierarchy, tariffs);
    hierarchy
}

fn check_operator(check: &mut Check<'_, '_>) {
    let model = check.model;
    let mut operators = model
        .accounts
        .items()
        .iter()
        .filter(|item| item.value.as_ref().is_some_and(|account| account.kind.value == AccountKind::Operator));
    match operators.next() {
        Some(first) => {
            for item in operators {
                let message = format!("account \"{}\" is a second operator", item.name);
                let diagnostic = Diagnostic::new(Code::OneOperator, item.span, message).label("the second");
                check.report(diagnostic.related(first.span, "the first"));
            }
        }
        // An account that could not be read may be the operator.
        None if !check.complete || model.accounts.items().iter().any(|item| !item.sound) => {}
        None => {
            let diagnostic = Diagnostic::nowhere(Code::OneOperator, "accounts: there is no operator");
            check.report(diagnostic.help("define the root, like `northstar: { kind: operator, currency: GBP }`"));
        }
    }
}

/// References, order of changes and currencies of one account.
fn check_account<'m>(
    check: &mut Check<'m, '_>,
    thing: Thing<'_>,
    account: &'m Account,
    tariffs: &Tariffs,
) -> Vec<(Timestamp, AccountState<'m>)> {
    let changes = &account.changes;
    for parent in account.parent.iter().chain(changes.iter().filter_map(|change| change.parent.as_ref())) {
        check_parent(check, thing, parent);
    }
    for tariff in account.tariff.iter().chain(changes.iter().filter_map(|change| change.tariff.as_ref()?.as_ref())) {
        check_tariff_of(check, thing, tariff, account.currency.value, tariffs);
    }
    let model = check.model;
    let defaults = changes.iter().filter_map(|change| change.default_customer_tariff.as_ref()?.as_ref());
    for tariff in account.default_customer_tariff.iter().chain(defaults) {
        check.find(&model.tariffs, NameKind::Tariff, thing, tariff);
    }
    let mut closed = (account.status == Status::Closed).then_some(account.kind.span);
    for change in changes {
        if let Some(closed) = closed {
            let diagnostic =
                Diagnostic::new(Code::ClosedIsFinal, change.from.span, format!("{thing}: a closed account changes"));
            check.report(diagnostic.label("changed here").related(closed, "closed before"));
            break;
        }
        closed = change.status.filter(|status| status.value == Status::Closed).map(|status| status.span);
    }
    match check.ascending(thing, "changes", changes.iter().map(|change| &change.from)) {
        true => account.states(),
        false => Vec::new(),
    }
}

fn check_parent(check: &mut Check<'_, '_>, thing: Thing<'_>, parent: &Reference) {
    let model = check.model;
    let Some(at) = check.find(&model.accounts, NameKind::Account, thing, parent) else { return };
    let item = model.accounts.item(at);
    if let Some(account) = item.value.as_ref().filter(|account| account.kind.value == AccountKind::Customer) {
        let message = format!("{thing}: its parent \"{}\" is a customer", item.name);
        let diagnostic =
            Diagnostic::new(Code::ParentKind, parent.span, message).label("customers hold endpoints, not accounts");
        check.report(diagnostic.related(account.kind.span, "a customer by this"));
    }
}

/// That a tariff is defined and in the currency of its payer (rule 8).
pub(super) fn check_tariff_of(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    tariff: &Reference,
    currency: Currency,
    tariffs: &Tariffs,
) {
    let model = check.model;
    let Some(at) = check.find(&model.tariffs, NameKind::Tariff, thing, tariff) else { return };
    if let Some(other) = tariffs.currency(at).filter(|other| *other != currency) {
        let message = format!("{thing}: tariff \"{}\" is in {other}, but the account pays in {currency}", tariff.value);
        check.report(Diagnostic::new(Code::CurrencyMismatch, tariff.span, message).label(format!("in {other}")));
    }
}

/// No account may be above itself at any moment. A cycle begins with a parent: at the beginning, or with a change.
fn check_cycles(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>) {
    let model = check.model;
    let mut reported: Vec<usize> = Vec::new();
    // At the beginning every account is a suspect, so what is known to lead to the root is remembered.
    let mut leads_up = vec![false; hierarchy.parents.len()];
    for account in 0..hierarchy.parents.len() {
        let mut path: Vec<usize> = Vec::new();
        let mut next = Some(account);
        while let Some(here) = next.filter(|here| !leads_up[*here]) {
            if let Some(start) = path.iter().position(|seen| *seen == here) {
                report_cycle(check, hierarchy, &path[start..], BEGINNING);
                reported.extend(&path[start..]);
                break;
            }
            path.push(here);
            next = hierarchy.parent_at(here, BEGINNING);
        }
        for here in path {
            leads_up[here] = true;
        }
    }
    for (account, item) in model.accounts.items().iter().enumerate() {
        for (from, parent) in hierarchy.parents[account].iter().skip(1) {
            if parent.is_none() || reported.contains(&account) {
                continue;
            }
            let moves = item.value.as_ref().is_some_and(|value| {
                value.changes.iter().any(|change| change.from.value == *from && change.parent.is_some())
            });
            if !moves {
                continue;
            }
            if let Some(length) = hierarchy.path(account, *from).skip(1).position(|other| other == account) {
                let path: Vec<usize> = hierarchy.path(account, *from).take(length + 1).collect();
                report_cycle(check, hierarchy, &path, *from);
                reported.extend(path);
            }
        }
    }
}

fn report_cycle(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>, path: &[usize], at: Timestamp) {
    /// Names shown of a long way round.
    const MAX_NAMES: usize = 8;
    let model = check.model;
    let Some(&first) = path.first() else { return };
    let name = |account: &usize| &*model.accounts.item(*account).name;
    let mut names: Vec<&str> = path.iter().take(MAX_NAMES).map(name).collect();
    if path.len() > MAX_NAMES {
        names.push("...");
    }
    names.push(name(&first));
    let when = if at == BEGINNING { String::new() } else { format!(" from {at} on") };
    let message = format!("account \"{}\" is its own ancestor{when}: {}", name(&first), names.join(" -> "));
    let state = hierarchy.states[first].iter().rev().find(|(from, _)| *from <= at);
    let span = state.and_then(|(_, state)| state.parent).map_or(model.accounts.item(first).span, |parent| parent.span);
    check.report(Diagnostic::new(Code::AccountCycle, span, message).label("leads back to the account"));
}

/// The default tariff of a parent, for customers that use it, is in their currency (rules 5 and 8).
fn check_default_tariffs(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>, tariffs: &Tariffs) {
    let model = check.model;
    for (at, item) in model.accounts.items().iter().enumerate() {
        let Some(account) = item.value.as_ref().filter(|account| account.kind.value == AccountKind::Customer) else {
            continue;
        };
        let mut reported = Vec::new();
        for (position, (from, state)) in
            hierarchy.states[at].iter().enumerate().filter(|(_, (_, state))| state.tariff.is_none())
        {
            let Some(parent) = state.parent.and_then(|parent| model.accounts.find(&parent.value)) else { continue };
            let until = hierarchy.states[at].get(position + 1).map(|(until, _)| *until);
            let theirs = &hierarchy.states[parent];
            for (number, (start, parent_state)) in theirs.iter().enumerate() {
                let end = theirs.get(number + 1).map(|(end, _)| *end);
                let meet = end.is_none_or(|end| *from < end) && until.is_none_or(|until| *start < until);
                let Some(default) = parent_state.default_customer_tariff.filter(|_| meet) else { continue };
                let other = model.tariffs.find(&default.value).and_then(|tariff| tariffs.currency(tariff));
                let Some(other) = other.filter(|other| *other != account.currency.value) else { continue };
                if reported.contains(&default.span) {
                    continue;
                }
                reported.push(default.span);
                let message = format!(
                    "account \"{}\": the default tariff \"{}\" of its parent is in {other}, but the account pays in {}",
                    item.name, default.value, account.currency.value
                );
                let diagnostic = Diagnostic::new(Code::CurrencyMismatch, account.currency.span, message);
                check.report(diagnostic.label("pays in this").related(default.span, format!("in {other}")));
            }
        }
    }
}
