//! Files that come again with other bytes and the same figures.

use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::File,
};

const FILES: u64 = 100;
const ROWS: u64 = 501;
/// How often it is measured.
const TIMES: u64 = 5;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(1).await;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 0..TIMES {
        let write = |number: u64| {
            let entity = format!("U{round}-{number}");
            File::write(bench.input(&format!("{entity}.csv")), &entity, ROWS, number)
        };
        let files: Vec<File> = (0..FILES).map(write).collect();
        first.push(bench.client.run_all(files.iter().map(File::job).collect()).await.0);
        bench.settled().await;
        files.iter().for_each(File::turn_around);
        let (took, ended) = bench.client.run_all(files.iter().map(File::job).collect()).await;
        assert!(ended.iter().all(|end| end.number("unchanged") == ROWS));
        bench.settled().await;
        again.push(took);
    }
    drop(workers);
    let first = Figure::seconds(format!("{FILES} x {ROWS} rows, first load"), first);
    let again = Figure::seconds("  again, other bytes, the same figures (x: the first load)", again);
    vec![again.beside(&first).goal(Goal::Ratio(0.6)), first]
}
