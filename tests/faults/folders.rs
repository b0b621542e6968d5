//! Folders that go away or are full.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::json;
use tests::{
    faults::book::{Export, Publication},
    wait::until,
};

use crate::run::{SETTLED, ended, export, is_whole, publish_many, spent_one_attempt_each, world};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_input_root_that_is_away_holds_only_its_own_jobs_up_and_spends_no_attempt() {
    let (_hold, world) = world().await;
    let worker = world.worker(&[]).await;
    let (root, away) = (world.path().join("in"), world.path().join("in.away"));
    std::fs::rename(&root, &away).expect("the root can be moved");
    worker.is_ready(false, SOON).await;
    let held: Vec<_> = (0..10)
        .map(|number| {
            let export = Export::numbered(&format!("HELD{number}"), "2022-06", 5, 1);
            let file = world.write(&format!("in.away/HELD{number}.csv"), export.text());
            let there = root.join(file.file_name().expect("a name"));
            Publication::of(&there, &export, json!({"exported_at": "2022-07-01T10:00:00Z"}))
        })
        .collect();
    for job in held {
        world.publish(job).await;
    }
    for number in 0..10 {
        let export = Export::numbered(&format!("FREE{number}"), "2022-06", 5, 1);
        let file = world.write(&format!("other/FREE{number}.csv"), export.text());
        world.publish(Publication::of(&file, &export, json!({"exported_at": "2022-07-01T10:00:00Z"}))).await;
    }
    ended(&world, 10).await;
    let free = "SELECT count(*) FROM ingestion_runs WHERE entity LIKE 'FREE%' AND status = 'success'";
    world.counts(free, 10, SOON).await;
    std::fs::rename(&away, &root).expect("the root can be moved back");
    worker.is_ready(true, SOON).await;
    assert_eq!(is_whole(&world).await.outcome("success"), 20);
    spent_one_attempt_each(&world).await;
}

/// A file system of one megabyte, which goes with its value.
struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&folder).expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&folder).status();
        mount.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_of_the_cache_fails_no_job_and_the_files_follow_once_there_is_room() {
    let (_hold, world) = world().await;
    let Some(small) = Small::mount(world.path().join("cache")) else {
        eprintln!("SKIPPED: only root may mount a small file system");
        return;
    };
    let ballast = small.0.join("ballast");
    let full = std::fs::write(&ballast, vec![1; 2 << 20]);
    assert!(full.is_err(), "a megabyte takes two");
    let worker = world.worker(&[]).await;
    publish_many(&world, "E", 10).await;
    until("all receipts come", SETTLED, async || (world.client.receipts().len() == 10).then_some(())).await;
    let files = || {
        let names = std::fs::read_dir(&small.0).expect("the cache").filter_map(Result::ok);
        names.filter(|file| file.file_name().to_string_lossy().ends_with(".parquet")).count()
    };
    assert_eq!(files(), 0, "a file was written where there is no room");
    assert_eq!(world.count("SELECT count(*) FROM cache_tasks").await, Some(10));
    assert!(worker.has_logged("Parquet") || worker.has_logged("cache"), "nobody tells of it");
    std::fs::remove_file(&ballast).expect("room is made");
    assert_eq!(is_whole(&world).await.outcome("success"), 10);
    assert_eq!(files(), 10);
    spent_one_attempt_each(&world).await;
    // A later export of the same slice goes the usual way again.
    world.publish(export(&world, "E000", 10, 11, json!({}))).await;
    is_whole(&world).await;
}
