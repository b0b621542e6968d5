//! Where the time of a job goes: one small job at a time, and a month-end.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use super::month_end;
use crate::{
    bench::{
        Bench, Extent,
        figures::Figure,
        files::{File, ONE_PERCENT},
        spent::{Moment, Spent, has_statements},
    },
    worker::Worker,
};

/// Small jobs that are measured, and those before them that warm connections and caches.
const JOBS: u64 = 20;
const WARM: u64 = 3;
/// Their rows.
const ROWS: [u64; 2] = [501, 2_736];

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let mut workers = bench.workers(1).await;
    let mut figures = Vec::new();
    if !has_statements(&bench).await {
        let why = "not counted: PostgreSQL has not loaded pg_stat_statements; docs/benchmarks.md says how";
        figures.push(Figure::note("statements", why));
    }
    for rows in ROWS {
        warm(&mut bench, rows).await;
    }
    let idle = idle(&bench, &workers).await;
    for rows in ROWS {
        let files = files(&bench, &format!("J{rows}"), rows, JOBS);
        figures.extend(small(&mut bench, &workers, &idle, &files, "first load").await);
        files.iter().for_each(|file| file.change(ONE_PERCENT));
        figures.extend(small(&mut bench, &workers, &idle, &files, "1 % changed").await);
    }
    workers.extend(bench.workers(1).await);
    let files = month_end::files(&bench, "Q", extent.entities);
    figures.extend(all_at_once(&mut bench, &workers, &idle, &files, "first load").await);
    files.iter().for_each(|file| file.change(ONE_PERCENT));
    figures.extend(all_at_once(&mut bench, &workers, &idle, &files, "1 % changed").await);
    figures
}

/// Loads files that are not counted, once and again.
async fn warm(bench: &mut Bench, rows: u64) {
    for file in files(bench, &format!("H{rows}"), rows, WARM) {
        bench.client.run(file.job()).await;
        file.change(ONE_PERCENT);
        bench.client.run(file.job()).await;
    }
}

/// What everything uses while no job runs.
async fn idle(bench: &Bench, workers: &[Worker]) -> Spent {
    let before = Moment::now(bench, workers).await;
    Spent::between(&before, &Moment::now(bench, workers).await)
}

/// One job at a time.
async fn small(bench: &mut Bench, workers: &[Worker], idle: &Spent, files: &[File], what: &str) -> Vec<Figure> {
    let before = Moment::now(bench, workers).await;
    let (mut took, mut commit) = (Vec::new(), Vec::new());
    for file in files {
        let ended = bench.client.run(file.job()).await;
        took.push(ended.took);
        commit.push(ended.to_commit() * 1e3);
    }
    let after = Moment::now(bench, workers).await;
    let of = format!("{} rows, {what}", files.first().map_or(0, |file| file.rows));
    let mut figures = vec![
        Figure::milliseconds(format!("{of}: publish to receipt"), took),
        Figure::of(format!("{of}: to the commit"), "ms", commit),
    ];
    figures.extend(Spent::between(&before, &after).without(idle).of_one(files.len() as f64).figures(&of));
    figures
}

/// A month-end, which is published at once; what it used is divided by its jobs, too.
async fn all_at_once(bench: &mut Bench, workers: &[Worker], idle: &Spent, files: &[File], what: &str) -> Vec<Figure> {
    let before = Moment::now(bench, workers).await;
    let (took, _) = bench.client.run_all(files.iter().map(File::job).collect()).await;
    let after = Moment::now(bench, workers).await;
    let of = format!("month-end, {what}");
    let mut figures = vec![Figure::seconds(format!("{of}: publish to the last receipt"), [took])];
    figures.extend(Spent::between(&before, &after).without(idle).of_one(files.len() as f64).figures(&of));
    figures
}

fn files(bench: &Bench, name: &str, rows: u64, number: u64) -> Vec<File> {
    let write = |place: u64| {
        let entity = format!("{name}-{place}");
        File::write(bench.input(&format!("{entity}.csv")), &entity, rows, place)
    };
    (0..number).map(write).collect()
}
