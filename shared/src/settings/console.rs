//! The settings of the console in the browser.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{SettingsError, Values};
use crate::secret::Secret;

/// Where the console is served, and to whom.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Where it is served.
    pub addr: SocketAddr,
    /// The file that says who may do what.
    pub users_path: Option<PathBuf>,
    /// The header, in small letters, in which a reverse proxy says who asks.
    pub user_header: Option<String>,
    /// What the reverse proxy proves itself with.
    pub proxy_secret: Option<Secret>,
    /// How long somebody who does nothing stays signed in.
    pub session: Duration,
    /// The folder of the scripts.
    pub assets: PathBuf,
}

impl ConsoleSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            addr: values.parse("console_addr", "is not an address such as 127.0.0.1:9465")?,
            users_path: values.optional::<String>("console_users_path").map(PathBuf::from),
            user_header: values.check("console_user_header", header)?,
            proxy_secret: values.secret("console_proxy_secret"),
            session: Duration::from_secs(values.in_range("console_session_seconds", 1, 86_400)?),
            assets: values.nonempty("console_assets")?.into(),
        })
    }
}

/// The name of a header, if one is given.
fn header(text: &str) -> Result<Option<String>, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match text {
        "" => Ok(None),
        _ if text.len() <= 64 && text.chars().all(fits) => Ok(Some(text.to_ascii_lowercase())),
        _ => Err("is not the name of a header such as X-Forwarded-User".to_owned()),
    }
}
