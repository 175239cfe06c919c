//! Large files for benchmarks: one chain of two resellers above every customer, so that each record has the levels 0 to 3.
//!
//! Owns their content: endpoint plans, customers' pools and tiered tariffs, resellers' plain tariffs, heavy-tailed data with some voice and SMS, one
//! duplicate in a thousand, one unknown endpoint in ten thousand. Writes streaming; nothing grows with the number of records but a window of
//! recent records from which duplicates are drawn.

use super::{EndpointForm, Parameters, UsageForm, files};
use crate::generator::random::Random;
use crate::generator::record::{UsageRecord, time_text};
use std::io::{self, Write};
use std::path::Path;

const NETWORKS: [(&str, &str); 8] = [
    ("234", "15"),
    ("234", "10"),
    ("235", "94"),
    ("262", "01"),
    ("208", "01"),
    ("208", "10"),
    ("310", "410"),
    ("310", "260"),
];
/// Most doublings of how long ago an event happened.
pub(super) const DELAY_DOUBLINGS: u32 = 14;

const ENDPOINT_PLANS: [&str; 3] = ["plan-basic", "plan-session", "plan-zoned"];

/// Writes reference data and usage below `directory`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    write_reference(parameters, directory)?;
    write_usage(parameters, directory)
}

/// Writes the reference data below `directory`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write_reference(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    let mut reference = files::create(directory, "rating.yaml")?;
    write_tariffs(&mut reference)?;
    write_accounts(&mut reference, parameters)?;
    write_endpoints(&mut reference, parameters, directory)?;
    reference.flush()
}

