//! `man`: the manual pages, made from what `--help` shows.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_mangen::Man;

use crate::{
    errors::{CommandError, ExitStatus},
    output,
};

/// Writes the manual pages, one for every command
///
/// Without a folder it prints the page of aura-producer itself.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer man /usr/local/share/man/man1
  aura-producer man | man -l -")]
pub(crate) struct Args {
    /// Where to write them; it is made if it is not there
    folder: Option<PathBuf>,
}

/// Writes or prints the pages.
pub(crate) fn run(args: &Args, mut command: Command) -> Result<ExitStatus, CommandError> {
    // Gives each command its name and the options that it shares with the others.
    command.build();
    let Some(folder) = &args.folder else {
        let page = page(&command).map_err(CommandError::Output)?;
        output::write(&String::from_utf8_lossy(&page))?;
        return Ok(ExitStatus::Done);
    };
    let failed =
        |error: io::Error| CommandError::Input(format!("cannot write manual pages to {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    write(&command, folder).map_err(failed)?;
    Ok(ExitStatus::Done)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// Writes the page of a command, and those of the commands below it.
fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let shown = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
    command.get_subcommands().filter(shown).try_for_each(|below| write(below, folder))
}
