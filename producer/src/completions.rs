//! `completions`: a script by which a shell completes commands and options.

use clap::Command;
use clap_complete::{Shell, generate};

use crate::{
    errors::{CommandError, ExitStatus},
    output,
};

/// Prints a script by which a shell completes commands and options
///
/// Settings have no part in it; `aura-producer help settings` lists them.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer completions bash > /etc/bash_completion.d/aura-producer
  aura-producer completions zsh > ~/.zfunc/_aura-producer
  aura-producer completions fish > ~/.config/fish/completions/aura-producer.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Which,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub(crate) fn run(args: &Args, mut command: Command) -> Result<ExitStatus, CommandError> {
    let shell = match args.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    generate(shell, &mut command, name, &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Done)
}
