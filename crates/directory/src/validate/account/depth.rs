//! No chain of accounts is longer than levels can be counted, at any moment.
//!
//! A chain grows too long where an account gets a parent: at the beginning, or by a change. So each account is looked at as it was at the
//! beginning, and each move together with what hangs below the account that moves. The hierarchy has no cycles here.

use super::Hierarchy;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::BEGINNING;
use crate::snapshot::MAX_LEVELS;
use crate::validate::Check;
use rating::Timestamp;

/// Edges of a chain that is refused: longer ones are not measured.
const TOO_MANY: usize = MAX_LEVELS as usize + 1;

pub(super) fn check_depth(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>) {
    let depths = depths_at_the_beginning(hierarchy);
    for (account, _) in depths.iter().enumerate().filter(|(_, depth)| **depth == TOO_MANY) {
        report(check, hierarchy, account, account, BEGINNING);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); depths.len()];
    for account in 0..depths.len() {
        for (_, parent) in hierarchy.parents(account) {
            if let Some(children) = parent.and_then(|parent| children.get_mut(parent))
                && children.last() != Some(&account)
            {
                children.push(account);
            }
        }
    }
    for account in 0..depths.len() {
        let moves = hierarchy.parents(account).windows(2).filter(|pair| pair[0].1 != pair[1].1);
        for (from, _) in moves.map(|pair| pair[1]) {
            if let Some(lowest) = too_low(hierarchy, &children, account, from) {
                report(check, hierarchy, account, lowest, from);
            }
        }
    }
}

/// How many edges each account had above it at the beginning.
fn depths_at_the_beginning(hierarchy: &Hierarchy<'_>) -> Vec<usize> {
    let mut depths: Vec<Option<usize>> = vec![None; hierarchy.parents.len()];
    let mut path = Vec::new();
    for account in 0..depths.len() {
        let mut depth = 0;
        let mut next = Some(account);
        while let Some(here) = next {
            if let Some(known) = depths[here] {
                depth = known + 1;
                break;
            }
            path.push(here);
            next = hierarchy.parent_at(here, BEGINNING);
        }
        while let Some(here) = path.pop() {
            depths[here] = Some(depth);
            depth += 1;
        }
    }
    depths.into_iter().flatten().collect()
}

/// The account itself or one below it that has too many edges above it from a moment on.
fn too_low(hierarchy: &Hierarchy<'_>, children: &[Vec<usize>], account: usize, from: Timestamp) -> Option<usize> {
    let mut depth = hierarchy.path(account, from).skip(1).take(TOO_MANY).count();
    let mut generation = vec![account];
    while depth < TOO_MANY {
        let mut next = Vec::new();
        for here in generation {
            let held = children.get(here).into_iter().flatten().copied();
            next.extend(held.filter(|child| hierarchy.parent_at(*child, from) == Some(here)));
        }
        if next.is_empty() {
            return None;
        }
        generation = next;
        depth += 1;
    }
    generation.first().copied()
}

/// Points at where `account` got its parent, which made the chain of `lowest` too long.
fn report(check: &mut Check<'_, '_>, hierarchy: &Hierarchy<'_>, account: usize, lowest: usize, at: Timestamp) {
    let model = check.model;
    let item = model.accounts.item(account);
    let state = hierarchy.states[account].iter().rev().find(|(from, _)| *from <= at);
    let span = state.and_then(|(_, state)| state.parent).map_or(item.span, |parent| parent.span);
    let when = if at == BEGINNING { String::new() } else { format!(" from {at} on") };
    let below = model.accounts.item(lowest);
    let whose = if lowest == account { "it".to_owned() } else { format!("\"{}\" below it", below.name) };
    let message = format!("account \"{}\":{when} {whose} has more than {MAX_LEVELS} levels to the operator", item.name);
    check.report(Diagnostic::new(Code::TooManyLevels, span, message).label("one level too many"));
}
