//! Accounts as they were written before rows were: whole, with their members.
//!
//! [`first_byte`] says what there was: an account or a member, of a payer and an endpoint, with all of its counters or those that changed.
//!
//! They are gathered as they come, and become rows when the first row comes, or at the end.

use super::codec::{Stored, read_text};
use super::derive::record;
use format::{Corrupt, first_byte};
use rating::account::{CapCounter, Head};
use rating::bundle::{Allowance, Phase};
use rating::bundles::InstanceKey;
use rating::leg::add_status;
use rating::state::{EndpointKey, EndpointRowKey, HashedKey};
use rating::{
    AccountId, AccountNumber, Amount, BundleTemplate, Counter, Currency, Instance, SessionCounter, SessionState, State,
    Status, Timestamp,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was written before rows were, until it becomes rows.
#[derive(Debug, Default)]
pub(crate) struct Older {
    accounts: BTreeMap<String, Gathered<OlderAccount, BTreeMap<u128, Counter>>>,
    members: BTreeMap<(String, String), Gathered<OlderMember, MemberTables>>,
}

/// A value as of its last message, with what messages add to.
#[derive(Debug)]
struct Gathered<V, T> {
    value: V,
    tables: T,
    /// The cycle in which it was last written as a whole.
    cycle: u32,
}

#[derive(Debug, Default)]
struct MemberTables {
    sessions: BTreeMap<u128, SessionState>,
    counters: BTreeMap<u128, SessionCounter>,
}

/// How much of the counters a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All: what was known of others is over.
    Whole,
    /// Some: others stay as they are.
    Part,
}

#[derive(Debug)]
struct OlderAccount {
    currency: Option<Currency>,
    balance: Amount,
    delta_sequence: u64,
    exhausted: bool,
    statuses: Vec<(Timestamp, Status)>,
    pools: Vec<OlderInstance>,
    member_bundles: u32,
    counters: Vec<(u128, Counter)>,
    caps: BTreeMap<u128, CapCounter>,
}

#[derive(Debug)]
struct OlderMember {
    bundles: Vec<OlderInstance>,
    sessions: Vec<(u128, SessionState)>,
    counters: Vec<(u128, SessionCounter)>,
}

#[derive(Debug)]
struct OlderInstance {
    id: Arc<str>,
    template: BundleTemplate,
    payee: AccountId,
    endpoint: Option<Arc<str>>,
    granted_at: Timestamp,
    phase: Phase,
    terminated_at: Option<Timestamp>,
    statuses: Vec<(Timestamp, Status)>,
    allowances: Box<[Allowance]>,
    activation_failed: bool,
}

record!(OlderAccount { currency, balance, delta_sequence, exhausted, statuses, pools, member_bundles, counters, caps });
record!(OlderMember { bundles, sessions, counters });
record!(OlderInstance {
    id,
    template,
    payee,
    endpoint,
    granted_at,
    phase,
    terminated_at,
    statuses,
    allowances,
    activation_failed,
});

impl Older {
    /// Takes what follows a first byte that says what it is, as written in a cycle.
    ///
    /// # Errors
    /// Bytes that are neither an account nor a member.
    pub(crate) fn read(&mut self, first: u8, input: &mut &[u8], cycle: u32) -> Result<(), Corrupt> {
        let name = read_text(input)?;
        match first {
            first_byte::OLDER_ACCOUNT => self.account(name, OlderAccount::read(input)?, Extent::Whole, cycle),
            first_byte::OLDER_ACCOUNT_PART => self.account(name, OlderAccount::read(input)?, Extent::Part, cycle),
            first_byte::OLDEST_ACCOUNT => self.account(name, read_oldest_account(input)?, Extent::Whole, cycle),
            first_byte::OLDEST_ACCOUNT_PART => self.account(name, read_oldest_account(input)?, Extent::Part, cycle),
            first_byte::OLDER_MEMBER => {
                self.member(name, read_text(input)?, OlderMember::read(input)?, Extent::Whole, cycle)
            }
            first_byte::OLDER_MEMBER_PART => {
                self.member(name, read_text(input)?, OlderMember::read(input)?, Extent::Part, cycle)
            }
            first_byte::OLDEST_MEMBER => {
                self.member(name, read_text(input)?, read_oldest_member(input)?, Extent::Whole, cycle)
            }
            first_byte::OLDEST_MEMBER_PART => {
                self.member(name, read_text(input)?, read_oldest_member(input)?, Extent::Part, cycle)
            }
            _ => return super::codec::corrupt("an account or a member", input),
        }
        Ok(())
    }

    fn account(&mut self, name: &str, mut account: OlderAccount, extent: Extent, cycle: u32) {
        let counters = std::mem::take(&mut account.counters);
        match self.accounts.get_mut(name) {
            Some(known) if extent == Extent::Part => {
                known.value = account;
                known.tables.extend(counters);
            }
            Some(_) | None => {
                let tables = counters.into_iter().collect();
                self.accounts.insert(name.to_owned(), Gathered { value: account, tables, cycle });
            }
        }
    }

    fn member(&mut self, name: &str, endpoint: &str, mut member: OlderMember, extent: Extent, cycle: u32) {
        let sessions = std::mem::take(&mut member.sessions);
        let counters = std::mem::take(&mut member.counters);
        let key = (name.to_owned(), endpoint.to_owned());
        match self.members.get_mut(&key) {
            Some(known) if extent == Extent::Part => {
                known.value = member;
                known.tables.sessions.extend(sessions);
                known.tables.counters.extend(counters);
            }
            Some(_) | None => {
                let tables =
                    MemberTables { sessions: sessions.into_iter().collect(), counters: counters.into_iter().collect() };
                self.members.insert(key, Gathered { value: member, tables, cycle });
            }
        }
    }