fn write_tariffs(output: &mut impl Write) -> io::Result<()> {
    writeln!(
        output,
        "format: rater/v1
zones:
  uk: {{ networks: [\"234\", \"235\"] }}
  uk-net15: {{ networks: [\"234-15\"] }}
  eu: {{ networks: [\"208\", \"262\"] }}
  preferred: {{ networks: [\"262-01\", \"208-10\", \"310-410\"] }}
  uk-mobile: {{ networks: [\"234\", \"235\"], to: [\"447\"] }}
tariffs:"
    )?;
    let since = "from: 2025-01-01T00:00:00Z";
    let common = "          - { service: voice, price: 0.10/min, increment: 1 s }
          - { service: sms, price: 0.05/message }";
    let plain = |name: &str, price: &str, increment: &str| {
        format!(
            "  {name}:\n    currency: GBP\n    versions:\n      - {since}\n        rates:\n          - {{ service: data, price: {price}, increment: {increment} }}\n{common}"
        )
    };
    writeln!(output, "{}", plain("plan-basic", "0.20/MB", "100 KB"))?;
    writeln!(
        output,
        "  plan-session:
    currency: GBP
    versions:
      - {since}
        rates:
          - {{ service: data, price: 0.18/MB, increment: 100 KB, per: session }}
{common}
  plan-zoned:
    currency: GBP
    versions:
      - {since}
        rates:
          - {{ service: data, price: 0.30/MB, increment: 10 KB }}
          - {{ service: data, zone: uk, price: 0.15/MB, increment: 10 KB }}
          - {{ service: data, zone: uk-net15, price: 0.12/MB, increment: 10 KB }}
          - {{ service: data, zone: eu, price: 0.20/MB, increment: 10 KB }}
          - {{ service: data, zone: preferred, price: 0.17/MB, increment: 10 KB }}
          - {{ service: data, rating_group: 2, price: 0/MB }}
{common}
  retail:
    currency: GBP
    versions:
      - {since}
        rates:
          - {{ service: data, price: 0.12/MB, increment: 10 KB }}
          - service: data
            zone: uk
            increment: 10 KB
            tiers:
              - {{ up_to: 1 GB, price: 0.10/MB }}
              - {{ up_to: 10 GB, price: 0.08/MB }}
              - {{ price: 0.06/MB }}
          - {{ service: voice, price: 0.08/min, increment: 1 s }}
          - {{ service: voice, zone: uk-mobile, price: 0.06/min, increment: 1 s }}
          - {{ service: sms, price: 0.04/message }}
  retail-plus: {{ alias_of: retail, markup: {{ data: 0.01/MB }} }}"
    )?;
    writeln!(output, "{}", plain("wholesale", "0.05/MB", "1 KB"))?;
    writeln!(output, "{}", plain("carrier", "0.02/MB", "1 KB"))?;
    writeln!(
        output,
        "bundles:
  uk-pool:
    currency: GBP
    scope: customer
    elements:
      - {{ priority: 1, service: data, zone: uk, amount: 5 GB }}
  world-pool:
    currency: GBP
    scope: customer
    elements:
      - {{ priority: 1, service: data, amount: 2 GB }}
      - {{ priority: 1, service: voice, amount: 1000 min }}"
    )
}

fn write_accounts(output: &mut impl Write, parameters: &Parameters) -> io::Result<()> {
    writeln!(output, "accounts:\n  northstar: {{ kind: operator, currency: GBP }}")?;
    writeln!(output, "  alpha: {{ kind: reseller, parent: northstar, currency: GBP, tariff: carrier }}")?;
    for reseller in 0..resellers(parameters) {
        writeln!(output, "  beta-{reseller}: {{ kind: reseller, parent: alpha, currency: GBP, tariff: wholesale }}")?;
    }
    for customer in 0..parameters.customers {
        let reseller = customer % resellers(parameters);
        let tariff = if customer % 4 == 3 { "retail-plus" } else { "retail" };
        let bundles = match customer % 5 {
            0 => "[uk-pool]",
            1 => "[world-pool]",
            2 => "[uk-pool, world-pool]",
            _ => "[]",
        };
        writeln!(
            output,
            "  customer-{customer}: {{ kind: customer, parent: beta-{reseller}, currency: GBP, tariff: {tariff}, bundles: {bundles} }}"
        )?;
    }
    Ok(())
}

fn write_endpoints(reference: &mut impl Write, parameters: &Parameters, directory: &Path) -> io::Result<()> {
    match parameters.endpoint_form {
        EndpointForm::Csv => {
            let mut output = files::create(directory, "endpoints.csv")?;
            writeln!(output, "endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff")?;
            for number in 0..parameters.endpoints {
                let (customer, imsi, iccid, plan) = endpoint(parameters, number);
                writeln!(output, "e{number},{customer},{imsi},{iccid},,,,{plan}")?;
            }
            output.flush()
        }
        EndpointForm::Yaml => {
            writeln!(reference, "endpoints:")?;
            for number in 0..parameters.endpoints {
                let (customer, imsi, iccid, plan) = endpoint(parameters, number);
                writeln!(
                    reference,
                    "  e{number}: {{ customer: {customer}, imsi: \"{imsi}\", iccid: \"{iccid}\", plan: {{ tariff: {plan} }} }}"
                )?;
            }
            Ok(())
        }
    }
}

fn resellers(parameters: &Parameters) -> u64 {
    (parameters.customers / 50).max(1)
}

fn endpoint(parameters: &Parameters, number: u64) -> (String, String, String, &'static str) {
    let customer = format!("customer-{}", number % parameters.customers.max(1));
    let plan = ENDPOINT_PLANS[usize::try_from(number % 3).unwrap_or(0)];
    (customer, imsi(number), format!("8944{number:015}"), plan)
}

fn imsi(number: u64) -> String {
    format!("00101{number:010}")
}

fn write_usage(parameters: &Parameters, directory: &Path) -> io::Result<()> {
    let mut json = match parameters.usage_form {
        UsageForm::Json | UsageForm::Both => Some(files::create(directory, "usage.jsonl")?),
        UsageForm::Csv => None,
    };
    let mut csv = match parameters.usage_form {
        UsageForm::Csv | UsageForm::Both => Some(files::create(directory, "usage.csv")?),
        UsageForm::Json => None,
    };
    if let Some(output) = &mut csv {
        writeln!(output, "{}", super::record::CSV_HEADER)?;
    }
    each(parameters, |item| {
        match (&mut json, &item) {
            (Some(output), Item::Tick(at_ms)) => writeln!(output, "{}", tick_line(*at_ms))?,
            (Some(output), Item::Usage { record, .. }) => record.write_json(output)?,
            (None, Item::Tick(_) | Item::Usage { .. }) => {}
        }
        match (&mut csv, item) {
            (Some(output), Item::Usage { record, .. }) => record.write_csv(output),
            (Some(_), Item::Tick(_)) | (None, _) => Ok(()),
        }
    })?;
    json.map_or(Ok(()), |mut output| output.flush())?;
    csv.map_or(Ok(()), |mut output| output.flush())
}

/// One thing of the stream.
pub(super) enum Item<'i> {
    /// It is so late, in milliseconds since 1970.
    Tick(i64),
    /// A record.
    Usage {
        /// The record.
        record: &'i UsageRecord,
        /// Whether it was sent before.
        is_copy: bool,
    },
}

/// A tick as a line, without a line feed.
pub(super) fn tick_line(at_ms: i64) -> String {
    format!("{{\"tick\":\"{}\"}}", time_text(at_ms))
}

/// Hands out the stream in order.
///
/// # Errors
/// Whatever `visit` answers; nothing follows it.
pub(super) fn each(parameters: &Parameters, mut visit: impl FnMut(Item<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut random = Random::new(parameters.seed);
    let mut recent: Vec<UsageRecord> = Vec::new();
    let mut last_tick_ms = parameters.times.start_ms;
    for number in 0..parameters.records {
        let is_copy = !recent.is_empty() && random.chance(1);
        let record =
            if is_copy { recent[random.index(recent.len())].clone() } else { usage(parameters, number, &mut random) };
        let now_ms = position_ms(parameters, number);
        if now_ms - last_tick_ms >= 3_600_000 {
            last_tick_ms = now_ms;
            visit(Item::Tick(now_ms))?;
        }
        visit(Item::Usage { record: &record, is_copy })?;
        if recent.len() < 1024 {
            recent.push(record);
        } else {
            let slot = random.index(recent.len());
            recent[slot] = record;
        }
    }
    Ok(())
}

/// The time at which record `number` would arrive if records came evenly.
fn position_ms(parameters: &Parameters, number: u64) -> i64 {
    let offset = u128::from(number) * u128::from(parameters.times.span_ms) / u128::from(parameters.records.max(1));
    parameters.times.start_ms + i64::try_from(offset).unwrap_or(0)
}

fn usage(parameters: &Parameters, number: u64, random: &mut Random) -> UsageRecord {
    let endpoint = random.below(parameters.endpoints.max(1));
    let identity = if random.below(10_000) == 0 { parameters.endpoints + endpoint } else { endpoint };
    let delay_ms = i64::try_from(random.heavy_tailed(parameters.times.delay_ms, DELAY_DOUBLINGS)).unwrap_or(0);
    let (mcc, mnc) = *random.pick(&NETWORKS);
    let mut record = UsageRecord {
        id: format!("u{number}"),
        source: parameters.times.source.clone(),
        event_time_ms: position_ms(parameters, number) - delay_ms,
        imsi: imsi(identity),
        mcc,
        mnc,
        ..UsageRecord::default()
    };
    match random.below(100) {
        0..90 => {
            record.service = "data";
            record.quantity = random.heavy_tailed(200_000, 12);
            record.apn = "iot.example";
            record.rat = "lte";
            // An endpoint has one session in each quarter of the file.
            record.session_id = format!("s{endpoint}-{}", number * 4 / parameters.records.max(1));
            record.rating_group = Some(if random.chance(50) { 2 } else { 1 });
        }
        90..97 => {
            record.service = "sms";
            record.quantity = 1;
            record.direction = "outgoing";
            record.destination = format!("447{:09}", random.below(1_000_000_000));
        }
        _ => {
            record.service = "voice";
            record.quantity = random.heavy_tailed(60, 7);
            record.direction = "outgoing";
            record.destination = format!("4{:011}", random.below(100_000_000_000));
        }
    }
    record
}
