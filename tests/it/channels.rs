//! The AsyncAPI document: what travels through the queues is what it says.

use std::time::Duration;

use lapin::{BasicProperties, types::FieldTable};
use serde_json::{Map, Value, json};
use tests::{program::run_with_input, wait::SOON, wait::until};
use uuid::Uuid;

use crate::{
    broker::DeadLetter,
    process::node,
    stack::checkout,
    world::{World, csv, job, with},
};

/// The properties by the names of the protocol.
fn named(properties: &BasicProperties) -> Value {
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| json!(text.as_str()));
    let pairs = [
        ("content_type", text(properties.content_type())),
        ("content_encoding", text(properties.content_encoding())),
        ("delivery_mode", properties.delivery_mode().map(|mode| json!(mode))),
        ("type", text(properties.kind())),
        ("message_id", text(properties.message_id())),
        ("correlation_id", text(properties.correlation_id())),
        ("timestamp", properties.timestamp().map(|seconds| json!(seconds))),
        ("user_id", text(properties.user_id())),
        ("app_id", text(properties.app_id())),
        ("expiration", text(properties.expiration())),
        ("reply_to", text(properties.reply_to())),
    ];
    let there: Map<_, _> = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Value::Object(there)
}

/// A message as the document's validator takes it; without its body where that may be anything.
fn line(message: &str, letter: &DeadLetter) -> Value {
    let line = json!({"message": message, "properties": named(&letter.properties), "headers": letter.headers});
    match message {
        "deadJob" => line,
        _ => with(line, json!({"payload": serde_json::from_slice::<Value>(&letter.body).expect("JSON")})),
    }
}

async fn faults(lines: &[Value]) -> Vec<String> {
    let mut command = node();
    let tests = checkout().join("tests/other_language/channels.js");
    command.arg(tests).arg(checkout().join("shared/schema/asyncapi.yaml"));
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let said = run_with_input(command, input.as_bytes(), Duration::from_secs(60)).await.expect(0);
    said.stdout.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn every_message_of_every_queue_is_as_the_document_of_the_channels_says() {
    let world = World::new().await;
    world.producer(&["topology"]).await.expect(0);
    let (queue, batch) = ("receipts-of-a-test", Uuid::new_v4());
    world.broker.declare(queue, FieldTable::default()).await;
    world.broker.bind(queue, "aura.events", "job.#").await;

    let expired = BasicProperties::default().with_expiration("1".into());
    world.broker.publish_with(job("late.csv", "A", "2022-06").to_string().as_bytes(), expired).await;
    let mut seen: Vec<_> = world.broker.dead(1).await.iter().map(|letter| line("deadJob", letter)).collect();
    assert_eq!(seen[0]["headers"]["x-death"][0]["reason"], "expired");
    let good = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let publish =
        ["publish", "--file", &good, "--entity", "A", "--period", "2022-06", "--force", "--reason", "why not"];
    world.producer(&publish).await.expect(0);
    let bare = world.broker.look("aura.jobs").await;
    assert_eq!(bare.len(), 1);
    seen.extend(bare.iter().map(|letter| line("job", letter)));

    let _worker = world.worker(&[]).await;
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    world.ends("failed", with(job(&bad, "B", "2022-06"), json!({"batch_id": batch}))).await;
    world.ends("failed", json!({"entity": "b"})).await;
    let missing = world.send(job(&world.input("missing.csv").display().to_string(), "C", "2022-06")).await;
    // It waits in each queue for a moment; on a busy machine not every one of them is seen.
    let before = seen.len();
    until("the job has failed", SOON, async || {
        for retry in ["aura.retry.1s", "aura.retry.2s", "aura.retry.4s"] {
            seen.extend(world.broker.look(retry).await.iter().map(|letter| line("retriedJob", letter)));
        }
        world.broker.receipts_of(missing).first().map(|_| ())
    })
    .await;
    assert!(seen.len() > before, "the job was seen on its way to another attempt");
    let dead = world.broker.dead(4).await;
    seen.extend(dead.iter().map(|letter| line("deadJob", letter)));
    let told = async || Some(world.broker.look(queue).await).filter(|receipts| receipts.len() == 4);
    let receipts = until("four receipts", SOON, told).await;
    seen.extend(receipts.iter().map(|letter| line("receipt", letter)));
    for (line, fault) in seen.iter().zip(faults(&seen).await) {
        assert_eq!(fault, "true", "{line:#}");
    }

    // A document that accepts everything would say nothing.
    let receipt = seen.last().expect("a receipt");
    let wrong = [
        with(receipt.clone(), json!({"properties": {}})),
        with(receipt.clone(), json!({"headers": {"aura-error-code": "timeout"}})),
        with(receipt.clone(), json!({"payload": {}})),
        with(receipt.clone(), json!({"message": "deadJob"})),
        with(seen[0].clone(), json!({"headers": {}})),
    ];
    for (line, fault) in wrong.iter().zip(faults(&wrong).await) {
        assert_ne!(fault, "true", "{line:#}");
    }
}
