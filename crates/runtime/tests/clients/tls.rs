//! TLS towards a server that is not ours.

use super::{python, script};
use runtime::registry::{Registry, RegistryConfig, RegistryError, SchemaId, TlsFiles};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn certificates_are_checked_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = python().command(&script("serve_tls.py"));
    command.arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Server(command.spawn().expect("Python"));
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().expect("its output")).read_line(&mut port).expect("a port");
    let file = |name: &str| folder.path().join(name);
    let ask = |tls: TlsFiles| {
        let mut config = RegistryConfig::new(format!("https://127.0.0.1:{}", port.trim()));
        config.tls = tls;
        config.attempts = 2;
        config.pause = Duration::from_millis(1);
        Registry::new(&config).expect("a client").schema(SchemaId(1))
    };
    let authorities = Some(file("authority.pem"));
    let identity = Some((file("client.pem"), file("client-key.pem")));
    let known = ask(TlsFiles { authorities: authorities.clone(), identity: identity.clone() }).expect("an answer");
    assert_eq!(known.schema, "\"string\"");
    for (tls, why) in [
        (TlsFiles { authorities: None, identity }, "the server's authority is not a public one"),
        (TlsFiles { authorities, identity: None }, "the server asks for a certificate"),
    ] {
        let refused = ask(tls);
        assert!(matches!(refused, Err(RegistryError::Unreachable { attempts: 2, .. })), "{why}: {refused:?}");
    }
}
