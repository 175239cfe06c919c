//! Generated reference data, loaded as the product loads them.

use directory::{Input, InputKind, Loaded};
use std::io;
use std::path::Path;

/// Loads `rating.yaml` of a directory, and `endpoints.csv` if there is one.
///
/// # Errors
/// Files that cannot be read, or reference data with errors.
pub fn load(directory: &Path) -> io::Result<Loaded> {
    let read = |name: &str, kind| {
        let path = directory.join(name);
        let bytes = std::fs::read(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok::<Input, io::Error>(Input { name: name.to_owned(), bytes, kind })
    };
    let mut inputs = vec![read("rating.yaml", InputKind::Yaml)?];
    if directory.join("endpoints.csv").is_file() {
        inputs.push(read("endpoints.csv", InputKind::EndpointCsv)?);
    }
    directory::load(inputs).map_err(|refused| io::Error::new(io::ErrorKind::InvalidData, refused.to_string()))
}
