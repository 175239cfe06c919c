//! The currency of an account never changes (rule 8): refused where state is at hand, and a leg or command in another one is suspended or refused.

mod folder;

use folder::{messages, rate, reference, settings, try_rate};

use runtime::embedded::{Recycle, RunError, RunSettings};
use runtime::session::{Session, Settings};
use std::path::Path;

fn yaml(currency: &str) -> String {
    format!(
        "format: rater/v1
tariffs:
  retail: {{ currency: {currency}, versions: [{{ from: 2026-01-01T00:00:00Z, rates: [{{ service: data, price: 0.10/MB }}] }}] }}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  alpha: {{ kind: reseller, parent: northstar, currency: GBP }}
  acme: {{ kind: customer, parent: alpha, currency: {currency}, tariff: retail }}
endpoints:
  meter-1: {{ customer: acme, imsi: \"001010000000001\", plan: {{ tariff: retail }} }}
"
    )
}

/// Reference data that do not define the customer any more.
const WITHOUT: &str = "format: rater/v1
accounts:
  northstar: { kind: operator, currency: GBP }
  alpha: { kind: reseller, parent: northstar, currency: GBP }
";

fn usage(id: &str, account: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":1000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"account_id\":\"{account}\"}}\n"
    )
}

fn top_up(id: &str, account: &str) -> String {
    format!(
        "{{\"command_id\":\"{id}\",\"kind\":\"top_up\",\"account_id\":\"{account}\",\"issued_by\":\"northstar\",\"amount\":\"5\",\
         \"effective_time\":\"2026-03-05T14:00:00Z\"}}\n"
    )
}

fn file(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn a_run_into_a_folder_refuses_reference_data_that_change_it() {
    // State from a charge, from a charge of 0 and from a command; of an account and of the account of an endpoint.
    for (line, account) in [
        (usage("r1", "acme"), "acme"),
        (usage("r1", "acme").replace("1000000", "0"), "acme"),
        (top_up("c1", "acme"), "acme"),
        (top_up("c1", "acme/meter-1"), "acme/meter-1"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let first = file(folder.path(), "first.jsonl", &line);
        let next = file(folder.path(), "next.jsonl", &usage("r2", "acme"));
        rate(&reference(&yaml("GBP")), &settings(&[&first], &out));
        let before = folder::outputs(&out);
        // Removing the account is allowed, and adding it in another currency is refused still.
        let nothing = file(folder.path(), "nothing.jsonl", "\n");
        rate(&reference(WITHOUT), &settings(&[&nothing], &out));
        let refused = try_rate(&reference(&yaml("EUR")), &settings(&[&next], &out));
        let text = match refused {
            Err(error @ RunError::Currency(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with("R127: ") && text.contains(":7:"), "{text}");
        assert!(text.contains(&format!("account \"{account}\" was charged in GBP")), "{text}");
        assert_eq!(folder::outputs(&out), before, "nothing is written");
        assert_eq!(rate(&reference(&yaml("GBP")), &settings(&[&next], &out)).run.guided, 1);
    }
}

#[test]
fn an_account_without_state_takes_any_currency_and_one_whose_leg_was_suspended_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let first = file(folder.path(), "first.jsonl", &usage("r1", "acme"));
    let without_tariff = yaml("GBP").replace(", tariff: retail }\nendpoints", " }\nendpoints");
    rate(&reference(&without_tariff), &settings(&[&first], &out));
    let report = rate(&reference(&yaml("EUR")), &RunSettings { recycle: Recycle::Waiting, ..settings(&[], &out) });
    assert_eq!(report.recycled, (1, 1));
    assert_eq!(messages(&out, "charges").last().map(|charge| charge["currency"].clone()), Some("EUR".into()));
}

#[test]
fn elsewhere_legs_are_suspended_and_commands_refused() {
    let settings = Settings::default();
    let mut session = Session::new(&reference(&yaml("GBP")), &settings).expect("started");
    let first = session.feed("usage", usage("r1", "acme").as_bytes()).expect("rated");
    assert_eq!(first.charges.ends.len(), 2);
    session.replace_reference(&reference(&yaml("EUR"))).expect("replaced");
    let text =
        usage("r2", "acme") + &usage("r3", "acme/meter-1") + &top_up("c1", "acme") + &top_up("c2", "acme/meter-1");
    let output = session.feed("usage", text.as_bytes()).expect("rated");
    // The reseller is charged for both; the customer is not, while the account of its endpoint, which had no state, is in the new currency.
    assert_eq!(output.charges.ends.len(), 3);
    let suspense = String::from_utf8_lossy(&output.suspense.bytes).into_owned();
    assert_eq!(suspense.matches("\"currency_mismatch\"").count(), 2, "{suspense}");
    let notifications = String::from_utf8_lossy(&output.notifications.bytes).into_owned();
    assert_eq!(notifications.matches("\"currency_mismatch\"").count(), 1, "{notifications}");
    assert_eq!(output.deltas.ends.len(), 2, "of the endpoint's account alone");
    // In the first currency again the legs are charged.
    session.replace_reference(&reference(&yaml("GBP"))).expect("replaced");
    let again = session.recycle().expect("recycled");
    assert_eq!(again.charges.ends.len(), 2);
}
