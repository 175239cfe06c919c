//! The fields of each message, in the order of its schema (`schemas/*.avsc`): the one place where core values get their wire names.

use super::part::Part;
use super::sink::{Item, Sink};
use crate::wire::schema::Contracts;
use pipeline::{CommandOutcome, CommandReply};
use rating::charge::{ChargeId, FeeOf, SegmentSource};
use rating::effect::NotificationKind;
use rating::{
    AccountKind, Amount, BalanceDelta, Cause, Charge, Delta, LifeEvent, LifeEventKind, Notification, Segment,
    SuspenseReason, Timestamp, UnitPrice,
};
use rust_decimal::Decimal;
use smallvec::SmallVec;

/// A record or leg that waits, as told to the outside.
#[derive(Clone, Copy, Debug)]
pub struct SuspenseRecord<'a> {
    /// Identity of the record, where it could be read.
    pub key: Option<u128>,
    /// Stable code.
    pub reason: SuspenseReason,
    /// What exactly, for a person.
    pub detail: &'a str,
    /// `intake`, `guide` or `rate`; `recycle` for what does not wait any more, because it was given up.
    pub stage: &'static str,
    /// The level, if only that one waits.
    pub level: Option<u8>,
    /// Id of the record or command, where it could be read.
    pub usage_id: Option<&'a str>,
    /// Event time, where it could be read.
    pub event_time: Option<Timestamp>,
    /// The original bytes.
    pub original: &'a [u8],
    /// Their form.
    pub content_type: &'a str,
    /// Where they came from.
    pub origin: Origin<'a>,
    /// How often it was tried before.
    pub attempt: u32,
}

/// Where a record came from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A file.
    File {
        /// Its name.
        name: &'a str,
        /// Line, or number of the record.
        place: u64,
    },
    /// A topic.
    Topic {
        /// Its name.
        name: &'a str,
        /// The partition.
        partition: u32,
        /// The number of the message there.
        offset: i64,
        /// The key of the message.
        key: Option<&'a [u8]>,
    },
}

/// Stable name of an outcome, and the stable code of its reason.
fn names_of(outcome: CommandOutcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        CommandOutcome::Applied => ("applied", None),
        CommandOutcome::Refused(refusal) => ("refused", Some(refusal.name())),
        CommandOutcome::Duplicate => ("duplicate", None),
        CommandOutcome::Suspended(reason) => ("suspended", Some(reason.name())),
    }
}

fn integer(value: u64) -> i64 {
    // Quantities are below 2^63, sequences never get there.
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn charge_id(id: ChargeId) -> [Part<'static>; 5] {
    let ChargeId { base, level, revision } = id;
    [Part::Hex(base), Part::Text("-"), Part::Number(level.into()), Part::Text("-"), Part::Number(revision.into())]
}

fn delta_id<'p>(account: &'p str, delta: &Delta) -> [Part<'p>; 3] {
    [Part::Text(account), Part::Text(":"), Part::Number(delta.sequence)]
}

fn allowance_id(instance: &str, element: u16) -> [Part<'_>; 3] {
    [Part::Text(instance), Part::Text(":"), Part::Number(element.into())]
}

