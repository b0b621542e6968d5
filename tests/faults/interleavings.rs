//! Orders of events that are rare, each brought about on purpose.

use std::time::Duration;

use bson::{Document, doc};
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use tests::{
    faults::{
        World,
        book::{Export, Publication},
    },
    wait::until,
    worker::Worker,
};
use uuid::Uuid;

use crate::run::{SETTLED, export, is_whole, missing, world};

const HALT: (&str, &str) = ("AURA_TEST_FAILPOINT_ACTION", "halt");
const ONE: (&str, &str) = ("AURA_CONCURRENCY", "1");

async fn status(world: &World, publication: Publication) -> String {
    let id = world.publish(publication).await;
    let receipt = world.client.receipt(id, SETTLED).await;
    receipt["status"].as_str().unwrap_or_default().to_owned()
}

/// A worker that takes one job at a time and halts at a step.
async fn halting(world: &World, step: &str) -> Worker {
    let mut worker = world.worker_with_failpoint(step, &[HALT, ONE]);
    worker.takes_jobs().await;
    worker
}

#[tokio::test]
async fn after_a_skipped_duplicate_an_export_from_before_it_is_stale() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let first = export(&world, "A", 5, 10, json!({}));
    let file = world.path().join("in/A_10.csv");
    let again = Export::numbered("A", "2022-06", 5, 10);
    assert_eq!(status(&world, first).await, "success");
    let at_12 = Publication::of(&file, &again, json!({"exported_at": "2022-07-01T12:00:00Z"}));
    assert_eq!(status(&world, at_12).await, "skipped");
    assert_eq!(status(&world, export(&world, "A", 5, 11, json!({}))).await, "superseded");
    is_whole(&world).await;
}

#[tokio::test]
async fn a_forced_job_that_waits_in_retry_does_not_overwrite_a_newer_export() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let old = Export::numbered("A", "2022-06", 5, 1);
    let forced = json!({"exported_at": "2022-07-01T09:00:00Z", "force": true, "reason": "a test"});
    let waiting = Publication::of(&world.path().join("in/late.csv"), &old, forced.clone());
    let id = world.publish(waiting).await;
    world.counts("SELECT count(*) FROM ingestion_runs WHERE status = 'retrying'", 1, SETTLED).await;
    let soon = (Utc::now() + TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Secs, true);
    assert_eq!(status(&world, crate::run::export_at(&world, "A", 5, 12, &soon, json!({}))).await, "success");
    world.write("in/late.csv", old.text());
    assert_eq!(world.client.receipt(id, SETTLED).await["status"], "superseded");

    // After a forced old export, one from between it and the force stays out.
    assert_eq!(status(&world, export(&world, "B", 5, 10, json!({}))).await, "success");
    let mut old = export(&world, "B", 5, 9, forced);
    old.message["exported_at"] = "2022-07-01T09:00:00Z".into();
    assert_eq!(status(&world, old).await, "success");
    assert_eq!(status(&world, export(&world, "B", 5, 11, json!({}))).await, "superseded");
    is_whole(&world).await;
}

#[tokio::test]
async fn a_job_that_stalls_after_its_commit_leaves_the_cache_to_the_newer_one() {
    for step in ["committed:A", "cache_written:A"] {
        let (_hold, world) = world().await;
        let first = halting(&world, step).await;
        world.publish(export(&world, "A", 40, 10, json!({}))).await;
        first.halted(SETTLED).await;
        let _second = world.worker(&[]).await;
        assert_eq!(status(&world, export(&world, "A", 30, 11, json!({"mode": "replace"}))).await, "success", "{step}");
        first.signal("CONT");
        is_whole(&world).await;
    }
}

#[tokio::test]
async fn a_row_that_somebody_writes_while_it_is_compared_keeps_what_they_wrote() {
    let (_hold, world) = world().await;
    let first = world.worker(&[]).await;
    assert_eq!(status(&world, export(&world, "A", 40, 10, json!({}))).await, "success");
    drop(first);
    let second = halting(&world, "compared:A").await;
    let id = world.publish(export(&world, "A", 40, 11, json!({}))).await;
    second.halted(SETTLED).await;
    // Each row moves to another place, as a review writes it.
    let session = world.session().await;
    let written = session.execute("UPDATE gl_accounts SET review_status = 'signed'", &[]).await;
    assert_eq!(written.expect("PostgreSQL answers"), 40);
    second.signal("CONT");
    let receipt = world.client.receipt(id, SETTLED).await;
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)), "{receipt:#}");
    assert_eq!(world.count("SELECT count(*) FROM gl_accounts WHERE review_status = 'signed'").await, Some(40));
    is_whole(&world).await;
}

