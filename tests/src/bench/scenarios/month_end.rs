//! A month-end: a file for each entity, all published at once, two workers; where the time goes by process.

use std::{collections::BTreeMap, time::Duration};

use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::{File, ONE_PERCENT},
};

/// Rows of each entity, and workers.
pub(super) const ROWS: u64 = 2_736;
pub(super) const WORKERS: usize = 2;
/// How often it is measured.
const TIMES: u64 = 3;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(WORKERS).await;
    let (mut floor, mut first, mut again): (Vec<Duration>, Vec<Duration>, Vec<Duration>) = Default::default();
    let mut used: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 0..TIMES {
        let files = files(&bench, &format!("M{round}"), extent.entities);
        floor.push(bench.floor.copy(&files, WORKERS).await);
        let before = bench.machine.used(&workers);
        let (took, ended) = bench.client.run_all(files.iter().map(File::job).collect()).await;
        assert!(ended.iter().all(|end| end.number("inserted") == ROWS));
        bench.settled().await;
        for (process, seconds) in bench.machine.used(&workers).since(&before) {
            used.entry(process).or_default().push(seconds);
        }
        first.push(took);
        files.iter().for_each(|file| file.change(ONE_PERCENT));
        let (took, ended) = bench.client.run_all(files.iter().map(File::job).collect()).await;
        assert!(ended.iter().all(|end| end.number("updated") > 0));
        bench.settled().await;
        again.push(took);
    }
    let of = |what: &str| format!("{} x {ROWS} rows, {WORKERS} workers, {what}", extent.entities);
    let mut figures = vec![
        Figure::seconds(of("first load"), first).over(&floor).goal(Goal::Ratio(1.3)),
        Figure::seconds(of("1 % changed"), again).over(&floor).goal(Goal::Ratio(1.5)),
        Figure::seconds(of("psql \\copy, two sessions"), floor),
    ];
    let of = |process: String| format!("  processor time of the first load: {process}");
    figures.extend(used.into_iter().map(|(process, seconds)| Figure::of(of(process), "s", seconds)));
    figures
}

/// Writes a file for each entity.
pub(super) fn files(bench: &Bench, name: &str, entities: u64) -> Vec<File> {
    let write = |number: u64| {
        let entity = format!("{name}-{number}");
        File::write(bench.input(&format!("{entity}.csv")), &entity, ROWS, number)
    };
    (0..entities).map(write).collect()
}
