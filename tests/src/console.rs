//! A running console, as a child process, asked as browsers and programs ask it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use crate::{
    digest::sha256,
    log::Log,
    wait::{SOON, until},
};

/// What the console says once it is served.
const SERVED: &str = "the console is at http://";

/// A console.
#[derive(Debug)]
pub struct Console {
    child: Child,
    log: Log,
    address: OnceLock<String>,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The text.
    pub text: String,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// The text as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}):\n{}", self.text))
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The same, after making sure of the status.
    ///
    /// # Panics
    /// If it was another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// Writes a file of users: each with a role, and with their own name, doubled, as their token.
///
/// # Panics
/// If it cannot be written.
pub fn users(path: &Path, users: &[(&str, &str)]) {
    let user = |(name, role): &(&str, &str)| {
        format!("[users.{name}]\nrole = '{role}'\ntoken_sha256 = '{}'\n", sha256(token(name).as_bytes()))
    };
    let partial = path.with_extension("partial");
    std::fs::write(&partial, users.iter().map(user).collect::<String>()).expect("a file can be written");
    std::fs::rename(&partial, path).expect("a file can be moved");
}

/// The token of somebody in a file of [`users`].
pub fn token(name: &str) -> String {
    format!("{name}{name}")
}

impl Console {
    /// Starts a console and waits until it is served.
    ///
    /// # Panics
    /// If it is not.
    pub async fn start(mut command: Command, log: std::path::PathBuf) -> Self {
        command.arg("console").stdin(Stdio::null());
        let log = Log::of(&mut command, log);
        let child = command.spawn().expect("the console starts");
        let policy = reqwest::redirect::Policy::none();
        // The provider of TLS is the process's.
        let _ = crate::http::client();
        let client = reqwest::Client::builder().redirect(policy).build().expect("a client");
        let mut console = Self { child, log, address: OnceLock::new(), client };
        until("the console is served", SOON, async || {
            if let Ok(Some(status)) = console.child.try_wait() {
                panic!("the console ended at once ({status}):\n{}", console.log.tail());
            }
            let text = console.log.text();
            let (_, rest) = text.split_once(SERVED)?;
            let (address, _) = rest.split_once('/')?;
            let _ = console.address.set(address.to_owned());
            Some(())
        })
        .await;
        console
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address.get().map(String::as_str).unwrap_or_default())
    }

    /// Everything that it has said.
    pub fn text(&self) -> String {
        self.log.text()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for something, with these headers.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// Asks for a page.
    pub async fn page(&self, path: &str) -> Answer {
        self.ask(path, &[]).await
    }

    /// Asks for the JSON of a page, as somebody if a name is given.
    pub async fn json(&self, path: &str, name: Option<&str>) -> Answer {
        let bearer = name.map(|name| format!("Bearer {}", token(name)));
        let mut headers = vec![("accept", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        self.ask(path, &headers).await
    }

    /// Sends a form as a program of somebody's, and takes JSON.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn act(&self, path: &str, name: &str, fields: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", token(name));
        self.send(path, &[("accept", "application/json"), ("authorization", &bearer)], fields).await
    }

    /// Sends a form with these headers.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://form/").expect("a URL");
        url.query_pairs_mut().extend_pairs(fields);
        let body = url.query().unwrap_or_default().to_owned();
        let request = self.client.post(format!("{}{path}", self.url()));
        let mut request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// Signs somebody in; returns the cookie.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn sign_in(&self, name: &str) -> String {
        let answer = self.send("/sign-in", &[], &[("token", &token(name))]).await.expect(303);
        let cookie = answer.header("set-cookie");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.expect("the console answers");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.expect("a text") }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
