//! Intake: from decoded fields to a validated record in base units, with its identity and a hash of its payload.
//!
//! All faults of a record are named at once. Nothing is defaulted but what docs/reference-data.md says, and nothing is clamped.

use crate::kind::{Kind, Kinds};
use crate::limits::QuantityLimits;
use crate::raw::{Field, RawCommand, RawUsage, RawValue};
use rating::command::{BundleRef, Command, CommandKind};
use rating::quantity::MAX_QUANTITY;
use rating::{AccountId, Amount, Currency, Plmn, SuspenseReason, Timestamp, Unit, UsageRecord, unit_of_service};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::{Hash, Hasher};

/// Longest text accepted in a field, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// Longest note of a command, in bytes. It may hold line breaks.
pub const MAX_NOTE_BYTES: usize = 1024;

/// What intake measures records against.
#[derive(Clone, Debug)]
pub struct IntakeRules {
    /// Source of records that name none.
    pub default_source: Box<str>,
    /// Event times after this are `future_event`.
    pub latest_event: Timestamp,
    /// Event times of usage before this are `past_event`.
    pub earliest_event: Timestamp,
    /// Quantities of usage beyond these are `implausible_quantity`.
    pub limits: QuantityLimits,
    /// Kinds that are taken; any other is `wrong_kind`.
    pub accepts: Kinds,
}

impl IntakeRules {
    /// Takes every kind, any time from 1970 up to 2200, and the default limits of quantity.
    pub fn new(default_source: &str) -> IntakeRules {
        IntakeRules {
            default_source: default_source.into(),
            latest_event: Timestamp::LATEST,
            earliest_event: Timestamp::EARLIEST,
            limits: QuantityLimits::default(),
            accepts: Kinds::ALL,
        }
    }

    /// Refuses a kind that is not taken.
    ///
    /// # Errors
    /// `wrong_kind`, naming the kind found and those that are taken.
    pub fn admit_kind(&self, kind: Kind) -> Result<(), Fault> {
        if self.accepts.contains(kind) {
            return Ok(());
        }
        let detail = format!("is {}; taken here: {}", kind.phrase(), self.accepts);
        Err(Fault::new(SuspenseReason::WrongKind, detail))
    }
}

/// Services whose usage only Rater itself makes: a record of one that comes from outside is `wrong_kind`.
pub const SERVICES_OF_RATER: [&str; 0] = [];

/// A validated record.
#[derive(Clone, Debug)]
pub struct Intaken {
    /// Hash of (source, id): identity and base of charge ids.
    pub key: u128,
    /// Hash of everything else.
    pub payload: u64,
    /// The record.
    pub record: UsageRecord,
}

/// Why something cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable reason.
    pub reason: SuspenseReason,
    /// Every field at fault.
    pub detail: String,
}

impl Fault {
    /// A fault of the record as a whole.
    pub fn new(reason: SuspenseReason, detail: impl Into<String>) -> Fault {
        Fault { reason, detail: detail.into() }
    }
}

/// Validates a usage record.
///
/// # Errors
/// `invalid_record` naming every faulty field, `wrong_kind`, `future_event`, `past_event` or `implausible_quantity`.
pub fn intake_usage(raw: &RawUsage<'_>, rules: &IntakeRules) -> Result<Intaken, Fault> {
    let mut reader = Reader { raw, faults: String::new() };
    let id = reader.required(Field::Id);
    let source = reader.text(Field::Source).unwrap_or_else(|| rules.default_source.clone());
    let service = reader.required(Field::Service);
    let quantity = reader.quantity();
    let unit = reader.unit(&service);
    let event_time = reader.event_time();
    let network = reader.network();
    let rating_group = reader.integer(Field::RatingGroup);
    // Carried, not rated by: nothing is let through unread.
    for field in [Field::QuantityUp, Field::QuantityDown, Field::Sequence, Field::ClosingCause] {
        reader.integer(field);
    }
    reader.text(Field::Imei);
    reader.flag(Field::Final);
    let end_time = reader.time(Field::EndTime);
    let record = UsageRecord {
        id,
        source,
        service,
        quantity,
        unit,
        event_time,
        imsi: reader.digits(Field::Imsi),
        iccid: reader.digits(Field::Iccid),
        msisdn: reader.digits(Field::Msisdn),
        endpoint_id: reader.text(Field::EndpointId),
        account_id: reader.text(Field::AccountId),
        network,
        destination: reader.digits(Field::Destination),
        direction: reader.text(Field::Direction),
        apn: reader.text(Field::Apn),
        rat: reader.text(Field::Rat),
        session_id: reader.text(Field::SessionId),
        rating_group,
        sponsor: reader.text(Field::Sponsor),
        subscription_type: reader.attribute("subscription_type"),
    };
    let has_identity = [&record.imsi, &record.iccid, &record.msisdn, &record.endpoint_id, &record.account_id]
        .into_iter()
        .any(Option::is_some);
    if !has_identity && reader.faults.is_empty() {
        reader.fault("no identity: one of imsi, iccid, msisdn, endpoint_id, account_id is needed");
    }
    if !reader.faults.is_empty() {
        return Err(Fault::new(SuspenseReason::InvalidRecord, reader.faults));
    }
    if SERVICES_OF_RATER.contains(&&*record.service) {
        let detail = format!("service: usage of \"{}\" is made by Rater only", record.service);
        return Err(Fault::new(SuspenseReason::WrongKind, detail));
    }
    if record.event_time > rules.latest_event {
        let detail = format!("event_time {} is after {}", record.event_time, rules.latest_event);
        return Err(Fault::new(SuspenseReason::FutureEvent, detail));
    }
    Ok(Intaken { key: record_key(&record.source, &record.id), payload: payload_hash(raw, &record, end_time), record })
}

