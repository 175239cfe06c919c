//! The doors of a deployment on a real broker: what others write to a topic that is not theirs to write moves nothing, and what is suspended is charged
//! once, in the order in which it came.
//!
//! | module | shows |
//! | --- | --- |
//! | `forged` | commands, retries and ticks at other doors |
//! | `copies` | copies of a suspended record, and a window that passes |
//! | `due` | work that falls due, without a message |
//! | `full` | commands without end for one account |
//! | `order` | the order in which what waits is tried again |
//! | `everything` | messages of every kind on every topic; `RATER_DOORS_MESSAGES=10000` makes it long, `RATER_DOORS_SEED` replays it |

mod copies;
mod due;
mod everything;
mod forged;
mod full;
mod order;
mod support;

use runtime::service::topics::PartitionCounts;

const PARTITIONS: PartitionCounts = PartitionCounts { inputs: 2, intaken: 2, guided: 2, outputs: 2 };
const KNOWN: &str = "001010000000001";
const REFERENCE: &str = "
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }, { service: sms, price: 0.01/message }] }]
  wholesale:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.05/MB }] }]
bundles:
  five: { currency: GBP, elements: [{ service: data, amount: 5 MB }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  alpha: { kind: reseller, parent: northstar, currency: GBP, tariff: wholesale }
  acme: { kind: customer, parent: alpha, currency: GBP, tariff: retail }
  other: { kind: customer, parent: alpha, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
";

/// An endpoint that turns up later.
const LATER: &str = "001010000000002";

/// The reference data with that endpoint, and with the rate that a reseller's tariff has not.
fn mended() -> String {
    let wholesale = "rates: [{ service: data, price: 0.05/MB }";
    let with_rate = REFERENCE.replace(wholesale, &format!("{wholesale}, {{ service: sms, price: 0.005/message }}"));
    assert_ne!(with_rate, REFERENCE);
    format!("{with_rate}  meter-2: {{ customer: acme, imsi: {LATER} }}\n")
}
