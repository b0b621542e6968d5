//! Queues that go, and headers that lie.

use std::time::Duration;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable},
};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{faults::World, program::Said, wait::until};

use crate::run::{SETTLED, ended, export, is_whole, missing, publish_many, world};

async fn delete(world: &World, queue: &str) {
    let path = format!("queues/{}/{queue}", world.name());
    until("a queue is deleted", SETTLED, async || world.services.manage(Method::DELETE, &path, &Value::Null).await)
        .await;
}

#[tokio::test]
async fn a_worker_whose_queue_was_deleted_declares_it_again_and_goes_on() {
    let (_hold, world) = world().await;
    let mut worker = world.worker(&[]).await;
    publish_many(&world, "E", 5).await;
    ended(&world, 5).await;
    delete(&world, "aura.jobs").await;
    // Publishing is mandatory, so it waits until the queue is there again.
    world.publish(export(&world, "LATER", 10, 10, json!({}))).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 6);
    worker.is_ready(true, SETTLED).await;
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_job_whose_retry_queue_is_gone_is_not_lost() {
    let (_hold, world) = world().await;
    let mut worker = world.worker(&[]).await;
    for queue in ["aura.retry.1s", "aura.retry.2s", "aura.retry.4s"] {
        delete(&world, queue).await;
    }
    world.publish(missing(&world, "LATE")).await;
    world.publish(export(&world, "A", 10, 10, json!({}))).await;
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (1, 1), "{findings}");
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn forged_and_stale_headers_do_no_harm() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut death = FieldTable::default();
    for (name, value) in [("queue", "aura.jobs"), ("reason", "rejected"), ("exchange", "aura.jobs")] {
        death.insert(name.into(), text(value));
    }
    death.insert("count".into(), AMQPValue::LongLongInt(1 << 40));
    let deaths = AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)]));
    let forgeries: [&[(&str, AMQPValue)]; 5] = [
        &[("x-death", deaths.clone()), ("x-first-death-queue", text("aura.retry.1s"))],
        &[("aura-attempt", AMQPValue::LongInt(-7)), ("aura-replays", text("many"))],
        &[("aura-attempt", text("3")), ("aura-job-id", text("00000000-0000-0000-0000-000000000000"))],
        &[
            ("aura-returned-claim", text("00000000-0000-0000-0000-000000000000")),
            ("x-delivery-count", AMQPValue::LongInt(99)),
        ],
        &[("aura-error-code", text("row_invalid")), ("aura-first-failed-at", text("yesterday")), ("x-death", deaths)],
    ];
    for (place, forged) in forgeries.into_iter().enumerate() {
        for job in [export(&world, &format!("GOOD{place}"), 5, 10, json!({})), missing(&world, &format!("LATE{place}"))]
        {
            let mut headers = FieldTable::default();
            for (name, value) in forged {
                headers.insert((*name).into(), value.clone());
            }
            let expiring = BasicProperties::default().with_headers(headers);
            world.publish_with(job, expiring).await;
        }
    }
    let findings = tokio::time::timeout(Duration::from_secs(100), is_whole(&world)).await.expect("it settles");
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (5, 5), "{findings}");
}

#[tokio::test]
async fn a_job_that_its_publisher_lets_expire_lies_among_the_dead_with_its_cause_and_can_be_replayed() {
    let (_hold, world) = world().await;
    let job = export(&world, "A", 5, 10, json!({}));
    let id = world.publish_with(job, BasicProperties::default().with_expiration("100".into())).await;
    let dead = until("the message lies among the dead", SETTLED, async || {
        world.client.look("aura.dead").await.filter(|letters| !letters.is_empty())
    })
    .await;
    assert_eq!(dead.len(), 1);
    let told = world.producer(&["dead", "list", "--json"]).await;
    assert!(told.contains("expired") && told.contains(&id.to_string()), "{told}");
    let _worker = world.worker(&[]).await;
    world.producer(&["dead", "replay", "--all"]).await;
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1, "{findings}");
}

#[tokio::test]
async fn queues_of_an_earlier_version_are_used_as_they_are_and_other_arguments_are_told() {
    let (_hold, world) = world().await;
    let earlier = json!({"durable": true, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": i32::MAX}});
    for queue in ["aura.jobs", "aura.dead"] {
        delete(&world, queue).await;
        let path = format!("queues/{}/{queue}", world.name());
        world.services.manage(Method::PUT, &path, &earlier).await.expect("a queue is declared");
    }
    let mut worker = world.worker(&[]).await;
    assert!(worker.has_logged("arguments of an earlier version"), "{}", worker.text());
    world.publish(export(&world, "A", 5, 10, json!({}))).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
    worker.kill();

    delete(&world, "aura.jobs").await;
    let other = json!({"durable": true, "arguments": {"x-queue-type": "classic"}});
    let path = format!("queues/{}/aura.jobs", world.name());
    world.services.manage(Method::PUT, &path, &other).await.expect("a queue is declared");
    let Said { code, stderr: told, .. } = world.run_producer(&["topology"]).await;
    assert!(code != 0 && told.contains("aura.jobs") && told.contains("x-queue-type"), "{code}: {told}");
}

#[tokio::test]
async fn a_listener_whose_queue_takes_no_receipt_stops_no_worker() {
    let (_hold, world) = world().await;
    // A queue of somebody's own, bound to all receipts, which is full with the first one.
    let full = json!({"durable": true, "arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    let queue = format!("queues/{}/somebody.full", world.name());
    world.services.manage(Method::PUT, &queue, &full).await.expect("a queue is declared");
    let bind = format!("bindings/{}/e/aura.events/q/somebody.full", world.name());
    world.services.manage(Method::POST, &bind, &json!({"routing_key": "#"})).await;
    let worker = world.worker(&[]).await;
    publish_many(&world, "E", 30).await;
    worker.logs("a queue that is bound to the receipts takes none", SETTLED).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 30);
}
