//! Receipts: what a finance system hears.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    stack::checkout,
    world::{World, csv, job, with},
};

const FIELDS: [&str; 24] = [
    "status",
    "reason",
    "job_id",
    "batch_id",
    "entity",
    "period",
    "file",
    "fingerprint",
    "source",
    "mode",
    "attempt",
    "rows",
    "rows_other_slices",
    "inserted",
    "updated",
    "unchanged",
    "deleted",
    "absent",
    "failed",
    "balance_sum",
    "warnings",
    "error",
    "duration_seconds",
    "finished_at",
];

#[tokio::test]
async fn a_receipt_has_every_field_of_the_contract_and_no_other() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let success = world.ends("success", job(&file, "A", "2022-06")).await;
    let bad = world.write("b.csv", csv("A", "2022-06", &[("10", "x")]));
    let failed = world.ends("failed", job(&bad, "A", "2022-06")).await;
    let expected: BTreeSet<_> = FIELDS.into_iter().collect();
    for receipt in [&success, &failed] {
        let names: BTreeSet<_> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, expected);
    }
    assert_eq!((&success["file"], &success["error"]), (&json!(file), &Value::Null));
    assert!(failed["error"]["code"].is_string() && failed["error"]["rows"].is_array());
    let finished = success["finished_at"].as_str().unwrap();
    chrono::DateTime::parse_from_rfc3339(finished).expect("a time");
    assert!(success["duration_seconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_routing_key_names_status_and_batch() {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    world.ends("success", with(job(&file, "A", "2022-06"), json!({"batch_id": batch}))).await;
    world.ends("skipped", with(job(&file, "A", "2022-06"), json!({"batch_id": batch}))).await;
    world.ends("failed", with(job(&bad, "B", "2022-06"), json!({"batch_id": batch}))).await;
    let keys: Vec<_> = world.broker.received().into_iter().map(|one| one.key).collect();
    assert_eq!(keys, ["success", "skipped", "failed"].map(|status| format!("job.{status}.{batch}")));
}

#[tokio::test]
async fn the_receipt_is_the_runs_result_and_that_of_gl_metadata() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5.25"), ("20", "1")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let run = world.job_run(id).await;
    assert_eq!(run["result"], receipt);
    for field in ["status", "inserted", "updated", "unchanged", "deleted", "absent", "failed", "rows", "balance_sum"] {
        assert_eq!(run[field], receipt[field], "{field}");
    }
    assert!(run["finished_at"].is_string() && run["mapping_hash"].is_string());
    let metadata = world.metadata(id).await.unwrap();
    let result = metadata.get_document("ingestion_result").unwrap();
    for name in receipt.as_object().unwrap().keys() {
        assert!(result.contains_key(name), "{name} is not in {result}");
    }
    assert_eq!(result.get_str("status").unwrap(), "success");
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    let failed = world.ends("failed", job(&bad, "B", "2022-06")).await;
    let run = world.job_run(failed["job_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(run["result"], failed);
    assert_eq!(run["error_code"], failed["error"]["code"]);
}

#[tokio::test]
async fn the_checked_in_schemas_are_those_of_the_program() {
    let world = World::new().await;
    for name in ["job", "receipt"] {
        let said = world.producer(&["schema", name]).await.expect(0);
        let path = checkout().join(format!("shared/schema/{name}.schema.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let checked_in: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(checked_in, said.json(), "run: aura-producer schema {name} > shared/schema/{name}.schema.json");
    }
}
