//! A broker as the image `apache/kafka` starts it: settings go through the image's own wrapper, which is a class of Kafka's jars.

use super::{Broker, JARS, Kafka, LOGGING, wait_for};
use crate::services::run::Run;
use crate::services::{ServiceError, cache, java};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Where a broker of a test is, in place of where its container would be.
pub struct Place {
    /// The port for clients on this machine.
    pub outside: u16,
    /// The port for other containers.
    pub inside: u16,
    /// The port for controllers.
    pub controller: u16,
    /// The folder of data.
    pub data: PathBuf,
}

impl Kafka {
    /// Starts a broker with the `server.properties` that `settings` makes for a place, and the cluster's id in the environment, as the
    /// image does with a file below `/mnt/shared/config`.
    ///
    /// # Errors
    /// Kafka does not take the settings, or the broker does not answer.
    pub fn as_image(settings: impl FnOnce(&Place) -> String, cluster_id: &str) -> Result<Kafka, ServiceError> {
        java::check_version()?;
        let cache = cache::folder()?;
        let jars = JARS.fetch(&cache)?;
        let run = Arc::new(Run::new(&cache, 3)?);
        let folder = run.folder().join("broker-1");
        let [defaults, mounted, finals] = ["defaults", "mounted", "final"].map(|name| folder.join(name));
        let place =
            Place { outside: run.port(0), inside: run.port(1), controller: run.port(2), data: folder.join("data") };
        for (path, text) in [
            (defaults.join("server.properties"), String::new()),
            (defaults.join("log4j2.yaml"), String::new()),
            (defaults.join("tools-log4j2.yaml"), String::new()),
            (mounted.join("server.properties"), settings(&place)),
            (finals.join("log4j2.properties"), LOGGING.to_owned()),
            (place.data.join("nothing"), String::new()),
        ] {
            let parent = path.parent().unwrap_or(&folder);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text))
                .map_err(ServiceError::io(path.display()))?;
        }
        fs::remove_file(place.data.join("nothing")).map_err(ServiceError::io(place.data.display()))?;
        set_up(&jars, &folder, cluster_id)?;
        let java = |name: &str| format!("-Dlog4j2.configurationFile={}", finals.join(name).display());
        let serve = [
            "-Xmx1g".to_owned(),
            java("log4j2.properties"),
            "-cp".to_owned(),
            format!("{}/*", jars.display()),
            "kafka.Kafka".to_owned(),
            finals.join("server.properties").display().to_string(),
        ];
        let java = java::process("kafka broker 1".to_owned(), run, folder, serve.to_vec())?;
        let address = format!("127.0.0.1:{}", place.outside);
        let broker = Broker {
            id: 1,
            address: address.clone(),
            password_address: String::new(),
            secure: None,
            settings: std::path::PathBuf::new(),
            java,
        };
        broker.java.start()?;
        wait_for(&address, "kafka of the image", &[&broker.java], |seen| broker.is_in(seen))?;
        Ok(Kafka { bootstrap: address, brokers: vec![broker] })
    }
}

/// What the image does before it starts a broker.
fn set_up(jars: &Path, folder: &Path, cluster_id: &str) -> Result<(), ServiceError> {
    let mut command = Command::new(java::program()?);
    command.arg("-cp").arg(format!("{}/*", jars.display())).args(["kafka.docker.KafkaDockerWrapper", "setup"]);
    for (option, part) in
        [("--default-configs-dir", "defaults"), ("--mounted-configs-dir", "mounted"), ("--final-configs-dir", "final")]
    {
        command.arg(option).arg(folder.join(part));
    }
    let said = command.env("CLUSTER_ID", cluster_id).stdin(Stdio::null()).output();
    let said = said.map_err(ServiceError::io("kafka's image wrapper"))?;
    if said.status.success() {
        return Ok(());
    }
    let text = [said.stdout, said.stderr].concat();
    Err(ServiceError::Refused(format!("kafka's image wrapper: {}", String::from_utf8_lossy(&text))))
}
