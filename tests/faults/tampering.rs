//! The checker itself: whatever is lost, doubled or wrong, it says so.

use std::time::Duration;

use bson::{Document, doc};
use serde_json::json;
use tests::faults::checker::check;
use uuid::Uuid;

use crate::run::{bad, export, is_whole, world};

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    let (_hold, world) = world().await;
    let mut worker = world.worker(&[]).await;
    for (entity, hour) in [("A", 10), ("A", 11), ("B", 10), ("C", 10)] {
        world.publish(export(&world, entity, 5, hour, json!({}))).await;
    }
    world.publish(bad(&world, "BAD")).await;
    let clean = is_whole(&world).await;
    assert_eq!((clean.outcome("failed"), clean.outcome("success") + clean.outcome("superseded")), (1, 4));
    worker.kill();

    let session = world.session().await;
    let trail = world.mongo.collection::<Document>("audit_trail");
    let metadata = world.mongo.collection::<Document>("gl_metadata");
    let cache = world.path().join("cache");
    let mut before = 0;
    for step in 0..10 {
        let execute = async |statement: &str| session.batch_execute(statement).await.expect("it is done");
        match step {
            0 => execute("UPDATE gl_accounts SET balance = balance + 1 WHERE entity = 'B' AND account_code = '001001'").await,
            1 => execute("DELETE FROM gl_accounts WHERE entity = 'C' AND account_code = '001002'").await,
            2 => execute("UPDATE ingestion_runs SET rows = rows + 1 WHERE entity = 'B'").await,
            3 => execute("INSERT INTO gl_balance_changes VALUES ('B', '2022-06', 'B', '001003', gen_random_uuid(), 1, 2, 'updated')").await,
            4 => execute("UPDATE ingestion_runs SET status = 'running', finished_at = NULL WHERE entity = 'BAD'").await,
            5 => {
                let event = doc! {"entity": "B", "seq": 3_i64};
                trail.update_one(event, doc! {"$set": {"worker": "nobody"}}).await.expect("it is changed");
            }
            6 => {
                trail.delete_one(doc! {"entity": "C", "seq": 8_i64}).await.expect("it is deleted");
            }
            7 => {
                metadata.delete_one(doc! {"entity": "C"}).await.expect("it is deleted");
            }
            8 => std::fs::copy(cache.join("C_2022-06_ingested.parquet"), cache.join("B_2022-06_ingested.parquet"))
                .map(|_| ())
                .expect("it is copied"),
            _ => {
                // Only verify looks for documents of jobs that nobody knows.
                let unknown = doc! {"_id": Uuid::new_v4().to_string(), "entity": "A", "period": "2022-06"};
                metadata.insert_one(unknown).await.expect("it is added");
            }
        }
        let findings = check(&world, Duration::from_secs(1)).await;
        let number = findings.lost.len() + findings.doubled.len() + findings.wrong.len();
        assert!(number > before, "step {step} was not found:\n{findings}");
        before = number;
    }
}
