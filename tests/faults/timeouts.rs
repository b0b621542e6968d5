//! Attempts that take too long: what they began in PostgreSQL ends with them.

use std::time::{Duration, Instant};

use tests::{faults::World, wait::until};

use crate::run::{SETTLED, export, is_whole, missing, world};
use serde_json::json;
use tests::faults::book::Export;

/// Statements of workers that PostgreSQL is working on, except those that wait for their client.
const AT_WORK: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name LIKE 'aura-worker%' AND state = 'active' AND pid <> pg_backend_pid() \
    AND wait_event = 'PgSleep'";

/// Makes PostgreSQL slow at some step for entity A.
async fn slow(world: &World, trigger: &str) {
    let session = world.session().await;
    session.batch_execute(trigger).await.expect("a trigger can be made");
}

const SLOW_ROWS: &str = "
    CREATE FUNCTION slow_rows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
    CREATE TRIGGER slow_rows BEFORE INSERT ON gl_accounts FOR EACH STATEMENT EXECUTE FUNCTION slow_rows();
    CREATE FUNCTION slow_end() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(3.9); RETURN NEW; END $$;
    CREATE TRIGGER slow_end BEFORE UPDATE ON ingestion_runs FOR EACH ROW
        WHEN (NEW.status = 'success') EXECUTE FUNCTION slow_end();";

/// A commit that takes six seconds, whoever asks it to stop.
const SLOW_COMMIT: &str = "
    CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE until timestamptz := clock_timestamp() + interval '6 s';
        BEGIN
            WHILE clock_timestamp() < until LOOP
                BEGIN
                    PERFORM pg_sleep(extract(epoch FROM until - clock_timestamp()));
                EXCEPTION WHEN query_canceled THEN NULL;
                END;
            END LOOP;
            RETURN NULL;
        END $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON ingestion_runs DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION slow_commit();";

#[tokio::test]
async fn an_attempt_that_takes_too_long_ends_in_postgresql_too() {
    let (_hold, world) = world().await;
    slow(&world, SLOW_ROWS).await;
    let _worker = world.worker(&[("AURA_JOB_TIMEOUT_SECONDS", "4")]).await;
    let began = Instant::now();
    let job = world.publish(export(&world, "A", 5, 10, json!({})).or("timeout")).await;
    until("the attempt is noted as spent", SETTLED, async || {
        let run = world.run(job).await;
        (run["attempts"] == 1 && run["status"] == "retrying").then_some(())
    })
    .await;
    let noted = began.elapsed();
    assert!(noted < Duration::from_millis(6_500), "an attempt of 4 s was noted after {noted:?}");
    // Asked before the retry begins, a second later.
    assert_eq!(world.count(AT_WORK).await, Some(0), "a statement of the attempt runs on");
    let run = world.run(job).await;
    assert_eq!(run["error_code"], "timeout");
    world.session().await.batch_execute("DROP TRIGGER slow_rows ON gl_accounts").await.expect("it can be dropped");
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
}

#[tokio::test]
async fn a_last_attempt_that_runs_out_of_time_in_its_commit_ends_with_what_was_committed() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[("AURA_JOB_TIMEOUT_SECONDS", "3")]).await;
    let late = Export::numbered("A", "2022-06", 5, 1);
    let job = world.publish(missing(&world, "A")).await;
    world.book.mend(job, &late);
    until("three attempts are spent", SETTLED, async || (world.run(job).await["attempts"] == 3).then_some(())).await;
    slow(&world, SLOW_COMMIT).await;
    world.write("in/A_missing.csv", late.text());
    let receipt = world.client.receipt(job, SETTLED).await;
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(4)), "{receipt:#}");
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
}
