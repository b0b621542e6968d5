//! Reloads of every kind, held against a model of the rules of the ledger that shares no code with the worker.

mod model;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{random::Random, trial_balance::TrialBalance, worker::Worker};

use crate::{
    wait::{SOON, until},
    world::{World, job, with},
};
use model::{Change, Key, Ledger, Row, decimal, file};

/// Files that each slice is loaded from, one after the other.
const ROUNDS: usize = 14;
const PERIOD: &str = "2022-06";
/// A profile under which rows go through the staging table, and the same one's rows otherwise.
const ADDING: &str = "repeated_keys = \"sum\"\n";

#[tokio::test]
async fn whatever_a_reload_changes_the_ledger_its_changes_and_its_cache_are_as_the_rules_say() {
    let world = World::new().await;
    let _worker = worker(&world).await;
    for seed in 0..6 {
        let entity = format!("E{seed}");
        // Two in three are compared row by row, the others go through the staging table.
        let source = if seed % 3 == 2 { "adding" } else { "default" };
        loads(&world, &entity, source, seed).await;
    }
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn a_ledger_whose_database_does_not_order_by_bytes_is_the_same() {
    let world = World::in_another_order().await;
    assert!(world.one::<bool>("SELECT 'a' < 'B' AND 'é' < 'f' AND 'A_1' < 'A-1'", &[]).await);
    let _worker = worker(&world).await;
    for (entity, source, seed) in [("A_1", "default", 6), ("A-1", "adding", 7), ("A1", "default", 8)] {
        loads(&world, entity, source, seed).await;
    }
    let rows = "account_code,balance\nb,1\nB,2\na-1,3\nA1,4\né,5\n_,6\n";
    let header = "entity,period,account_name,bs_pl,status,";
    let text: String = std::iter::once(format!("{header}account_code,balance\n"))
        .chain(rows.lines().skip(1).map(|row| format!("D,2022-06,n,BS,s,{row}\n")))
        .collect();
    for (round, text) in [text.clone(), text.replace(",3\n", ",7\n")].into_iter().enumerate() {
        let file = world.write(&format!("D-{round}.csv"), text);
        world.ends("success", job(&file, "D", PERIOD)).await;
    }
    assert_eq!(world.slice("D", PERIOD).await, (6, "25".to_owned()));
    world.producer(&["verify"]).await.expect(0);
}

/// A worker that knows both sources.
async fn worker(world: &World) -> Worker {
    let sources = world.path().join("sources");
    std::fs::create_dir_all(&sources).expect("a value");
    std::fs::write(sources.join("adding.toml"), ADDING).expect("a value");
    world.worker(&[("AURA_SOURCES_DIR", sources.to_str().expect("a value"))]).await
}

async fn loads(world: &World, entity: &str, source: &str, seed: u64) {
    let mut random = Random::new(seed);
    let (mut ledger, mut jobs) = (Ledger::default(), Vec::new());
    for round in 0..ROUNDS {
        let (text, rows, shape) = file(&mut random, entity, &ledger, round);
        let file = world.write(&format!("{entity}-{round}.csv"), &text);
        let replaces = random.percent(35);
        let mode = if replaces { "replace" } else { "upsert" };
        let told = format!("seed {seed}, round {round}, {mode}, {source}, {shape:?}\n{text}");
        let message = with(job(&file, entity, PERIOD), json!({"mode": mode, "source": source}));
        let receipt = world.ends("success", message).await;
        jobs.push(receipt["job_id"].as_str().expect("a value").to_owned());
        let counts = ledger.load(&rows, shape, replaces, round);
        let names = ["inserted", "updated", "unchanged", "deleted", "absent"];
        assert_eq!(names.map(|name| receipt[name].as_u64().expect("a value")), counts, "{told}");
        assert_eq!(ledger.rows, stored(world, entity, &jobs).await, "{told}");
        assert_eq!(ledger.changes, changes(world, entity, &jobs).await, "{told}");
        let mut cached = world.cached(entity, PERIOD).await.balances();
        cached.sort();
        let present = ledger.rows.iter().filter(|(key, _)| !ledger.absent.contains(key));
        let mut present: Vec<_> =
            present.map(|((_, account), row)| (account.clone(), decimal(row.amounts[0].expect("a value")))).collect();
        present.sort();
        assert_eq!(present, cached, "{told}");
        let sum: i64 = ledger.rows.values().filter_map(|row| row.amounts[0]).sum();
        let run = world.job_run(jobs[round].parse().expect("a value")).await;
        assert_eq!(
            (&run["slice_rows"], &run["slice_sum"]),
            (&json!(ledger.rows.len()), &json!(decimal(sum))),
            "{told}"
        );
    }
}

/// What the ledger holds of an entity.
async fn stored(world: &World, entity: &str, jobs: &[String]) -> BTreeMap<Key, Row> {
    let rows = world
        .rows(&format!(
            "SELECT company_code, account_code, account_name, bs_pl, status, department, extra, criticality, \
             (balance * 100)::bigint AS balance, (debit_period * 100)::bigint AS debit, job_id::text, source_line \
             FROM gl_accounts WHERE entity = '{entity}'"
        ))
        .await;
    let text = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
    let row = |row: &Value| {
        let key = (text(row, "company_code").expect("a value"), text(row, "account_code").expect("a value"));
        let stored = Row {
            texts: ["account_name", "bs_pl", "status", "department"].map(|name| text(row, name)),
            amounts: ["balance", "debit"].map(|name| row[name].as_i64()),
            criticality: text(row, "criticality").expect("a value"),
            extra: serde_json::from_value(row["extra"].clone()).expect("a value"),
            job: jobs.iter().position(|job| row["job_id"] == **job).expect("a value"),
            line: row["source_line"].as_i64().expect("a value"),
        };
        (key, stored)
    };
    rows.as_array().expect("a value").iter().map(row).collect()
}

/// The changes that are kept of an entity.
async fn changes(world: &World, entity: &str, jobs: &[String]) -> Vec<Change> {
    let rows = world
        .rows(&format!(
            "SELECT job_id::text, company_code, account_code, (old_balance * 100)::bigint AS old, \
             (new_balance * 100)::bigint AS new, change FROM gl_balance_changes WHERE entity = '{entity}'"
        ))
        .await;
    let kinds = ["inserted", "updated", "relabelled", "deleted"];
    let change = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a value").to_owned();
        let job = jobs.iter().position(|job| *job == text("job_id")).expect("a value");
        let kind = kinds.into_iter().find(|kind| *kind == text("change")).expect("a value");
        (job, (text("company_code"), text("account_code")), row["old"].as_i64(), row["new"].as_i64(), kind)
    };
    let mut changes: Vec<_> = rows.as_array().expect("a value").iter().map(change).collect();
    changes.sort();
    changes
}

