//! Intake: from decoded fields to a validated record in base units, with its identity and a hash of its payload.
//!
//! All faults of a record are named at once. Nothing is defaulted but what docs/reference-data.md says, and nothing is clamped.

use crate::dialled::InternationalPrefixes;
use crate::identity::{payload_hash, record_key};
use crate::kind::{Kind, Kinds};
use crate::limits::QuantityLimits;
use crate::raw::{Field, RawCommand, RawUsage, RawValue};
use crate::text::{Exponents, NotWhole, quoted, whole};
use crate::times::{Misread, read_millis, read_time};
use rating::command::{BundleRef, Command, CommandKind};
use rating::quantity::MAX_QUANTITY;
use rating::{AccountId, Amount, Currency, Plmn, SuspenseReason, Timestamp, Unit, UsageRecord, unit_of_service};

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
    /// Prefixes of called numbers.
    pub international: InternationalPrefixes,
}

impl IntakeRules {
    /// Takes every kind, any time from 1970 up to 2200, and any quantity.
    pub fn new(default_source: &str) -> IntakeRules {
        IntakeRules {
            default_source: default_source.into(),
            latest_event: Timestamp::LATEST,
            earliest_event: Timestamp::EARLIEST,
            limits: QuantityLimits::none(),
            accepts: Kinds::ALL,
            international: InternationalPrefixes::Doubted,
        }
    }

    /// Applies what is doubted.
    #[must_use]
    pub fn doubting(mut self, doubts: &Doubts, earliest_event: Timestamp) -> IntakeRules {
        let Doubts { limits, accepts, international } = doubts.clone();
        (self.limits, self.accepts, self.international) = (limits, accepts, international);
        self.earliest_event = earliest_event;
        self
    }

