//! The schema registry's client and framed messages, against the registry of the test kit.

mod client;
mod framed;

use runtime::registry::{Registry, RegistryConfig};
use std::time::Duration;
use testkit::registry::TestRegistry;

/// Short pauses, so that repetition takes no time.
fn config(server: &TestRegistry) -> RegistryConfig {
    let mut config = RegistryConfig::new(server.url());
    config.pause = Duration::from_millis(1);
    config.timeout = Duration::from_secs(20);
    config
}

fn started() -> (TestRegistry, Registry) {
    let server = TestRegistry::start().expect("a free port");
    let client = Registry::new(&config(&server)).expect("a client");
    (server, client)
}
