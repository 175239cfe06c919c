//! `rater quote`: what hypothetical usage would be charged.

use crate::args::QuoteArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::explanation;
use crate::{reference, settings};
use directory::value::{UnitSystem, base_units};
use rating::Unit;
use runtime::explain::{self, ExplainError};
use runtime::session::Settings;
use serde_json::{Map, Value, json};

/// Prices the usage as if nothing had been used before.
///
/// # Errors
/// Reference data with errors, a quantity or time that is none.
pub(crate) fn run(args: &QuoteArgs, console: &mut Console) -> Result<(), Failure> {
    let loaded = reference::load(&args.reference, None)?;
    let record = record(args)?;
    let quoted = explain::quote(&loaded, &Settings::default(), record.to_string().as_bytes());
    let quoted = quoted.map_err(|error| match error {
        ExplainError::Run(error) => Failure::from(error),
        other => Failure::Data(other.to_string()),
    })?;
    let Some(quoted) = quoted else { return Ok(()) };
    if console.json {
        console.print_json(&explanation::today_json(&quoted, args.level))?;
    } else {
        console.print(&explanation::quote(&quoted, args.level, console.paint()))?;
        console.say("a quote: as the first use of all, and nothing was changed");
    }
    if quoted.suspense.is_empty() { Ok(()) } else { Err(Failure::Findings) }
}

/// The usage record, in the form of `schemas/usage-record.avsc`.
fn record(args: &QuoteArgs) -> Result<Value, Failure> {
    let wrong = |error| Failure::Data(format!("--quantity: {error}"));
    let (quantity, unit) = base_units(&args.quantity, UnitSystem::Decimal).map_err(wrong)?;
    let at = match &args.at {
        Some(text) => settings::time("--at", text)?,
        None => settings::machine_now(),
    };
    let (mcc, mnc) = match args.network.as_deref().map(|network| (network, network.split_once('-'))) {
        Some((_, Some((mcc, mnc)))) => (Some(mcc), Some(mnc)),
        Some((mcc, None)) => (Some(mcc), None),
        None => (None, None),
    };
    let mut fields = Map::new();
    let texts = [
        ("endpoint_id", args.endpoint.as_deref()),
        ("imsi", args.imsi.as_deref()),
        ("iccid", args.iccid.as_deref()),
        ("msisdn", args.msisdn.as_deref()),
        ("account_id", args.account.as_deref()),
        ("unit", unit.map(Unit::name)),
        ("mcc", mcc),
        ("mnc", mnc),
        ("destination", args.destination.as_deref()),
        ("direction", args.direction.as_deref()),
        ("apn", args.apn.as_deref()),
        ("rat", args.rat.as_deref()),
        ("sponsor", args.sponsor.as_deref()),
    ];
    fields.insert("id".to_owned(), json!("quote"));
    fields.insert("service".to_owned(), json!(args.service));
    fields.insert("quantity".to_owned(), json!(quantity));
    fields.insert("event_time".to_owned(), json!(at.to_string()));
    for (name, value) in texts {
        if let Some(value) = value {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(group) = args.rating_group {
        fields.insert("rating_group".to_owned(), json!(group));
    }
    if let Some(kind) = &args.subscription_type {
        fields.insert("attributes".to_owned(), json!({ "subscription_type": kind }));
    }
    Ok(Value::Object(fields))
}
