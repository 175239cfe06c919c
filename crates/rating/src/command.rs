//! Account commands (rule 23): money in and out, bundles bought and steered, accounts suspended and activated.
//!
//! A command applies once; that is guide's business, by its id. Here a command meets the state of its account and is applied or
//! refused, with a reason, changing nothing. Reservations, reversals and closing join [`CommandKind`].

use crate::account::{Account, Member};
use crate::bundle::{Allowance, BundleScope, BundleTemplate, Instance, Phase, Starts};
use crate::calendar::Timestamp;
use crate::charge::{CommandDelta, DeltaKind, FeeOf, Notification, NotificationKind, Outputs};
use crate::draw;
use crate::holding::{HeldBytes, Holding, StatusRoom};
use crate::id::{AccountId, Currency};
use crate::leg::{Edge, Mode, Status};
use crate::money::Amount;
use crate::rate_leg::{fee_charge, fee_endpoint};
use std::sync::Arc;

/// An account command after intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Unique; a repeated id is the same command.
    pub id: Box<str>,
    /// What to do.
    pub kind: CommandKind,
    /// The account it is for; an endpoint account is `customer/endpoint`.
    pub account_id: AccountId,
    /// The ancestor that issued it (rule 23).
    pub issued_by: Box<str>,
    /// When it takes effect.
    pub effective_time: Timestamp,
    /// Currency of the amount; if given it must be the account's.
    pub currency: Option<Currency>,
    /// Free text.
    pub note: Option<Box<str>>,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Money paid in.
    TopUp(Amount),
    /// A manual debit.
    Debit(Amount),
    /// A manual credit.
    Credit(Amount),
    /// Buys a bundle; the command's id becomes the instance's.
    BuyBundle {
        /// The template's name.
        bundle: Box<str>,
        /// The endpoint, for scope `endpoint`.
        endpoint: Option<Box<str>>,
    },
    /// Ends an instance at the effective time.
    CancelBundle(BundleRef),
    /// Suspends an instance, from the effective time on.
    SuspendBundle(BundleRef),
    /// Ends an instance's suspension at the effective time, and starts it if it is pending or armed (detail z).
    ActivateBundle(BundleRef),
    /// Suspends the account, from the effective time on.
    SuspendAccount,
    /// Ends the account's suspension at the effective time.
    ActivateAccount,
}

/// Names an instance: by its own id, or by its template's while just one instance of it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRef {
    /// Instance id or template name.
    pub name: Box<str>,
    /// The endpoint that holds it, for scope `endpoint`.
    pub endpoint: Option<Box<str>>,
}

impl CommandKind {
    /// The stable name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            CommandKind::TopUp(_) => "top_up",
            CommandKind::Debit(_) => "debit",
            CommandKind::Credit(_) => "credit",
            CommandKind::BuyBundle { .. } => "buy_bundle",
            CommandKind::CancelBundle(_) => "cancel_bundle",
            CommandKind::SuspendBundle(_) | CommandKind::SuspendAccount => "suspend",
            CommandKind::ActivateBundle(_) | CommandKind::ActivateAccount => "activate",
        }
    }

    /// The endpoint whose member the command touches.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            CommandKind::BuyBundle { endpoint, .. } => endpoint.as_deref(),
            CommandKind::CancelBundle(of) | CommandKind::SuspendBundle(of) | CommandKind::ActivateBundle(of) => {
                of.endpoint.as_deref()
            }
            CommandKind::TopUp(_)
            | CommandKind::Debit(_)
            | CommandKind::Credit(_)
            | CommandKind::SuspendAccount
            | CommandKind::ActivateAccount => None,
        }
    }
}

/// Why a command was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandRefusal {
    /// The account is not known at the effective time.
    UnknownAccount,
    /// The issuer is not an ancestor of the account (rule 23).
    NotAnAncestor,
    /// The bundle is not known.
    UnknownBundle,
    /// No living instance of this name, or several of the template.
    NoSuchInstance,
    /// The endpoint is below the account at no moment from the purchase on.
    NoSuchEndpoint,
    /// The instance exists already.
    InstanceExists,
    /// Another currency than the account's (rule 8).
    CurrencyMismatch,
    /// The amount is missing, not positive or out of range.
    BadAmount,
    /// A bundle of scope `endpoint` without an endpoint, or the other way round.
    WrongScope,
    /// Prepaid, and the balance does not cover the fee (detail x).
    NoMoney,
    /// The instance or account is in a state that does not allow it.
    WrongState,
    /// The account, or the endpoint, holds as much as one may ([`holding`](crate::holding)).
    AccountFull,
    /// It takes effect before the memory of commands begins: whether it was applied before cannot be known (rule 23).
    TooLate,
}

