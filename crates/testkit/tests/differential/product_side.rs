//! What the product says about a case: its messages, read back from their JSON form.

use crate::Case;
use crate::facts::Facts;
use directory::{Input, InputKind, Loaded};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use rating::{SuspenseReason, Timestamp};
use runtime::engine::BatchOutput;
use runtime::session::{Session, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use testkit::generator::traffic::Step;

/// Sizes of the batches, in turn: what comes out must not depend on them.
const BATCHES: [usize; 4] = [64, 1, 300, 7];

/// # Errors
/// When the reference is refused, or control totals do not balance.
pub(crate) fn facts(case: &Case) -> Result<Facts, String> {
    let latest_event = case.latest_event.map_or(Timestamp::LATEST, Timestamp::from_millis);
    let settings = Settings { threads: 2, latest_event, ..Settings::default() };
    let (mut session, output) =
        Session::start(&load(&case.reference)?, &settings).map_err(|error| format!("{error:?}"))?;
    let mut facts = Facts::default();
    let mut ids = Ids::new();
    add_output(&output, &mut ids, &mut facts)?;
    let mut batch: Vec<u8> = Vec::new();
    let mut lines = 0;
    let mut batches = 0;
    for step in &case.steps {
        if let Step::Line(line) = step {
            batch.extend(line);
            batch.push(b'\n');
            lines += 1;
            if lines < BATCHES[batches % BATCHES.len()] {
                continue;
            }
        }
        if lines > 0 {
            batches += 1;
            lines = 0;
            let output = session.feed(&format!("batch-{batches}"), &batch).map_err(|error| format!("{error:?}"))?;
            batch.clear();
            add_output(&output, &mut ids, &mut facts)?;
        }
        let output = match step {
            Step::Line(_) => continue,
            Step::Replace(reference) => session.replace_reference(&load(reference)?),
            Step::Recycle => session.recycle_some(|open| open.reason != SuspenseReason::TooOldToRate),
        };
        add_output(&output.map_err(|error| format!("{error:?}"))?, &mut ids, &mut facts)?;
    }
    if lines > 0 {
        let output = session.feed("last batch", &batch).map_err(|error| format!("{error:?}"))?;
        add_output(&output, &mut ids, &mut facts)?;
    }
    Ok(facts)
}

fn load(reference: &str) -> Result<Loaded, String> {
    let input = Input { name: "rating.yaml".to_owned(), bytes: reference.into(), kind: InputKind::Yaml };
    directory::load(vec![input]).map_err(|refused| refused.to_string())
}

/// Ids of messages, each of which may occur once.
type Ids = BTreeSet<String>;

fn add_output(output: &BatchOutput, ids: &mut Ids, facts: &mut Facts) -> Result<(), String> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|error| error.to_string());
    let mut check_id = |message: &Message, key: &str, facts: &mut Facts| {
        let id = format!("{key} {}", message.text(key));
        if !ids.insert(id.clone()) {
            facts.add("ids that occur twice", id);
        }
    };
    // What a charge says about its delta, and the delta about its charge, is the same.
    let mut links: BTreeMap<String, i32> = BTreeMap::new();
    let link = |message: &Message| {
        let parts = ["delta_id", "charge_id", "balance_after", "currency"].map(|key| message.text(key));
        parts.join(" ")
    };
    for message in output.charges.messages() {
        let charge = Message(read(message)?);
        check_id(&charge, "charge_id", facts);
        if charge.maybe("delta_id").is_some() {
            *links.entry(format!("{} {}", link(&charge), charge.text("delta_sequence"))).or_default() += 1;
        }
        add_charge(&charge, facts)?;
    }
    for message in output.deltas.messages() {
        let delta = Message(read(message)?);
        check_id(&delta, "delta_id", facts);
        if delta.maybe("charge_id").is_some() {
            *links.entry(format!("{} {}", link(&delta), delta.text("sequence"))).or_default() -= 1;
        }
        let text = format!(
            "delta {} {} {} balance {}",
            delta.text("sequence"),
            delta.text("kind"),
            delta.text("amount"),
            delta.text("balance_after")
        );
        facts.add(format!("account {}", delta.text("account_id")), text);
    }
    for message in output.suspense.messages() {
        let waiting = Message(read(message)?);
        let level = waiting.maybe("level").map_or(String::new(), |level| format!("level {level} "));
        let line = waiting.maybe("original").unwrap_or_else(|| waiting.text("original_base64"));
        facts.add(format!("line {line}"), format!("{level}waits: {}", waiting.text("reason")));
    }
    for message in output.notifications.messages() {
        let told = Message(read(message)?);
        check_id(&told, "notification_id", facts);
        let kind = told.text("kind");
        let news = match &*kind {
            "allowance_threshold" => format!(
                "allowance_threshold {} {} % left {}",
                told.text("allowance_id"),
                told.text("threshold_percent"),
                told.text("remaining")
            ),
            "balance_exhausted" => format!("balance_exhausted {}", told.text("balance")),
            "cap_reached" => format!("cap_reached {}", told.text("tariff_id")),
            _ => kind,
        };
        let text = format!("told {news} by {}", told.text("caused_by"));
        facts.add(format!("account {}", told.text("account_id")), text);
    }
    for (link, _) in links.into_iter().filter(|(_, count)| *count != 0) {
        facts.add("charges and deltas that do not belong together", link);
    }
    for _ in 0..output.totals.duplicates {
        facts.add("totals", "duplicate");
    }
    Ok(())
}

