//! docker-compose.yml and Dockerfile without a container engine: the file is valid, what it mounts is there, and the program and Kafka
//! take what it gives them. What its load does is in the test kit's own tests, its Prometheus and Grafana in `dashboards`.
#![cfg(feature = "kafka")]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::rater;
use testkit::compose::Compose;
#[cfg(feature = "store")]
use testkit::generator::{Parameters, write_reference};
use testkit::registry::TestRegistry;
#[cfg(feature = "store")]
use testkit::services::Cassandra;
use testkit::services::{Kafka, Place};

/// Services that run to their end before others start.
const ONE_SHOTS: [&str; 5] = ["topics", "schemas", "reference", "migrate", "directory"];

fn compose() -> Compose {
    Compose::read().unwrap_or_else(|error| panic!("{error}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[test]
fn services_are_pinned_limited_checked_and_reached_from_this_machine_only() {
    let compose = compose();
    let services = compose.services();
    let mut ports = BTreeMap::new();
    for (name, service) in &services {
        let image = service["image"].as_str().unwrap_or_default();
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image:?} has no tag"));
        let is_version = tag.trim_start_matches('v').split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(is_version || service["build"].is_object() && tag == "local", "{name}: {image} is not pinned");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(!limits["cpus"].is_null() && !limits["memory"].is_null(), "{name}: no limits");
        assert!(!service["logging"].is_null(), "{name}: its log may fill the disk");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to the network");
            assert_eq!(ports.insert(port.clone(), name), None, "{port} is given twice");
        }
        // One-shots are waited for by their end, the load by nobody; the service has the health check of its image.
        let is_waited_for = !ONE_SHOTS.contains(&name.as_str()) && !["load", "rater"].contains(&name.as_str());
        assert_eq!(service["healthcheck"]["test"].is_array(), is_waited_for, "{name}: health check");
    }
    for (name, service) in &services {
        for (other, condition) in service["depends_on"].as_object().into_iter().flatten() {
            let condition = condition["condition"].as_str().unwrap_or_default();
            let ends = ONE_SHOTS.contains(&other.as_str());
            let wanted = if ends { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(condition, wanted, "{name} depends on {other}");
            assert!(services.contains_key(other), "{name} depends on {other}");
        }
    }
}

#[test]
fn what_is_mounted_is_there_and_what_is_there_is_mounted() {
    let compose = compose();
    let mut used = BTreeSet::new();
    for (name, service) in compose.services() {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap_or_default();
            if source.starts_with('.') {
                assert!(compose.root().join(source).exists(), "{name}: {source} is not there");
                assert!(volume.ends_with(":ro"), "{name}: {volume} can be written");
            } else {
                used.insert(source.to_owned());
            }
        }
    }
    assert_eq!(used, compose.volumes().into_iter().collect(), "volumes");
    let provider = read(&compose, "deploy/grafana/provisioning/dashboards/rater.yml");
    let grafana = texts(&compose.services()["grafana"]["volumes"]);
    for line in provider.lines().filter_map(|line| line.trim().strip_prefix("path: ")) {
        assert!(grafana.iter().any(|volume| volume.contains(&format!(":{line}:"))), "{line} is not mounted");
    }
}

#[test]
fn the_image_copies_what_is_there_and_runs_as_nobody_special() {
    let compose = compose();
    let dockerfile = read(&compose, "Dockerfile");
    let ignored = read(&compose, ".dockerignore");
    let kept: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for line in dockerfile.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["COPY", from, _] if from != "." => {
                assert!(compose.root().join(from).exists() && kept.contains(&from), "{line}: not in the context");
            }
            ["FROM", image, "AS", _] if image != "base" => {
                let (_, tag) = image.split_once(':').expect("a tag");
                assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "{image} is not pinned");
            }
            _ => {}
        }
    }
    for name in &kept {
        assert!(compose.root().join(name).exists(), ".dockerignore: {name} is not there");
    }
    // Members of the workspace, and what their sources include from elsewhere.
    for name in ["Cargo.toml", "Cargo.lock", "crates", "schemas", "benches"] {
        assert!(kept.contains(&name), ".dockerignore leaves {name} out, and the build needs it");
    }
    let stages: Vec<&str> = dockerfile.split("\nFROM ").collect();
    let base = stages.iter().find(|stage| stage.contains(" AS base\n")).expect("a stage");
    let user = base.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id >= 10_000)), "{user}");
    assert!(stages.iter().filter(|stage| stage.starts_with("base AS ")).all(|stage| !stage.contains("\nUSER ")));
    for (name, service) in compose.services() {
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(dockerfile.contains(&format!("FROM base AS {target}\n")), "{name}: no stage {target}");
        }
    }
}