impl CommandRefusal {
    /// The stable code.
    pub fn name(self) -> &'static str {
        match self {
            CommandRefusal::UnknownAccount => "unknown_account",
            CommandRefusal::NotAnAncestor => "not_an_ancestor",
            CommandRefusal::UnknownBundle => "unknown_bundle",
            CommandRefusal::NoSuchInstance => "no_such_instance",
            CommandRefusal::NoSuchEndpoint => "no_such_endpoint",
            CommandRefusal::InstanceExists => "instance_exists",
            CommandRefusal::CurrencyMismatch => "currency_mismatch",
            CommandRefusal::BadAmount => "bad_amount",
            CommandRefusal::WrongScope => "wrong_scope",
            CommandRefusal::NoMoney => "no_money",
            CommandRefusal::WrongState => "wrong_state",
            CommandRefusal::AccountFull => "account_full",
            CommandRefusal::TooLate => "too_late",
        }
    }
}

/// A command with the facts that guide found for it.
#[derive(Clone, Copy, Debug)]
pub struct GuidedCommand<'a> {
    /// The command.
    pub command: &'a Command,
    /// Hash of its id.
    pub key: u128,
    /// The account's edge to its parent at the effective time.
    pub edge: &'a Edge,
    /// The template, for a purchase.
    pub template: Option<&'a Arc<BundleTemplate>>,
}

/// Applies a command.
///
/// # Errors
/// The refusal; a notification `command_refused` has been added, and nothing else has changed.
pub fn apply_command<'a>(
    guided: &GuidedCommand<'a>,
    account: &mut Account,
    member: Option<&mut Member>,
    outputs: &mut Outputs<'a>,
) -> Result<(), CommandRefusal> {
    let outcome = apply(guided, account, member, outputs);
    match outcome {
        Ok(()) => account.currency = Some(guided.edge.currency),
        Err(refusal) => tell(guided, NotificationKind::CommandRefused { reason: refusal.name() }, outputs),
    }
    outcome
}

fn apply<'a>(
    guided: &GuidedCommand<'a>,
    account: &mut Account,
    mut member: Option<&mut Member>,
    outputs: &mut Outputs<'a>,
) -> Result<(), CommandRefusal> {
    let command = guided.command;
    let is_other = |currency: Currency| currency != guided.edge.currency;
    if command.currency.is_some_and(is_other) || account.currency.is_some_and(is_other) {
        return Err(CommandRefusal::CurrencyMismatch);
    }
    if guided.edge.status == Status::Closed {
        return Err(CommandRefusal::WrongState);
    }
    match &command.kind {
        CommandKind::TopUp(amount) => book(guided, account, DeltaKind::TopUp, *amount, outputs),
        CommandKind::Credit(amount) => book(guided, account, DeltaKind::Credit, *amount, outputs),
        CommandKind::Debit(amount) => book(guided, account, DeltaKind::Debit, amount.negated(), outputs),
        CommandKind::BuyBundle { endpoint, .. } => buy(guided, endpoint.as_deref(), account, member, outputs),
        CommandKind::CancelBundle(of) => {
            let instance = find(account, member, of, command.effective_time)?;
            instance.terminated_at = Some(command.effective_time);
            Ok(())
        }
        CommandKind::SuspendBundle(of) => {
            let room = status_room(of, account, member.as_deref_mut());
            let instance = find(account, member, of, command.effective_time)?;
            room.add(&mut instance.statuses, command.effective_time, Status::Suspended)
        }
        CommandKind::ActivateBundle(of) => activate_bundle(guided, of, account, member, outputs),
        CommandKind::SuspendAccount => {
            let room = Holding::of_account(account).status_room();
            room.add(&mut account.statuses, command.effective_time, Status::Suspended)
        }
        CommandKind::ActivateAccount => {
            let room = Holding::of_account(account).status_room();
            room.add(&mut account.statuses, command.effective_time, Status::Active)
        }
    }
}

