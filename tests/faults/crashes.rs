//! Workers that die: at every named step, and in the middle of a thousand messages.

use std::time::Duration;

use serde_json::json;
use tests::{faults::book::Publication, wait::until};

use crate::run::{SETTLED, bad, export, is_whole, missing, world};

/// Steps that a success goes through.
const STEPS: [&str; 15] = [
    "claimed",
    "loaded",
    "copied",
    "before_commit",
    "committed",
    "cached",
    "cache_written",
    "cache_renamed",
    "receipt_sent",
    "before_ack",
    "audit_sequenced",
    "audit_inserted",
    "retry_published",
    "dead_published",
    "dead_noted",
];

#[tokio::test]
async fn a_worker_that_dies_at_any_step_leaves_each_message_with_one_effect() {
    let (_hold, world) = world().await;
    for step in STEPS {
        let entity = |name: &str| format!("{name}_{}", step.to_uppercase());
        // What each step is for: an export, a correction of it, a bad file, a missing one, no job.
        world.publish(export(&world, &entity("GOOD"), 30, 10, json!({}))).await;
        world.publish(export(&world, &entity("GOOD"), 20, 11, json!({"mode": "replace"}))).await;
        world.publish(bad(&world, &entity("BAD"))).await;
        world.publish(missing(&world, &entity("LATE"))).await;
        let file = world.write("in/refused.csv", "");
        world.publish(Publication::refused(&file, &entity("REFUSED"), "2022-06")).await;
        let mut dying = world.worker_with_failpoint(step, &[]);
        dying.ended(SETTLED).await;
        assert!(dying.has_logged("a failpoint ends this process"), "{step} was not reached:\n{}", dying.tail());
        // Another worker takes over while the next step is tried.
        let mut heir = world.worker(&[]).await;
        // Those whose file is missing go on while the next step is tried.
        let waiting = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NULL AND entity NOT LIKE 'LATE%'";
        until("the heir has ended what was left", SETTLED, async || {
            (world.client.depth("aura.jobs").await? == 0 && world.count(waiting).await? == 0).then_some(())
        })
        .await;
        heir.kill();
    }
    let _last = world.worker(&[]).await;
    let findings = is_whole(&world).await;
    let steps = STEPS.len() as u64;
    assert_eq!(findings.outcome("success") + findings.outcome("superseded"), 2 * steps, "{findings}");
    assert_eq!((findings.outcome("failed"), findings.outcome("refused")), (2 * steps, steps), "{findings}");
}

#[tokio::test]
async fn kill_9_in_the_middle_of_1000_messages_on_two_workers_loses_and_doubles_nothing() {
    let (_hold, world) = world().await;
    let mut first = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let _second = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let publishing = async {
        let jobs = (0..1_000_u32).map(|number| {
            let entity = format!("E{:03}", number % 400);
            export(&world, &entity, 10, number / 400 + 1, json!({"mode": "replace"}))
        });
        let jobs: Vec<_> = jobs.collect();
        for few in jobs.chunks(8) {
            futures_util::future::join_all(few.iter().map(|job| world.publish(job.clone()))).await;
        }
    };
    let killing = async {
        until("some hundreds have ended", SETTLED, async || {
            let ended = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
            (world.count(ended).await? > 300).then_some(())
        })
        .await;
        first.kill();
    };
    tokio::join!(publishing, killing);
    let _third = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    tokio::time::timeout(Duration::from_secs(150), is_whole(&world)).await.expect("1,000 messages end in time");
}
