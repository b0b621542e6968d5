//! The audit trail: every event once, in a chain that anybody can check.

use std::collections::BTreeMap;

use bson::{Bson, Document};
use futures_util::TryStreamExt;
use serde_json::json;

use crate::{
    audit::text,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const SUCCESS: [&str; 8] = [
    "file_uploaded",
    "ingestion_started",
    "fingerprint_created",
    "data_profiled",
    "schema_validated",
    "db_insert",
    "file_ingested",
    "ingestion_completed",
];

/// How often each event is there.
fn tally(events: &[String]) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for event in events {
        *tally.entry(event.as_str()).or_default() += 1;
    }
    tally
}

#[tokio::test]
async fn a_success_writes_each_of_its_events_once_and_in_a_whole_chain() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    let chain = world.chain("A", "2022-06").await;
    let events: Vec<_> = chain.iter().map(|event| text(event, "event_type")).collect();
    assert_eq!(tally(&events), SUCCESS.iter().map(|event| (*event, 1)).collect());
    assert_eq!((events[0].as_str(), events[7].as_str()), ("file_uploaded", "ingestion_completed"));
    for event in &chain {
        assert_eq!(event.get_str("job_id").unwrap(), receipt["job_id"], "{event}");
        assert_eq!(event.get_str("entity").unwrap(), "A");
        assert_eq!(event.get_str("period").unwrap(), "2022-06");
        assert!(matches!(event.get("timestamp"), Some(Bson::DateTime(_))), "{event}");
        assert!(matches!(event.get("metadata"), Some(Bson::Document(_))), "{event}");
        assert_eq!(crate::audit::whole(event.get("attempt").unwrap()), 1);
        assert!(!text(event, "worker").is_empty());
        assert!(event.contains_key("batch_id") && event.contains_key("file_fingerprint"), "{event}");
    }
    let completed = &chain[7];
    assert_eq!(completed.get_str("file_fingerprint").unwrap(), receipt["fingerprint"]);
}

#[tokio::test]
async fn the_log_has_the_events_too_one_json_object_a_line() {
    let world = World::new().await;
    let worker = world.worker(&[("AURA_LOG", "info,aura_worker=debug")]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    world.settled().await;
    let lines = worker.lines();
    assert!(worker.text().lines().all(|line| line.starts_with('{')), "stdout has lines that are no JSON");
    for line in &lines {
        for field in ["timestamp", "level", "target", "message", "worker"] {
            assert!(line[field].is_string(), "{line} has no {field}");
        }
    }
    for event in SUCCESS {
        let told: Vec<_> = lines.iter().filter(|line| line["event_type"] == event).collect();
        assert_eq!(told.len(), 1, "{event} is logged {} times", told.len());
        assert_eq!(told[0]["job_id"], receipt["job_id"]);
        assert_eq!((&told[0]["entity"], &told[0]["period"]), (&json!("A"), &json!("2022-06")));
    }
}

#[tokio::test]
async fn a_line_is_as_loud_as_somebody_has_to_do_something_about_it() {
    let (world, worker) = World::with_worker().await;
    let good = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    let loaded = world.ends("success", job(&good, "A", "2022-06")).await;
    let failed = world.ends("failed", job(&bad, "B", "2022-06")).await;
    let lines = worker.lines();
    let of = |receipt: &serde_json::Value| -> Vec<(String, String)> {
        let own = lines.iter().filter(|line| line["job_id"] == receipt["job_id"]);
        let told = own.map(|line| [&line["level"], &line["message"]].map(|text| text.as_str().unwrap().to_owned()));
        told.map(|[level, message]| (level, message)).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(level, message)| ((*level).to_owned(), (*message).to_owned())).collect()
    };
    let three = [("INFO", "ingestion_started"), ("INFO", "file_ingested"), ("INFO", "ingestion_completed")];
    assert_eq!(of(&loaded), pairs(&three), "three lines for a job that loads");
    let death = [("INFO", "ingestion_started"), ("WARN", "error_occurred"), ("ERROR", "dead_lettered")];
    assert_eq!(of(&failed), pairs(&death));
}

#[tokio::test]
async fn a_quiet_log_still_says_of_which_job_a_line_is() {
    let world = World::new().await;
    // Its address has to be found.
    let worker = world.worker(&[("AURA_LOG", "error,aura_worker::health=info")]).await;
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    let failed = world.ends("failed", job(&bad, "B", "2022-06")).await;
    let lines: Vec<_> = worker.lines().into_iter().filter(|line| line["level"] != "INFO").collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["job_id"], &lines[0]["entity"]), (&failed["job_id"], &json!("B")));
}

