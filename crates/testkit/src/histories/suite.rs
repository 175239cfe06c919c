//! One suite for every directory: histories are published version by version, and each answer is compared with the naive one.

use super::memory::{Definition, Write};
use super::naive::{self, Question};
use super::world::{Field, Version, World};
use crate::generator::random::Random;
use directory::cache::IdentityKey;
use directory::model::IdentityKind;
use directory::value::Digits;
use directory::{Directory, Needs};
use rating::{AccountId, Command, RateChoice, Timestamp, UsageRecord};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A directory under test.
pub trait Target {
    /// Publishes a version: what it changes, and all of it as one text. Returns once the directory serves it.
    ///
    /// # Errors
    /// Why it does not.
    fn publish(&mut self, write: &Write, whole: &str) -> Result<(), String>;

    /// What batches ask.
    fn directory(&self) -> Arc<dyn Directory>;
}

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Worlds, each of them new.
    pub worlds: usize,
    /// Endpoints of each.
    pub endpoints: usize,
    /// Questions per version.
    pub questions: usize,
    /// Questions of a batch.
    pub batch: usize,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Histories of endpoints and accounts.
    pub histories: usize,
    /// Versions published.
    pub versions: usize,
    /// Answers compared.
    pub answers: usize,
}

/// Runs worlds through targets made by `make`.
///
/// # Errors
/// The first difference, with the seed.
pub fn run<T: Target>(seed: u64, size: Size, mut make: impl FnMut() -> T) -> Result<Done, String> {
    let mut done = Done::default();
    for number in 0..size.worlds {
        // Each world has a seed of its own, so that it can be looked at alone.
        let seed = seed.wrapping_add(number as u64);
        let in_world = |error: String| format!("world {seed}: {error}");
        let mut random = Random::new(seed);
        let world = World::new(&mut random, size.endpoints);
        let mut target = make();
        let mut before = None;
        for version in &world.versions {
            let write = write_of(&world, before, version);
            target.publish(&write, &world.text(version)).map_err(in_world)?;
            for _ in 0..size.questions.div_ceil(size.batch.max(1)) {
                let questions: Vec<Question> =
                    (0..size.batch).map(|_| question(&world, version, &mut random)).collect();
                check(&world, version, &questions, &*target.directory()).map_err(in_world)?;
                done.answers += questions.len();
            }
            done.versions += 1;
            before = Some(version);
        }
        let subjects: BTreeSet<&str> = world.facts.iter().map(|fact| fact.subject.as_str()).collect();
        done.histories += subjects.len();
    }
    Ok(done)
}

/// What a version writes over the one before.
#[must_use]
pub fn write_of(world: &World, before: Option<&Version>, version: &Version) -> Write {
    let catalog = world.catalog_text(version);
    let is_new = before.is_none_or(|before| world.catalog_text(before) != catalog);
    let mut endpoints = Vec::new();
    for name in &world.endpoints {
        let text = |version: &Version| version.endpoints.contains(name).then(|| world.definition(name, version));
        let (old, new) = (before.and_then(text), text(version));
        if old != new {
            let identities = identities_of(world, name, version);
            endpoints.push((name.clone(), new.map(|text| Definition { text, identities })));
        }
    }
    Write { catalog: is_new.then_some(catalog), endpoints }
}

fn identities_of(world: &World, endpoint: &str, version: &Version) -> BTreeSet<IdentityKey> {
    let known = world.facts[..version.facts].iter().filter(|fact| fact.subject == endpoint);
    let key = |field: Field, digits: &str| match field {
        Field::Identity(kind) => Some(IdentityKey::Identity(*IdentityKind::ALL.get(kind)?, Digits::parse(digits)?)),
        Field::Above
        | Field::Status
        | Field::Activation
        | Field::Group
        | Field::Plan
        | Field::Tariff
        | Field::DefaultTariff => None,
    };
    known.filter_map(|fact| key(fact.field, fact.value.as_deref()?)).collect()
}

