//! The log that a program writes, read while it runs.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// How many lines tell how a log ends.
const TAIL: usize = 40;

/// A file that a program writes its output and errors to.
#[derive(Debug)]
pub struct Log(PathBuf);

impl Log {
    /// A new log there, which a command is to write.
    ///
    /// # Panics
    /// If the file cannot be made.
    pub fn of(command: &mut Command, path: PathBuf) -> Self {
        let to = File::create(&path).expect("a log");
        let errors = to.try_clone().expect("a log");
        command.stdout(to).stderr(errors);
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Everything that was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.0).unwrap_or_default()).into_owned()
    }

    /// Its lines that are JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Its last lines.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}
