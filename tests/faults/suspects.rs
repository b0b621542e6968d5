//! A job whose file kills the worker that reads it, and its neighbours.

use lapin::BasicProperties;
use serde_json::json;
use tests::{
    faults::{World, book::Publication},
    wait::until,
};
use uuid::Uuid;

use crate::run::{SETTLED, export, is_whole, publish_many, world};

#[tokio::test]
async fn a_job_that_kills_its_worker_is_condemned_after_four_deaths_alone_and_no_neighbour_is() {
    let (_hold, world) = world().await;
    publish_many(&world, "BEFORE", 6).await;
    let killer = world.publish(export(&world, "KILLER", 10, 10, json!({})).or("crash_suspect")).await;
    publish_many(&world, "AFTER", 6).await;
    let mut deaths = 0;
    // What a supervisor does: a worker that has died is started again.
    let mut worker = world.worker_with_failpoint("loaded:KILLER", &[("AURA_CONCURRENCY", "8")]);
    until("the killer has ended", SETTLED, async || {
        if worker.exit().is_some() {
            deaths += 1;
            assert!(deaths < 12, "the job is never condemned");
            worker = world.worker_with_failpoint("loaded:KILLER", &[("AURA_CONCURRENCY", "8")]);
        }
        (!world.client.receipts_of(killer).is_empty()).then_some(())
    })
    .await;
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (12, 1), "{findings}");
    let run = world.run(killer).await;
    assert_eq!((&run["error_code"], &run["deaths"]), (&json!("crash_suspect"), &json!(4)));
    // The first death was in company, four more alone.
    assert_eq!(deaths, 5);
}

#[tokio::test]
async fn two_killers_and_their_neighbours_end_each_as_it_deserves() {
    let (_hold, world) = world().await;
    let killers = ["KILLER", "KILLER"].map(|_| ());
    let mut ids = Vec::new();
    for (place, ()) in killers.into_iter().enumerate() {
        let job = crate::run::export_at(
            &world,
            "KILLER",
            10,
            10 + place as u32,
            &format!("2022-07-01T1{place}:00:00Z"),
            json!({}),
        );
        ids.push(world.publish(job.or("crash_suspect")).await);
        publish_many(&world, &format!("N{place}"), 10).await;
    }
    let mut workers: Vec<_> = (0..2).map(|_| world.worker_with_failpoint("loaded:KILLER", &[])).collect();
    let mut deaths = 0;
    until("both killers have ended", SETTLED, async || {
        for worker in &mut workers {
            if worker.exit().is_some() {
                deaths += 1;
                assert!(deaths < 24, "the jobs are never condemned");
                *worker = world.worker_with_failpoint("loaded:KILLER", &[]);
            }
        }
        ids.iter().all(|id| !world.client.receipts_of(*id).is_empty()).then_some(())
    })
    .await;
    let findings = is_whole(&world).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (20, 2), "{findings}");
}

/// A job whose message has no identity, published; what the book says of it is entered once it has one.
async fn publish_without_identity(world: &World, entity: &str) -> Publication {
    let mut job = export(world, entity, 10, 10, json!({}));
    job.message.as_object_mut().expect("an object").remove("job_id");
    job.body = job.message.to_string();
    world.client.publish(job.body.as_bytes(), BasicProperties::default()).await;
    job
}

/// Enters a job under the identity that it was given.
async fn enter(world: &World, mut job: Publication) -> Uuid {
    let receipt = until("a receipt comes", SETTLED, async || world.client.receipts().pop()).await;
    job.job_id = receipt["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a job_id");
    let id = job.job_id;
    world.book.enter(job);
    id
}

#[tokio::test]
async fn a_job_without_an_identity_keeps_its_run_when_its_worker_dies() {
    let (_hold, world) = world().await;
    let mut dying = world.worker_with_failpoint("claimed", &[]);
    let job = publish_without_identity(&world, "A").await;
    dying.ended(SETTLED).await;
    let _heir = world.worker(&[]).await;
    enter(&world, job).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
    assert_eq!(world.count("SELECT count(*) FROM ingestion_runs").await, Some(1));
}

