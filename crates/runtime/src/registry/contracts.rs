//! A message contract in a registry: whether it is there or could be, and putting it there.

use super::{CompatibilityLevel, Registry, RegistryError, SchemaId};

/// Schema of usage records, which others write.
pub const USAGE_RECORD: &str = include_str!("../../../../schemas/usage-record.avsc");

/// Schema of account commands, which others write.
pub const ACCOUNT_COMMAND: &str = include_str!("../../../../schemas/account-command.avsc");

/// How a subject stands to a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has it.
    Registered(SchemaId),
    /// There is no version yet.
    New,
    /// It could follow the last version.
    Compatible,
    /// It could not; why, where the registry says it.
    Incompatible(Vec<String>),
}

impl Registry {
    /// How a subject stands to a schema. Only the last version is compared, whatever the subject's level; registering compares all.
    ///
    /// # Errors
    /// Any trouble.
    pub fn standing(&self, subject: &str, schema: &str) -> Result<Standing, RegistryError> {
        match self.look_up(subject, schema) {
            Ok(id) => return Ok(Standing::Registered(id)),
            Err(RegistryError::SubjectUnknown) => return Ok(Standing::New),
            Err(RegistryError::SchemaUnknown) => {}
            Err(error) => return Err(error),
        }
        match self.check(subject, schema) {
            Ok(verdict) if verdict.is_compatible => Ok(Standing::Compatible),
            Ok(verdict) => Ok(Standing::Incompatible(verdict.messages)),
            Err(RegistryError::SubjectUnknown | RegistryError::VersionUnknown) => Ok(Standing::New),
            Err(error) => Err(error),
        }
    }

    /// Demands that every version of a subject reads every other one, then registers a schema.
    ///
    /// # Errors
    /// `Incompatible`, or any trouble. The level stays set.
    pub fn publish(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        self.set_compatibility(subject, CompatibilityLevel::FullTransitive)?;
        self.register(subject, schema)
    }
}
