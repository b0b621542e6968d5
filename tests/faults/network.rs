//! The network between a worker and its services: cut, slow, a black hole.

use std::time::Duration;

use serde_json::json;
use tests::{
    faults::{Proxies, proxy::Way, services::Service},
    wait::until,
    worker::Worker,
};

use crate::run::{ended, export, is_whole, publish_many, spent_one_attempt_each, world};

const SOON: Duration = Duration::from_secs(40);

fn proxy(proxies: &Proxies, service: Service) -> &tests::faults::proxy::Proxy {
    match service {
        Service::Postgres => &proxies.postgres,
        Service::RabbitMq => &proxies.rabbitmq,
        Service::MongoDb => &proxies.mongodb,
    }
}

#[tokio::test]
async fn connections_cut_again_and_again_lose_and_double_nothing() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let mut worker = world.worker_behind(&proxies, &[]).await;
    let publishing = publish_many(&world, "E", 240);
    let cutting = async {
        for round in 1..=6 {
            ended(&world, 30 * round).await;
            proxy(&proxies, [Service::Postgres, Service::RabbitMq, Service::MongoDb][round as usize % 3]).cut();
        }
    };
    tokio::join!(publishing, cutting);
    assert_eq!(is_whole(&world).await.outcome("success"), 240);
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_consumer_that_comes_to_be_after_it_was_given_up_keeps_no_job() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let worker = world.worker_behind(&proxies, &[]).await;
    // Jobs are paused while PostgreSQL is away, and asked for anew after it, here of a broker that does not answer.
    proxies.postgres.set(Way::Shut);
    proxies.postgres.cut();
    worker.logs("jobs are paused", SOON).await;
    worker.is_ready(false, SOON).await;
    proxies.rabbitmq.set(Way::Hole);
    proxies.postgres.set(Way::Open);
    worker.logs("the broker did not let jobs be consumed", SOON).await;
    proxies.rabbitmq.set(Way::Open);
    worker.is_ready(true, SOON).await;
    publish_many(&world, "E", 24).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 24);
}

#[tokio::test]
async fn a_slow_network_only_takes_longer() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let _worker = world.worker_behind(&proxies, &[]).await;
    for service in [Service::Postgres, Service::RabbitMq, Service::MongoDb] {
        proxy(&proxies, service).set(Way::Slow(Duration::from_millis(20)));
    }
    publish_many(&world, "E", 24).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 24);
    spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn a_black_hole_before_postgresql_is_an_outage_and_no_bad_file() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let mut worker = world.worker_behind(&proxies, &[]).await;
    publish_many(&world, "E", 40).await;
    ended(&world, 5).await;
    proxies.postgres.set(Way::Hole);
    let told = worker.is_ready(false, SOON).await;
    assert_ne!(told["checks"]["postgresql"], "ok", "{told}");
    proxies.postgres.set(Way::Open);
    worker.is_ready(true, SOON).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 40);
    spent_one_attempt_each(&world).await;
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_question_to_postgresql_that_is_never_answered_blinds_no_probe() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let mut worker = world.worker_behind(&proxies, &[]).await;
    let questions: [&[u8]; 3] = [b"pg_is_in_recovery()", b"SELECT clock_timestamp()", b"WHERE claim = ANY($1)"];
    for (round, question) in (1..).zip(questions) {
        // The last one is asked when PostgreSQL is back.
        proxies.postgres.swallow_at(question);
        break_and_mend(&proxies, &worker).await;
        until("the question is swallowed", SOON, async || proxies.postgres.has_swallowed().then_some(())).await;
        break_and_mend(&proxies, &worker).await;
        publish_many(&world, &format!("E{round}"), 20).await;
        ended(&world, 20 * round).await;
    }
    assert_eq!(is_whole(&world).await.outcome("success"), 60);
    assert!(worker.exit().is_none(), "the worker ended");
}

/// PostgreSQL goes away and comes back, and the worker says both, without a job at work.
async fn break_and_mend(proxies: &Proxies, worker: &Worker) {
    proxies.postgres.set(Way::Hole);
    worker.is_ready(false, SOON).await;
    proxies.postgres.set(Way::Open);
    worker.is_ready(true, SOON).await;
}

#[tokio::test]
async fn a_black_hole_before_the_broker_is_noticed_and_healed() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let mut worker = world.worker_behind(&proxies, &[]).await;
    publish_many(&world, "E", 40).await;
    ended(&world, 5).await;
    proxies.rabbitmq.set(Way::Hole);
    worker.is_ready(false, SOON).await;
    proxies.rabbitmq.set(Way::Open);
    worker.is_ready(true, SOON).await;
    world.publish(export(&world, "LATER", 10, 10, json!({}))).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 41);
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_black_hole_before_mongodb_holds_no_job_up() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let _worker = world.worker_behind(&proxies, &[]).await;
    proxies.mongodb.set(Way::Hole);
    publish_many(&world, "E", 20).await;
    ended(&world, 20).await;
    proxies.mongodb.set(Way::Open);
    assert_eq!(is_whole(&world).await.outcome("success"), 20);
    spent_one_attempt_each(&world).await;
}
