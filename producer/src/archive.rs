//! `archive`: a closed year as Parquet files with its audit chains, for keeping outside of all services.

mod agreement;
mod chain;
mod check;
mod events;
mod folder;
mod ledger;
mod manifest;
mod panics;
mod reader;
mod slices;
mod table_file;
mod tables;
mod write;

use shared::settings::Settings;

use crate::errors::{CommandError, ExitStatus};
pub(crate) use check::{Checked, run as check};
pub(crate) use write::Written;

/// Writes a closed year to an archive, and checks one
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Write(write::Args),
    Check(check::Args),
}

/// Does what the verb says.
pub(crate) async fn run(verb: Verb, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    match verb {
        Verb::Write(args) => write::run(args, settings, json).await,
        Verb::Check(args) => check::run(&args, json),
    }
}
