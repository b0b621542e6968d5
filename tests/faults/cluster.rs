//! A cluster of brokers, whose leaders die one after the other.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    faults::{chaos::stream::Stream, client::RECEIPTS},
    program::Said,
    random::Random,
    wait::until,
};

use crate::run::{SETTLED, export, is_whole, world_on_a_cluster};

/// The queues of Aura, and that of the receipts.
const QUEUES: [&str; 6] = ["aura.jobs", "aura.retry.1s", "aura.retry.2s", "aura.retry.4s", "aura.dead", RECEIPTS];
const ENDED: &str = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
const FOLLOWED: i64 = 300;
const WAITING: &str = "SELECT count(*) FROM ingestion_runs WHERE status = 'retrying'";

// The proxies must go on while the world is cleaned up.
#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_of_a_cluster_killed_under_load_lose_and_double_nothing() {
    let (_hold, cluster, world) = world_on_a_cluster().await;
    for queue in QUEUES {
        let found = cluster.queue(world.name(), queue).await.expect("the queue is there");
        assert_eq!((found.members, found.online), (3, 3), "{queue}: {found:?}");
    }
    let mut workers = [world.worker(&[]).await, world.worker(&[]).await];
    let stream = Stream::new(&world, Random::at(1, 1));
    let killing = async {
        for _ in 0..2 {
            let begin = world.count(ENDED).await.expect("PostgreSQL answers");
            until("jobs end, and some wait for their retry", SETTLED, async || {
                (world.count(ENDED).await? >= begin + 60 && world.count(WAITING).await? >= 3).then_some(())
            })
            .await;
            let gone = cluster.kill_leader(world.name(), "aura.jobs").await;
            let begin = world.count(ENDED).await.expect("PostgreSQL answers");
            until("jobs end on two nodes", SETTLED, async || (world.count(ENDED).await? >= begin + 60).then_some(()))
                .await;
            cluster.start(&gone, world.name(), &QUEUES).await;
        }
        stream.end();
    };
    let ((published, ..), ()) = tokio::join!(stream.run(), killing);
    let findings = is_whole(&world).await;
    println!("{published} messages\n{findings}");
    for outcome in ["success", "failed", "superseded", "refused"] {
        assert!(findings.outcome(outcome) > 0, "no job ended as {outcome}: {findings}");
    }
    assert!(workers.iter_mut().all(|worker| worker.exit().is_none()), "a worker ended");
}

// The proxies must go on while the world is cleaned up.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_outlives_the_node_that_has_its_receipts() {
    let (_hold, cluster, world) = world_on_a_cluster().await;
    let _workers = [world.worker(&[]).await, world.worker(&[]).await];
    let jobs: Vec<String> = (0..FOLLOWED)
        .map(|number| {
            let publication = export(&world, &format!("E{number:03}"), 10, 10, json!({}));
            let body = publication.body.clone();
            world.book.enter(publication);
            body
        })
        .collect();
    let manifest = world.write("jobs.jsonl", jobs.join("\n")).display().to_string();
    let publish = ["publish", "--manifest", &manifest, "--wait", "--timeout", "90", "--json"];
    let killing = async {
        let queue = until("the call listens", SETTLED, async || {
            let path = format!("queues/{}?columns=name", world.name());
            let queues = cluster.services().manage(Method::GET, &path, &Value::Null).await?;
            let names = queues.as_array()?.iter().filter_map(|queue| queue["name"].as_str());
            names.map(str::to_owned).find(|name| name.starts_with("aura.receipts."))
        })
        .await;
        until("jobs end", SETTLED, async || (world.count(ENDED).await? >= 20).then_some(())).await;
        // It is the node that the call is connected to, too: a queue is led where it was declared.
        cluster.kill_home(world.name(), &queue).await;
        let ended = world.count(ENDED).await;
        assert!(ended.is_some_and(|ended| ended < FOLLOWED), "all jobs had ended before a node was killed");
    };
    let (Said { code, stdout: told, stderr: errors }, ()) = tokio::join!(world.run_producer(&publish), killing);
    let summary: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}:\n{told}\n{errors}"));
    assert_eq!((code, &summary["successful"]), (0, &json!(FOLLOWED)), "{errors}");
    is_whole(&world).await;
}
