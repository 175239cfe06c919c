//! The repository's docker-compose.yml, read without a container engine.
//!
//! What it means is decided by a parser of the compose specification (a package of Python's registry) and not by us; what its
//! commands do, by the tests that run them.

use crate::services::{Python, ServiceError};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const PACKAGES: [&str; 2] = ["compose-spec==0.2.1", "pydantic==2.14.3"];

/// A compose file.
#[derive(Clone, Debug)]
pub struct Compose {
    root: PathBuf,
    document: Value,
}

impl Compose {
    /// Reads and validates the file in the root of the repository.
    ///
    /// # Errors
    /// What the specification does not allow, with its place; no Python.
    pub fn read() -> Result<Compose, ServiceError> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.join("../..").canonicalize();
        let root = root.map_err(|error| ServiceError::Surroundings(format!("{}: {error}", here.display())))?;
        let file = root.join("docker-compose.yml");
        let python = Python::with("compose", &PACKAGES)?;
        let text = python.run(&here.join("src/compose/read.py"), &[&file.display().to_string()])?;
        let document = serde_json::from_str(&text);
        let document = document.map_err(|error| ServiceError::Refused(format!("{}: {error}", file.display())))?;
        Ok(Compose { root, document })
    }

    /// The folder of the file.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its services by name.
    #[must_use]
    pub fn services(&self) -> Map<String, Value> {
        self.document["services"].as_object().cloned().unwrap_or_default()
    }

    /// Names of its volumes.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        self.document["volumes"].as_object().map(|volumes| volumes.keys().cloned().collect()).unwrap_or_default()
    }

    /// The arguments that a service gives to its image.
    #[must_use]
    pub fn command(&self, service: &str) -> Vec<String> {
        let command = &self.document["services"][service]["command"];
        let parts = command.as_array().map(Vec::as_slice).unwrap_or_default();
        parts.iter().filter_map(|part| part.as_str().map(str::to_owned)).collect()
    }
}
