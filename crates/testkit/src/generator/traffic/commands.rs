//! Commands, right and wrong: money in and out, bundles bought and steered, accounts suspended and activated.

use super::bundles::{Bundle, FEES};
use super::lines::Arrival;
use super::world::World;
use super::{START_MS, moment};
use crate::generator::random::Random;
use crate::generator::record::time_text;
use std::fmt::Write as _;

/// A bundle that somebody was sold: what later commands steer.
struct Sold {
    account: usize,
    instance: String,
    template: String,
    endpoint: Option<String>,
}

/// Adds about `count` commands to `arrivals`.
pub(super) fn add(world: &World, count: u64, arrivals: &mut Vec<Arrival>, random: &mut Random) {
    // Just the money for a bundle, before anything is used.
    for account in 1..world.accounts.len() {
        if random.chance(400) {
            let mut command = Command { world, id: format!("first-{account}"), at: START_MS, random };
            let amount = *command.random.pick(&FEES);
            let issuer = command.issuer(account);
            let line = command.line("top_up", &world.accounts[account].name, &issuer, &[("amount", amount)]);
            arrivals.push(Arrival { at: START_MS, line: line.into_bytes() });
        }
    }
    let mut moments: Vec<i64> = (0..count).map(|_| moment(random)).collect();
    moments.sort_unstable();
    let mut sold: Vec<Sold> = Vec::new();
    for (number, at) in moments.into_iter().enumerate() {
        let mut command = Command { world, id: format!("c{number}"), at, random };
        let line = match command.random.below(100) {
            0..35 => command.money(),
            35..65 => command.buy(&mut sold),
            65..85 if !sold.is_empty() => command.steer(&sold),
            85..97 => command.account_status(arrivals),
            _ => command.nonsense(),
        };
        arrivals.push(Arrival { at, line: line.clone().into_bytes() });
        if random.chance(40) {
            arrivals.push(Arrival { at: at + 60_000, line: line.into_bytes() });
        }
    }
}

struct Command<'a> {
    world: &'a World,
    id: String,
    at: i64,
    random: &'a mut Random,
}

