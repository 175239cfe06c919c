//! What stands before a datum, and which schema that means.

use super::VerifyError;
use super::avro::Layout;
use runtime::registry::{Registry, RegistryConfig, SchemaId};
use runtime::wire::{Fingerprint, Frame};
use std::collections::HashMap;
use std::rc::Rc;

/// A message taken apart.
#[derive(Debug)]
pub(super) enum Framed<'m> {
    /// Avro: the writer's schema and the datum.
    Avro(Rc<Layout>, &'m [u8]),
    /// Not framed: JSON, or nothing that is known.
    Bare(&'m [u8]),
    /// Framed, but the schema is not known.
    Unknown,
}

/// All schemas that are known.
pub(super) struct Schemas {
    registry: Option<Registry>,
    by_frame: HashMap<Vec<u8>, Option<Rc<Layout>>>,
}

impl Schemas {
    /// Those of the contracts in single-object encoding, and those of a registry.
    ///
    /// # Errors
    /// A registry whose address is none.
    pub(super) fn new(registry: Option<&str>) -> Result<Schemas, VerifyError> {
        let registry = registry.map(|url| Registry::new(&RegistryConfig::new(url)));
        let registry = registry.transpose().map_err(|error| VerifyError::Refused(error.to_string()))?;
        let mut by_frame = HashMap::new();
        for text in CONTRACTS {
            let refused = |what: String| VerifyError::Refused(format!("a schema of the contracts: {what}"));
            let frame = Frame::single_object(Fingerprint::of(text).map_err(refused)?);
            by_frame.insert(frame.as_bytes().to_vec(), Some(Rc::new(Layout::new(text).map_err(refused)?)));
        }
        Ok(Schemas { registry, by_frame })
    }

    /// Takes a message apart.
    ///
    /// # Errors
    /// A registry that does not answer.
    pub(super) fn take_apart<'m>(&mut self, message: &'m [u8]) -> Result<Framed<'m>, VerifyError> {
        let length = match message {
            [0xc3, 0x01, ..] => 10,
            [0, ..] => 5,
            _ => return Ok(Framed::Bare(message)),
        };
        let Some((frame, datum)) = message.split_at_checked(length) else { return Ok(Framed::Bare(message)) };
        let known = match self.by_frame.get(frame) {
            Some(known) => known.clone(),
            None => {
                let found = self.ask(frame)?;
                self.by_frame.insert(frame.to_vec(), found.clone());
                found
            }
        };
        Ok(known.map_or(Framed::Unknown, |layout| Framed::Avro(layout, datum)))
    }

    fn ask(&self, frame: &[u8]) -> Result<Option<Rc<Layout>>, VerifyError> {
        let (Some(registry), [0, id @ ..]) = (&self.registry, frame) else { return Ok(None) };
        let Ok(id) = <[u8; 4]>::try_from(id) else { return Ok(None) };
        match registry.schema(SchemaId(u32::from_be_bytes(id))) {
            // A schema that is not read here is one of those that the product refuses, too.
            Ok(registered) => Ok(Layout::new(&registered.schema).ok().map(Rc::new)),
            Err(runtime::registry::RegistryError::SchemaUnknown) => Ok(None),
            Err(error) => Err(VerifyError::Surroundings(format!("schema registry: {error}"))),
        }
    }
}

const CONTRACTS: [&str; 16] = [
    include_str!("../../../../schemas/usage-record.avsc"),
    include_str!("../../../../schemas/account-command.avsc"),
    include_str!("../../../../schemas/tick.avsc"),
    include_str!("../../../../schemas/history/v1/usage-record.avsc"),
    include_str!("../../../../schemas/history/v1/account-command.avsc"),
    include_str!("../../../../schemas/history/v1/tick.avsc"),
    include_str!("../../../../schemas/charge.avsc"),
    include_str!("../../../../schemas/balance-delta.avsc"),
    include_str!("../../../../schemas/suspense.avsc"),
    include_str!("../../../../schemas/notification.avsc"),
    include_str!("../../../../schemas/command-reply.avsc"),
    include_str!("../../../../schemas/life-event.avsc"),
    include_str!("../../../../schemas/history/v1/charge.avsc"),
    include_str!("../../../../schemas/history/v1/balance-delta.avsc"),
    include_str!("../../../../schemas/history/v1/notification.avsc"),
    include_str!("../../../../schemas/history/v1/command-reply.avsc"),
];
