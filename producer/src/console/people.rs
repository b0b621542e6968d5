//! Who may do what in the console: a file of users, read again when it changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::{message::published_by::is_name, secret::Secret, settings::Settings};
use uuid::Uuid;

use crate::errors::CommandError;

/// What somebody may do; each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Tries, replays and discards dead letters.
    Operator,
    /// Locks and unlocks periods.
    Controller,
}

impl Role {
    /// Its name in the file of users.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Controller => "controller",
        }
    }
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: Role,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    role: Role,
    token_sha256: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    #[serde(default)]
    users: BTreeMap<String, User>,
}

struct Read {
    changed: Option<(SystemTime, u64)>,
    users: Result<Users, String>,
}

/// The people that the console knows.
pub(crate) struct People {
    path: Option<PathBuf>,
    header: Option<String>,
    /// The hash of what the reverse proxy proves itself with.
    proxy: Option<Secret>,
    read: Mutex<Read>,
}

/// A new token: 244 random bits, in letters and digits.
pub(crate) fn new_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// The hash of a token, in hexadecimal.
pub(crate) fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl People {
    /// Reads the file of users, and makes sure that the console is open to nobody by accident.
    ///
    /// # Errors
    /// If the file cannot be used, or the settings do not go together.
    pub(crate) fn open(settings: &Settings) -> Result<Self, CommandError> {
        let console = &settings.console;
        if console.user_header.is_some() && console.users_path.is_none() {
            let what = "AURA_CONSOLE_USER_HEADER needs AURA_CONSOLE_USERS_PATH, which says what each may do";
            return Err(CommandError::Input(what.to_owned()));
        }
        if console.user_header.is_some() && console.proxy_secret.is_none() {
            let what = "AURA_CONSOLE_USER_HEADER needs AURA_CONSOLE_PROXY_SECRET, which the reverse proxy sends as \
                        X-Aura-Proxy-Secret: otherwise whoever reaches the console could name anybody";
            return Err(CommandError::Input(what.to_owned()));
        }
        if console.users_path.is_none() && !is_local(console.addr) {
            return Err(CommandError::Input(format!(
                "at {} anybody who reaches it would read the books: give AURA_CONSOLE_USERS_PATH, or an address of \
                 this machine alone, such as 127.0.0.1:9465",
                console.addr
            )));
        }
        let users = match &console.users_path {
            Some(path) => read(path, console.user_header.is_some()).map_err(CommandError::Input)?,
            None => Users::default(),
        };
        let changed = console.users_path.as_deref().and_then(changed);
        let read = Mutex::new(Read { changed, users: Ok(users) });
        let proxy = console.proxy_secret.clone();
        Ok(Self { path: console.users_path.clone(), header: console.user_header.clone(), proxy, read })
    }

    /// Whether nobody has to say who they are, and nobody may do more than look.
    pub(crate) fn is_open(&self) -> bool {
        self.path.is_none()
    }

    /// The header in which a reverse proxy says who asks.
    pub(crate) fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Whether this is what the reverse proxy proves itself with.
    pub(crate) fn is_of_proxy(&self, secret: &str) -> bool {
        // Hashes are compared, of which nobody can choose a part.
        self.proxy.as_ref().is_some_and(|proxy| hash(&proxy.current()) == hash(secret))
    }

    /// How people get in, in words.
    pub(crate) fn words(&self) -> String {
        match (&self.path, &self.header) {
            (None, _) => "and reads only: no AURA_CONSOLE_USERS_PATH is given".to_owned(),
            (Some(path), None) => format!("for the users of {}, by token", path.display()),
            (Some(path), Some(header)) => {
                format!("for the users of {}, whom a reverse proxy names in {header}", path.display())
            }
        }
    }

    /// The person of a name; none if the file does not have it.
    ///
    /// # Errors
    /// If the file was changed and cannot be used.
    pub(crate) fn named(&self, name: &str) -> Result<Option<Person>, String> {
        let users = self.users()?;
        Ok(users.users.get(name).map(|user| Person { name: name.to_owned(), role: user.role }))
    }

    /// The person of a session; none if the file has another token for them by now.
    ///
    /// # Errors
    /// If the file was changed and cannot be used.
    pub(crate) fn with_hash(&self, name: &str, hash: Option<&str>) -> Result<Option<Person>, String> {
        let users = self.users()?;
        let user = users.users.get(name).filter(|user| hash.is_some() && user.token_sha256.as_deref() == hash);
        Ok(user.map(|user| Person { name: name.to_owned(), role: user.role }))
    }

    /// The person whose token this is.
    ///
    /// # Errors
    /// If the file was changed and cannot be used.
    pub(crate) fn with_token(&self, token: &str) -> Result<Option<Person>, String> {
        // The hashes are compared, of which nobody can choose a part.
        let hash = hash(token);
        let users = self.users()?;
        let mut named = users.users.iter().filter(|(_, user)| user.token_sha256.as_deref() == Some(hash.as_str()));
        Ok(named.next().map(|(name, user)| Person { name: name.clone(), role: user.role }))
    }

    fn users(&self) -> Result<Users, String> {
        let Some(path) = &self.path else { return Ok(Users::default()) };
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = changed(path);
        if now != known.changed || now.is_none() {
            *known = Read { changed: now, users: read(path, self.header.is_some()) };
            if let Err(fault) = &known.users {
                tracing::error!(error = fault.as_str(), "nobody gets into the console");
            }
        }
        known.users.clone()
    }
}

