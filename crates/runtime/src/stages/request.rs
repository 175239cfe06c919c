//! What people ask of what waits: a message among what the other stages write to its topic, kept in the state until it is all done.

use super::waiting::Waited;
use pipeline::Intent;
use serde::{Deserialize, Serialize};

/// What somebody asks to be tried again, or to be given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecycleRequest {
    /// For these reasons, by name; none: whatever the reason is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Only records and commands of these ids; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Also what came too late to tell whether it was charged before.
    #[serde(default)]
    pub late: bool,
    /// It is given up instead, and why. A program from before there was this does not understand the request, and does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_off: Option<String>,
}

impl RecycleRequest {
    /// The message that asks for it; it has to go to every partition of the topic of what waits.
    pub fn message(&self) -> Vec<u8> {
        serde_json::to_vec(&Asked::Recycle(self.clone())).expect("texts only: nothing that JSON could refuse")
    }

    /// Whether it selects nothing, and so is about everything.
    pub fn is_about_all(&self) -> bool {
        self.reasons.is_empty() && self.ids.is_empty()
    }

    /// Whether something that waits is asked for.
    pub fn is_about(&self, waited: &Waited) -> bool {
        let is_late = Intent::of(waited.reason, waited.level).is_late();
        let names = |list: &[String], name: &str| list.is_empty() || list.iter().any(|known| known == name);
        (self.late || !is_late)
            && names(&self.reasons, waited.reason.name())
            && (self.ids.is_empty() || waited.usage_id.as_ref().is_some_and(|id| names(&self.ids, id)))
    }
}

/// What others write beside what waits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    Tick(String),
    Recycle(RecycleRequest),
}

crate::state::as_other!(
    RecycleRequest as String,
    |request| serde_json::to_string(request).expect("texts only: nothing that JSON could refuse"),
    |text| serde_json::from_str(&text).ok(),
    "a request"
);
