//! `rater init`: a runnable example.

use crate::args::InitArgs;
use crate::console::Console;
use crate::exit::Failure;
use serde_json::json;
use std::path::Path;

/// The example of the repository, file by file.
const FILES: [(&str, &str); 4] = [
    ("rating.yaml", include_str!("../../../../examples/first/rating.yaml")),
    ("usage.csv", include_str!("../../../../examples/first/usage.csv")),
    ("tests/first.md", include_str!("../../../../examples/first/tests/first.md")),
    (".gitignore", "/out/\n"),
];

/// Writes the example; a file that is there already is never touched.
///
/// # Errors
/// A file exists, or cannot be written.
pub(crate) fn run(args: &InitArgs, console: &mut Console) -> Result<(), Failure> {
    let paths: Vec<_> = FILES.iter().map(|(name, _)| args.folder.join(name)).collect();
    let existing: Vec<String> =
        paths.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
    if !existing.is_empty() {
        return Err(Failure::Data(format!("nothing was written, for there is already {}", existing.join(", "))));
    }
    for (path, (_, text)) in paths.iter().zip(FILES) {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(path, text))
            .map_err(|error| Failure::Surroundings(format!("{}: {error}", path.display())))?;
    }
    if console.json {
        let written: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return console.print_json(&json!({ "folder": args.folder.display().to_string(), "files": written }));
    }
    let enter = if args.folder == Path::new(".") { String::new() } else { format!("cd {} && ", args.folder.display()) };
    console.say(&format!("wrote {}", FILES.map(|(name, _)| name).join(", ")));
    console.say(&format!("next  {enter}rater rate usage.csv -o out/"));
    Ok(())
}
