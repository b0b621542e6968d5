//! What folders, manifests and files give: jobs to be.

use serde_json::{Map, Value};
use uuid::Uuid;

/// A job to be, with the place that faults are told at; or what could not be understood there.
pub(super) struct Draft {
    pub(super) place: String,
    pub(super) fields: Result<Map<String, Value>, Vec<String>>,
}

impl Draft {
    /// The batch that it belongs to, if it says so.
    pub(super) fn batch_id(&self) -> Option<Uuid> {
        self.fields.as_ref().ok()?.get("batch_id")?.as_str()?.parse().ok()
    }
}

/// The drafts that a folder or manifest gives, and the files of the folder that are none.
#[derive(Default)]
pub(super) struct Drafts {
    pub(super) drafts: Vec<Draft>,
    pub(super) unmatched: Vec<String>,
}