impl Command<'_> {
    fn account(&mut self) -> usize {
        1 + self.random.index(self.world.accounts.len() - 1)
    }

    /// An ancestor, or now and then somebody else.
    fn issuer(&mut self, account: usize) -> String {
        let accounts = &self.world.accounts;
        if self.random.chance(30) {
            return self.random.pick(accounts).name.clone();
        }
        let mut above = Vec::new();
        let mut current = accounts[account].parent;
        while let Some(at) = current {
            above.push(at);
            current = accounts[at].parent;
        }
        if above.is_empty() { accounts[0].name.clone() } else { accounts[*self.random.pick(&above)].name.clone() }
    }

    fn line(&self, kind: &str, account: &str, issuer: &str, rest: &[(&str, &str)]) -> String {
        let time = time_text(self.at);
        let mut line = format!(
            "{{\"command_id\":\"{}\",\"kind\":\"{kind}\",\"account_id\":\"{account}\",\"issued_by\":\"{issuer}\",\"effective_time\":\"{time}\"",
            self.id
        );
        for (name, value) in rest {
            let _ = write!(line, ",\"{name}\":\"{value}\"");
        }
        line.push('}');
        line
    }

    fn money(&mut self) -> String {
        let kind = *self.random.pick(&["top_up", "top_up", "top_up", "credit", "debit"]);
        let amount = if self.random.chance(950) {
            *self.random.pick(&["10.00", "5", "100.5", "0.0001", "25.123456", "1000"])
        } else {
            *self.random.pick(&["0", "-5.00", "five", ""])
        };
        let world = self.world;
        let (account, currency, issuer) = if self.random.chance(400) {
            let endpoint = self.random.pick(&world.endpoints);
            let customer = &world.accounts[endpoint.customer];
            let issuer = if self.random.chance(500) { customer.name.clone() } else { self.issuer(endpoint.customer) };
            (format!("{}/{}", customer.name, endpoint.name), customer.currency, issuer)
        } else {
            let account = self.account();
            (world.accounts[account].name.clone(), world.accounts[account].currency, self.issuer(account))
        };
        let mut rest = vec![("amount", amount)];
        match self.random.below(10) {
            0..6 => rest.push(("currency", currency)),
            6 => rest.push(("currency", "USD")),
            _ => {}
        }
        self.line(kind, &account, &issuer, &rest)
    }

    fn buy(&mut self, sold: &mut Vec<Sold>) -> String {
        let world = self.world;
        let account = self.account();
        let definition = &world.accounts[account];
        let fits = |bundle: &&Bundle| bundle.currency == definition.currency;
        let fitting: Vec<&Bundle> = world.bundles.iter().filter(fits).collect();
        let bundle =
            if self.random.chance(960) { *self.random.pick(&fitting) } else { self.random.pick(&world.bundles) };
        let below: Vec<&str> = world
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.customer == account)
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        let endpoint = (bundle.for_one_endpoint && !below.is_empty()).then(|| (*self.random.pick(&below)).to_owned());
        let name = if self.random.chance(980) { bundle.name.clone() } else { "no-such-bundle".to_owned() };
        let issuer = self.issuer(account);
        sold.push(Sold { account, instance: self.id.clone(), template: name.clone(), endpoint: endpoint.clone() });
        let mut rest = vec![("bundle_id", &*name)];
        rest.extend(endpoint.as_deref().map(|endpoint| ("endpoint_id", endpoint)));
        self.line("buy_bundle", &definition.name, &issuer, &rest)
    }

    /// Activates, suspends or cancels what was sold, named by itself or by its template.
    fn steer(&mut self, sold: &[Sold]) -> String {
        let Sold { account, instance, template, endpoint } = self.random.pick(sold);
        let kind = *self.random.pick(&["activate", "activate", "suspend", "cancel_bundle"]);
        let name = if self.random.chance(700) { instance } else { template };
        let issuer = self.issuer(*account);
        let mut rest = vec![("bundle_id", &**name)];
        rest.extend(endpoint.as_deref().map(|endpoint| ("endpoint_id", endpoint)));
        self.line(kind, &self.world.accounts[*account].name, &issuer, &rest)
    }

    /// A suspension, which ends after some days; or an end without a beginning.
    fn account_status(&mut self, arrivals: &mut Vec<Arrival>) -> String {
        let account = self.account();
        let issuer = self.issuer(account);
        let name = &self.world.accounts[account].name;
        if self.random.chance(200) {
            return self.line("activate", name, &issuer, &[]);
        }
        // Some arrive when their end has long come, and are dated back.
        let is_late = self.random.chance(200);
        let before = is_late.then(|| self.line("activate", name, &issuer, &[]));
        if is_late {
            self.at += 1;
            self.id.push_str("-late");
        }
        let suspension = self.line("suspend", name, &issuer, &[]);
        self.at += i64::try_from(self.random.between(1, 3 * 86_400_000)).unwrap_or(1);
        self.id.push_str("-end");
        arrivals.push(Arrival { at: self.at, line: self.line("activate", name, &issuer, &[]).into_bytes() });
        let Some(before) = before else { return suspension };
        let arrival = self.at + i64::try_from(self.random.between(1, 86_400_000)).unwrap_or(1);
        arrivals.push(Arrival { at: arrival, line: suspension.into_bytes() });
        before
    }

    fn nonsense(&mut self) -> String {
        match self.random.below(4) {
            0 => self.line("top_up", "nobody", "northstar", &[("amount", "5.00")]),
            1 => self.line("promote", &self.world.accounts[1].name, "northstar", &[]),
            2 => self.line("buy_bundle", &self.world.accounts[1].name, "northstar", &[]),
            _ => format!("{{\"command_id\":\"{}\",\"kind\":\"top_up\"}}", self.id),
        }
    }
}
