//! The address of a service, whose password nothing shows.

use std::fmt;

use url::Url;

/// A URL that may hold a password, which neither `Display` nor `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(pub(super) Url);

impl ServiceUrl {
    /// The URL with its password, for the client library.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The path without its slash: the database or virtual host.
    pub fn path(&self) -> &str {
        self.0.path().trim_start_matches('/')
    }

    /// Host and port, with this port where the URL has none.
    pub fn address(&self, default_port: u16) -> String {
        format!("{}:{}", self.0.host_str().unwrap_or("localhost"), self.0.port().unwrap_or(default_port))
    }

    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        self.0.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or("");
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{host}{port}{}", self.0.scheme(), self.0.path())
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