/// The identity of a record, as in CloudEvents: a hash of (source, id).
pub fn record_key(source: &str, id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x7261_7465_7263_6f72, 0x6964_656e_7469_7479);
    source.hash(&mut hasher);
    id.hash(&mut hasher);
    hasher.finish128().as_u128()
}

/// Everything but the identity, normalised: so that the same record in another format is the same payload.
fn payload_hash(raw: &RawUsage<'_>, record: &UsageRecord, end_time: Option<Timestamp>) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(0x7261_7465_7270_6179, 0x6c6f_6164_6861_7368);
    record.service.hash(&mut hasher);
    record.quantity.hash(&mut hasher);
    record.unit.hash(&mut hasher);
    record.event_time.hash(&mut hasher);
    end_time.hash(&mut hasher);
    let normalised =
        [Field::Id, Field::Source, Field::Service, Field::Quantity, Field::Unit, Field::EventTime, Field::EndTime];
    for field in Field::ALL {
        match raw.get(*field) {
            _ if normalised.contains(field) => {}
            RawValue::Absent => {}
            RawValue::Text(text) | RawValue::Number(text) | RawValue::Other(text) => {
                (*field as u8).hash(&mut hasher);
                hasher.write(text.as_bytes());
                hasher.write_u8(0xff);
            }
            RawValue::Integer(integer) => {
                (*field as u8).hash(&mut hasher);
                hasher.write(integer.to_string().as_bytes());
                hasher.write_u8(0xff);
            }
        }
    }
    if !raw.attributes.is_empty() {
        let mut attributes: Vec<_> = raw.attributes.iter().collect();
        attributes.sort_unstable();
        attributes.hash(&mut hasher);
    }
    hasher.finish()
}

struct Reader<'r, 'a> {
    raw: &'r RawUsage<'a>,
    faults: String,
}

impl Reader<'_, '_> {
    fn fault(&mut self, text: &str) {
        if !self.faults.is_empty() {
            self.faults.push_str("; ");
        }
        self.faults.push_str(text);
    }

    fn field_fault(&mut self, field: Field, text: &str) {
        self.fault(&format!("{}: {text}", field.name()));
    }

