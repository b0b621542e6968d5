//! Writes sample trial balances: what demo and benchmark are fed with.

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tests::{
    month_end::MonthEnd,
    trial_balance::{Columns, TrialBalance},
};

/// Writes sample trial balances; the same seed gives the same bytes.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  aura-samples month-end --dir data/input --entities 40 --seed 7 --bad 1")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes one file per entity, `{entity}_{period}.csv`.
    MonthEnd {
        /// The folder; it is made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// How many entities.
        #[arg(long, default_value_t = 40)]
        entities: u64,
        /// Decides what the files hold.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// The period.
        #[arg(long, default_value = "2026-03")]
        period: String,
        /// How many files have an amount that is none.
        #[arg(long, default_value_t = 0)]
        bad: u64,
        /// Writes this entity's file alone.
        #[arg(long)]
        only: Option<String>,
    },
    /// Writes one file of one slice.
    File {
        /// How many accounts.
        #[arg(long)]
        rows: u64,
        /// Where.
        #[arg(long)]
        out: PathBuf,
        /// The legal entity.
        #[arg(long, default_value = "BIG")]
        entity: String,
        /// The period.
        #[arg(long, default_value = "2026-03")]
        period: String,
        /// Decides what the file holds.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Adds columns that Aura does not know.
        #[arg(long)]
        extra: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aura-samples: the sample cannot be written: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::MonthEnd { dir, entities, seed, period, bad, only } => {
            let month = MonthEnd { period, entities, seed, bad };
            let files = month.save(&dir, only.as_deref())?;
            let rows: u64 = files.iter().map(|file| file.totals.rows).sum();
            println!("{} files, {rows} rows", files.len());
            for file in files.iter().filter(|file| file.bad) {
                println!("bad {} {}", file.entity, file.path.display());
            }
        }
        Command::File { rows, out, entity, period, seed, extra } => {
            let columns = if extra { Columns::Extra } else { Columns::Review };
            let totals = TrialBalance::new(&entity, &period, rows, seed).with(columns).save(&out)?;
            println!("{} rows, sum {}", totals.rows, totals.sum_text());
        }
    }
    Ok(())
}
