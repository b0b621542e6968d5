//! A month-end into an empty ledger, and the same into one of years: what a job takes must not grow with the ledger.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::time::Duration;

use super::month_end::{ROWS, WORKERS, files};
use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::{File, ONE_PERCENT},
};

/// Fills a ledger as years of closings leave it.
const FILL: &str = include_str!("../../../it/plans/fill.sql");
/// What the workers would begin with goes: nothing is on its way to MongoDB or into the cache.
const SETTLE: &str = "DELETE FROM audit_outbox; DELETE FROM metadata_outbox; DELETE FROM cache_tasks";
/// Rows of the ledger for each run, and for each change that is kept.
const ROWS_PER_RUN: u64 = 33;
const ROWS_PER_CHANGE: u64 = 6;
/// How often each is measured.
const TIMES: u64 = 3;

/// What one ledger comes to, in times the floor beside each.
#[derive(Default)]
struct Measured {
    first: Vec<f64>,
    again: Vec<f64>,
    scans: i64,
}

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let empty = measure(&mut bench, "N").await;
    fill(&bench, extent.growth_rows).await;
    let grown = measure(&mut bench, "G").await;
    let of = |what: &str, ledger: &str| format!("{} x {ROWS} rows, {what}, {ledger}", extent.entities);
    let years = format!("beside {} rows", extent.growth_rows);
    let line = |what: &str, empty: Vec<f64>, grown: Vec<f64>| {
        let empty = Figure::of(of(what, "empty ledger"), "floor", empty);
        let grown = Figure::of(of(what, &years), "floor", grown).beside(&empty).goal(Goal::Ratio(1.1));
        [grown, empty]
    };
    let mut figures = Vec::from(line("first load", empty.first, grown.first));
    figures.extend(line("1 % changed", empty.again, grown.again));
    figures.push(Figure::of("  whole tables read beside them", "", [grown.scans as f64]).goal(Goal::AtMost(0.0)));
    figures
}

/// Loads month-ends, each again with 1 % changed, by workers that begin with the ledger as it is.
async fn measure(bench: &mut Bench, name: &str) -> Measured {
    let workers = bench.workers(WORKERS).await;
    let before = scans(bench).await;
    let mut measured = Measured::default();
    for round in 0..TIMES {
        let files = files(bench, &format!("{name}{round}"), bench.extent.entities);
        let floor = bench.floor.copy(&files, WORKERS).await.as_secs_f64();
        let (took, ended) = bench.client.run_all(files.iter().map(File::job).collect()).await;
        assert!(ended.iter().all(|end| end.number("inserted") == ROWS));
        bench.settled().await;
        measured.first.push(took.as_secs_f64() / floor);
        files.iter().for_each(|file| file.change(ONE_PERCENT));
        let (took, ended) = bench.client.run_all(files.iter().map(File::job).collect()).await;
        assert!(ended.iter().all(|end| end.number("updated") > 0));
        bench.settled().await;
        measured.again.push(took.as_secs_f64() / floor);
    }
    // Sessions tell what they read when they end, at the latest.
    drop(workers);
    tokio::time::sleep(Duration::from_secs(2)).await;
    measured.scans = scans(bench).await - before;
    measured
}

/// How often one of the tables that grow was read from its beginning to its end.
async fn scans(bench: &Bench) -> i64 {
    bench
        .one(
            "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables \
             WHERE relname IN ('gl_accounts', 'gl_balance_changes', 'ingestion_runs')",
        )
        .await
}

/// Fills the ledger with so many rows, and their runs and changes, as autovacuum would leave it.
async fn fill(bench: &Bench, rows: u64) {
    let sizes = format!(
        "SET synchronous_commit = off; SET fill.slices = {}; SET fill.accounts = {ROWS}; SET fill.runs = {}; \
         SET fill.changes = {}; SET fill.events = 100",
        rows.div_ceil(ROWS),
        rows / ROWS_PER_RUN,
        rows / ROWS_PER_CHANGE,
    );
    for statements in [&sizes, FILL, SETTLE, "VACUUM (ANALYZE)"] {
        bench.execute(statements).await;
    }
}