#[test]
fn kafka_as_configured_takes_the_topics_and_the_program_takes_its_commands() {
    let compose = compose();
    let text = read(&compose, "deploy/kafka/server.properties");
    let settings = |place: &Place| {
        text.replace("kafka:9092", &format!("127.0.0.1:{}", place.inside))
            .replace("@kafka:9093", &format!("@127.0.0.1:{}", place.controller))
            .replace("INSIDE://:9092", &format!("INSIDE://127.0.0.1:{}", place.inside))
            .replace("CONTROLLER://:9093", &format!("CONTROLLER://127.0.0.1:{}", place.controller))
            .replace("19092", &place.outside.to_string())
            .replace("/var/lib/kafka/data", &place.data.display().to_string())
    };
    let services = compose.services();
    let cluster = services["kafka"]["environment"]["CLUSTER_ID"].as_str().expect("an id");
    let kafka = Kafka::as_image(settings, cluster).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a folder");

    // In place of where containers find each other and their files.
    let registry = TestRegistry::start().expect("a registry");
    let config = read(&compose, "deploy/rater/rater.toml");
    assert!(config.contains("\"kafka:9092\""), "{config}");
    std::fs::write(folder.path().join("rater.toml"), config.replace("kafka:9092", kafka.bootstrap())).expect("written");
    let command = |service: &str| -> Vec<String> {
        let place =
            |part: &String| part.replace("/etc/rater/", "").replace("http://schema-registry:8081", &registry.url());
        compose.command(service).iter().map(place).collect()
    };
    let run = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        rater(folder.path(), &arguments)
    };
    // Each may be run again at any time.
    for _ in 0..2 {
        run(&command("topics")).expect(0);
        run(&command("schemas")).expect(0);
    }
    assert_eq!(run(&["topics".to_owned(), "plan".to_owned(), "--config".to_owned(), "rater.toml".to_owned()]).code, 0);
    let show: Vec<String> = ["config", "show"].map(str::to_owned).into_iter().chain(command("rater")).collect();
    let shown = run(&show).expect(0).stdout;
    for value in ["0.0.0.0:9464", "scylla:9042", "http://schema-registry:8081"] {
        assert!(shown.contains(value), "{value} is not in\n{shown}");
    }
}

#[cfg(feature = "store")]
#[test]
fn the_store_is_made_and_filled_as_composed_and_the_service_reads_it() {
    let compose = compose();
    let store = Cassandra::shared().unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a folder");
    let reference = folder.path().join("reference");
    let parameters = Parameters { endpoints: 20, ..Parameters::bench(1) };
    write_reference(&parameters, &reference).expect("reference data");
    let config = read(&compose, "deploy/rater/rater.toml");
    assert!(config.contains("directory = \"store\"") && config.contains("\"scylla:9042\""), "{config}");
    std::fs::write(folder.path().join("rater.toml"), config.replace("scylla:9042", store.address())).expect("written");
    let run = |service: &str| {
        let place = |part: &String| {
            part.replace("/etc/rater/", "").replace("/var/lib/rater/reference", &reference.display().to_string())
        };
        let arguments: Vec<String> = compose.command(service).iter().map(place).collect();
        rater(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect(0)
    };
    // Each may be run again at any time.
    for _ in 0..2 {
        run("migrate");
        run("directory");
    }
    let found = rater(folder.path(), &["directory", "get", "e7", "--config", "rater.toml"]).expect(0).stdout;
    assert!(found.contains("customer-"), "{found}");
}

fn read(compose: &Compose, name: impl AsRef<Path>) -> String {
    let path = compose.root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
