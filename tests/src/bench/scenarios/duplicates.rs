//! Files that come again with the same bytes, which is found out before any work.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::File,
};

const FILES: u64 = 100;
const ROWS: u64 = 501;
const WORKERS: usize = 2;
/// How often each file comes again in a round, and rounds.
const AGAIN: usize = 10;
const TIMES: u64 = 5;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(WORKERS).await;
    let write = |number: u64| {
        let entity = format!("D{number}");
        File::write(bench.input(&format!("{entity}.csv")), &entity, ROWS, number)
    };
    let files: Vec<File> = (0..FILES).map(write).collect();
    bench.client.run_all(files.iter().map(File::job).collect()).await;
    let mut rates = Vec::new();
    for _ in 0..TIMES {
        let jobs: Vec<_> = (0..AGAIN).flat_map(|_| files.iter().map(File::job)).collect();
        let number = jobs.len() as f64;
        let (took, ended) = bench.client.run_all(jobs).await;
        assert!(ended.iter().all(|end| end.receipt["status"] == "skipped"));
        rates.push(number / took.as_secs_f64());
        bench.settled().await;
    }
    drop(workers);
    vec![Figure::of(format!("duplicates, {WORKERS} workers"), "jobs/s", rates).goal(Goal::AtLeast(2_000.0))]
}
