//! Where the registry is and how it is talked to.

pub use crate::secret::Secret;

use super::error::RegistryError;
use crate::secret::without_credentials;
use crate::wire::base64;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Who we are to the registry (HTTP basic authentication).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name or API key.
    pub user: String,
    /// Password or API secret.
    pub password: Secret,
}

/// Certificates, as files in PEM; without any, the public authorities compiled in are trusted and we show none of our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust instead of the public ones.
    pub authorities: Option<PathBuf>,
    /// Our certificate with its chain, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A schema registry. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Such as `http://localhost:8081`; may have a path. User and password do not belong here.
    pub url: String,
    /// Absent: none are sent.
    pub credentials: Option<Credentials>,
    /// Used for `https`.
    pub tls: TlsFiles,
    /// Longest time of one attempt, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// How often a request is sent at most, when nothing or a passing trouble answers. At least 1.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one, up to [`RegistryConfig::LONGEST_PAUSE`].
    pub pause: Duration,
}

impl RegistryConfig {
    /// Longest pause between two attempts.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    /// A registry without credentials, asked with 5 seconds for each of 4 attempts.
    pub fn new(url: impl Into<String>) -> RegistryConfig {
        RegistryConfig {
            url: url.into(),
            credentials: None,
            tls: TlsFiles::default(),
            timeout: Duration::from_secs(5),
            attempts: 4,
            pause: Duration::from_millis(100),
        }
    }

    /// The URL without a slash at its end.
    pub(super) fn base(&self) -> Result<String, RegistryError> {
        let config = |what: &str| RegistryError::Config(what.to_owned());
        let url = self.url.trim_end_matches('/');
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| config("the URL of the registry starts with neither http:// nor https://"))?;
        // The message does not show the URL: it holds a password, maybe with a slash in it.
        if rest.contains('@') {
            return Err(config("the URL of the registry holds a user; give user and password apart"));
        }
        if rest.is_empty() || rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(RegistryError::Config(format!(
                "\"{}\" is not the URL of a registry",
                without_credentials(url)
            )));
        }
        Ok(url.to_owned())
    }

    pub(super) fn tls_config(&self) -> Result<TlsConfig, RegistryError> {
        let mut builder = TlsConfig::builder();
        if let Some(path) = &self.tls.authorities {
            builder = builder.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        if let Some((chain, key)) = &self.tls.identity {
            let private = PrivateKey::from_pem(&read(key)?)
                .map_err(|_| RegistryError::Config(format!("{}: holds no private key in PEM", key.display())))?;
            builder = builder.client_cert(Some(ClientCert::new_with_certs(&certificates(chain)?, private)));
        }
        Ok(builder.build())
    }

    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self) -> Result<Option<Secret>, RegistryError> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(None) };
        if user.contains(':') {
            return Err(RegistryError::Config("the user of the registry contains a colon".to_owned()));
        }
        let mut header = b"Basic ".to_vec();
        base64(format!("{user}:{}", password.reveal()).as_bytes(), &mut header);
        Ok(Some(Secret::new(String::from_utf8_lossy(&header))))
    }
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegistryConfig { url, credentials, tls, timeout, attempts, pause } = self;
        f.debug_struct("RegistryConfig")
            .field("url", &without_credentials(url))
            .field("credentials", credentials)
            .field("tls", tls)
            .field("timeout", timeout)
            .field("attempts", attempts)
            .field("pause", pause)
            .finish()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|error| RegistryError::Config(format!("{}: {error}", path.display())))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let bytes = read(path)?;
    let broken = |_| RegistryError::Config(format!("{}: is not PEM", path.display()));
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(broken)? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(RegistryError::Config(format!("{}: holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let mut config = RegistryConfig::new("http://localhost:8081/");
        config.credentials = Some(Credentials { user: "rater".to_owned(), password: Secret::new("hush") });
        let shown = format!("{config:?} {:?}", config.authorization().expect("a header"));
        assert!(shown.contains("rater") && !shown.contains("hush"), "{shown}");
        let header = config.authorization().expect("a header").expect("credentials");
        assert_eq!(header.reveal(), "Basic cmF0ZXI6aHVzaA==");
        assert!(!shown.contains("cmF0ZXI6"), "{shown}");
        for url in [
            "http://rater:hush@localhost",
            "http://rater:hu/hush@localhost",
            "rater:hush@localhost",
            "http://h/?t=hush",
        ] {
            let config = RegistryConfig::new(url);
            let error = config.base().expect_err("a secret");
            let shown = format!("{error} {error:?} {config:?}");
            assert!(!shown.contains("hush"), "{shown}");
        }
    }

    #[test]
    fn urls_are_checked() {
        for url in ["localhost:8081", "ftp://host", "http://", "http://host?x=1", "http://ho st", "http://host#a"] {
            assert!(RegistryConfig::new(url).base().is_err(), "{url}");
        }
        for url in ["http://host:1/", "https://host/path//", "http://[::1]:8081"] {
            assert_eq!(RegistryConfig::new(url).base().expect("a URL"), url.trim_end_matches('/'));
        }
    }
}
