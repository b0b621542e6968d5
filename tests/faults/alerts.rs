//! Alerts, made to fire by the faults that they are for. Prometheus evaluates the rules of `deploy/monitoring` over
//! seconds instead of minutes ([`tests::prometheus::quickened`]); their expressions and limits are the real ones. What
//! needs minutes of a real fault is in `alerts_slow`; `promtool` alone shows those whose fault takes hours or a gibibyte, or
//! cannot be had at will: `AuraMemoryHigh`, `AuraVersionsMixed`, `AuraPoolExhausted`, `AuraJobsNeglected` and
//! `AuraWorkerNeglects`.

use std::{collections::BTreeSet, net::TcpListener, time::Duration};

use bson::{Document, doc};
use chrono::Utc;
use lapin::BasicProperties;
use serde_json::json;
use tests::{
    faults::{World, proxy::Way, services::Service},
    prometheus::{Prometheus, Rules},
    wait::until,
    worker::Worker,
};

use crate::run::{SETTLED, bad, ended, export, is_whole, missing, publish_many, world, world_to_break};

const SOON: Duration = Duration::from_secs(60);

/// A Prometheus that watches these workers with the quick rules, once it has seen them and nothing fires.
pub(crate) async fn watching(workers: &[&Worker]) -> Prometheus {
    let addresses: Vec<_> = workers.iter().map(|worker| worker.address()).collect();
    let prometheus = Prometheus::start(&addresses, Rules::Quick).await;
    until("Prometheus has seen the workers", SOON, async || {
        (prometheus.query("aura_queue_messages{queue=\"aura.dead\"}").await.len() == workers.len()).then_some(())
    })
    .await;
    prometheus.is_quiet_about(&["AuraNoWorker"], SOON).await;
    assert_eq!(prometheus.firing().await, BTreeSet::new(), "nothing is wrong yet");
    prometheus
}

/// Makes what waits in a table an hour older than it is.
async fn age(world: &World, table: &str) {
    let statement = format!("UPDATE {table} SET recorded_at = recorded_at - interval '1 hour'");
    world.session().await.batch_execute(&statement).await.expect("the table is there");
}

#[tokio::test]
async fn whatever_is_away_is_told_by_its_own_alert_until_it_is_back() {
    let (_hold, world) = world_to_break().await;
    let proxies = world.proxies().await;
    let first = world.worker(&[]).await;
    let second = world.worker_behind(&proxies, &[]).await;
    let prometheus = watching(&[&first, &second]).await;

    let (root, away) = (world.path().join("in"), world.path().join("in.away"));
    std::fs::rename(&root, &away).expect("the root can be moved");
    prometheus.fires(&["AuraInputRootAway"], SOON).await;
    std::fs::rename(&away, &root).expect("the root can be moved back");

    // Only one of the two reaches no PostgreSQL.
    proxies.postgres.set(Way::Shut);
    proxies.postgres.cut();
    let firing = prometheus.fires(&["AuraWorkerPaused"], SOON).await;
    assert!(!firing.contains("AuraPostgresAway"), "{firing:?}");
    proxies.postgres.set(Way::Open);
    prometheus.is_quiet_about(&["AuraInputRootAway", "AuraWorkerPaused"], SOON).await;

    // Where the cache was is now a file, in which nobody can write another, and MongoDB is gone.
    let (cache, aside) = (world.path().join("cache"), world.path().join("aside"));
    std::fs::rename(&cache, &aside).expect("a folder can be moved");
    std::fs::write(&cache, "").expect("a file can be written");
    world.services.crash(Service::MongoDb).await;
    publish_many(&world, "E", 5).await;
    prometheus.fires(&["AuraMongoDbAway", "AuraCacheFailing", "AuraPlaceUnusable"], SOON).await;
    age(&world, "audit_outbox").await;
    age(&world, "cache_tasks").await;
    prometheus.fires(&["AuraOutboxOld", "AuraCacheLate"], SOON).await;
    std::fs::remove_file(&cache).expect("a file can be removed");
    std::fs::rename(&aside, &cache).expect("a folder can be moved");
    world.services.start(Service::MongoDb).await;

    // Nobody does what is published, and more and more is.
    world.services.crash(Service::Postgres).await;
    publish_many(&world, "P", 110).await;
    let mut published = 110;
    // Some of them may be in the workers' hands just now.
    let publish = async || {
        let seen = format!("max(aura_queue_messages{{queue='aura.jobs'}}) >= {}", published - 10);
        if !prometheus.query(&seen).await.is_empty() {
            publish_many(&world, &format!("Q{published}N"), 10).await;
            published += 10;
        }
    };
    prometheus.fires_while(&["AuraPostgresAway", "AuraQueueGrowing"], SETTLED, publish).await;
    world.services.start(Service::Postgres).await;
    ended(&world, 5 + published).await;

    world.services.crash(Service::RabbitMq).await;
    prometheus.fires(&["AuraRabbitMqAway"], SOON).await;
    world.services.start(Service::RabbitMq).await;
    is_whole(&world).await;
    let over = async || prometheus.firing().await.is_empty().then_some(());
    until("nothing fires any more", SETTLED, over).await;
}

