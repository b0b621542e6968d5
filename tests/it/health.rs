//! Health, metrics, and the end of a worker.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use serde_json::json;
use tests::trial_balance::TrialBalance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    process::Worker,
    wait::{SOON, until},
    world::{World, csv, job},
};

async fn get(worker: &Worker, path: &str) -> (u16, String) {
    worker.get(path).await.expect("the worker answers")
}

#[tokio::test]
async fn a_worker_tells_that_it_lives_and_is_ready_and_what_it_did() {
    let (world, worker) = World::with_worker().await;
    assert_eq!(get(&worker, "/livez").await.0, 200);
    assert_eq!(get(&worker, "/readyz").await.0, 200);
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let (code, metrics) = get(&worker, "/metrics").await;
    assert_eq!(code, 200);
    let counted =
        metrics.lines().any(|line| !line.starts_with('#') && line.contains("success") && line.ends_with(" 1"));
    assert!(counted, "no metric counts the success:\n{metrics}");
    assert!(metrics.lines().any(|line| line.starts_with("# TYPE ")), "this is not a Prometheus text:\n{metrics}");
    for at_zero in [
        "aura_jobs_total{status=\"failed\"} 0",
        "aura_attempt_failures_total{code=\"row_invalid\"} 0",
        "aura_retries_total 0",
    ] {
        assert!(metrics.lines().any(|line| line == at_zero), "a rate would miss the first of {at_zero}:\n{metrics}");
    }
    let openmetrics = reqwest::Client::new().get(format!("http://{}/metrics", worker.address()));
    let answer = openmetrics.header("Accept", "text/plain; version=0.0.4").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(get(&worker, "/nothing").await.0, 404);
}

#[tokio::test]
async fn readiness_warns_of_a_cache_that_cannot_be_written_and_of_what_waits_for_it() {
    let world = World::new().await;
    let worker = world.worker(&[("AURA_OUTBOX_WARN_SECONDS", "1")]).await;
    // Where the folder was there is now a file, in which even root can write no other.
    let (cache, aside) = (world.path().join("cache"), world.path().join("aside"));
    std::fs::rename(&cache, &aside).expect("a folder can be moved");
    std::fs::write(&cache, "").expect("a file can be written");
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let warnings = async |worker: &Worker| {
        let (code, text) = get(worker, "/readyz").await;
        assert_eq!(code, 200, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        answer["warnings"].to_string()
    };
    until("both are told", SOON, async || {
        let told = warnings(&worker).await;
        (told.contains("cannot be written") && told.contains("task of the cache has waited")).then_some(())
    })
    .await;
    std::fs::remove_file(&cache).expect("a file can be removed");
    std::fs::rename(&aside, &cache).expect("a folder can be moved");
    world.settled().await;
    // A worker that starts now knows of no trouble, since the tasks are done.
    let second = world.worker(&[("AURA_OUTBOX_WARN_SECONDS", "1")]).await;
    until("nothing is told any more", SOON, async || (warnings(&second).await == "[]").then_some(())).await;
}

/// The checks of `/readyz` of a worker that need not be ready.
async fn checks(worker: &Worker, until_it_says: &str) -> serde_json::Value {
    until(&format!("/readyz says {until_it_says}"), SOON, async || {
        let (_, answer) = worker.readyz().await?;
        answer.to_string().contains(until_it_says).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn readiness_says_what_the_server_said_and_blames_nobody_else() {
    let world = World::new().await;
    let mut wrong = url::Url::parse(world.setting("AURA_POSTGRES_URL")).expect("a URL");
    wrong.set_password(Some("not-this-one")).expect("a password");
    let begin = |settings: &[(&str, &str)], log: &str| {
        let command = crate::process::command("aura-worker", world.path(), &world.settings_with(settings));
        Worker::begin(command, world.path().join(log))
    };
    let worker = begin(&[("AURA_POSTGRES_URL", wrong.as_str())], "wrong-password.log");
    let answer = checks(&worker, "password authentication failed").await;
    assert_eq!(answer["ready"], false);
    let told = answer["checks"].as_object().expect("checks");
    assert!(told["postgresql"].as_str().is_some_and(|told| told.contains("28P01")), "{answer:#}");
    assert_eq!(told["rabbitmq_consume"], "not asked yet; the schema in PostgreSQL comes first");
    assert_eq!(told["rabbitmq_publish"], "ok");
    assert!(!answer.to_string().contains("not-this-one") && !worker.has_logged("not-this-one"));
    let (_, metrics) = get(&worker, "/metrics").await;
    for (dependency, paused) in [("postgresql", 1), ("rabbitmq", 0)] {
        let line = format!("aura_paused{{dependency=\"{dependency}\"}} {paused}");
        assert!(metrics.lines().any(|told| told == line), "no {line}:\n{metrics}");
    }

    let mut wrong = world.amqp();
    wrong.set_password(Some("not-this-one")).expect("a password");
    let worker = begin(&[("AURA_AMQP_URL", wrong.as_str())], "wrong-user.log");
    let answer = checks(&worker, "ACCESS").await;
    assert_eq!(answer["checks"]["postgresql"], "ok");
    assert!(answer["checks"]["rabbitmq_consume"].as_str().is_some_and(|told| told.contains("no jobs are taken")));

    let worker = begin(&[("AURA_MONGODB_URL", "mongodb://127.0.0.1:9/aura?directConnection=true")], "no-mongodb.log");
    let answer = checks(&worker, "MongoDB does not answer").await;
    let warning = answer["warnings"].to_string();
    assert!(warning.contains("Connection refused") && !warning.contains("Topology"), "{warning}");
}

#[tokio::test]
async fn a_cache_and_a_folder_of_profiles_that_cannot_be_used_are_told_before_a_job_needs_them() {
    let world = World::new().await;
    let file = world.write("file", "no folder");
    let inside = format!("{file}/cache");
    let worker = world.worker(&[("AURA_CACHE_URL", inside.as_str()), ("AURA_SOURCES_DIR", "/nowhere")]).await;
    let answer = checks(&worker, "mapping profiles cannot be used").await;
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("/nowhere: No such file"), "{warnings}");
    assert!(warnings.contains("the Parquet cache cannot be used") && warnings.contains("not a folder"), "{warnings}");
    assert_eq!(answer["ready"], true);
}

#[tokio::test]
async fn requests_that_never_end_keep_nobody_else_out() {
    let (world, worker) = World::with_worker().await;
    worker.limit_descriptors(200);
    let mut open = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(worker.address()).await.expect("the worker listens");
        // One that was pushed out already may not be written to any more.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").await;
        open.push(stream);
    }
    let ready = tokio::time::timeout(SOON, worker.get("/readyz")).await;
    assert_eq!(ready.expect("the worker answers").expect("it does").0, 200);
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["attempt"], 1);
    // Those that were not pushed out are closed for saying nothing more.
    for mut stream in open {
        let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "a connection that says nothing stays open");
    }
}

