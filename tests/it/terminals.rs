//! Terminals: nothing that a file or a message holds is acted on by one.

use std::{fs, process::Stdio, time::Duration};

use lapin::{BasicProperties, types::AMQPValue};
use serde_json::json;

use crate::{
    broker::headers,
    process::{command, on_terminal, run},
    wait::{SOON, until},
    world::{World, csv, job},
};

/// Sets the terminal's title, rings, clears the screen, turns the rest around, and pretends to be a row.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{1b}[2J";

/// Makes sure that a terminal was given nothing of it.
#[track_caller]
fn assert_harmless(text: &str) {
    let parts = ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}", "\u{1b}[2J"];
    let found: Vec<_> = parts.iter().filter(|part| text.contains(*part)).collect();
    assert!(found.is_empty(), "{found:?} in {text:?}");
}

/// A file with hostile texts in its header and its cells.
fn hostile(entity: &str, balance: &str) -> String {
    format!(
        "entity,period,account_code,account_name,balance,bs_pl,status,\"x{EVIL}\"\n\
         {entity},2022-06,10,\"Bank {EVIL}\",{balance},BS,Assets,\"{EVIL}\"\n\
         {entity},2022-06,\"1{EVIL}\n2\",\"b{EVIL}\",1,BS,\"{EVIL}\",\n"
    )
}

/// What the producer writes to a terminal, and its exit code.
async fn shown(world: &World, arguments: &[&str]) -> (i32, String) {
    let mut producer = command("aura-producer", world.path(), &world.settings_with(&[]));
    producer.args(arguments);
    let said = run(on_terminal(&producer), Duration::from_secs(60)).await;
    (said.code, said.stdout)
}

#[tokio::test]
async fn what_a_file_holds_is_not_acted_on_by_the_terminal_of_whoever_checks_it() {
    let world = World::new().await;
    let good = world.write("good.csv", hostile("A", "1"));
    let bad = world.write("bad.csv", hostile("A", &format!("\"1{EVIL}\"")));
    let named = world.write(&format!("n{EVIL}.csv"), hostile("A", "1"));
    for file in [&good, &bad, &named] {
        for more in [&[][..], &["--json"], &["--suggest"], &["--source", "default"]] {
            let (code, text) = shown(&world, &[&["check", file], more].concat()).await;
            assert!(code <= 2 && !text.is_empty(), "{code}: {text}");
            assert_harmless(&text);
        }
    }
    let (_, json) = shown(&world, &["check", &good, "--json"]).await;
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(read["columns"].as_array().unwrap().iter().any(|name| *name == format!("x{EVIL}")), "{read:#}");
    let missing = world.input(&format!("{EVIL}.csv")).display().to_string();
    for arguments in
        [&["check", &missing][..], &["status", EVIL], &[EVIL], &["publish", "--scan", EVIL, "--pattern", EVIL]]
    {
        let (code, text) = shown(&world, arguments).await;
        assert_eq!(code, 2, "{text}");
        assert_harmless(&text);
    }
}

#[tokio::test]
async fn what_a_message_holds_is_not_acted_on_by_the_terminal_of_whoever_looks_at_dead_letters() {
    let (world, worker) = World::with_worker().await;
    let file = world.write("bad.csv", hostile("A", &format!("\"1{EVIL}\"")));
    let failed = world.send(job(&file, "A", "2022-06")).await;
    world.broker.receipt(failed).await;
    let refused = uuid::Uuid::new_v4();
    world.send(json!({"job_id": refused, "file": EVIL, "entity": EVIL, "period": "2022-06", EVIL: EVIL})).await;
    let foreign = uuid::Uuid::new_v4();
    let texts = ["aura-error-code", "aura-error-stage", "aura-error-message", "aura-worker", EVIL];
    let table = headers(&texts.map(|name| (name, AMQPValue::LongString(EVIL.into()))));
    let properties = BasicProperties::default()
        .with_message_id(foreign.to_string().into())
        .with_content_type("x\u{1b}[2J".into())
        .with_headers(table);
    let body = json!({"file": EVIL, "entity": format!("\n{EVIL}"), "period": EVIL, EVIL: "a"}).to_string();
    world.broker.publish_to("", "aura.dead", body.as_bytes(), properties).await;
    world.broker.dead(3).await;

    let mut looks = vec![vec!["dead".to_owned(), "list".to_owned()]];
    for id in [failed, refused, foreign] {
        looks.push(vec!["dead".to_owned(), "show".to_owned(), id.to_string()]);
    }
    looks.extend([vec!["status".to_owned()], vec!["status".to_owned(), failed.to_string()]]);
    for look in &looks {
        let look: Vec<&str> = look.iter().map(String::as_str).collect();
        for more in [&[][..], &["--json"]] {
            let (code, text) = shown(&world, &[&look[..], more].concat()).await;
            assert!(code <= 1 && !text.is_empty(), "{look:?}: {code}: {text}");
            assert_harmless(&text);
        }
    }
    let (code, text) = shown(&world, &["dead", "replay", &failed.to_string(), "--canary"]).await;
    assert_eq!(code, 1, "{text}");
    assert_harmless(&text);
    let (code, text) = shown(&world, &["dead", "discard", "--all", "--reason", EVIL]).await;
    assert_eq!(code, 0, "{text}");
    assert_harmless(&text);
    let arguments = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait"];
    let (code, text) = shown(&world, &arguments).await;
    assert_eq!(code, 1, "{text}");
    assert_harmless(&text);
    assert_harmless(&worker.text());
    let log = fs::read_dir(world.path().join("logs/worker-1")).unwrap().map(|entry| entry.unwrap().path());
    log.for_each(|path| assert_harmless(&fs::read_to_string(path).unwrap()));
}

#[tokio::test]
async fn what_a_message_holds_is_not_acted_on_by_the_terminal_of_a_worker() {
    let world = World::new().await;
    let worker = command("aura-worker", world.path(), &world.settings_with(&[]));
    let output = world.path().join("terminal");
    let mut script = tokio::process::Command::from(on_terminal(&worker));
    script.stdout(fs::File::create(&output).unwrap()).stderr(Stdio::null()).kill_on_drop(true);
    let _running = script.spawn().unwrap();
    let text = || String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    until("the worker takes jobs", SOON, async || text().contains("taking jobs").then_some(())).await;
    let file = world.write("bad.csv", hostile("A", &format!("\"1{EVIL}\"")));
    let evil = json!({"file": EVIL, "entity": EVIL, "period": "2022-06", EVIL: EVIL, "source": EVIL});
    let unread = json!({"file": world.input(&format!("{EVIL}.csv")), "entity": "B", "period": "2022-06"});
    for message in [job(&file, "A", "2022-06"), evil, unread] {
        world.broker.publish(message.to_string().as_bytes()).await;
    }
    let file = world.write("c.csv", csv("C", "2022-06", &[("10", "1")]));
    world.ends("success", job(&file, "C", "2022-06")).await;
    world.broker.dead(2).await;
    until("the worker tells of them", SOON, async || (text().matches("dead_lettered").count() >= 2).then_some(()))
        .await;
    assert_harmless(&text());
}
