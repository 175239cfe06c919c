//! A certificate of a service that is its own authority, made anew by Java's keytool: for listeners with TLS.

use super::{ServiceError, java};
use std::path::{Path, PathBuf};

/// Guards a file that lives as long as the service.
pub(super) const STORE_PASSWORD: &str = "only-for-tests";

/// What is wrong with a certificate, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is good.
    Nothing,
    /// It ended three weeks ago.
    Expired,
    /// It is for another host.
    OtherName,
}

/// A key with its certificate, for 127.0.0.1.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Both, as PKCS 12 behind [`STORE_PASSWORD`].
    pub(super) store: PathBuf,
    /// What a client has to trust, as PEM.
    pub(super) authority: PathBuf,
}

impl Certificate {
    /// Makes one in a folder.
    ///
    /// # Errors
    /// Java does not make it; the error has what it said.
    pub(super) fn new(folder: &Path, flaw: Flaw) -> Result<Certificate, ServiceError> {
        let (store, authority) = (folder.join("service.p12"), folder.join("authority.pem"));
        let keytool = |arguments: &[&str]| {
            let store = store.display().to_string();
            let common =
                ["-alias", "service", "-storetype", "PKCS12", "-keystore", &store, "-storepass", STORE_PASSWORD];
            let arguments = ["-m", "java.base/sun.security.tools.keytool.Main"].iter().chain(arguments).chain(&common);
            java::run_to_end("keytool", folder, &arguments.map(|part| (*part).to_owned()).collect::<Vec<_>>())
        };
        let names = match flaw {
            Flaw::Nothing | Flaw::Expired => "san=ip:127.0.0.1,dns:localhost",
            Flaw::OtherName => "san=ip:127.0.0.2,dns:elsewhere",
        };
        let begins = if flaw == Flaw::Expired { "-30d" } else { "-1d" };
        let length = ["-startdate", begins, "-validity", "9"];
        let key = ["-keyalg", "EC", "-groupname", "secp256r1", "-ext", names, "-ext", "bc=ca:true"];
        let key = [&key[..], &length].concat();
        // One that is there is of an earlier key.
        for file in [&store, &authority] {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ServiceError::io(file.display())(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        keytool(&[&["-genkeypair", "-dname", "CN=a service of tests"][..], &key].concat())?;
        keytool(&["-exportcert", "-rfc", "-file", &authority.display().to_string()])?;
        Ok(Certificate { store, authority })
    }
}
