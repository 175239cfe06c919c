//! Identity -> endpoint -> the edges above it, as of the event time (rules 1, 4 and 7; details I and o).

use super::Oracle;
use super::outcome::Reason;
use super::record::Record;
use super::reference::{Endpoint, Kind};
use jiff::tz::TimeZone;

/// One edge that a record is rated on.
pub(super) struct Step {
    pub(super) level: u32,
    pub(super) payer: String,
    pub(super) payee: String,
    pub(super) payer_kind: PayerKind,
    pub(super) prepaid: bool,
    /// Of the payer's months.
    pub(super) zone: TimeZone,
    /// The endpoint that was used, if one was.
    pub(super) endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayerKind {
    EndpointAccount,
    Customer,
    Reseller,
}

/// The id of the account of `endpoint` under `customer`.
pub(super) fn endpoint_account(customer: &str, endpoint: &str) -> String {
    format!("{customer}/{endpoint}")
}

impl Oracle {
    /// The edges of `record`, lowest first; or why it waits as a whole.
    pub(super) fn guided_legs(&self, record: &Record) -> Result<Vec<Step>, Reason> {
        let named: Vec<&Endpoint> = self.endpoints_named(record);
        let Some(endpoint) = named.first() else {
            // An identity that nobody has is not mended by an account beside it.
            let given = [&record.imsi, &record.iccid, &record.msisdn, &record.endpoint_id];
            let account = record.account_id.as_ref().filter(|_| given.iter().all(|identity| identity.is_none()));
            let account = account.ok_or(Reason::UnknownEndpoint)?;
            return self.account_steps(account, record.event_time);
        };
        if named.iter().any(|other| other.name != endpoint.name) {
            return Err(Reason::IdentityConflict);
        }
        let facts = endpoint.at(record.event_time);
        // Somebody is found, so whatever else is given has to be the same one's.
        let is_own =
            |given: &Option<String>, known: &[String]| given.as_ref().is_none_or(|given| known.contains(given));
        let all_own = is_own(&record.imsi, &facts.imsis)
            && is_own(&record.iccid, facts.iccid.as_slice())
            && is_own(&record.msisdn, facts.msisdn.as_slice())
            && is_own(&record.endpoint_id, std::slice::from_ref(&endpoint.name));
        if !all_own {
            return Err(Reason::IdentityConflict);
        }
        if let Some(account) = &record.account_id {
            let own = facts.plan.is_some() && *account == endpoint_account(&facts.customer, &endpoint.name);
            let above = self.reference.above(&facts.customer, record.event_time);
            if !own && *account != facts.customer && !above.contains(account) {
                return Err(Reason::IdentityConflict);
            }
        }
        if !endpoint.is_active(record.event_time) {
            return Err(Reason::EndpointInactive);
        }
        let mut steps = Vec::new();
        if let Some(plan) = &facts.plan {
            steps.push(self.endpoint_step(&facts.customer, &endpoint.name, plan.prepaid));
        }
        steps.extend(self.steps_above(&facts.customer, Some(&endpoint.name), record.event_time));
        Ok(steps)
    }

    /// Every endpoint that an identity of the record names at its event time.
    fn endpoints_named(&self, record: &Record) -> Vec<&Endpoint> {
        let names = |endpoint: &&Endpoint| {
            let facts = endpoint.at(record.event_time);
            let same = |given: &Option<String>, known: &Option<String>| given.is_some() && given == known;
            record.imsi.as_ref().is_some_and(|imsi| facts.imsis.contains(imsi))
                || same(&record.iccid, &facts.iccid)
                || same(&record.msisdn, &facts.msisdn)
                || record.endpoint_id.as_ref() == Some(&endpoint.name)
        };
        self.reference.endpoints.iter().filter(names).collect()
    }

    /// The edges of a record that names an account (detail o).
    fn account_steps(&self, account: &str, moment: i64) -> Result<Vec<Step>, Reason> {
        if let Some((customer, name)) = account.split_once('/') {
            let endpoint = self.reference.endpoint(name).ok_or(Reason::UnknownEndpoint)?;
            if !endpoint.is_active(moment) {
                return Err(Reason::EndpointInactive);
            }
            let facts = endpoint.at(moment);
            let plan = facts.plan.as_ref().filter(|_| facts.customer == customer).ok_or(Reason::UnknownEndpoint)?;
            let mut steps = vec![self.endpoint_step(customer, name, plan.prepaid)];
            steps.extend(self.steps_above(customer, Some(name), moment));
            return Ok(steps);
        }
        match self.reference.account(account).map(|account| account.kind) {
            None | Some(Kind::Operator) => Err(Reason::UnknownEndpoint),
            Some(Kind::Reseller | Kind::Customer) => Ok(self.steps_above(account, None, moment)),
        }
    }

    fn endpoint_step(&self, customer: &str, endpoint: &str, prepaid: bool) -> Step {
        Step {
            level: 0,
            payer: endpoint_account(customer, endpoint),
            payee: customer.to_owned(),
            payer_kind: PayerKind::EndpointAccount,
            prepaid,
            // It names none: its customer's, in whose partition it lies.
            zone: self.reference.account(customer).map_or(TimeZone::UTC, |account| account.zone.clone()),
            endpoint: Some(endpoint.to_owned()),
        }
    }

    /// The edges from `account` to the operator, from level 1.
    fn steps_above(&self, account: &str, endpoint: Option<&str>, moment: i64) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut payer = account.to_owned();
        for (level, payee) in (1..).zip(self.reference.above(account, moment)) {
            if let Some(definition) = self.reference.account(&payer) {
                steps.push(Step {
                    level,
                    payer: payer.clone(),
                    payee: payee.clone(),
                    payer_kind: if definition.kind == Kind::Customer {
                        PayerKind::Customer
                    } else {
                        PayerKind::Reseller
                    },
                    prepaid: definition.prepaid,
                    zone: definition.zone.clone(),
                    endpoint: endpoint.map(str::to_owned),
                });
            }
            payer = payee;
        }
        steps
    }
}
