//! A worker keeps within its memory, whatever the files are that its jobs read at the same time.

use std::time::Duration;

use super::workbooks::{SHEET, Workbook};
use crate::world::{World, csv, job};

/// How long six large workbooks may take on a busy machine.
const LONG: Duration = Duration::from_secs(420);
/// What the contract allows, whatever a file's size.
pub(super) const BUDGET: u64 = 256 << 20;

#[tokio::test]
async fn four_workbooks_that_each_take_all_there_is_wait_for_each_other() {
    let (world, worker) = World::with_worker().await;
    // Strings that fit into the memory that all share, but not twice.
    let strings = format!("<sst>{}</sst>", "<si><t>a text of some 30 characters</t></si>".repeat(1_050_000));
    // Rows that lie in a temporary file: cells of another slice, 200,000 and more.
    let cells = ["B", "2022-06", "10", "x", "1", "BS", "Assets"].map(|text| format!(r#"<c t="str"><v>{text}</v></c>"#));
    let rows: String = (4..40_000).map(|row| format!(r#"<row r="{row}">{}</row>"#, cells.concat())).collect();
    let mut jobs = Vec::new();
    for month in 1..=6 {
        let workbook = match month % 3 {
            1 | 2 => Workbook::good().part("xl/sharedStrings.xml", strings.as_str()),
            _ => Workbook::good_with(&rows),
        };
        let period = format!("2022-{month:02}");
        let bytes = workbook.replaced(
            SHEET,
            "<v>A</v></c><c t=\"str\"><v>2022-06",
            &format!("<v>A</v></c><c t=\"str\"><v>{period}"),
        );
        let file = world.write(&format!("{month}.xlsx"), bytes.packed());
        jobs.push(job(&file, "A", &period));
    }
    for job in jobs {
        world.send(job).await;
    }
    world.broker.count("six successes", 6, LONG, |receipt| receipt["status"] == "success").await;
    let peak = worker.peak_bytes();
    eprintln!("the worker held {} MiB at most", peak >> 20);
    assert!(peak < BUDGET, "the worker held {} MiB", peak >> 20);
}

#[tokio::test]
async fn texts_that_each_take_what_one_may_stay_within_the_memory() {
    let (world, worker) = World::with_worker().await;
    // Control characters, which JSON writes six times as long, in the names and cells of unknown columns.
    let names: String = (0..4_000).map(|column| format!(",c{column}{}", "\u{1}".repeat(8))).collect();
    let cells = format!(",{}{}", "\u{1}".repeat(280_000), ",".repeat(3_999));
    let mut jobs = Vec::new();
    for month in 1..=4 {
        let period = format!("2022-{month:02}");
        let accounts: Vec<(String, &str)> = (0..12).map(|code| (code.to_string(), "1")).collect();
        let accounts: Vec<_> = accounts.iter().map(|(code, balance)| (code.as_str(), *balance)).collect();
        let wide = csv("W", &period, &accounts).replacen('\n', &format!("{names}\n"), 1);
        let wide = wide.replace("Assets\n", &format!("Assets{cells}\n"));
        jobs.push(job(&world.write(&format!("wide-{month}.csv"), wide), "W", &period));
        // Every text is another, in all columns whose distinct values are counted.
        let mut text =
            "entity,period,account_code,account_name,balance,bs_pl,status,department,company_code\n".to_owned();
        for code in 0..150_000 {
            text.push_str(&format!("D,{period},{code},x,0.{code},b{code},s{code},d{code},c{code}\n"));
        }
        jobs.push(job(&world.write(&format!("distinct-{month}.csv"), text), "D", &period));
    }
    for job in jobs {
        world.send(job).await;
    }
    world.broker.count("eight successes", 8, LONG, |receipt| receipt["status"] == "success").await;
    let peak = worker.peak_bytes();
    eprintln!("the worker held {} MiB at most", peak >> 20);
    assert!(peak < BUDGET, "the worker held {} MiB", peak >> 20);
}
