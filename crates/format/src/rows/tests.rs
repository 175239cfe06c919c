//! One row of every kind, written and read.

use super::*;
use crate::first_byte::all;
use rating::account::{CapCounter, Head};
use rating::bundle::{ElementClass, Phase};
use rating::{
    Amount, BundleScope, Counter, Currency, Length, Month, SessionCounter, SessionState, Standing, Starts, Status,
    Timeline, Timestamp, Unit,
};
use std::collections::BTreeSet;

/// A row of every kind.
fn sample() -> State {
    let mut state = State::with_undo();
    let id = AccountId::new("acme");
    let at = Timestamp::from_millis(1_700_000_000_000);
    let amount = Amount::from_unscaled(-3).expect("an amount");
    state.restore_head(&id, Some(Head { balance: amount, delta_sequence: 7, ..Head::default() }), 1);
    let account = state.restored_account(&id);
    let timeline = Timeline {
        standings: vec![Standing { from: at, ancestors: "northstar".into(), status: Status::Suspended }],
        told_to: Some(at),
        told: Status::Suspended,
        times: 1,
    };
    state.restore_timeline(account, Some(timeline), 1);
    let hashed = HashedKey { account, key: u128::MAX - 1 };
    let of_endpoint = EndpointRowKey { account, endpoint: EndpointKey::of("sim"), key: 5 };
    let counter = Counter { uncovered: 9, last_event: at, ..Counter::default() };
    state.restore_counter(&hashed, Some(counter), 1);
    state.restore_cap(&hashed, Some(CapCounter { charged: amount, notified: true, month: Month(24_000) }), 1);
    let session = SessionState { last_event: at, since: Timestamp::EPOCH, connected: true };
    state.restore_session(&of_endpoint, Some(session), 1);
    state.restore_session_counter(&of_endpoint, Some(SessionCounter { counter, session: None }), 1);
    let template = BundleTemplate {
        id: Arc::from("day"),
        currency: Currency::parse("GBP").expect("a currency"),
        fee: None,
        starts: Starts::Date,
        lasts: Some(Length::Days(1)),
        scope: BundleScope::Customer,
        promotional: false,
        warn_at: Box::new([80]),
        elements: Box::new([Element {
            priority: 1,
            applies: UsageMatch {
                service: "data".into(),
                zone: Arc::new(Zone::new("home", Vec::new(), vec!["44".into()])),
                keys: MatchKeys::default().into(),
            },
            unit: Unit::Octets,
            amount: Some(100),
            class: ElementClass::Standard,
        }]),
    };
    let instance = Instance {
        id: Arc::from("bought"),
        template: state.dictionary_mut().template(&template),
        payee: AccountId::new("northstar"),
        endpoint: None,
        granted_at: at,
        phase: Phase::Active { start: at, end: None },
        terminated_at: None,
        statuses: Vec::new(),
        allowances: Box::new([Default::default()]),
        activation_failed: false,
    };
    let key = InstanceKey { account, holder: Some(Arc::from("sim")), id: instance.id.clone() };
    state.restore_instance(&key, Some(instance), 1);
    state.restored(1).expect("everything that is named is there");
    state
}

/// Each row by itself, and what is written when it is gone; nothing for an account, which never leaves.
fn written(state: &State) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    state.visit_all(|row| {
        let gone = match row {
            Row::Account(..) => None,
            Row::Zone(address, _) => Some(Row::Zone(address, None)),
            Row::Template(address, _) => Some(Row::Template(address, None)),
            Row::Timeline(id, _) => Some(Row::Timeline(id, None)),
            Row::Counter(id, key, _) => Some(Row::Counter(id, key, None)),
            Row::Cap(id, key, _) => Some(Row::Cap(id, key, None)),
            Row::Session(id, endpoint, key, _) => Some(Row::Session(id, endpoint, key, None)),
            Row::SessionCounter(id, endpoint, key, _) => Some(Row::SessionCounter(id, endpoint, key, None)),
            Row::Instance(id, key, _) => Some(Row::Instance(id, key, None)),
        };
        let bytes = |row: &Row<'_>| {
            let mut bytes = Vec::new();
            RowWriter::default().write(row, &mut bytes);
            bytes
        };
        all.push((bytes(&row), gone.as_ref().map(bytes)));
    });
    all
}

/// Puts back one row; returns what its bytes begin with.
fn read(bytes: &[u8], state: &mut State) -> BTreeSet<RowByte> {
    let (mut rows, mut input, mut firsts) = (RowReader::default(), bytes, BTreeSet::new());
    while let [first, rest @ ..] = input {
        let first = RowByte::of(*first).expect("a row begins with a byte of its own");
        input = rest;
        rows.read(first, &mut input, state, 1).expect("a row of its own");
        firsts.insert(first);
    }
    firsts
}

#[test]
fn a_row_of_every_kind_is_read_as_it_was_written() {
    let rows = written(&sample());
    let mut state = State::with_undo();
    let firsts: BTreeSet<RowByte> = rows.iter().flat_map(|(bytes, _)| read(bytes, &mut state)).collect();
    assert_eq!(firsts, all::ROWS.iter().copied().collect(), "the sample has a row of every kind");
    state.restored(1).expect("everything that is named is there");
    assert_eq!(written(&state), rows);
}

#[test]
fn a_row_of_every_kind_that_is_gone_is_gone_when_it_is_read() {
    let rows = written(&sample());
    let mut state = State::with_undo();
    for (bytes, gone) in &rows {
        read(bytes, &mut state);
        gone.iter().for_each(|gone| drop(read(gone, &mut state)));
    }
    state.restored(1).expect("everything that is named is there");
    let left: Vec<_> = rows.iter().filter(|(_, gone)| gone.is_none()).cloned().collect();
    assert_eq!(written(&state), left);
    assert_eq!(left.len(), 1);
}
