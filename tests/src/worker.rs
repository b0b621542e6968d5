//! A running worker, as a child process that is ended by its own process number.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    log::Log,
    wait::{SOON, until},
};

/// How long a worker may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);
/// How long `/readyz` may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How a worker ends when its value goes.
#[derive(Debug, Clone, Copy)]
enum End {
    /// In good order if it can be, so that what a coverage run counts is written.
    Asked,
    /// At once, whatever state it is in.
    Killed,
}

/// A worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    log: Log,
    end: End,
    address: OnceLock<String>,
}

impl Worker {
    /// Starts a worker and waits until `/readyz` says that it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start(command: Command, log: PathBuf) -> Self {
        let mut worker = Self::begin(command, log);
        until("the worker is ready", SOON, async || {
            if let Some(status) = worker.exit() {
                panic!("the worker ended at once ({status}):\n{}", worker.tail());
            }
            (worker.get("/readyz").await?.0 == 200).then_some(())
        })
        .await;
        worker
    }

    /// Starts a worker that need not become ready, and that is asked to end when its value goes.
    pub fn begin(command: Command, log: PathBuf) -> Self {
        Self::launch(command, log, End::Asked)
    }

    /// Starts a worker that need not become ready, and that is killed when its value goes.
    pub fn spawn(command: Command, log: PathBuf) -> Self {
        Self::launch(command, log, End::Killed)
    }

    fn launch(mut command: Command, log: PathBuf, end: End) -> Self {
        let log = Log::of(&mut command, log);
        let child = command.spawn().expect("the worker starts");
        Self { child, log, end, address: OnceLock::new() }
    }

    /// Waits until its log says that it takes jobs, which it may do before it is ready.
    ///
    /// # Panics
    /// If it ends instead.
    pub async fn takes_jobs(&mut self) {
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

    /// Its log, line by line; what is not JSON is left out.
    pub fn lines(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        self.log.tail()
    }

    /// Whether its log holds this.
    pub fn has_logged(&self, part: &str) -> bool {
        self.text().contains(part)
    }

    /// Waits until its log holds this.
    pub async fn says(&self, part: &str) {
        self.logs(part, SOON).await;
    }

    /// Waits so long until its log holds this.
    pub async fn logs(&self, part: &str, limit: Duration) {
        until(&format!("the worker logs {part:?}"), limit, async || self.has_logged(part).then_some(())).await;
    }

    /// Where it listens, `127.0.0.1:PORT`, once its log has said so.
    fn listens(&self) -> Option<&str> {
        if self.address.get().is_none() {
            let lines = self.lines();
            let _ = self.address.set(lines.iter().find_map(|line| line["http_addr"].as_str())?.to_owned());
        }
        self.address.get().map(String::as_str)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    ///
    /// # Panics
    /// If it has not said so.
    pub fn address(&self) -> &str {
        self.listens().expect("the worker has said where it listens")
    }

    fn request(&self, path: &str) -> Option<reqwest::RequestBuilder> {
        Some(crate::http::client().get(format!("http://{}{path}", self.listens()?)))
    }

    /// What it answers over HTTP: the status and the text, if it answers at all.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.request(path)?.send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// What `/readyz` says: its status and its JSON.
    pub async fn readyz(&self) -> Option<(u16, Value)> {
        let answer = self.request("/readyz")?.timeout(ANSWER).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    }

    /// Waits until `/readyz` says so.
    pub async fn is_ready(&self, ready: bool, limit: Duration) -> Value {
        let what = format!("/readyz says {ready}");
        let look = async || self.readyz().await.filter(|(code, _)| (*code == 200) == ready);
        until(&what, limit, look).await.1
    }

    /// Lets it open no descriptor of this number or a higher one.
    ///
    /// # Panics
    /// If `prlimit` of util-linux is not there.
    pub fn limit_descriptors(&self, most: usize) {
        let (pid, limit) = (self.pid().to_string(), format!("--nofile={most}:"));
        let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(set.expect("prlimit of util-linux").success(), "the worker's limit can be set");
    }

    /// The descriptor that it would open next.
    ///
    /// # Panics
    /// Never: there is always one.
    pub fn lowest_free_descriptor(&self) -> usize {
        let open = |number: &usize| Path::new(&format!("/proc/{}/fd/{number}", self.pid())).is_symlink();
        (0..).find(|number| !open(number)).expect("there is always one")
    }

    /// How much memory it holds now.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has held.
    pub fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the worker runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a size");
        let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kibibytes << 10
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

    /// Sends a signal: `TERM`, `KILL`, `STOP` or `CONT`.
    ///
    /// # Panics
    /// If it was already seen to have ended.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: no package of its own is needed for it.
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()]).status();
        assert!(sent.expect("a shell").success(), "the worker takes a signal");
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// If the system does not let it be ended.
    pub fn kill(&mut self) {
        self.child.kill().expect("the worker can be killed");
        self.child.wait().expect("the worker can be waited for");
    }

    /// Asks it to end and returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended(SOON).await.code()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        until("the worker ends", limit, async || self.exit()).await
    }

    /// Its status, if it has ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the worker can be asked")
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {} ends so ----\n{}\n----", self.log.path().display(), self.tail());
        }
        if self.has_ended() {
            return;
        }
        if let End::Asked = self.end {
            self.signal("TERM");
            let asked = Instant::now();
            while asked.elapsed() < GRACE && !self.has_ended() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
