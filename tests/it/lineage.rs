//! OpenLineage: what a catalogue learns of runs, and that no job waits for it or fails by it.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{catalogue::Catalogue, program::run_with_input, wait::SOON, wait::until};
use uuid::Uuid;

use crate::{
    process::python,
    stack::{checkout, stack},
    world::{World, csv, job, with},
};

/// Makes sure that each is an event of OpenLineage's specification, and Aura's own facet one of its schema.
async fn check(events: &[Value]) {
    let own: Vec<_> = events.iter().map(|event| event["run"]["facets"]["aura_job"].clone()).collect();
    for (facet, fault) in own.iter().zip(crate::schemas::faults("lineage-facet.schema.json", &own).await) {
        assert_eq!(fault, None, "{facet:#}");
    }
    let faults = faults(events).await;
    for (event, fault) in events.iter().zip(faults) {
        assert_eq!(fault, "true", "{event:#}");
    }
}

async fn faults(events: &[Value]) -> Vec<String> {
    let mut command = python();
    command.arg(checkout().join("tests/other_language/lineage.py"));
    let input: String = events.iter().map(|event| format!("{event}\n")).collect();
    let said = run_with_input(command, input.as_bytes(), Duration::from_secs(60)).await.expect(0);
    let faults: Vec<_> = said.stdout.lines().map(ToOwned::to_owned).collect();
    assert_eq!(faults.len(), events.len(), "one answer each");
    faults
}

/// The states of a run's events, in their order.
fn states(events: &[Value], run: impl ToString) -> Vec<&str> {
    let of_run = events.iter().filter(|event| event["run"]["runId"] == run.to_string());
    of_run.map(|event| event["eventType"].as_str().expect("a state")).collect()
}

fn last_of(events: &[Value], run: impl ToString) -> &Value {
    events.iter().rfind(|event| event["run"]["runId"] == run.to_string()).expect("an event of the run")
}

#[tokio::test]
async fn a_run_that_succeeds_is_told_with_its_datasets_their_schemas_quality_and_row_counts() {
    let (world, catalogue) = (World::new().await, Catalogue::start().await);
    let url = format!("{}/api/v1/lineage", catalogue.url);
    let worker = world.worker(&[("AURA_OPENLINEAGE_URL", &url), ("AURA_OPENLINEAGE_API_KEY", "s3cret-key")]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5.25"), ("20", "-5"), ("30", "")]));
    let batch = Uuid::new_v4();
    let control = json!({"batch_id": batch, "control": {"rows": 3, "balance_sum": "0.25"}});
    let receipt = world.ends("success", with(job(&file, "A", "2022-06"), control)).await;
    let id = receipt["job_id"].as_str().unwrap();
    let events = catalogue.events(2).await;
    check(&events).await;
    assert_eq!(states(&events, id), ["START", "COMPLETE"]);
    let posted = &catalogue.posted()[0];
    assert_eq!((posted.to.as_str(), posted.content_type.as_str()), ("POST /api/v1/lineage", "application/json"));
    assert_eq!(posted.authorization, "Bearer s3cret-key");
    assert!(!worker.has_logged("s3cret-key"));

    let end = &events[1];
    assert_eq!((&end["job"]["namespace"], &end["job"]["name"]), (&json!("aura"), &json!("ingest.A")));
    assert_eq!(end["run"]["facets"]["parent"]["run"]["runId"], json!(batch));
    let own = &end["run"]["facets"]["aura_job"];
    assert_eq!((&own["status"], &own["inserted"], &own["balance_sum"]), (&json!("success"), &json!(3), &json!("0.25")));
    let input = &end["inputs"][0];
    assert_eq!((&input["namespace"], &input["name"]), (&json!("file"), &json!(file)));
    assert_eq!(input["facets"]["version"]["datasetVersion"], receipt["fingerprint"]);
    let fields = input["facets"]["schema"]["fields"].as_array().unwrap();
    let header = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(fields.iter().map(|field| field["name"].as_str().unwrap()).collect::<Vec<_>>().join(","), header);
    let quality = &input["inputFacets"];
    assert_eq!(quality["dataQualityMetrics"]["rowCount"], 3);
    assert_eq!(quality["dataQualityMetrics"]["columnMetrics"]["balance"]["nullCount"], 1);
    assert_eq!(quality["inputStatistics"]["size"], std::fs::metadata(&file).unwrap().len());
    let assertions = quality["dataQualityAssertions"]["assertions"].as_array().unwrap();
    let told = |name: &str| assertions.iter().find(|one| one["assertion"] == name).expect(name)["success"].clone();
    assert_eq!(["control_rows", "control_balance_sum", "valid_rows"].map(told), [true, true, true].map(Value::Bool));
    assert_eq!(told("balanced"), json!(false), "it sums to 0.25");
    let output = &end["outputs"][0];
    let (host, port) = (stack().postgres.host_str().unwrap(), stack().postgres.port().unwrap());
    assert_eq!(output["namespace"], format!("postgres://{host}:{port}"));
    assert_eq!(output["name"], format!("{}.public.gl_accounts", world.name()));
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 3);
    assert!(!end.to_string().contains('@'), "neither user nor password: {end:#}");
}