#[tokio::test]
async fn a_worker_without_descriptors_keeps_its_jobs_and_says_so_until_it_has_some() {
    let (world, worker) = World::with_worker().await;
    let mut sent = Vec::new();
    until("the worker has no descriptors", SOON, async || {
        // Until a job has no descriptor: some become free again as the work of the one before ends.
        if sent.iter().all(|id| !world.broker.receipts_of(*id).is_empty()) {
            worker.limit_descriptors(worker.lowest_free_descriptor());
            let entity = format!("E{}", sent.len());
            let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
            sent.push(world.send(job(&file, &entity, "2022-06")).await);
        }
        worker.text().contains("no descriptors or memory left").then_some(())
    })
    .await;
    // A few, for whoever asks; a job needs more.
    worker.limit_descriptors(worker.lowest_free_descriptor() + 6);
    until("the worker says so", SOON, async || {
        let answer = tokio::time::timeout(Duration::from_secs(2), worker.get("/readyz")).await;
        let (code, text) = answer.ok()??;
        (code == 503 && text.contains("no file descriptors")).then_some(())
    })
    .await;
    until("the job waits", SOON, async || (world.broker.depth("aura.jobs").await == 1).then_some(())).await;
    worker.limit_descriptors(1024);
    for id in sent {
        let receipt = world.broker.receipt(id).await;
        assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)), "{receipt:#}");
    }
    until("the worker is ready again", SOON, async || (worker.get("/readyz").await?.0 == 200).then_some(())).await;
}

#[tokio::test]
async fn sigterm_ends_an_idle_worker_with_0() {
    let (_world, mut worker) = World::with_worker().await;
    assert_eq!(worker.stop().await, Some(0));
}

