//! Who is signed in. Sessions live in this process: who restarts the console signs everybody out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::people::{hash, new_token};

/// Sessions at a time; the one that was idle for longest goes first.
const MOST: usize = 1_000;
/// How long a session may last, however busy it is.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

struct Session {
    name: String,
    /// The hash of the token that it was begun with.
    token: Option<String>,
    csrf: String,
    began: Instant,
    seen: Instant,
}

/// The sessions, by the hash of what the cookie holds.
pub(crate) struct Sessions {
    idle: Duration,
    open: Mutex<HashMap<String, Session>>,
}

/// What a session tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) token: Option<String>,
    pub(crate) csrf: String,
}

impl Sessions {
    pub(crate) fn new(idle: Duration) -> Self {
        Self { idle, open: Mutex::default() }
    }

    /// Begins a session; returns what the cookie is to hold.
    pub(crate) fn begin(&self, name: &str, token: &str) -> String {
        let secret = new_token();
        self.put(hash(&secret), name, Some(hash(token)));
        secret
    }

    /// The session of somebody whom a reverse proxy names, who needs none but for the token of forms.
    pub(crate) fn of_proxy(&self, name: &str) -> Seen {
        // A cookie's hash is hexadecimal, and so never one of these.
        let key = format!("proxy:{name}");
        if let Some(seen) = self.look(&key, true) {
            return seen;
        }
        self.put(key.clone(), name, None);
        self.look(&key, true).unwrap_or_else(|| Seen { name: name.to_owned(), token: None, csrf: new_token() })
    }

    /// The session of a cookie, unless it is over. Looking keeps it, but for what a page asks by itself.
    pub(crate) fn of_cookie(&self, secret: &str, keeps: bool) -> Option<Seen> {
        self.look(&hash(secret), keeps)
    }

    /// Ends a session.
    pub(crate) fn end(&self, secret: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(secret));
    }

    fn is_over(&self, session: &Session, now: Instant) -> bool {
        now - session.seen > self.idle || now - session.began > LONGEST
    }

    fn look(&self, key: &str, keeps: bool) -> Option<Seen> {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(key)?;
        if self.is_over(session, now) {
            open.remove(key);
            return None;
        }
        if keeps {
            session.seen = now;
        }
        Some(Seen { name: session.name.clone(), token: session.token.clone(), csrf: session.csrf.clone() })
    }

    fn put(&self, key: String, name: &str, token: Option<String>) {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| !self.is_over(session, now));
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| key.clone());
            oldest.map(|key| open.remove(&key));
        }
        open.insert(key, Session { name: name.to_owned(), token, csrf: new_token(), began: now, seen: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_nobody_does_anything_and_what_pages_ask_by_themselves_does_not_keep_it() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let secret = sessions.begin("anna", "x");
        assert_eq!(sessions.of_cookie(&secret, true).unwrap().name, "anna");
        assert!(sessions.of_cookie("another", true).is_none());
        sessions.end(&secret);
        assert!(sessions.of_cookie(&secret, true).is_none());
        let sessions = Sessions::new(Duration::ZERO);
        let secret = sessions.begin("anna", "x");
        std::thread::yield_now();
        assert!(sessions.of_cookie(&secret, false).is_none());
    }

    #[test]
    fn whom_a_proxy_names_keeps_one_token_for_forms() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let first = sessions.of_proxy("anna");
        assert_eq!(sessions.of_proxy("anna"), first);
        assert_ne!(sessions.of_proxy("bert").csrf, first.csrf);
    }

    #[test]
    fn there_are_never_more_sessions_than_fit() {
        let sessions = Sessions::new(Duration::from_secs(60));
        for number in 0..MOST + 10 {
            sessions.begin(&number.to_string(), "x");
        }
        assert_eq!(sessions.open.lock().unwrap().len(), MOST);
    }
}
