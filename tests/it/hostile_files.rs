//! Hostile files: each ends as it should, at once, and the worker goes on with the next job as if nothing had been.

mod archives;
mod budget;
mod delimited;
mod memory;
mod paths;
pub(crate) mod workbooks;

use serde_json::json;

use crate::{
    process::Worker,
    world::{World, csv, job, with},
};

/// A value that stands in cells of hostile files alone.
const CELL: &str = "SECRET-4711";

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It loads.
    Loads,
    /// It fails for good at the first attempt.
    Fails(&'static str),
}

use End::{Fails, Loads};

/// A file by what it is, its bytes, and its end.
type Case = (&'static str, Vec<u8>, End);

/// A file that loads, with these balances of two accounts.
fn good() -> String {
    csv("A", "2022-06", &[("10", "5"), ("20", "-5")])
}

/// Runs files through one worker, each followed by a good job.
async fn run(world: &World, worker: &mut Worker, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for (number, (what, bytes, end)) in cases.into_iter().enumerate() {
        let file = world.write(&format!("hostile-{number}"), bytes);
        wrong.extend(one(world, worker, what, &file, end).await);
    }
    assert!(wrong.is_empty(), "{} files ended otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs one file and a good job after it; returns what was wrong.
async fn one(world: &World, worker: &mut Worker, what: &str, file: &str, end: End) -> Option<String> {
    let again = json!({"skip_duplicates": false});
    let receipt = world.run(with(job(file, "A", "2022-06"), again.clone())).await;
    assert!(worker.exit().is_none(), "the worker died of {what}");
    let after = world.write("good.csv", csv("G", "2022-06", &[("10", "1")]));
    world.ends("success", with(job(&after, "G", "2022-06"), again)).await;
    let found = match end {
        Loads => receipt["status"] == "success",
        Fails(code) => receipt["error"]["code"] == code && receipt["attempt"] == 1,
    };
    (!found).then(|| format!("{what}: {end:?}, but {} {}", receipt["status"], receipt["error"]))
}

/// Makes sure that no cell's value has got into the log or the audit trail.
async fn no_cell_is_told(world: &World, worker: &Worker) {
    assert!(!worker.text().contains(CELL), "the log holds a cell's value");
    for event in world.chain("A", "2022-06").await {
        assert!(!event.to_string().contains(CELL), "the audit trail holds a cell's value: {event}");
    }
}

#[tokio::test]
async fn every_hostile_text_ends_as_it_should_and_the_worker_goes_on() {
    let (world, mut worker) = World::with_worker().await;
    run(&world, &mut worker, delimited::cases()).await;
}

#[tokio::test]
async fn every_hostile_archive_and_workbook_ends_as_it_should_and_the_worker_goes_on() {
    let (world, mut worker) = World::with_worker().await;
    run(&world, &mut worker, archives::cases()).await;
    run(&world, &mut worker, workbooks::cases()).await;
    let peak = worker.peak_bytes();
    assert!(peak < memory::BUDGET, "the worker held {} MiB", peak >> 20);
    no_cell_is_told(&world, &worker).await;
}
