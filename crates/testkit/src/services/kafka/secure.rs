//! A listener with TLS and SCRAM, for brokers that are asked for one: its address and its properties.

use super::{Broker, PASSWORD, PASSWORD_USER};
use crate::services::ServiceError;
use crate::services::certificate::{Certificate, Flaw, STORE_PASSWORD};
use std::fs;
use std::path::Path;

/// Where who has [`PASSWORD_USER`] and [`PASSWORD`] is let in by SCRAM-SHA-512, behind TLS.
#[derive(Debug)]
pub struct SecureListener {
    address: String,
    certificate: Certificate,
}

impl SecureListener {
    /// With a certificate of its own.
    pub(super) fn new(folder: &Path, address: String) -> Result<SecureListener, ServiceError> {
        Ok(SecureListener { address, certificate: Certificate::new(folder, Flaw::Nothing)? })
    }

    /// Puts another certificate, of another authority, in the place of the present one: the broker shows it from its next start on.
    ///
    /// # Errors
    /// Java does not make it.
    pub fn renew(&self, flaw: Flaw) -> Result<(), ServiceError> {
        let folder = self.certificate.store.parent().unwrap_or(Path::new("."));
        Certificate::new(folder, flaw).map(drop)
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The authority to trust, as PEM.
    pub fn authority(&self) -> &Path {
        &self.certificate.authority
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
            store = self.certificate.store.display(),
        )
    }

    /// What the tool that formats the broker's data is told, so that it knows the user from the start.
    pub(super) fn users() -> [String; 2] {
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={PASSWORD_USER},password={PASSWORD}]")]
    }
}

impl Broker {
    /// Changes the password of [`PASSWORD_USER`] on the listener that takes passwords in the clear: it holds from the next start on.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn change_password(&self, from: &str, to: &str) -> Result<(), ServiceError> {
        let text = fs::read_to_string(&self.settings).map_err(ServiceError::io(self.settings.display()))?;
        let quoted = |password: &str| format!("user_{PASSWORD_USER}=\"{password}\"");
        let text = text.replace(&quoted(from), &quoted(to));
        fs::write(&self.settings, text).map_err(ServiceError::io(self.settings.display()))
    }
}
