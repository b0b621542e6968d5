//! Dead letters that two engineers replay at once, or too late.

use serde_json::json;
use tests::faults::{
    World,
    book::{Export, Publication},
};
use uuid::Uuid;

use crate::run::{SETTLED, export, export_at, is_whole, missing, world};

#[tokio::test]
async fn two_engineers_who_replay_at_once_replay_each_job_once() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let mut jobs = Vec::new();
    for number in 0..12 {
        let job = missing(&world, &format!("LATE{number}"));
        jobs.push(world.publish(job).await);
    }
    for job in &jobs {
        world.client.receipt(*job, SETTLED).await;
    }
    for (number, job) in jobs.iter().enumerate() {
        let export = Export::numbered(&format!("LATE{number}"), "2022-06", 5, 1);
        world.write(&format!("in/LATE{number}_missing.csv"), export.text());
        world.book.mend(*job, &export);
    }
    let replay = ["dead", "replay", "--code", "file_not_found"];
    let (one, other) = tokio::join!(world.run_producer(&replay), world.run_producer(&replay));
    assert!(one.code == 0 || other.code == 0, "{one:?}\n{other:?}");
    // Whoever was turned away tries again, and finds nothing left.
    world.producer(&replay).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 12);
    assert_eq!(world.count("SELECT count(*) FROM ingestion_runs WHERE replays <> 1").await, Some(0));
}

#[tokio::test]
async fn a_replayed_job_that_is_stale_or_cancelled_by_then_does_no_harm() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let batch = Uuid::new_v4();
    let stale = Export::numbered("STALE", "2022-06", 5, 1);
    let stale_file = world.path().join("in/stale.csv");
    let at = |hour: u32, batch: Option<Uuid>| match batch {
        None => json!({"exported_at": format!("2022-07-01T{hour}:00:00Z")}),
        Some(batch) => json!({"exported_at": format!("2022-07-01T{hour}:00:00Z"), "batch_id": batch}),
    };
    let first = world.publish(Publication::of(&stale_file, &stale, at(10, None)).or("file_not_found")).await;
    let gone = Export::numbered("GONE", "2022-06", 5, 1);
    let gone_file = world.path().join("in/gone.csv");
    let second = world.publish(Publication::of(&gone_file, &gone, at(10, Some(batch))).or("cancelled")).await;
    for job in [first, second] {
        assert_eq!(world.client.receipt(job, SETTLED).await["status"], "failed");
    }
    // Meanwhile a newer export comes, and the batch is cancelled; then both files are there.
    let newer = world.publish(export(&world, "STALE", 6, 11, json!({}))).await;
    world.client.receipt(newer, SETTLED).await;
    world.producer(&["cancel", &batch.to_string()]).await;
    world.write("in/stale.csv", stale.text());
    world.write("in/gone.csv", gone.text());
    world.producer(&["dead", "replay", "--all"]).await;
    let findings = is_whole(&world).await;
    let ends = ["success", "superseded", "cancelled"].map(|name| findings.outcome(name));
    assert_eq!(ends, [1, 1, 1], "{findings}");
}

#[tokio::test]
async fn cancelling_and_locking_race_with_commits_and_each_job_ends_one_way() {
    let (_hold, world) = world().await;
    let _first = world.worker(&[]).await;
    let _second = world.worker(&[]).await;
    let batch = Uuid::new_v4();
    for number in 0..120 {
        let entity = format!("E{number:03}");
        let of_batch = json!({"batch_id": batch});
        let job = export_at(&world, &entity, 20, 10, "2022-07-01T10:00:00Z", of_batch);
        world.publish(job.or("cancelled").or("period_locked")).await;
        if number == 50 {
            world.producer(&["period", "lock", "--period", "2022-06"]).await;
        }
        if number == 70 {
            world.producer(&["period", "unlock", "--period", "2022-06"]).await;
        }
        if number == 100 {
            world.producer(&["cancel", &batch.to_string()]).await;
        }
    }
    let findings = is_whole(&world).await;
    let ends = ["success", "failed", "cancelled"].map(|name| findings.outcome(name));
    assert_eq!(ends.iter().sum::<u64>(), 120, "{findings}");
    assert!(ends.iter().all(|number| *number > 0), "{findings}");
}

#[tokio::test]
async fn dead_letters_are_not_none_while_the_leader_of_their_queue_is_mute() {
    let (_hold, world) = world().await;
    let _worker = world.worker(&[]).await;
    let mut jobs = Vec::new();
    for entity in ["A", "B", "C"] {
        let job = world.publish(crate::run::bad(&world, entity)).await;
        world.client.receipt(job, SETTLED).await;
        jobs.push(job.to_string());
    }
    // From now on the letters have been given back once: one that is given back alone lies behind the others.
    assert_eq!(listed(&world).await, jobs);
    // It says nothing until somebody asks it for a letter; a count without it is 0 after 250 ms.
    let mute = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{}\">>, queue, <<\"aura.dead\">>)), \
         Leader = amqqueue:get_pid(Q), Pid = whereis(element(1, Leader)), ok = sys:suspend(Leader), \
         spawn(fun() -> (fun Wait(0) -> ok; Wait(N) -> {{messages, All}} = erlang:process_info(Pid, messages), \
         case [1 || {{'$gen_call', _, {{leader_call, {{command, _, _}}}}}} <- All] of \
         [] -> timer:sleep(50), Wait(N - 1); _ -> ok end end)(200), sys:resume(Leader) end).",
        world.name()
    );
    world.services.rabbitmqctl(&["eval", &mute]).await;
    assert_eq!(listed(&world).await, jobs);
    assert_eq!(listed(&world).await, jobs, "their order has changed");
}

/// The jobs of the dead letters, in their order; all letters were seen.
async fn listed(world: &World) -> Vec<String> {
    let listed = world.producer(&["dead", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let jobs = listed["jobs"].as_array().expect("jobs");
    assert_eq!((&listed["letters"], &listed["seen"]), (&json!(jobs.len()), &json!(jobs.len())), "{listed:#}");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an identity").to_owned()).collect()
}
