//! Reloads of every kind, held against a model of the rules of the ledger that shares no code with the worker.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::{Value, json};
use tests::{random::Random, trial_balance::TrialBalance, worker::Worker};

use crate::world::{World, job, with};

/// Files that each slice is loaded from, one after the other.
const ROUNDS: usize = 14;
const PERIOD: &str = "2022-06";
/// A profile under which rows go through the staging table, and the same one's rows otherwise.
const ADDING: &str = "repeated_keys = \"sum\"\n";

type Key = (String, String);
type Texts = BTreeMap<String, String>;

/// A row as the ledger is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// What the ERP owns: name, class, status, department; the last may lack.
    texts: [Option<String>; 4],
    /// The balance, and the debits of the period, in hundredths.
    amounts: [Option<i64>; 2],
    criticality: String,
    extra: Option<Texts>,
    job: usize,
    line: i64,
}

/// Which columns a file has beside the required ones.
#[derive(Debug, Clone, Copy)]
struct Shape {
    company: bool,
    department: bool,
    debit: bool,
    criticality: bool,
    extra: [bool; 2],
}

#[derive(Debug, Default)]
struct Ledger {
    rows: BTreeMap<Key, Row>,
    /// Accounts that the newest file lacked.
    absent: Vec<Key>,
    /// Job, key, old and new balance, kind.
    changes: Vec<(usize, Key, i64, Option<i64>, &'static str)>,
}

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

impl Ledger {
    /// Loads a file's rows as the rules say: inserted, updated, unchanged, deleted, absent.
    fn load(&mut self, file: &BTreeMap<Key, Row>, shape: Shape, replaces: bool, job: usize) -> [u64; 5] {
        let [mut inserted, mut updated, mut unchanged] = [0; 3];
        let mut of_job = Vec::new();
        for (key, given) in file {
            let Some(before) = self.rows.get(key) else {
                self.rows.insert(key.clone(), given.clone());
                inserted += 1;
                continue;
            };
            let mut after = before.clone();
            after.texts[..3].clone_from_slice(&given.texts[..3]);
            after.amounts[0] = given.amounts[0];
            if shape.department || replaces {
                after.texts[3].clone_from(&given.texts[3]);
            }
            if shape.debit || replaces {
                after.amounts[1] = given.amounts[1];
            }
            match &given.extra {
                extra if replaces => after.extra.clone_from(extra),
                Some(extra) => after.extra.get_or_insert_default().extend(extra.clone()),
                None => {}
            }
            if after == *before {
                unchanged += 1;
                continue;
            }
            updated += 1;
            let (old, new) = (before.amounts[0].expect("a value"), after.amounts[0].expect("a value"));
            if old != new || before.texts[..3] != after.texts[..3] {
                of_job.push((job, key.clone(), old, Some(new), if old == new { "relabelled" } else { "updated" }));
            }
            (after.job, after.line) = (job, given.line);
            self.rows.insert(key.clone(), after);
        }
        let missing: Vec<Key> = self.rows.keys().filter(|key| !file.contains_key(*key)).cloned().collect();
        let number = missing.len() as u64;
        self.absent = if replaces { Vec::new() } else { missing.clone() };
        if replaces {
            for key in missing {
                let gone = self.rows.remove(&key).expect("a value");
                of_job.push((job, key, gone.amounts[0].expect("a value"), None, "deleted"));
            }
        }
        of_job.sort();
        self.changes.extend(of_job);
        [inserted, updated, unchanged, if replaces { number } else { 0 }, self.absent.len() as u64]
    }
}

/// A file: some of the ledger's rows as they are, some changed, some new; its text, and its rows as new ones.
fn file(random: &mut Random, entity: &str, ledger: &Ledger, job: usize) -> (String, BTreeMap<Key, Row>, Shape) {
    let mut one = |share| random.percent(share);
    let shape = Shape {
        company: one(50),
        department: one(50),
        debit: one(50),
        criticality: one(50),
        extra: [one(40), one(30)],
    };
    let mut rows = BTreeMap::new();
    for account in 0..12 {
        let company = if shape.company { random.one_of(&["10", "20", entity]) } else { entity };
        let key = (company.to_owned(), format!("{account:03}"));
        if random.percent(75) {
            rows.insert(key.clone(), row(random, shape, ledger.rows.get(&key), job));
        }
    }
    if rows.is_empty() {
        rows.insert((entity.to_owned(), "000".to_owned()), row(random, shape, None, job));
    }
    let mut order: Vec<Key> = rows.keys().cloned().collect();
    random.shuffle(&mut order);
    let mut text = String::from("entity,period,account_code,account_name,balance,bs_pl,status");
    let optional = [
        (shape.company, ",company_code"),
        (shape.department, ",department"),
        (shape.debit, ",debit_period"),
        (shape.criticality, ",criticality"),
        (shape.extra[0], ",Cost Center"),
        (shape.extra[1], ",no"),
    ];
    optional.iter().filter(|(is_there, _)| *is_there).for_each(|(_, name)| text += name);
    text += "\n";
    for (number, key) in order.iter().enumerate() {
        let row = rows.get_mut(key).expect("a value");
        row.line = number as i64 + 2;
        let [name, class, status, department] = row.texts.each_ref().map(|text| text.as_deref().unwrap_or_default());
        // The same amount may be written in several ways.
        let zeros = random.one_of(&["", "00"]);
        let balance = format!("{}{zeros}", with_point(row.amounts[0].expect("a value")));
        write!(text, "{entity},{PERIOD},{},\"{name}\",{balance},{class},{status}", key.1).expect("a value");
        let extra = row.extra.clone().unwrap_or_default();
        let cell = |name: &str| extra.get(name).cloned().unwrap_or_default();
        let cells = [
            key.0.clone(),
            department.to_owned(),
            row.amounts[1].map(with_point).unwrap_or_default(),
            row.criticality.clone(),
            cell("Cost Center"),
            cell("no"),
        ];
        for (cell, _) in cells.iter().zip(optional).filter(|(_, (is_there, _))| *is_there) {
            write!(text, ",{cell}").expect("a value");
        }
        text += "\n";
    }
    (text, rows, shape)
}

/// A row of a file; of what the ledger has, most stays.
fn row(random: &mut Random, shape: Shape, before: Option<&Row>, job: usize) -> Row {
    let mut text = |choices: [&str; 3], before: Option<String>, share| match before {
        Some(before) if !random.percent(share) => before,
        _ => random.one_of(&choices).to_owned(),
    };
    let of = |place: usize| before.and_then(|row| row.texts[place].clone());
    let texts = [
        Some(text(["Cash", "Bank, \"Main\"", "Käse"], of(0), 10).replace('"', "'")),
        Some(text(["BS", "PL", "OT"], of(1), 5)),
        Some(text(["Assets", "Liabilities", "Income"], of(2), 5)),
        shape.department.then(|| text(["R2R", "P2P", "O2C"], of(3), 10)),
    ];
    let extra =
        |place: usize, name: &str| before.and_then(|row| row.extra.as_ref()?.get(name).cloned()).filter(|_| place < 2);
    let names = ["Cost Center", "no"];
    let extra: Texts = names
        .iter()
        .enumerate()
        .filter(|(place, _)| shape.extra[*place])
        .map(|(place, name)| ((*name).to_owned(), text(["7", " 08", "x\\y"], extra(place, name), 10)))
        .collect();
    let criticality = if shape.criticality { text(["high", "low", "medium"], None, 100) } else { "medium".to_owned() };
    let mut amount = |before: Option<i64>| match before {
        Some(before) if !random.percent(20) => before,
        _ => random.between(0, 2_000_000) as i64 - 1_000_000,
    };
    let balance = amount(before.and_then(|row| row.amounts[0]));
    let debit = shape.debit.then(|| amount(before.and_then(|row| row.amounts[1])));
    let extra = (shape.extra != [false, false]).then_some(extra);
    Row { texts, amounts: [Some(balance), debit], criticality, extra, job, line: 0 }
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
async fn changes(world: &World, entity: &str, jobs: &[String]) -> Vec<(usize, Key, i64, Option<i64>, &'static str)> {
    let rows = world
        .rows(&format!(
            "SELECT job_id::text, company_code, account_code, (old_balance * 100)::bigint AS old, \
             (new_balance * 100)::bigint AS new, change FROM gl_balance_changes WHERE entity = '{entity}'"
        ))
        .await;
    let kinds = ["updated", "relabelled", "deleted"];
    let change = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a value").to_owned();
        let job = jobs.iter().position(|job| *job == text("job_id")).expect("a value");
        let kind = kinds.into_iter().find(|kind| *kind == text("change")).expect("a value");
        (
            job,
            (text("company_code"), text("account_code")),
            row["old"].as_i64().expect("a value"),
            row["new"].as_i64(),
            kind,
        )
    };
    let mut changes: Vec<_> = rows.as_array().expect("a value").iter().map(change).collect();
    changes.sort();
    changes
}

/// Hundredths with two decimals.
fn with_point(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// The same without zeros at its end.
fn decimal(hundredths: i64) -> String {
    with_point(hundredths).trim_end_matches('0').trim_end_matches('.').to_owned()
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
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_balance_changes", &[]).await, changed as i64);
    let scattered =
        "SELECT count(*) FROM gl_accounts a WHERE NOT EXISTS (SELECT FROM ingestion_runs r WHERE r.job_id = a.job_id)";
    assert_eq!(world.one::<i64>(scattered, &[]).await, 0);
    world.producer(&["verify"]).await.expect(0);
    // What changed found room beside the old rows, so that the key was left alone. A session says so when it rests.
    let counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'gl_accounts'";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let row = world.postgres.query_one(counted, &[]).await.expect("a row");
        let (updated, beside): (i64, i64) = (row.get(0), row.get(1));
        if updated >= changed as i64 {
            assert!(beside * 10 >= updated * 8, "{beside} of {updated} rows");
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "only {updated} of {changed} rows are counted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
