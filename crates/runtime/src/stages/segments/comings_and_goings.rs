//! Rows that come and go, undone and settled, in a log that is compacted in whatever way a broker may: what is restored is what was there.

use super::*;
use crate::worker::log::Partition;
use rating::bundle::BundleTemplate;
use rating::command::{CommandKind, GuidedCommand};
use rating::leg::Mode;
use rating::{
    AccountId, AccountKind, BundleScope, Command, Currency, Edge, Element, Instance, Length, MatchKeys, Starts, Status,
    TimeZone, UsageMatch, Zone, apply_command,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % end
    }
}

/// Every message of a log, with its key; no value where it deletes.
#[derive(Default)]
struct Log(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Log {
    fn append(&mut self, output: &Output) {
        let topics = ["log".to_owned()];
        let messages = output.messages(&topics);
        self.0
            .extend(messages.map(|message| (message.key.expect("a key").to_vec(), message.value.map(<[u8]>::to_vec))));
    }

    /// Restores from what is left: the last message of each key, and any of those that it stands for.
    fn restore(&self, random: &mut Random) -> Unit<Kept> {
        let last: BTreeMap<&[u8], usize> = self.0.iter().enumerate().map(|(at, (key, _))| (&**key, at)).collect();
        let mut unit = Unit::empty(Kept::empty());
        for (at, (key, value)) in self.0.iter().enumerate() {
            let is_left = last[&**key] == at || random.below(3) == 0;
            if let Some(value) = value.as_deref().filter(|_| is_left) {
                restore(&mut unit, value).expect("a message of its own");
            }
        }
        unit.kept.end_restoring().expect("everything that is named is there");
        unit
    }
}

fn templates() -> Vec<Arc<BundleTemplate>> {
    let template = |number: i64| BundleTemplate {
        id: format!("bundle-{number}").into(),
        currency: Currency::parse("GBP").expect("a currency"),
        fee: None,
        starts: Starts::Date,
        lasts: Some(Length::Days(number as u32 + 1)),
        scope: BundleScope::Customer,
        promotional: false,
        warn_at: Box::new([]),
        elements: Box::new([Element {
            priority: 0,
            applies: UsageMatch {
                service: "data".into(),
                // Some share a zone.
                zone: Arc::new(Zone::new(&format!("zone-{}", number / 2), Vec::new(), vec!["44".into()])),
                keys: MatchKeys::default().into(),
            },
            unit: rating::Unit::Octets,
            amount: Some(100),
            class: rating::bundle::ElementClass::Standard,
        }]),
    };
    (0..6).map(|number| Arc::new(template(number))).collect()
}

fn buy(state: &mut State, template: &Arc<BundleTemplate>, account: &str, id: &str, at: Timestamp) {
    let edge = Edge {
        payer: AccountId::new(account),
        payer_kind: AccountKind::Customer,
        payee: AccountId::new("northstar"),
        level: 1,
        currency: Currency::parse("GBP").expect("a currency"),
        mode: Mode::Postpaid,
        status: Status::Active,
        time_zone: TimeZone::utc(),
        sponsors: None,
        subscription_types: None,
        properties: Arc::new([]),
    };
    let command = Command {
        id: id.into(),
        kind: CommandKind::BuyBundle { bundle: (*template.id).into(), endpoint: None },
        account_id: edge.payer.clone(),
        issued_by: "northstar".into(),
        effective_time: at,
        currency: None,
        note: None,
        reference: None,
    };
    let guided = GuidedCommand { command: &command, key: 0, edge: &edge, ancestors: "", template: Some(template) };
    let account = state.account(&edge.payer);
    apply_command(&guided, state, account, &mut Vec::new()).expect("applied");
}

fn held(state: &State) -> BTreeMap<(String, String), Instance> {
    let key = |(account, instance): (&AccountId, &Instance)| (account.to_string(), instance.id.to_string());
    state.instances().map(|held| (key(held), held.1.clone())).collect()
}

/// `RATER_COMPACTED_SEEDS` says for how many seeds.
#[test]
fn what_is_restored_is_what_was_there_however_the_log_is_compacted() {
    let seeds = std::env::var("RATER_COMPACTED_SEEDS").map_or(20, |text| text.parse().expect("a number"));
    let templates = templates();
    let changelog = Changelog::of("guided", Partition { topic: 0, number: 0 });
    let (mut cycles, mut left, mut came) = (0, 0, 0);
    for seed in 1..=seeds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed) | 1);
        let (mut state, mut segments, mut log) = (State::with_undo(), Segments::default(), Log::default());
        let (mut progress, mut bought) = (Progress::default(), 0);
        for day in 0..250_i64 {
            progress.position = Some(day);
            let now = Timestamp::from_millis(day * DAY_MS);
            let horizon = Timestamp::from_millis((day - 20).max(0) * DAY_MS);
            let (settled, was_bought, before) = (segments, bought, held(&state));
            for _ in 0..random.below(4) {
                // For weeks nobody buys some of them, so that their templates leave and come back.
                let template = &templates[(random.below(2) as i64 + day / 40 * 2) as usize % templates.len()];
                buy(&mut state, template, &format!("account-{}", random.below(5)), &format!("c{bought}"), now);
                bought += 1;
            }
            let mut output = Output::default();
            segments.write(&mut state, horizon, &progress, changelog, &mut output).expect("written");
            if random.below(5) == 0 {
                state.undo();
                (segments, bought) = (settled, was_bought);
                assert_eq!(held(&state), before, "seed {seed}, day {day}");
                continue;
            }
            state.settle();
            log.append(&output);
            if random.below(10) == 0 {
                let Kept { shard, segments: restored, .. } = log.restore(&mut random).kept;
                assert_eq!(held(&shard.state), held(&state), "seed {seed}, day {day}");
                assert_eq!(shard.state.accounts(), state.accounts(), "seed {seed}, day {day}");
                if random.below(2) == 0 {
                    (state, segments) = (shard.state, restored);
                }
            }
        }
        cycles += segments.cycle;
        came += bought;
        left += bought - held(&state).len();
    }
    assert!(cycles as u64 > 10 * seeds && left > came / 2, "{cycles} cycles, {left} of {came} have left");
}