#[tokio::test]
async fn runs_that_are_skipped_retried_dead_and_replayed_are_told_as_such() {
    let (world, catalogue) = (World::new().await, Catalogue::start().await);
    let settings = [
        ("OPENLINEAGE_URL", catalogue.url.as_str()),
        ("OPENLINEAGE_API_KEY", "k"),
        ("OPENLINEAGE_ENDPOINT", "lineage"),
    ];
    let _worker = world.worker(&settings).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let dated = with(job(&file, "A", "2022-06"), json!({"exported_at": "2022-07-02T00:00:00Z"}));
    let first = world.ends("success", dated.clone()).await;
    let skipped = world.ends("skipped", dated.clone()).await;
    let old = world.write("old.csv", csv("A", "2022-06", &[("10", "6")]));
    let stale = with(job(&old, "A", "2022-06"), json!({"exported_at": "2022-07-01T00:00:00Z"}));
    let superseded = world.ends("superseded", stale).await;
    let late = world.input("late.csv").display().to_string();
    let dead = world.ends("failed", job(&late, "B", "2022-06")).await;
    let batch = Uuid::new_v4();
    world.producer(&["cancel", &batch.to_string(), "--reason", "wrong month"]).await.expect(0);
    let cancelled = world.ends("cancelled", with(job(&file, "D", "2022-06"), json!({"batch_id": batch}))).await;
    let bad = world.write("bad.csv", csv("C", "2022-06", &[("10", "SECRET-CELL")]));
    let broken = world.ends("failed", job(&bad, "C", "2022-06")).await;
    // A message that is not a job is no run, and neither is a copy of one that has ended.
    world.ends("failed", json!({"entity": "b"})).await;
    world.send(with(dated, json!({"job_id": first["job_id"]}))).await;
    world.broker.receipt_where("the repeated receipt", |receipt| receipt["repeated"] == true).await;
    world.write("late.csv", csv("B", "2022-06", &[("10", "5")]));
    let id = |receipt: &Value| receipt["job_id"].as_str().unwrap().parse::<Uuid>().unwrap();
    world.producer(&["dead", "replay", &id(&dead).to_string()]).await.expect(0);
    world.broker.nth_receipt(id(&dead), 2).await;

    let events = catalogue.events(20).await;
    check(&events).await;
    assert!(catalogue.posted().iter().all(|one| one.to == "POST /lineage" && one.authorization == "Bearer k"));
    assert_eq!(states(&events, id(&skipped)), ["START", "COMPLETE"]);
    assert_eq!(last_of(&events, id(&skipped))["run"]["facets"]["aura_job"]["reason"], "duplicate");
    assert_eq!(last_of(&events, id(&skipped))["outputs"], json!([]));
    assert_eq!(states(&events, id(&superseded)), ["START", "COMPLETE"]);
    assert_eq!(states(&events, id(&cancelled)), ["START", "ABORT"]);
    let retried = ["START", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "FAIL"];
    assert_eq!(states(&events, id(&dead)), retried, "each attempt but the last failed with another one to come");
    let failed = last_of(&events, id(&dead));
    let message = failed["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(message.starts_with("file_not_found (load): "), "{message}");
    assert_eq!(states(&events, id(&broken)), ["START", "FAIL"]);
    let assertions = &last_of(&events, id(&broken))["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"];
    assert_eq!((&assertions[0]["assertion"], &assertions[0]["success"]), (&json!("valid_rows"), &json!(false)));
    assert!(events.iter().all(|event| !event.to_string().contains("SECRET-CELL")));
    // The replay is a run of its own, and ends once.
    let replay = Uuid::new_v5(&id(&dead), b"replay 1");
    assert_eq!(states(&events, replay), ["START", "COMPLETE"]);
    assert_eq!(last_of(&events, replay)["run"]["facets"]["aura_job"]["job_id"], json!(id(&dead)));
    assert_eq!(events.len(), 20);

    // A check that accepts everything would be none.
    let wrong = [
        with(events[0].clone(), json!({"eventType": "BEGIN"})),
        with(events[0].clone(), json!({"run": {"runId": "1"}})),
        with(events[0].clone(), json!({"eventTime": "yesterday"})),
        with(events[0].clone(), json!({"inputs": [{"name": "a"}]})),
        with(events[0].clone(), json!({"outputs": [{"namespace": "a", "name": "a", "rows": 1}]})),
    ];
    for (event, fault) in wrong.iter().zip(faults(&wrong).await) {
        assert_ne!(fault, "true", "{event:#}");
    }
}

#[tokio::test]
async fn no_job_waits_for_a_catalogue_or_fails_by_it() {
    let (world, catalogue) = (World::new().await, Catalogue::start().await);
    let mut worker = world.worker(&[("AURA_OPENLINEAGE_URL", &catalogue.url)]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let again = || with(job(&file, "A", "2022-06"), json!({"skip_duplicates": false}));
    catalogue.be_silent(true);
    let began = Instant::now();
    for _ in 0..20 {
        world.ends("success", again()).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "forty answers were not waited for");
    assert!(catalogue.posted().len() < 20);
    // It gives up on each, says so once, and says how many were lost as soon as one arrives.
    worker.says("an OpenLineage event did not arrive").await;
    catalogue.be_silent(false);
    worker.says("OpenLineage events arrive again").await;
    let lost = |metrics: &str| {
        let line = metrics.lines().find(|line| line.starts_with("aura_lineage_events_total{outcome=\"lost\"} "));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).unwrap_or_default()
    };
    assert!(lost(&worker.get("/metrics").await.unwrap().1) >= 1.0);
    catalogue.refuse(true);
    let told = catalogue.posted().len();
    world.ends("success", again()).await;
    until("the refused event was posted", SOON, async || (catalogue.posted().len() > told).then_some(())).await;
    drop(catalogue);
    world.ends("success", again()).await;
    assert_eq!(worker.stop().await, Some(0));
}

#[tokio::test]
async fn events_are_appended_to_a_file_one_a_line_by_several_workers() {
    let world = World::new().await;
    let path = world.path().join("lineage.jsonl");
    let settings = [("AURA_OPENLINEAGE_PATH", path.to_str().unwrap())];
    let workers = [world.worker(&settings).await, world.worker(&settings).await];
    let mut ids = Vec::new();
    for entity in ["A", "B", "C", "D", "E", "F"] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
        ids.push(world.send(job(&file, entity, "2022-06")).await);
    }
    for id in &ids {
        world.broker.receipt(*id).await;
    }
    for mut worker in workers {
        assert_eq!(worker.stop().await, Some(0), "what waits is written before it ends");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect();
    assert_eq!(events.len(), 12);
    for id in ids {
        assert_eq!(states(&events, id), ["START", "COMPLETE"]);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    check(&events).await;
}
