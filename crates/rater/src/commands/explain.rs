//! `rater explain`: why a record was charged what it was.

use super::check::explain_code;
use crate::args::ExplainArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::explanation;
use crate::{reference, settings};
use directory::Code;
use runtime::embedded::read_progress;
use runtime::explain::{self, ExplainError};
use serde_json::json;
use std::path::Path;

/// Explains every record of the id.
///
/// # Errors
/// Nothing was rated, no such id, other inputs than those that were rated.
pub(crate) fn run(args: &ExplainArgs, console: &mut Console) -> Result<(), Failure> {
    if let Some(code) = Code::find(&args.id).filter(|code| code.number() == args.id) {
        return explain_code(code, console);
    }
    let nothing = || failure(ExplainError::NothingRated, args);
    let progress = read_progress(&args.output)?.ok_or_else(nothing)?;
    let first_input = progress.inputs.first().map(|input| Path::new(&*input.path));
    let loaded = reference::load(&args.reference, first_input)?;
    let settings = settings::session_settings(&args.records, progress.job_now)?;
    let found = explain::explain(&loaded, &args.output, &settings, &args.id).map_err(|error| failure(error, args))?;
    if found.iter().any(|explanation| explanation.is_other_reference) {
        console.say("the reference data is another one than the folder was last rated with");
    }
    if console.json {
        let explanations: Vec<_> =
            found.iter().map(|explanation| explanation::to_json(explanation, args.level)).collect();
        return console.print_json(&json!({ "id": args.id, "explanations": explanations }));
    }
    let text_of = |explanation| explanation::text(explanation, &args.id, args.level, console.paint());
    let texts: Vec<String> = found.iter().map(text_of).collect();
    console.print(&texts.join("\n"))
}

fn failure(error: ExplainError, args: &ExplainArgs) -> Failure {
    let folder = args.output.display();
    match error {
        ExplainError::NothingRated | ExplainError::UnknownId(_) => Failure::Data(format!("{error} ({folder})")),
        ExplainError::Run(error) => Failure::from(error),
    }
}