#[tokio::test]
async fn a_retry_is_noted_while_another_job_holds_the_slice() {
    let (_hold, world) = world().await;
    let first = halting(&world, "retry_published:A").await;
    let late = world.publish(missing(&world, "A")).await;
    first.halted(SETTLED).await;
    let second = halting(&world, "copied:A").await;
    world.publish(export(&world, "A", 40, 11, json!({}))).await;
    second.halted(SETTLED).await;
    first.signal("CONT");
    until("the retry is noted", Duration::from_secs(5), async || {
        let run = world.run(late).await;
        (run["status"] == "retrying" && run["attempts"] == 1).then_some(())
    })
    .await;
    assert!(second.is_halted(), "the slice is not held any more");
    second.signal("CONT");
    is_whole(&world).await;
}

#[tokio::test]
async fn a_retry_that_is_noted_after_its_copy_was_claimed_keeps_its_events_and_its_attempt() {
    let (_hold, world) = world().await;
    let export = Export::numbered("A", "2022-06", 5, 1);
    let file = world.path().join("in/late.csv");
    let first = halting(&world, "retry_published:A").await;
    let more = json!({"exported_at": "2022-07-01T09:00:00Z"});
    let id = world.publish(Publication::of(&file, &export, more)).await;
    first.halted(SETTLED).await;
    world.write("in/late.csv", export.text());
    let second = halting(&world, "copied:A").await;
    second.halted(SETTLED).await;
    let claim = world.run(id).await["claim"].clone();
    first.signal("CONT");
    let run = until("the retry is noted", Duration::from_secs(10), async || {
        Some(world.run(id).await).filter(|run| run["attempts"] == 1)
    })
    .await;
    assert_eq!((&run["status"], &run["claim"]), (&json!("running"), &claim), "{run:#}");
    second.signal("CONT");
    is_whole(&world).await;
    let trail = world.mongo.collection::<Document>("audit_trail");
    let retries = trail.count_documents(doc! {"event_type": "retry_scheduled"}).await;
    assert_eq!(retries.expect("MongoDB answers"), 1);
    assert_eq!(world.run(id).await["attempts"], 2);
}

#[tokio::test]
async fn of_two_copies_of_a_retry_one_succeeds_and_that_is_final() {
    let (_hold, world) = world().await;
    let export = Export::numbered("A", "2022-06", 5, 1);
    let file = world.path().join("in/late.csv");
    let mut dying = world.worker_with_failpoint("retry_published", &[]);
    let more = json!({"exported_at": "2022-07-01T09:00:00Z"});
    let id = world.publish(Publication::of(&file, &export, more)).await;
    dying.ended(SETTLED).await;
    world.write("in/late.csv", export.text());
    let _heir = world.worker(&[]).await;
    assert_eq!(world.client.receipt(id, SETTLED).await["status"], "success");
    // The other copy comes when the file is gone.
    std::fs::remove_file(&file).expect("the file can be removed");
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1);
}

#[tokio::test]
async fn a_copy_that_fails_late_leaves_no_dead_letter_of_a_job_that_has_succeeded() {
    let (_hold, world) = world().await;
    let export = Export::numbered("A", "2022-06", 5, 1);
    let file = world.write("in/mended.csv", export.text().replace(",BS,", "x,BS,"));
    let job = Publication::of(&file, &export, json!({"exported_at": "2022-07-01T09:00:00Z"}));
    let late = halting(&world, "dead_decided:A").await;
    let id = world.publish(job.clone()).await;
    late.halted(SETTLED).await;
    world.write("in/mended.csv", export.text());
    let _other = world.worker(&[]).await;
    world.publish(job).await;
    assert_eq!(world.client.receipt(id, SETTLED).await["status"], "success");
    late.signal("CONT");
    late.logs("not a dead letter", SETTLED).await;
    is_whole(&world).await;
}

#[tokio::test]
async fn the_lost_answer_to_a_commit_is_looked_up_once_the_server_is_done_with_it() {
    let (_hold, world) = world().await;
    let session = world.session().await;
    // The server works on the commit for two seconds after its client has lost it.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$BEGIN PERFORM pg_sleep(2); RETURN NULL; END$$; \
                CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON ingestion_runs DEFERRABLE INITIALLY DEFERRED \
                FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION slow()";
    session.batch_execute(slow).await.expect("a trigger");
    let proxies = world.proxies().await;
    let _worker = world.worker_behind(&proxies, &[]).await;
    proxies.postgres.lose_commit_replies(2);
    for (entity, hour) in [("A", 10), ("B", 10), ("C", 10)] {
        world.publish(export(&world, entity, 20, hour, json!({}))).await;
    }
    let findings = is_whole(&world).await;
    assert_eq!((proxies.postgres.replies_lost(), findings.outcome("success")), (2, 3));
    crate::run::spent_one_attempt_each(&world).await;
}

