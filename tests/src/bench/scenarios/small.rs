//! Small files, one at a time: what a person or an export job waits for.

use crate::bench::{
    Bench, Extent,
    figures::{Figure, Goal},
    files::File,
};

/// Files that are loaded before any is counted, so that connections and caches are warm.
const WARM: u64 = 2;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(1).await;
    let mut figures = Vec::new();
    for (rows, first_goal, again_goal) in [(501, 8.0, 8.0), (2_736, 20.0, 25.0)] {
        let (mut floor, mut first, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..extent.times + WARM {
            let entity = format!("S{rows}-{number}");
            let file = File::write(bench.input(&format!("{entity}.csv")), &entity, rows, number * 2);
            let bare = bench.floor.copy_in_session(&file).await;
            let loaded = bench.client.run(file.job()).await;
            assert_eq!(loaded.number("inserted"), rows);
            let other = File::write(bench.input(&format!("{entity}-2.csv")), &entity, rows, number * 2 + 1);
            let reloaded = bench.client.run(other.job()).await;
            assert_eq!(reloaded.number("rows"), rows);
            if number >= WARM {
                floor.push(bare);
                first.push(loaded.took);
                again.push(reloaded.took);
            }
        }
        let of = |what: &str| format!("{rows} rows, publish to receipt, {what}");
        figures.push(Figure::milliseconds(of("first load"), first).over(&floor).goal(Goal::AtMost(first_goal)));
        figures
            .push(Figure::milliseconds(of("all figures changed"), again).over(&floor).goal(Goal::AtMost(again_goal)));
    }
    drop(workers);
    figures
}
