//! How fault tests share a stack: those that break it have it alone.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tests::faults::{
    book::{Export, Publication},
    checker::{Findings, check},
    cluster::Cluster,
    services::Services,
    site::Site,
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

/// A site on services that nobody breaks meanwhile.
pub(crate) async fn site() -> (Hold, Site) {
    let hold = hold(false).await;
    let site = Site::new(&Services::of_fault_tests().await).await;
    (hold, site)
}

/// A site on services that this test alone uses, and may break.
pub(crate) async fn site_to_break() -> (Hold, Site) {
    let hold = hold(true).await;
    let services = Services::of_fault_tests().await;
    (hold, Site::new(&services).await)
}

/// A site on a cluster of brokers, which this test alone uses, and may break.
pub(crate) async fn site_on_a_cluster() -> (Hold, Cluster, Site) {
    let hold = hold(true).await;
    let cluster = Cluster::up(&Services::of_fault_tests().await).await;
    let site = Site::new(cluster.services()).await;
    (hold, cluster, site)
}

/// Waits for everything to settle, checks it, and finds nothing wrong.
#[track_caller]
pub(crate) fn is_whole(site: &Site) -> impl Future<Output = Findings> {
    let place = std::panic::Location::caller();
    async move {
        let findings = check(site, SETTLED).await;
        assert!(findings.is_clean(), "at {place}:\n{findings}");
        findings
    }
}

/// An export of an hour of 1 July 2022, in its own file, and the job for it.
pub(crate) fn export(site: &Site, entity: &str, accounts: u32, hour: u32, more: Value) -> Publication {
    export_at(site, entity, accounts, hour, &format!("2022-07-01T{hour:02}:00:00Z"), more)
}

/// An export of a time, whose balances follow from a number.
pub(crate) fn export_at(site: &Site, entity: &str, accounts: u32, number: u32, at: &str, more: Value) -> Publication {
    let export = Export::numbered(entity, "2022-06", accounts, number.into());
    let file = site.write(&format!("in/{entity}_{number}.csv"), export.text());
    let mut fields = json!({"exported_at": at});
    for (name, value) in more.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    Publication::of(&file, &export, fields)
}

/// A job whose file is not there.
pub(crate) fn missing(site: &Site, entity: &str) -> Publication {
    let file: PathBuf = site.path().join("in").join(format!("{entity}_missing.csv"));
    let more = json!({"exported_at": "2022-07-01T12:00:00Z"});
    Publication::failing(&file, entity, "2022-06", &["file_not_found"], more)
}

/// A job whose file has a bad amount.
pub(crate) fn bad(site: &Site, entity: &str) -> Publication {
    let text = Export::numbered(entity, "2022-06", 5, 1).text().replace(",BS,", "x,BS,");
    let file = site.write(&format!("in/{entity}_bad.csv"), text);
    let more = json!({"exported_at": "2022-07-01T12:00:00Z"});
    Publication::failing(&file, entity, "2022-06", &["row_invalid"], more)
}

/// No job spent a further attempt for what was not its fault.
pub(crate) async fn spent_one_attempt_each(site: &Site) {
    let spent = "SELECT count(*) FROM ingestion_runs WHERE status = 'success' AND attempts <> 1";
    assert_eq!(site.count(spent).await, Some(0), "an outage spent attempts");
}

/// Waits until so many jobs have ended.
pub(crate) async fn ended(site: &Site, number: i64) {
    let count = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
    until("jobs end", SETTLED, async || (site.count(count).await? >= number).then_some(())).await;
}

/// Publishes exports of so many entities, ten accounts each.
pub(crate) async fn publish_many(site: &Site, name: &str, number: u32) {
    let jobs: Vec<_> = (0..number).map(|place| export(site, &format!("{name}{place:03}"), 10, 10, json!({}))).collect();
    for few in jobs.chunks(8) {
        futures_util::future::join_all(few.iter().map(|job| site.publish(job.clone()))).await;
    }
}
