//! Account commands (rule 23): money in and out, bundles bought and steered, accounts suspended and activated.
//!
//! A command applies once; that is guide's business, by its id. Here a command meets the state of its account and is applied or
//! refused, with a reason, changing nothing. Reservations, reversals and closing join [`CommandKind`].

use crate::account::{Head, note_status};
use crate::bundle::{Allowance, BundleScope, BundleTemplate, Instance, Phase, Starts};
use crate::bundles::InstanceKey;
use crate::calendar::Timestamp;
use crate::draw;
use crate::effect::{
    Cause, Delta, DeltaKind, Effect, LifeEvent, LifeEventKind, Notification, NotificationKind, Posting, Reply, Shared,
};
use crate::id::{AccountId, Currency};
use crate::leg::{Edge, Mode, Status};
use crate::money::Amount;
use crate::rate_leg::{debit, fee_charge};
use crate::state::{AccountNumber, State};
use crate::table::RowPlace;
use smallvec::SmallVec;
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
    /// External reference: two commands may have the same one (ACCEPTANCE-2, L9).
    pub reference: Option<Box<str>>,
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

    /// The endpoint whose bundles the command touches.
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
    /// The account or the bundle remembers as many statuses as it may ([`MAX_STATUSES`](crate::account::MAX_STATUSES)), or the bundle is too large to be kept.
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
    /// The names above the account at the effective time, from the root down, with slashes between; empty where nobody said.
    pub ancestors: &'a str,
    /// The template, for a purchase.
    pub template: Option<&'a Arc<BundleTemplate>>,
}

/// Applies a command. The last effect is its reply.
///
/// # Errors
/// The refusal; a notification `command_refused` and a reply that says so have been added, and nothing else has changed.
pub fn apply_command<'a>(
    guided: &GuidedCommand<'a>,
    state: &mut State,
    account: AccountNumber,
    effects: &mut Vec<Effect<'a>>,
) -> Result<(), CommandRefusal> {
    let mut deltas = SmallVec::new();
    let outcome = Target { guided, state, account, deltas: &mut deltas }.apply(effects);
    match outcome {
        Ok(()) => state.head_mut(account).currency = Some(guided.edge.currency),
        Err(refusal) => {
            let sequence = state.head(account).delta_sequence;
            tell(guided, NotificationKind::CommandRefused { reason: refusal.name() }, sequence, effects);
        }
    }
    let sequence = state.head(account).delta_sequence;
    effects.push(Effect::Reply(Reply {
        command: guided.command,
        outcome,
        currency: guided.edge.currency,
        deltas,
        sequence,
    }));
    outcome
}

/// A command with the account that it is for.
struct Target<'g, 'a> {
    guided: &'g GuidedCommand<'a>,
    state: &'g mut State,
    account: AccountNumber,
    /// What it has posted so far.
    deltas: &'g mut SmallVec<[Delta; 1]>,
}

