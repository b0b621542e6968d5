//! How fault tests share a stack: those that break it have it alone.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tests::faults::{
    World,
    book::{Export, Publication},
    checker::{Findings, check},
    cluster::Cluster,
    services::Services,
    standby::Gate,
};
use tests::{checkout::checkout, wait::until};
use tokio::task::spawn_blocking;

/// How long everything may take to settle.
pub(crate) const SETTLED: Duration = Duration::from_secs(90);

/// Keeps others from the stack, or from breaking it, as long as it lives. The system holds the lock,
/// so it also holds between the processes of a runner that starts one for each test.
pub(crate) struct Hold(#[expect(dead_code, reason = "it is held, and never looked at")] File);

async fn hold(alone: bool) -> Hold {
    let folder = checkout().join(".local");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = File::create(folder.join("faults.lock")).expect("a lock file");
    let locked =
        spawn_blocking(move || if alone { file.lock().map(|()| file) } else { file.lock_shared().map(|()| file) });
    Hold(locked.await.expect("a thread").expect("a lock"))
}

/// A world on services that nobody breaks meanwhile.
pub(crate) async fn world() -> (Hold, World) {
    let hold = hold(false).await;
    let world = World::new(&Services::of_fault_tests().await).await;
    (hold, world)
}

/// A world on services that this test alone uses, and may break.
pub(crate) async fn world_to_break() -> (Hold, World) {
    let hold = hold(true).await;
    let services = Services::of_fault_tests().await;
    (hold, World::new(&services).await)
}

/// A world on a cluster of brokers, which this test alone uses, and may break.
pub(crate) async fn world_on_a_cluster() -> (Hold, Cluster, World) {
    let hold = hold(true).await;
    let cluster = Cluster::up(&Services::of_fault_tests().await).await;
    let world = World::new(cluster.services()).await;
    (hold, cluster, world)
}

/// A world whose PostgreSQL is reached through a gate, which this test alone uses, and may break.
pub(crate) async fn world_behind_a_gate() -> (Hold, Services, Gate, World) {
    let hold = hold(true).await;
    let services = Services::of_fault_tests().await;
    let (gate, behind) = Gate::before(&services).await;
    (hold, services, gate, World::new(&behind).await)
}

/// Waits for everything to settle, checks it, and finds nothing wrong.
#[track_caller]
pub(crate) fn is_whole(world: &World) -> impl Future<Output = Findings> {
    let place = std::panic::Location::caller();
    async move {
        let findings = check(world, SETTLED).await;
        assert!(findings.is_clean(), "at {place}:\n{findings}");
        findings
    }
}

/// An export of an hour of 1 July 2022, in its own file, and the job for it.
pub(crate) fn export(world: &World, entity: &str, accounts: u32, hour: u32, more: Value) -> Publication {
    export_at(world, entity, accounts, hour, &format!("2022-07-01T{hour:02}:00:00Z"), more)
}

/// An export of a time, whose balances follow from a number.
pub(crate) fn export_at(world: &World, entity: &str, accounts: u32, number: u32, at: &str, more: Value) -> Publication {
    let export = Export::numbered(entity, "2022-06", accounts, number.into());
    let file = world.write(&format!("in/{entity}_{number}.csv"), export.text());
    let mut fields = json!({"exported_at": at});
    for (name, value) in more.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    Publication::of(&file, &export, fields)
}

/// A job whose file is not there.
pub(crate) fn missing(world: &World, entity: &str) -> Publication {
    let file: PathBuf = world.path().join("in").join(format!("{entity}_missing.csv"));
    let more = json!({"exported_at": "2022-07-01T12:00:00Z"});
    Publication::failing(&file, entity, "2022-06", &["file_not_found"], more)
}

/// A job whose file has a bad amount.
pub(crate) fn bad(world: &World, entity: &str) -> Publication {
    let text = Export::numbered(entity, "2022-06", 5, 1).text().replace(",BS,", "x,BS,");
    let file = world.write(&format!("in/{entity}_bad.csv"), text);
    let more = json!({"exported_at": "2022-07-01T12:00:00Z"});
    Publication::failing(&file, entity, "2022-06", &["row_invalid"], more)
}

/// No job spent a further attempt for what was not its fault.
pub(crate) async fn spent_one_attempt_each(world: &World) {
    let spent = "SELECT count(*) FROM ingestion_runs WHERE status = 'success' AND attempts <> 1";
    assert_eq!(world.count(spent).await, Some(0), "an outage spent attempts");
}

/// Waits until so many jobs have ended.
pub(crate) async fn ended(world: &World, number: i64) {
    let count = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
    until("jobs end", SETTLED, async || (world.count(count).await? >= number).then_some(())).await;
}

/// Publishes exports of so many entities, ten accounts each.
pub(crate) async fn publish_many(world: &World, name: &str, number: u32) {
    let jobs: Vec<_> =
        (0..number).map(|place| export(world, &format!("{name}{place:03}"), 10, 10, json!({}))).collect();
    for few in jobs.chunks(8) {
        futures_util::future::join_all(few.iter().map(|job| world.publish(job.clone()))).await;
    }
}
