//! The real programs, as child processes; each is ended by its own process number.

use std::{
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;

use crate::{
    log::Log,
    wait::{SOON, until},
};

/// A worker. It is killed when its value goes.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    log: Log,
}

impl Worker {
    /// Starts a worker that writes its log there, and does not wait for it.
    pub fn spawn(mut command: Command, log: PathBuf) -> Self {
        let log = Log::of(&mut command, log);
        let child = command.spawn().expect("the worker starts");
        Self { child, log }
    }

    /// Waits until it takes jobs.
    pub async fn ready(&mut self) {
        until("the worker takes jobs", SOON, async || {
            assert!(self.exit().is_none(), "the worker ended:\n{}", self.tail());
            self.has_logged("taking jobs").then_some(())
        })
        .await;
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has written.
    pub fn text(&self) -> String {
        self.log.text()
    }

    /// Whether a line of its log holds this.
    pub fn has_logged(&self, part: &str) -> bool {
        self.text().contains(part)
    }

    /// Waits until a line of its log holds this.
    pub async fn logs(&self, part: &str, limit: Duration) {
        until(&format!("the worker logs {part:?}"), limit, async || self.has_logged(part).then_some(())).await;
    }

    /// Where it serves health.
    pub fn http(&self) -> Option<String> {
        self.log.lines().iter().find_map(|line| Some(format!("http://{}", line["http_addr"].as_str()?)))
    }

    /// What `/readyz` says: its status and its JSON.
    pub async fn readyz(&self) -> Option<(u16, Value)> {
        let request = crate::http::client().get(format!("{}/readyz", self.http()?));
        let answer = request.timeout(Duration::from_secs(5)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    }

    /// Waits until `/readyz` says so.
    pub async fn is_ready(&self, ready: bool, limit: Duration) -> Value {
        let what = format!("/readyz says {ready}");
        let look = async || self.readyz().await.filter(|(code, _)| (*code == 200) == ready);
        until(&what, limit, look).await.1
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        self.log.tail()
    }

    /// Sends a signal.
    pub async fn signal(&self, name: &str) {
        super::services::signal(name, &[self.pid()]).await;
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its status, if it has ended.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the worker can be asked")
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        until("the worker ends", limit, async || self.exit()).await
    }

    /// Whether it stands halted, as after SIGSTOP.
    pub fn is_halted(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits until it stands halted.
    pub async fn halted(&self, limit: Duration) {
        until("the worker halts at its failpoint", limit, async || self.is_halted().then_some(())).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {} ends so ----\n{}\n----", self.log.path().display(), self.tail());
        }
        self.kill();
    }
}
