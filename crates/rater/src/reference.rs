//! Which files are the reference data, and reading them.

use crate::args::ReferenceArgs;
use crate::exit::Failure;
use directory::{Input, InputKind, Loaded};
use std::path::{Path, PathBuf};

/// Name of the file that is looked for where none is named.
const DEFAULT_NAME: &str = "rating.yaml";

/// Loads what the options name.
///
/// # Errors
/// A file that cannot be read, or reference data with errors.
pub(crate) fn load(args: &ReferenceArgs, first_input: Option<&Path>) -> Result<Loaded, Failure> {
    let mut files = args.reference.clone();
    if files.is_empty() {
        files.push(default_file(first_input)?);
    }
    let mut inputs: Vec<(PathBuf, InputKind)> = files.into_iter().map(|file| (file.clone(), kind_of(&file))).collect();
    inputs.extend(args.endpoints.iter().map(|file| (file.clone(), InputKind::EndpointCsv)));
    load_inputs(read_files(inputs)?)
}

/// Loads these files; a CSV holds endpoints.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_named(files: &[PathBuf]) -> Result<Loaded, Failure> {
    load_inputs(read_named(files)?)
}

/// Reads these files; a CSV holds endpoints.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn read_named(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let files = if files.is_empty() { vec![default_file(None)?] } else { files.to_vec() };
    read_files(files.into_iter().map(|file| (file.clone(), kind_of(&file))).collect())
}

/// Loads what was read.
///
/// # Errors
/// Reference data with errors.
pub(crate) fn load_inputs(inputs: Vec<Input>) -> Result<Loaded, Failure> {
    directory::load_to_rate(inputs).map_err(|refused| Failure::Reference(Box::new(refused)))
}

fn default_file(first_input: Option<&Path>) -> Result<PathBuf, Failure> {
    let beside = first_input.and_then(Path::parent).map(|folder| folder.join(DEFAULT_NAME));
    let here = PathBuf::from(DEFAULT_NAME);
    let places = beside.into_iter().chain([here]);
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::Data(format!(
            "no {DEFAULT_NAME} found; name the reference data with --reference, or start with `rater init`"
        ))
    })
}

fn kind_of(file: &Path) -> InputKind {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => InputKind::EndpointCsv,
        Some(_) | None => InputKind::Yaml,
    }
}

fn read_files(files: Vec<(PathBuf, InputKind)>) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    let mut unreadable = Vec::new();
    for (path, kind) in files {
        match std::fs::read(&path) {
            Ok(bytes) => inputs.push(Input { name: path.display().to_string(), bytes, kind }),
            Err(error) => unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    if !unreadable.is_empty() {
        return Err(Failure::Data(unreadable.join("\n       ")));
    }
    Ok(inputs)
}
