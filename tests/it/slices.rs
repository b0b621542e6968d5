//! Which rows of a file are the job's.

use serde_json::json;

use crate::world::{World, csv, job};

const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status\n";

#[tokio::test]
async fn rows_of_other_slices_are_counted_and_left_to_their_own_jobs() {
    let (world, _worker) = World::with_worker().await;
    let mut text = csv("A", "2022-06", &[("10", "1"), ("20", "2")]);
    text.push_str("A,2022-05,10,Cash,3,BS,Assets\nB,2022-06,10,Cash,4,BS,Assets\nB,2022-06,20,Cash,bad,BS,Assets\n");
    let file = world.write("all.csv", text);
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!((&receipt["rows"], &receipt["rows_other_slices"]), (&json!(2), &json!(3)));
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await, 2);
    // The same file, another slice: no duplicate.
    world.ends("success", job(&file, "A", "2022-05")).await;
    let receipt = world.ends("failed", job(&file, "B", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "row_invalid");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await, 3);
}

#[tokio::test]
async fn a_file_without_a_row_of_the_slice_tells_which_slices_it_has() {
    let (world, _worker) = World::with_worker().await;
    let mut text = csv("A", "2022-05", &[("10", "1")]);
    text.push_str("B,2022-13,10,Cash,3,BS,Assets\n");
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "slice_not_found");
    let message = receipt["error"]["message"].as_str().unwrap();
    for part in ["A", "2022-05", "B", "2022-13"] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_blank_entity_or_period_means_the_jobs_own_if_the_file_holds_no_other_slice() {
    let (world, _worker) = World::with_worker().await;
    let text = format!("{HEADER}A,2022-06,10,Cash,1,BS,Assets\n,2022-06,20,Cash,2,BS,Assets\n,,30,Cash,3,BS,Assets\n");
    let receipt = world.ends("success", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_eq!((&receipt["rows"], &receipt["balance_sum"]), (&json!(3), &json!("6")));
    let all = format!("{HEADER},,10,Cash,1,BS,Assets\n,,20,Cash,2,BS,Assets\n");
    let receipt = world.ends("success", job(&world.write("b.csv", all), "B", "2022-06")).await;
    assert_eq!(receipt["rows"], 2);
}

#[tokio::test]
async fn a_blank_entity_beside_another_slice_is_a_bad_row() {
    let (world, _worker) = World::with_worker().await;
    let text =
        format!("{HEADER}A,2022-06,10,Cash,1,BS,Assets\n,2022-06,20,Cash,2,BS,Assets\nB,2022-06,30,Cash,3,BS,Assets\n");
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "row_invalid");
    let rows = &receipt["error"]["rows"];
    assert_eq!((&rows[0]["line"], &rows[0]["column"]), (&json!(3), &json!("entity")), "{receipt:#}");
}

#[tokio::test]
async fn the_special_closing_periods_are_periods() {
    let (world, _worker) = World::with_worker().await;
    for period in ["2022-12", "2022-13", "2022-16"] {
        let file = world.write(&format!("{period}.csv"), csv("A", period, &[("10", "1")]));
        world.ends("success", job(&file, "A", period)).await;
    }
    assert!(world.cache_files().contains(&"A_2022-16_ingested.parquet".to_owned()));
}
