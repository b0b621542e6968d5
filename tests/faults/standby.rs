//! A primary that is lost, and the standby that takes its place.

use serde_json::{Value, json};
use tests::{
    faults::{
        World,
        services::Service,
        standby::{Gate, Standby, address_of},
    },
    wait::until,
};

use crate::run::{Hold, SETTLED, ended, export, is_whole, publish_many, spent_one_attempt_each, world_behind_a_gate};

/// A world on a PostgreSQL with a standby, which this test alone uses.
async fn world_with_a_standby() -> (Hold, Gate, Standby, World) {
    let (hold, services, gate, world) = world_behind_a_gate().await;
    let standby = Standby::of(&services).await;
    (hold, gate, standby, world)
}

/// What `/readyz` warns of.
fn warnings(told: &Value) -> String {
    told["warnings"].to_string()
}

// The gate must go on while the world is cleaned up.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_lost_under_load_takes_no_commit_with_it() {
    let (_hold, gate, standby, world) = world_with_a_standby().await;
    standby.set("synchronous_standby_names", standby.name()).await;
    let mut workers = [world.worker(&[]).await, world.worker(&[]).await];
    let publishing = publish_many(&world, "E", 200);
    let breaking = async {
        ended(&world, 40).await;
        world.services.crash(Service::Postgres).await;
        standby.promote().await;
        gate.lead_to(standby.address());
    };
    tokio::join!(publishing, breaking);
    let findings = is_whole(&world).await;
    assert_eq!(findings.outcome("success"), 200);
    spent_one_attempt_each(&world).await;
    assert!(workers.iter_mut().all(|worker| worker.exit().is_none()), "a worker ended");
}

// PostgreSQL answers a commit that is cancelled while it waits for its standby with a success.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_only_the_lost_primary_had_is_made_again() {
    let (_hold, gate, standby, world) = world_with_a_standby().await;
    standby.set("synchronous_standby_names", standby.name()).await;
    let halt = [("AURA_TEST_FAILPOINT_ACTION", "halt"), ("AURA_JOB_TIMEOUT_SECONDS", "5")];
    let worker = world.worker_with_failpoint("before_commit", &halt);
    let job = world.publish(export(&world, "E", 10, 10, json!({}))).await;
    worker.halted(SETTLED).await;
    standby.lose_the_rest();
    worker.signal("CONT");
    worker.logs("whether what was committed outlives its server is not known yet", SETTLED).await;
    assert_eq!(world.client.receipts_of(job), Vec::<Value>::new(), "a receipt went out");
    let visible = "SELECT count(*) FROM ingestion_runs WHERE status = 'success'";
    assert_eq!(world.count(visible).await, Some(1), "the primary does not show what was cancelled");
    world.services.crash(Service::Postgres).await;
    standby.promote().await;
    gate.lead_to(standby.address());
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
}