#[tokio::test]
async fn the_chain_goes_on_over_success_skip_failure_and_staleness() {
    let (world, _worker) = World::with_worker().await;
    let one = world.write("1.csv", csv("A", "2022-06", &[("10", "5")]));
    let two = world.write("2.csv", csv("A", "2022-06", &[("10", "6")]));
    let bad = world.write("3.csv", csv("A", "2022-06", &[("10", "x")]));
    let at =
        |file: &str, time: &str| with(job(file, "A", "2022-06"), json!({"exported_at": format!("2022-07-01T{time}Z")}));
    world.ends("success", at(&one, "10:00:00")).await;
    world.ends("skipped", at(&one, "11:00:00")).await;
    world.ends("failed", at(&bad, "12:00:00")).await;
    world.ends("superseded", at(&two, "10:30:00")).await;
    world.ends("success", at(&two, "13:00:00")).await;
    let events = world.events("A", "2022-06").await;
    let tally = tally(&events);
    for (event, times) in [
        ("ingestion_completed", 2),
        ("db_insert", 2),
        ("duplicate_file_detected", 1),
        ("error_occurred", 1),
        ("dead_lettered", 1),
        ("superseded", 1),
    ] {
        assert_eq!(tally.get(event), Some(&times), "{event} in {tally:?}");
    }
    assert!(!tally.contains_key("retry_scheduled"));
}

#[tokio::test]
async fn events_of_no_slice_form_the_systems_chain() {
    let (world, _worker) = World::with_worker().await;
    world.broker.publish(b"garbage").await;
    world.broker.dead(1).await;
    // A letter is written down after it was published.
    until("the refusal is told", SOON, async || {
        let events = world.events("_system", "-").await;
        events.contains(&"dead_lettered".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ids_are_deterministic_and_places_unique() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let chain = world.chain("A", "2022-06").await;
    let trail = world.mongo.collection::<Document>("audit_trail");
    let mut forged = chain[0].clone();
    assert!(trail.insert_one(forged.clone()).await.is_err(), "the same _id is taken twice");
    forged.insert("_id", "forged");
    assert!(trail.insert_one(forged).await.is_err(), "(entity, period, seq) is not unique");
}

#[tokio::test]
async fn gl_metadata_has_one_document_for_each_job_that_loaded() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    let id = receipt["job_id"].as_str().unwrap();
    let document = world.metadata(id.parse().unwrap()).await.expect("a document");
    assert_eq!(text(&document, "file_fingerprint"), receipt["fingerprint"].as_str().unwrap());
    assert!(matches!(document.get("created_at"), Some(Bson::DateTime(_))));
    let profile = document.get_document("data_profile").unwrap();
    for field in [
        "row_count",
        "column_count",
        "columns",
        "data_types",
        "null_percentages",
        "memory_usage_mb",
        "balance_stats",
        "zero_balance_accounts",
        "zero_balance_percentage",
        "blank_balances",
        "unique_counts",
        "class_counts",
        "nil_check",
    ] {
        assert!(profile.contains_key(field), "{field} is not in {profile}");
    }
    let nil = profile.get_document("nil_check").unwrap();
    assert!(matches!(nil.get("sum"), Some(Bson::Decimal128(n)) if n.to_string() == "5"), "{nil}");
    assert!(!nil.get_bool("balanced").unwrap());
    let all: Vec<Document> =
        world.mongo.collection("gl_metadata").find(bson::doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn chains_that_are_halted_hold_up_no_other_however_many_they_are() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    // More halted chains, before all others, than the relay looks at in one step.
    let event = "jsonb_build_object('event_type', 'error_occurred', 'timestamp', '2022-07-01T06:00:00.000Z', \
                 'entity', entity, 'period', '2022-06', 'metadata', '{}'::jsonb)";
    let events = |entities: &str, number: u32| {
        format!(
            "INSERT INTO audit_outbox (entity, period, event) SELECT entity, '2022-06', {event} \
             FROM generate_series(1, {number}) AS event, ({entities}) AS entities"
        )
    };
    let halted = "SELECT 'A' || lpad(chain::text, 4, '0') AS entity FROM generate_series(1, 1200) AS chain";
    let open = "SELECT 'B' || lpad(chain::text, 4, '0') AS entity FROM generate_series(1, 600) AS chain";
    let halt = format!(
        "INSERT INTO audit_chains (entity, period, halted_at, halted_by) SELECT entity, '2022-06', now(), 'test' FROM ({halted}) AS chain"
    );
    world.execute(&halt).await;
    world.execute(&events(halted, 2)).await;
    world.execute(&events(open, 3)).await;
    let _worker = world.worker(&[]).await;
    let left = "SELECT (count(*) FILTER (WHERE entity LIKE 'A%'))::text || ' ' || count(*) FILTER (WHERE entity LIKE 'B%') FROM audit_outbox";
    until("all others are delivered", SOON, async || (world.one::<String>(left, &[]).await == "2400 0").then_some(()))
        .await;
    world.execute("UPDATE audit_chains SET halted_at = NULL, halted_by = NULL").await;
    for (entity, number) in [("A0001", 2), ("A1200", 2), ("B0001", 3), ("B0600", 3)] {
        assert_eq!(world.chain(entity, "2022-06").await.len(), number, "{entity}");
    }
}
