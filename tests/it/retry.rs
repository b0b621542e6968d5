//! A transient failure is retried after 1, 2 and 4 seconds; then it is a dead letter.

use std::time::Duration;

use bson::Document;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::text,
    broker::headers,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// Seconds between the times at which a job failed.
#[expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]
fn gaps(events: &[Document]) -> Vec<f64> {
    let failed = events.iter().filter(|event| text(event, "event_type") == "error_occurred");
    let times: Vec<_> =
        failed.map(|event| event.get_datetime("timestamp").expect("a time").timestamp_millis()).collect();
    times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e3).collect()
}

#[tokio::test]
async fn a_missing_file_is_tried_after_1_2_and_4_seconds_then_dead_lettered_and_replayed_once_it_is_there() {
    let (world, _worker) = World::with_worker().await;
    let file = world.input("late.csv").display().to_string();
    let id = Uuid::new_v4();
    let message = with(job(&file, "A", "2022-06"), json!({"job_id": id}));
    world.send(message.clone()).await;
    let dead = world.broker.dead(1).await.remove(0);

    assert_eq!(dead.body, message.to_string().into_bytes(), "the body is unchanged");
    assert_eq!(dead.header("aura-error-code"), "file_not_found");
    assert_eq!(dead.header("aura-error-stage"), "load");
    assert!(!dead.header("aura-error-message").is_empty() && dead.header("aura-error-message").len() <= 4096);
    assert_eq!(dead.headers["aura-attempt"], 4);
    assert_eq!(dead.headers["aura-replays"], 0);
    assert!(!dead.header("aura-worker").is_empty());
    let time = |name: &str| chrono::DateTime::parse_from_rfc3339(&dead.header(name)).expect(name);
    let waited = (time("aura-failed-at") - time("aura-first-failed-at")).num_milliseconds();
    assert!((7_000..12_000).contains(&waited), "{waited} ms between the first failure and the last");
    assert!(!dead.headers.keys().any(|name| name.starts_with("x-death")), "{:?}", dead.headers);

    let receipt = world.broker.receipt(id).await;
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("failed"), &json!(4)));
    let run = world.job_run(id).await;
    assert_eq!(
        (&run["status"], &run["attempts"], &run["error_code"]),
        (&json!("failed"), &json!(4), &json!("file_not_found"))
    );
    let chain = world.chain("A", "2022-06").await;
    let of_type = |kind: &str| chain.iter().filter(|event| text(event, "event_type") == kind).count();
    assert_eq!((of_type("error_occurred"), of_type("retry_scheduled"), of_type("dead_lettered")), (4, 3, 1));
    for (gap, delay) in gaps(&chain).into_iter().zip([1.0, 2.0, 4.0]) {
        assert!((delay..delay + 1.5).contains(&gap), "{gap} s instead of {delay} s");
    }

    world.write("late.csv", csv("A", "2022-06", &[("10", "5")]));
    world.producer(&["dead", "replay", "--entity", "A"]).await.expect(0);
    let receipt = world.broker.nth_receipt(id, 2).await;
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)), "{receipt:#}");
    until("the dead-letter queue is empty", SOON, async || (world.broker.depth("aura.dead").await == 0).then_some(()))
        .await;
    assert!(world.events("A", "2022-06").await.contains(&"replayed".to_owned()));
}

#[tokio::test]
async fn a_file_that_comes_a_moment_late_is_loaded_without_anyones_doing() {
    let (world, _worker) = World::with_worker().await;
    let file = world.input("late.csv").display().to_string();
    let id = world.send(job(&file, "A", "2022-06")).await;
    until("the job waits for its second attempt", SOON, async || {
        let tables = "SELECT count(*) FROM ingestion_runs WHERE status = 'retrying'";
        (world.one::<i64>(tables, &[]).await == 1).then_some(())
    })
    .await;
    world.write("late.csv", csv("A", "2022-06", &[("10", "5")]));
    let receipt = world.broker.receipt(id).await;
    assert_eq!(receipt["status"], "success");
    assert!(receipt["attempt"].as_u64().unwrap() >= 2);
    assert_eq!(world.job_run(id).await["attempts"], receipt["attempt"]);
    assert_eq!(world.broker.depth("aura.dead").await, 0);
}

#[tokio::test]
async fn a_forged_x_death_header_neither_loses_nor_delays_a_job() {
    let (world, _worker) = World::with_worker().await;
    let file = world.input("none.csv").display().to_string();
    let id = Uuid::new_v4();
    let mut death = FieldTable::default();
    for (name, value) in [("queue", "aura.jobs"), ("reason", "expired"), ("exchange", "aura.jobs")] {
        death.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    death.insert("count".into(), AMQPValue::LongLongInt(99));
    let deaths = FieldArray::from(vec![AMQPValue::FieldTable(death)]);
    let forged = headers(&[
        ("x-death", AMQPValue::FieldArray(deaths)),
        ("x-first-death-queue", AMQPValue::LongString("aura.retry.1s".into())),
        ("x-first-death-reason", AMQPValue::LongString("expired".into())),
        ("x-first-death-exchange", AMQPValue::LongString("".into())),
    ]);
    let body = with(job(&file, "A", "2022-06"), json!({"job_id": id})).to_string();
    world.broker.publish_with(body.as_bytes(), BasicProperties::default().with_headers(forged)).await;
    world.broker.receipt(id).await;
    assert_eq!(world.broker.dead(1).await[0].headers["aura-attempt"], 4);
    let gaps = gaps(&world.chain("A", "2022-06").await);
    assert_eq!(gaps.len(), 3, "{gaps:?}");
}

#[tokio::test]
async fn a_permanent_failure_is_dead_lettered_without_a_retry() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("bad.csv", csv("A", "2022-06", &[("10", "12.3x4")]));
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!((&receipt["attempt"], &receipt["error"]["code"]), (&json!(1), &json!("row_invalid")));
    let dead = world.broker.dead(1).await.remove(0);
    assert_eq!(dead.header("aura-fingerprint"), receipt["fingerprint"].as_str().unwrap());
    assert_eq!(dead.header("aura-attempt"), "1");
    let events = world.events("A", "2022-06").await;
    assert!(!events.contains(&"retry_scheduled".to_owned()), "{events:?}");
    assert_eq!(events.iter().filter(|event| *event == "dead_lettered").count(), 1);
}

#[tokio::test]
async fn other_jobs_go_on_while_one_waits_for_its_retry() {
    let (world, _worker) = World::with_worker().await;
    let missing = world.input("none.csv").display().to_string();
    let id = world.send(job(&missing, "LATE", "2022-06")).await;
    for number in 0..20 {
        let entity = format!("E{number}");
        let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
        world.send(job(&file, &entity, "2022-06")).await;
    }
    world.broker.count("20 successes", 20, Duration::from_secs(60), |r| r["status"] == "success").await;
    let receipt = world.broker.receipt(id).await;
    assert_eq!(receipt["attempt"], 4);
}
