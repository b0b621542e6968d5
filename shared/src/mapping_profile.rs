//! Mapping profiles: how one ERP writes its files.

use serde::Serialize;

use crate::{
    failure::{ErrorCode, Failure, Stage},
    fingerprint::Fingerprint,
    job::{DEFAULT_SOURCE, Mode, SourceName},
};

/// A parsed mapping profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappingProfile {
    /// Its name.
    pub name: SourceName,
    /// The mode of jobs that name none.
    pub mode: Mode,
}

impl MappingProfile {
    /// The profile of that name.
    ///
    /// # Errors
    /// `unknown_source` if there is none.
    pub fn named(name: &SourceName) -> Result<Self, Failure> {
        if name.as_str() == DEFAULT_SOURCE {
            return Ok(Self { name: name.clone(), mode: Mode::Upsert });
        }
        let reason = format!("there is no mapping profile {name}; the ones there are: {DEFAULT_SOURCE}");
        Err(Failure::new(ErrorCode::UnknownSource, Stage::Receive, reason))
    }

    /// SHA-256 of the profile as it was understood: two jobs with the same one map alike.
    pub fn hash(&self) -> Fingerprint {
        // A profile is a plain structure of texts and lists, which always has a canonical form.
        Fingerprint::of(&serde_json_canonicalizer::to_vec(self).unwrap_or_default())
    }
}
