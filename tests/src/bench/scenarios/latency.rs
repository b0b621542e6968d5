//! A small file now and then while a month-end loads: how long its owner waits.

use std::time::Duration;

use crate::bench::{Bench, Extent, client::Client, figures::Figure, files::File};

use super::month_end;

/// Rows of the small files, and how often one comes.
const ROWS: u64 = 100;
const PAUSE: Duration = Duration::from_millis(200);
const WORKERS: usize = 2;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(WORKERS).await;
    let files = month_end::files(&bench, "B", extent.entities);
    let mut other = Client::connect(&bench.amqp()).await;
    let sent = bench.client.publish(&files.iter().map(File::job).collect::<Vec<_>>()).await;
    let small: Vec<File> = (0..50)
        .map(|number| {
            let entity = format!("P{number}");
            File::write(bench.input(&format!("{entity}.csv")), &entity, ROWS, number)
        })
        .collect();
    let publishing = async {
        let mut open = Vec::new();
        for file in &small {
            open.push(other.publish(&[file.job()]).await);
            tokio::time::sleep(PAUSE).await;
        }
        let all = open.into_iter().flatten().collect();
        other.ended(all).await
    };
    let (ended, _) = tokio::join!(publishing, bench.client.ended(sent));
    drop(workers);
    let figure = Figure::milliseconds("x", ended.iter().map(|end| end.took));
    let of = |what: &str, value: f64| Figure::of(format!("{ROWS} rows while a month-end loads, {what}"), "ms", [value]);
    vec![of("p50", figure.median()), of("p99", figure.percentile(99))]
}
