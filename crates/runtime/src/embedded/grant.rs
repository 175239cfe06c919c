//! What reference data cause, before anything of the input: accounts learn what they say of them, and bundles that they grant are bought.

use super::{Folder, RunError, Writing};
use crate::engine::Retry;
use crate::grants;
use crate::wire::Decoder;
use directory::Loaded;
use std::collections::BTreeSet;

impl Folder {
    /// Has accounts learn what the reference data say of them.
    pub(super) fn learn(&mut self, loaded: &Loaded, writing: &Writing) -> Result<(), RunError> {
        let output = self.engine.learn_from(&loaded.snapshot)?;
        self.put_out(output, writing)
    }

    /// Carries out grants of the reference data that were not carried out yet.
    pub(super) fn grant(&mut self, loaded: &Loaded, writing: &Writing) -> Result<(), RunError> {
        let known: BTreeSet<&str> = self.progress.granted.iter().map(|id| &**id).collect();
        let new = grants::due(loaded, self.latest_event, |id| known.contains(id));
        let granted = new.iter().map(|grant| Box::from(&*grant.command_id)).collect::<Vec<Box<str>>>();
        let records = grants::grant_lines(&new, &loaded.snapshot);
        let retries = vec![Retry::granted(); records.len()];
        self.batch(&records, &Decoder::json_lines(), grants::INPUT, &retries, writing)?;
        self.progress.granted.extend(granted);
        Ok(())
    }
}