fn question(world: &World, version: &Version, random: &mut Random) -> Question {
    let mut question = Question { at: world.moment(random), ..Question::default() };
    if random.chance(100) {
        let account = match random.below(4) {
            0 => format!("c{}/{}", random.below(7), random.pick(&world.endpoints)),
            1 => "op".to_owned(),
            2 => format!("r{}", random.below(5)),
            _ => format!("c{}", random.below(8)),
        };
        question.account = Some(account);
        if random.chance(700) {
            return question;
        }
    }
    if random.chance(150) {
        question.endpoint = Some(random.pick(&world.endpoints).clone());
        if random.chance(500) {
            return question;
        }
    }
    // Mostly what one endpoint has at the time; now and then something of another's, or nobody's.
    let endpoint = random.pick(&world.endpoints).clone();
    for kind in 0..3 {
        let own = world.facts[..version.facts].iter().rev();
        let own = own.filter(|fact| fact.at <= question.at && fact.subject == endpoint);
        let own = own.filter(|fact| fact.field == Field::Identity(kind)).find_map(|fact| fact.value.clone());
        question.identities[kind] = match random.below(10) {
            0..4 => own,
            4 if !world.identities[kind].is_empty() => Some(random.pick(&world.identities[kind]).clone()),
            5 => Some(format!("99999999999999999{}{kind}", random.below(9))),
            _ => None,
        };
    }
    question
}

/// Asks a batch of questions, and compares.
fn check(world: &World, version: &Version, questions: &[Question], directory: &dyn Directory) -> Result<(), String> {
    let records: Vec<UsageRecord> = questions.iter().map(record).collect();
    let commands: Vec<Command> = questions.iter().filter_map(command).collect();
    let mut needs = Needs::default();
    records.iter().for_each(|record| needs.add_record(record));
    commands.iter().for_each(|command| needs.add_command(command));
    let snapshot = directory.snapshot_for(&needs).map_err(|error| error.to_string())?;
    for (question, record) in questions.iter().zip(&records) {
        let expected = naive::answer(world, version, question);
        let answer = match snapshot.lineage_for(record) {
            Err(reason) => reason.name().to_owned(),
            Ok(lineage) => {
                let mut text = lineage.endpoint.unwrap_or("-").to_owned();
                for step in lineage.edges() {
                    let tariff = match step.rate_for(record) {
                        RateChoice::Rate(_) => step.tariff().map_or("?", |tariff| tariff.id()).to_owned(),
                        RateChoice::NoTariff => "none".to_owned(),
                        RateChoice::Missing(_) => "missing".to_owned(),
                    };
                    let edge = &step.edge;
                    let status = format!("{:?}", edge.status).to_lowercase();
                    text.push_str(&format!(" {}>{}:{status}:{tariff}", edge.payer, edge.payee));
                }
                text
            }
        };
        if answer != expected {
            return Err(format!("{question:?} as of {version:?}:\n  naive   {expected}\n  product {answer}"));
        }
    }
    for command in &commands {
        // Whether the account of an endpoint is one is told by the plan as of the time.
        let name = command.account_id.as_str();
        let question =
            Question { account: Some(name.to_owned()), at: command.effective_time.millis(), ..Question::default() };
        let expected = naive::answer(world, version, &question);
        let is_payer = expected.contains(&format!(" {name}>"));
        let edge = snapshot.edge_of(&command.account_id, command.effective_time);
        // Commands reach the account of an endpoint that is not active, or has lost its plan; records do not.
        if is_payer && edge.is_none() {
            return Err(format!("{name} as of {version:?} pays, but has no edge"));
        }
    }
    Ok(())
}

fn record(question: &Question) -> UsageRecord {
    let text = |text: &Option<String>| text.as_deref().map(Box::from);
    let [imsi, iccid, msisdn] = question.identities.each_ref().map(text);
    UsageRecord {
        quantity: 1,
        imsi,
        iccid,
        msisdn,
        endpoint_id: text(&question.endpoint),
        account_id: text(&question.account),
        ..UsageRecord::new("r", "test", "data", Timestamp::from_millis(question.at))
    }
}

/// A command to the account that a question names.
fn command(question: &Question) -> Option<Command> {
    Some(Command {
        id: "c".into(),
        kind: rating::CommandKind::SuspendAccount,
        account_id: AccountId::new(question.account.as_deref()?),
        issued_by: "op".into(),
        effective_time: Timestamp::from_millis(question.at),
        currency: None,
        note: None,
        reference: None,
    })
}