impl<'a> Target<'_, 'a> {
    fn apply(&mut self, effects: &mut Vec<Effect<'a>>) -> Result<(), CommandRefusal> {
        let GuidedCommand { command, edge, .. } = *self.guided;
        let is_other = |currency: Currency| currency != edge.currency;
        if command.currency.is_some_and(is_other) || self.state.head(self.account).currency.is_some_and(is_other) {
            return Err(CommandRefusal::CurrencyMismatch);
        }
        if edge.status == Status::Closed {
            return Err(CommandRefusal::WrongState);
        }
        let at = command.effective_time;
        match &command.kind {
            CommandKind::TopUp(amount) => self.book(DeltaKind::TopUp, *amount, effects),
            CommandKind::Credit(amount) => self.book(DeltaKind::Credit, *amount, effects),
            CommandKind::Debit(amount) => self.book(DeltaKind::Debit, amount.negated(), effects),
            CommandKind::BuyBundle { endpoint, .. } => self.buy(endpoint.as_deref(), effects),
            CommandKind::CancelBundle(of) => {
                let place = self.find(of)?;
                self.state.bundles.change(place, |instance| instance.terminated_at = Some(at));
                self.tell_state(place, effects);
                Ok(())
            }
            CommandKind::SuspendBundle(of) => {
                let place = self.find(of)?;
                self.note_bundle_status(place, Status::Suspended, effects)
            }
            CommandKind::ActivateBundle(of) => self.activate_bundle(of, effects),
            CommandKind::SuspendAccount => self.note_account_status(Status::Suspended, effects),
            CommandKind::ActivateAccount => self.note_account_status(Status::Active, effects),
        }
    }

    fn note_account_status(&mut self, status: Status, effects: &mut Vec<Effect<'a>>) -> Result<(), CommandRefusal> {
        let (at, ancestors) = (self.guided.command.effective_time, self.guided.ancestors);
        // What begins later is told when it begins.
        let is_ahead = self.state.clock().is_some_and(|clock| clock < at);
        self.state.change_due(self.account, |head| {
            note_status(&mut head.statuses, at, status)?;
            if is_ahead {
                if let Err(place) = head.ahead.binary_search(&at) {
                    head.ahead.insert(place, at);
                }
                head.ancestors = Some(ancestors).filter(|path| !path.is_empty()).map(Arc::from);
            }
            Ok(())
        })?;
        if !is_ahead {
            // What the directory says of the account holds beside it.
            let status = status.max(self.guided.edge.status);
            self.tell_event(LifeEventKind::AccountStatus(status), effects);
        }
        Ok(())
    }

    fn note_bundle_status(
        &mut self,
        place: RowPlace,
        status: Status,
        effects: &mut Vec<Effect<'a>>,
    ) -> Result<(), CommandRefusal> {
        let at = self.guided.command.effective_time;
        self.state.bundles.change_beside(place, |instance| note_status(&mut instance.statuses, at, status))?;
        self.tell_state(place, effects);
        Ok(())
    }

    /// Tells what an instance is from now on.
    fn tell_state(&self, place: RowPlace, effects: &mut Vec<Effect<'a>>) {
        let instance = self.state.bundles.at(place).expect("what was changed is there");
        self.tell_event(LifeEventKind::of_bundle(instance, self.guided.command.effective_time), effects);
    }

    fn tell_event(&self, kind: LifeEventKind, effects: &mut Vec<Effect<'a>>) {
        let GuidedCommand { edge, ancestors, .. } = *self.guided;
        let (account, cause) = (edge.payer.clone(), cause_of(self.guided));
        let booked_time = self.state.clock();
        effects.push(Effect::LifeEvent(LifeEvent { account, ancestors: ancestors.into(), kind, cause, booked_time }));
    }

    fn book(&mut self, kind: DeltaKind, amount: Amount, effects: &mut Vec<Effect<'a>>) -> Result<(), CommandRefusal> {
        if amount.is_zero() {
            return Err(CommandRefusal::BadAmount);
        }
        let booked_time = self.state.clock();
        let head = self.state.head_mut(self.account);
        let delta = head.post(amount).ok_or(CommandRefusal::BadAmount)?;
        let cause = cause_of(self.guided);
        self.deltas.push(delta);
        let GuidedCommand { edge, ancestors, .. } = *self.guided;
        let posting = Posting { edge: edge.into(), ancestors: ancestors.into(), delta, kind, cause, booked_time };
        effects.push(Effect::Posting(posting));
        tell_exhausted(self.guided, head, effects);
        Ok(())
    }

    /// Who holds the bundles of an endpoint: the endpoint; but the account of an endpoint holds its own as pools.
    fn holder<'e>(&self, endpoint: Option<&'e str>) -> Option<&'e str> {
        endpoint.filter(|_| self.guided.edge.level > 0)
    }

    fn key(&self, endpoint: Option<&str>, id: &str) -> InstanceKey {
        InstanceKey { account: self.account, holder: self.holder(endpoint).map(Arc::from), id: Arc::from(id) }
    }

    fn buy(&mut self, endpoint: Option<&str>, effects: &mut Vec<Effect<'a>>) -> Result<(), CommandRefusal> {
        let GuidedCommand { command, edge, template, .. } = *self.guided;
        let template = template.ok_or(CommandRefusal::UnknownBundle)?;
        if template.currency != edge.currency {
            return Err(CommandRefusal::CurrencyMismatch);
        }
        if (template.scope == BundleScope::Endpoint) != endpoint.is_some() {
            return Err(CommandRefusal::WrongScope);
        }
        if !template.can_be_stored() {
            return Err(CommandRefusal::AccountFull);
        }
        let key = self.key(endpoint, &command.id);
        let pool = InstanceKey { holder: None, ..key.clone() };
        if self.state.bundles.place(&key).is_some() || self.state.bundles.place(&pool).is_some() {
            return Err(CommandRefusal::InstanceExists);
        }
        let fee = template.fee.unwrap_or(Amount::ZERO);
        let balance = self.state.head(self.account).balance;
        let after_fee = balance.checked_sub(fee).ok_or(CommandRefusal::BadAmount)?;
        // What starts later is paid when it starts (rule 19), and may fail then (detail x).
        let starts_now = template.starts == Starts::Date;
        if starts_now && edge.mode == Mode::Prepaid && !fee.is_zero() && after_fee < Amount::ZERO {
            let (bundle, instance) = (template.id.clone(), key.id);
            let sequence = self.state.head(self.account).delta_sequence;
            tell(self.guided, NotificationKind::ActivationFailed { bundle, instance }, sequence, effects);
            return Err(CommandRefusal::NoMoney);
        }
        let mut instance = Instance {
            id: key.id.clone(),
            template: self.state.dictionary.template(template),
            payee: edge.payee.clone(),
            endpoint: endpoint.map(|endpoint| key.holder.clone().unwrap_or_else(|| Arc::from(endpoint))),
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
        if starts_now {
            self.start(&mut instance, effects);
        }
        self.tell_event(LifeEventKind::of_bundle(&instance, command.effective_time), effects);
        self.state.bundles.add(&key, instance);
        Ok(())
    }

    /// Makes an instance active and charges its fee; the range of the balance was checked before.
    fn start(&mut self, instance: &mut Instance, effects: &mut Vec<Effect<'a>>) {
        let GuidedCommand { command, edge, ancestors, .. } = *self.guided;
        draw::activate(&edge.time_zone, instance, command.effective_time);
        let payer = (edge.into(), ancestors.into());
        if let Some(mut charge) = fee_charge(&payer, (cause_of(self.guided), self.state.clock()), instance) {
            charge.deltas = debit(self.state, self.account, charge.amount);
            self.deltas.extend_from_slice(&charge.deltas);
            effects.push(Effect::Charge(charge));
            tell_exhausted(self.guided, self.state.head_mut(self.account), effects);
        }
    }

    fn activate_bundle(&mut self, of: &BundleRef, effects: &mut Vec<Effect<'a>>) -> Result<(), CommandRefusal> {
        let place = self.find(of)?;
        let edge = self.guided.edge;
        let found = self.state.bundles.at(place).expect("what was found is there");
        match found.phase {
            // A suspension of an earlier instant may arrive later: it ends here then.
            Phase::Active { .. } => return self.note_bundle_status(place, Status::Active, effects),
            // Bought on an edge that is no more: nothing could be drawn, and no fee is due (rule 6, detail y).
            Phase::Pending | Phase::Armed if found.payee != edge.payee => return Err(CommandRefusal::WrongState),
            Phase::Pending | Phase::Armed => {}
        }
        let fee = found.template.fee.unwrap_or(Amount::ZERO);
        let balance = self.state.head(self.account).balance;
        let after_fee = balance.checked_sub(fee).ok_or(CommandRefusal::BadAmount)?;
        if edge.mode == Mode::Prepaid && !fee.is_zero() && after_fee < Amount::ZERO {
            let (bundle, instance) = (found.template.id.clone(), found.id.clone());
            let sequence = self.state.head(self.account).delta_sequence;
            tell(self.guided, NotificationKind::ActivationFailed { bundle, instance }, sequence, effects);
            return Err(CommandRefusal::NoMoney);
        }
        let mut started = found.clone();
        note_status(&mut started.statuses, self.guided.command.effective_time, Status::Active)?;
        self.start(&mut started, effects);
        self.state.bundles.change(place, |instance| *instance = started);
        self.tell_state(place, effects);
        Ok(())
    }

    /// The instance by its id, or the only living one of a template.
    fn find(&self, of: &BundleRef) -> Result<RowPlace, CommandRefusal> {
        let at = self.guided.command.effective_time;
        let bundles = &self.state.bundles;
        let lives = |instance: &Instance| !matches!(instance.state_at(at), "terminated" | "expired");
        let place = match bundles.place(&self.key(of.endpoint.as_deref(), &of.name)) {
            Some(place) => place,
            None => {
                let held = bundles.places(self.account, self.holder(of.endpoint.as_deref()));
                let is_it = |place: &RowPlace| {
                    bundles.at(*place).is_some_and(|instance| *instance.template.id == *of.name && lives(instance))
                };
                let mut of_template = held.filter(is_it);
                match (of_template.next(), of_template.next()) {
                    (Some(place), None) => place,
                    (_, _) => return Err(CommandRefusal::NoSuchInstance),
                }
            }
        };
        // What has ended stays as it is (rule 17).
        match bundles.at(place).is_some_and(lives) {
            true => Ok(place),
            false => Err(CommandRefusal::WrongState),
        }
    }
}

fn cause_of<'a>(guided: &GuidedCommand<'a>) -> Cause<'a> {
    Cause::Command(guided.command, guided.key)
}

fn tell<'a>(guided: &GuidedCommand<'a>, kind: NotificationKind, sequence: u64, effects: &mut Vec<Effect<'a>>) {
    effects.push(Effect::Notification(Notification {
        kind,
        account: guided.edge.payer.clone(),
        endpoint: guided.command.kind.endpoint().map(Shared::Of),
        sequence: Some(sequence),
        cause: cause_of(guided),
    }));
}

fn tell_exhausted<'a>(guided: &GuidedCommand<'a>, account: &mut Head, effects: &mut Vec<Effect<'a>>) {
    if account.take_exhausted(guided.edge.mode) {
        let kind = NotificationKind::BalanceExhausted { balance: account.balance, currency: guided.edge.currency };
        tell(guided, kind, account.delta_sequence, effects);
    }
}