#[tokio::test]
async fn a_slice_of_several_parts_is_reloaded_as_one_whatever_postgresql_knows_of_it() {
    let (world, _worker) = World::with_worker().await;
    for table in ["gl_accounts", "gl_absent_accounts", "gl_balance_changes"] {
        world.execute(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await;
    }
    let sample = TrialBalance::new("A", "2022-06", 60_000, 1);
    let first = world.sample("1.csv", &sample);
    world.ends("success", job(&first, "A", "2022-06")).await;
    let text = std::fs::read_to_string(&first).expect("a value");
    let more = std::fs::read_to_string(world.sample("more.csv", &TrialBalance::new("A", "2022-06", 60_500, 1)))
        .expect("a value");
    let (header, rows) = text.split_once('\n').expect("a value");
    let mut other = header.to_owned() + "\n";
    for (number, line) in rows.lines().enumerate() {
        match number % 70 {
            0 => {}
            7 => other += &line.replace(",BS,", ",PL,"),
            _ => other += line,
        }
        other += if number % 70 == 0 { "" } else { "\n" };
    }
    let changed = rows.lines().enumerate().filter(|(number, line)| number % 70 == 7 && line.contains(",BS,")).count();
    let missing = rows.lines().count().div_ceil(70);
    more.lines().skip(60_001).for_each(|line| other += &format!("{line}\n"));
    let receipt = world.ends("success", job(&world.write("2.csv", other), "A", "2022-06")).await;
    let counts =
        ["inserted", "updated", "unchanged", "deleted", "absent"].map(|name| receipt[name].as_u64().expect("a value"));
    let [changed, missing] = [changed, missing].map(|number| number as u64);
    assert_eq!(counts, [500, changed, 60_000 - changed - missing, 0, missing]);
    let changes = "SELECT count(*) FROM gl_balance_changes WHERE change = $1";
    assert_eq!(world.one::<i64>(changes, &[&"inserted"]).await, 500);
    assert_eq!(world.one::<i64>(changes, &[&"relabelled"]).await, changed as i64);
    let scattered =
        "SELECT count(*) FROM gl_accounts a WHERE NOT EXISTS (SELECT FROM ingestion_runs r WHERE r.job_id = a.job_id)";
    assert_eq!(world.one::<i64>(scattered, &[]).await, 0);
    world.producer(&["verify"]).await.expect(0);
    // What changed found room beside the old rows, so that the key was left alone. A session says so when it rests.
    let counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'gl_accounts'";
    let (updated, beside): (i64, i64) = until("the updates are counted", SOON, async || {
        let row = world.postgres.query_one(counted, &[]).await.expect("a row");
        (row.get::<_, i64>(0) >= changed as i64).then(|| (row.get(0), row.get(1)))
    })
    .await;
    assert!(beside * 10 >= updated * 8, "{beside} of {updated} rows");
}

#[tokio::test]
async fn a_balance_is_the_same_however_many_zeros_postgresql_keeps_of_it() {
    let (world, _worker) = World::with_worker().await;
    let header = "entity,period,account_code,account_name,balance,bs_pl,status";
    let text = |first: &str| format!("{header}\nA,2022-06,10,Cash,{first},BS,Assets\nA,2022-06,20,Debt,-5,BS,Debts\n");
    world.ends("success", job(&world.write("1.csv", text("5")), "A", "2022-06")).await;
    world.execute("UPDATE gl_accounts SET balance = balance::numeric(20, 4)").await;
    let receipt = world.ends("success", job(&world.write("2.csv", text("5.0000")), "A", "2022-06")).await;
    assert_eq!((&receipt["unchanged"], &receipt["updated"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn extra_columns_that_somebody_else_wrote_stay_as_they_are() {
    let (world, _worker) = World::with_worker().await;
    let header = "entity,period,account_code,account_name,balance,bs_pl,status,center";
    let text = |center: &str| format!("{header}\nA,2022-06,10,Cash,5,BS,Assets,{center}\n");
    world.ends("success", job(&world.write("1.csv", text("7")), "A", "2022-06")).await;
    world.execute(r#"UPDATE gl_accounts SET extra = extra || '{"n": 12345678901234567890.10, "l": [1]}'"#).await;
    let receipt = world.ends("success", job(&world.write("2.csv", text("8")), "A", "2022-06")).await;
    assert_eq!(receipt["updated"], 1);
    let kept = "SELECT extra = '{\"center\": \"8\", \"n\": 12345678901234567890.10, \"l\": [1]}' FROM gl_accounts";
    assert!(world.one::<bool>(kept, &[]).await);
    world.producer(&["verify"]).await.expect(0);
}
