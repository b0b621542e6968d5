//! Rounds of a job: what an earlier one still has to say when a later one is under way.

use std::time::Duration;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use tests::{
    faults::{
        World,
        book::{Export, Publication},
        proxy::Way,
    },
    wait::until,
};
use uuid::Uuid;

use crate::run::{SETTLED, bad, is_whole, world};

const HALT: (&str, &str) = ("AURA_TEST_FAILPOINT_ACTION", "halt");

/// Replays the bad job while its file is away, until it waits for its retry. Returns what will be there then.
async fn replayed_without_its_file(world: &World, job: Uuid) -> Export {
    let corrected = Export::numbered("A", "2022-06", 5, 2);
    std::fs::remove_file(world.path().join("in/A_bad.csv")).expect("the file can be removed");
    world.book.mend(job, &corrected);
    world.producer(&["dead", "replay", "--all"]).await;
    until("the replay waits for a retry", SETTLED, async || {
        let run = world.run(job).await;
        (run["replays"] == 1 && run["status"] == "retrying" && run["claim"].is_null()).then_some(())
    })
    .await;
    corrected
}

#[tokio::test]
async fn the_late_end_of_a_round_does_not_end_a_replay_that_waits_for_its_retry() {
    let (_hold, world) = world().await;
    let mut first = world.worker_with_failpoint("dead_published:A", &[HALT]);
    first.takes_jobs().await;
    let job = world.publish(bad(&world, "A")).await;
    first.halted(SETTLED).await;
    // The letter is out, and not written down. Somebody replays it; the file is away just then.
    let _second = world.worker(&[]).await;
    let corrected = replayed_without_its_file(&world, job).await;
    first.signal("CONT");
    first.logs("another round of the job has begun", SETTLED).await;
    // The round that was replayed has ended all the same, and says so before the next one does.
    let told =
        until("the receipt of the round", SETTLED, async || world.client.receipts_of(job).first().cloned()).await;
    assert_eq!((&told["status"], &told["repeated"]), (&json!("failed"), &json!(null)), "{told:#}");
    world.write("in/A_bad.csv", corrected.text());
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1, "{findings}");
}

#[tokio::test]
async fn a_round_that_was_overtaken_publishes_no_dead_letter() {
    let (_hold, world) = world().await;
    let mut first = world.worker_with_failpoint("dead_decided:A", &[HALT]);
    first.takes_jobs().await;
    let publication = bad(&world, "A");
    let job = world.publish(publication.clone()).await;
    first.halted(SETTLED).await;
    // The broker takes the message back from the halted worker, and another one ends the round. The
    // letter is replayed, and the file is away just then.
    let second = world.worker(&[]).await;
    assert_eq!(world.client.receipt(job, SETTLED).await["status"], "failed");
    let corrected = replayed_without_its_file(&world, job).await;
    first.signal("CONT");
    first.logs("not a dead letter", SETTLED).await;
    world.write("in/A_bad.csv", corrected.text());
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1, "{findings}");
    drop(second);
}

#[tokio::test]
async fn a_round_whose_receipt_was_not_out_sends_it_though_the_next_one_has_begun() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    // It holds the one message, so that the replay goes to the other worker.
    let at = [HALT, ("AURA_TEST_FAILPOINT", "dead_noted:A"), ("AURA_CONCURRENCY", "1")];
    let mut first = world.spawn("aura-worker-failpoints", Some(&proxies), &at);
    first.takes_jobs().await;
    let job = world.publish(bad(&world, "A")).await;
    first.halted(SETTLED).await;
    // Its end is written down, and the letter replayed. Then the broker takes the message of the first round back.
    let _second = world.worker(&[]).await;
    let corrected = replayed_without_its_file(&world, job).await;
    assert!(world.client.receipts_of(job).is_empty(), "the first round's receipt is out");
    proxies.rabbitmq.cut();
    let told =
        until("the receipt of the round", SETTLED, async || world.client.receipts_of(job).first().cloned()).await;
    assert_eq!((&told["status"], &world.run(job).await["finished_at"]), (&json!("failed"), &json!(null)), "{told:#}");
    world.write("in/A_bad.csv", corrected.text());
    first.signal("CONT");
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1, "{findings}");
}

#[tokio::test]
async fn a_dead_letter_whose_commit_got_no_answer_has_its_receipt() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let _worker = world.worker_behind(&proxies, &[]).await;
    proxies.postgres.lose_commit_replies(1);
    let job = world.publish(bad(&world, "A")).await;
    assert_eq!(world.client.receipt(job, Duration::from_secs(40)).await["status"], "failed");
    assert_eq!(proxies.postgres.replies_lost(), 1);
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("failed"), 1, "{findings}");
}