    fn text(&mut self, field: Field) -> Option<Box<str>> {
        let text: Box<str> = match self.raw.get(field) {
            RawValue::Absent => return None,
            RawValue::Text(text) => Box::from(&**text),
            RawValue::Integer(integer) => integer.to_string().into(),
            RawValue::Number(_) | RawValue::Other(_) => {
                self.field_fault(field, "is not text");
                return None;
            }
        };
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            self.field_fault(field, "is longer than 256 bytes or holds control characters");
            return None;
        }
        Some(text)
    }

    fn required(&mut self, field: Field) -> Box<str> {
        let before = self.faults.len();
        self.text(field).unwrap_or_else(|| {
            if self.faults.len() == before {
                self.field_fault(field, "is missing");
            }
            Box::default()
        })
    }

    fn digits(&mut self, field: Field) -> Option<Box<str>> {
        let text = self.text(field)?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.field_fault(field, "is not all digits");
            return None;
        }
        Some(text)
    }

    fn integer(&mut self, field: Field) -> Option<i64> {
        let parsed = match self.raw.get(field) {
            RawValue::Absent => return None,
            RawValue::Integer(integer) => Some(*integer),
            RawValue::Text(text) => text.parse().ok(),
            RawValue::Number(_) | RawValue::Other(_) => None,
        };
        if parsed.is_none() {
            self.field_fault(field, "is not a whole number of 64 bits");
        }
        parsed
    }

    fn quantity(&mut self) -> u64 {
        if *self.raw.get(Field::Quantity) == RawValue::Absent {
            self.field_fault(Field::Quantity, "is missing");
            return 0;
        }
        let Some(quantity) = self.integer(Field::Quantity) else {
            return 0;
        };
        u64::try_from(quantity).ok().filter(|quantity| *quantity <= MAX_QUANTITY).unwrap_or_else(|| {
            self.field_fault(Field::Quantity, "is negative");
            0
        })
    }

    fn unit(&mut self, service: &str) -> Unit {
        let Some(name) = self.text(Field::Unit) else {
            return unit_of_service(service);
        };
        Unit::parse(&name).unwrap_or_else(|| {
            self.field_fault(Field::Unit, "is none of octets, seconds, messages, units");
            Unit::Units
        })
    }

    fn event_time(&mut self) -> Timestamp {
        let before = self.faults.len();
        self.time(Field::EventTime).unwrap_or_else(|| {
            if self.faults.len() == before {
                self.field_fault(Field::EventTime, "is missing");
            }
            Timestamp::EPOCH
        })
    }

    fn time(&mut self, field: Field) -> Option<Timestamp> {
        let parsed = match self.raw.get(field) {
            RawValue::Absent => return None,
            RawValue::Integer(millis) => Some(Timestamp::from_millis(*millis)),
            RawValue::Text(text) => parse_time(text),
            RawValue::Number(_) | RawValue::Other(_) => None,
        };
        let plausible = parsed.filter(|at| at.is_plausible());
        if plausible.is_none() {
            self.field_fault(field, "is not a time with an offset between 1970 and 2200, to the millisecond");
        }
        plausible
    }

    fn flag(&mut self, field: Field) {
        match self.raw.get(field) {
            RawValue::Absent => {}
            RawValue::Text(text) if matches!(&**text, "true" | "false") => {}
            RawValue::Text(_) | RawValue::Integer(_) | RawValue::Number(_) | RawValue::Other(_) => {
                self.field_fault(field, "is neither true nor false");
            }
        }
    }

    fn network(&mut self) -> Option<Plmn> {
        let mcc = self.digits(Field::Mcc);
        let mnc = self.digits(Field::Mnc);
        let network = match (&mcc, &mnc) {
            (None, None) => return None,
            (None, Some(_)) => None,
            (Some(mcc), mnc) => Plmn::new(mcc, mnc.as_deref()),
        };
        if network.is_none() {
            self.field_fault(Field::Mcc, "mcc of 3 digits, mnc of 2 or 3 digits as text");
        }
        network
    }

    fn attribute(&mut self, name: &str) -> Option<Box<str>> {
        self.raw.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| Box::from(&**value))
    }
}

/// Reads a time from outside.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_time(text: &str) -> Result<Timestamp, String> {
    let read = parse_time(text).filter(|at| at.is_plausible());
    read.ok_or_else(|| "is not a time with an offset between 1970 and 2200".to_owned())
}

/// RFC 3339 with an offset, or milliseconds since 1970.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Some(instant) = parse_plain_utc(text.as_bytes()) {
        return Some(instant);
    }
    if let Ok(millis) = text.parse::<i64>() {
        return Some(Timestamp::from_millis(millis));
    }
    Timestamp::parse(text)
}

/// `2026-01-01T00:00:00Z`, the commonest form, without the generality of the calendar library.
fn parse_plain_utc(text: &[u8]) -> Option<Timestamp> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'Z'] = text else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(**digit - b'0')))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > days_in_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years run from March, so that the leap day ends one.
    let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era_years = march_year.rem_euclid(400);
    let day_of_era = era_years * 365 + era_years / 4 - era_years / 100 + (153 * march_month + 2) / 5 + day - 1;
    let days = march_year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    Some(Timestamp::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
}

