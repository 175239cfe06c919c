//! Commands and grants: applied once each, from an ancestor (rules 15 to 19 and 23).

use super::Oracle;
use super::allowances::{Instance, State};
use super::guide::endpoint_account;
use super::outcome::{Charge, CommandOutcome, CommandResult, News};
use super::rates::Starts;
use super::record::Command;
use super::reference::Status;
use super::values::amount_text;
use jiff::tz::TimeZone;
use num_rational::BigRational;
use num_traits::Zero;

/// An account that can be charged, as of a moment.
struct Payer {
    payee: String,
    currency: String,
    prepaid: bool,
    zone: TimeZone,
}

impl Oracle {
    /// Buys what the reference data grants, as commands with the ids `reference:ACCOUNT:BUNDLE[:ENDPOINT]`.
    pub(super) fn apply_grants(&mut self) {
        let mut commands = Vec::new();
        let mut command = |account: &str, grant: &super::reference::Grant| {
            let endpoint = grant.endpoint.as_ref().map(|endpoint| format!(":{endpoint}")).unwrap_or_default();
            commands.push(Command {
                id: format!("reference:{account}:{}{endpoint}", grant.bundle),
                kind: "buy_bundle".to_owned(),
                account: account.to_owned(),
                issued_by: String::new(),
                effective: grant.at,
                amount: BigRational::zero(),
                currency: None,
                bundle: Some(grant.bundle.clone()),
                endpoint: grant.endpoint.clone(),
            });
        };
        for account in &self.reference.accounts {
            account.grants.iter().for_each(|grant| command(&account.name, grant));
        }
        for endpoint in &self.reference.endpoints {
            for (customer, plan) in &endpoint.plans {
                let account = endpoint_account(customer, &endpoint.name);
                for grant in &plan.grants {
                    let is_own = self.reference.bundle(&grant.bundle).is_some_and(|bundle| bundle.for_one_endpoint);
                    let own = is_own.then(|| endpoint.name.clone());
                    command(&account, &super::reference::Grant { endpoint: own, ..grant.clone() });
                }
            }
        }
        commands.sort_by_key(|command| command.effective);
        for command in commands {
            if command.effective <= self.latest_event && !self.commands.contains(&command.id) {
                let outcome = self.apply_once(&command);
                self.grants.push(outcome);
            }
        }
    }

    pub(super) fn command(&mut self, command: &Command) -> CommandOutcome {
        if self.commands.contains(&command.id) {
            return self.outcome(command, CommandResult::Duplicate, Vec::new());
        }
        if !self.is_ancestor(&command.issued_by, &command.account, command.effective) {
            self.commands.insert(command.id.clone());
            self.tell(&command.account, &command.id, News::CommandRefused);
            let text = format!("{:?} is no ancestor of {:?}", command.issued_by, command.account);
            return self.outcome(command, CommandResult::Refused(text), Vec::new());
        }
        self.apply_once(command)
    }

    fn apply_once(&mut self, command: &Command) -> CommandOutcome {
        self.commands.insert(command.id.clone());
        let mut fees = Vec::new();
        let applied = match command.kind.as_str() {
            _ if self.status(&command.account, command.effective) == Status::Closed => {
                Err("the account is closed".to_owned())
            }
            _ if !self.is_in_its_currency(&command.account) => Err("another currency than before".to_owned()),
            "top_up" | "credit" => self.add_money(command, 1),
            "debit" => self.add_money(command, -1),
            "buy_bundle" => self.buy(command, &mut fees),
            "cancel_bundle" => self.cancel(command),
            "suspend" if command.bundle.is_some() => self.suspend_bundle(command),
            "activate" if command.bundle.is_some() => self.activate_bundle(command, &mut fees),
            "suspend" => self.set_status(command, Status::Suspended),
            "activate" => self.set_status(command, Status::Active),
            other => Err(format!("kind {other:?}")),
        };
        match &applied {
            Ok(()) => self.keep_currency(&command.account),
            Err(_) => self.tell(&command.account, &command.id, News::CommandRefused),
        }
        let result = applied.map_or_else(CommandResult::Refused, |()| CommandResult::Applied);
        self.outcome(command, result, fees)
    }

