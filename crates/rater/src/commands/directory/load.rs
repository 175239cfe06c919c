//! `rater directory migrate` and `load`.

use super::present::{Progress, counts, counts_json, plans_with_bundles, say_plans};
use crate::args::{LoadArgs, MigrateArgs};
use crate::console::Console;
use crate::exit::Failure;
use crate::store::{author, connect, failure, plan_failure, runtime, store_settings, take_over};
use crate::{reference, settings};
use directory::store::{self, Replace, Replication};
use serde_json::json;

/// Makes the tables.
///
/// # Errors
/// A store that is newer or was altered, or cannot be reached.
pub(super) fn migrate(args: &MigrateArgs, console: &mut Console) -> Result<(), Failure> {
    let replication = replication(&args.store_replication)?;
    let settings = store_settings(&args.store.store)?;
    let now_ms = settings::machine_now().millis();
    let done = runtime()?.block_on(store::migrate(&settings, &replication, now_ms)).map_err(failure)?;
    if console.json {
        let applied = done.applied.iter().map(|(number, name)| json!({ "number": number, "name": name }));
        return console.print_json(&json!({ "applied": applied.collect::<Vec<_>>(), "version": done.last }));
    }
    let mut lines: Vec<String> =
        done.applied.iter().map(|(number, name)| format!("migration {number} \"{name}\" applied")).collect();
    if lines.is_empty() {
        lines.push("nothing to do ✓".to_owned());
    }
    console.print(&format!("{}\n", lines.join("\n")))
}

fn replication(given: &[String]) -> Result<Replication, Failure> {
    let wrong = |text: &str| Failure::Data(format!("--store-replication: \"{text}\" is not DATACENTER=N"));
    let copies = |text: &str| text.parse().ok().filter(|copies: &u32| (1..=100).contains(copies));
    if given.is_empty() {
        return Err(Failure::Data(
            "give --store-replication, such as dc1=3, for a keyspace that is not there yet".to_owned(),
        ));
    }
    if let [number] = given
        && !number.contains('=')
    {
        return copies(number).map(Replication::Simple).ok_or_else(|| wrong(number));
    }
    let pair = |text: &String| {
        let (name, number) = text.split_once('=').ok_or_else(|| wrong(text))?;
        Ok((name.to_owned(), copies(number).ok_or_else(|| wrong(text))?))
    };
    given.iter().map(pair).collect::<Result<_, Failure>>().map(Replication::DataCenters)
}

/// Fills the store.
///
/// # Errors
/// Reference data with errors; a store that holds something, or cannot be reached.
pub(super) fn load(args: &LoadArgs, console: &mut Console) -> Result<(), Failure> {
    let inputs = reference::read_named(&args.files)?;
    let loaded = reference::load_inputs(inputs.clone())?;
    let connected = connect(&args.store)?;
    let replace = if args.replace { Replace::Yes } else { Replace::No };
    let planned = connected.store.plan_load(&inputs, &loaded, replace);
    let planned = connected.runtime.block_on(planned).map_err(plan_failure)?;
    drop(loaded);
    let mut progress = Progress::new(planned.changes().len() as u64, console);
    let begun = std::time::Instant::now();
    let author = author(&args.write);
    let outcome =
        connected.runtime.block_on(
            connected.store.carry_out(&planned, author, take_over(&args.write), &mut |done| progress.show(done)),
        );
    progress.end();
    let version = outcome.map_err(failure)?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let written = planned.changes().len() as u64;
    let plans = plans_with_bundles(planned.changes());
    let rate = written.saturating_mul(1_000) / took_ms.max(1);
    if console.json {
        return console.print_json(&json!({
            "version": version.0,
            "changes": counts_json(planned.changes()),
            "milliseconds": took_ms,
            "plans_with_bundles": plans,
        }));
    }
    if written == 0 {
        return console.print(&format!("the store holds this already, as version {version} ✓\n"));
    }
    let tick = console.paint().good("✓");
    console.print(&format!("version {version} {tick}  {}\n", counts(planned.changes())))?;
    console.say(&format!("{written} definitions in {} s, {rate} a second", took_ms / 1_000));
    say_plans(plans, console);
    Ok(())
}
