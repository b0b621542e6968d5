//! The address of a service, whose password nothing shows.

use std::fmt;

use url::Url;

use crate::{secret::SecretFile, tls::Tls};

/// Schemes whose clients find the right one of several servers by themselves.
const ONE_OF_SEVERAL: [&str; 3] = ["postgres", "postgresql", "mongodb"];
/// What to do about a password that a URL does not hold as it is.
const ENCODED: &str = "in a user or password, write / as %2F, @ as %40, # as %23, ? as %3F, : as %3A and % as %25";

/// What the URL of a service looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// What it may begin with.
    pub(super) schemes: &'static [&'static str],
    /// Whether it names a database: a server's own choice would be another one for each program.
    pub(super) is_of_database: bool,
}

impl Form {
    /// Reads a URL of this form.
    pub(super) fn read(&self, text: &str) -> Result<Address, String> {
        let form = || format!("must start with {}://", self.schemes.join(":// or "));
        let (_, rest) = text.split_once("://").ok_or_else(form)?;
        let address = Address::parse(text).map_err(|error| format!("is not a URL: {error}; {ENCODED}"))?;
        let url = &address.url;
        if !self.schemes.contains(&url.scheme()) {
            return Err(form());
        }
        if address.several.is_some() && !ONE_OF_SEVERAL.contains(&url.scheme()) {
            return Err("names several servers; put a load balancer before them, and name that".to_owned());
        }
        // What looks like a path would otherwise be shown, and be the rest of a password.
        let (_, after_host) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if after_host.contains(['@', '#']) {
            return Err(format!("has an @ or a # after its host; {ENCODED}"));
        }
        let has_database = !url.path().trim_start_matches('/').is_empty()
            || url.query_pairs().any(|(key, name)| key == "dbname" && !name.is_empty());
        if self.is_of_database && !has_database {
            let scheme = self.schemes.first().copied().unwrap_or_default();
            return Err(format!("lacks the database; it should look like {scheme}://HOST:PORT/aura"));
        }
        Ok(address)
    }
}

/// A URL, which may name several servers of one service, as in `mongodb://a:27017,b:27017/aura`.
#[derive(Clone)]
pub(super) struct Address {
    /// The URL with the first of its servers.
    url: Url,
    /// The whole of it, and its servers alone, if there are several.
    several: Option<(String, String)>,
}

impl Address {
    /// Parses a URL, whose servers each stand for a whole one.
    fn parse(text: &str) -> Result<Self, url::ParseError> {
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
}

/// A URL that may hold a password, which neither `Display` nor `Debug` shows, and how its service is reached.
#[derive(Clone)]
pub struct ServiceUrl {
    pub(super) address: Address,
    pub(super) form: Form,
    /// The file that it stands in, if it does.
    pub(super) file: Option<SecretFile>,
    pub(super) tls: Tls,
}

impl ServiceUrl {
    /// Returns whether it names several servers.
    pub fn has_several_servers(&self) -> bool {
        self.address.several.is_some()
    }

    /// The URL with its password, for the client library.
    pub fn expose(&self) -> &str {
        self.address.several.as_ref().map_or(self.address.url.as_str(), |(whole, _)| whole)
    }

    /// The URL as it is now, if it stands in a file: what each new connection takes.
    pub fn current(&self) -> Self {
        let Some(file) = &self.file else { return self.clone() };
        let Some(text) = file.read_again() else { return self.clone() };
        match self.form.read(&text) {
            Ok(address) => Self { address, ..self.clone() },
            Err(fault) => {
                tracing::warn!("what {} names {fault}; what it said at the start is used", file.origin);
                self.clone()
            }
        }
    }

    /// The certificates with which the service is reached, where the URL asks for TLS.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The path without its slash: the database or virtual host.
    pub fn path(&self) -> &str {
        self.address.url.path().trim_start_matches('/')
    }

    /// Host and port, with this port where the URL has none.
    pub fn address(&self, default_port: u16) -> String {
        let url = &self.address.url;
        format!("{}:{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(default_port))
    }

    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        self.address.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.address.url;
        if let Some((_, servers)) = &self.address.several {
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
