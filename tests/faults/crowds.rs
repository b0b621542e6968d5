//! Many at once: copies of one message, and many jobs of one slice.

use std::time::Duration;

use serde_json::json;
use tests::{faults::book::Export, wait::until};

use crate::run::{SETTLED, export, export_at, is_whole, spent_one_attempt_each, world};

/// Takes a slice's lock as a job would, for as long as the session is held.
async fn hold_slice(session: &tokio_postgres::Client, entity: &str) {
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
    session.execute(lock, &[&format!("slice:{entity}:2022-06")]).await.expect("the lock is free");
}

#[tokio::test]
async fn the_same_message_50_times_across_4_workers_has_one_effect() {
    let (_hold, world) = world().await;
    let job = export(&world, "A", 200, 10, json!({}));
    for _ in 0..50 {
        world.publish(job.clone()).await;
    }
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(world.worker(&[]).await);
    }
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1);
    until("each copy's receipt has come", SETTLED, async || (world.client.receipts().len() >= 50).then_some(())).await;
    assert!(world.client.receipts().iter().all(|receipt| receipt["status"] == "success"));
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn five_hundred_jobs_of_a_slice_that_is_held_delay_no_other_and_spend_no_attempt() {
    let (_hold, world) = world().await;
    let session = world.session().await;
    hold_slice(&session, "HOT").await;
    let _first = world.worker(&[]).await;
    let _second = world.worker(&[]).await;
    let jobs: Vec<_> = (0..500_u32)
        .map(|number| {
            let at = format!("2022-07-01T10:{:02}:{:02}Z", number / 60, number % 60);
            export_at(&world, "HOT", 3, number, &at, json!({"mode": "replace"}))
        })
        .collect();
    for few in jobs.chunks(8) {
        futures_util::future::join_all(few.iter().map(|job| world.publish(job.clone()))).await;
    }
    for number in 0..20 {
        world.publish(export(&world, &format!("COLD{number}"), 10, 10, json!({}))).await;
    }
    let cold = "SELECT count(*) FROM ingestion_runs WHERE entity LIKE 'COLD%' AND status = 'success'";
    world.counts(cold, 20, Duration::from_secs(20)).await;
    assert_eq!(world.count("SELECT count(*) FROM ingestion_runs WHERE entity = 'HOT'").await, Some(0));
    drop(session);
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success") + findings.outcome("superseded"), 520);
    spent_one_attempt_each(&world).await;
    let spent = "SELECT count(*) FROM ingestion_runs WHERE attempts > 1";
    assert_eq!(world.count(spent).await, Some(0));
    let newest = Export::numbered("HOT", "2022-06", 3, 499);
    let held = "SELECT trim_scale(min(balance))::text FROM gl_accounts WHERE entity = 'HOT'";
    let held: String = world.rows(held, &[]).await.expect("PostgreSQL answers")[0].get(0);
    assert_eq!(held, tests::amount::text(newest.rows[0].1));
}
