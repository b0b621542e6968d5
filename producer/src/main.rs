//! `aura-producer`: publishes trial-balance files as jobs, follows them, and tends what became of them.

// What is shown goes through `answer`, which makes it harmless for terminals.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod actor_event;
mod cancel;
mod check;
mod console;
mod db;
mod dead;
mod dry_run;
mod errors;
mod history;
mod migrate;
mod output;
mod period;
mod publish;
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
    settings::{Settings, from_flags, read_command_line},
    telemetry::{self, Console},
};

use crate::errors::{CommandError, ErrorAnswer, ExitStatus};

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
    Migrate(migrate::Args),
    Topology(topology::Args),
    Schema(schema::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    file_modes::limit();
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
    if let Verb::Schema(args) = &verb {
        return schema::run(args, json);
    }
    let settings = Settings::read(flags)?;
    let _telemetry = telemetry::start("aura-producer", &settings.log_dir, &settings.log, Console::Stderr)?;
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
        Verb::Migrate(_) => migrate::run(&settings, json).await,
        Verb::Topology(_) => topology::run(&settings, json).await,
        Verb::Schema(args) => schema::run(&args, json),
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
