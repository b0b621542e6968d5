//! A night on call: dead letters by cause, looked at without their queue, replayed with canaries, paused, cut off.

use std::process::Stdio;

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, QueuePurgeOptions},
    types::FieldTable,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    process::command,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const DEAD: &str = "aura.dead";
const STATES: &str = "SELECT count(*) FROM dead_letters WHERE state = $1";

/// What only these tests do.
trait Night {
    /// Sends a job whose file is bad in its own way, and waits until it is dead.
    async fn dies(&self, entity: &str, rows: &str) -> Uuid;
    /// An answer as JSON, with its exit code.
    async fn answer(&self, arguments: &[&str]) -> (i32, Value);
    /// So many letters that nobody has written down, of jobs that no worker has seen.
    async fn strange_letters(&self, number: usize);
    async fn letters(&self, state: &str) -> i64;
    /// A connection of somebody else's.
    async fn connection(&self) -> Connection;
}

impl Night for World {
    async fn dies(&self, entity: &str, rows: &str) -> Uuid {
        let header = "entity,period,account_code,account_name,balance,bs_pl,status\n";
        let file = self.write(&format!("{entity}.csv"), format!("{header}{rows}"));
        let receipt = self.ends("failed", job(&file, entity, "2022-06")).await;
        receipt["job_id"].as_str().expect("an identity").parse().expect("a UUID")
    }

    async fn answer(&self, arguments: &[&str]) -> (i32, Value) {
        let said = self.producer(&[arguments, &["--json"]].concat()).await;
        (said.code, said.json())
    }

    async fn strange_letters(&self, number: usize) {
        self.producer(&["migrate"]).await.expect(0);
        self.producer(&["topology"]).await.expect(0);
        let body = |number: usize| json!({"job_id": Uuid::from_u128(number as u128 + 1), "file": "/in/a.csv", "entity": "E", "period": "2022-06"});
        self.broker.fill(DEAD, (0..number).map(|number| body(number).to_string())).await;
    }

    async fn letters(&self, state: &str) -> i64 {
        self.one(STATES, &[&state]).await
    }

    async fn connection(&self) -> Connection {
        Connection::connect(self.amqp().as_str(), ConnectionProperties::default()).await.expect("a connection")
    }
}

