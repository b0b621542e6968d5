//! The same job_id is the same job.

use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    stack::checkout,
    world::{World, csv, job, with},
};

#[tokio::test]
async fn three_fields_without_any_property_are_a_job_with_every_default() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-5")]));
    let before: DateTime<Utc> = Utc::now();
    world.broker.publish(job(&file, "A", "2022-06").to_string().as_bytes()).await;
    let receipt = world.broker.receipt_where("the receipt", |_| true).await;
    assert_eq!(receipt.key, "job.success.-");
    let id: Uuid = receipt.body["job_id"].as_str().unwrap().parse().expect("the worker made an identity");
    let run = world.job_run(id).await;
    assert_eq!(
        (&run["source"], &run["mode"], &run["status"]),
        (&json!("default"), &json!("upsert"), &json!("success"))
    );
    assert_eq!((&run["batch_id"], &run["attempts"]), (&Value::Null, &json!(1)));
    let exported: DateTime<Utc> = run["exported_at"].as_str().unwrap().parse().unwrap();
    assert!(exported >= before - chrono::TimeDelta::seconds(1) && exported <= Utc::now(), "{exported}");
    let row = "SELECT company_code, criticality, review_status, department FROM gl_accounts WHERE account_code = '10'";
    assert_eq!(
        world.rows(row).await,
        json!([{"company_code": "A", "criticality": "medium", "review_status": "pending", "department": null}])
    );
    assert!(checkout().join("shared/schema/job.schema.json").exists());
}

#[tokio::test]
async fn identity_batch_and_order_come_from_the_properties_where_the_body_has_none() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let (id, batch) = (Uuid::new_v4(), Uuid::new_v4());
    let properties = BasicProperties::default()
        .with_message_id(id.to_string().into())
        .with_correlation_id(batch.to_string().into())
        .with_timestamp(1_656_655_200);
    world.broker.publish_with(job(&file, "A", "2022-06").to_string().as_bytes(), properties).await;
    let receipt = world.broker.receipt(id).await;
    assert_eq!(receipt["batch_id"], batch.to_string());
    assert_eq!(world.broker.receipts_of(id)[0].1.key, format!("job.success.{batch}"));
    let run = world.job_run(id).await;
    let exported: DateTime<Utc> = run["exported_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(exported.timestamp(), 1_656_655_200);
    assert_eq!(run["batch_id"], batch.to_string());
}

#[tokio::test]
async fn the_same_job_again_has_no_further_effect_and_its_receipt_comes_again() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let id = Uuid::new_v4();
    let message = with(job(&file, "A", "2022-06"), json!({"job_id": id}));
    let first = world.ends("success", message.clone()).await;
    let run = world.job_run(id).await;
    // Even with another file under its name: the job is done.
    world.write("a.csv", csv("A", "2022-06", &[("10", "6")]));
    world.send(message).await;
    let mut again = world.broker.nth_receipt(id, 2).await;
    assert_eq!(again["repeated"].take(), true, "{again:#}");
    again.as_object_mut().unwrap().remove("repeated");
    assert_eq!(again, first);
    assert_eq!(world.job_run(id).await, run);
    assert_eq!(world.slice("A", "2022-06").await, (1, "5".to_owned()));
    assert_eq!(world.events("A", "2022-06").await.len(), 8);
}

#[tokio::test]
async fn the_same_job_id_with_another_body_is_refused_and_leaves_the_first_run_untouched() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let other = world.write("b.csv", csv("A", "2022-06", &[("10", "7")]));
    let id = Uuid::new_v4();
    world.ends("success", with(job(&file, "A", "2022-06"), json!({"job_id": id}))).await;
    let run = world.job_run(id).await;
    world.send(with(job(&other, "A", "2022-06"), json!({"job_id": id}))).await;
    let dead = world.broker.dead(1).await;
    assert_eq!(dead[0].header("aura-error-code"), "invalid_message");
    assert!(dead[0].header("aura-error-message").contains("job_id"), "{}", dead[0].header("aura-error-message"));
    let refused = world.broker.nth_receipt(id, 2).await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!("failed"), &json!("invalid_message")));
    assert_eq!(world.job_run(id).await, run);
    assert_eq!(world.slice("A", "2022-06").await, (1, "5".to_owned()));
}

#[tokio::test]
async fn two_messages_without_an_identity_load_one_file_once() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let body = job(&file, "A", "2022-06").to_string();
    world.broker.publish(body.as_bytes()).await;
    world.broker.publish(body.as_bytes()).await;
    for status in ["success", "skipped"] {
        world.broker.receipt_where(status, |receipt| receipt["status"] == status).await;
    }
    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 2);
}

#[tokio::test]
async fn a_replayed_job_without_an_identity_keeps_the_one_it_was_given() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", "no,such,columns\n1,2,3\n");
    world.broker.publish(job(&file, "A", "2022-06").to_string().as_bytes()).await;
    let failed = world.broker.receipt_where("the failure", |receipt| receipt["status"] == "failed").await;
    world.broker.dead(1).await;
    world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.producer(&["dead", "replay", "--entity", "A"]).await.expect(0);
    let id = failed.body["job_id"].as_str().unwrap().parse().unwrap();
    let receipt = world.broker.nth_receipt(id, 2).await;
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)));
    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 1);
}
