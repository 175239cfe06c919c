//! Messages that fill every field there is a value for, and the ends of ranges; as Avro, and as a JSON line.

use rating::bundle::AllowanceDraw;
use rating::charge::{FeeOf, SegmentSource};
use rating::effect::NotificationKind;
use rating::{
    AccountId, AccountKind, Amount, Cause, Charge, ChargeId, ChargeReason, Command, CommandKind, Currency, Delta,
    DeltaKind, Edge, Exact, LifeEvent, LifeEventKind, Mode, Notification, Posting, Segment, Shared, Status,
    SuspenseReason, TimeZone, Timestamp, Unit, UsageRecord,
};
use runtime::wire::{
    CloudEvents, CommandOutcome, CommandReply, Encoder, Headers, Message, Origin, OutputFormat, SuspenseRecord,
};
use serde_json::Value as Json;
use std::sync::Arc;

/// A message in two forms.
pub(super) struct Sample {
    pub(super) message: Message,
    pub(super) avro: Vec<u8>,
    pub(super) json: Json,
    pub(super) headers: Headers,
}

fn sample(message: Message, headers: Headers, encode: impl Fn(&Encoder, &mut Vec<u8>)) -> Sample {
    let (mut avro, mut line) = (Vec::new(), Vec::new());
    encode(&Encoder::new(OutputFormat::Avro, "hash-1"), &mut avro);
    encode(&Encoder::new(OutputFormat::JsonLines, "hash-1"), &mut line);
    Sample { message, avro, json: serde_json::from_slice(&line).expect("a JSON line"), headers }
}

fn events() -> CloudEvents {
    CloudEvents::new("/rater/test/")
}

/// Every message, several times.
pub(super) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    charges(&mut samples);
    fees(&mut samples);
    commands(&mut samples);
    suspense(&mut samples);
    notifications(&mut samples);
    life_events(&mut samples);
    samples
}

fn amounts() -> Vec<Amount> {
    let limit = 10_i128.pow(28) - 1;
    let unscaled =
        [0, 1, -1, 127, 128, -128, -129, 255, 256, 32_767, -32_769, 1 << 63, 3_170_000_000_i128 * 10, limit, -limit];
    unscaled.into_iter().map(|unscaled| Amount::from_unscaled(unscaled).expect("an amount")).collect()
}

fn edge() -> Edge {
    Edge {
        payer: AccountId::new("acme"),
        payer_kind: AccountKind::Customer,
        payee: AccountId::new("beta"),
        level: 1,
        currency: Currency::parse("GBP").expect("a currency"),
        mode: Mode::Prepaid,
        status: Status::Active,
        time_zone: TimeZone::utc(),
        sponsors: None,
        subscription_types: None,
        properties: [(Box::from("crm"), Box::from("C-17")), (Box::from("nö\n"), Box::from("✓ 𝄞"))].into(),
    }
}

fn usage() -> UsageRecord {
    UsageRecord {
        quantity: i64::MAX as u64,
        ..UsageRecord::new("r1 ✓", "pgw-1", "data", Timestamp::from_millis(1_772_719_200_250))
    }
}

fn charges(samples: &mut Vec<Sample>) {
    let (edge, usage) = (edge(), usage());
    for amount in amounts() {
        let draw = AllowanceDraw {
            bundle: "uk".into(),
            instance: "b1".into(),
            element: 3,
            before: Some(i64::MAX as u64),
            after: None,
        };
        let segments = [
            Segment { source: SegmentSource::Allowance(draw), quantity: 5, billable: 0, amount: Exact::ZERO },
            Segment { source: SegmentSource::NoTariff, quantity: 7, billable: 1, amount: Exact::from(amount) },
        ];
        let sequence = i64::MAX as u64;
        let charge = Charge {
            id: ChargeId { base: u128::MAX, level: 1, revision: i32::MAX as u32 },
            edge: (&edge).into(),
            ancestors: "northstar/beta".into(),
            cause: Cause::Usage(&usage, 1),
            endpoint: Some("meter-1".into()),
            event_time: usage.event_time,
            booked_time: Some(Timestamp::LATEST),
            quantity: usage.quantity,
            unit: usage.unit,
            amount,
            waived: amount,
            reason: ChargeReason::Rated,
            segments: segments.into_iter().collect(),
            deltas: smallvec::smallvec![Delta { sequence, amount: amount.negated(), balance_after: amount }],
            rate: None,
            fee_of: None,
        };
        samples.push(sample(Message::Charge, events().charge(&charge), |encoder, out| encoder.charge(&charge, out)));
        for delta in charge.balance_deltas() {
            samples
                .push(sample(Message::BalanceDelta, events().delta(&delta), |encoder, out| encoder.delta(&delta, out)));
        }
    }
}

fn fees(samples: &mut Vec<Sample>) {
    let edge = Edge { properties: [].into(), ..edge() };
    let fee = Charge {
        id: ChargeId { base: 0, level: 1, revision: 0 },
        edge: Shared::Kept(Arc::new(edge)),
        ancestors: "".into(),
        cause: Cause::DueWork(Timestamp::EPOCH, 1),
        endpoint: None,
        event_time: Timestamp::EPOCH,
        booked_time: None,
        quantity: 0,
        unit: Unit::Units,
        amount: Amount::ZERO,
        waived: Amount::ZERO,
        reason: ChargeReason::BundleFee,
        segments: [].into_iter().collect(),
        deltas: [].into_iter().collect(),
        rate: None,
        fee_of: Some(FeeOf { bundle: "uk".into(), instance: "b1".into() }),
    };
    samples.push(sample(Message::Charge, events().charge(&fee), |encoder, out| encoder.charge(&fee, out)));
}

