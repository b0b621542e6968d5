//! The end of a worker under load.

use serde_json::json;

use crate::run::{SETTLED, ended, export, is_whole, publish_many, spent_one_attempt_each, world};

#[tokio::test]
async fn sigterm_under_load_ends_with_0_and_leaves_all_to_the_next_worker() {
    let (_hold, world) = world().await;
    world.publish(export(&world, "LONG", 60_000, 10, json!({}))).await;
    publish_many(&world, "E", 80).await;
    let mut worker = world.worker(&[]).await;
    ended(&world, 10).await;
    worker.signal("TERM");
    assert_eq!(worker.ended(SETTLED).await.code(), Some(0), "{}", worker.tail());
    let _next = world.worker(&[]).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 81);
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn a_job_longer_than_the_drain_time_goes_back_unharmed() {
    let (_hold, world) = world().await;
    let mut worker = world.worker(&[("AURA_DRAIN_SECONDS", "0")]).await;
    world.publish(export(&world, "LONG", 150_000, 10, json!({}))).await;
    world.counts("SELECT count(*) FROM ingestion_runs WHERE status = 'running'", 1, SETTLED).await;
    worker.signal("TERM");
    assert_eq!(worker.ended(SETTLED).await.code(), Some(0), "{}", worker.tail());
    let _next = world.worker(&[]).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once_and_loses_nothing() {
    let (_hold, world) = world().await;
    for entity in ["A", "B", "C"] {
        world.publish(export(&world, entity, 60_000, 10, json!({}))).await;
    }
    let mut worker = world.worker(&[]).await;
    world.counts("SELECT count(*) FROM ingestion_runs WHERE status = 'running'", 3, SETTLED).await;
    worker.signal("TERM");
    worker.logs("draining", SETTLED).await;
    worker.signal("TERM");
    worker.ended(std::time::Duration::from_secs(5)).await;
    let _next = world.worker(&[]).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 3);
}
