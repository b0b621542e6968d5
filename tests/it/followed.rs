//! `publish --wait` and the canary of `dead replay`: each call hears of its own messages, whoever else listens.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    process::Said,
    stack::stack,
    store::management,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// A manifest of so many jobs of a batch, each of its own entity.
fn manifest(world: &World, name: &str, batch: Uuid, number: usize) -> String {
    let lines: Vec<String> = (0..number)
        .map(|number| {
            let entity = format!("{name}{number}");
            let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
            let more = json!({"job_id": Uuid::new_v4(), "batch_id": batch, "exported_at": "2022-07-01T10:00:00Z"});
            with(job(&file, &entity, "2022-06"), more).to_string()
        })
        .collect();
    let path = world.path().join(format!("{name}.jsonl"));
    std::fs::write(&path, lines.join("\n")).expect("a manifest can be written");
    path.display().to_string()
}

async fn publish_at_once(world: &World, manifests: &[String]) -> Vec<Said> {
    let calls = manifests.iter().map(async |manifest| {
        let arguments = ["publish", "--manifest", manifest, "--wait", "--timeout", "30", "--json"];
        world.producer(&arguments).await
    });
    join_all(calls).await
}

#[tokio::test]
async fn calls_that_wait_for_one_batch_side_by_side_each_hear_of_their_own_jobs() {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    let manifests: Vec<String> = ["A", "B", "C", "D"].map(|name| manifest(&world, name, batch, 3)).into();
    for said in publish_at_once(&world, &manifests).await {
        let said = said.expect(0).json();
        assert_eq!((&said["total"], &said["successful"], &said["outstanding"]), (&json!(3), &json!(3), &json!([])));
    }
    let queues = management(Method::GET, &format!("queues/{}?columns=name", world.name()), Value::Null).await;
    let left = queues.as_array().unwrap().iter().filter(|queue| queue["name"].to_string().contains("receipts"));
    assert_eq!(left.count(), 0, "{queues:#}");
}

#[tokio::test]
async fn two_calls_with_the_same_manifest_both_hear_of_all_jobs() {
    let (world, _worker) = World::with_worker().await;
    let one = manifest(&world, "A", Uuid::new_v4(), 4);
    for said in publish_at_once(&world, &[one.clone(), one]).await {
        let said = said.expect(0).json();
        assert_eq!((&said["successful"], &said["outstanding"]), (&json!(4), &json!([])), "{said:#}");
    }
}

/// The queue of receipts of the one call that waits.
async fn queue_of_receipts(world: &World) -> String {
    until("a call listens", SOON, async || {
        let queues = management(Method::GET, &format!("queues/{}?columns=name", world.name()), Value::Null).await;
        let names: Vec<String> =
            queues.as_array()?.iter().filter_map(|q| Some(q["name"].as_str()?.to_owned())).collect();
        names.into_iter().find(|name| name.starts_with("aura.receipts."))
    })
    .await
}

#[tokio::test]
async fn what_ended_while_nobody_listened_is_looked_up() {
    let world = World::new().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let arguments = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json"];
    let ending = async {
        let queue = queue_of_receipts(&world).await;
        let published = async || (world.broker.depth("aura.jobs").await == 1).then_some(());
        until("the job is published", SOON, published).await;
        // Its receipt goes to nobody, and then the queue goes, as with the node that alone had it.
        let vhost = world.name();
        let bindings = format!("bindings/{vhost}/e/aura.events/q/{queue}");
        let bound = management(Method::GET, &bindings, Value::Null).await;
        let key = bound[0]["properties_key"].as_str().expect("it is bound").to_owned();
        management(Method::DELETE, &format!("{bindings}/{key}"), Value::Null).await;
        let worker = world.worker(&[]).await;
        world.broker.receipt_where("the receipt", |receipt| receipt["status"] == "success").await;
        // The call may have looked the job up already, and have taken its queue along.
        if let Err(gone) = stack().manage(Method::DELETE, &format!("queues/{vhost}/{queue}"), &Value::Null).await {
            assert!(gone.to_string().contains("404"), "{gone}");
        }
        worker
    };
    let (said, _worker) = tokio::join!(world.producer(&arguments), ending);
    assert_eq!(said.expect(0).json()["successful"], 1);
}

#[tokio::test]
async fn without_postgresql_a_call_follows_its_batch_and_says_so_if_jobs_are_outstanding() {
    let mut world = World::new().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let workers = world.settings_with(&[]);
    // A port on which nobody answers.
    world.lay_over(&[("AURA_POSTGRES_URL", "postgres://nobody@127.0.0.1:1/none")]);
    let publish = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json", "--timeout"];
    let late = world.producer(&[&publish[..], &["1"]].concat()).await.expect(1);
    assert_eq!(late.json()["outstanding"].as_array().unwrap().len(), 1);
    let told = late.stderr.matches("could not be looked up").count();
    assert_eq!(told, 1, "{}", late.stderr);
    let workers: Vec<_> = workers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let _worker = world.worker(&workers).await;
    let said = world.producer(&[&publish[..], &["60"]].concat()).await.expect(0).json();
    assert_eq!(said["outstanding"], json!([]));
}

#[tokio::test]
async fn a_canary_waits_for_the_end_of_its_own_round() {
    let (world, mut worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "bad")]));
    let message = with(job(&file, "A", "2022-06"), json!({"job_id": Uuid::new_v4()}));
    let failed = world.ends("failed", message.clone()).await;
    world.broker.dead(1).await;
    worker.stop().await;
    world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    // The export job sends the same message again, whose receipt is that of the failure.
    world.send(message).await;
    let replay = ["dead", "replay", "--all", "--canary", "--timeout", "60", "--json"];
    let working = async {
        until("the canary is published", SOON, async || (world.broker.depth("aura.jobs").await == 2).then_some(()))
            .await;
        world.worker(&[("AURA_CONCURRENCY", "1")]).await
    };
    let (said, _worker) = tokio::join!(world.producer(&replay), working);
    let canary = said.expect(0).json()["canary"].as_str().unwrap().to_owned();
    assert!(canary.contains("ended as success"), "{canary}");
    let id = failed["job_id"].as_str().unwrap().parse().unwrap();
    let repeated = world.broker.receipts_of(id).iter().filter(|(_, one)| one.body["repeated"] == true).count();
    assert_eq!(repeated, 1);
}
