//! Measures Aura, with the floor of the same rows beside it. `deploy/bench` calls it.

#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use serde_json::{Value, json};
use tests::bench::{Extent, SCENARIOS, Scenario, figures::heading, machine::Machine, picture::picture};

/// The part of the processors from which on the machine is busy with something else.
const BUSY: f64 = 0.1;

/// Measures Aura, with the floor of the same rows beside it.
#[derive(Parser)]
#[command(after_help = "Needs the services of deploy/local. deploy/bench builds everything and calls it.")]
struct Arguments {
    /// What is measured; otherwise small, large, month-end, unchanged and duplicates.
    scenarios: Vec<String>,
    /// Where the figures are written as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the figures that have a floor are drawn, as SVG.
    #[arg(long)]
    picture: Option<PathBuf>,
    /// What --out of an earlier run wrote, which the picture shows beside these figures.
    #[arg(long, requires = "picture")]
    before: Option<PathBuf>,
    /// Rows of the large file.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often small files are measured.
    #[arg(long, default_value_t = 50)]
    times: u64,
    /// How often the large file is measured.
    #[arg(long, default_value_t = 3)]
    large_times: u64,
    /// Entities of a month-end.
    #[arg(long, default_value_t = 250)]
    entities: u64,
    /// Rows of the file that other programs load, too.
    #[arg(long, default_value_t = 100_000)]
    rival_rows: u64,
    /// Rows of the ledger that a month-end is loaded beside.
    #[arg(long, default_value_t = 33_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    growth_rows: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("aura-bench: {fault}");
            ExitCode::from(2)
        }
    }
}

/// Measures, and writes what was asked for; or says what is wrong with the arguments.
async fn run(arguments: Arguments) -> Result<(), String> {
    let Arguments {
        scenarios,
        out,
        picture: drawn,
        before,
        rows,
        times,
        large_times,
        entities,
        rival_rows,
        growth_rows,
    } = arguments;
    let unknown: Vec<&String> =
        scenarios.iter().filter(|name| SCENARIOS.iter().all(|known| known.name != name.as_str())).collect();
    if !unknown.is_empty() {
        let known: Vec<_> = SCENARIOS.iter().map(|known| format!("\n  {:<12} {}", known.name, known.about)).collect();
        return Err(format!("there is no scenario {unknown:?}; these are:{}", known.concat()));
    }
    // It may be the same file as --out.
    let before = before.map(|path| read(&path)).transpose()?;
    let extent = Extent { rows, times, large_times, entities, rival_rows, growth_rows };
    let is_chosen = |scenario: &&Scenario| {
        if scenarios.is_empty() { scenario.is_usual } else { scenarios.iter().any(|name| name == scenario.name) }
    };
    let busy = Machine::here().busy();
    println!("this machine was busy before, by {:.0} %", busy * 100.0);
    if busy > BUSY {
        println!("BUSY WITH SOMETHING ELSE: not even the ratios mean much");
    }
    println!("{}", heading());
    let mut all = Vec::new();
    for scenario in SCENARIOS.iter().filter(is_chosen) {
        println!("{}: {}", scenario.name, scenario.about);
        for figure in scenario.run(&extent).await {
            println!("  {}", figure.line());
            let mut line = figure.json();
            line["scenario"] = json!(scenario.name);
            all.push(line);
        }
    }
    let whole = json!({
        "busy_before": busy, "rows": rows, "times": times, "large_times": large_times, "entities": entities,
        "rival_rows": rival_rows, "growth_rows": growth_rows, "figures": all,
    });
    if let Some(out) = out {
        write(&out, &format!("{whole:#}\n"))?;
    }
    if let Some(drawn) = drawn {
        write(&drawn, &picture(&whole, before.as_ref()))?;
    }
    Ok(())
}

/// Reads an earlier result.
fn read(path: &Path) -> Result<Value, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    serde_json::from_str(&text).map_err(|error| cannot(&error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
