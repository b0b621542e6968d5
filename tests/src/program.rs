//! The programs of this build, as they are started by a test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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
    let mut command = Command::new(program(name));
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("AURA_")) {
        command.env_remove(variable);
    }
    let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    command.envs(settings).current_dir(folder).stdin(Stdio::null());
    command
}