fn add_charge(charge: &Message, facts: &mut Facts) -> Result<(), String> {
    let time = charge.time("event_time")?;
    let endpoint = charge.maybe("endpoint_id");
    let (payer, payee) = (charge.text("payer_id"), charge.text("payee_id"));
    let (amount, currency) = (charge.text("amount"), charge.text("currency"));
    let balance = charge.text("balance_after");
    if charge.text("kind") == "bundle_fee" {
        let sequence = charge.text("delta_sequence");
        let text = format!("fee to {payee} {amount} {currency} at {time} delta {sequence} balance {balance}");
        facts.add(format!("account {payer}"), text);
        return Ok(());
    }
    facts.charges += 1;
    let subject =
        format!("usage {}/{} level {}", charge.text("usage_source"), charge.text("usage_id"), charge.text("level"));
    facts.add(&subject, format!("{payer} pays {payee} in {currency}"));
    facts.add(&subject, format!("at {time} endpoint {endpoint:?}"));
    let waived = charge.maybe("waived").unwrap_or_else(|| "0".to_owned());
    facts.add(&subject, format!("amount {amount} waived {waived} {}", charge.text("reason")));
    let delta = charge.maybe("delta_sequence").map(|sequence| format!("delta {sequence} balance {balance}"));
    facts.add(&subject, delta.unwrap_or("no delta".to_owned()));

    let mut draws = String::from("draws");
    let mut quantities: BTreeMap<String, BigInt> = BTreeMap::new();
    let mut billed: BTreeMap<BigRational, BigInt> = BTreeMap::new();
    let mut billable = BigInt::zero();
    let mut connect = BigRational::zero();
    let mut sum = BigRational::zero();
    let mut by = "nothing".to_owned();
    let segments = charge.0["segments"].as_array().cloned().unwrap_or_default();
    for segment in segments.iter().cloned().map(Message) {
        let source = segment.text("source");
        let quantity = segment.integer("quantity")?;
        *quantities.entry(source.clone()).or_default() += &quantity;
        let exact = segment.decimal("amount")?;
        if source == "allowance" {
            let left = |key: &str| segment.maybe(key).unwrap_or_else(|| "-".to_owned());
            let (before, after) = (left("allowance_before"), left("allowance_after"));
            let _ = write!(draws, " {} {quantity} ({before} to {after})", segment.text("allowance_id"));
            continue;
        }
        if source != "cap" {
            sum += &exact;
        }
        if source == "connect" {
            connect += &exact;
        }
        if source == "tariff" {
            let units = segment.integer("billable_quantity")?;
            let price = segment.decimal("unit_price")? / BigRational::from_integer(segment.integer("per_units")?);
            billable += &units;
            *billed.entry(price).or_default() += units;
        }
        if let Some(tariff) = segment.maybe("tariff_id") {
            by = format!("{tariff}@{} zone {}", segment.time("tariff_version")?, segment.text("zone"));
        }
    }
    facts.add(&subject, draws);
    let total: BigInt = quantities.values().sum();
    if total.to_string() != charge.text("quantity") {
        facts.add(&subject, format!("segments hold {total} units of {}", charge.text("quantity")));
    }
    let of = |source: &str| quantities.get(source).cloned().unwrap_or_default();
    let free = of("free");
    let uncovered = total - of("allowance");
    facts.add(&subject, format!("uncovered {uncovered} of which free {free}, priced by {by}"));
    let mut prices = String::new();
    for (price, units) in billed.iter().filter(|(_, units)| !units.is_zero()) {
        let _ = write!(prices, " {units} x {price}");
    }
    let connect = crate::decimal_text(&connect);
    facts.add(&subject, format!("connect {connect} billed {billable}:{prices}"));
    facts.add(&subject, format!("properties {:?} codes {:?}", charge.texts("properties"), charge.texts("codes")));
    facts.add_sum(subject, sum, u32::try_from(segments.len()).unwrap_or(u32::MAX));
    Ok(())
}

/// A JSON object with the habits of the product's messages.
struct Message(Value);

impl Message {
    /// A text, or a number as text; nothing if it is null.
    fn maybe(&self, key: &str) -> Option<String> {
        match &self.0[key] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    fn text(&self, key: &str) -> String {
        self.maybe(key).unwrap_or_else(|| format!("no {key}"))
    }

    /// The entries of a map, by name.
    fn texts(&self, key: &str) -> Vec<(String, String)> {
        let entries = self.0[key].as_object().into_iter().flatten();
        let mut texts: Vec<_> =
            entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        texts.sort();
        texts
    }

    fn time(&self, key: &str) -> Result<i64, String> {
        let text = self.text(key);
        text.parse().map(jiff::Timestamp::as_millisecond).map_err(|error| format!("{key} {text:?}: {error}"))
    }

    fn integer(&self, key: &str) -> Result<BigInt, String> {
        let text = self.text(key);
        text.parse().map_err(|error| format!("{key} {text:?}: {error}"))
    }

    fn decimal(&self, key: &str) -> Result<BigRational, String> {
        let text = self.text(key);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits: BigInt =
            format!("{whole}{fraction}").parse().map_err(|error| format!("{key} {text:?}: {error}"))?;
        let places = u32::try_from(fraction.len()).map_err(|error| error.to_string())?;
        Ok(BigRational::new(digits, BigInt::from(10).pow(places)))
    }
}
