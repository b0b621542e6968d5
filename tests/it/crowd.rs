//! Many messages, several workers, and one that is killed.

use std::{collections::BTreeMap, time::Duration};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use serde_json::json;
use tests::random::Random;

use crate::{
    audit::text,
    wait::until,
    world::{World, csv, job, with},
};

const LONG: Duration = Duration::from_secs(420);

#[tokio::test]
async fn a_thousand_messages_have_one_effect_each_though_a_worker_is_killed_in_the_middle() {
    let world = World::new().await;
    let mut first = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let _second = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let mut jobs = Vec::new();
    for number in 0..1_000 {
        let entity = format!("E{number:04}");
        let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "1.5"), ("20", "-0.5")]));
        jobs.push((entity.clone(), world.send(job(&file, &entity, "2022-06")).await));
        if number == 400 {
            world.broker.count("100 successes", 100, LONG, |receipt| receipt["status"] == "success").await;
            first.kill();
        }
    }
    let _third = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let ended = "SELECT count(*) FROM ingestion_runs WHERE status = 'success'";
    until("1,000 runs succeed", LONG, async || (world.one::<i64>(ended, &[]).await == 1_000).then_some(())).await;
    for (_, id) in &jobs {
        assert_eq!(world.broker.receipt(*id).await["status"], "success");
    }
    world.settled().await;

    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 1_000);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await, 2_000);
    let wrong =
        "SELECT count(*) FROM (SELECT entity FROM gl_accounts GROUP BY 1 HAVING count(*) <> 2 OR sum(balance) <> 1) q";
    assert_eq!(world.one::<i64>(wrong, &[]).await, 0);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_balance_changes", &[]).await, 0);
    let trail = world.mongo.collection::<Document>("audit_trail");
    let inserts = trail.find(doc! {"event_type": {"$in": ["db_insert", "ingestion_completed"]}}).await.unwrap();
    let mut tally: BTreeMap<(String, String), u32> = BTreeMap::new();
    for event in inserts.try_collect::<Vec<_>>().await.unwrap() {
        *tally.entry((text(&event, "event_type"), text(&event, "job_id"))).or_default() += 1;
    }
    assert_eq!(tally.len(), 2_000);
    assert!(tally.values().all(|times| *times == 1), "an event was written twice");
    let metadata = world.mongo.collection::<Document>("gl_metadata");
    assert_eq!(metadata.count_documents(doc! {}).await.unwrap(), 1_000);
    for (entity, _) in jobs.iter().step_by(25) {
        world.chain(entity, "2022-06").await;
        assert_eq!(world.cached(entity, "2022-06").await.rows, 2);
    }
    let files = world.cache_files();
    assert_eq!(files.iter().filter(|name| name.ends_with(".parquet")).count(), 1_000);
    for queue in ["aura.jobs", "aura.dead", "aura.retry.1s", "aura.retry.2s", "aura.retry.4s"] {
        assert_eq!(world.broker.depth(queue).await, 0, "{queue}");
    }
}

#[tokio::test]
async fn three_exports_of_each_of_sixty_slices_in_any_order_end_as_the_newest() {
    let world = World::new().await;
    let _workers = [world.worker(&[]).await, world.worker(&[]).await, world.worker(&[]).await];
    let mut messages = Vec::new();
    for slice in 0..60 {
        let entity = format!("E{slice:02}");
        for export in 1..=3 {
            let (own, all) = (format!("{export}"), format!("{slice}.{export}"));
            // Each export has an account that the others lack; the newest alone must be left.
            let text = csv(&entity, "2022-06", &[("10", &all), (&format!("2{export}"), &own)]);
            let file = world.write(&format!("{entity}-{export}.csv"), text);
            let more = json!({"exported_at": format!("2022-07-01T1{export}:00:00Z"), "mode": "replace"});
            messages.push(with(job(&file, &entity, "2022-06"), more));
        }
    }
    Random::new(4).shuffle(&mut messages);
    let mut jobs = Vec::new();
    for message in messages {
        jobs.push(world.send(message).await);
    }
    for id in &jobs {
        let receipt = world.broker.receipt(*id).await;
        let status = receipt["status"].as_str().unwrap();
        assert!(["success", "superseded"].contains(&status), "{receipt:#}");
    }
    world.settled().await;
    for slice in 0..60 {
        let entity = format!("E{slice:02}");
        let newest = vec![("10".to_owned(), format!("{slice}.3")), ("23".to_owned(), "3".to_owned())];
        assert_eq!(world.balances(&entity, "2022-06").await, newest, "{entity} in PostgreSQL");
        assert_eq!(world.cached(&entity, "2022-06").await.balances(), newest, "{entity} in Parquet");
        let events = world.events(&entity, "2022-06").await;
        let ended = events.iter().filter(|event| ["ingestion_completed", "superseded"].contains(&event.as_str()));
        assert_eq!(ended.count(), 3, "{entity}: {events:?}");
    }
}
