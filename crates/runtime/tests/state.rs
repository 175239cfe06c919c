//! State over time: a year in the life of endpoints that buy a bundle and open sessions every month does not make it grow, and what has left can come back.
//!
//! `RATER_YEAR_ENDPOINTS` says how many; with 10,000 it takes minutes without optimisation.

use directory::{Input, InputKind};
use rating::Timestamp;
use runtime::session::{Session, Settings};
use std::fmt::Write;

fn reference(endpoints: usize) -> String {
    let meters: String = (0..endpoints).fold(String::new(), |mut text, meter| {
        let _ = writeln!(text, "  meter-{meter}: {{ customer: acme }}");
        text
    });
    format!(
        "format: rater/v1
tariffs:
  plan:
    currency: GBP
    versions:
      - from: 2025-01-01T00:00:00Z
        cap: 1000 GBP
        rates:
          - {{ service: data, price: 0.10/MB, minimum: 2 KB, per: session, connect: 0.01 }}
          - {{ service: sms, price: 0.10/message, free: 2, per: month }}
bundles:
  month: {{ currency: GBP, scope: endpoint, lasts: 1 month, elements: [{{ service: data, amount: 5 KB }}] }}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  acme: {{ kind: customer, parent: northstar, currency: GBP, tariff: plan }}
endpoints:
{meters}"
    )
}

/// The lines of a third of a month.
fn lines(month: u32, part: u32, endpoints: usize) -> String {
    let at = format!("2026-{month:02}-{:02}T10:00:00Z", 1 + part * 10);
    let mut lines = format!("{{\"tick\":\"{at}\"}}\n");
    for meter in 0..endpoints {
        if part == 0 {
            let _ = writeln!(
                lines,
                "{{\"command_id\":\"c{month}-{meter}\",\"kind\":\"buy_bundle\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\
                 \"effective_time\":\"{at}\",\"bundle_id\":\"month\",\"endpoint_id\":\"meter-{meter}\"}}"
            );
        }
        for (service, quantity) in [("data", 4_000), ("sms", 1)] {
            let _ = writeln!(
                lines,
                "{{\"id\":\"{service}-{month}-{part}-{meter}\",\"service\":\"{service}\",\"quantity\":{quantity},\"event_time\":\"{at}\",\
                 \"endpoint_id\":\"meter-{meter}\",\"session_id\":\"s{month}-{part}\"}}"
            );
        }
    }
    lines
}

#[test]
fn state_does_not_grow_with_time_alone() {
    let endpoints = std::env::var("RATER_YEAR_ENDPOINTS").map_or(300, |text| text.parse().expect("a number"));
    let input =
        Input { name: "rating.yaml".to_owned(), bytes: reference(endpoints).into_bytes(), kind: InputKind::Yaml };
    let loaded = directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
    let settings = Settings { latest_event: Timestamp::LATEST, duplicate_window_h: Some(72), ..Settings::default() };
    let mut session = Session::new(&loaded, &settings).expect("a session");
    let mut sizes = Vec::new();
    for month in 1..=12 {
        for part in 0..3 {
            session.feed("usage", lines(month, part, endpoints).as_bytes()).expect("rated");
            session.engine_mut().take_changes();
        }
        sizes.push(session.engine_mut().checkpoint().iter().map(Vec::len).sum::<usize>());
    }
    println!("{endpoints} endpoints, bytes of state after each month: {sizes:?}");
    assert_eq!(session.open_suspense().count(), 0);
    assert!(sizes[11] as f64 <= 1.1 * sizes[2] as f64, "{sizes:?}");
}

/// The last instance of a bundle leaves, a checkpoint is taken, and the bundle is bought again: what was written can be read.
#[test]
fn a_bundle_that_is_bought_again_after_a_checkpoint_is_found() {
    let input = Input { name: "rating.yaml".to_owned(), bytes: reference(1).into_bytes(), kind: InputKind::Yaml };
    let loaded = directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
    let settings = Settings { latest_event: Timestamp::LATEST, ..Settings::default() };
    let mut session = Session::new(&loaded, &settings).expect("a session");
    let buy = |id: &str, at: &str| {
        format!(
            "{{\"command_id\":\"{id}\",\"kind\":\"buy_bundle\",\"account_id\":\"acme\",\"issued_by\":\"northstar\",\
             \"effective_time\":\"{at}\",\"bundle_id\":\"month\",\"endpoint_id\":\"meter-0\"}}\n"
        )
    };
    session.feed("usage", buy("c1", "2026-01-01T00:00:00Z").as_bytes()).expect("applied");
    session.engine_mut().take_changes();
    session.feed("usage", b"{\"tick\":\"2026-06-01T00:00:00Z\"}\n").expect("taken");
    // With this commit it leaves.
    session.engine_mut().take_changes();
    assert_eq!(session.instances().count(), 0);
    let mut written = session.engine_mut().checkpoint();
    session.feed("usage", buy("c2", "2026-06-01T00:00:00Z").as_bytes()).expect("applied");
    written.push(session.engine_mut().take_changes());
    let mut restored = Session::new(&loaded, &settings).expect("a session");
    written.iter().for_each(|part| restored.engine_mut().restore_accounts(part).expect("its own part"));
    restored.engine_mut().restored().expect("its own state");
    let bundles = |session: &Session| session.instances().map(|(_, instance)| instance.clone()).collect::<Vec<_>>();
    assert_eq!(bundles(&restored), bundles(&session));
    assert_eq!(bundles(&restored).len(), 1);
}
