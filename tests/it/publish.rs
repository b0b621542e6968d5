//! `aura-producer publish`, `status`, `cancel` and what sets the services up.

use serde_json::{Value, json};
use shared::settings::DEFINITIONS;
use tests::month_end::MonthEnd;
use uuid::Uuid;

use crate::{
    process::{command, run},
    world::{World, csv, job},
};

#[tokio::test]
async fn one_file_is_published_and_followed_to_its_summary() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let arguments = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json"];
    let said = world.producer(&arguments).await.expect(0).json();
    for (name, value) in
        [("total", 1), ("successful", 1), ("failed", 0), ("skipped", 0), ("superseded", 0), ("cancelled", 0)]
    {
        assert_eq!(said[name], value, "{name}");
    }
    assert_eq!(said["results"][0]["inserted"], 1);
    let again = world.producer(&arguments).await.expect(0).json();
    assert_eq!((&again["skipped"], &again["successful"]), (&json!(1), &json!(0)));
    let batch = said["batch_id"].as_str().unwrap();
    let status = world.producer(&["status", batch, "--json"]).await.expect(0).json();
    assert_eq!((&status["jobs"], &status["success"]), (&json!(1), &json!(1)), "{status:#}");
}

#[tokio::test]
async fn a_month_end_is_scanned_by_pattern_and_a_bad_file_makes_the_exit_code_1() {
    let (world, _worker) = World::with_worker().await;
    let month = MonthEnd { period: "2026-03".into(), entities: 4, seed: 1, bad: 1 };
    let files = month.save(&world.input("."), None).unwrap();
    world.write("readme.txt", "not a trial balance");
    let folder = world.input(".").display().to_string();
    let scan = ["publish", "--scan", &folder, "--pattern", "{entity}_{period}.csv", "--wait", "--json"];
    let said = world.producer(&scan).await.expect(1).json();
    assert_eq!((&said["total"], &said["successful"], &said["failed"]), (&json!(4), &json!(3), &json!(1)));
    for file in files.iter().filter(|file| !file.bad) {
        let (rows, sum) = world.slice(&file.entity, "2026-03").await;
        assert_eq!((rows as u64, sum), (file.totals.rows, file.totals.sum_text()), "{}", file.entity);
    }
    let bad = files.iter().find(|file| file.bad).unwrap();
    let failed = said["results"].as_array().unwrap().iter().find(|one| one["status"] == "failed").unwrap();
    assert_eq!(failed["entity"], bad.entity);
}

#[tokio::test]
async fn a_manifest_may_be_csv_or_json_lines_and_come_from_stdin() {
    let (world, _worker) = World::with_worker().await;
    let a = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-5")]));
    let b = world.write("b.csv", csv("B", "2022-06", &[("10", "5")]));
    let table = format!("file,entity,period,mode,require_balanced\n{a},A,2022-06,replace,true\n{b},B,2022-06,,\n");
    let manifest = world.path().join("jobs.csv");
    std::fs::write(&manifest, table).unwrap();
    let manifest = manifest.display().to_string();
    let said = world.producer(&["publish", "--manifest", &manifest, "--wait", "--json"]).await.expect(0).json();
    assert_eq!((&said["total"], &said["successful"]), (&json!(2), &json!(2)));
    assert_eq!(world.one::<String>("SELECT mode FROM ingestion_runs WHERE entity = 'A'", &[]).await, "replace");

    let c = world.write("c.csv", csv("C", "2022-06", &[("10", "5")]));
    let lines = format!("{}\n\n{}\n", job(&c, "C", "2022-06"), job(&b, "B", "2022-06"));
    let said = world.producer_reads(&["publish", "--manifest", "-", "--wait", "--json"], &lines).await.expect(0).json();
    assert_eq!((&said["successful"], &said["skipped"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn nothing_is_published_if_one_of_the_messages_is_faulty_and_every_fault_is_named() {
    let (world, _worker) = World::with_worker().await;
    let a = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let lines = format!(
        "{}\n{{\"file\": \"x.csv\", \"entity\": \"a\", \"period\": \"2022-6\"}}\nnot json\n{{\"file\": \"x.csv\", \"colour\": 1}}\n",
        job(&a, "A", "2022-06")
    );
    let said = world.producer_reads(&["publish", "--manifest", "-"], &lines).await.expect(2);
    assert_eq!(said.stdout, "");
    insta::assert_snapshot!(said.stderr.trim_end(), @r"
    error: nothing was published: 6 faults in the input
      line 2: entity: an entity is 1 to 32 of A-Z, 0-9, '_', '.', '-' and starts with a letter or digit
      line 2: period: a period is YYYY-MM with MM from 01 to 16
      line 3: is not a JSON object: expected ident at column 2
      line 4: entity: is missing
      line 4: period: is missing
      line 4: colour: is an unknown field
    ");
    assert_eq!(world.broker.depth("aura.jobs").await, 0);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 0);
}

#[tokio::test]
async fn a_published_message_has_the_properties_of_the_contract() {
    let world = World::new().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let arguments = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--json"];
    let said = world.producer(&arguments).await.expect(0).json();
    let message = world.broker.look("aura.jobs").await.remove(0);
    let properties = &message.properties;
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "aura.job.v1");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), said["jobs"][0]["job_id"]);
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), said["batch_id"]);
    assert!(properties.timestamp().is_some());
    let parent = message.header("traceparent");
    let parts: Vec<_> = parent.split('-').map(str::len).collect();
    assert_eq!(parts, [2, 32, 16, 2], "traceparent is {parent:?}");
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!((&body["file"], &body["entity"], &body["period"]), (&json!(file), &json!("A"), &json!("2022-06")));
}