#[tokio::test]
async fn a_dead_letter_that_is_replayed_before_the_answer_to_its_commit_is_known_has_its_receipt() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let first = world.worker_behind(&proxies, &[]).await;
    proxies.postgres.lose_commit_replies(1);
    let job = world.publish(bad(&world, "A")).await;
    until("the answer is lost", SETTLED, async || (proxies.postgres.replies_lost() == 1).then_some(())).await;
    proxies.postgres.set(Way::Shut);
    proxies.postgres.cut();
    assert!(world.client.receipts_of(job).is_empty(), "PostgreSQL was asked again before it was away");
    let _second = world.worker(&[]).await;
    let corrected = replayed_without_its_file(&world, job).await;
    proxies.postgres.set(Way::Open);
    first.logs("another round of the job has begun", SETTLED).await;
    let told =
        until("the receipt of the round", SETTLED, async || world.client.receipts_of(job).first().cloned()).await;
    assert_eq!((&told["status"], &told["repeated"]), (&json!("failed"), &json!(null)), "{told:#}");
    world.write("in/A_bad.csv", corrected.text());
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 1, "{findings}");
}

#[tokio::test]
async fn a_job_that_ended_before_says_so_in_its_receipt() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let publication = bad(&world, "A");
    let job = world.publish(publication.clone()).await;
    let first = world.client.receipt(job, SETTLED).await;
    assert!(first["repeated"].is_null(), "{first:#}");
    world.publish(publication).await;
    let second = until("a second receipt", SETTLED, async || world.client.receipts_of(job).get(1).cloned()).await;
    assert_eq!((&second["status"], &second["repeated"]), (&json!("failed"), &json!(true)));
    assert!(second["warnings"].to_string().contains("job_id"), "{second:#}");
    // What a client without Aura's own programs can do: the same message under another identity.
    let export = Export::numbered("A", "2022-06", 5, 2);
    let file = world.write("in/A_bad.csv", export.text());
    let again = world.publish(Publication::of(&file, &export, json!({}))).await;
    assert_eq!(world.client.receipt(again, SETTLED).await["status"], "success");
    is_whole(&world).await;
}

/// PostgreSQL fails the claims of some jobs, and nothing else.
async fn fail_claims(world: &World, of: &str) {
    let session = world.session().await;
    let trigger = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'a test'; END$$; \
         CREATE TRIGGER fail BEFORE INSERT ON ingestion_runs FOR EACH ROW \
         WHEN (NEW.claimed_by IS NOT NULL AND {of}) EXECUTE FUNCTION fail()"
    );
    session.batch_execute(&trigger).await.expect("a trigger");
}

#[tokio::test]
async fn a_replay_that_fails_before_its_claim_keeps_its_letter() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let job = world.publish(bad(&world, "A")).await;
    assert_eq!(world.client.receipt(job, SETTLED).await["status"], "failed");
    fail_claims(&world, "NEW.replays = 1").await;
    world.producer(&["dead", "replay", "--all"]).await;
    let letter = until("the replay is a dead letter", Duration::from_secs(25), async || {
        world.client.look("aura.dead").await?.pop().filter(|letter| letter.headers["aura-replays"] == "1")
    })
    .await;
    assert_eq!(letter.headers["aura-error-code"], "postgres_unavailable");
    // The round has an end of its own, which a canary waits for.
    let run = until("the round has ended", SETTLED, async || {
        let run = world.run(job).await;
        (run["replays"] == 1 && !run["finished_at"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(
        (&run["status"], &run["error_code"], &run["attempts"]),
        (&json!("failed"), &json!("postgres_unavailable"), &json!(4))
    );
    assert_eq!(run["result"]["error"]["code"], "postgres_unavailable");
}

#[tokio::test]
async fn another_body_that_fails_before_its_claim_does_not_end_the_run_of_its_job_id() {
    let (_hold, world) = world().await;
    fail_claims(&world, "NEW.entity = 'B'").await;
    let _worker = world.worker(&[]).await;
    let export = Export::numbered("A", "2022-06", 5, 1);
    let file = world.path().join("in/late.csv");
    let job = world.publish(Publication::of(&file, &export, json!({}))).await;
    until("the job waits for its last retry", SETTLED, async || {
        let run = world.run(job).await;
        (run["attempts"] == 3 && run["claim"].is_null()).then_some(())
    })
    .await;
    let other = json!({"job_id": job, "file": file, "entity": "B", "period": "2022-06"}).to_string();
    let mut headers = FieldTable::default();
    headers.insert("aura-attempt".into(), AMQPValue::LongInt(4));
    world.client.publish(other.as_bytes(), BasicProperties::default().with_headers(headers)).await;
    world.write("in/late.csv", export.text());
    let letter = until("the other is a dead letter", Duration::from_secs(20), async || {
        world.client.look("aura.dead").await?.pop()
    })
    .await;
    assert_eq!(letter.body, other.as_bytes());
    until("the job succeeds", Duration::from_secs(20), async || {
        (world.run(job).await["status"] == "success").then_some(())
    })
    .await;
}
