//! From options to a store, and from its errors to exit codes.

use crate::args::{StoreArgs, StoreConsistency, StoreOptions, StoreSecurity, StoreSerial, WriteOptions};
use crate::exit::Failure;
use crate::settings;
use directory::Secret;
use directory::store::{Author, ConsistencyLevel, Error, PlanError, Security, SerialLevel, Settings, Store, TakeOver};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A store, and what runs its requests.
pub(crate) struct Connected {
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
}

/// Connects.
///
/// # Errors
/// Settings, or a store that cannot be used.
pub(crate) fn connect(args: &StoreArgs) -> Result<Connected, Failure> {
    let settings = store_settings(&args.store)?;
    let runtime = runtime()?;
    let store = runtime.block_on(Store::connect(&settings)).map_err(failure)?;
    Ok(Connected { runtime, store })
}

/// What runs requests.
///
/// # Errors
/// The machine has no threads left.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Failure::Surroundings(format!("threads: {error}")))
}

/// The store that options name.
///
/// # Errors
/// A password file that cannot be read.
pub(crate) fn store_settings(options: &StoreOptions) -> Result<Settings, Failure> {
    let password = settings::password(options.store_password_file.as_deref(), "RATER_STORE_PASSWORD")?;
    let credentials = options.store_user.clone().map(|user| (user, Secret::new(password.unwrap_or_default())));
    let timeout_ms = settings::milliseconds("--store-timeout", &options.store_timeout)?;
    Ok(Settings {
        nodes: options.store_nodes.clone(),
        keyspace: options.store_keyspace.clone(),
        datacenter: options.store_datacenter.clone(),
        credentials,
        security: match options.store_security {
            StoreSecurity::Plaintext => Security::Plaintext,
            StoreSecurity::Tls => Security::Tls(options.store_ca_file.clone()),
        },
        timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
        consistency: match options.store_consistency {
            StoreConsistency::LocalQuorum => ConsistencyLevel::LocalQuorum,
            StoreConsistency::Quorum => ConsistencyLevel::Quorum,
        },
        serial: match options.store_serial_consistency {
            StoreSerial::LocalSerial => SerialLevel::LocalSerial,
            StoreSerial::Serial => SerialLevel::Serial,
        },
    })
}

/// Who writes.
pub(crate) fn author(options: &WriteOptions) -> Author {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    let actor = options.actor.clone().or_else(user).unwrap_or_else(|| "unknown".to_owned());
    Author {
        actor,
        process: format!("{}-{:x}", settings::instance(), settings::machine_now().millis()),
        note: options.note.clone(),
    }
}

/// What to do about somebody else's unfinished version.
pub(crate) fn take_over(options: &WriteOptions) -> TakeOver {
    if options.take_over { TakeOver::Always } else { TakeOver::Silent }
}

/// How a command ends that the store stopped.
pub(crate) fn failure(error: Error) -> Failure {
    let text = error.to_string();
    match error {
        Error::Unreachable(_) | Error::Corrupt(_) => Failure::Surroundings(text),
        Error::Refused(_) | Error::Schema(_) | Error::Usage(_) => Failure::Data(text),
        Error::Claimed { .. } | Error::Conflict(_) | Error::Superseded => Failure::Conflict(text),
    }
}

/// As [`failure`], of a plan.
pub(crate) fn plan_failure(error: PlanError) -> Failure {
    match error {
        PlanError::Store(error) => failure(error),
        PlanError::Refused(refused) => Failure::Reference(refused),
    }
}
