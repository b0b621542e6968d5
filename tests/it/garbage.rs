//! What is not a job is dead-lettered at once, with every fault named, and the worker goes on.

use lapin::BasicProperties;
use serde_json::json;

use crate::world::{World, csv, job, with};

#[tokio::test]
async fn garbage_is_dead_lettered_at_once_unchanged_and_the_worker_goes_on() {
    let (world, mut worker) = World::with_worker().await;
    let good = world.write("good.csv", csv("A", "2022-06", &[("10", "5")]));
    let nested = format!("{{\"file\":{}", "[".repeat(50_000)).into_bytes();
    let bodies: Vec<(Vec<u8>, &str)> = vec![
        (b"not json at all".to_vec(), "body"),
        (vec![0xff, 0xfe, 0x00], "UTF-8"),
        (b"".to_vec(), "body"),
        (b"[]".to_vec(), "body"),
        (vec![b'x'; 200_000], "200000"),
        (nested, "body"),
        (with(job(&good, "A", "2022-06"), json!({"colour": "red"})).to_string().into_bytes(), "colour"),
        (job(&good, "A", "2022-17").to_string().into_bytes(), "period"),
        (job(&good, "a b", "2022-06").to_string().into_bytes(), "entity"),
        (br#"{"entity": "A"}"#.to_vec(), "file"),
    ];
    for (body, _) in &bodies {
        world.broker.publish(body).await;
    }
    let dead = world.broker.dead(bodies.len()).await;
    assert_eq!(dead.len(), bodies.len());
    for (body, fault) in &bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let letter = dead.iter().find(|letter| letter.body == *body);
        let letter = letter.unwrap_or_else(|| panic!("the body was changed or lost: {shown}"));
        assert_eq!(letter.header("aura-error-code"), "invalid_message", "{shown}");
        assert_eq!(letter.header("aura-attempt"), "1", "{shown}");
        assert!(
            letter.header("aura-error-message").contains(fault),
            "{shown}: {}",
            letter.header("aura-error-message")
        );
    }
    world.ends("success", job(&good, "A", "2022-06")).await;
    assert!(worker.exit().is_none());
    assert_eq!(world.broker.depth("aura.jobs").await, 0);
}

#[tokio::test]
async fn every_fault_of_a_message_is_named_at_once() {
    let (world, _worker) = World::with_worker().await;
    let body = json!({
        "file": 1, "entity": "a", "period": "06-2022", "job_id": "x", "batch_id": 1, "sha256": "AB", "exported_at": "soon",
        "source": "../etc", "mode": "merge", "on_error": "ignore", "skip_duplicates": "yes", "force": true,
        "require_balanced": 1, "control": {"rows": -1, "balance_sum": 1.5, "debit": 0}, "colour": "red"
    });
    world.broker.publish(body.to_string().as_bytes()).await;
    let message = world.broker.dead(1).await[0].header("aura-error-message");
    for field in [
        "file",
        "entity",
        "period",
        "job_id",
        "batch_id",
        "sha256",
        "exported_at",
        "source",
        "mode",
        "on_error",
        "skip_duplicates",
        "reason",
        "require_balanced",
        "control.rows",
        "control.balance_sum",
        "control.debit",
        "colour",
    ] {
        assert!(message.contains(&format!("{field}:")), "{field} is not named in: {message}");
    }
    let receipt = world.broker.receipt_where("the refusal", |receipt| receipt["status"] == "failed").await;
    assert_eq!(receipt.body["error"]["stage"], "receive");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 0, "it never was a job");
}

#[tokio::test]
async fn force_without_a_reason_and_replace_with_quarantine_are_invalid() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let ahead = (chrono::Utc::now() + chrono::TimeDelta::minutes(70)).to_rfc3339();
    for (more, field) in [
        (json!({"force": true}), "reason"),
        (json!({"mode": "replace", "on_error": "quarantine"}), "on_error"),
        (json!({"exported_at": ahead}), "exported_at"),
        (json!({"control": {"balance_sum": 5}}), "control.balance_sum"),
    ] {
        let receipt = world.ends("failed", with(job(&file, "A", "2022-06"), more)).await;
        assert_eq!(receipt["error"]["code"], "invalid_message");
        assert!(receipt["error"]["message"].as_str().unwrap().contains(field), "{receipt:#}");
    }
    world.ends("success", job(&file, "A", "2022-06")).await;
}

#[tokio::test]
async fn another_version_of_the_message_is_refused() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let properties = BasicProperties::default().with_type("aura.job.v2".into());
    world.broker.publish_with(job(&file, "A", "2022-06").to_string().as_bytes(), properties).await;
    let dead = world.broker.dead(1).await;
    assert_eq!(dead[0].header("aura-error-code"), "invalid_message");
    assert!(dead[0].header("aura-error-message").contains("aura.job.v1"));
    assert_eq!(dead[0].properties.kind().as_ref().unwrap().as_str(), "aura.job.v2");
}

#[tokio::test]
async fn files_outside_the_roots_are_refused_before_anything_is_opened() {
    let (world, _worker) = World::with_worker().await;
    let secret = world.path().join("secret.csv");
    std::fs::write(&secret, csv("A", "2022-06", &[("10", "5")])).unwrap();
    std::os::unix::fs::symlink(&secret, world.input("link.csv")).unwrap();
    std::os::unix::fs::symlink(world.path(), world.input("way-out")).unwrap();
    let secret = secret.display().to_string();
    let files = [
        secret.clone(),
        format!("file://{secret}"),
        world.input("../secret.csv").display().to_string(),
        world.input("link.csv").display().to_string(),
        world.input("way-out/secret.csv").display().to_string(),
        "/etc/passwd".to_owned(),
        "/proc/self/environ".to_owned(),
        "http://127.0.0.1/a.csv".to_owned(),
        "ftp://127.0.0.1/a.csv".to_owned(),
    ];
    for file in files {
        let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
        assert_eq!(receipt["error"]["code"], "file_not_allowed", "{file}: {receipt:#}");
        assert_eq!(receipt["attempt"], 1, "{file}");
        assert_eq!(receipt["fingerprint"], serde_json::Value::Null, "{file} was read");
    }
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
}

#[tokio::test]
async fn a_folder_a_pipe_or_a_device_below_a_root_is_no_file() {
    let (world, _worker) = World::with_worker().await;
    std::fs::create_dir(world.input("folder.csv")).unwrap();
    let pipe = world.input("pipe.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for name in ["folder.csv", "pipe.csv"] {
        let file = world.input(name).display().to_string();
        let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
        assert_eq!(receipt["error"]["code"], "file_not_allowed", "{name}: {receipt:#}");
    }
}
