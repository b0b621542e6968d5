//! The programs of this build, as they are started by a test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// A program of this build, beside this one.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    // A test lies in target/<profile>/deps, a program in target/<profile>.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!(
            "{name} is not built: run 'cargo build --workspace' and \
             'cargo build -p worker --features failpoints --bin aura-worker-failpoints' first"
        )
    })
}

/// A command for one of the programs, with these settings and none from outside.
///
/// # Panics
/// If the program is not built.
pub fn command(name: &str, folder: &Path, settings: &[(String, String)]) -> Command {
    command_of(&program(name), folder, settings)
}

/// The same for a program of another build.
pub fn command_of(program: &Path, folder: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("AURA_")) {
        command.env_remove(variable);
    }
    let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    command.envs(settings).current_dir(folder).stdin(Stdio::null());
    command
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; -1 if it had none.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Said {
    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        read.unwrap_or_else(|error| panic!("no JSON ({error}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// The same, after making sure of the exit code.
    ///
    /// # Panics
    /// If it was another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
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
///
/// # Panics
/// If it does not end by then.
pub async fn run(command: Command, limit: Duration) -> Said {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    output.expect("the command ends in time").expect("the command runs").into()
}

/// Runs a command, and kills it if it has not ended by then; whether it had.
///
/// # Panics
/// If it does not start.
pub async fn ends(command: Command, limit: Duration) -> bool {
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("the command runs");
    tokio::time::timeout(limit, child.wait()).await.is_ok()
}

/// Runs a command to its end with this on its standard input.
///
/// # Panics
/// If it does not end by then.
pub async fn run_with_input(command: Command, input: &[u8], limit: Duration) -> Said {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).await.expect("the command reads");
    drop(stdin);
    let output = tokio::time::timeout(limit, child.wait_with_output()).await;
    output.expect("the command ends in time").expect("the command runs").into()
}
