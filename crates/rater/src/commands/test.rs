//! `rater test`: the tables of tariff authors.

use crate::args::TestArgs;
use crate::console::{Console, Paint};
use crate::exit::Failure;
use runtime::scenario::{self, Coverage, FileReport, ScenarioFile, ScenarioReport, Writer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Runs every scenario, whatever becomes of the others.
///
/// # Errors
/// A scenario that fails, a file that is none, an output that cannot be written.
pub(crate) fn run(args: &TestArgs, console: &mut Console) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for path in &args.paths {
        collect(path, &mut paths)?;
    }
    if paths.is_empty() {
        let names: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::Data(format!("there is no scenario (*.md) in {}", names.join(", "))));
    }
    let mut broken = Vec::new();
    let mut reports = Vec::new();
    for path in &paths {
        match read(path) {
            Ok(file) => {
                let report = scenario::run(&file);
                let is_to_update = args.update && !report.has_passed();
                reports.push(if is_to_update { update(path, &file, report, console)? } else { report });
            }
            Err(errors) => broken.push(errors),
        }
    }
    if let Some(path) = &args.junit {
        write(path, &scenario::junit(&reports))?;
    }
    show(&reports, args, console)?;
    if !broken.is_empty() {
        return Err(Failure::Data(broken.join("\n       ")));
    }
    let has_failed = reports.iter().any(|report| !report.has_passed());
    if has_failed { Err(Failure::Findings) } else { Ok(()) }
}

/// Markdown files, in the order of names; a folder is searched to its ground.
fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error| Failure::Data(format!("{}: {error}", path.display()));
    if !path.metadata().map_err(failed)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for entry in entries {
        let is_scenario = entry.extension().is_some_and(|ending| ending == "md")
            && entry.file_name().is_some_and(|name| name != "README.md");
        if entry.is_dir() {
            collect(&entry, found)?;
        } else if is_scenario {
            found.push(entry);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<ScenarioFile, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let mut file = scenario::parse(&name, &text).map_err(|errors| errors.to_string())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    file.read_references(beside).map_err(|errors| errors.to_string())?;
    Ok(file)
}

/// Rewrites a file and runs it again: what still fails needs a person.
fn update(path: &Path, file: &ScenarioFile, report: FileReport, console: &Console) -> Result<FileReport, Failure> {
    let text = scenario::updated(file, &report, Writer::from_environment())
        .map_err(|refused| Failure::Data(refused.to_string()))?;
    if text == file.text {
        return Ok(report);
    }
    write(path, &text)?;
    console.say(&format!("rewrote {}; look at the difference before you keep it", path.display()));
    read(path).map(|file| scenario::run(&file)).map_err(Failure::Data)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Surroundings(format!("{}: {error}", path.display())))
}

fn show(reports: &[FileReport], args: &TestArgs, console: &mut Console) -> Result<(), Failure> {
    let scenarios = || reports.iter().flat_map(|report| &report.scenarios);
    let count = scenarios().count();
    let failed = scenarios().filter(|scenario| !scenario.findings.is_empty()).count();
    let mut coverage = Coverage::default();
    for report in reports {
        coverage.add(report.coverage.clone());
    }
    if console.json {
        let unused =
            coverage.unused().map(|place| json!({ "file": place.file, "line": place.line, "what": place.label }));
        let unused: Value = if args.coverage { unused.collect() } else { Value::Null };
        let each: Vec<Value> = reports.iter().map(to_json).collect();
        return console.print_json(&json!({
            "files": each, "passed": count - failed, "failed": failed, "unused": unused,
        }));
    }
    let paint = console.paint();
    for report in reports {
        console.print(&coloured(&report.to_string(), paint))?;
    }
    if args.coverage {
        let used = coverage.items.values().filter(|place| place.uses > 0).count();
        console
            .print(&format!("\ncoverage  {used} of {} rates, aliases and elements are used\n", coverage.items.len()))?;
        for place in coverage.unused() {
            console.print(&format!("{}  {}:{}  {}\n", paint.warn("unused"), place.file, place.line, place.label))?;
        }
    }
    let outcome = match failed {
        0 => paint.good("✓"),
        some => paint.bad(&format!("{some} failed")),
    };
    let word = if count == 1 { "scenario" } else { "scenarios" };
    console.print(&format!("\n{count} {word}, {} passed {outcome}\n", count - failed))
}

fn coloured(report: &str, paint: Paint) -> String {
    let line = |line: &str| match (line.strip_prefix("ok  "), line.strip_prefix("FAIL")) {
        (Some(rest), _) => format!("{}{rest}\n", paint.good("ok  ")),
        (None, Some(rest)) => format!("{}{rest}\n", paint.bad("FAIL")),
        (None, None) => format!("{line}\n"),
    };
    report.lines().map(line).collect()
}

fn to_json(report: &FileReport) -> Value {
    let scenario = |scenario: &ScenarioReport| {
        let findings = scenario
            .findings
            .iter()
            .map(|finding| json!({ "line": finding.line, "title": finding.title, "rows": finding.rows }));
        json!({
            "title": scenario.title,
            "line": scenario.line,
            "passed": scenario.findings.is_empty(),
            "comparisons": scenario.comparisons,
            "findings": findings.collect::<Vec<_>>(),
        })
    };
    json!({ "name": report.name, "scenarios": report.scenarios.iter().map(scenario).collect::<Vec<_>>() })
}
