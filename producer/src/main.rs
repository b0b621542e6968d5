//! `aura-producer`: publishes trial-balance files as jobs, follows them, and tends what became of them.

// What is shown goes through `answer`, which makes it harmless for terminals.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod actor_event;
mod anchor;
mod archive;
mod cancel;
mod check;
mod completions;
mod console;
mod db;
mod dead;
mod documents;
mod dry_run;
mod errors;
mod history;
mod man;
mod migrate;
mod now;
mod output;
mod period;
mod prune;
mod publish;
mod raw_cell;
mod receipts;
mod schema;
mod sources;
mod status;
mod topology;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use shared::{
    file_modes,
    settings::{Settings, from_flags, read_command_line, with_settings},
    telemetry::{self, Console, Identity, Telemetry, TelemetryError},
};

use crate::errors::{CommandError, ErrorAnswer, ExitStatus};

/// The name of this program in logs and traces.
const SERVICE: &str = "aura-producer";

/// Publishes trial-balance files as jobs, follows them, and tends what became of them.
#[derive(Parser)]
#[command(
    name = "aura-producer",
    version,
    after_help = "Exit codes: 0 done; 1 at least one job failed, or a finding; 2 usage or bad input; 3 a service \
                  is unreachable.\n\nExample:\n  aura-producer publish --file ABEX.csv --entity ABEX --period 2022-06 \
                  --wait"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Answers with one JSON document, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    Publish(Box<publish::Args>),
    Check(check::Args),
    #[command(subcommand)]
    Sources(sources::Verb),
    Status(status::Args),
    Cancel(cancel::Args),
    #[command(subcommand)]
    Dead(dead::Verb),
    #[command(subcommand)]
    Period(period::Verb),
    History(history::Args),
    Console(console::Args),
    Verify(verify::Args),
    Anchor(anchor::Args),
    Prune(prune::Args),
    #[command(subcommand)]
    Archive(archive::Verb),
    Migrate(migrate::Args),
    Topology(topology::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    /// Returns whether it changes nothing, so that it may go without a log.
    fn only_reads(&self) -> bool {
        match self {
            Self::Check(_)
            | Self::Sources(_)
            | Self::Status(_)
            | Self::History(_)
            | Self::Anchor(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => true,
            Self::Dead(verb) => verb.only_reads(),
            Self::Period(verb) => verb.only_reads(),
            Self::Verify(args) => args.only_reads(),
            Self::Prune(args) => args.only_reads(),
            Self::Publish(_)
            | Self::Cancel(_)
            | Self::Console(_)
            | Self::Archive(_)
            | Self::Migrate(_)
            | Self::Topology(_) => false,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = read_command_line(Cli::command());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli.verb, cli.json, from_flags(&matches)).await {
        Ok(exit_status) => exit_status.into(),
        Err(error) => {
            print_error(&error, cli.json);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(verb: Verb, json: bool, flags: Vec<(String, String)>) -> Result<ExitStatus, CommandError> {
    // These need no settings, and what they write is for everybody.
    match &verb {
        Verb::Schema(args) => return schema::run(args, json),
        Verb::Completions(args) => return completions::run(args, with_settings(Cli::command())),
        Verb::Man(args) => return man::run(args, with_settings(Cli::command())),
        Verb::Archive(archive::Verb::Check(args)) => return archive::check(args, json),
        Verb::Publish(_)
        | Verb::Check(_)
        | Verb::Sources(_)
        | Verb::Status(_)
        | Verb::Cancel(_)
        | Verb::Dead(_)
        | Verb::Period(_)
        | Verb::History(_)
        | Verb::Console(_)
        | Verb::Verify(_)
        | Verb::Anchor(_)
        | Verb::Prune(_)
        | Verb::Archive(archive::Verb::Write(_))
        | Verb::Migrate(_)
        | Verb::Topology(_) => {}
    }
    file_modes::limit();
    let settings = Settings::read(flags)?;
    let _telemetry = start_log(&settings, verb.only_reads())?;
    match verb {
        Verb::Publish(args) => publish::run(*args, &settings, json).await,
        Verb::Check(args) => check::run(&args, &settings, json),
        Verb::Sources(verb) => sources::run(&verb, &settings, json),
        Verb::Status(args) => status::run(args, &settings, json).await,
        Verb::Cancel(args) => cancel::run(args, &settings, json).await,
        Verb::Dead(verb) => dead::run(verb, &settings, json).await,
        Verb::Period(verb) => period::run(verb, &settings, json).await,
        Verb::History(args) => history::run(&args, &settings, json).await,
        Verb::Console(args) => console::run(&args, &settings, json).await,
        Verb::Verify(args) => verify::run(args, &settings, json).await,
        Verb::Anchor(args) => anchor::run(&args, &settings, json).await,
        Verb::Prune(args) => prune::run(&args, &settings, json).await,
        Verb::Archive(verb) => archive::run(verb, &settings, json).await,
        Verb::Migrate(_) => migrate::run(&settings, json).await,
        Verb::Topology(_) => topology::run(&settings, json).await,
        Verb::Schema(args) => schema::run(&args, json),
        Verb::Completions(args) => completions::run(&args, with_settings(Cli::command())),
        Verb::Man(args) => man::run(&args, with_settings(Cli::command())),
    }
}

/// Starts the log. A command that only reads goes on without its file, and says so.
fn start_log(settings: &Settings, only_reads: bool) -> Result<Telemetry, TelemetryError> {
    let identity = Identity { service: SERVICE, worker: None };
    match telemetry::start(&identity, settings.log_dir.as_deref(), &settings.log, Console::Stderr) {
        Err(error @ TelemetryError::Folder { .. }) if only_reads => {
            output::remark(&format!("no log is written: {}", telemetry::chain(&error)));
            telemetry::start_without_file(&identity, &settings.log, Console::Stderr)
        }
        started => started,
    }
}

/// Tells a person on stderr and, if asked for JSON, a program on stdout.
fn print_error(error: &CommandError, json: bool) {
    tracing::info!(error = error.line(), "the command failed");
    output::remark(&format!("error: {}", error.line()));
    for fault in error.faults() {
        output::remark(&format!("  {fault}"));
    }
    if json {
        let document = ErrorAnswer::new(error.line(), error.faults());
        // The exit code tells that there is an error even if nobody reads which.
        let _ = output::print(true, &document);
    }
}
