//! The real programs, as child processes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tests::checkout::checkout;
pub(crate) use tests::{
    program::{Said, command, run},
    worker::Worker,
};

/// The same command on a terminal of 80 columns and 24 lines of its own, whose output is the standard output of what this returns.
pub(crate) fn on_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> =
        words.map(|word| format!("'{}'", word.to_str().expect("text").replace('\'', r"'\''"))).collect();
    let mut script = Command::new("script");
    // The shell gives way to it, so that the signals of a test reach it.
    let sized = format!("stty cols 80 rows 24; exec {}", quoted.join(" "));
    script.args(["-qec", &sized, "/dev/null"]).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("TERM", "xterm").current_dir(command.get_current_dir().expect("a folder"));
    script
}

/// Python with the libraries of the tests.
pub(crate) fn python() -> Command {
    let python = std::env::var_os("AURA_TEST_PYTHON")
        .map_or_else(|| checkout().join(".local/python-tests/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is not there: run 'deploy/test', which makes it", python.display());
    Command::new(python)
}

/// Node with the libraries of the tests.
pub(crate) fn node() -> Command {
    let modules = std::env::var_os("AURA_TEST_NODE_MODULES")
        .map_or_else(|| checkout().join(".local/node-tests/node_modules"), PathBuf::from);
    assert!(modules.exists(), "{} is not there: run 'deploy/test', which makes it", modules.display());
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command
}

/// A script of the checkout's `tests` folder, run by an interpreter.
pub(crate) fn script(interpreter: &Path, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(checkout().join("tests").join(name));
    command
}
