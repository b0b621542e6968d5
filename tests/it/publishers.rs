//! Who published a job: what the message says, and what the broker vouches for.

use lapin::{BasicProperties, types::AMQPValue};
use mongodb::bson::Document;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit::text,
    broker::headers,
    stack::stack,
    world::{World, csv, job, with},
};

/// The columns of a run that name its publisher.
async fn publisher(world: &World, job_id: Uuid) -> Value {
    let query = format!("SELECT published_by, broker_user FROM ingestion_runs WHERE job_id = '{job_id}'");
    world.rows(&query).await[0].take()
}

/// The metadata of a job's only event of a kind.
async fn metadata(world: &World, kind: &str) -> Document {
    let events = world.chain("A", "2022-06").await;
    let of_kind: Vec<_> = events.iter().filter(|event| text(event, "event_type") == kind).collect();
    assert_eq!(of_kind.len(), 1, "{kind} in {events:#?}");
    of_kind[0].get_document("metadata").expect("metadata").clone()
}

fn said(actor: &str) -> BasicProperties {
    BasicProperties::default().with_headers(headers(&[("aura-actor", AMQPValue::LongString(actor.into()))]))
}

#[tokio::test]
async fn a_forced_publish_names_its_actor_and_the_brokers_user_in_run_receipt_events_and_status() {
    let (mut world, _worker) = World::with_worker().await;
    let newer = world.write("1.csv", csv("A", "2022-06", &[("10", "1")]));
    world.ends("success", with(job(&newer, "A", "2022-06"), json!({"exported_at": "2022-07-01T10:00:00Z"}))).await;
    let file = world.write("2.csv", csv("A", "2022-06", &[("10", "2")]));
    world.lay_over(&[("AURA_ACTOR", "mara")]);
    let publish = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--force", "--reason", "late"];
    let published = world.producer(&[&publish[..], &["--wait", "--json"]].concat()).await.expect(0).json();
    let id: Uuid = published["jobs"][0]["job_id"].as_str().unwrap().parse().unwrap();
    let user = stack().amqp.username();
    assert_eq!(publisher(&world, id).await, json!({"published_by": "mara", "broker_user": user}));
    let receipt = world.broker.receipt(id).await;
    assert_eq!((&receipt["actor"], &receipt["user_id"]), (&json!("mara"), &json!(user)));
    assert_eq!(world.job_run(id).await["result"]["actor"], "mara");
    let job_id = id.to_string();
    let events = world.chain("A", "2022-06").await;
    for kind in ["ingestion_started", "file_ingested"] {
        let is_it = |event: &&Document| text(event, "event_type") == kind && text(event, "job_id") == job_id;
        let metadata = events.iter().find(is_it).expect(kind).get_document("metadata").expect("metadata");
        assert_eq!((text(metadata, "actor"), text(metadata, "user_id")), ("mara".into(), user.into()), "{kind}");
    }
    let told = world.producer(&["status", &job_id]).await.expect(0).stdout;
    let line = format!("publisher  mara (as RabbitMQ's user {user})");
    assert!(told.lines().any(|told| told == line), "{told}");
}

#[tokio::test]
async fn another_users_job_keeps_who_published_it_through_retries_dead_letter_and_replay() {
    let (world, worker) = World::with_worker().await;
    let (client, _, user) = world.other_user().await;
    let (file, id) = (world.input("late.csv"), Uuid::new_v4());
    let body = with(job(&file.display().to_string(), "A", "2022-06"), json!({"job_id": id})).to_string();
    client.publish_with(body.as_bytes(), said("erp").with_user_id(user.as_str().into())).await;
    let failed = world.broker.receipt(id).await;
    assert_eq!((&failed["status"], &failed["attempt"]), (&json!("failed"), &json!(4)), "{failed:#}");
    assert_eq!((&failed["actor"], &failed["user_id"]), (&json!("erp"), &json!(user)));
    let dead = metadata(&world, "dead_lettered").await;
    assert_eq!((text(&dead, "actor"), text(&dead, "user_id")), ("erp".into(), user.clone()));
    assert_eq!(world.broker.dead(1).await[0].header("aura-actor"), "erp");

    world.write("late.csv", csv("A", "2022-06", &[("10", "5")]));
    world.producer(&["dead", "replay", "--all"]).await.expect(0);
    let success = world.broker.nth_receipt(id, 2).await;
    assert_eq!(success["status"], "success", "{success:#}");
    assert_eq!((&success["actor"], &success["user_id"]), (&json!("erp"), &json!(user)));
    assert_eq!(publisher(&world, id).await, json!({"published_by": "erp", "broker_user": user}));
    assert!(!worker.text().contains("PRECONDITION"), "{}", worker.tail());
}

