//! Dead letters: listed, shown, replayed and discarded, and none lost.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// A world in which so many jobs died of a bad amount.
async fn with_dead_jobs(number: usize) -> (World, crate::process::Worker, Vec<Uuid>) {
    let (world, worker) = World::with_worker().await;
    let mut jobs = Vec::new();
    for number in 0..number {
        let entity = format!("E{number}");
        let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "bad")]));
        jobs.push(world.send(job(&file, &entity, "2022-06")).await);
    }
    world.broker.dead(number).await;
    (world, worker, jobs)
}

#[tokio::test]
async fn looking_at_dead_letters_loses_none_and_changes_none() {
    let (world, _worker, jobs) = with_dead_jobs(3).await;
    let before = world.broker.dead(3).await;
    for _ in 0..8 {
        let list = world.producer(&["dead", "list", "--json"]).await.expect(0).json();
        assert_eq!(list["letters"], 3);
        assert_eq!((&list["groups"][0]["code"], &list["groups"][0]["jobs"]), (&json!("row_invalid"), &json!(3)));
        let shown = world.producer(&["dead", "show", &jobs[1].to_string(), "--json"]).await.expect(0);
        assert!(shown.stdout.contains("row_invalid") && shown.stdout.contains("E1"), "{}", shown.stdout);
    }
    let after = world.broker.dead(3).await;
    let bodies = |letters: &[crate::broker::DeadLetter]| letters.iter().map(|one| one.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&after), bodies(&before));
    assert_eq!(after[0].header("aura-failed-at"), before[0].header("aura-failed-at"));
    let one = world.producer(&["dead", "list", "--entity", "E2", "--json"]).await.expect(0).json();
    assert_eq!(one["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn corrected_files_are_replayed_as_the_same_jobs() {
    let (world, _worker, jobs) = with_dead_jobs(3).await;
    for entity in ["E0", "E1", "E2"] {
        world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
    }
    world.producer(&["dead", "replay", "--code", "row_invalid"]).await.expect(0);
    for id in jobs {
        let receipt = world.broker.nth_receipt(id, 2).await;
        assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)));
        assert_eq!(world.job_run(id).await["status"], "success");
    }
    assert_eq!(world.broker.depth("aura.dead").await, 0);
    let replayed = world.events("E0", "2022-06").await.iter().filter(|event| *event == "replayed").count();
    assert_eq!(replayed, 1);
}

#[tokio::test]
async fn a_job_that_fails_again_after_a_replay_lies_there_again_and_counts_its_replays() {
    let (world, _worker, jobs) = with_dead_jobs(1).await;
    for replays in 1..=2 {
        world.producer(&["dead", "replay", &jobs[0].to_string()]).await.expect(0);
        world.broker.nth_receipt(jobs[0], replays + 1).await;
        let dead = world.broker.dead(1).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].header("aura-replays"), replays.to_string());
    }
}

#[tokio::test]
async fn two_engineers_who_replay_at_once_replay_each_job_once() {
    let (world, _worker, jobs) = with_dead_jobs(12).await;
    for number in 0..12 {
        world.write(&format!("E{number}.csv"), csv(&format!("E{number}"), "2022-06", &[("10", "5")]));
    }
    let replay = ["dead", "replay", "--all"];
    let (one, two) = tokio::join!(world.producer(&replay), world.producer(&replay));
    assert!(one.code == 0 || two.code == 0, "{}\n{}", one.stderr, two.stderr);
    for id in &jobs {
        assert_eq!(world.broker.nth_receipt(*id, 2).await["status"], "success");
    }
    world.settled().await;
    for number in 0..12 {
        let events = world.events(&format!("E{number}"), "2022-06").await;
        assert_eq!(events.iter().filter(|event| *event == "replayed").count(), 1, "E{number}: {events:?}");
    }
    assert_eq!(world.broker.depth("aura.dead").await, 0);
}

#[tokio::test]
async fn discarding_needs_a_reason_and_is_audited_with_it() {
    let (world, _worker, jobs) = with_dead_jobs(2).await;
    let id = jobs[0].to_string();
    world.producer(&["dead", "discard", &id]).await.expect(2);
    assert_eq!(world.broker.dead(2).await.len(), 2);
    world.producer(&["dead", "discard", &id, "--reason", "sent by mistake"]).await.expect(0);
    let left = world.broker.dead(1).await;
    assert_eq!(left.len(), 1);
    assert!(String::from_utf8_lossy(&left[0].body).contains("E1"));
    let chain = world.chain("E0", "2022-06").await;
    let discarded =
        chain.iter().find(|event| crate::audit::text(event, "event_type") == "discarded").expect("an event");
    let told = discarded.to_string();
    assert!(told.contains("sent by mistake") && told.contains("tester"), "{told}");
}

#[tokio::test]
async fn replaying_everything_must_be_asked_for_by_name() {
    let (world, _worker, _) = with_dead_jobs(1).await;
    world.producer(&["dead", "replay"]).await.expect(2);
    assert_eq!(world.broker.dead(1).await.len(), 1);
}

#[tokio::test]
async fn a_corrected_file_under_a_new_name_becomes_a_new_job_exported_now() {
    let (world, _worker) = World::with_worker().await;
    let bad = world.write("bad.csv", csv("A", "2022-06", &[("10", "bad")]));
    let hash: String = {
        use sha2::{Digest, Sha256};
        Sha256::digest(std::fs::read(&bad).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let pinned = json!({"sha256": hash, "exported_at": "2022-07-01T10:00:00Z"});
    let old = world.ends("failed", with(job(&bad, "A", "2022-06"), pinned)).await;
    world.broker.dead(1).await;
    let good = world.write("good.csv", csv("A", "2022-06", &[("10", "5")]));
    let id = old["job_id"].as_str().unwrap();
    world.producer(&["dead", "replay", "--as-new", "--file", &good, id]).await.expect(0);
    let receipt = world.broker.receipt_where("the new job", |one| one["status"] == "success").await.body;
    assert_ne!(receipt["job_id"], id);
    let run = world.job_run(receipt["job_id"].as_str().unwrap().parse().unwrap()).await;
    assert!(run["exported_at"].as_str().unwrap() > "2026", "{}", run["exported_at"]);
    let empty = async || (world.broker.depth("aura.dead").await == 0).then_some(());
    until("the old letter is gone", SOON, empty).await;
}

#[tokio::test]
async fn letters_that_no_worker_wrote_are_listed_too() {
    let (world, _worker) = World::with_worker().await;
    for body in [b"garbage".as_slice(), b"\xff\xfe", b"{}"] {
        world.broker.publish_to("", "aura.dead", body, lapin::BasicProperties::default()).await;
    }
    let list = world.producer(&["dead", "list", "--json"]).await.expect(0).json();
    assert_eq!(list["letters"], 3);
    let codes: BTreeSet<_> = list["groups"].as_array().unwrap().iter().map(|group| group["code"].to_string()).collect();
    assert!(!codes.is_empty());
    assert_eq!(world.broker.dead(3).await.len(), 3);
    assert_ne!(list["jobs"], Value::Null);
}
