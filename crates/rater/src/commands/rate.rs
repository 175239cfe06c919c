//! `rater rate`: files into a folder, and what came of it.

use crate::args::RateArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{edges, totals};
use crate::source::{News, Plans, Source};
use crate::{settings, source};
use directory::{Loaded, visible};
use indicatif::{ProgressBar, ProgressStyle};
use runtime::embedded::{self, Report, RunSettings, Seen};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Rates, then shows the table of the folder.
///
/// # Errors
/// What stopped the run; everything up to its last commit stands.
pub(crate) fn run(args: &RateArgs, console: &mut Console) -> Result<(), Failure> {
    let options = &args.options;
    let first = first_input(args)?;
    let Source { loaded, look: followed } =
        source::open(&options.directory, &options.reference, first.as_deref(), Plans::Unasked, |news| match news {
            News::Good(_) => {}
            News::Bad(what) => eprintln!("the directory's store: {}", visible(what)),
        })?;
    if followed.is_some() {
        console.say("from a store, bundles granted in plans of endpoints are not bought: buy them by commands");
    }
    let scratch = if args.dry_run { Some(scratch_folder()?) } else { None };
    let output = scratch.as_ref().map_or(&*options.output.output, tempfile::TempDir::path);
    let settings = settings::run_settings(args, output.to_owned())?;
    console.say_more(&format!(
        "reference {}, {} threads, batches of {}, a commit every {} records",
        loaded.version(),
        settings.threads,
        settings.batch_records,
        settings.commit_records
    ));
    let report = rate(&loaded, &settings, console)?;
    if console.json {
        console.print_json(&to_json(&report, &loaded, args))?;
    } else {
        console.print(&text(&report, console))?;
        hints(&report, args, console);
    }
    if scratch.is_none() && embedded::others_may_read(output) {
        let folder = output.display();
        console.say(&format!("others may read {folder}, as it was made before; chmod -R go= {folder} closes it"));
    }
    if options.output.fail_on_suspense && (report.progress.open_suspense > 0 || !report.unfinished.is_empty()) {
        return Err(Failure::Findings);
    }
    Ok(())
}

/// The input beside which reference data is looked for: the first one named, or the first one ever rated into the folder.
fn first_input(args: &RateArgs) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = args.files.first() {
        return Ok(Some(file.clone()));
    }
    let progress = embedded::read_progress(&args.options.output.output)?;
    let mut paths = progress.into_iter().flat_map(|progress| progress.inputs).map(|input| input.path);
    // Standard input has none.
    Ok(paths.find(|path| !path.is_empty()).map(|path| PathBuf::from(&*path)))
}

fn scratch_folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir().map_err(|error| Failure::Surroundings(format!("temporary folder: {error}")))
}

fn rate(loaded: &Loaded, settings: &RunSettings, console: &Console) -> Result<Report, Failure> {
    let mut bar: Option<(String, ProgressBar)> = None;
    let report = embedded::run(loaded, settings, &mut |seen| {
        if console.shows_progress() {
            show(&mut bar, seen);
        }
    });
    if bar.is_some() {
        finish(bar.take());
        // One break ends the line of the bar, one sets the table apart.
        console.say("\n");
    }
    report.map_err(|error| Failure::of_run(error, settings))
}

