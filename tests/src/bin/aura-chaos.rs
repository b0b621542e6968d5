//! `aura-chaos`: random faults against a stream of jobs, and then the checker.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Arg, ArgAction, Command, value_parser};
use tests::{
    checkout::checkout,
    faults::{World, chaos, machines::Machines, services::Services},
};

fn main() -> ExitCode {
    let command = Command::new("aura-chaos")
        .about("Breaks services and workers at random under a stream of jobs, and then checks everything")
        .after_help("Example:\n  aura-chaos --minutes 10 --seed 7")
        .arg(Arg::new("minutes").long("minutes").default_value("10").value_parser(value_parser!(u64).range(1..)))
        .arg(Arg::new("seed").long("seed").default_value("1").value_parser(value_parser!(u64)))
        .arg(Arg::new("beside").long("beside").help(
            "Folder of the programs of another release: the schema and the first workers are of it, then every other one",
        ))
        .arg(
            Arg::new("cluster")
                .long("cluster")
                .action(ArgAction::SetTrue)
                .help("Breaks a cluster of three machines, and tells for how long nothing moved"),
        )
        .arg(Arg::new("stack").long("stack").help("Folder of the stack that is broken [default: .local/chaos]"));
    let matches = command.get_matches();
    let (minutes, seed) = (matches.get_one::<u64>("minutes").copied(), matches.get_one::<u64>("seed").copied());
    let is_cluster = matches.get_flag("cluster");
    let stack = matches.get_one::<String>("stack").map_or_else(|| checkout().join(".local/chaos"), PathBuf::from);
    let length = Duration::from_secs(minutes.unwrap_or(10) * 60);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(async {
        let (machines, services) = if is_cluster {
            let (machines, services) = Machines::up(&stack).await;
            (Some(machines), services)
        } else {
            (None, Services::up(&stack).await)
        };
        let mut world = World::beside(&services, matches.get_one::<String>("beside").map(PathBuf::from)).await;
        let report = chaos::run(&world, machines.as_ref(), seed.unwrap_or(1), length).await;
        if !report.findings.is_clean() {
            println!("kept: {}", world.keep());
        }
        report
    });
    println!("{report}");
    if report.findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
