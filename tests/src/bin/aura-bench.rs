//! Measures Aura, with the floor of the same rows beside it. `deploy/bench` calls it.

#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use serde_json::json;
use tests::bench::{Extent, SCENARIOS, Scenario, figures::heading, machine::Machine};

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { scenarios, out, rows, times, large_times, entities } = Arguments::parse();
    let unknown: Vec<&String> =
        scenarios.iter().filter(|name| SCENARIOS.iter().all(|known| known.name != name.as_str())).collect();
    if !unknown.is_empty() {
        eprintln!("aura-bench: there is no scenario {unknown:?}; these are:");
        SCENARIOS.iter().for_each(|known| eprintln!("  {:<12} {}", known.name, known.about));
        return ExitCode::from(2);
    }
    let extent = Extent { rows, times, large_times, entities };
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
        "figures": all,
    });
    if let Some(out) = out
        && let Err(error) = std::fs::write(&out, format!("{whole:#}\n"))
    {
        eprintln!("aura-bench: {} cannot be written: {error}", out.display());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
