//! Programs that start together, share their folders, and refuse settings that nobody can mean.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    process::{Worker, command, run},
    world::{World, csv, job},
};

/// Starts this many workers at once, all of which write to one log, and waits until all are ready.
async fn start(world: &World, count: usize, round: usize) -> Vec<Worker> {
    let settings = world.settings_with(&[("AURA_CONCURRENCY", "1")]);
    let starts = (0..count).map(|number| {
        let stdout = world.path().join(format!("stdout-{round}-{number}"));
        Worker::start(command("aura-worker", world.path(), &settings), stdout)
    });
    join_all(starts).await
}

#[tokio::test]
async fn workers_that_start_together_all_become_ready() {
    for round in 0..3 {
        // The first start meets an empty installation, the second a full one.
        let world = World::new().await;
        for start_number in 0..2 {
            let mut workers = start(&world, 8, start_number).await;
            let entity = format!("E{start_number}");
            let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
            world.ends("success", job(&file, &entity, "2022-06")).await;
            world.settled().await;
            let stopped = join_all(workers.iter_mut().map(Worker::stop)).await;
            assert_eq!(stopped, [Some(0); 8], "in round {round}");
        }
        let log = std::fs::read_to_string(world.path().join("logs/aura.log")).expect("the log");
        let starts = log.lines().filter(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("each line is one JSON object");
            line["message"] == "starting"
        });
        assert_eq!(starts.count(), 16, "the log lacks lines");
    }
}

#[tokio::test]
async fn commands_that_share_a_log_with_others_all_run() {
    let world = World::new().await;
    for _ in 0..5 {
        for said in join_all((0..24).map(|_| world.producer(&["sources", "list"]))).await {
            said.expect(0);
        }
    }
}

#[tokio::test]
async fn settings_that_nobody_can_mean_are_refused_at_start() {
    let world = World::new().await;
    let without = |name: &str| {
        let mut url = url::Url::parse(world.setting(name)).expect("a URL");
        url.set_path("");
        url.to_string()
    };
    let (postgres, mongodb) = (without("AURA_POSTGRES_URL"), without("AURA_MONGODB_URL"));
    for (name, value, hint) in [
        ("AURA_LOG", "inof", "the nearest is info"),
        ("AURA_LOG", "warn,aura_wroker=debug", "the nearest is aura_worker"),
        ("AURA_POSTGRES_URL", &postgres, "postgres://HOST:PORT/aura"),
        ("AURA_MONGODB_URL", &mongodb, "mongodb://HOST:PORT/aura"),
    ] {
        let settings = world.settings_with(&[(name, value)]);
        let worker = run(command("aura-worker", world.path(), &settings), Duration::from_secs(20));
        let mut verify = command("aura-producer", world.path(), &settings);
        verify.arg("verify");
        for said in [worker.await, run(verify, Duration::from_secs(20)).await] {
            let said = said.expect(2);
            assert!(said.stderr.contains(name) && said.stderr.contains(hint), "{name}={value}: {}", said.stderr);
        }
    }
}
