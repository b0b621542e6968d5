//! More workers, and files of other sizes: where more of them bring no more.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use crate::bench::{Bench, Extent, figures::Figure, files::File};

/// Workers, and how many files of so many rows.
const WORKERS: [usize; 4] = [1, 2, 4, 8];
const FILES: [(u64, u64); 3] = [(1, 400), (100, 400), (2_736, 120)];

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut figures = Vec::new();
    for number in WORKERS {
        let mut bench = Bench::new(extent).await;
        let workers = bench.workers(number).await;
        for (rows, files) in FILES {
            let write = |place: u64| {
                let entity = format!("W{rows}-{place}");
                File::write(bench.input(&format!("{entity}.csv")), &entity, rows, place)
            };
            let files: Vec<File> = (0..files).map(write).collect();
            let (took, _) = bench.client.run_all(files.iter().map(File::job).collect()).await;
            bench.settled().await;
            let rate = files.len() as f64 / took.as_secs_f64();
            figures.push(Figure::of(format!("{number} workers, files of {rows} rows"), "jobs/s", [rate]));
        }
        drop(workers);
    }
    figures
}