/// Validates an account command.
///
/// # Errors
/// `invalid_record` naming every faulty field, or `future_event`: what is not yet in effect must not move money or be drawn from.
pub fn intake_command(raw: &RawCommand<'_>, rules: &IntakeRules) -> Result<(u128, Command), Fault> {
    let mut faults: Vec<String> = raw.unsupported.iter().map(|name| format!("{name}: not supported yet")).collect();
    for (name, value) in [("bundle_id", &raw.bundle_id), ("endpoint_id", &raw.endpoint_id)] {
        if value.as_deref().is_some_and(|text| !is_name(text)) {
            faults.push(format!("{name}: {NOT_A_NAME}"));
        }
    }
    if raw.note.as_deref().is_some_and(|note| note.len() > MAX_NOTE_BYTES) {
        faults.push(format!("note: is longer than {MAX_NOTE_BYTES} bytes"));
    }
    let mut required = |name: &str, value: &Option<std::borrow::Cow<'_, str>>| -> Box<str> {
        match value.as_deref() {
            Some(text) if is_name(text) => Box::from(text),
            Some(_) => {
                faults.push(format!("{name}: {NOT_A_NAME}"));
                Box::default()
            }
            None => {
                faults.push(format!("{name}: is missing"));
                Box::default()
            }
        }
    };
    let id = required("command_id", &raw.command_id);
    let kind = required("kind", &raw.kind);
    let account_id = AccountId::new(&required("account_id", &raw.account_id));
    let issued_by = required("issued_by", &raw.issued_by);
    let effective = required("effective_time", &raw.effective_time);
    let effective_time = parse_time(&effective).filter(|at| at.is_plausible()).unwrap_or_else(|| {
        if !effective.is_empty() {
            faults.push("effective_time: is not a time with an offset between 1970 and 2200".to_owned());
        }
        Timestamp::EPOCH
    });
    let currency = raw.currency.as_deref().and_then(|text| {
        let parsed = Currency::parse(text);
        if parsed.is_none() {
            faults.push("currency: is not a code of three capital letters".to_owned());
        }
        parsed
    });
    let kind = command_kind(&kind, raw, &mut faults);
    match kind {
        Some(_) if faults.is_empty() && effective_time > rules.latest_event => {
            let detail = format!("effective_time {effective_time} is after {}", rules.latest_event);
            Err(Fault::new(SuspenseReason::FutureEvent, detail))
        }
        Some(kind) if faults.is_empty() => {
            let note = raw.note.as_deref().map(Box::from);
            // No source of usage can have this name: it holds a control character.
            let key = record_key("\u{1}command", &id);
            Ok((key, Command { id, kind, account_id, issued_by, effective_time, currency, note }))
        }
        Some(_) | None => Err(Fault::new(SuspenseReason::InvalidRecord, faults.join("; "))),
    }
}

/// What is wrong with a text that is not a name.
const NOT_A_NAME: &str = "is empty, longer than 256 bytes or holds control characters";

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}

fn command_kind(kind: &str, raw: &RawCommand<'_>, faults: &mut Vec<String>) -> Option<CommandKind> {
    let endpoint = || raw.endpoint_id.as_deref().map(Box::from);
    let bundle = || raw.bundle_id.as_deref().map(|name| BundleRef { name: Box::from(name), endpoint: endpoint() });
    let mut amount = || {
        // The library would take underscores between digits.
        let plain = raw.amount.as_deref().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        let parsed = plain.and_then(|text| rust_decimal::Decimal::from_str_exact(text).ok());
        let amount = parsed.and_then(Amount::from_decimal).filter(|amount| amount.is_positive());
        if amount.is_none() {
            faults.push("amount: a positive decimal with at most 10 places is needed".to_owned());
        }
        amount
    };
    let found = match kind {
        "top_up" => CommandKind::TopUp(amount()?),
        "debit" => CommandKind::Debit(amount()?),
        "credit" => CommandKind::Credit(amount()?),
        "buy_bundle" | "cancel_bundle" if raw.bundle_id.is_none() => {
            faults.push("bundle_id: is missing".to_owned());
            return None;
        }
        "buy_bundle" => CommandKind::BuyBundle { bundle: Box::from(raw.bundle_id.as_deref()?), endpoint: endpoint() },
        "cancel_bundle" => CommandKind::CancelBundle(bundle()?),
        "suspend" => bundle().map_or(CommandKind::SuspendAccount, CommandKind::SuspendBundle),
        "activate" => bundle().map_or(CommandKind::ActivateAccount, CommandKind::ActivateBundle),
        "" => return None,
        other => {
            faults.push(format!("kind: \"{other}\" is not known"));
            return None;
        }
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_form_agrees_with_the_calendar_library() {
        for day in (0..84_000_i64).step_by(11) {
            let at = Timestamp::from_millis(day * 86_400_000 + (day * 7919 % 86_400) * 1000);
            let text = at.to_string();
            assert_eq!(parse_plain_utc(text.as_bytes()), Some(at), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_plain_utc(text.as_bytes()), None, "{text}");
        }
    }
}