    fn outcome(&self, command: &Command, result: CommandResult, fees: Vec<Charge>) -> CommandOutcome {
        let known = self.payer(&command.account, command.effective).is_ok();
        let balance = known.then(|| {
            let money = self.money.get(&command.account).cloned().unwrap_or_default();
            (amount_text(&money.balance), money.sequence)
        });
        CommandOutcome { id: command.id.clone(), result, balance, fees }
    }

    /// For an endpoint account its customer counts as an ancestor (detail B).
    fn is_ancestor(&self, issuer: &str, account: &str, moment: i64) -> bool {
        match account.split_once('/') {
            Some((customer, _)) => issuer == customer || self.is_ancestor(issuer, customer, moment),
            None => self.reference.above(account, moment).iter().any(|above| above == issuer),
        }
    }

    fn payer(&self, account: &str, moment: i64) -> Result<Payer, String> {
        let unknown = || format!("no account {account:?}");
        if let Some((customer, endpoint)) = account.split_once('/') {
            let definition = self.reference.account(customer).ok_or_else(unknown)?;
            let definition_of_endpoint = self.reference.endpoint(endpoint).ok_or_else(unknown)?;
            let plan = definition_of_endpoint.plan_of(customer, moment).ok_or_else(unknown)?;
            return Ok(Payer {
                payee: customer.to_owned(),
                currency: definition.currency.clone(),
                prepaid: plan.prepaid,
                zone: definition.zone.clone(),
            });
        }
        let definition = self.reference.account(account).ok_or_else(unknown)?;
        Ok(Payer {
            payee: definition.at(moment).parent.clone().ok_or_else(|| format!("{account:?} is charged by nobody"))?,
            currency: definition.currency.clone(),
            prepaid: definition.prepaid,
            zone: definition.zone.clone(),
        })
    }

    fn add_money(&mut self, command: &Command, sign: i32) -> Result<(), String> {
        let payer = self.payer(&command.account, command.effective)?;
        if command.currency.as_ref().is_some_and(|currency| *currency != payer.currency) {
            return Err("another currency".to_owned());
        }
        let amount = if sign < 0 { -&command.amount } else { command.amount.clone() };
        self.post(&command.account, &amount, &command.kind);
        self.tell_if_exhausted(&command.account, payer.prepaid, &command.id);
        Ok(())
    }

    fn set_status(&mut self, command: &Command, status: Status) -> Result<(), String> {
        self.payer(&command.account, command.effective)?;
        // A fact of another moment may arrive later: nothing is too much.
        self.statuses.push((command.account.clone(), command.effective, status));
        Ok(())
    }

    fn buy(&mut self, command: &Command, fees: &mut Vec<Charge>) -> Result<(), String> {
        let payer = self.payer(&command.account, command.effective)?;
        let name = command.bundle.as_deref().ok_or("no bundle_id")?;
        let template = self.reference.bundle(name).ok_or_else(|| format!("no bundle {name:?}"))?.clone();
        if template.currency.as_ref().is_some_and(|currency| *currency != payer.currency) {
            return Err("another currency".to_owned());
        }
        if template.for_one_endpoint != command.endpoint.is_some() {
            return Err("an endpoint_id belongs to scope endpoint, and only there".to_owned());
        }
        if let Some(endpoint) = &command.endpoint
            && !self.reference.is_ever_below(endpoint, &command.account, command.effective)
        {
            return Err(format!("{endpoint:?} is not below {:?}", command.account));
        }
        let mut instance = Instance {
            id: command.id.clone(),
            left: template.elements.iter().map(|element| element.amount.clone()).collect(),
            payer: command.account.clone(),
            payee: payer.payee.clone(),
            endpoint: command.endpoint.clone(),
            zone: payer.zone,
            effective: command.effective,
            state: match template.starts {
                Starts::FirstUse => State::Armed,
                Starts::Date | Starts::Activation => State::Pending,
            },
            statuses: Vec::new(),
            ended: None,
            template,
        };
        if instance.template.starts == Starts::Date {
            self.charge_fee(command, &instance, payer.prepaid, fees)?;
            instance.activate(command.effective);
        }
        self.instances.push(instance);
        Ok(())
    }