    /// The rules for what passed before and is tried again: its id is remembered, so that it must not be refused for what it was not refused for then.
    #[must_use]
    pub fn for_admitted(&self) -> IntakeRules {
        IntakeRules {
            earliest_event: Timestamp::EARLIEST,
            limits: QuantityLimits::none(),
            accepts: Kinds::ALL,
            ..self.clone()
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

/// Returns the first event time that is taken, `past_ms` milliseconds behind `now`; any time from 1970 on for `None`.
pub fn earliest_event(now: Timestamp, past_ms: Option<i64>) -> Timestamp {
    let earliest = past_ms.map(|past_ms| Timestamp::from_millis(now.millis().saturating_sub(past_ms)));
    earliest.unwrap_or(Timestamp::EARLIEST).max(Timestamp::EARLIEST)
}

/// What is doubted of records, whatever their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubts {
    /// Quantities beyond these.
    pub limits: QuantityLimits,
    /// Kinds other than these.
    pub accepts: Kinds,
    /// Prefixes of called numbers.
    pub international: InternationalPrefixes,
}

impl Default for Doubts {
    /// Any quantity and any kind.
    fn default() -> Doubts {
        Doubts { limits: QuantityLimits::none(), accepts: Kinds::ALL, international: InternationalPrefixes::Doubted }
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
    let mut reader = Reader { raw, faults: String::new(), past: None };
    let id = reader.required(Field::Id);
    let source = reader.text(Field::Source).unwrap_or_else(|| rules.default_source.clone());
    let service = reader.required(Field::Service);
    let quantity = reader.quantity();
    let unit = reader.unit(&service);
    let event_time = reader.event_time();
    let network = reader.network();
    let rating_group = reader.integer(Field::RatingGroup);
    let end_time = reader.end_time();
    let record = UsageRecord {
        id,
        source,
        service,
        quantity,
        unit,
        event_time,
        imsi: reader.digits(Field::Imsi),
        iccid: reader.digits(Field::Iccid),
        msisdn: reader.number(Field::Msisdn),
        endpoint_id: reader.text(Field::EndpointId),
        account_id: reader.text(Field::AccountId),
        network,
        destination: reader.destination(&rules.international),
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
    if !has_identity && reader.faults.is_empty() && reader.past.is_none() {
        reader.fault("no identity: one of imsi, iccid, msisdn, endpoint_id, account_id is needed");
    }
    if !reader.faults.is_empty() {
        if let Some(past) = reader.past.take() {
            reader.fault(&past);
        }
        if let Some(hint) = &raw.hint {
            reader.fault(hint);
        }
        return Err(Fault::new(SuspenseReason::InvalidRecord, reader.faults));
    }
    if SERVICES_OF_RATER.contains(&&*record.service) {
        let detail = format!("service: usage of {} is made by Rater only", quoted(&record.service));
        return Err(Fault::new(SuspenseReason::WrongKind, detail));
    }
    if let Some(past) = reader.past {
        return Err(Fault::new(SuspenseReason::PastEvent, past));
    }
    check_plausible(raw, &record, rules)?;
    Ok(Intaken { key: record_key(&record.source, &record.id), payload: payload_hash(raw, &record, end_time), record })
}

/// Measures a valid record against what a record can be.
fn check_plausible(raw: &RawUsage<'_>, record: &UsageRecord, rules: &IntakeRules) -> Result<(), Fault> {
    let at = record.event_time;
    let written = || match raw.get(Field::EventTime) {
        RawValue::Absent => String::new(),
        RawValue::Text(text) | RawValue::Number(text) | RawValue::Other(text) => format!(" ({})", quoted(text)),
        RawValue::Integer(millis) => format!(" ({millis})"),
    };
    if at > rules.latest_event {
        let detail = format!("event_time {at}{} is after {}", written(), rules.latest_event);
        return Err(Fault::new(SuspenseReason::FutureEvent, detail));
    }
    if at < rules.earliest_event {
        let detail = format!("event_time {at}{} is before {}", written(), rules.earliest_event);
        return Err(Fault::new(SuspenseReason::PastEvent, detail));
    }
    let limit = rules.limits.of(record);
    if record.quantity > limit {
        let UsageRecord { quantity, unit, service, .. } = record;
        let detail = format!("quantity: {quantity} {unit} is more than {limit}, the limit of {}", quoted(service));
        return Err(Fault::new(SuspenseReason::ImplausibleQuantity, detail));
    }
    Ok(())
}

struct Reader<'r, 'a> {
    raw: &'r RawUsage<'a>,
    faults: String,
    /// An event time of digits that would be long ago as milliseconds.
    past: Option<String>,
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

    /// A fault that quotes the value.
    fn value_fault(&mut self, field: Field, text: &str) {
        let value = match self.raw.get(field) {
            RawValue::Absent => "nothing".to_owned(),
            RawValue::Text(text) => quoted(text),
            RawValue::Integer(integer) => integer.to_string(),
            // Without quotation marks: what a number is, is the point.
            RawValue::Number(number) => quoted(number).trim_matches('"').to_owned(),
            RawValue::Other(what) => what.to_string(),
        };
        self.field_fault(field, &format!("{text}: {value}"));
    }

    fn text(&mut self, field: Field) -> Option<Box<str>> {
        let text: Box<str> = match self.raw.get(field) {
            RawValue::Absent => return None,
            RawValue::Text(text) => Box::from(&**text),
            RawValue::Integer(integer) => integer.to_string().into(),
            // More than 64 bits, such as an ICCID of 20 digits.
            RawValue::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Box::from(&**digits),
            RawValue::Number(_) | RawValue::Other(_) => {
                self.value_fault(field, "is not text");
                return None;
            }
        };
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            self.value_fault(field, "is longer than 256 bytes or holds control characters");
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
            self.value_fault(field, "is not all digits");
            return None;
        }
        Some(text)
    }

    /// A phone number in digits, without the plus in front of a country code and without what separates groups of digits.
    fn number(&mut self, field: Field) -> Option<Box<str>> {
        let text = self.text(field)?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(text);
        }
        let is_international = text.starts_with('+');
        let rest = text.strip_prefix('+').unwrap_or(&text);
        let is_digit = |at: Option<char>| at.is_some_and(|c| c.is_ascii_digit());
        let is_grouped = is_digit(rest.chars().next()) && is_digit(rest.chars().next_back());
        let digits: String = rest.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '-' | '.')).collect();
        if !is_grouped || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.value_fault(field, "is not all digits");
            return None;
        }
        if is_international && digits.starts_with('0') {
            self.value_fault(field, "no country code begins with 0");
            return None;
        }
        Some(digits.into())
    }

    fn destination(&mut self, prefixes: &InternationalPrefixes) -> Option<Box<str>> {
        let number = self.number(Field::Destination)?;
        if matches!(self.raw.get(Field::Destination), RawValue::Text(text) if text.starts_with('+')) {
            return Some(number);
        }
        match prefixes.strip(&number) {
            Ok(digits) if digits.len() == number.len() => Some(number),
            Ok(digits) => Some(digits.into()),
            Err(prefix) => {
                let what = format!("begins with {prefix}; --international-prefix says what that means");
                self.value_fault(Field::Destination, &what);
                None
            }
        }
    }

    fn integer(&mut self, field: Field) -> Option<i64> {
        let read = match self.raw.get(field) {
            RawValue::Absent => return None,
            RawValue::Integer(integer) => Ok(*integer),
            RawValue::Text(text) => whole(text, Exponents::Doubted),
            RawValue::Number(number) => whole(number, Exponents::Taken),
            RawValue::Other(_) => Err(NotWhole::NoNumber),
        };
        match read {
            Ok(integer) => return Some(integer),
            Err(NotWhole::Fraction) => self.value_fault(field, "is not a whole number"),
            Err(NotWhole::TooLarge) => self.value_fault(field, "is not a whole number of 64 bits"),
            Err(NotWhole::Exponent) => {
                self.value_fault(field, "is not a whole number in full (a spreadsheet drops digits for an exponent)");
            }
            Err(NotWhole::NoNumber) => self.value_fault(field, "is not a whole number"),
        }
        None
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
            self.value_fault(Field::Quantity, "is negative");
            0
        })
    }

    fn unit(&mut self, service: &str) -> Unit {
        let Some(name) = self.text(Field::Unit) else {
            return unit_of_service(service);
        };
        Unit::parse(&name).unwrap_or_else(|| {
            self.value_fault(Field::Unit, "is none of octets, seconds, messages, units");
            Unit::Units
        })
    }

    fn event_time(&mut self) -> Timestamp {
        let read = match self.raw.get(Field::EventTime) {
            RawValue::Absent => {
                self.field_fault(Field::EventTime, "is missing");
                return Timestamp::EPOCH;
            }
            RawValue::Integer(millis) => read_millis(*millis),
            RawValue::Text(text) | RawValue::Number(text) => read_time(text),
            RawValue::Other(_) => {
                self.value_fault(Field::EventTime, "is not a time with an offset between 1970 and 2200");
                return Timestamp::EPOCH;
            }
        };
        match read {
            Ok(at) => return at,
            Err(Misread { what, is_past: true }) => self.past = Some(format!("event_time: {what}")),
            Err(Misread { what, is_past: false }) => self.field_fault(Field::EventTime, &what),
        }
        Timestamp::EPOCH
    }

    /// The end is only carried: one that cannot be read holds nothing up.
    fn end_time(&self) -> Option<Timestamp> {
        match self.raw.get(Field::EndTime) {
            RawValue::Integer(millis) => Some(Timestamp::from_millis(*millis)).filter(|at| at.is_plausible()),
            RawValue::Text(text) => read_time(text).ok().or_else(|| {
                // Few digits were milliseconds before they were doubted, and the payload keeps its hash.
                text.parse().ok().map(Timestamp::from_millis).filter(|at| at.is_plausible())
            }),
            RawValue::Absent | RawValue::Number(_) | RawValue::Other(_) => None,
        }
    }

    fn network(&mut self) -> Option<Plmn> {
        let before = self.faults.len();
        let mcc = self.network_code(Field::Mcc);
        let mnc = self.network_code(Field::Mnc);
        if self.faults.len() != before {
            return None;
        }
        let network = match (&mcc, &mnc) {
            (None, None) => return None,
            (None, Some(_)) => None,
            (Some(mcc), mnc) => Plmn::new(mcc, mnc.as_deref()),
        };
        if network.is_none() {
            let shown = |code: &Option<Box<str>>| code.as_deref().map_or("none".to_owned(), quoted);
            let given = format!("mcc {}, mnc {}", shown(&mcc), shown(&mnc));
            self.field_fault(Field::Mcc, &format!("mcc of 3 digits, mnc of 2 or 3 digits as text are needed: {given}"));
        }
        network
    }

    /// A code of a network. As a number it has lost its leading zeros, if it had any: 10 may be 10 or 010.
    fn network_code(&mut self, field: Field) -> Option<Box<str>> {
        match self.raw.get(field) {
            RawValue::Integer(100..=999) | RawValue::Absent | RawValue::Text(_) => self.digits(field),
            RawValue::Integer(_) | RawValue::Number(_) | RawValue::Other(_) => {
                self.value_fault(field, "is a number, which has no leading zeros; its digits as text are needed");
                None
            }
        }
    }

    fn attribute(&mut self, name: &str) -> Option<Box<str>> {
        self.raw.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| Box::from(&**value))
    }
}

/// Validates an account command.
///
/// # Errors
/// `invalid_record` naming every faulty field, or `future_event`: what is not yet in effect must not move money or be drawn from.
pub fn intake_command(raw: &RawCommand<'_>, rules: &IntakeRules) -> Result<(u128, Command), Fault> {
    let mut faults: Vec<String> = raw.unsupported.iter().map(|name| format!("{name}: not supported yet")).collect();
    for (name, value) in
        [("bundle_id", &raw.bundle_id), ("endpoint_id", &raw.endpoint_id), ("reference", &raw.reference)]
    {
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
    let effective_time = read_time(&effective).unwrap_or_else(|misread| {
        if !effective.is_empty() {
            faults.push(format!("effective_time: {}", misread.what));
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
            let (note, reference) = (raw.note.as_deref().map(Box::from), raw.reference.as_deref().map(Box::from));
            // No source of usage can have this name: it holds a control character.
            let key = record_key("\u{1}command", &id);
            Ok((key, Command { id, kind, account_id, issued_by, effective_time, currency, note, reference }))
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
