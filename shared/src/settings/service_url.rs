//! The address of a service, whose password nothing shows.

use std::fmt;

use url::Url;

/// A URL that may hold a password, which neither `Display` nor `Debug` shows.
///
/// It may name several servers of one service, as in `mongodb://a:27017,b:27017/aura`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    /// The URL with the first of its servers.
    url: Url,
    /// The whole of it, and its servers alone, if there are several.
    several: Option<(String, String)>,
}

impl ServiceUrl {
    /// Parses a URL, whose servers each stand for a whole one.
    pub(super) fn parse(text: &str) -> Result<Self, url::ParseError> {
        let Some((before, servers, after)) = servers(text) else {
            return Ok(Self { url: Url::parse(text)?, several: None });
        };
        let mut urls = servers.split(',').map(|server| Url::parse(&format!("{before}{server}{after}")));
        let url = urls.next().unwrap_or(Err(url::ParseError::EmptyHost))?;
        if !url.has_host() || urls.any(|other| !other.is_ok_and(|other| other.has_host())) {
            return Err(url::ParseError::EmptyHost);
        }
        Ok(Self { url, several: Some((text.to_owned(), servers.to_owned())) })
    }

    /// Its scheme.
    pub(super) fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Returns whether it names several servers.
    pub fn has_several_servers(&self) -> bool {
        self.several.is_some()
    }

    /// The URL with its password, for the client library.
    pub fn expose(&self) -> &str {
        self.several.as_ref().map_or(self.url.as_str(), |(whole, _)| whole)
    }

    /// The path without its slash: the database or virtual host.
    pub fn path(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    /// Host and port, with this port where the URL has none.
    pub fn address(&self, default_port: u16) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("localhost"), self.url.port().unwrap_or(default_port))
    }

    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        if let Some((_, servers)) = &self.several {
            return write!(f, "{}://{servers}{}", url.scheme(), url.path());
        }
        let host = url.host_str().unwrap_or("");
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{host}{port}{}", url.scheme(), url.path())
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands before the servers of a URL that names several, these, and what stands behind them.
fn servers(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find("://")? + 3;
    let (scheme, rest) = text.split_at_checked(begin)?;
    let (authority, after) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    let servers = authority.rsplit_once('@').map_or(authority, |(_, servers)| servers);
    let before = text.get(..scheme.len() + authority.len() - servers.len())?;
    servers.contains(',').then_some((before, servers, after))
}
