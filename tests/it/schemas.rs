//! The JSON Schemas: what they accept is what the programs accept and send.

use std::{path::PathBuf, time::Duration};

use chrono::DateTime;
use serde_json::{Value, json};
use shared::message::{envelope::Envelope, receive::receive};
use tests::program::run_with_input;

use crate::{
    bodies::body,
    process::node,
    stack::checkout,
    world::{World, csv, job, with},
};

fn schema(name: &str) -> PathBuf {
    checkout().join("shared/schema").join(name)
}

/// What Ajv says of each value: none if it accepts it.
pub(crate) async fn faults(name: &str, values: &[Value]) -> Vec<Option<String>> {
    let mut command = node();
    command.arg(checkout().join("tests/other_language/schemas.js")).arg(schema(name));
    let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    let said = run_with_input(command, lines.as_bytes(), Duration::from_secs(60)).await.expect(0);
    let faults: Vec<_> = said.stdout.lines().map(|line| (line != "true").then(|| line.to_owned())).collect();
    assert_eq!(faults.len(), values.len(), "one answer each");
    faults
}

#[tokio::test]
async fn the_schema_of_jobs_accepts_what_a_worker_accepts_and_nothing_else() {
    // After every time that has four digits of a year, so that none is ahead.
    let received_at = DateTime::from_timestamp(253_402_500_000, 0).unwrap();
    let bodies: Vec<_> = (0..30_000).map(body).collect();
    let (mut accepted, mut differences) = (0, Vec::new());
    for (body, fault) in bodies.iter().zip(faults("job.schema.json", &bodies).await) {
        let read = receive(body.to_string().as_bytes(), &Envelope::default(), received_at);
        accepted += usize::from(read.is_ok());
        if read.is_ok() != fault.is_none() {
            let of_worker = read.err().map_or("accepts it".to_owned(), |refusal| refusal.faults.join("; "));
            differences.push(format!("{body}\n  the worker: {of_worker}\n  the schema: {fault:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(12)].join("\n")
    );
    assert!((8_000..25_000).contains(&accepted), "{accepted} of 30,000 are jobs: the bodies are not near the edge");
}

#[tokio::test]
async fn every_receipt_that_a_worker_sends_is_one_of_the_schema() {
    let (world, _worker) = World::with_worker().await;
    let good = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-5.25")]));
    let dated = with(job(&good, "A", "2022-06"), json!({"exported_at": "2022-07-02T00:00:00Z", "mode": "replace"}));
    let id = world.ends("success", dated.clone()).await["job_id"].clone();
    world.ends("skipped", with(dated.clone(), json!({"batch_id": "0b0e7a3c-55d1-4d53-8f43-0d2f5c3e9a11"}))).await;
    let older = world.write("b.csv", csv("A", "2022-06", &[("10", "6")]));
    world.ends("superseded", with(job(&older, "A", "2022-06"), json!({"exported_at": "2022-07-01T00:00:00Z"}))).await;
    let bad = world.write("c.csv", csv("B", "2022-06", &[("10", "x"), ("20", "y")]));
    world.ends("failed", job(&bad, "B", "2022-06")).await;
    let short = world.write("d.csv", "account_code,balance\n10,5\n");
    world.ends("failed", job(&short, "B", "2022-06")).await;
    world.ends("failed", json!({"entity": "b", "force": true})).await;
    world.send(with(dated, json!({"job_id": id}))).await;
    world.broker.receipt_where("the repeated receipt", |receipt| receipt["repeated"] == true).await;

    let receipts: Vec<_> = world.broker.received().into_iter().map(|one| one.body).collect();
    assert_eq!(receipts.len(), 7);
    for (receipt, fault) in receipts.iter().zip(faults("receipt.schema.json", &receipts).await) {
        assert_eq!(fault, None, "{receipt:#}");
    }
    // A schema that accepts everything would be none.
    let fields: Vec<_> = receipts[0].as_object().unwrap().keys().cloned().collect();
    let less = fields.iter().map(|field| {
        let mut less = receipts[0].clone();
        less.as_object_mut().unwrap().remove(field);
        less
    });
    let odd = fields.iter().map(|field| with(receipts[0].clone(), json!({field.as_str(): {"odd": 1}})));
    let wrong: Vec<_> = less.chain(odd).collect();
    for (receipt, fault) in wrong.iter().zip(faults("receipt.schema.json", &wrong).await) {
        assert!(fault.is_some(), "{receipt:#}");
    }
}
