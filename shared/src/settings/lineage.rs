//! The settings of OpenLineage, and the variables that its clients share.

use std::path::PathBuf;

use super::{SettingsError, Values, endpoint};
use crate::secret::Secret;

/// The path at which receivers take events where nobody says another.
const ENDPOINT: &str = "api/v1/lineage";

/// Where events of OpenLineage go; nowhere if there is neither address nor file.
#[derive(Debug, Clone, Default)]
pub struct LineageSettings {
    /// The address that they are posted to.
    pub url: Option<Secret>,
    /// What is sent with them as a bearer token.
    pub api_key: Option<Secret>,
    /// The file that they are appended to.
    pub path: Option<PathBuf>,
}

impl LineageSettings {
    pub(super) fn read(values: &Values, environment: &[(String, String)]) -> Result<Self, SettingsError> {
        let path = values.optional::<String>("openlineage_path").map(PathBuf::from);
        let api_key = values.secret("openlineage_api_key");
        if let Some(url) = values.check("openlineage_url", endpoint)? {
            return Ok(Self { url: Some(url), api_key, path });
        }
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let is_disabled = variable("OPENLINEAGE_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let Some(base) = variable("OPENLINEAGE_URL").filter(|_| !is_disabled) else {
            return Ok(Self { url: None, api_key, path });
        };
        let endpoint_of = variable("OPENLINEAGE_ENDPOINT").unwrap_or(ENDPOINT);
        let address = format!("{}/{}", base.trim_end_matches('/'), endpoint_of.trim_start_matches('/'));
        let url = endpoint(&address)
            .map_err(|reason| SettingsError::Invalid { origin: "OPENLINEAGE_URL".to_owned(), reason })?;
        let shared_key = || variable("OPENLINEAGE_API_KEY").map(|key| Secret::from(key.to_owned()));
        Ok(Self { url, api_key: api_key.or_else(shared_key), path })
    }
}