/// One bar per input, measured in bytes because the number of records is not known beforehand.
fn show(bar: &mut Option<(String, ProgressBar)>, seen: Seen<'_>) {
    if bar.as_ref().is_some_and(|(input, _)| input != seen.input) {
        finish(bar.take());
    }
    let (_, bar) = bar.get_or_insert_with(|| {
        // Nobody knows how much comes through a pipe.
        let (new, template) = match seen.size {
            Some(size) => (ProgressBar::new(size), "{prefix}  {msg} {bar:20} {percent} %"),
            None => (ProgressBar::no_length(), "{prefix}  {msg} {bytes}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            new.set_style(style.progress_chars("━━╌"));
        }
        new.set_prefix(visible(seen.input).into_owned());
        (seen.input.to_owned(), new)
    });
    bar.set_message(records(seen.records));
    bar.set_position(seen.bytes);
}

fn finish(bar: Option<(String, ProgressBar)>) {
    if let Some((_, bar)) = bar {
        if let Some(length) = bar.length() {
            bar.set_position(length);
        }
        bar.abandon();
    }
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

fn text(report: &Report, console: &Console) -> String {
    let paint = console.paint();
    let mut text = String::new();
    for input in &report.skipped {
        text.push_str(&format!("{}  already rated\n", visible(input)));
    }
    for grown in &report.grown {
        text.push_str(&format!(
            "{}  has grown; rated before: {}\n",
            visible(&grown.input),
            records(grown.records_before)
        ));
    }
    for input in &report.empty {
        text.push_str(&format!("{}  has no records\n", visible(input)));
    }
    if !(report.skipped.is_empty() && report.grown.is_empty() && report.empty.is_empty()) {
        text.push('\n');
    }
    let summary = &report.progress.summary;
    if !summary.rows.is_empty() {
        text.push_str(&edges::tables(summary, &report.endpoint_accounts, paint));
        text.push('\n');
    }
    text.push_str(&totals::line(&report.progress, paint));
    text.push('\n');
    let (again, resolved) = report.recycled;
    if again > 0 {
        text.push_str(&format!("recycled  {again} tried again, {resolved} no longer wait\n"));
    }
    for example in &report.examples {
        let open = &example.open;
        let level = open.level.map_or(String::new(), |level| format!("  level {level}"));
        let line = format!("{}:{}  {}{level}  {}", open.input, open.place, open.reason.name(), example.detail);
        text.push_str(&format!("{}  {}\n", paint.warn("suspense"), visible(&line)));
    }
    for unfinished in &report.unfinished {
        let place = format!("{}:{}", visible(&unfinished.input), unfinished.place);
        text.push_str(&format!(
            "{}  {place}  no line break after {} bytes: not rated until the file has grown, or with --final\n",
            paint.warn("unfinished"),
            unfinished.bytes
        ));
    }
    let suspended: u64 = report.suspended.values().sum();
    let more = suspended.saturating_sub(report.examples.len() as u64);
    if more > 0 {
        let by_reason: Vec<String> =
            report.suspended.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
        text.push_str(&format!("          … {more} more; in all {}\n", by_reason.join(", ")));
    }
    let waiting = report.progress.open_suspense;
    if waiting > suspended {
        text.push_str(&format!("waiting   {waiting} in this folder\n"));
    }
    text
}

fn hints(report: &Report, args: &RateArgs, console: &Console) {
    let output = &args.options.output.output;
    let mut hints = Vec::new();
    if args.dry_run {
        console.say("dry run   nothing was left behind");
    } else {
        let folder = if output == Path::new("out") { String::new() } else { format!(" -o {}", output.display()) };
        hints.push(format!("rater explain ID{folder}"));
        if !report.unfinished.is_empty() {
            hints.push(format!("rater rate --final{folder} FILE"));
        }
        if report.progress.open_suspense > 0 {
            hints.push(format!("rater rate --recycle{folder}"));
        }
        if Path::new("tests").is_dir() {
            hints.push("rater test".to_owned());
        }
    }
    if !hints.is_empty() {
        console.say(&format!("{}      {}", console.talk_paint().dim("next"), hints.join(" · ")));
    }
}

fn to_json(report: &Report, loaded: &Loaded, args: &RateArgs) -> Value {
    let progress = &report.progress;
    let folder = (!args.dry_run).then(|| args.options.output.output.display().to_string());
    let inputs = progress
        .inputs
        .iter()
        .map(|input| json!({ "name": input.name, "bytes": input.bytes, "records": input.records, "done": input.done }));
    let grown = report.grown.iter().map(|grown| json!({ "name": grown.input, "records_before": grown.records_before }));
    let unfinished = report
        .unfinished
        .iter()
        .map(|unfinished| json!({ "file": unfinished.input, "line": unfinished.place, "bytes": unfinished.bytes }));
    let examples = report.examples.iter().map(|example| {
        json!({
            "file": example.open.input,
            "line": example.open.place,
            "reason": example.open.reason.name(),
            "level": example.open.level,
            "detail": example.detail,
            "attempt": example.open.attempt,
        })
    });
    let suspended: serde_json::Map<String, Value> =
        report.suspended.iter().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
    json!({
        "folder": folder,
        "reference_version": loaded.version(),
        "inputs": inputs.collect::<Vec<_>>(),
        "already_rated": report.skipped,
        "grown": grown.collect::<Vec<_>>(),
        "unfinished": unfinished.collect::<Vec<_>>(),
        "empty": report.empty,
        "run": totals::to_json(&report.run),
        "totals": totals::to_json(&progress.totals),
        "granted": progress.granted.len(),
        "rows": edges::to_json(&progress.summary, &report.endpoint_accounts),
        "suspended": suspended,
        "examples": examples.collect::<Vec<_>>(),
        "recycled": { "tried": report.recycled.0, "resolved": report.recycled.1 },
        "waiting": progress.open_suspense,
        "complete_to": progress.complete_to.map(|at| at.to_string()),
    })
}
