//! The folder that all test processes share: jars by version, running services, locked ports.
//!
//! ```text
//! jars/kafka-4.1.1/            complete, or not there: fetched beside and renamed
//! jars/lock                    one fetch at a time
//! runs/4711-0/                 one running service (see `run`)
//! ports/20017                  locked while somebody uses that port
//! runs.lock                    one start at a time
//! ```
//!
//! Locks are the operating system's locks of files: they end with the process that holds them.

use super::ServiceError;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One artifact of Maven: group, name, version.
pub(super) type Artifact = (&'static str, &'static str, &'static str);

/// Jars that belong together, on one class path.
pub(super) struct Jars {
    /// Name with the version, by which they are kept.
    pub(super) key: &'static str,
    pub(super) artifacts: &'static [Artifact],
}

const INSTALL_MAVEN: &str =
    "no program mvn; install Maven (Debian, Ubuntu: apt-get install maven; macOS: brew install maven)";

/// The shared folder, made if it is not there.
///
/// # Errors
/// No home folder, or no right to write there.
pub fn folder() -> Result<PathBuf, ServiceError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("RATER_SERVICES_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("rater-services")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/rater-services")))
        .ok_or_else(|| {
            ServiceError::Refused("neither RATER_SERVICES_DIR, XDG_CACHE_HOME nor HOME is set".to_owned())
        })?;
    for part in ["jars", "runs", "ports"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).map_err(ServiceError::io(format!("cannot make {}", path.display())))?;
    }
    // Services get the path as an argument while their own folder is somewhere else.
    folder.canonicalize().map_err(ServiceError::io(folder.display()))
}

/// Waits for a lock of a file and holds it until the returned file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, ServiceError> {
    let file = File::create(path).map_err(ServiceError::io(path.display()))?;
    file.lock().map_err(ServiceError::io(format!("cannot lock {}", path.display())))?;
    Ok(file)
}

impl Jars {
    /// The folder of the jars; fetched by Maven if they are not there yet. Any number of processes may ask at once.
    ///
    /// # Errors
    /// No Maven, or Maven's own errors.
    pub(super) fn fetch(&self, folder: &Path) -> Result<PathBuf, ServiceError> {
        let there = folder.join("jars").join(self.key);
        if there.is_dir() {
            return Ok(there);
        }
        // One lock for all jars: Maven 3 must not run twice at once on its own repository.
        let _alone = lock(&folder.join("jars/lock"))?;
        if there.is_dir() {
            return Ok(there);
        }
        // Whatever is there is left over from a fetch that was cut short, since nobody else holds the lock.
        let beside = folder.join("jars").join(format!("{}.part", self.key));
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(ServiceError::io(beside.display()))?;
        }
        let project = beside.join("pom.xml");
        fs::create_dir_all(&beside)
            .and_then(|()| fs::write(&project, self.project()))
            .map_err(ServiceError::io(project.display()))?;
        self.run_maven(&project)?;
        fs::rename(beside.join("lib"), &there).map_err(ServiceError::io(there.display()))?;
        fs::remove_dir_all(&beside).map_err(ServiceError::io(beside.display()))?;
        Ok(there)
    }

    fn run_maven(&self, project: &Path) -> Result<(), ServiceError> {
        let said = Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(project)
            .args(["dependency:copy-dependencies", "-DoutputDirectory=lib", "-DincludeScope=runtime"])
            .stdin(Stdio::null())
            .output();
        match said {
            Ok(said) if said.status.success() && project.with_file_name("lib").is_dir() => Ok(()),
            Ok(said) => Err(ServiceError::Fetch {
                what: self.key.to_owned(),
                said: format!(
                    "mvn: {}\n{}{}",
                    said.status,
                    String::from_utf8_lossy(&said.stdout),
                    String::from_utf8_lossy(&said.stderr)
                ),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ServiceError::Missing { program: "Maven", advice: INSTALL_MAVEN.to_owned() })
            }
            Err(error) => Err(ServiceError::Surroundings(format!("mvn: {error}"))),
        }
    }

    /// A project that has nothing but what is fetched.
    fn project(&self) -> String {
        let dependencies: String = (self.artifacts.iter())
            .map(|(group, name, version)| {
                format!(
                    "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>\n"
                )
            })
            .collect();
        format!(
            "<project>\n<modelVersion>4.0.0</modelVersion>\n<groupId>rater</groupId><artifactId>{}</artifactId>\
             <version>1</version>\n<dependencies>\n{dependencies}</dependencies>\n</project>\n",
            self.key
        )
    }
}
