//! A listener with TLS and SCRAM, for brokers that are asked for one: its certificate, made anew by Java's keytool, and its properties.

use super::{PASSWORD, PASSWORD_USER};
use crate::services::{ServiceError, java};
use std::path::{Path, PathBuf};

/// Guards a file that lives as long as the broker.
const STORE_PASSWORD: &str = "only-for-tests";

/// Where who has [`PASSWORD_USER`] and [`PASSWORD`] is let in by SCRAM-SHA-512, behind TLS.
#[derive(Debug)]
pub struct SecureListener {
    address: String,
    authority: PathBuf,
    store: PathBuf,
}

impl SecureListener {
    /// Makes a certificate for this address, which is its own authority.
    pub(super) fn new(folder: &Path, address: String) -> Result<SecureListener, ServiceError> {
        let (store, authority) = (folder.join("broker.p12"), folder.join("authority.pem"));
        let keytool = |arguments: &[&str]| {
            let store = store.display().to_string();
            let common =
                ["-alias", "broker", "-storetype", "PKCS12", "-keystore", &store, "-storepass", STORE_PASSWORD];
            let arguments = ["-m", "java.base/sun.security.tools.keytool.Main"].iter().chain(arguments).chain(&common);
            java::run_to_end("keytool", folder, &arguments.map(|part| (*part).to_owned()).collect::<Vec<_>>())
        };
        let names = "san=ip:127.0.0.1,dns:localhost";
        let key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "7", "-ext", names, "-ext", "bc=ca:true"];
        keytool(&[&["-genkeypair", "-dname", "CN=a broker of tests"][..], &key].concat())?;
        keytool(&["-exportcert", "-rfc", "-file", &authority.display().to_string()])?;
        Ok(SecureListener { address, authority, store })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The authority to trust, as PEM.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// What goes into `listeners`.
    pub(super) fn listener(&self) -> String {
        format!(",SECURE://{}", self.address)
    }

    /// Lines of the broker's properties.
    pub(super) fn properties(&self) -> String {
        format!(
            "\
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.location={store}
listener.name.secure.ssl.keystore.password={STORE_PASSWORD}
listener.name.secure.ssl.key.password={STORE_PASSWORD}
",
            store = self.store.display(),
        )
    }

    /// What the tool that formats the broker's data is told, so that it knows the user from the start.
    pub(super) fn users() -> [String; 2] {
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={PASSWORD_USER},password={PASSWORD}]")]
    }
}
