//! `rater directory apply`.

use super::present::{Progress, plans_with_bundles, say_plans, table, to_json};
use crate::args::ApplyArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::reference;
use crate::store::{author, connect, failure, plan_failure, take_over};
use directory::store::Change;
use serde_json::json;

/// Plans, and does it where that is asked for.
///
/// # Errors
/// Everything that would be wrong; somebody else who writes; [`Failure::Findings`] for a plan that was only shown.
pub(super) fn apply(args: &ApplyArgs, console: &mut Console) -> Result<(), Failure> {
    let inputs = if args.files.is_empty() { Vec::new() } else { reference::read_named(&args.files)? };
    let connected = connect(&args.store)?;
    let plan = connected.runtime.block_on(connected.store.plan(&inputs, &args.remove)).map_err(plan_failure)?;
    let now = connected.runtime.block_on(connected.store.clock()).map_err(failure)?;
    let changes = plan.changes();
    let plans = plans_with_bundles(changes);
    let retroactive = changes.iter().filter(|change| is_retroactive(change, now)).count();
    if !console.json {
        if changes.is_empty() {
            return console.print("nothing to do ✓\n");
        }
        let shown = table(changes, now, console.paint());
        console.print(&shown)?;
        say_plans(plans, console);
    }
    let mut object = json!({
        "base": plan.base().0,
        "changes": to_json(changes, now),
        "retroactive": retroactive,
        "plans_with_bundles": plans,
        "version": null,
    });
    if changes.is_empty() {
        return console.print_json(&object);
    }
    if !args.yes {
        if console.json {
            console.print_json(&object)?;
        } else {
            console.print(&format!("\nplanned on version {}; nothing was written: --yes does it\n", plan.base()))?;
        }
        return Err(Failure::Findings);
    }
    let mut progress = Progress::new(changes.len() as u64, console);
    let outcome = connected.runtime.block_on(connected.store.apply(
        &plan,
        author(&args.write),
        take_over(&args.write),
        &mut |done| progress.show(done),
    ));
    progress.end();
    let version = outcome.map_err(failure)?;
    if console.json {
        object["version"] = json!(version.0);
        return console.print_json(&object);
    }
    let tick = console.paint().good("✓");
    console.print(&format!("\nversion {version} {tick}\n"))?;
    if retroactive > 0 {
        let next = console.talk_paint().dim("next");
        console.say(&format!(
            "{next}      rater directory changes {version} --retroactive  shows what has to be rated again"
        ));
    }
    Ok(())
}

fn is_retroactive(change: &Change, now: rating::Timestamp) -> bool {
    change.is_retroactive(change.effect(), now)
}
