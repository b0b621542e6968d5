//! Control totals, the nil check, closed periods and cancelled batches.

use serde_json::{Value, json};
use tests::trial_balance::TrialBalance;
use uuid::Uuid;

use crate::world::{World, csv, job, with};

#[tokio::test]
async fn totals_that_the_export_job_computed_must_match() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "1.10"), ("20", "2.20")]));
    let with_control = |control: Value| with(job(&file, "A", "2022-06"), json!({"control": control}));
    for wrong in [json!({"rows": 3}), json!({"balance_sum": "3.31"}), json!({"rows": 2, "balance_sum": "-3.3"})] {
        let receipt = world.ends("failed", with_control(wrong)).await;
        assert_eq!(receipt["error"]["code"], "control_total_mismatch", "{receipt:#}");
    }
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    world.ends("success", with_control(json!({"rows": 2, "balance_sum": "3.300"}))).await;
}

#[tokio::test]
async fn control_totals_are_those_of_the_good_rows() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "1"), ("20", "bad"), ("30", "3")]));
    let message = json!({"on_error": "quarantine", "control": {"rows": 2, "balance_sum": "4"}});
    world.ends("success", with(job(&file, "A", "2022-06"), message)).await;
}

#[tokio::test]
async fn a_slice_that_must_be_balanced_and_is_not_fails() {
    let (world, _worker) = World::with_worker().await;
    let balanced = |file: &str| with(job(file, "A", "2022-06"), json!({"require_balanced": true}));
    let off = world.write("off.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-4.99")]));
    let receipt = world.ends("failed", balanced(&off)).await;
    assert_eq!(receipt["error"]["code"], "out_of_balance");
    assert!(receipt["error"]["message"].as_str().unwrap().contains("0.01"), "{receipt:#}");
    let nil = world.sample("nil.csv", &TrialBalance::new("A", "2022-06", 501, 4).balanced());
    let receipt = world.ends("success", balanced(&nil)).await;
    assert_eq!(receipt["balance_sum"], "0");
}

#[tokio::test]
async fn a_tolerance_lets_a_slice_be_a_little_off() {
    let world = World::new().await;
    let _worker = world.worker(&[("AURA_NIL_TOLERANCE", "0.01")]).await;
    let off = world.write("off.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-4.99")]));
    world.ends("success", with(job(&off, "A", "2022-06"), json!({"require_balanced": true}))).await;
}

#[tokio::test]
async fn a_locked_period_takes_no_job_until_it_is_unlocked() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.producer(&["period", "lock", "--period", "2022-06", "--entity", "A", "--reason", "reported"]).await.expect(0);
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "period_locked");
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    let other = world.write("b.csv", csv("B", "2022-06", &[("10", "5")]));
    world.ends("success", job(&other, "B", "2022-06")).await;
    world.producer(&["period", "unlock", "--period", "2022-06", "--entity", "A", "--reason", "late"]).await.expect(0);
    world.broker.dead(1).await;
    world.producer(&["dead", "replay", "--code", "period_locked"]).await.expect(0);
    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.broker.nth_receipt(id, 2).await["status"], "success");
    let events = world.events("A", "2022-06").await;
    for event in ["period_locked", "period_unlocked", "replayed"] {
        assert!(events.contains(&event.to_owned()), "{event} is not in {events:?}");
    }
}

#[tokio::test]
async fn a_period_locked_for_all_entities_is_locked_for_each() {
    let (world, _worker) = World::with_worker().await;
    world.producer(&["period", "lock", "--period", "2022-06", "--reason", "reported"]).await.expect(0);
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "period_locked");
    let list = world.producer(&["period", "list", "--json"]).await.expect(0);
    assert!(list.stdout.contains("2022-06"), "{}", list.stdout);
}

#[tokio::test]
async fn the_jobs_of_a_cancelled_batch_end_as_cancelled() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    world.producer(&["topology"]).await.expect(0);
    let batch = Uuid::new_v4();
    let mut jobs = Vec::new();
    for entity in ["A", "B", "C"] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
        jobs.push(world.send(with(job(&file, entity, "2022-06"), json!({"batch_id": batch}))).await);
    }
    world.producer(&["cancel", &batch.to_string(), "--reason", "wrong month"]).await.expect(0);
    let _worker = world.worker(&[]).await;
    for id in jobs {
        let receipt = world.broker.receipt(id).await;
        assert_eq!(receipt["status"], "cancelled", "{receipt:#}");
        assert_eq!(world.broker.receipts_of(id)[0].1.key, format!("job.cancelled.{batch}"));
        assert_eq!(world.job_run(id).await["status"], "cancelled");
    }
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await, 0);
    assert_eq!(world.broker.depth("aura.dead").await, 0);
    assert!(world.events("A", "2022-06").await.contains(&"job_cancelled".to_owned()));
    assert!(world.events("_system", "-").await.contains(&"batch_cancelled".to_owned()));
}