#[tokio::test]
async fn letters_are_grouped_by_cause_and_looked_at_while_somebody_else_has_the_queue_in_hand() {
    let (world, _worker) = World::with_worker().await;
    for entity in ["A1", "A2", "A3"] {
        world.dies(entity, &format!("{entity},2022-06,10,Cash,bad,BS,Assets\n")).await;
    }
    let other = world.dies("B1", "B1,2022-06,,Cash,5,BS,Assets\n").await;
    world.broker.dead(4).await;
    let connection = world.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
    channel.basic_consume(DEAD.into(), "".into(), options, FieldTable::default()).await.unwrap();
    until("they are in hand", SOON, async || (world.broker.depth(DEAD).await == 0).then_some(())).await;

    let (code, list) = world.answer(&["dead", "list"]).await;
    assert_eq!((code, &list["letters"], &list["seen"]), (0, &json!(4), &json!(4)));
    let groups = list["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["jobs"], &groups[0]["entities"]), (2, &json!(3), &json!(3)), "{list:#}");
    assert_eq!((&groups[0]["code"], &groups[0]["last_10_minutes"]), (&json!("row_invalid"), &json!(3)));
    assert!(!groups[0]["cause"].as_str().unwrap().contains(|c: char| c.is_ascii_digit()), "{groups:#?}");
    assert!(groups[0]["what_to_do"].as_str().unwrap().contains("check"), "{groups:#?}");
    let group = groups[0]["group_id"].as_str().unwrap();
    let (_, page) = world.answer(&["dead", "list", "--group", group, "--limit", "2"]).await;
    assert_eq!((page["jobs"].as_array().unwrap().len(), &page["truncated"]), (2, &json!(true)));
    let after = page["jobs"][1]["place"].to_string();
    let (_, page) = world.answer(&["dead", "list", "--group", group, "--after", &after]).await;
    assert_eq!((page["jobs"].as_array().unwrap().len(), &page["truncated"]), (1, &json!(false)));
    let (_, shown) = world.answer(&["dead", "show", &other.to_string()]).await;
    assert_eq!((&shown["bad_rows"][0]["line"], &shown["state"]), (&json!(2), &json!("waiting")), "{shown:#}");
    assert_eq!((shown["tries"].as_array().unwrap().len(), &shown["tries"][0]["attempt"]), (1, &json!(1)));
    let text = world.producer(&["dead", "list"]).await.expect(0).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    connection.close(200, "seen".into()).await.unwrap();
}

#[tokio::test]
async fn a_letter_tells_of_every_attempt_of_its_round() {
    let (world, _worker) = World::with_worker().await;
    let gone = world.path().join("in").join("later.csv");
    let receipt = world.ends("failed", job(&gone.display().to_string(), "A", "2022-06")).await;
    let id = receipt["job_id"].as_str().unwrap().to_owned();
    let (_, shown) = world.answer(&["dead", "show", &id]).await;
    let tries = |shown: &Value| -> Vec<(u64, u64)> {
        let tries = shown["tries"].as_array().unwrap().iter();
        tries.map(|tried| (tried["round"].as_u64().unwrap(), tried["attempt"].as_u64().unwrap())).collect()
    };
    assert_eq!(tries(&shown), [(0, 1), (0, 2), (0, 3), (0, 4)], "{shown:#}");
    assert!(shown["tries"][0]["message"].as_str().is_some_and(|text| !text.is_empty()));
    let (code, replayed) = world.answer(&["dead", "replay", &id, "--wait", "--timeout", "60"]).await;
    assert_eq!((code, &replayed["outcomes"]["ended"]), (1, &json!({"failed": 1})), "{replayed:#}");
    let (_, shown) = world.answer(&["dead", "show", &id]).await;
    assert_eq!(tries(&shown), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!((&shown["others"][0]["state"], tries(&shown["others"][0]).len()), (&json!("replayed"), 4));
    assert_eq!(shown["others"][0]["settled_by"], "tester");
}

#[tokio::test]
async fn verify_finds_what_the_queue_and_postgresql_do_not_both_have_and_notes_it() {
    let (world, _worker) = World::with_worker().await;
    let id = world.dies("A", "A,2022-06,10,Cash,bad,BS,Assets\n").await;
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    let connection = world.connection().await;
    let channel = connection.create_channel().await.unwrap();
    channel.queue_purge(DEAD.into(), QueuePurgeOptions::default()).await.unwrap();
    let strange = json!({"job_id": Uuid::from_u128(7), "file": "/in/b.csv", "entity": "B", "period": "2022-06"});
    world.broker.publish_to("", DEAD, strange.to_string().as_bytes(), BasicProperties::default()).await;
    let found = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| format!("{} {}", finding["code"].as_str().unwrap(), finding["entity"].as_str().unwrap()))
            .collect()
    };
    let (code, report) = world.answer(&["verify"]).await;
    assert_eq!((code, found(&report)), (1, vec!["letter_unwritten B".to_owned(), "letter_gone A".to_owned()]));
    let (code, report) = world.answer(&["verify", "--repair"]).await;
    assert_eq!(code, 1);
    assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["repaired"] == true), "{report:#}");
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    let (_, shown) = world.answer(&["dead", "show", &id.to_string()]).await;
    assert_eq!((&shown["state"], &shown["settled_by"]), (&json!("gone"), &json!("tester")));
    let (_, list) = world.answer(&["dead", "list"]).await;
    assert_eq!((list["jobs"].as_array().unwrap().len(), &list["jobs"][0]["entity"]), (1, &json!("B")));
    let events = world.events("A", "2022-06").await;
    assert!(events.iter().any(|event| event == "repaired"), "{events:?}");
}