fn commands(samples: &mut Vec<Sample>) {
    let edge = edge();
    for (amount, note) in amounts().into_iter().zip([None, Some("a \"note\",\n✓")].into_iter().cycle()) {
        let command = Command {
            id: "c1".into(),
            kind: CommandKind::SuspendAccount,
            account_id: AccountId::new("acme"),
            issued_by: "beta".into(),
            effective_time: Timestamp::from_millis(1),
            currency: None,
            note: note.map(Box::from),
            reference: Some("invoice 7".into()),
        };
        let posted = Posting {
            edge: (&edge).into(),
            ancestors: "northstar/beta".into(),
            delta: Delta { sequence: 1, amount, balance_after: amount.negated() },
            kind: DeltaKind::TopUp,
            cause: Cause::Command(&command, 1),
            booked_time: Some(Timestamp::EPOCH),
        };
        let posted = posted.balance_delta();
        samples
            .push(sample(Message::BalanceDelta, events().delta(&posted), |encoder, out| encoder.delta(&posted, out)));
        for outcome in [CommandOutcome::Applied, CommandOutcome::Suspended(SuspenseReason::AccountClosed)] {
            let reply =
                CommandReply { command: &command, outcome, detail: note, deltas: &[posted.delta], sequence: Some(1) };
            samples
                .push(sample(Message::CommandReply, events().reply(&reply), |encoder, out| encoder.reply(&reply, out)));
        }
    }
}

fn suspense(samples: &mut Vec<Sample>) {
    let all: Vec<u8> = (0..=255).collect();
    let topic = Origin::Topic { name: "usage", partition: i32::MAX as u32, offset: i64::MAX, key: Some(b"001\xff") };
    for original in [&b""[..], b"{}", "✓ 𝄞\u{0}\n".as_bytes(), b"\xff", &all] {
        for (origin, level, event_time) in [
            (Origin::File { name: "in/usage.csv", place: i64::MAX as u64 }, None, None),
            (topic, Some(u8::MAX), Some(Timestamp::from_millis(999))),
            (Origin::Topic { name: "usage", partition: 0, offset: 0, key: None }, Some(0), Some(Timestamp::EPOCH)),
        ] {
            let record = SuspenseRecord {
                key: level.map(|_| u128::MAX),
                reason: SuspenseReason::Undecodable,
                detail: "byte 1: is not \"UTF-8\", at\nall",
                stage: "intake",
                level,
                usage_id: level.map(|_| "r,1"),
                event_time,
                original,
                content_type: "text/csv",
                origin,
                attempt: i32::MAX as u32,
            };
            samples.push(sample(Message::Suspense, events().suspense(&record), |encoder, out| {
                encoder.suspense(&record, out)
            }));
        }
    }
}

fn notifications(samples: &mut Vec<Sample>) {
    let usage = usage();
    let kinds = [
        NotificationKind::AllowanceThreshold {
            bundle: "uk".into(),
            instance: "b1".into(),
            element: u16::MAX,
            percent: 100,
            remaining: i64::MAX as u64,
            unit: Unit::Octets,
            period_start: Timestamp::EPOCH,
        },
        NotificationKind::BalanceExhausted {
            balance: Amount::from_unscaled(-31_700_000_000).expect("an amount"),
            currency: Currency::parse("GBP").expect("a currency"),
        },
        NotificationKind::CapReached { tariff: "retail".into() },
        NotificationKind::ActivationFailed { bundle: "uk".into(), instance: "b1".into() },
        NotificationKind::CommandRefused { reason: "unknown_account" },
    ];
    for kind in kinds {
        let notification = Notification {
            kind,
            account: AccountId::new("acme"),
            endpoint: Some("meter-1".into()),
            sequence: Some(7),
            cause: Cause::Usage(&usage, 1),
        };
        samples.push(sample(Message::Notification, events().notification(&notification), |encoder, out| {
            encoder.notification(&notification, out)
        }));
    }
}

fn life_events(samples: &mut Vec<Sample>) {
    let usage = usage();
    let bundle = |endpoint: Option<&str>, validity| LifeEventKind::BundleState {
        state: "active",
        bundle: "uk".into(),
        instance: "b1 ✓".into(),
        endpoint: endpoint.map(Arc::from),
        validity,
    };
    let range = Some((Timestamp::EPOCH, Some(Timestamp::from_millis(1_772_719_200_001))));
    for kind in [bundle(Some("meter-1"), range), bundle(None, None), LifeEventKind::AccountStatus(Status::Suspended)] {
        let account = AccountId::new("acme");
        let event = LifeEvent {
            account,
            ancestors: "northstar/beta".into(),
            kind,
            cause: Cause::Usage(&usage, 1),
            booked_time: Some(Timestamp::EPOCH),
        };
        samples.push(sample(Message::LifeEvent, events().life_event(&event), |encoder, out| {
            encoder.life_event(&event, out)
        }));
    }
}