pub(super) fn charge<S: Sink>(charge: &Charge<'_>, directory_version: &str, contracts: Contracts, sink: &mut S) {
    let (edge, usage) = (&*charge.edge, charge.usage());
    // How far a reseller's edge is from the bottom depends on who uses it: its fees have no level (detail L).
    let is_numbered = usage.is_some()
        || match edge.payer_kind {
            AccountKind::Endpoint | AccountKind::Customer => true,
            AccountKind::Operator | AccountKind::Reseller => false,
        };
    sink.joined("charge_id", &charge_id(charge.id));
    sink.integer("revision", charge.id.revision.into());
    sink.text("kind", if usage.is_some() { "usage" } else { "bundle_fee" });
    sink.optional_text("reverses", None);
    sink.optional_text("usage_id", usage.map(|usage| &*usage.id));
    sink.optional_text("usage_source", usage.map(|usage| &*usage.source));
    sink.optional_integer("level", is_numbered.then_some(edge.level.into()));
    sink.text("payer_id", edge.payer.as_str());
    sink.text("payer_kind", edge.payer_kind.name());
    sink.text("payee_id", edge.payee.as_str());
    sink.optional_text("endpoint_id", charge.endpoint.as_deref());
    sink.text("service", usage.map_or("bundle_fee", |usage| &*usage.service));
    sink.time("event_time", charge.event_time);
    sink.integer("quantity", integer(charge.quantity));
    sink.text("unit", charge.unit.name());
    sink.amount("amount", charge.amount);
    sink.text("currency", edge.currency.as_str());
    sink.text("reason", charge.reason.name());
    match &charge.fee_of {
        Some(of) => sink.list("segments", &[FeeSegment { of, fee: charge.amount }]),
        None => sink.list("segments", &charge.segments),
    }
    sink.pairs("codes", charge.rate.map_or(&[], |rate| &rate.facts.codes));
    sink.optional_text("directory_version", (!directory_version.is_empty()).then_some(directory_version));
    sink.pairs("properties", &edge.properties);
    // Of several deltas, the last: what the balance is after the charge.
    let delta = charge.deltas.last();
    let id = delta.map(|delta| delta_id(edge.payer.as_str(), delta));
    sink.optional_joined("delta_id", id.as_ref().map(<[Part<'_>; 3]>::as_slice));
    sink.optional_integer("delta_sequence", delta.map(|delta| integer(delta.sequence)));
    sink.optional_amount("balance_after", delta.map(|delta| delta.balance_after));
    sink.optional_amount("waived", Some(charge.waived).filter(|waived| !waived.is_zero()));
    if contracts >= Contracts::V2 {
        circumstances(&charge.ancestors, charge.cause, charge.booked_time, sink);
    }
}

/// What charges and deltas have in common since there are two versions. The rest of it comes with what makes it: periods, corrections, metering.
fn circumstances<S: Sink>(ancestors: &str, cause: Cause<'_>, booked_time: Option<Timestamp>, sink: &mut S) {
    sink.optional_time("booked_time", booked_time);
    sink.optional_text("ancestors", given(ancestors));
    sink.absent(&["period", "settles", "corrects", "job_id"]);
    sink.optional_text("cause", Some(cause.kind().name()));
    sink.absent(&["microservice", "metering_cause"]);
}

/// A text that is empty where nobody said.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

impl Item for Segment<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let price = match &self.source {
            SegmentSource::Tariff { unit_price, .. } => shown_price(unit_price),
            SegmentSource::Allowance(_)
            | SegmentSource::Free(_)
            | SegmentSource::Connect(_)
            | SegmentSource::Flat(_)
            | SegmentSource::Cap(_)
            | SegmentSource::NoTariff => None,
        };
        let draw = match &self.source {
            SegmentSource::Allowance(draw) => Some(draw),
            SegmentSource::Tariff { .. }
            | SegmentSource::Free(_)
            | SegmentSource::Connect(_)
            | SegmentSource::Flat(_)
            | SegmentSource::Cap(_)
            | SegmentSource::NoTariff => None,
        };
        let rate = self.source.rate();
        sink.text("source", self.source.name());
        sink.integer("quantity", integer(self.quantity));
        sink.integer("billable_quantity", integer(self.billable));
        sink.optional_amount("unit_price", price.map(|(price, _)| price));
        sink.optional_integer("per_units", price.map(|(_, per_units)| integer(per_units)));
        sink.amount("amount", self.amount.shown().unwrap_or(Amount::ZERO));
        sink.optional_text("tariff_id", rate.map(|rate| &*rate.facts.tariff_id));
        sink.optional_time("tariff_version", rate.map(|rate| rate.facts.version_from));
        sink.optional_text("zone", rate.map(|rate| &**rate.spec.applies.zone.name()));
        let allowance = draw.map(|draw| allowance_id(&draw.instance, draw.element));
        sink.optional_joined("allowance_id", allowance.as_ref().map(<[Part<'_>; 3]>::as_slice));
        sink.optional_text("bundle_id", draw.map(|draw| &*draw.bundle));
        sink.optional_integer("allowance_before", draw.and_then(|draw| draw.before).map(integer));
        sink.optional_integer("allowance_after", draw.and_then(|draw| draw.after).map(integer));
    }
}

/// A unit price at the ten places of the wire; a price with more is shown for more units, so that it stays exact.
fn shown_price(price: &UnitPrice) -> Option<(Amount, u64)> {
    let (mut value, mut per_units) = (price.price(), price.per_units());
    loop {
        if let Some(amount) = Amount::from_decimal(value) {
            return Some((amount, per_units));
        }
        value = value.checked_mul(Decimal::TEN)?;
        per_units = per_units.checked_mul(10)?;
    }
}

/// The one segment of a bundle's fee.
struct FeeSegment<'f> {
    of: &'f FeeOf,
    fee: Amount,
}

impl Item for FeeSegment<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.text("source", "bundle_fee");
        sink.integer("quantity", 0);
        sink.integer("billable_quantity", 0);
        sink.optional_amount("unit_price", None);
        sink.optional_integer("per_units", None);
        sink.amount("amount", self.fee);
        sink.optional_text("tariff_id", None);
        sink.optional_time("tariff_version", None);
        sink.optional_text("zone", None);
        sink.optional_text("allowance_id", Some(&self.of.instance));
        sink.optional_text("bundle_id", Some(&self.of.bundle));
        sink.optional_integer("allowance_before", None);
        sink.optional_integer("allowance_after", None);
    }
}

pub(super) fn delta<S: Sink>(booked: &BalanceDelta<'_>, contracts: Contracts, sink: &mut S) {
    let BalanceDelta { edge, ancestors, delta, kind, charge, cause, effective_time, booked_time } = booked;
    // A command that a charge stands between is named by the charge alone.
    let command = cause.command().filter(|_| charge.is_none());
    sink.joined("delta_id", &delta_id(edge.payer.as_str(), delta));
    sink.text("account_id", edge.payer.as_str());
    sink.integer("sequence", integer(delta.sequence));
    sink.text("kind", kind.name());
    sink.amount("amount", delta.amount);
    sink.text("currency", edge.currency.as_str());
    sink.amount("balance_after", delta.balance_after);
    sink.amount("reserved_after", Amount::ZERO);
    sink.optional_text("pot_id", None);
    let id = charge.map(charge_id);
    sink.optional_joined("charge_id", id.as_ref().map(<[Part<'_>; 5]>::as_slice));
    sink.optional_text("command_id", command.map(|command| &*command.id));
    sink.optional_text("reverses", None);
    sink.optional_text("actor", command.map(|command| &*command.issued_by));
    sink.optional_text("reason", command.and_then(|command| command.note.as_deref()));
    sink.optional_text("reference", command.and_then(|command| command.reference.as_deref()));
    sink.time("effective_time", *effective_time);
    if contracts >= Contracts::V2 {
        circumstances(ancestors, *cause, *booked_time, sink);
        sink.absent(&["on_behalf_of"]);
    }
}

pub(super) fn suspense<S: Sink>(record: &SuspenseRecord<'_>, sink: &mut S) {
    let mut id: SmallVec<[Part<'_>; 8]> = match record.key {
        Some(key) => SmallVec::from_slice(&[Part::Hex(key), Part::Text("-")]),
        None => match record.origin {
            Origin::File { name, place } => {
                SmallVec::from_slice(&[Part::Text(name), Part::Text(":"), Part::Number(place), Part::Text("-")])
            }
            Origin::Topic { name, partition, offset, .. } => SmallVec::from_slice(&[
                Part::Text(name),
                Part::Text(":"),
                Part::Number(partition.into()),
                Part::Text(":"),
                Part::Number(offset.cast_unsigned()),
                Part::Text("-"),
            ]),
        },
    };
    id.push(record.level.map_or(Part::Text("record"), |level| Part::Number(level.into())));
    id.extend([Part::Text("-"), Part::Number(record.attempt.into())]);
    sink.joined("suspense_id", &id);
    sink.text("reason", record.reason.name());
    sink.text("detail", record.detail);
    sink.text("stage", record.stage);
    sink.optional_integer("level", record.level.map(i64::from));
    sink.optional_text("usage_id", record.usage_id);
    sink.optional_time("event_time", record.event_time);
    sink.bytes("original", record.original);
    let (key, topic, file) = match record.origin {
        Origin::File { name, place } => (None, None, Some((name, place))),
        Origin::Topic { name, partition, offset, key } => (key, Some((name, partition, offset)), None),
    };
    sink.optional_bytes("original_key", key);
    sink.text("content_type", record.content_type);
    sink.optional_text("topic", topic.map(|(name, _, _)| name));
    sink.optional_integer("partition", topic.map(|(_, partition, _)| partition.into()));
    sink.optional_integer("offset", topic.map(|(_, _, offset)| offset));
    sink.optional_text("file", file.map(|(name, _)| name));
    sink.optional_integer("line", file.map(|(_, place)| integer(place)));
    sink.integer("attempt", record.attempt.into());
}

pub(super) fn reply<S: Sink>(reply: &CommandReply<'_>, contracts: Contracts, sink: &mut S) {
    let command = reply.command;
    let (outcome, reason) = names_of(reply.outcome);
    sink.text("command_id", &command.id);
    sink.text("kind", command.kind.name());
    sink.text("account_id", command.account_id.as_str());
    sink.text("issued_by", &command.issued_by);
    sink.text("outcome", outcome);
    sink.optional_text("reason", reason);
    sink.optional_text("detail", reply.detail);
    sink.time("effective_time", command.effective_time);
    if contracts >= Contracts::V2 {
        let account = command.account_id.as_str();
        let ids: SmallVec<[_; 2]> = reply.deltas.iter().map(|delta| delta_id(account, delta)).collect();
        sink.optional_integer("sequence", reply.sequence.map(integer));
        sink.texts("delta_ids", &ids);
        // The rest answers commands that are not there yet.
        let amount = |sum: Option<Amount>, delta: &Delta| sum.and_then(|sum| sum.checked_add(delta.amount));
        let posted = reply.deltas.iter().fold(Some(Amount::ZERO), amount);
        sink.optional_amount("amount", posted.filter(|_| !reply.deltas.is_empty()));
        sink.optional_amount("balance_after", reply.deltas.last().map(|delta| delta.balance_after));
        sink.absent(&["first_outcome", "field", "granted", "held", "pending", "valid_until", "available", "final"]);
        sink.list::<Segment<'_>>("rating_groups", &[]);
    }
}

pub(super) fn life_event<S: Sink>(event: &LifeEvent<'_>, sink: &mut S) {
    let (state, bundle) = match &event.kind {
        LifeEventKind::BundleState { state, bundle, instance, endpoint, validity } => {
            (*state, Some((bundle, instance, endpoint, validity)))
        }
        LifeEventKind::AccountStatus(status) => (status.name(), None),
    };
    let mut id: SmallVec<[Part<'_>; 9]> = SmallVec::new();
    id.extend([Part::Hex(event.cause.key()), Part::Text("-"), Part::Text(event.kind.name()), Part::Text("-")]);
    if let Some((_, instance, ..)) = bundle {
        id.extend([Part::Text(instance), Part::Text("-")]);
    }
    // One record may change an instance twice, and those of several accounts.
    id.extend([Part::Text(state), Part::Text("-"), Part::Text(event.account.as_str())]);
    sink.joined("life_event_id", &id);
    sink.text("kind", event.kind.name());
    sink.text("account_id", event.account.as_str());
    sink.text("state", state);
    sink.optional_text("endpoint_id", bundle.and_then(|(_, _, endpoint, _)| endpoint.as_deref()));
    sink.optional_text("bundle_id", bundle.map(|(bundle, ..)| &**bundle));
    sink.optional_text("instance_id", bundle.map(|(_, instance, ..)| &**instance));
    sink.absent(&["pot_id", "session_id"]);
    let validity = bundle.and_then(|(.., validity)| *validity);
    sink.optional_time("valid_from", validity.map(|(from, _)| from));
    sink.optional_time("valid_until", validity.and_then(|(_, until)| until));
    sink.optional_text("reason", None);
    sink.optional_text("ancestors", given(&event.ancestors));
    sink.time("effective_time", event.cause.time());
    sink.optional_time("booked_time", event.booked_time);
    sink.optional_text("cause", Some(event.cause.kind().name()));
    sink.optional_text("caused_by", event.cause.id());
}

pub(super) fn notification<S: Sink>(notification: &Notification<'_>, contracts: Contracts, sink: &mut S) {
    let told = Told::of(&notification.kind);
    let mut id: SmallVec<[Part<'_>; 11]> = SmallVec::new();
    id.extend([Part::Hex(notification.cause.key()), Part::Text("-"), Part::Text(notification.kind.name())]);
    if let Some(allowance) = &told.allowance_id {
        id.push(Part::Text("-"));
        id.extend_from_slice(allowance);
    }
    if let Some(percent) = told.percent {
        id.extend([Part::Text("-"), Part::Number(percent.into())]);
    }
    // One record may exhaust several accounts, so the account is part of the identifier.
    id.extend([Part::Text("-"), Part::Text(notification.account.as_str())]);
    sink.joined("notification_id", &id);
    sink.text("kind", notification.kind.name());
    sink.text("account_id", notification.account.as_str());
    sink.optional_text("endpoint_id", notification.endpoint.as_deref());
    sink.optional_text("bundle_id", told.bundle);
    sink.optional_joined("allowance_id", told.allowance_id.as_deref());
    sink.optional_integer("threshold_percent", told.percent.map(i64::from));
    sink.optional_integer("remaining", told.remaining.map(|(remaining, _)| integer(remaining)));
    sink.optional_text("unit", told.remaining.map(|(_, unit)| unit));
    sink.optional_amount("balance", told.balance.map(|(balance, _)| balance));
    sink.optional_text("currency", told.balance.as_ref().map(|(_, currency)| currency.as_str()));
    sink.optional_time("period_start", told.period_start);
    sink.optional_text("tariff_id", told.tariff);
    sink.optional_text("reason", told.reason);
    sink.time("event_time", notification.cause.time());
    sink.optional_text("caused_by", notification.cause.id());
    if contracts >= Contracts::V2 {
        sink.absent(&["threshold_units", "threshold_amount"]);
        sink.optional_text("instance_id", told.instance);
        sink.optional_integer("sequence", notification.sequence.map(integer));
    }
}

/// What a notification says, by field.
#[derive(Default)]
struct Told<'n> {
    bundle: Option<&'n str>,
    instance: Option<&'n str>,
    allowance_id: Option<SmallVec<[Part<'n>; 3]>>,
    percent: Option<u8>,
    remaining: Option<(u64, &'static str)>,
    balance: Option<(Amount, rating::Currency)>,
    period_start: Option<Timestamp>,
    tariff: Option<&'n str>,
    reason: Option<&'static str>,
}

impl<'n> Told<'n> {
    fn of(kind: &'n NotificationKind) -> Told<'n> {
        match kind {
            NotificationKind::AllowanceThreshold {
                bundle,
                instance,
                element,
                percent,
                remaining,
                unit,
                period_start,
            } => Told {
                bundle: Some(bundle),
                instance: Some(instance),
                allowance_id: Some(SmallVec::from_buf(allowance_id(instance, *element))),
                percent: Some(*percent),
                remaining: Some((*remaining, unit.name())),
                period_start: Some(*period_start),
                ..Told::default()
            },
            NotificationKind::BalanceExhausted { balance, currency } => {
                Told { balance: Some((*balance, *currency)), ..Told::default() }
            }
            NotificationKind::CapReached { tariff } => Told { tariff: Some(tariff), ..Told::default() },
            NotificationKind::ActivationFailed { bundle, instance } => Told {
                bundle: Some(bundle),
                instance: Some(instance),
                allowance_id: Some(SmallVec::from_slice(&[Part::Text(instance)])),
                ..Told::default()
            },
            NotificationKind::CommandRefused { reason } => Told { reason: Some(reason), ..Told::default() },
        }
    }
}