#[tokio::test]
async fn each_cause_has_a_canary_and_goes_on_only_if_that_lives() {
    let (world, _worker) = World::with_worker().await;
    for entity in ["A1", "A2", "A3"] {
        world.dies(entity, &format!("{entity},2022-06,10,Cash,bad,BS,Assets\n")).await;
    }
    for entity in ["B1", "B2"] {
        world.dies(entity, &format!("{entity},2022-06,,Cash,5,BS,Assets\n")).await;
    }
    for entity in ["A1", "A2", "A3"] {
        world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
    }
    let replay = ["dead", "replay", "--all", "--canary", "--wait", "--timeout", "60"];
    let (code, replayed) = world.answer(&replay).await;
    assert_eq!((code, replayed["canaries"].as_array().unwrap().len()), (1, 2), "{replayed:#}");
    assert_eq!((&replayed["held_back"], &replayed["not_tried"]), (&json!(1), &json!(1)));
    assert_eq!(replayed["outcomes"]["ended"], json!({"failed": 1, "success": 3}), "{replayed:#}");
    let left = world.broker.dead(2).await;
    assert_eq!(left.len(), 2);
    let (_, operations) = world.answer(&["dead", "operations"]).await;
    let operation = &operations["operations"][0];
    assert_eq!((&operation["act"], &operation["total"], &operation["done"]), (&json!("replay"), &json!(5), &json!(4)));
    assert_eq!((&operation["held_back"], &operation["actor"]), (&json!(1), &json!("tester")));
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn a_replay_is_watched_paused_resumed_and_cancelled_from_another_terminal() {
    const NUMBER: usize = 400;
    let world = World::new().await;
    world.strange_letters(NUMBER).await;
    // Looking finds that they are not written down, and does so.
    let (_, list) = world.answer(&["dead", "list", "--limit", "1"]).await;
    assert_eq!((&list["found"], &list["seen"], &list["truncated"]), (&json!(NUMBER), &json!(NUMBER), &json!(true)));
    let replay = ["dead", "replay", "--all", "--rate", "20/s", "--json"];
    let elsewhere = async {
        let begun = until("it has begun", SOON, async || {
            let (_, list) = world.answer(&["dead", "operations"]).await;
            let operation = list["operations"][0].clone();
            (operation["done"].as_i64().unwrap_or(0) > 5).then_some(operation)
        });
        let id = begun.await["operation_id"].as_str().unwrap().to_owned();
        let ask = async |more: &[&str]| world.answer(&[&["dead", "operations", &id], more].concat()).await.1;
        ask(&["--pause"]).await;
        until("it rests", SOON, async || (ask(&[]).await["state"] == "paused").then_some(())).await;
        // What it has not dealt with is in the queue again, for everybody.
        let done = ask(&[]).await["done"].as_i64().unwrap();
        let back = async || (i64::from(world.broker.depth(DEAD).await) == NUMBER as i64 - done).then_some(());
        until("it has given the queue back", SOON, back).await;
        ask(&["--resume"]).await;
        until("it goes on", SOON, async || (ask(&[]).await["done"].as_i64().unwrap() > done).then_some(())).await;
        ask(&["--cancel"]).await;
        let watched = world.producer(&["dead", "operations", &id, "--watch", "--json"]).await.expect(0).json();
        assert_eq!(watched["state"], "cancelled");
        assert!(world.producer(&["dead", "operations", &id, "--pause"]).await.code == 1);
    };
    let (said, ()) = tokio::join!(world.producer(&replay), elsewhere);
    let report = said.expect(1).json();
    let (done, rest) = (report["jobs"].as_array().unwrap().len(), report["not_tried"].as_u64().unwrap() as usize);
    assert_eq!((done + rest, &report["cancelled"]), (NUMBER, &json!(true)));
    assert_eq!((world.broker.depth(DEAD).await as usize, world.broker.depth("aura.jobs").await as usize), (rest, done));
    assert_eq!((world.letters("waiting").await as usize, world.letters("replayed").await as usize), (rest, done));
}

#[tokio::test]
async fn a_replay_that_is_killed_at_any_moment_loses_nothing_and_is_taken_up_again() {
    const NUMBER: usize = 3_000;
    let world = World::new().await;
    world.strange_letters(NUMBER).await;
    for number in 0..4_u64 {
        let mut killed = command("aura-producer", world.path(), &world.settings_with(&[]));
        killed.args(["dead", "replay", "--all", "--json"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut killed = killed.spawn().expect("a producer");
        let begun = async || {
            let running: i64 =
                world.one("SELECT coalesce(sum(done), 0)::bigint FROM dead_letter_operations", &[]).await;
            (running > number as i64 * 200).then_some(())
        };
        until("it is at it", SOON, begun).await;
        killed.kill().expect("it ends");
        killed.wait().expect("it has ended");
    }
    // Its connection is gone once the broker says so.
    let back = async || {
        let (dead, jobs) = (world.broker.depth(DEAD).await, world.broker.depth("aura.jobs").await);
        (dead as usize + jobs as usize >= NUMBER).then_some(jobs)
    };
    let published = until("nothing is in hand", SOON, back).await;
    assert!(published > 600, "{published}");
    world.producer(&["dead", "replay", "--all", "--json"]).await.expect(0);
    assert_eq!(world.broker.depth(DEAD).await, 0);
    let mut jobs: Vec<Uuid> = Vec::new();
    for letter in world.broker.look("aura.jobs").await {
        let body: Value = serde_json::from_slice(&letter.body).unwrap();
        jobs.push(body["job_id"].as_str().unwrap().parse().unwrap());
    }
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), NUMBER, "every job is on its way, some of them twice, which has one effect");
    // What was published and not noted when it was cut off is noted by verify.
    world.answer(&["verify", "--repair"]).await;
    assert_eq!(world.letters("replayed").await as usize, NUMBER);
}

#[tokio::test]
async fn every_jobs_own_file_is_published_as_new_with_another_profile() {
    let (world, _worker) = World::with_worker().await;
    let wide = "Konto;Saldo\n10;5,00\n";
    let pinned = json!({"exported_at": "2022-07-01T10:00:00Z", "source": "default"});
    let mut jobs = Vec::new();
    for entity in ["A", "B"] {
        let file = world.write(&format!("{entity}.csv"), wide);
        let receipt = world.ends("failed", with(job(&file, entity, "2022-06"), pinned.clone())).await;
        jobs.push(receipt["job_id"].clone());
    }
    world.broker.dead(2).await;
    let (code, replayed) =
        world.answer(&["dead", "replay", "--code", "schema_invalid", "--as-new", "--new-source", "no-such"]).await;
    assert_eq!((code, replayed["jobs"].as_array().unwrap().len()), (0, 2), "{replayed:#}");
    let failed = world.broker.receipt_where("a new job", |one| one["error"]["code"] == "unknown_source").await.body;
    assert!(!jobs.contains(&failed["job_id"]));
    let (_, shown) = world.answer(&["dead", "show", jobs[0].as_str().unwrap()]).await;
    assert_eq!(shown["state"], "replayed");
    assert!(replayed["jobs"].as_array().unwrap().iter().any(|job| job["new_job_id"] == shown["new_job_id"]));
}