fn book<'a>(
    guided: &GuidedCommand<'a>,
    account: &mut Account,
    kind: DeltaKind,
    amount: Amount,
    outputs: &mut Outputs<'a>,
) -> Result<(), CommandRefusal> {
    if amount.is_zero() {
        return Err(CommandRefusal::BadAmount);
    }
    let delta = account.post(amount).ok_or(CommandRefusal::BadAmount)?;
    outputs.deltas.push(CommandDelta { edge: guided.edge, delta, kind, command: guided.command });
    tell_exhausted(guided, account, outputs);
    Ok(())
}

fn buy<'a>(
    guided: &GuidedCommand<'a>,
    endpoint: Option<&'a str>,
    account: &mut Account,
    mut member: Option<&mut Member>,
    outputs: &mut Outputs<'a>,
) -> Result<(), CommandRefusal> {
    let (command, edge) = (guided.command, guided.edge);
    let template = guided.template.ok_or(CommandRefusal::UnknownBundle)?;
    if template.currency != edge.currency {
        return Err(CommandRefusal::CurrencyMismatch);
    }
    if (template.scope == BundleScope::Endpoint) != endpoint.is_some() {
        return Err(CommandRefusal::WrongScope);
    }
    let mut instance = Instance {
        id: Arc::from(&*command.id),
        template: template.clone(),
        payee: edge.payee.clone(),
        endpoint: endpoint.map(Box::from),
        granted_at: command.effective_time,
        phase: match template.starts {
            Starts::Date | Starts::Activation => Phase::Pending,
            Starts::FirstUse => Phase::Armed,
        },
        terminated_at: None,
        statuses: Vec::new(),
        allowances: vec![Allowance::default(); template.elements.len()].into(),
        activation_failed: false,
    };
    // Before what is held is searched, which takes long where it is much.
    holding(endpoint, account, member.as_deref_mut()).admit(&instance)?;
    if draw::instances(account, member.as_deref()).any(|(_, held)| *held.id == *command.id) {
        return Err(CommandRefusal::InstanceExists);
    }
    let fee = template.fee.unwrap_or(Amount::ZERO);
    let after_fee = account.balance.checked_sub(fee).ok_or(CommandRefusal::BadAmount)?;
    // What starts later is paid when it starts (rule 19), and may fail then (detail x).
    let starts_now = template.starts == Starts::Date;
    if starts_now && edge.mode == Mode::Prepaid && !fee.is_zero() && after_fee < Amount::ZERO {
        let (bundle, instance) = (template.id.clone(), Arc::from(&*command.id));
        tell(guided, NotificationKind::ActivationFailed { bundle, instance }, outputs);
        return Err(CommandRefusal::NoMoney);
    }
    if template.starts == Starts::Date {
        start(guided, &mut instance, account, outputs);
    }
    match (endpoint, member) {
        (Some(_), Some(member)) => {
            account.member_bundles = account.member_bundles.saturating_add(1);
            member.held.add(&instance);
            member.bundles.push(instance);
        }
        // An endpoint account has no members: what is for its endpoint is for all of it.
        (None, _) | (Some(_), None) => {
            account.held.add(&instance);
            account.pools.push(instance);
        }
    }
    Ok(())
}

/// Makes an instance active and charges its fee; the range of the balance was checked before.
fn start<'a>(guided: &GuidedCommand<'a>, instance: &mut Instance, account: &mut Account, outputs: &mut Outputs<'a>) {
    let at = guided.command.effective_time;
    draw::activate(&guided.edge.time_zone, instance, at);
    if let Some(fee) = instance.template.fee.filter(|fee| !fee.is_zero()) {
        let of = FeeOf { bundle: instance.template.id.clone(), instance: instance.id.clone() };
        let endpoint = fee_endpoint(guided.edge, guided.command.kind.endpoint(), instance);
        let mut charge = fee_charge(guided.edge, endpoint, at, of, fee);
        charge.delta = account.post(fee.negated());
        outputs.charges.push(charge);
        tell_exhausted(guided, account, outputs);
    }
}

