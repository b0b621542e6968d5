//! One large file, with `psql \copy` of the same file before it.

use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::{File, ONE_PERCENT},
    machine::peak_of,
};

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(1).await;
    let rows = extent.rows;
    let (mut floor, mut first, mut commit, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..extent.large_times {
        let entity = format!("L{number}");
        let file = File::write(bench.input("large.csv"), &entity, rows, 7);
        floor.push(bench.floor.copy(std::slice::from_ref(&file), 1).await);
        let loaded = bench.client.run(file.job()).await;
        assert_eq!(loaded.number("inserted"), rows);
        commit.push(loaded.to_commit());
        first.push(loaded.took);
        file.change(ONE_PERCENT);
        let reloaded = bench.client.run(file.job()).await;
        assert_eq!(reloaded.number("unchanged") + reloaded.number("updated"), rows);
        assert!(reloaded.number("updated") > 0);
        again.push(reloaded.took);
    }
    let of = |what: &str| format!("{rows} rows, {what}");
    let bare = Figure::seconds(of("psql \\copy into a keyed table"), floor.iter().copied());
    vec![
        Figure::of(of("to the commit"), "s", commit).over(&floor).goal(Goal::Ratio(1.05)),
        Figure::seconds(of("to the receipt and the Parquet file"), first).over(&floor).goal(Goal::Ratio(1.2)),
        Figure::seconds(of("again with 1 % changed"), again).over(&floor).goal(Goal::Ratio(1.5)),
        bare,
        Figure::of("worker, peak resident memory", "MB", [peak_of(&workers)]).goal(Goal::AtMost(150.0)),
    ]
}