    /// Charges the fee of an instance that a command makes active; refused without money on a prepaid account (detail x).
    fn charge_fee(
        &mut self,
        command: &Command,
        instance: &Instance,
        prepaid: bool,
        fees: &mut Vec<Charge>,
    ) -> Result<(), String> {
        let Some(amount) = instance.template.fee.as_ref().filter(|fee| !fee.is_zero()) else {
            return Ok(());
        };
        let balance = self.money.get(&instance.payer).map_or_else(BigRational::zero, |money| money.balance.clone());
        if prepaid && balance < *amount {
            self.tell(&instance.payer, &command.id, News::ActivationFailed(instance.id.clone()));
            return Err("not enough money".to_owned());
        }
        fees.push(self.book_fee(instance, amount, command.effective));
        self.tell_if_exhausted(&instance.payer, prepaid, &command.id);
        Ok(())
    }

    /// The position of the instance that a command names: its id, or its template when just one of that lives.
    fn instance(&self, command: &Command) -> Result<usize, String> {
        let name = command.bundle.as_deref().unwrap_or_default();
        // What belongs to an endpoint is named together with it.
        let of_account =
            |instance: &Instance| instance.payer == command.account && instance.endpoint == command.endpoint;
        let by_id = self.instances.iter().position(|instance| of_account(instance) && instance.id == name);
        if let Some(position) = by_id {
            return Ok(position);
        }
        let is_meant = |instance: &Instance| {
            of_account(instance) && instance.template.name == name && instance.lives(command.effective)
        };
        let mut meant = self.instances.iter().enumerate().filter(|(_, instance)| is_meant(instance));
        match (meant.next(), meant.next()) {
            (Some((position, _)), None) => Ok(position),
            (None, _) => Err(format!("no bundle {name:?}")),
            (Some(_), Some(_)) => Err(format!("several bundles {name:?}")),
        }
    }

    fn cancel(&mut self, command: &Command) -> Result<(), String> {
        let position = self.instance(command)?;
        let instance = &mut self.instances[position];
        if !instance.lives(command.effective) {
            return Err("it has ended".to_owned());
        }
        instance.ended = Some(command.effective);
        Ok(())
    }

    fn suspend_bundle(&mut self, command: &Command) -> Result<(), String> {
        let position = self.instance(command)?;
        let instance = &mut self.instances[position];
        if !instance.lives(command.effective) {
            return Err("it has ended".to_owned());
        }
        instance.statuses.push((command.effective, Status::Suspended));
        Ok(())
    }

    fn activate_bundle(&mut self, command: &Command, fees: &mut Vec<Charge>) -> Result<(), String> {
        let position = self.instance(command)?;
        let instance = &mut self.instances[position];
        if !instance.lives(command.effective) {
            return Err("it has ended".to_owned());
        }
        match instance.state {
            State::Active { .. } => {
                instance.statuses.push((command.effective, Status::Active));
                Ok(())
            }
            State::Pending | State::Armed => {
                let instance = instance.clone();
                let payer = self.payer(&command.account, command.effective)?;
                // Bought on an edge that is no more: nothing could be drawn, and no fee is due (rule 6, detail y).
                if payer.payee != instance.payee {
                    return Err("the account has moved".to_owned());
                }
                self.charge_fee(command, &instance, payer.prepaid, fees)?;
                self.instances[position].statuses.push((command.effective, Status::Active));
                self.instances[position].activate(command.effective);
                Ok(())
            }
        }
    }
}
