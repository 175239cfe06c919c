//! `rater directory get`.

use crate::args::GetArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use crate::settings;
use crate::store::{connect, failure};
use directory::model::{EndpointStatus, IdentityKind};
use directory::store::{Found, parse_key};
use directory::visible;
use rating::Timestamp;
use serde_json::{Value, json};

/// Shows an endpoint.
///
/// # Errors
/// [`Failure::Findings`] where there is none at that moment.
pub(super) fn get(args: &GetArgs, console: &mut Console) -> Result<(), Failure> {
    let key = parse_key(&args.endpoint).map_err(Failure::Data)?;
    let at = match &args.at {
        Some(text) => settings::time("--at", text)?,
        None => settings::machine_now(),
    };
    let connected = connect(&args.store)?;
    let found = connected.runtime.block_on(connected.store.get(&key, at)).map_err(failure)?;
    let Some(found) = found else {
        if console.json {
            console.print_json(&json!({ "endpoint": null, "at": at.to_string() }))?;
        } else {
            console.say(&format!("{key}: nobody has it at {at}"));
        }
        return Err(Failure::Findings);
    };
    if console.json {
        return console.print_json(&to_json(&found, at));
    }
    let text = text(&found, at, console);
    console.print(&text)
}

const fn word(status: EndpointStatus) -> &'static str {
    match status {
        EndpointStatus::Active => "active",
        EndpointStatus::Inactive => "inactive",
    }
}

fn text(found: &Found, at: Timestamp, console: &Console) -> String {
    let paint = console.paint();
    let mut text = format!(
        "{}  {}  customer {}",
        paint.bold(&visible(&found.endpoint)),
        word(found.status),
        visible(&found.customer)
    );
    for (kind, digits) in IdentityKind::ALL.into_iter().zip(&found.identities) {
        for digits in digits {
            text.push_str(&format!("  {} {digits}", kind.as_str()));
        }
    }
    text.push_str(&format!("\nat {at}, version {}\n\n", found.version));
    match found.waits {
        Some(reason) => text.push_str(&format!("a record would wait: {}\n", paint.warn(reason.name()))),
        None => {
            let mut table =
                Table::new(&[("LEVEL", Align::Right), ("PAYER -> PAYEE", Align::Left), ("TARIFF", Align::Left)]);
            for edge in &found.edges {
                let tariff = edge.tariff.clone().unwrap_or_else(|| "–".to_owned());
                table.row(vec![edge.level.to_string(), format!("{} -> {}", edge.payer, edge.payee), tariff], "");
            }
            text.push_str(&table.render(paint));
        }
    }
    text.push_str(&format!("\n{}\n", paint.dim(&found.definition)));
    text
}

/// Nothing, one identity, or a list of several.
fn of_kind(digits: &[String]) -> Value {
    match digits {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    }
}

fn to_json(found: &Found, at: Timestamp) -> Value {
    let identities: serde_json::Map<String, Value> = (IdentityKind::ALL.into_iter().zip(&found.identities))
        .map(|(kind, digits)| (kind.as_str().to_owned(), of_kind(digits)))
        .collect();
    let edges = found
        .edges
        .iter()
        .map(|edge| json!({ "level": edge.level, "payer": edge.payer, "payee": edge.payee, "tariff": edge.tariff }));
    json!({
        "endpoint": found.endpoint,
        "version": found.version.0,
        "at": at.to_string(),
        "customer": found.customer,
        "status": word(found.status),
        "identities": identities,
        "waits": found.waits.map(|reason| reason.name()),
        "edges": edges.collect::<Vec<_>>(),
        "definition": found.definition,
    })
}