// The same of the commit that gives events their places: what MongoDB then has of them would stand where the job that is
// done again, on the new primary, puts other events.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_place_only_the_lost_primary_had_has_not_reached_mongodb() {
    const SEQUENCING: &str = "SELECT count(pg_cancel_backend(activity.pid)) FROM pg_stat_activity AS activity \
        WHERE wait_event = 'SyncRep' AND EXISTS (SELECT FROM pg_locks AS held \
            WHERE held.pid = activity.pid AND held.relation = 'audit_chains'::regclass)";
    const DELIVERING: &str = "SELECT count(*) FROM pg_stat_activity AS activity \
        WHERE state = 'idle in transaction' AND EXISTS (SELECT FROM pg_locks AS held \
            WHERE held.pid = activity.pid AND held.relation = 'audit_outbox'::regclass)";
    let (_hold, gate, standby, world) = world_with_a_standby().await;
    standby.set("synchronous_standby_names", standby.name()).await;
    let halt = [("AURA_TEST_FAILPOINT_ACTION", "halt"), ("AURA_JOB_TIMEOUT_SECONDS", "5")];
    let worker = world.worker_with_failpoint("before_commit", &halt);
    world.publish(export(&world, "E", 10, 10, json!({}))).await;
    worker.halted(SETTLED).await;
    standby.lose_the_rest();
    worker.signal("CONT");
    // What the job wrote becomes visible once its time is over, and its events with it; then their places do.
    until("the events have their places", SETTLED, async || {
        world.count(SEQUENCING).await?;
        let placed = world.count("SELECT count(*) FROM audit_outbox WHERE seq IS NOT NULL").await?;
        (placed > 0).then_some(())
    })
    .await;
    until("events are being delivered", SETTLED, async || (world.count(DELIVERING).await? > 0).then_some(())).await;
    world.services.crash(Service::Postgres).await;
    standby.promote().await;
    gate.lead_to(standby.address());
    assert_eq!(is_whole(&world).await.outcome("success"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_standby_jobs_wait_unspent_until_it_takes_writes() {
    let (_hold, gate, standby, world) = world_with_a_standby().await;
    standby.set("synchronous_standby_names", standby.name()).await;
    let any = format!("{}?target_session_attrs=any", world.setting("AURA_POSTGRES_URL"));
    let workers = [world.worker(&[]).await, world.worker(&[("AURA_POSTGRES_URL", &any)]).await];
    publish_many(&world, "E", 20).await;
    ended(&world, 20).await;
    gate.lead_to(standby.address());
    for worker in &workers {
        let told = worker.is_ready(false, SETTLED).await;
        assert_ne!(told["checks"]["postgresql"], "ok", "{told}");
    }
    workers[0].says("PostgreSQL is a standby, which takes no writes").await;
    workers[1].says("(SQLSTATE 25006)").await;
    publish_many(&world, "LATER", 20).await;
    world.services.crash(Service::Postgres).await;
    standby.promote().await;
    for worker in &workers {
        worker.is_ready(true, SETTLED).await;
    }
    assert_eq!(is_whole(&world).await.outcome("success"), 40);
    spent_one_attempt_each(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_several_servers_leads_to_the_one_that_takes_writes() {
    let (_hold, gate, standby, world) = world_with_a_standby().await;
    standby.set("synchronous_standby_names", standby.name()).await;
    let first = address_of(&world.services.stack.postgres);
    let url = world.setting("AURA_POSTGRES_URL").replace(&first, &format!("{},{first}", standby.address()));
    let several = [("AURA_POSTGRES_URL", url.as_str())];
    let workers = [world.worker(&several).await, world.worker(&several).await];
    publish_many(&world, "E", 40).await;
    ended(&world, 10).await;
    world.services.crash(Service::Postgres).await;
    standby.promote().await;
    // The checker's own.
    gate.lead_to(standby.address());
    assert_eq!(is_whole(&world).await.outcome("success"), 40);
    spent_one_attempt_each(&world).await;
    drop(workers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_lose_what_it_acknowledges_is_warned_of() {
    let (_hold, _gate, standby, world) = world_with_a_standby().await;
    let worker = world.worker(&[]).await;
    let warned = async |of: &[&str]| {
        until(&format!("readiness warns of {of:?}"), SETTLED, async || {
            let told = warnings(&worker.readyz().await?.1);
            let all = ["synchronous_standby_names", "synchronous_commit", "fsync"];
            all.iter().all(|what| told.contains(what) == of.contains(what)).then_some(())
        })
        .await;
    };
    warned(&["synchronous_standby_names"]).await;
    worker.says("there is a standby, and synchronous_standby_names is empty").await;
    standby.set("synchronous_standby_names", standby.name()).await;
    warned(&[]).await;
    standby.set("synchronous_commit", "off").await;
    standby.set("fsync", "off").await;
    warned(&["synchronous_commit", "fsync"]).await;
}