#[tokio::test]
async fn whatever_comes_of_jobs_that_somebody_should_know_of_is_told() {
    let (_hold, world) = world().await;
    // Nobody listens to their events of OpenLineage.
    let deaf = [("AURA_OPENLINEAGE_URL", "http://127.0.0.1:1/api/v1/lineage")];
    let (mut first, mut second) = (world.worker(&deaf).await, world.worker(&deaf).await);
    let prometheus = watching(&[&first, &second]).await;

    // Somebody has written to the audit trail where the first event of a slice belongs.
    let trail = world.mongo.collection::<Document>("audit_trail");
    let foreign = doc! {"_id": "FORGED/2022-06/1", "entity": "FORGED", "period": "2022-06", "seq": 1_i64, "hash": "0"};
    trail.insert_one(foreign).await.expect("MongoDB takes it");
    world.publish(export(&world, "FORGED", 5, 10, json!({}))).await;
    // And whatever comes was published an hour ago. Rates see only what follows a first one.
    let mut old_ones = 0..;
    let publish = async || {
        let number: u32 = old_ones.next().unwrap_or_default();
        let an_hour_ago = Utc::now().timestamp().unsigned_abs() - 3_600;
        let job = export(&world, &format!("OLD{number}"), 5, 10, json!({}));
        world.publish_with(job, BasicProperties::default().with_timestamp(an_hour_ago)).await;
    };
    prometheus.fires_while(&["AuraChainHalted", "AuraQueueWaitLong"], SETTLED, publish).await;

    for number in 0..60 {
        world.publish(missing(&world, &format!("LATE{number}"))).await;
    }
    let mut bad_ones = 0..;
    let told =
        ["AuraRetryStorm", "AuraManyJobsFail", "AuraDeadLettersMany", "AuraDeadLettersWaiting", "AuraNothingSucceeds"];
    let publish = async || {
        let number: u32 = bad_ones.next().unwrap_or_default();
        world.publish(bad(&world, &format!("BAD{number}"))).await;
    };
    prometheus.fires_while(&told, SETTLED, publish).await;

    second.kill();
    let firing = prometheus.fires(&["AuraWorkerDown"], SOON).await;
    assert!(!firing.contains("AuraNoWorker"), "{firing:?}");
    first.kill();
    prometheus.fires(&["AuraNoWorker"], SOON).await;
}

#[tokio::test]
async fn a_job_that_ends_its_worker_again_and_again_is_told_and_so_is_a_worker_without_descriptors() {
    let (_hold, world) = world().await;
    let worker = world.worker(&[]).await;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let address = free.to_string();
    let prometheus = watching(&[&worker]).await;

    let mut sent = Vec::new();
    until("the worker has no descriptors", SOON, async || {
        // Until a job has none: some become free again as the work of the one before ends.
        if sent.iter().all(|id| !world.client.receipts_of(*id).is_empty()) {
            worker.limit_descriptors(worker.lowest_free_descriptor());
            sent.push(world.publish(export(&world, &format!("E{}", sent.len()), 5, 10, json!({}))).await);
        }
        worker.has_logged("no descriptors or memory left").then_some(())
    })
    .await;
    // A few, for whoever asks; a job needs more.
    worker.limit_descriptors(worker.lowest_free_descriptor() + 8);
    prometheus.fires(&["AuraWorkerExhausted"], SOON).await;
    worker.limit_descriptors(1024);
    prometheus.is_quiet_about(&["AuraWorkerExhausted"], SOON).await;
    drop(worker);

    let settings = [("AURA_HTTP_ADDR", address.as_str())];
    let start = || world.worker_with_failpoint("loaded:KILLER", &settings);
    prometheus.watches(&[&address]);
    let mut worker = start();
    for starts in 0..3 {
        // A life that was shorter than the next one's before it was looked at is none that can be missed.
        let told = format!("resets(process_uptime_seconds{{instance={address:?}}}[90s]) == {starts}");
        let long = format!("{told} and process_uptime_seconds > 3");
        until("Prometheus sees the worker's life", SOON, async || {
            (!prometheus.query(&long).await.is_empty()).then_some(())
        })
        .await;
        worker.kill();
        worker = start();
    }
    prometheus.fires(&["AuraWorkerRestarts"], SOON).await;
    let killer = world.publish(export(&world, "KILLER", 10, 10, json!({})).or("crash_suspect")).await;
    let supervise = async || {
        if worker.exit().is_some() {
            worker = start();
        }
    };
    prometheus.fires_while(&["AuraCrashSuspect"], SETTLED, supervise).await;
    assert!(!world.client.receipts_of(killer).is_empty(), "it was told before it was so");
}