#[tokio::test]
async fn a_job_without_an_identity_that_is_parked_before_it_has_a_run_still_finds_the_one_of_a_dead_worker() {
    let (_hold, world) = world().await;
    let mut dying = world.worker_with_failpoint("claimed", &[]);
    let job = publish_without_identity(&world, "A").await;
    dying.ended(SETTLED).await;
    // The slice is busy as the message comes back, so its worker parks it without having looked for a run.
    let session = world.session().await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('slice:A:2022-06', 0))";
    session.execute(lock, &[]).await.expect("PostgreSQL answers");
    let _heir = world.worker(&[("AURA_CONCURRENCY", "1")]).await;
    let parked =
        until("the message is parked", SETTLED, async || world.client.look("aura.retry.1s").await?.pop()).await;
    session.execute("SELECT pg_advisory_unlock_all()", &[]).await.expect("PostgreSQL answers");
    assert!(!parked.headers.contains_key("aura-job-id"), "{:?}", parked.headers);
    enter(&world, job).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
    assert_eq!(world.count("SELECT count(*) FROM ingestion_runs").await, Some(1));
}

#[tokio::test]
async fn a_job_without_an_identity_that_kills_its_worker_is_condemned_too() {
    let (_hold, world) = world().await;
    let job = publish_without_identity(&world, "KILLER").await.or("crash_suspect");
    let mut deaths = 0;
    let mut worker = world.worker_with_failpoint("loaded:KILLER", &[]);
    until("the killer has ended", SETTLED, async || {
        if worker.exit().is_some() {
            deaths += 1;
            assert!(deaths < 12, "the job is never condemned");
            worker = world.worker_with_failpoint("loaded:KILLER", &[]);
        }
        (!world.client.receipts().is_empty()).then_some(())
    })
    .await;
    let id = enter(&world, job).await;
    assert_eq!(is_whole(&world).await.outcome("failed"), 1);
    let run = world.run(id).await;
    assert_eq!((&run["error_code"], &run["deaths"]), (&json!("crash_suspect"), &json!(4)));
    assert_eq!(world.count("SELECT count(*) FROM ingestion_runs").await, Some(1));
}

/// Inserting into the slice of SLOW takes ten seconds.
const SLOW: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(10); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON gl_accounts FOR EACH ROW WHEN (NEW.entity = 'SLOW') EXECUTE FUNCTION slow();";

#[tokio::test]
async fn a_job_that_waits_to_run_alone_holds_no_other_up() {
    let (_hold, world) = world().await;
    let session = world.session().await;
    session.batch_execute(SLOW).await.expect("a trigger can be made");
    let mut dying = world.worker_with_failpoint("claimed:KILLER", &[]);
    let killer = world.publish(export(&world, "KILLER", 5, 10, json!({}))).await;
    dying.ended(SETTLED).await;
    // The suspect comes back while its worker is busy with a slow job, and waits for that to end.
    let lock = "SELECT pg_advisory_lock(hashtextextended('slice:KILLER:2022-06', 0))";
    session.execute(lock, &[]).await.expect("PostgreSQL answers");
    let first = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let slow = world.publish(export(&world, "SLOW", 1, 10, json!({}))).await;
    until("the slow job runs", SETTLED, async || (world.run(slow).await["status"] == "running").then_some(())).await;
    session.execute("SELECT pg_advisory_unlock_all()", &[]).await.expect("PostgreSQL answers");
    first.logs("tried again alone", SETTLED).await;
    let _second = world.worker(&[("AURA_CONCURRENCY", "2")]).await;
    publish_many(&world, "INNOCENT", 8).await;
    until("the innocent have ended", SETTLED, async || (world.client.receipts().len() >= 8).then_some(())).await;
    let slow_ended = !world.client.receipts_of(slow).is_empty();
    assert!(!slow_ended, "the innocent waited for the slow job and the suspect");
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 10, "{findings}");
    assert_eq!(world.run(killer).await["status"], "success");
}
