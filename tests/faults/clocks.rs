//! Exports whose messages say no time: the broker's order of delivery is theirs, and no worker's clock.

use serde_json::json;
use tests::{
    faults::{
        World,
        book::{Export, Publication},
        clock::skewed,
        proxy::Way,
    },
    wait::until,
    worker::Worker,
};
use uuid::Uuid;

use crate::run::{SETTLED, is_whole, world};

/// An export of slice A whose message says no time at all.
async fn publish_undated(world: &World, number: u32) -> Uuid {
    let export = Export::numbered("A", "2022-06", 5, number.into());
    let file = world.write(&format!("in/A_{number}.csv"), export.text());
    world.publish(Publication::of(&file, &export, json!({})).or("ambiguous_order")).await
}

/// A worker whose clock is wrong by so much.
async fn worker_at(world: &World, offset: &str) -> Worker {
    let settings = skewed(offset);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.worker(&settings).await
}

async fn status(world: &World, job: Uuid) -> String {
    world.client.receipt(job, SETTLED).await["status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_worker_whose_clock_is_wrong_puts_no_export_out_of_its_order() {
    for (first, second) in [("+4s", "-4s"), ("-4s", "+4s")] {
        let (_hold, world) = world().await;
        let mut worker = worker_at(&world, first).await;
        let one = publish_undated(&world, 1).await;
        assert_eq!(status(&world, one).await, "success");
        worker.signal("TERM");
        worker.ended(SETTLED).await;
        let _worker = worker_at(&world, second).await;
        let two = publish_undated(&world, 2).await;
        assert_eq!(status(&world, two).await, "success", "the second export is the newer one");
        let findings = is_whole(&world).await;
        assert_eq!(findings.outcome("success"), 2, "{findings}");
    }
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_does_not_put_an_older_export_over_a_newer_one() {
    let (_hold, world) = world().await;
    // It is given the first export while it stands still, and no other.
    let late = world.worker(&[("AURA_CONCURRENCY", "1")]).await;
    late.signal("STOP");
    let one = publish_undated(&world, 1).await;
    until("the first export is with the halted worker", SETTLED, async || {
        (world.client.depth("aura.jobs").await == Some(0)).then_some(())
    })
    .await;
    let _other = world.worker(&[]).await;
    let two = publish_undated(&world, 2).await;
    assert_eq!(status(&world, two).await, "success");
    late.signal("CONT");
    // Nothing tells which came first any more, so a person decides.
    let receipt = world.client.receipt(one, SETTLED).await;
    assert_eq!(receipt["error"]["code"], "ambiguous_order", "{receipt:#}");
    assert!(receipt["error"]["message"].as_str().unwrap_or_default().contains("exported_at"), "{receipt:#}");
    is_whole(&world).await;
    let stands = "SELECT count(*) FROM gl_accounts WHERE balance >= 2";
    assert_eq!(world.count(stands).await, Some(5), "the newer export stands");
}

#[tokio::test]
async fn an_export_that_the_network_holds_back_does_not_come_over_a_newer_one() {
    let (_hold, world) = world().await;
    let proxies = world.proxies().await;
    let far = world.worker_behind(&proxies, &[("AURA_CONCURRENCY", "1")]).await;
    // The broker has delivered the first export, and neither it nor the worker can know that it is not there yet.
    proxies.rabbitmq.set(Way::Hole);
    let one = publish_undated(&world, 1).await;
    until("the first export is on its way", SETTLED, async || {
        (world.client.depth("aura.jobs").await == Some(0)).then_some(())
    })
    .await;
    let _near = world.worker(&[]).await;
    let two = publish_undated(&world, 2).await;
    assert_eq!(status(&world, two).await, "success");
    proxies.rabbitmq.set(Way::Open);
    let receipt = world.client.receipt(one, SETTLED).await;
    assert_eq!(receipt["error"]["code"], "ambiguous_order", "{receipt:#}");
    is_whole(&world).await;
    let stands = "SELECT count(*) FROM gl_accounts WHERE balance >= 2";
    assert_eq!(world.count(stands).await, Some(5), "the newer export stands");
    drop(far);
}

#[tokio::test]
async fn undated_exports_that_come_one_after_the_other_load_one_after_the_other_on_many_workers() {
    let (_hold, world) = world().await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(world.worker(&[]).await);
    }
    for number in 1..=12 {
        let job = publish_undated(&world, number).await;
        assert_eq!(status(&world, job).await, "success", "export {number}");
    }
    assert_eq!(is_whole(&world).await.outcome("success"), 12);
}