#[tokio::test]
async fn sigterm_lets_running_jobs_finish_and_gives_the_rest_back_unharmed() {
    let world = World::new().await;
    let mut worker = world.worker(&[("AURA_CONCURRENCY", "2")]).await;
    let mut jobs = Vec::new();
    for number in 0..30 {
        let entity = format!("E{number:02}");
        let file = world.sample(&format!("{entity}.csv"), &TrialBalance::new(&entity, "2022-06", 2_000, number));
        jobs.push(world.send(job(&file, &entity, "2022-06")).await);
    }
    world.broker.count("two successes", 2, SOON, |receipt| receipt["status"] == "success").await;
    assert_eq!(worker.stop().await, Some(0));
    let loud: Vec<_> = worker.lines().into_iter().filter(|line| line["level"] != "INFO").collect();
    assert!(loud.is_empty(), "a planned stop is nothing to warn of: {loud:#?}");
    let done = world.broker.received().len();
    let left = until("the rest lies in the queue", SOON, async || {
        let left = world.broker.depth("aura.jobs").await as usize;
        (left + world.broker.received().len() >= jobs.len()).then_some(left)
    })
    .await;
    assert!(done < jobs.len(), "all jobs were done before the signal came");
    assert!(left > 0);
    let ended = world.broker.received().len();
    assert_eq!(left + ended, jobs.len(), "jobs that ended lie in the queue again");
    let mut second = world.worker(&[]).await;
    for id in &jobs {
        let receipt = world.broker.receipt(*id).await;
        assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!("success"), &json!(1)), "{receipt:#}");
    }
    // What would come again has come once the queue is empty and its worker has ended.
    until("the queue is worked off", SOON, async || (world.broker.depth("aura.jobs").await == 0).then_some(())).await;
    assert_eq!(second.stop().await, Some(0));
    assert_eq!(world.broker.depth("aura.jobs").await, 0);
    for id in &jobs {
        assert_eq!(world.broker.receipts_of(*id).len(), 1, "a job that had ended was delivered again");
    }
    for number in 0..jobs.len() {
        let events = world.events(&format!("E{number:02}"), "2022-06").await;
        for event in ["ingestion_started", "db_insert", "ingestion_completed"] {
            assert_eq!(events.iter().filter(|told| *told == event).count(), 1, "{event} in {events:?}");
        }
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_a_worker_at_once() {
    let world = World::new().await;
    let mut worker = world.worker(&[("AURA_CONCURRENCY", "1")]).await;
    let file = world.sample("big.csv", &TrialBalance::new("A", "2022-06", 200_000, 1));
    let id = world.send(job(&file, "A", "2022-06")).await;
    until("the job runs", SOON, async || {
        let running = "SELECT count(*) FROM ingestion_runs WHERE status = 'running'";
        (world.one::<i64>(running, &[]).await == 1).then_some(())
    })
    .await;
    worker.signal("TERM");
    until("the worker drains", SOON, async || {
        (worker.get("/readyz").await.is_none_or(|(code, _)| code != 200)).then_some(())
    })
    .await;
    if worker.exit().is_none() {
        worker.signal("TERM");
    }
    let ended = until("the worker ends", Duration::from_secs(10), async || worker.exit()).await;
    assert!(ended.code().is_some() || ended.signal() == Some(15), "{ended}");
    let _second = world.worker(&[]).await;
    assert_eq!(world.broker.receipt(id).await["status"], "success");
}

#[tokio::test]
async fn a_worker_that_cannot_read_its_settings_says_so_and_ends_with_2() {
    let world = World::new().await;
    let settings = world.settings_with(&[("AURA_CONCURENCY", "4")]);
    let command = crate::process::command("aura-worker", world.path(), &settings);
    let said = crate::process::run(command, Duration::from_secs(20)).await.expect(2);
    assert!((said.stderr.clone() + &said.stdout).contains("concurrency"), "{}", said.stderr);
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named() {
    let world = World::new().await;
    let path = format!(
        "queues/{}/aura.jobs",
        url::Url::parse(world.setting("AURA_AMQP_URL")).unwrap().path().trim_matches('/')
    );
    let classic = json!({"durable": true, "arguments": {}});
    crate::store::management(reqwest::Method::PUT, &path, classic).await;
    let said = world.producer(&["topology"]).await;
    assert_ne!(said.code, 0);
    let told = said.stderr + &said.stdout;
    assert!(told.contains("aura.jobs") && told.contains("x-"), "{told}");
}
