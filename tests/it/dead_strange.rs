//! Dead letters that no worker wrote, and filters that mean none.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    broker::headers,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const DEAD: &str = "aura.dead";

async fn world() -> World {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    world.producer(&["topology"]).await.expect(0);
    world
}

async fn listed(world: &World, more: &[&str]) -> Value {
    let arguments: Vec<&str> = ["dead", "list", "--json"].iter().chain(more).copied().collect();
    world.producer(&arguments).await.expect(0).json()
}

/// A job that expired in a queue from which RabbitMQ puts what expires among the dead.
async fn expired(world: &World, entity: &str) -> Uuid {
    let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
    let id = Uuid::new_v4();
    let text = |text: &str| AMQPValue::LongString(text.into());
    let arguments: FieldTable = headers(&[
        ("x-message-ttl", AMQPValue::LongInt(1)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(DEAD)),
    ]);
    let queue = format!("short.{id}");
    world.broker.declare(&queue, arguments).await;
    let before = world.broker.depth(DEAD).await;
    let body = with(job(&file, entity, "2022-06"), json!({"job_id": id})).to_string();
    world.broker.publish_to("", &queue, body.as_bytes(), BasicProperties::default()).await;
    let there = async || (world.broker.depth(DEAD).await > before).then_some(());
    until("the message lies among the dead", SOON, there).await;
    id
}

#[tokio::test]
async fn a_message_that_expired_is_listed_shown_replayed_and_discarded_with_its_cause() {
    let world = world().await;
    let (kept, given_up) = (expired(&world, "A").await, expired(&world, "B").await);
    let list = listed(&world, &["--code", "expired"]).await;
    assert_eq!((&list["groups"][0]["code"], &list["groups"][0]["jobs"]), (&json!("expired"), &json!(2)));
    assert!(list["jobs"][0]["failed_at"].is_string(), "{list:#}");
    assert_eq!(listed(&world, &["--older-than", "1h"]).await["jobs"], json!([]));
    let shown = world.producer(&["dead", "show", &kept.to_string()]).await.expect(0).stdout;
    assert!(shown.contains("expired") && shown.contains("replay it"), "{shown}");
    let discard = ["dead", "discard", "--code", "expired", "--entity", "B", "--reason", "too late"];
    world.producer(&discard).await.expect(0);
    world.producer(&["dead", "replay", "--code", "expired"]).await.expect(0);
    let _worker = world.worker(&[]).await;
    assert_eq!(world.broker.receipt(kept).await["status"], "success");
    assert_eq!(world.broker.depth(DEAD).await, 0);
    assert!(world.broker.receipts_of(given_up).is_empty());
    let discarded = world.events("B", "2022-06").await;
    assert!(discarded.iter().any(|event| event == "discarded"), "{discarded:?}");
}

#[tokio::test]
async fn a_letter_too_large_to_be_read_is_told_kept_from_replay_and_discarded() {
    let world = world().await;
    let large = vec![b' '; (1 << 20) + 1];
    let id = Uuid::new_v4();
    let named = BasicProperties::default().with_message_id(id.to_string().into());
    world.broker.publish_to("", DEAD, &large, named).await;
    world.broker.publish_to("", DEAD, &large, BasicProperties::default()).await;
    let small = expired(&world, "A").await;
    let list = listed(&world, &[]).await;
    let told: Vec<&Value> = list["jobs"].as_array().unwrap().iter().map(|job| &job["withheld"]).collect();
    assert_eq!(told, [&json!(large.len()), &json!(large.len()), &Value::Null]);
    let shown = world.producer(&["dead", "show", &id.to_string()]).await.expect(0).stdout;
    assert!(shown.contains("1048577 bytes"), "{shown}");

    let replayed = world.producer(&["dead", "replay", "--all", "--json"]).await.expect(1).json();
    assert_eq!(replayed["jobs"].as_array().unwrap().len(), 1, "{replayed:#}");
    assert_eq!(replayed["jobs"][0]["job_id"], json!(small));
    assert!(replayed["refused"][0]["error"].as_str().unwrap().contains("1048577 bytes"), "{replayed:#}");
    let left = world.broker.dead(2).await;
    assert_eq!(left.iter().map(|letter| letter.body.len()).collect::<Vec<_>>(), [large.len(); 2]);
    assert_eq!(world.broker.depth("aura.jobs").await, 1);
    world.producer(&["dead", "discard", "--all", "--reason", "not ours"]).await.expect(0);
    assert_eq!(world.broker.depth(DEAD).await, 0);
}

#[tokio::test]
async fn a_code_that_is_none_is_refused_with_the_nearest_and_an_empty_answer_says_what_lies_there() {
    let world = world().await;
    expired(&world, "A").await;
    for arguments in [
        &["dead", "list", "--code", "row_invlaid"][..],
        &["dead", "replay", "--code", "row_invlaid"],
        &["dead", "discard", "--code", "row_invlaid", "--reason", "a test"],
    ] {
        let said = world.producer(arguments).await.expect(2);
        assert!(said.stderr.contains("row_invalid"), "{}", said.stderr);
    }
    for filter in [["--code", "row_invalid"], ["--entity", "Z"], ["--period", "2022-07"]] {
        let told = world.producer(&["dead", "list", filter[0], filter[1]]).await.expect(0).stdout;
        assert!(told.contains("aura.dead holds 1 letter"), "{told}");
        let told = world.producer(&["dead", "replay", filter[0], filter[1]]).await.expect(0).stdout;
        assert!(told.contains("0 jobs replayed; aura.dead holds 1 letter"), "{told}");
    }
    let of_later = headers(&[("aura-error-code", AMQPValue::LongString("of_a_later_version".into()))]);
    world.broker.publish_to("", DEAD, b"{}", BasicProperties::default().with_headers(of_later)).await;
    let list = listed(&world, &["--code", "of_a_later_version"]).await;
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1, "{list:#}");
}
