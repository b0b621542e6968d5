//! Services that go away and come back: nothing is lost, no attempt is spent, nobody restarts a worker.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{faults::services::Service, wait::until};

use crate::run::{
    SETTLED, bad, ended, export, is_whole, missing, publish_many, spent_one_attempt_each, world_to_break,
};

const SOON: Duration = Duration::from_secs(30);

/// What `/readyz` says about one thing.
fn check<'a>(readyz: &'a Value, name: &str) -> &'a str {
    readyz["checks"][name].as_str().unwrap_or("nothing")
}

#[tokio::test]
async fn postgresql_killed_in_the_middle_spends_no_attempt_and_nobody_restarts_the_worker() {
    let (_hold, world) = world_to_break().await;
    let mut worker = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let publishing = publish_many(&world, "E", 200);
    let breaking = async {
        ended(&world, 20).await;
        world.services.crash(Service::Postgres).await;
        let told = worker.is_ready(false, SOON).await;
        assert_ne!(check(&told, "postgresql"), "ok", "{told}");
        world.publish(bad(&world, "BAD")).await;
        world.services.start(Service::Postgres).await;
        worker.is_ready(true, SOON).await;
    };
    tokio::join!(publishing, breaking);
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (200, 1));
    spent_one_attempt_each(&world).await;
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn postgresql_halted_for_longer_than_every_timeout_spends_no_attempt() {
    let (_hold, world) = world_to_break().await;
    let worker = world.worker(&[("AURA_CONCURRENCY", "4")]).await;
    publish_many(&world, "E", 60).await;
    ended(&world, 5).await;
    world.services.pause(Service::Postgres).await;
    let told = worker.is_ready(false, SOON).await;
    assert_ne!(check(&told, "postgresql"), "ok", "{told}");
    world.publish(export(&world, "LATER", 10, 10, json!({}))).await;
    // The claims wait for a connection for 3 s, a job for its answer.
    worker.logs("jobs are paused", SOON).await;
    world.services.resume(Service::Postgres).await;
    worker.is_ready(true, SOON).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 61);
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn without_mongodb_rows_commit_and_receipts_go_out_and_the_trail_follows_later() {
    let (_hold, world) = world_to_break().await;
    let worker = world.worker(&[]).await;
    world.services.crash(Service::MongoDb).await;
    publish_many(&world, "E", 40).await;
    world.publish(bad(&world, "BAD")).await;
    until("all receipts come without MongoDB", SOON, async || (world.client.receipts().len() == 41).then_some(()))
        .await;
    let told = until("readiness warns of MongoDB", SOON, async || {
        let (code, told) = worker.readyz().await?;
        assert_eq!(code, 200, "MongoDB away holds no job up: {told}");
        told["warnings"].to_string().contains("MongoDB").then_some(told)
    })
    .await;
    assert_eq!(told["ready"], true);
    assert!(world.count("SELECT count(*) FROM audit_outbox").await >= Some(40 * 8));
    world.services.start(Service::MongoDb).await;
    is_whole(&world).await;
}

#[tokio::test]
async fn mongodb_halted_in_the_middle_holds_no_job_up() {
    let (_hold, world) = world_to_break().await;
    let _worker = world.worker(&[]).await;
    publish_many(&world, "E", 20).await;
    ended(&world, 5).await;
    world.services.pause(Service::MongoDb).await;
    publish_many(&world, "F", 20).await;
    until("all receipts come", SOON, async || (world.client.receipts().len() == 40).then_some(())).await;
    world.services.resume(Service::MongoDb).await;
    is_whole(&world).await;
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn a_broker_killed_while_jobs_wait_for_their_retry_loses_none() {
    let (_hold, world) = world_to_break().await;
    let mut worker = world.worker(&[("AURA_CONCURRENCY", "4")]).await;
    // The queues are older than two seconds once all have been through: a younger one may break.
    for number in 0..10 {
        world.publish(missing(&world, &format!("LATE{number}"))).await;
    }
    publish_many(&world, "E", 60).await;
    let waiting = "SELECT count(*) FROM ingestion_runs WHERE status = 'retrying' AND attempts >= 2";
    until("the late ones wait for their third attempt", SETTLED, async || {
        (world.count(waiting).await? >= 10).then_some(())
    })
    .await;
    publish_many(&world, "F", 60).await;
    world.services.crash(Service::RabbitMq).await;
    // Both connections are lost, and one is noticed before the other.
    until("it is told that no jobs are taken", SOON, async || {
        (check(&worker.is_ready(false, SOON).await, "rabbitmq_consume") != "ok").then_some(())
    })
    .await;
    world.services.start(Service::RabbitMq).await;
    worker.is_ready(true, SOON).await;
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (120, 10));
    spent_one_attempt_each(&world).await;
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_memory_alarm_holds_jobs_up_and_loses_none() {
    let (_hold, world) = world_to_break().await;
    let worker = world.worker(&[("AURA_CONCURRENCY", "4")]).await;
    publish_many(&world, "E", 100).await;
    // The broker blocks a connection once that publishes, as those do that are tried again.
    for number in 0..5 {
        world.publish(missing(&world, &format!("LATE{number}"))).await;
    }
    ended(&world, 10).await;
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let (began, mut told) = (Instant::now(), None);
    while told.is_none() && began.elapsed() < SOON {
        told = worker.readyz().await.filter(|(code, _)| *code != 200);
        tokio::task::yield_now().await;
    }
    // The alarm is over whatever came of it: others use the broker, too.
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
    let (_, told) = told.expect("/readyz tells of the alarm");
    assert_ne!(check(&told, "rabbitmq_publish"), "ok", "{told}");
    worker.is_ready(true, SOON).await;
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (100, 5));
    spent_one_attempt_each(&world).await;
}

// A connection that the broker blocks hears nothing of what it asks.
#[tokio::test]
async fn what_lies_in_the_queues_is_told_under_an_alarm_too() {
    let (_hold, world) = world_to_break().await;
    let worker = world.worker(&[]).await;
    let counts = async |letters: &str| {
        let (_, text) = worker.get("/metrics").await?;
        let is_told = |line: &str| {
            line.starts_with("aura_queue_messages{") && line.contains("queue=\"aura.dead\"") && line.ends_with(letters)
        };
        text.lines().any(is_told).then_some(())
    };
    for number in 0..3 {
        world.publish(missing(&world, &format!("E{number}"))).await;
    }
    until("the letters are counted", SETTLED, async || counts(" 3").await).await;
    for number in 3..8 {
        world.publish(missing(&world, &format!("E{number}"))).await;
    }
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let (began, mut is_told) = (Instant::now(), false);
    while !is_told && began.elapsed() < SOON {
        is_told = worker.readyz().await.is_some_and(|(_, told)| check(&told, "rabbitmq_publish") != "ok");
        tokio::task::yield_now().await;
    }
    world.services.rabbitmqctl(&["purge_queue", "--vhost", world.name(), "aura.dead"]).await;
    let (began, mut is_counted) = (Instant::now(), false);
    while !is_counted && began.elapsed() < SOON {
        is_counted = counts(" 0").await.is_some();
        tokio::task::yield_now().await;
    }
    // The alarm is over whatever came of it: others use the broker, too.
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
    assert!(is_told, "/readyz does not tell of the alarm");
    assert!(is_counted, "what lies in the queue is not told while the alarm lasts");
}