#[tokio::test]
async fn an_event_in_mongodb_that_postgresql_does_not_know_halts_that_chain_and_forks_nothing() {
    let (_hold, world) = world().await;
    let trail = world.mongo.collection::<Document>("audit_trail");
    let unknown = doc! {"_id": "A/2022-06/1", "entity": "A", "period": "2022-06", "seq": 1_i64,
    "event_type": "file_uploaded", "prev_hash": "0".repeat(64), "hash": "f".repeat(64)};
    trail.insert_one(unknown).await.expect("MongoDB takes it");
    let worker = world.worker(&[]).await;
    assert_eq!(status(&world, export(&world, "A", 5, 10, json!({}))).await, "success");
    assert_eq!(status(&world, export(&world, "B", 5, 10, json!({}))).await, "success");
    world.counts("SELECT count(*) FROM audit_chains WHERE entity = 'A' AND halted_at IS NOT NULL", 1, SETTLED).await;
    until("readiness tells of it", SETTLED, async || {
        worker.readyz().await?.1["warnings"].to_string().contains("audit chain").then_some(())
    })
    .await;
    world.counts("SELECT count(*) FROM audit_outbox WHERE entity = 'B'", 0, SETTLED).await;
    let count = async |entity: &str| trail.count_documents(doc! {"entity": entity}).await.expect("MongoDB answers");
    assert_eq!((count("A").await, count("B").await), (1, 8), "nothing stands beside the unknown event");
    // Jobs of the slice go on; their events wait.
    assert_eq!(status(&world, export(&world, "A", 5, 11, json!({}))).await, "success");
    assert_eq!(world.count("SELECT count(*) FROM audit_outbox WHERE entity = 'A'").await, Some(16));
}

/// What a job says of itself in its run.
async fn outcome(world: &World, id: Uuid) -> (String, String) {
    world.client.receipt(id, SETTLED).await;
    let run = world.run(id).await;
    let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("error_code"))
}

#[tokio::test]
async fn a_period_locked_or_a_batch_cancelled_between_check_and_commit_is_heeded() {
    let (_hold, world) = world().await;
    let worker = halting(&world, "copied:A").await;
    let locked = world.publish(export(&world, "A", 20, 10, json!({})).or("period_locked")).await;
    worker.halted(SETTLED).await;
    world.producer(&["period", "lock", "--period", "2022-06", "--entity", "A"]).await;
    worker.signal("CONT");
    assert_eq!(outcome(&world, locked).await, ("failed".to_owned(), "period_locked".to_owned()));
    assert_eq!(world.count("SELECT count(*) FROM gl_accounts").await, Some(0));
    world.producer(&["period", "unlock", "--period", "2022-06", "--entity", "A"]).await;
    drop(worker);

    let worker = halting(&world, "copied:B").await;
    let batch = Uuid::new_v4();
    let cancelled = world.publish(export(&world, "B", 20, 10, json!({"batch_id": batch})).or("cancelled")).await;
    worker.halted(SETTLED).await;
    world.producer(&["cancel", &batch.to_string()]).await;
    worker.signal("CONT");
    assert_eq!(outcome(&world, cancelled).await.0, "cancelled");
    assert_eq!(world.count("SELECT count(*) FROM gl_accounts").await, Some(0));
    drop(worker);

    // Past the last check a lock waits for the commit, and the commit does not heed it.
    let worker = halting(&world, "before_commit:C").await;
    let committed = world.publish(export(&world, "C", 20, 10, json!({}))).await;
    worker.halted(SETTLED).await;
    let locking = async {
        world.producer(&["period", "lock", "--period", "2022-06", "--entity", "C"]).await;
        world.run(committed).await["status"] == "success"
    };
    let going_on = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        world.counts(waiting, 1, SETTLED).await;
        worker.signal("CONT");
    };
    let (had_committed, ()) = tokio::join!(locking, going_on);
    assert!(had_committed, "the lock did not wait for the commit");
    let findings = is_whole(&world).await;
    let ends = ["success", "failed", "cancelled"].map(|name| findings.outcome(name));
    assert_eq!(ends, [1, 1, 1], "{findings}");
}