#[tokio::test]
async fn a_replay_as_a_new_job_is_published_by_who_replays() {
    let (mut world, _worker) = World::with_worker().await;
    let (client, _, user) = world.other_user().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "bad")]));
    let id = Uuid::new_v4();
    let body = with(job(&file, "A", "2022-06"), json!({"job_id": id})).to_string();
    client.publish_with(body.as_bytes(), said("erp").with_user_id(user.as_str().into())).await;
    world.broker.dead(1).await;
    let better = world.write("b.csv", csv("A", "2022-06", &[("10", "5")]));
    world.lay_over(&[("AURA_ACTOR", "mara")]);
    let replay = ["dead", "replay", "--as-new", "--file", &better, &id.to_string(), "--json"];
    let told = world.producer(&replay).await.expect(0).json();
    let new: Uuid = told["jobs"][0]["new_job_id"].as_str().unwrap().parse().unwrap();
    let receipt = world.broker.receipt(new).await;
    assert_eq!((&receipt["status"], &receipt["actor"]), (&json!("success"), &json!("mara")), "{receipt:#}");
    assert_eq!(publisher(&world, new).await["broker_user"], stack().amqp.username());
    assert_eq!(publisher(&world, id).await, json!({"published_by": "erp", "broker_user": user}));
}

#[tokio::test]
async fn what_a_header_says_is_not_vouched_for_and_a_name_that_cannot_be_kept_is_left_out() {
    let (world, _worker) = World::with_worker().await;
    let forged = headers(&[
        ("aura-actor", AMQPValue::LongString("boss".into())),
        ("aura-user-id", AMQPValue::LongString("boss".into())),
        ("user_id", AMQPValue::LongString("boss".into())),
    ]);
    let properties = BasicProperties::default().with_headers(forged);
    let mut jobs = Vec::new();
    for (entity, properties) in
        [("A", properties), ("B", said("a\0b\nc")), ("C", said(&"x".repeat(257))), ("D", BasicProperties::default())]
    {
        let (id, file) =
            (Uuid::new_v4(), world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")])));
        let body = with(job(&file, entity, "2022-06"), json!({"job_id": id})).to_string();
        world.broker.publish_with(body.as_bytes(), properties).await;
        assert_eq!(world.broker.receipt(id).await["status"], "success");
        jobs.push(id);
    }
    assert_eq!(publisher(&world, jobs[0]).await, json!({"published_by": "boss", "broker_user": null}));
    for id in &jobs[1..] {
        assert_eq!(publisher(&world, *id).await, json!({"published_by": null, "broker_user": null}));
    }
}

#[tokio::test]
async fn a_later_copy_by_somebody_else_does_not_change_who_published_a_job() {
    let (world, _worker) = World::with_worker().await;
    let (client, _, user) = world.other_user().await;
    let (file, id) = (world.write("a.csv", csv("A", "2022-06", &[("10", "5")])), Uuid::new_v4());
    let body = with(job(&file, "A", "2022-06"), json!({"job_id": id})).to_string();
    client.publish_with(body.as_bytes(), said("erp").with_user_id(user.as_str().into())).await;
    let first = world.broker.receipt(id).await;
    world.broker.publish_with(body.as_bytes(), said("boss")).await;
    let mut again = world.broker.nth_receipt(id, 2).await;
    assert_eq!(again.as_object_mut().and_then(|receipt| receipt.remove("repeated")), Some(json!(true)));
    assert_eq!(again, first);
    assert_eq!(publisher(&world, id).await, json!({"published_by": "erp", "broker_user": user}));
}

#[tokio::test]
async fn a_message_that_is_no_job_names_who_published_it() {
    let (world, _worker) = World::with_worker().await;
    let (client, _, user) = world.other_user().await;
    let id = Uuid::new_v4();
    let body = with(job("/x", "A", "2022-06"), json!({"job_id": id, "colour": "blue"})).to_string();
    client.publish_with(body.as_bytes(), said("erp").with_user_id(user.as_str().into())).await;
    let receipt = world.broker.receipt(id).await;
    assert_eq!((&receipt["actor"], &receipt["user_id"]), (&json!("erp"), &json!(user)), "{receipt:#}");
    assert_eq!(text(&metadata(&world, "dead_lettered").await, "actor"), "erp");
}