#[tokio::test]
async fn waiting_gives_up_after_its_time_and_says_which_jobs_are_outstanding() {
    let world = World::new().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let arguments =
        ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--timeout", "1", "--json"];
    let said = world.producer(&arguments).await;
    assert_ne!(said.code, 0, "{}", said.stdout);
    assert_eq!(said.json()["outstanding"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unreachable_service_is_exit_code_3_and_bad_usage_2() {
    let world = World::new().await;
    let settings = world.settings_with(&[("AURA_AMQP_URL", "amqp://u:secret@127.0.0.1:1/x")]);
    let mut topology = command("aura-producer", world.path(), &settings);
    topology.arg("topology");
    let said = run(topology, std::time::Duration::from_secs(60)).await.expect(3);
    assert!(said.stderr.contains("127.0.0.1:1") && !said.stderr.contains("secret"), "{}", said.stderr);
    world.producer(&["publish"]).await.expect(2);
    world.producer(&["no-such-verb"]).await.expect(2);
    for verb in ["publish", "status", "cancel", "dead", "period", "migrate", "topology", "schema"] {
        let help = world.producer(&[verb, "--help"]).await.expect(0);
        assert!(help.stdout.contains("xample") || verb == "dead" || verb == "period", "{verb} --help has no example");
    }
}

/// Lines that the help of a command may take at 80 columns. `publish` has 24 options of its own.
fn most_lines(command: &[&str]) -> usize {
    if command == ["publish"] { 60 } else { 40 }
}

#[tokio::test]
async fn help_of_a_command_is_short_and_names_the_page_of_the_settings() {
    const COMMANDS: [&[&str]; 24] = [
        &[],
        &["publish"],
        &["check"],
        &["sources"],
        &["sources", "list"],
        &["sources", "show"],
        &["status"],
        &["cancel"],
        &["dead"],
        &["dead", "list"],
        &["dead", "show"],
        &["dead", "replay"],
        &["dead", "discard"],
        &["period"],
        &["period", "lock"],
        &["period", "unlock"],
        &["period", "list"],
        &["verify"],
        &["archive"],
        &["archive", "write"],
        &["archive", "check"],
        &["migrate"],
        &["topology"],
        &["schema"],
    ];
    let world = World::new().await;
    let page_line = "Settings: aura-producer help settings";
    let narrow = world.settings_with(&[("COLUMNS", "80")]);
    let said = async |arguments: &[&str]| {
        let mut asked = command("aura-producer", world.path(), &narrow);
        asked.args(arguments);
        run(asked, std::time::Duration::from_secs(60)).await.expect(0).stdout
    };
    for arguments in COMMANDS {
        let help = said(&[arguments, &["--help"]].concat()).await;
        assert_eq!(help.trim_end().lines().last(), Some(page_line), "{arguments:?}");
        assert!(help.lines().count() <= most_lines(arguments), "{arguments:?}: {}", help.lines().count());
        for setting in DEFINITIONS {
            let flag = format!("--{} ", setting.key.replace('_', "-"));
            let listed = help.lines().any(|line| line.trim_start().starts_with(&flag));
            assert!(!listed, "{arguments:?} lists {flag}");
        }
        assert_eq!(said(&[&["help"][..], arguments].concat()).await, help, "{arguments:?}");
    }
    let page = said(&["help", "settings"]).await;
    for setting in DEFINITIONS {
        let head = format!("{}  --{} VALUE", setting.variable(), setting.key.replace('_', "-"));
        assert_eq!(page.lines().filter(|line| *line == head).count(), 1, "{head}");
    }
    for other in [&["settings"][..], &["settings", "--help"], &["settings", "-h"]] {
        assert_eq!(said(other).await, page, "{other:?}");
    }
}

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let world = World::new().await;
    for _ in 0..2 {
        world.producer(&["migrate"]).await.expect(0);
        world.producer(&["topology"]).await.expect(0);
    }
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await, 0);
    for queue in ["aura.jobs", "aura.retry.1s", "aura.retry.2s", "aura.retry.4s", "aura.dead"] {
        assert_eq!(world.broker.depth(queue).await, 0);
    }
}

#[tokio::test]
async fn two_workers_and_a_producer_that_start_at_once_agree_on_the_schema() {
    let world = World::new().await;
    let (first, second, third) = tokio::join!(world.worker(&[]), world.worker(&[]), world.producer(&["migrate"]));
    third.expect(0);
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    drop((first, second));
}

#[tokio::test]
async fn the_status_of_what_nobody_knows_is_an_error_that_says_so() {
    let (world, _worker) = World::with_worker().await;
    let unknown = Uuid::new_v4().to_string();
    let said = world.producer(&["status", &unknown]).await;
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains(&unknown), "{}", said.stderr);
}
