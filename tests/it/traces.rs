//! Traces and metrics over OTLP: one trace for each job, whatever happens to it on the way.

use std::collections::BTreeSet;

use serde_json::json;
use tests::collector::{Collector, ReceivedSpan};
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// The spans of a job's trace, once it has so many of a name.
async fn trace_with(collector: &Collector, job_id: Uuid, name: &str, times: usize) -> Vec<ReceivedSpan> {
    let named = |spans: &[ReceivedSpan]| spans.iter().filter(|span| span.name == name).count();
    until(&format!("the trace has {times} times {name}"), SOON, async || {
        let spans = collector.spans();
        let own = spans.iter().find(|span| span.attributes.get("job_id") == Some(&job_id.to_string()))?;
        let trace: Vec<_> = spans.iter().filter(|span| span.trace_id == own.trace_id).cloned().collect();
        (named(&trace) >= times).then_some(trace)
    })
    .await
}

/// Every trace in which something is said of a job.
fn traces_of(collector: &Collector, job_id: Uuid) -> BTreeSet<String> {
    let id = job_id.to_string();
    let spans = collector.spans();
    spans.iter().filter(|span| span.attributes.get("job_id") == Some(&id)).map(|span| span.trace_id.clone()).collect()
}

#[tokio::test]
async fn a_job_is_one_trace_from_its_publish_through_retries_death_and_replay_to_its_receipt() {
    let collector = Collector::start().await;
    let mut world = World::new().await;
    world.lay_over(&collector.settings());
    let worker = world.worker(&[]).await;
    let file = world.input("late.csv");
    let path = file.display().to_string();
    let publish = ["--json", "publish", "--file", path.as_str(), "--entity", "A", "--period", "2022-06"];
    let published = world.producer(&publish).await.expect(0).json();
    let job_id: Uuid = published["jobs"][0]["job_id"].as_str().expect("an id").parse().expect("a UUID");
    world.broker.dead(1).await;
    std::fs::write(&file, csv("A", "2022-06", &[("10", "5")])).expect("a file");
    world.producer(&["dead", "replay", &job_id.to_string(), "--wait"]).await.expect(0);

    // A receipt for the death, and one for the success.
    let trace = trace_with(&collector, job_id, "receipt", 2).await;
    let attempts: Vec<_> = trace.iter().filter(|span| span.name == "job").collect();
    assert_eq!(attempts.len(), 5, "four attempts and the one after the replay: {trace:#?}");
    for (name, service) in [
        ("publish", "aura-producer"),
        ("replay", "aura-producer"),
        ("commit", "aura-worker"),
        ("parquet", "aura-worker"),
    ] {
        let of_name: Vec<_> = trace.iter().filter(|span| span.name == name).collect();
        assert_eq!(of_name.len(), 1, "{name}: {trace:#?}");
        assert_eq!(of_name[0].service, service);
    }
    assert_eq!(traces_of(&collector, job_id).len(), 1, "the job is in several traces");
    let ids: BTreeSet<_> = trace.iter().map(|span| span.span_id.as_str()).collect();
    let lost: Vec<_> =
        trace.iter().filter(|span| !span.parent_id.is_empty() && !ids.contains(span.parent_id.as_str())).collect();
    assert!(lost.is_empty(), "spans whose parent nobody sent: {lost:#?}");
    assert_eq!(trace.iter().filter(|span| span.parent_id.is_empty()).count(), 1, "it begins once: {trace:#?}");
    // Lines lead to the trace.
    let lines = worker.lines();
    let completed = lines.iter().find(|line| line["event_type"] == "ingestion_completed").expect("a line");
    assert_eq!(completed["trace_id"], trace[0].trace_id.as_str());
}

#[tokio::test]
async fn a_job_of_a_plain_client_that_began_no_trace_is_one_trace_too_and_so_is_its_receipt() {
    let collector = Collector::start().await;
    let mut world = World::new().await;
    world.lay_over(&collector.settings());
    let _worker = world.worker(&[]).await;
    let (id, file) = (Uuid::new_v4(), world.input("late.csv"));
    let message = with(job(&file.display().to_string(), "A", "2022-06"), json!({"job_id": id}));
    world.broker.publish(message.to_string().as_bytes()).await;
    until("the first attempt has failed", SOON, async || {
        let failed = "SELECT count(*) FROM ingestion_runs WHERE status = 'retrying'";
        (world.one::<i64>(failed, &[]).await == 1).then_some(())
    })
    .await;
    std::fs::write(&file, csv("A", "2022-06", &[("10", "5")])).expect("a file");
    assert_eq!(world.broker.receipt(id).await["status"], "success");
    let trace = trace_with(&collector, id, "receipt", 1).await;
    assert!(trace.iter().filter(|span| span.name == "job").count() >= 2, "{trace:#?}");
    assert_eq!(traces_of(&collector, id).len(), 1, "a retry begins another trace");

    until("the success is counted over OTLP", SOON, async || {
        (collector.value("aura.jobs{status=success}") == Some(1)).then_some(())
    })
    .await;
    assert!(collector.value("aura.attempt.failures{code=file_not_found}") >= Some(1));
    assert_eq!(collector.value("aura.attempt.failures{code=row_invalid}"), Some(0), "a series begins at zero");
    for name in ["aura.stage.duration", "db.client.operation.duration", "messaging.process.duration", "aura.build.info"]
    {
        assert!(collector.has_metric(name), "{name}");
    }
}