    /// Makes rows of everything that was gathered.
    pub(crate) fn become_rows(&mut self, state: &mut State) {
        for (name, Gathered { value, tables, cycle }) in std::mem::take(&mut self.accounts) {
            let cycle = cycle.max(1);
            let OlderAccount {
                currency,
                balance,
                delta_sequence,
                exhausted,
                statuses,
                pools,
                // It follows from the instances.
                member_bundles: _,
                counters: _,
                caps,
            } = value;
            let id = AccountId::new(&name);
            let head = Head { currency, balance, delta_sequence, exhausted, statuses, ..Head::default() };
            state.restore_head(&id, Some(head), cycle);
            let account = state.restored_account(&id);
            for (key, counter) in tables {
                state.restore_counter(&HashedKey { key, account }, Some(counter), cycle);
            }
            for (key, cap) in caps {
                state.restore_cap(&HashedKey { key, account }, Some(cap), cycle);
            }
            pools.into_iter().for_each(|instance| restore_instance(state, account, None, instance, cycle));
        }
        for ((name, holder), Gathered { value, tables, cycle }) in std::mem::take(&mut self.members) {
            let cycle = cycle.max(1);
            let account = state.restored_account(&AccountId::new(&name));
            let endpoint = EndpointKey::of(&holder);
            for (key, session) in tables.sessions {
                state.restore_session(&EndpointRowKey { key, endpoint, account }, Some(session), cycle);
            }
            for (key, counter) in tables.counters {
                state.restore_session_counter(&EndpointRowKey { key, endpoint, account }, Some(counter), cycle);
            }
            let holder: Arc<str> = Arc::from(holder);
            for instance in value.bundles {
                restore_instance(state, account, Some(holder.clone()), instance, cycle);
            }
        }
    }
}

fn restore_instance(
    state: &mut State,
    account: AccountNumber,
    holder: Option<Arc<str>>,
    older: OlderInstance,
    cycle: u32,
) {
    let OlderInstance {
        id,
        template,
        payee,
        endpoint,
        granted_at,
        phase,
        terminated_at,
        statuses,
        allowances,
        activation_failed,
    } = older;
    let key = InstanceKey { account, holder, id: id.clone() };
    let template = state.dictionary_mut().template(&template);
    let instance = Instance {
        id,
        template,
        payee,
        endpoint,
        granted_at,
        phase,
        terminated_at,
        statuses,
        allowances,
        activation_failed,
    };
    state.restore_instance(&key, Some(instance), cycle);
}

fn read_oldest_account(input: &mut &[u8]) -> Result<OlderAccount, Corrupt> {
    Ok(OlderAccount {
        currency: None,
        balance: Stored::read(input)?,
        delta_sequence: Stored::read(input)?,
        exhausted: Stored::read(input)?,
        statuses: Stored::read(input)?,
        pools: read_oldest_instances(input)?,
        member_bundles: Stored::read(input)?,
        counters: read_oldest_counters(input)?,
        caps: Stored::read(input)?,
    })
}

/// Sessions had no entries of their own.
fn read_oldest_member(input: &mut &[u8]) -> Result<OlderMember, Corrupt> {
    let bundles = read_oldest_instances(input)?;
    let counters = read_oldest_counters(input)?;
    let counters = counters.into_iter().map(|(key, counter)| (key, SessionCounter { counter, session: None }));
    Ok(OlderMember { bundles, sessions: Vec::new(), counters: counters.collect() })
}

fn read_oldest_counters(input: &mut &[u8]) -> Result<Vec<(u128, Counter)>, Corrupt> {
    let count = u64::read(input)?;
    let counter = |input: &mut &[u8]| {
        Ok(Counter {
            uncovered: Stored::read(input)?,
            covered: Stored::read(input)?,
            billed: Stored::read(input)?,
            priced: Stored::read(input)?,
            charged: Stored::read(input)?,
            connected: Stored::read(input)?,
            whole_blocks: false,
            last_event: Stored::read(input)?,
        })
    };
    (0..count).map(|_| Ok((u128::read(input)?, counter(input)?))).collect()
}

fn read_oldest_instances(input: &mut &[u8]) -> Result<Vec<OlderInstance>, Corrupt> {
    let count = u64::read(input)?;
    let instance = |input: &mut &[u8]| {
        Ok(OlderInstance {
            id: Stored::read(input)?,
            template: Stored::read(input)?,
            payee: Stored::read(input)?,
            endpoint: Stored::read(input)?,
            granted_at: Stored::read(input)?,
            phase: Stored::read(input)?,
            terminated_at: Stored::read(input)?,
            statuses: statuses_of(Stored::read(input)?),
            allowances: Stored::read(input)?,
            activation_failed: Stored::read(input)?,
        })
    };
    (0..count).map(|_| instance(input)).collect()
}

/// Suspensions, each from an instant and perhaps until one, as what holds from each instant on.
fn statuses_of(suspensions: Vec<(Timestamp, Option<Timestamp>)>) -> Vec<(Timestamp, Status)> {
    let mut statuses = Vec::new();
    for (from, until) in suspensions {
        add_status(&mut statuses, from, Status::Suspended);
        if let Some(until) = until {
            add_status(&mut statuses, until, Status::Active);
        }
    }
    statuses
}
