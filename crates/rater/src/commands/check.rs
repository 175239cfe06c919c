//! `rater check`: reference data, validated as a whole.

use crate::args::CheckArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::reference;
use directory::{Code, explain};
use serde_json::json;

/// Validates, or explains a code.
///
/// # Errors
/// Everything that is wrong with the reference data.
pub(crate) fn run(args: &CheckArgs, console: &mut Console) -> Result<(), Failure> {
    if let Some(number) = &args.explain {
        let code = Code::find(number).ok_or_else(|| unknown_code(number))?;
        return explain_code(code, console);
    }
    let loaded = reference::load_named(&args.files)?;
    let model = &loaded.model;
    let counts = [
        ("zones", model.zones.len()),
        ("tariffs", model.tariffs.len()),
        ("bundles", model.bundles.len()),
        ("accounts", model.accounts.len()),
        ("endpoints", model.endpoints.len()),
        ("grants", loaded.grants().len()),
    ];
    if console.json {
        let mut object = json!({ "errors": [], "version": loaded.version() });
        for (name, count) in counts {
            object[name] = json!(count);
        }
        return console.print_json(&object);
    }
    let texts = counts.map(|(name, count)| {
        let word = if count == 1 { name.trim_end_matches('s') } else { name };
        format!("{count} {word}")
    });
    let tick = console.paint().good("✓");
    console.print(&format!("{}  no errors {tick}  version {}\n", texts.join(", "), loaded.version()))
}

/// Shows what a code means.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn explain_code(code: Code, console: &mut Console) -> Result<(), Failure> {
    if console.json {
        let object = json!({ "code": code.number(), "title": code.title(), "explanation": code.explanation() });
        return console.print_json(&object);
    }
    console.print(&explain(code))
}

fn unknown_code(number: &str) -> Failure {
    let (first, last) = (Code::ALL.first(), Code::ALL.last());
    let range = first.zip(last).map_or(String::new(), |(first, last)| format!("; codes are {first} to {last}"));
    Failure::Data(format!("\"{number}\" is not the code of an error{range}"))
}
