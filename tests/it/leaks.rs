//! What nobody is shown: credentials, and what concerns others.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::json;

use crate::{
    process::{Said, command, run},
    world::{World, csv, job, with},
};

const SECRET: &str = "s3cr3t";

/// Runs both programs with further settings, which they cannot use.
async fn both(world: &World, more: &[(&str, &str)], arguments: &[&str]) -> Vec<Said> {
    let mut said = Vec::new();
    for (name, verb) in [("aura-worker", None), ("aura-producer", Some("topology"))] {
        let mut command = command(name, world.path(), &world.settings_with(more));
        command.args(verb).args(arguments);
        said.push(run(command, Duration::from_secs(20)).await);
    }
    said
}

/// Makes sure that it failed, and showed no secret.
#[track_caller]
fn assert_hidden(said: &Said, told: &str) {
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!([2, 3].contains(&said.code), "{}: {text}", said.code);
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains(told), "{text}");
}

#[tokio::test]
async fn a_mistake_in_the_settings_file_shows_its_line_number_and_not_its_text() {
    let world = World::new().await;
    for line in [format!("amqp_url = \"amqp://u:{SECRET}@h"), format!("postgres_url = postgres://u:{SECRET}@h/d")] {
        fs::write(world.path().join("aura.toml"), format!("namespace = \"x\"\n{line}\n")).unwrap();
        for said in both(&world, &[], &[]).await {
            assert_hidden(&said, "line 2: ");
        }
    }
}

#[tokio::test]
async fn a_url_whose_password_was_not_encoded_is_not_shown() {
    let world = World::new().await;
    for (name, url) in [
        ("AURA_AMQP_URL", format!("amqp://u:12/{SECRET}@127.0.0.1:1/v")),
        ("AURA_AMQP_URL", format!("amqp:u:{SECRET}@127.0.0.1:1")),
        ("AURA_POSTGRES_URL", format!("postgres://u:12/{SECRET}@127.0.0.1:1/d")),
        ("AURA_MONGODB_URL", format!("mongodb://u:12#{SECRET}@127.0.0.1:1/d")),
    ] {
        for said in both(&world, &[(name, &url)], &["--log=debug"]).await {
            assert_hidden(&said, name);
        }
    }
    let url = format!("amqp://u:{SECRET}@127.0.0.1:1/v");
    for said in both(&world, &[], &[&format!("--amqp-ulr={url}")]).await {
        assert_hidden(&said, "--amqp-ulr");
    }
    for said in both(&world, &[], &[&url]).await {
        assert_hidden(&said, "127.0.0.1:1");
    }
    let said = world.producer(&["topology", "--json", "--amqp-url", &url]).await;
    assert_hidden(&said, "127.0.0.1:1");
    let url = format!("postgres://u:{SECRET}@127.0.0.1:1/v");
    assert_hidden(&world.producer(&["status", "--json", "--postgres-url", &url]).await, "127.0.0.1:1");
}

#[tokio::test]
async fn a_publisher_learns_of_no_profile_but_that_its_own_is_not_there() {
    let (world, worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "1")]));
    let receipt = world.ends("failed", with(job(&file, "A", "2022-06"), json!({"source": "nowhere"}))).await;
    assert_eq!(receipt["error"]["code"], "unknown_source");
    let letter = &world.broker.dead(1).await[0];
    for told in [receipt["error"]["message"].as_str().unwrap(), &letter.header("aura-error-message")] {
        assert!(told.contains("nowhere"), "{told}");
        let folder = world.setting("AURA_SOURCES_DIR");
        let leaked = [folder, "sap-bseg", "default"].into_iter().find(|text| told.contains(text));
        assert_eq!(leaked, None, "{told}");
    }
    assert!(worker.text().contains("sap-bseg"), "the log does not say which there are");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn logs_and_the_cache_are_for_their_owner_and_group_only() {
    let world = World::new().await;
    let cache = world.path().join("new-cache");
    let worker = world.worker(&[("AURA_CACHE_URL", cache.to_str().unwrap())]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "1")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    world.producer(&["status"]).await.expect(0);
    drop(worker);
    assert_eq!(mode(&cache), 0o750);
    let mut files: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    for folder in [world.path().join("logs"), world.path().join("logs/worker-1")] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("aura.log")));
    }
    assert!(files.iter().any(|path| path.ends_with("A_2022-06_ingested.parquet")) && files.len() >= 3, "{files:?}");
    for path in files {
        assert_eq!(mode(&path), 0o640, "{}", path.display());
    }
}