/// Whether only this machine reaches it.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path, by_header: bool) -> Result<Users, String> {
    let fault = |reason: &str| format!("{} {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(&format!("cannot be read: {error}")))?;
    // Only the place is told: the line may hold a token that somebody wrote there.
    let users: Users = toml::from_str(&text).map_err(|error: toml::de::Error| fault(error.message()))?;
    let is_hash = |text: &str| text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    for (name, user) in &users.users {
        if !is_name(name) {
            return Err(fault(&format!("has {name:?}, which is not a name that the audit trail takes")));
        }
        match &user.token_sha256 {
            Some(hash) if !is_hash(hash) => {
                return Err(fault(&format!(
                    "has a token_sha256 of {name} that is not 64 of 0-9 and a-f; aura-producer console --make-token"
                )));
            }
            None if !by_header => {
                return Err(fault(&format!(
                    "lacks the token_sha256 of {name}; aura-producer console --make-token makes one"
                )));
            }
            Some(_) | None => {}
        }
    }
    let mut hashes: Vec<&str> = users.users.values().filter_map(|user| user.token_sha256.as_deref()).collect();
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.len() < all { Err(fault("gives two users the same token")) } else { Ok(users) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str, by_header: bool) -> Result<Users, String> {
        let folder = std::env::temp_dir().join(format!("aura_people_{}", Uuid::new_v4()));
        std::fs::write(&folder, text).unwrap();
        let users = read(&folder, by_header);
        std::fs::remove_file(folder).unwrap();
        users
    }

    #[test]
    fn a_file_of_users_gives_each_a_role_and_a_token_of_their_own() {
        let hash = hash("secret");
        let good = format!("[users.anna]\nrole = 'operator'\ntoken_sha256 = '{hash}'\n");
        assert_eq!(opened(&good, false).unwrap().users["anna"].role, Role::Operator);
        assert!(opened("[users.'anna b@c.de']\nrole = 'viewer'\n", true).is_ok());
        for (bad, by_header) in [
            (format!("{good}[users.bert]\nrole = 'viewer'\ntoken_sha256 = '{hash}'\n"), false),
            ("[users.anna]\nrole = 'viewer'\n".to_owned(), false),
            ("[users.anna]\nrole = 'king'\n".to_owned(), true),
            ("[users.anna]\nrole = 'viewer'\ntoken = 'x'\n".to_owned(), true),
            ("[users.anna]\nrole = 'viewer'\ntoken_sha256 = 'x'\n".to_owned(), true),
            ("[users.\"a\\u0007\"]\nrole = 'viewer'\n".to_owned(), true),
        ] {
            assert!(opened(&bad, by_header).is_err(), "{bad}");
        }
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Controller);
    }
}
