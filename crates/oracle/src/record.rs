//! Reads one JSON line: a usage record, a command, or a tick.
//!
//! Numbers are integers or the line is no record; nothing is read through a float.

use super::rates::Keys;
use super::values;
use jiff::Timestamp;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A line of input.
pub(super) enum Line {
    Blank,
    /// Its time, in milliseconds since 1970.
    Tick(i64),
    Command(Command),
    Usage(Box<Record>),
    /// No JSON object.
    Undecodable,
    /// A JSON object that could not be one of these; the identity if it could be read.
    Invalid(Option<(String, String)>),
}

/// A usage record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) source: String,
    pub(super) id: String,
    pub(super) quantity: u64,
    /// Milliseconds since 1970.
    pub(super) event_time: i64,
    pub(super) imsi: Option<String>,
    pub(super) iccid: Option<String>,
    pub(super) msisdn: Option<String>,
    pub(super) endpoint_id: Option<String>,
    pub(super) account_id: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) subscription_type: Option<String>,
    pub(super) keys: Keys,
    /// Everything that was said, normalised: what two copies of one record have in common.
    pub(super) payload: BTreeMap<String, String>,
}

/// An account command.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) account: String,
    pub(super) issued_by: String,
    pub(super) effective: i64,
    /// 0 where none is needed.
    pub(super) amount: BigRational,
    pub(super) currency: Option<String>,
    pub(super) bundle: Option<String>,
    pub(super) endpoint: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Line {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Line::Undecodable;
    };
    if text.trim().is_empty() {
        return Line::Blank;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
        return Line::Undecodable;
    };
    if fields.contains_key("command_id") {
        return read_command(&fields).map_or(Line::Invalid(None), Line::Command);
    }
    if fields.contains_key("tick") {
        return moment(fields.get("tick")).map_or(Line::Invalid(None), Line::Tick);
    }
    match read_usage(&fields) {
        Some(record) => Line::Usage(Box::new(record)),
        None => Line::Invalid(identity(&fields)),
    }
}

const TEXTS: [&str; 17] = [
    "service",
    "unit",
    "imsi",
    "iccid",
    "msisdn",
    "endpoint_id",
    "account_id",
    "imei",
    "mcc",
    "mnc",
    "destination",
    "direction",
    "apn",
    "rat",
    "session_id",
    "sponsor",
    "source",
];
const NUMBERS: [&str; 5] = ["quantity_up", "quantity_down", "sequence", "closing_cause", "rating_group"];

fn read_usage(fields: &Map<String, Value>) -> Option<Record> {
    let (source, id) = identity(fields)?;
    let event_time = moment(fields.get("event_time"))?;
    let quantity = fields.get("quantity")?.as_u64().filter(|quantity| i64::try_from(*quantity).is_ok())?;
    let mut payload = BTreeMap::from([
        ("quantity".to_owned(), quantity.to_string()),
        ("event_time".to_owned(), event_time.to_string()),
    ]);
    for name in TEXTS {
        if let Some(value) = given(fields, name) {
            payload.insert(name.to_owned(), value.as_str()?.to_owned());
        }
    }
    for name in NUMBERS {
        if let Some(value) = given(fields, name) {
            payload.insert(name.to_owned(), value.as_i64()?.to_string());
        }
    }
    if let Some(value) = given(fields, "final") {
        payload.insert("final".to_owned(), value.as_bool()?.to_string());
    }
    if given(fields, "end_time").is_some() {
        payload.insert("end_time".to_owned(), moment(fields.get("end_time"))?.to_string());
    }
    if let Some(attributes) = given(fields, "attributes") {
        for (name, value) in attributes.as_object()? {
            payload.insert(format!("attributes.{name}"), value.as_str()?.to_owned());
        }
    }
    let text = |name: &str| payload.get(name).cloned();
    let service = text("service").filter(|service| !service.is_empty())?;
    let unit = text("unit").unwrap_or_else(|| unit_of(&service).to_owned());
    if unit != unit_of(&service) {
        return None;
    }
    let identities = ["imsi", "iccid", "msisdn", "endpoint_id", "account_id"].map(text);
    if identities.iter().all(Option::is_none) {
        return None;
    }
    let [imsi, iccid, msisdn, endpoint_id, account_id] = identities;
    let keys = Keys {
        service,
        mcc: text("mcc"),
        mnc: text("mnc"),
        destination: text("destination"),
        rating_group: text("rating_group"),
        apn: text("apn"),
        rat: text("rat"),
        direction: text("direction"),
        sponsor: text("sponsor"),
    };
    let session_id = text("session_id");
    let subscription_type = text("attributes.subscription_type");
    payload.insert("unit".to_owned(), unit);
    Some(Record {
        source,
        id,
        quantity,
        event_time,
        imsi,
        iccid,
        msisdn,
        endpoint_id,
        account_id,
        session_id,
        subscription_type,
        keys,
        payload,
    })
}

fn read_command(fields: &Map<String, Value>) -> Option<Command> {
    let text = |name: &str| given(fields, name).and_then(Value::as_str).map(str::to_owned);
    let kind = text("kind")?;
    let bundle = text("bundle_id");
    let amount = match &*kind {
        "top_up" | "credit" | "debit" => {
            Some(values::money(&text("amount")?).ok()?.0).filter(BigRational::is_positive)?
        }
        "buy_bundle" | "cancel_bundle" if bundle.is_none() => return None,
        "buy_bundle" | "cancel_bundle" | "suspend" | "activate" => BigRational::zero(),
        _ => return None,
    };
    Some(Command {
        id: text("command_id")?,
        kind,
        account: text("account_id")?,
        issued_by: text("issued_by")?,
        effective: moment(fields.get("effective_time"))?,
        amount,
        currency: text("currency"),
        bundle,
        endpoint: text("endpoint_id"),
    })
}

/// The value of a field that is there and not null.
fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// (source, id); the source is `file` unless it is given.
fn identity(fields: &Map<String, Value>) -> Option<(String, String)> {
    let id = given(fields, "id")?.as_str().filter(|id| !id.is_empty())?;
    let source = given(fields, "source").map_or(Some("file"), Value::as_str)?;
    Some((source.to_owned(), id.to_owned()))
}

/// RFC 3339 text or milliseconds since 1970.
fn moment(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => values::time(text).ok(),
        Value::Number(number) => number.as_i64().filter(|time| Timestamp::from_millisecond(*time).is_ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn unit_of(service: &str) -> &'static str {
    match service {
        "data" => "octets",
        "voice" => "seconds",
        "sms" => "messages",
        _ => "units",
    }
}
