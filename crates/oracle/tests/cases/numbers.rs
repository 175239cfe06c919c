//! Called numbers.

use super::check;

#[test]
fn a_whole_number_is_no_prefix_and_beats_every_prefix() {
    let reference = r"
format: rater/v1
zones: { sos: { to: [911$, 112$] }, india: { to: [91] }, na: { to: [1] } }
tariffs:
  retail:
    currency: GBP
    versions:
      - from: 2000-01-01T00:00:00Z
        rates:
          - { service: voice, zone: sos, price: 0.07/min }
          - { service: voice, zone: india, price: 0.20/min }
          - { service: voice, zone: na, price: 0.01/min }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints: { meter-1: { customer: acme, imsi: 001010000000001 } }
";
    let call = |destination: &str| {
        format!(
            r#"{{"id":"{destination}","service":"voice","quantity":60,"event_time":"2026-03-05T14:00:00Z","imsi":"001010000000001","destination":"{destination}"}}"#
        )
    };
    let expected =
        [("911", "1 0.07"), ("911141234567", "1 0.2"), ("9112", "1 0.2"), ("112", "1 0.07"), ("1120", "1 0.01")];
    check(reference, &expected.map(|(called, charge)| (call(called), charge)));
}
