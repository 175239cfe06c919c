//! Small worlds for the benchmarks of the core: reference data as YAML, usage records, and legs that are ready to be rated.

use directory::{Input, InputKind, Loaded, load};
use pipeline::guide::guide_command;
use pipeline::{Field, IntakeRules, Intaken, RateShard, RawUsage, RawValue, Task, Work, guide, intake_usage};
use rating::{Command, CommandKind, Effect};
use std::hint::black_box;

/// Legs that one call of the owner gets: as many as one of 64 owners gets of the batch of the embedded runtime, on four levels.
pub(crate) const BATCH: usize = 512;

/// Loads a document.
pub(crate) fn world(yaml: String) -> Loaded {
    match load(vec![Input { name: "bench.yaml".to_owned(), bytes: yaml.into_bytes(), kind: InputKind::Yaml }]) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

/// A document with one tariff `t` of these rates and these further parts.
pub(crate) fn document(rates: &str, bundles: &str, accounts: &str, endpoints: &str) -> String {
    let bundles = if bundles.is_empty() { String::new() } else { format!("bundles:\n{bundles}\n") };
    let endpoints = if endpoints.is_empty() { String::new() } else { format!("endpoints:\n{endpoints}\n") };
    format!(
        "format: rater/v1
tariffs:
  t:
    currency: GBP
    time_zone: Europe/London
    versions:
      - from: 2020-01-01T00:00:00Z
        rates:
{rates}
{bundles}accounts:
  op: {{ kind: operator, currency: GBP }}
{accounts}
{endpoints}"
    )
}

/// One customer of the operator with one endpoint without a plan, so that a record has one leg.
pub(crate) fn one_customer(rates: &str) -> Loaded {
    world(document(
        rates,
        "",
        "  acme: { kind: customer, parent: op, currency: GBP, tariff: t }",
        "  meter: { customer: acme, imsi: \"234150000000001\" }",
    ))
}

/// The fields of a record; the rest is the same for all.
pub(crate) struct Fields {
    pub(crate) service: &'static str,
    pub(crate) quantity: u64,
    pub(crate) event_time_ms: i64,
    pub(crate) imsi: String,
    pub(crate) account: Option<String>,
    pub(crate) network: (String, String),
    pub(crate) session: Option<String>,
}

/// 5 March 2026, 14:00 UTC.
pub(crate) const NOON_MS: i64 = 1_772_719_200_000;

impl Default for Fields {
    fn default() -> Fields {
        Fields {
            service: "data",
            quantity: 1,
            event_time_ms: NOON_MS,
            imsi: "234150000000001".to_owned(),
            account: None,
            network: ("234".to_owned(), "15".to_owned()),
            session: None,
        }
    }
}

/// The record as it comes from a decoder.
pub(crate) fn raw(at: usize, fields: &Fields) -> RawUsage<'static> {
    let mut raw = RawUsage::default();
    let mut set = |field, text: &str| raw.set(field, RawValue::Text(text.to_owned().into()));
    set(Field::Id, &format!("record-{at}"));
    set(Field::Source, "pgw-1");
    set(Field::Service, fields.service);
    match &fields.account {
        Some(account) => set(Field::AccountId, account),
        None => set(Field::Imsi, &fields.imsi),
    }
    set(Field::Mcc, &fields.network.0);
    set(Field::Mnc, &fields.network.1);
    if let Some(session) = &fields.session {
        set(Field::SessionId, session);
    }
    raw.set(Field::EventTime, RawValue::Integer(fields.event_time_ms));
    raw.set(Field::Quantity, RawValue::Integer(i64::try_from(fields.quantity).unwrap_or(i64::MAX)));
    raw
}

/// Rules that let everything through.
pub(crate) fn rules() -> IntakeRules {
    IntakeRules::new("bench")
}

/// A number of records after intake.
pub(crate) fn records(count: usize, fields: impl Fn(usize) -> Fields) -> Vec<Intaken> {
    let rules = rules();
    let record = |at| intake_usage(&raw(at, &fields(at)), &rules).unwrap_or_else(|fault| panic!("{fault:?}"));
    (0..count).map(record).collect()
}

/// A spread of numbers below `bound`: the same in each run.
pub(crate) fn scattered(at: usize, bound: u64) -> u64 {
    (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) % bound
}

/// Between 1 KB and 5 MB.
pub(crate) fn ordinary(at: usize) -> u64 {
    1_000 + scattered(at, 5_000_000)
}

/// Guides all records and gives their legs.
pub(crate) fn tasks<'a>(loaded: &'a Loaded, records: &'a [Intaken]) -> Vec<Task<'a>> {
    let legs = records.iter().flat_map(|intaken| {
        let guided = guide(intaken, &loaded.snapshot, rating::Timestamp::EPOCH);
        guided.unwrap_or_else(|reason| panic!("{reason:?}")).legs()
    });
    legs.map(|leg| Task { position: 0, work: Work::Leg(leg) }).collect()
}

/// Rates tasks in batches, dropping what they put out. Returns how many charges there were, and how many segments.
pub(crate) fn rate<'a>(shard: &mut RateShard, tasks: &[Task<'a>]) -> (usize, usize) {
    let (mut effects, mut rated) = (Vec::new(), Vec::new());
    let mut seen = (0, 0);
    for batch in tasks.chunks(BATCH) {
        shard.execute(batch.iter().copied(), &mut effects, &mut rated);
        for effect in &effects {
            if let Effect::Charge(charge) = effect {
                seen = (seen.0 + 1, seen.1 + charge.segments.len());
            }
        }
        black_box(&effects);
        effects.clear();
        rated.clear();
    }
    seen
}

/// State in which the bundles of the reference data have been bought.
pub(crate) fn granted(loaded: &Loaded) -> RateShard {
    let mut shard = RateShard::default();
    let commands = loaded.grants().iter().map(|grant| {
        let account_id = rating::AccountId::new(&grant.account);
        let edge = loaded.snapshot.edge_of(&account_id, grant.at).expect("the account of a grant");
        Command {
            id: grant.command_id.as_str().into(),
            kind: CommandKind::BuyBundle {
                bundle: grant.bundle.as_str().into(),
                endpoint: grant.endpoint.as_deref().map(Box::from),
            },
            issued_by: edge.payee.as_str().into(),
            account_id,
            effective_time: grant.at,
            currency: None,
            note: None,
            reference: None,
        }
    });
    let commands: Vec<Command> = commands.collect();
    let guided = commands.iter().map(|command| {
        let guided = guide_command(0, command, &loaded.snapshot).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        Task { position: 0, work: Work::Command(guided) }
    });
    let mut rated = Vec::new();
    shard.execute(guided, &mut Vec::new(), &mut rated);
    assert!(rated.iter().all(|task| task.outcome == pipeline::RateOutcome::Applied), "a grant was refused");
    shard
}
