//! The real programs, as child processes; each is ended by its own process number.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
pub(crate) use tests::program::command;
use tests::{checkout::checkout, log::Log};
use tokio::io::AsyncWriteExt;

use crate::wait::{SOON, until};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// The same command on a terminal of its own, whose output is the standard output of what this returns.
pub(crate) fn on_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> =
        words.map(|word| format!("'{}'", word.to_str().expect("text").replace('\'', r"'\''"))).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &quoted.join(" "), "/dev/null"]).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("TERM", "xterm").current_dir(command.get_current_dir().expect("a folder"));
    script
}

/// A running worker.
pub(crate) struct Worker {
    child: Child,
    log: Log,
    /// `http://127.0.0.1:PORT`
    http: String,
}

impl Worker {
    /// Starts a worker and waits until it is ready for jobs.
    pub(crate) async fn start(command: Command, log: PathBuf) -> Self {
        let mut worker = Self::begin(command, log);
        worker.http = until("the worker says where it listens", SOON, async || {
            if let Some(status) = worker.exit() {
                panic!("the worker ended at once ({status}):\n{}", worker.tail());
            }
            worker.lines().iter().find_map(address)
        })
        .await;
        until("the worker is ready", SOON, async || (worker.get("/readyz").await?.0 == 200).then_some(())).await;
        worker
    }

    /// Starts a worker that need not become ready.
    pub(crate) fn begin(mut command: Command, log: PathBuf) -> Self {
        let log = Log::of(&mut command, log);
        let child = command.spawn().expect("the worker starts");
        Self { child, log, http: String::new() }
    }

    /// Waits until its log holds this.
    pub(crate) async fn says(&self, text: &str) {
        until(text, SOON, async || self.text().contains(text).then_some(())).await;
    }

    /// Its log, line by line; what is not JSON is left out.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// Everything that it has written.
    pub(crate) fn text(&self) -> String {
        self.log.text()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        self.log.tail()
    }

    /// What it answers over HTTP: the status and the text, if it answers at all.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = tests::http::client().get(format!("{}{path}", self.http)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    /// Lets it open no descriptor of this number or a higher one.
    pub(crate) fn limit_descriptors(&self, most: usize) {
        let (pid, limit) = (self.child.id().to_string(), format!("--nofile={most}:"));
        let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(set.expect("prlimit of util-linux").success(), "the worker's limit can be set");
    }

    /// The descriptor that it would open next.
    pub(crate) fn lowest_free_descriptor(&self) -> usize {
        let open = |number: &usize| Path::new(&format!("/proc/{}/fd/{number}", self.child.id())).is_symlink();
        (0..).find(|number| !open(number)).expect("there is always one")
    }

    /// How much memory it holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has held.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the worker runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a size");
        let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kibibytes << 10
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // The shell's own kill: no package of its own is needed for it.
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.expect("a shell").success(), "the worker takes a signal");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the worker can be killed");
        self.child.wait().expect("the worker can be waited for");
    }

    /// Asks it to end and returns its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        until("the worker ends after SIGTERM", SOON, async || self.exit()).await.code()
    }

    /// Its status, if it has ended.
    pub(crate) fn exit(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("the worker can be asked")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if std::thread::panicking() {
            eprintln!("---- the worker's log ends so ----\n{}\n----", self.tail());
        }
        // In good order if it can be, so that what a coverage run counts is written.
        self.signal("TERM");
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The loopback address that a line of the log tells of.
fn address(line: &Value) -> Option<String> {
    let texts = line.as_object()?.values().filter_map(Value::as_str);
    texts.into_iter().find_map(|text| {
        let port: String = text.split_once("127.0.0.1:")?.1.chars().take_while(char::is_ascii_digit).collect();
        let listens = line["message"].as_str()?.contains("listen") || line.to_string().contains("http");
        (listens && !port.is_empty()).then(|| format!("http://127.0.0.1:{port}"))
    })
}

/// What a finished command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        read.unwrap_or_else(|error| panic!("no JSON ({error}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// The same, after making sure of the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command, limit: Duration) -> Said {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    output.expect("the command ends in time").expect("the command runs").into()
}

/// Runs a command to its end with this on its standard input.
pub(crate) async fn run_with_input(command: Command, input: &[u8], limit: Duration) -> Said {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).await.expect("the command reads");
    drop(stdin);
    let output = tokio::time::timeout(limit, child.wait_with_output()).await;
    output.expect("the command ends in time").expect("the command runs").into()
}

/// A script of the checkout's `tests` folder, run by an interpreter.
pub(crate) fn script(interpreter: &Path, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(checkout().join("tests").join(name));
    command
}