fn activate_bundle<'a>(
    guided: &GuidedCommand<'a>,
    of: &BundleRef,
    account: &mut Account,
    mut member: Option<&mut Member>,
    outputs: &mut Outputs<'a>,
) -> Result<(), CommandRefusal> {
    let at = guided.command.effective_time;
    let balance = account.balance;
    let room = status_room(of, account, member.as_deref_mut());
    let found = find(account, member.as_deref_mut(), of, at)?;
    match found.phase {
        // A suspension of an earlier instant may arrive later: it ends here then.
        Phase::Active { .. } => return room.add(&mut found.statuses, at, Status::Active),
        // Bought on an edge that is no more: nothing could be drawn, and no fee is due (rule 6, detail y).
        Phase::Pending | Phase::Armed if found.payee != guided.edge.payee => return Err(CommandRefusal::WrongState),
        Phase::Pending | Phase::Armed => {}
    }
    let fee = found.template.fee.unwrap_or(Amount::ZERO);
    let after_fee = balance.checked_sub(fee).ok_or(CommandRefusal::BadAmount)?;
    if guided.edge.mode == Mode::Prepaid && !fee.is_zero() && after_fee < Amount::ZERO {
        let (bundle, instance) = (found.template.id.clone(), found.id.clone());
        tell(guided, NotificationKind::ActivationFailed { bundle, instance }, outputs);
        return Err(CommandRefusal::NoMoney);
    }
    let mut started = found.clone();
    room.add(&mut started.statuses, at, Status::Active)?;
    start(guided, &mut started, account, outputs);
    *find(account, member, of, at)? = started;
    Ok(())
}

/// How much is held where a bundle of an endpoint, or a pool, is kept.
fn holding(endpoint: Option<&str>, account: &mut Account, member: Option<&mut Member>) -> Holding {
    match (endpoint, member) {
        (Some(_), Some(member)) => Holding::of_endpoint(member),
        // An endpoint account has no members.
        (None, _) | (Some(_), None) => Holding::of_account(account),
    }
}

/// The room for another suspension or activation of a bundle. What is held is counted anew after it.
fn status_room(of: &BundleRef, account: &mut Account, mut member: Option<&mut Member>) -> StatusRoom {
    let room = holding(of.endpoint.as_deref(), account, member.as_deref_mut()).status_room();
    account.held = HeldBytes::default();
    member.into_iter().for_each(|member| member.held = HeldBytes::default());
    room
}

/// The instance by its id, or the only living one of a template.
fn find<'s>(
    account: &'s mut Account,
    member: Option<&'s mut Member>,
    of: &BundleRef,
    at: Timestamp,
) -> Result<&'s mut Instance, CommandRefusal> {
    let held = match (&of.endpoint, member) {
        (Some(_), Some(member)) => &mut member.bundles,
        (None, _) | (Some(_), None) => &mut account.pools,
    };
    let by_id = held.iter().position(|instance| *instance.id == *of.name);
    let lives = |instance: &Instance| !matches!(instance.state_at(at), "terminated" | "expired");
    let mut of_template =
        held.iter().enumerate().filter(|(_, instance)| *instance.template.id == *of.name && lives(instance));
    let position = match (by_id, of_template.next(), of_template.next()) {
        (Some(position), _, _) | (None, Some((position, _)), None) => position,
        (None, _, _) => return Err(CommandRefusal::NoSuchInstance),
    };
    let instance = held.get_mut(position).ok_or(CommandRefusal::NoSuchInstance)?;
    // What has ended stays as it is (rule 17).
    if !lives(instance) {
        return Err(CommandRefusal::WrongState);
    }
    Ok(instance)
}

fn tell<'a>(guided: &GuidedCommand<'a>, kind: NotificationKind, outputs: &mut Outputs<'a>) {
    outputs.notifications.push(Notification {
        kind,
        account: &guided.edge.payer,
        endpoint: guided.command.kind.endpoint(),
        caused_by: &guided.command.id,
        cause_key: guided.key,
        event_time: guided.command.effective_time,
    });
}

fn tell_exhausted<'a>(guided: &GuidedCommand<'a>, account: &mut Account, outputs: &mut Outputs<'a>) {
    if account.take_exhausted(guided.edge.mode) {
        let kind = NotificationKind::BalanceExhausted { balance: account.balance, currency: guided.edge.currency };
        tell(guided, kind, outputs);
    }
}
