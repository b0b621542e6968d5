//! The exports of a slice: duplicates, stale ones, forced ones, and two of the same time.

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::world::{World, csv, job, with};

/// An export of a file at a time of 1 July 2022.
fn exported(file: &str, time: &str) -> Value {
    with(job(file, "A", "2022-06"), json!({"exported_at": format!("2022-07-01T{time}:00Z")}))
}

async fn three_files(world: &World) -> [String; 3] {
    ["1", "2", "3"].map(|n| world.write(&format!("{n}.csv"), csv("A", "2022-06", &[("10", n), ("20", "0")])))
}

#[tokio::test]
async fn the_same_file_again_is_skipped_and_names_the_job_that_loaded_it() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let first = world.ends("success", job(&file, "A", "2022-06")).await;
    let copy = world.write("copy.csv", csv("A", "2022-06", &[("10", "5")]));
    let second = world.ends("skipped", job(&copy, "A", "2022-06")).await;
    assert_eq!(second["reason"], "duplicate");
    let earlier = first["job_id"].as_str().unwrap();
    assert!(second.to_string().contains(earlier), "the earlier job is not named: {second:#}");
    let id = second["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.job_run(id).await["status"], "skipped");
    assert_eq!(world.events("A", "2022-06").await.iter().filter(|e| *e == "duplicate_file_detected").count(), 1);
    assert_eq!(world.broker.depth("aura.dead").await, 0);
}

#[tokio::test]
async fn another_mode_of_the_same_file_is_no_duplicate() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    world.ends("success", with(job(&file, "A", "2022-06"), json!({"mode": "replace"}))).await;
    world.ends("skipped", with(job(&file, "A", "2022-06"), json!({"mode": "replace"}))).await;
}

#[tokio::test]
async fn skip_duplicates_false_loads_the_same_file_again_and_rewrites_no_row() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "6")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let lineage = "SELECT account_code, job_id, xmin::text, updated_at FROM gl_accounts ORDER BY 1";
    let before = world.rows(lineage).await;
    let again = world.ends("success", with(job(&file, "A", "2022-06"), json!({"skip_duplicates": false}))).await;
    assert_eq!((&again["unchanged"], &again["updated"], &again["inserted"]), (&json!(2), &json!(0), &json!(0)));
    assert_eq!(world.rows(lineage).await, before);
}

#[tokio::test]
async fn an_older_export_is_superseded_whatever_the_order_of_delivery() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, three] = three_files(&world).await;
    world.ends("success", exported(&two, "11:00")).await;
    let stale = world.ends("superseded", exported(&one, "10:00")).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "2");
    world.ends("success", exported(&three, "12:00")).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "3");
    let id = stale["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.job_run(id).await["status"], "superseded");
    assert!(world.events("A", "2022-06").await.contains(&"superseded".to_owned()));
    assert_eq!(world.broker.depth("aura.dead").await, 0, "superseded is not a failure");
}

#[tokio::test]
async fn a_skipped_export_counts_as_an_export_of_its_time() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, _] = three_files(&world).await;
    world.ends("success", exported(&one, "10:00")).await;
    world.ends("skipped", exported(&one, "12:00")).await;
    world.ends("superseded", exported(&two, "11:00")).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "1");
}

#[tokio::test]
async fn other_bytes_of_the_same_time_are_ambiguous_and_the_message_says_what_to_set() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, _] = three_files(&world).await;
    world.ends("success", exported(&one, "10:00")).await;
    let receipt = world.ends("failed", exported(&two, "10:00")).await;
    assert_eq!(receipt["error"]["code"], "ambiguous_order");
    assert!(receipt["error"]["message"].as_str().unwrap().contains("exported_at"));
    assert_eq!(world.broker.dead(1).await[0].header("aura-error-code"), "ambiguous_order");
    assert_eq!(world.balances("A", "2022-06").await[0].1, "1");
    // The same bytes at the same time are only a duplicate.
    world.ends("skipped", exported(&one, "10:00")).await;
}

#[tokio::test]
async fn a_forced_export_beats_those_from_before_and_is_audited_with_its_reason() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, three] = three_files(&world).await;
    world.ends("success", exported(&two, "11:00")).await;
    let forced = json!({"force": true, "reason": "the 11:00 export was cut off"});
    world.ends("success", with(exported(&one, "10:00"), forced)).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "1");
    let told = world.chain("A", "2022-06").await.iter().any(|event| event.to_string().contains("was cut off"));
    assert!(told, "no event has the reason");

    // What was exported between then and now stays out; what is exported later gets in.
    world.ends("superseded", exported(&three, "12:00")).await;
    let later = (Utc::now() + TimeDelta::minutes(1)).to_rfc3339_opts(SecondsFormat::Micros, true);
    world.ends("success", with(job(&three, "A", "2022-06"), json!({"exported_at": later}))).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "3");
}

#[tokio::test]
async fn a_forced_job_never_beats_an_export_from_after_it_was_forced() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, _] = three_files(&world).await;
    let later = (Utc::now() + TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Micros, true);
    world.ends("success", with(job(&two, "A", "2022-06"), json!({"exported_at": later}))).await;
    let forced = with(exported(&one, "10:00"), json!({"force": true, "reason": "older is better"}));
    world.ends("superseded", forced).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "2");
}

#[tokio::test]
async fn a_stale_dead_letter_is_superseded_when_it_is_replayed() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, _] = three_files(&world).await;
    std::fs::write(&one, "broken\n").unwrap();
    let failed = world.ends("failed", exported(&one, "10:00")).await;
    world.broker.dead(1).await;
    world.ends("success", exported(&two, "11:00")).await;
    world.write("1.csv", csv("A", "2022-06", &[("10", "1")]));
    world.producer(&["dead", "replay", "--entity", "A"]).await.expect(0);
    let id = failed["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.broker.nth_receipt(id, 2).await["status"], "superseded");
    assert_eq!(world.balances("A", "2022-06").await[0].1, "2");
}

#[tokio::test]
async fn a_failed_export_does_not_count_as_seen() {
    let (world, _worker) = World::with_worker().await;
    let [one, two, _] = three_files(&world).await;
    std::fs::write(&two, csv("A", "2022-06", &[("10", "bad")])).unwrap();
    world.ends("failed", exported(&two, "12:00")).await;
    world.ends("success", exported(&one, "10:00")).await;
    assert_eq!(world.balances("A", "2022-06").await[0].1, "1");
}
