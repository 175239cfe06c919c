//! `rater directory verify`.

use super::present::Progress;
use crate::args::VerifyArgs;
use crate::console::{Console, Paint};
use crate::exit::Failure;
use crate::store::{author, connect, failure, take_over};
use directory::cache::SCAN_PARTS;
use directory::store::Difference;
use serde_json::{Value, json};

/// Most differences shown as text; the rest is counted.
const MAX_SHOWN: usize = 200;

/// Compares, and mends where that is asked for.
///
/// # Errors
/// [`Failure::Findings`] where rows differ and are not mended; somebody else who writes; a store that cannot be reached.
pub(super) fn verify(args: &VerifyArgs, console: &mut Console) -> Result<(), Failure> {
    let connected = connect(&args.store)?;
    let mut progress = Progress::new(u64::from(SCAN_PARTS), console);
    let verified = connected.runtime.block_on(connected.store.verify(&mut |done| progress.show(done)));
    progress.end();
    let verified = verified.map_err(failure)?;
    let differences = &verified.differences;
    let left = differences.iter().filter(|difference| !(args.mend && difference.is_mended)).count();
    if !console.json {
        let shown = text(differences, console.paint());
        console.print(&shown)?;
    }
    let mut mended = None;
    if args.mend && verified.can_mend() {
        let work = connected.store.mend(&verified, author(&args.write), take_over(&args.write));
        mended = Some(connected.runtime.block_on(work).map_err(failure)?);
    }
    if console.json {
        console.print_json(&json!({
            "version": verified.version().0,
            "endpoints": verified.endpoints,
            "differences": differences.iter().map(to_json).collect::<Vec<_>>(),
            "mended_by": mended.map(|version| version.0),
        }))?;
    } else if differences.is_empty() {
        let endpoints = verified.endpoints;
        console.print(&format!("version {}: the rows of {endpoints} endpoints agree ✓\n", verified.version()))?;
    } else {
        let count = differences.len();
        let (differ, stay) = (rows(count, "differs", "differ"), rows(left, "is left", "are left"));
        let end = match mended {
            Some(version) if left == 0 => format!("{differ}, mended by version {version} ✓\n"),
            Some(version) => format!("{differ}, mended by version {version}; {stay}\n"),
            None if verified.can_mend() => {
                format!("{differ} in version {}; --mend writes what should stand there\n", verified.version())
            }
            None => format!(
                "{differ} in version {}; none can be mended by what else stands in the store\n",
                verified.version()
            ),
        };
        console.print(&format!("\n{end}"))?;
        if let Some(version) = mended {
            let next = console.talk_paint().dim("next");
            console.say(&format!(
                "{next}      rater directory changes {version} --retroactive  shows what has to be rated again"
            ));
        }
    }
    if left == 0 { Ok(()) } else { Err(Failure::Findings) }
}

fn rows(count: usize, one: &str, several: &str) -> String {
    if count == 1 { format!("1 row {one}") } else { format!("{count} rows {several}") }
}

/// Table and key, what stands there and what should.
fn text(differences: &[Difference], paint: Paint) -> String {
    let mut text = String::new();
    for Difference { table, key, name, stands, should, is_mended } in differences.iter().take(MAX_SHOWN) {
        let whose = if name.is_empty() { String::new() } else { format!(" of endpoint {name}") };
        let remark = if *is_mended { "" } else { "  cannot be mended" };
        text.push_str(&format!("{} {}{}{}\n", table, paint.bold(&plain(key)), plain(&whose), paint.warn(remark)));
        text.push_str(&format!("  stands  {}\n  should  {}\n", plain(stands), plain(should)));
    }
    if differences.len() > MAX_SHOWN {
        text.push_str(&format!("… {} more\n", differences.len() - MAX_SHOWN));
    }
    text
}

/// A text without what a terminal would take for orders: nobody knows who wrote these rows.
fn plain(text: &str) -> String {
    let one = |character: char| {
        if character.is_control() { character.escape_default().to_string() } else { character.to_string() }
    };
    text.chars().map(one).collect()
}

fn to_json(difference: &Difference) -> Value {
    let Difference { table, key, name, stands, should, is_mended } = difference;
    json!({
        "table": table,
        "key": key,
        "endpoint": if name.is_empty() { Value::Null } else { json!(name) },
        "stands": stands,
        "should": should,
        "can_be_mended": is_mended,
    })
}
