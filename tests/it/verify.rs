//! `aura-producer verify`: what was done behind Aura's back is found, and what is on its way is not.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{concat_batches, take_record_batch},
};
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::WriterProperties,
};
use serde_json::{Value, json};
use tests::trial_balance::TrialBalance;
use uuid::Uuid;

use crate::{
    process::{Said, Worker, command, run},
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const ACCOUNTS: [(&str, &str); 4] = [("10", "100.5"), ("20", "-40.25"), ("30", "0"), ("40", "7")];

/// A world with the slices A and B of 2022-06, in which all has arrived everywhere.
async fn closed() -> (World, Worker) {
    let (world, worker) = World::with_worker().await;
    for entity in ["A", "B"] {
        load(&world, entity, &ACCOUNTS).await;
    }
    world.settled().await;
    (world, worker)
}

async fn load(world: &World, entity: &str, accounts: &[(&str, &str)]) -> Value {
    let file = world.write(&format!("{entity}-{}.csv", Uuid::new_v4()), csv(entity, "2022-06", accounts));
    world.ends("success", job(&file, entity, "2022-06")).await
}

/// What `verify` says of a world, and where it looks.
trait Verified {
    async fn verify(&self, more: &[&str]) -> Said;
    /// The findings as `code ENTITY`, after making sure of the exit code.
    async fn found(&self) -> Vec<String>;
    fn trail(&self) -> Collection<Document>;
    async fn event(&self, entity: &str, seq: i64) -> Document;
    fn parquet(&self, entity: &str) -> PathBuf;
    /// The details of the repairs that a slice's audit trail tells of.
    async fn repairs(&self, entity: &str) -> Vec<Document>;
}

impl Verified for World {
    async fn verify(&self, more: &[&str]) -> Said {
        let arguments: Vec<&str> = ["verify", "--json"].iter().chain(more).copied().collect();
        self.producer(&arguments).await
    }

    async fn found(&self) -> Vec<String> {
        codes(&self.verify(&[]).await)
    }

    fn trail(&self) -> Collection<Document> {
        self.mongo.collection("audit_trail")
    }

    async fn event(&self, entity: &str, seq: i64) -> Document {
        let found = self.trail().find_one(doc! {"entity": entity, "period": "2022-06", "seq": seq}).await;
        found.expect("MongoDB answers").expect("an event")
    }

    fn parquet(&self, entity: &str) -> PathBuf {
        self.path().join("cache").join(format!("{entity}_2022-06_ingested.parquet"))
    }

    async fn repairs(&self, entity: &str) -> Vec<Document> {
        let filter = doc! {"entity": entity, "event_type": "repaired"};
        let found = self.trail().find(filter).sort(doc! {"seq": 1}).await.expect("MongoDB answers");
        let events: Vec<Document> = found.try_collect().await.expect("events");
        events.iter().map(|event| event.get_document("metadata").expect("an object").clone()).collect()
    }
}

#[track_caller]
fn codes(said: &Said) -> Vec<String> {
    let report = said.json();
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(said.code, i32::from(!findings.is_empty()), "{report:#}");
    for finding in findings {
        for field in ["detail", "remedy"] {
            assert!(!finding[field].as_str().unwrap_or_default().is_empty(), "{finding} has no {field}");
        }
    }
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("a text").to_owned();
    findings.iter().map(|finding| format!("{} {}", text(finding, "code"), text(finding, "entity"))).collect()
}

/// The finding of a code.
fn finding(said: &Said, code: &str) -> Value {
    let report = said.json();
    let found = report["findings"].as_array().expect("findings").iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("{code} is not in {report:#}")).clone()
}

/// The details of all findings, in their order.
fn details(said: &Said) -> Vec<String> {
    let report = said.json();
    let findings = report["findings"].as_array().expect("findings").iter();
    findings.map(|finding| finding["detail"].as_str().expect("a text").to_owned()).collect()
}

/// Writes a Parquet file anew under its own labels, with the rows that stood in these places, in this order.
fn rewrite(path: &Path, rows: &[u32]) {
    let file = File::open(path).expect("a cache file");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    let labels = builder.metadata().file_metadata().key_value_metadata().cloned();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    let whole = concat_batches(&schema, &batches).expect("a table");
    let chosen = take_record_batch(&whole, &UInt32Array::from(rows.to_vec())).expect("rows that are there");
    let properties = WriterProperties::builder().set_key_value_metadata(labels).build();
    let file = File::create(path).expect("the file can be written");
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).expect("a writer");
    writer.write(&chosen).expect("the rows are written");
    writer.close().expect("the file is whole");
}

#[tokio::test]
async fn a_clean_month_verifies_clean() {
    let (world, _worker) = closed().await;
    // Corrections, duplicates, absent accounts, failures, closing periods and events of no slice, too.
    load(&world, "A", &[("10", "101"), ("20", "-40.25"), ("50", "9")]).await;
    let again = world.write("again.csv", csv("B", "2022-06", &ACCOUNTS));
    world.ends("skipped", job(&again, "B", "2022-06")).await;
    world.ends("failed", job(&world.write("bad.csv", csv("B", "2022-06", &[("10", "x")])), "B", "2022-06")).await;
    let full = with(
        job(&world.sample("c.csv", &TrialBalance::new("C", "2022-13", 3_000, 7)), "C", "2022-13"),
        json!({"mode": "replace"}),
    );
    world.ends("success", full).await;
    world.broker.publish(b"garbage").await;
    world.broker.dead(2).await;
    world.settled().await;
    // The review workflow goes on after the file was written.
    world.execute("UPDATE gl_accounts SET review_status = 'done', reviewer_name = 'someone' WHERE entity = 'A'").await;

    let said = world.verify(&[]).await.expect(0);
    let report = said.json();
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert_eq!((&report["checked"]["slices"], &report["checked"]["parquet_files"]), (&json!(3), &json!(3)));
    assert_eq!(report["checked"]["rows"], world.one::<i64>("SELECT count(*) FROM gl_accounts", &[]).await);
    assert_eq!(report["checked"]["audit_events"], world.trail().count_documents(doc! {}).await.unwrap());
    assert_eq!(report["on_the_way"]["audit_events"], 0);
    let one = world.verify(&["--entity", "A", "--period", "2022-06"]).await.expect(0).json();
    assert_eq!(one["checked"]["slices"], 1);
    let told = world.producer(&["verify"]).await.expect(0).stdout;
    assert!(told.contains("nothing found"), "{told}");
    world.producer(&["verify", "--entity", "a/b"]).await.expect(2);
}

#[tokio::test]
async fn a_changed_audit_event_is_found() {
    let (world, _worker) = closed().await;
    let filter = doc! {"entity": "A", "event_type": "file_ingested"};
    world.trail().update_one(filter, doc! {"$set": {"metadata.slice_sum": "1"}}).await.unwrap();
    assert_eq!(world.found().await, ["audit_changed A"]);
}

#[tokio::test]
async fn a_removed_audit_event_is_found_in_the_middle_and_at_the_tail() {
    let (world, _worker) = closed().await;
    world.trail().delete_one(doc! {"entity": "A", "seq": 3}).await.unwrap();
    world.trail().delete_many(doc! {"entity": "B", "seq": {"$gt": 6}}).await.unwrap();
    let said = world.verify(&[]).await;
    assert_eq!(codes(&said), ["audit_removed A", "audit_removed B"]);
    let details: Vec<Value> = said.json()["findings"].as_array().unwrap().iter().map(|f| f["detail"].clone()).collect();
    assert!(details[0].as_str().unwrap().contains("event 3 of 8"), "{details:?}");
    assert!(details[1].as_str().unwrap().contains("event 7-8 of 8"), "{details:?}");
    // A whole chain that is gone is missed, too.
    world.trail().delete_many(doc! {"entity": "A"}).await.unwrap();
    assert_eq!(world.found().await, ["audit_removed A", "audit_removed B"]);
}

#[tokio::test]
async fn an_added_audit_event_is_found() {
    let (world, _worker) = closed().await;
    let last = world.event("A", 8).await;
    let mut forged = last.clone();
    forged.insert("_id", "A/2022-06/9");
    forged.insert("seq", 9_i64);
    forged.insert("prev_hash", last.get_str("hash").unwrap());
    world.trail().insert_one(&forged).await.unwrap();
    forged.insert("_id", "Z/2022-06/1");
    forged.insert("entity", "Z");
    world.trail().insert_one(&forged).await.unwrap();
    forged.insert("_id", "nobody's");
    forged.insert("entity", Bson::Null);
    world.trail().insert_one(&forged).await.unwrap();
    assert_eq!(world.found().await, ["audit_added -", "audit_added A", "audit_added Z"]);
}

#[tokio::test]
async fn two_swapped_audit_events_are_found() {
    let (world, _worker) = closed().await;
    let (two, five) = (world.event("A", 2).await, world.event("A", 5).await);
    let place = |event: &Document, seq: i64| (doc! {"_id": event.get_str("_id").unwrap()}, doc! {"$set": {"seq": seq}});
    for (event, seq) in [(&two, -1), (&five, 2), (&two, 5)] {
        let (filter, change) = place(event, seq);
        world.trail().update_one(filter, change).await.unwrap();
    }
    let said = world.verify(&[]).await;
    assert_eq!(codes(&said), ["audit_reordered A"]);
    let detail = finding(&said, "audit_reordered")["detail"].to_string();
    assert!(detail.contains("event 5 stands at place 2") && detail.contains("event 2 stands at place 5"), "{detail}");
}

#[tokio::test]
async fn a_forged_chain_does_not_end_as_postgresql_wrote_it() {
    let (world, _worker) = closed().await;
    // The last event under a hash that fits it, as whoever knows the contract would write it.
    let mut last = world.event("A", 8).await;
    last.insert("worker", "nobody");
    let hash = crate::audit::hash(&last);
    let change = doc! {"$set": {"worker": "nobody", "hash": hash}};
    world.trail().update_one(doc! {"entity": "A", "seq": 8}, change).await.unwrap();
    assert_eq!(world.found().await, ["audit_rewritten A"]);
}

#[tokio::test]
async fn rows_changed_behind_our_back_are_found() {
    let (world, _worker) = closed().await;
    load(&world, "C", &ACCOUNTS).await;
    load(&world, "D", &ACCOUNTS).await;
    world.settled().await;
    world.execute("UPDATE gl_accounts SET balance = balance + 1 WHERE entity = 'A' AND account_code = '20'").await;
    world.execute("DELETE FROM gl_accounts WHERE entity = 'B' AND account_code = '30'").await;
    let copy = "INSERT INTO gl_accounts (entity, period, company_code, account_code, balance, job_id, source_line)
                SELECT entity, period, company_code, '99', 0, job_id, 9 FROM gl_accounts
                WHERE entity = 'C' AND account_code = '10'";
    world.execute(copy).await;
    // Two balances whose sum stays: the sum tells nothing, the Parquet file does.
    world.execute("UPDATE gl_accounts SET balance = 100 - balance WHERE entity = 'D' AND account_code IN ('10')").await;
    world.execute("UPDATE gl_accounts SET balance = 101 + balance WHERE entity = 'D' AND account_code IN ('20')").await;
    let said = world.verify(&[]).await;
    assert_eq!(
        codes(&said),
        [
            "rows_changed A",
            "parquet_wrong A",
            "rows_changed B",
            "parquet_wrong B",
            "rows_changed C",
            "parquet_wrong C",
            "parquet_disputed D",
        ]
    );
    let details: Vec<String> = details(&said).into_iter().filter(|detail| detail.contains("Parquet")).collect();
    assert_eq!(
        details,
        [
            "the Parquet file has a sum of 67.25 where the ledger has 68.25, 1 rows that differ in balance",
            "the Parquet file has 4 rows where the ledger has 3, 1 row of accounts that the ledger lacks",
            "the Parquet file has 4 rows where the ledger has 5, 1 account of the ledger missing",
            "the Parquet file has 2 rows that differ in balance",
        ]
    );
    // The way that is named leads back.
    let again = world.write("again.csv", csv("D", "2022-06", &ACCOUNTS));
    world.ends("success", with(job(&again, "D", "2022-06"), json!({"skip_duplicates": false}))).await;
    world.settled().await;
    world.verify(&["--entity", "D"]).await.expect(0);
    // A slice that nobody loaded, and rows of a job that nobody ran.
    world.execute("UPDATE gl_accounts SET job_id = gen_random_uuid() WHERE entity = 'A' AND account_code = '10'").await;
    world.execute("UPDATE gl_accounts SET entity = 'x/y' WHERE entity = 'B'").await;
    let found = world.found().await;
    assert!(found.contains(&"rows_of_no_run A".to_owned()), "{found:?}");
    assert!(found.contains(&"rows_of_no_run x/y".to_owned()), "{found:?}");
}

#[tokio::test]
async fn a_run_that_was_changed_is_found_by_its_receipt_and_by_the_audit_trail() {
    let (world, _worker) = closed().await;
    // Rows and run alike: count and sum agree with each other, and not with the audit trail.
    world.execute("UPDATE gl_accounts SET balance = balance + 1 WHERE entity = 'A' AND account_code = '20'").await;
    world.execute("UPDATE ingestion_runs SET slice_sum = slice_sum + 1 WHERE entity = 'A'").await;
    world.execute("UPDATE ingestion_runs SET inserted = 7 WHERE entity = 'B'").await;
    let said = world.verify(&[]).await;
    assert_eq!(codes(&said), ["run_changed A", "parquet_wrong A", "run_changed B"]);
    assert!(finding(&said, "run_changed")["detail"].as_str().unwrap().contains("slice_sum of the event file_ingested"));
    world.execute("DELETE FROM ingestion_runs WHERE entity = 'B'").await;
    let found = world.found().await;
    assert!(found.contains(&"run_missing B".to_owned()), "{found:?}");
    assert!(found.contains(&"metadata_unknown B".to_owned()), "{found:?}");
}

#[tokio::test]
async fn a_run_without_its_events_is_found() {
    let (world, mut worker) = closed().await;
    worker.kill();
    // Written by hand: a run of which the audit trail knows nothing.
    let run =
        "INSERT INTO ingestion_runs (job_id, file, entity, period, source, exported_at, status, finished_at, body_hash)
               VALUES (gen_random_uuid(), 'x.csv', 'A', '2022-06', 'default', now(), 'skipped', now(), '-')";
    world.execute(run).await;
    assert_eq!(world.found().await, ["events_missing A"]);
}

#[tokio::test]
async fn a_cache_file_that_is_gone_cut_off_or_another_ones_is_found_and_put_back() {
    let (world, _worker) = closed().await;
    for entity in ["C", "D"] {
        load(&world, entity, &[("10", "1"), ("20", "2")]).await;
    }
    world.settled().await;
    let before: Vec<Vec<u8>> = ["A", "B", "C"].map(|entity| fs::read(world.parquet(entity)).unwrap()).into();
    fs::remove_file(world.parquet("A")).unwrap();
    fs::copy(world.parquet("D"), world.parquet("B")).unwrap();
    fs::write(world.parquet("C"), &before[2][..before[2].len() - 20]).unwrap();
    fs::copy(world.parquet("D"), world.parquet("Z")).unwrap();
    let damage = ["parquet_missing A", "parquet_wrong B", "parquet_unreadable C", "parquet_unknown Z"];
    assert_eq!(world.found().await, damage);

    let said = world.verify(&["--repair"]).await;
    assert_eq!(codes(&said), damage, "what was found is told, and the exit code says so, even if it is repaired");
    let repaired: Vec<bool> =
        said.json()["findings"].as_array().unwrap().iter().map(|f| f["repaired"].as_bool().unwrap()).collect();
    assert_eq!(repaired, [true, true, true, false]);
    world.settled().await;
    assert_eq!(world.found().await, ["parquet_unknown Z"]);
    for (entity, before) in ["A", "B", "C"].into_iter().zip(&before) {
        assert_eq!(&fs::read(world.parquet(entity)).unwrap(), before, "{entity} is as it was");
        let repairs = world.repairs(entity).await;
        assert_eq!(repairs.len(), 1);
        assert_eq!((repairs[0].get_str("what").unwrap(), repairs[0].get_str("actor").unwrap()), ("parquet", "tester"));
        world.chain(entity, "2022-06").await;
    }
    fs::remove_file(world.parquet("Z")).unwrap();
    assert_eq!(world.found().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_older_cache_file_and_one_changed_amount_are_found() {
    let (world, _worker) = closed().await;
    let old = fs::read(world.parquet("A")).unwrap();
    load(&world, "A", &[("10", "100.5"), ("20", "-40.25"), ("30", "0"), ("40", "8")]).await;
    world.settled().await;
    // Somebody writes the older file back.
    fs::write(world.parquet("A"), old).unwrap();
    // The same job's file, with one other amount: it is made of a ledger that was changed and changed back.
    world.execute("UPDATE gl_accounts SET balance = 8 WHERE entity = 'B' AND account_code = '40'").await;
    world
        .execute("INSERT INTO cache_tasks SELECT entity, period, job_id, '2000-01-01' FROM slices WHERE entity = 'B'")
        .await;
    world.settled().await;
    world.execute("UPDATE gl_accounts SET balance = 7 WHERE entity = 'B' AND account_code = '40'").await;
    let said = world.verify(&["--repair"]).await;
    assert_eq!(codes(&said), ["parquet_stale A", "parquet_wrong B"]);
    let detail = finding(&said, "parquet_wrong")["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("a sum of 68.25 where the ledger has 67.25")
            && detail.contains("1 rows that differ in balance"),
        "{detail}"
    );
    world.settled().await;
    assert_eq!(world.found().await, Vec::<String>::new());
    assert_eq!(world.cached("B", "2022-06").await.balances(), world.balances("B", "2022-06").await);
}

#[tokio::test]
async fn a_cache_file_may_have_any_order_and_no_account_twice() {
    let (world, _worker) = closed().await;
    load(&world, "C", &[("10", "5"), ("20", "5"), ("30", "5")]).await;
    world.settled().await;
    rewrite(&world.parquet("A"), &[3, 2, 1, 0]);
    rewrite(&world.parquet("B"), &[2, 0, 3, 1]);
    assert_eq!(world.found().await, Vec::<String>::new());

    // Rows and sum are as many and as much as before.
    rewrite(&world.parquet("C"), &[0, 2, 0]);
    let said = world.verify(&["--repair"]).await;
    assert_eq!(codes(&said), ["parquet_wrong C"]);
    let detail = "the Parquet file has 1 row of accounts that earlier rows have, 1 account of the ledger missing";
    assert_eq!(details(&said), [detail]);
    world.settled().await;
    assert_eq!(world.found().await, Vec::<String>::new());
    assert_eq!(world.cached("C", "2022-06").await.balances(), world.balances("C", "2022-06").await);
}

#[tokio::test]
async fn metadata_that_is_gone_or_changed_is_found_and_what_can_be_derived_is_put_back() {
    let (world, _worker) = closed().await;
    let metadata: Collection<Document> = world.mongo.collection("gl_metadata");
    let before = metadata.find_one(doc! {"entity": "A"}).await.unwrap().expect("a document");
    metadata.delete_one(doc! {"entity": "A"}).await.unwrap();
    metadata.update_one(doc! {"entity": "B"}, doc! {"$set": {"ingestion_result.rows": 5}}).await.unwrap();
    let said = world.verify(&["--repair"]).await;
    assert_eq!(codes(&said), ["metadata_missing A", "metadata_changed B"]);
    assert_eq!(finding(&said, "metadata_missing")["repaired"], true);
    assert!(finding(&said, "metadata_missing")["repair"].as_str().unwrap().contains("data profile is lost"));
    assert_eq!(finding(&said, "metadata_changed")["repaired"], false);
    world.settled().await;
    let after = metadata.find_one(doc! {"entity": "A"}).await.unwrap().expect("it is there again");
    for field in ["_id", "entity", "period", "file_fingerprint", "ingestion_result", "created_at"] {
        assert_eq!(after.get(field), before.get(field), "{field}");
    }
    assert_eq!(after.get("data_profile"), Some(&Bson::Null));
    assert_eq!(world.found().await, ["metadata_changed B"], "the chain tells why A has no data profile");
    assert_eq!(world.repairs("A").await[0].get_str("what").unwrap(), "gl_metadata");
    // What was looked into and removed is written anew.
    metadata.delete_one(doc! {"entity": "B"}).await.unwrap();
    world.verify(&["--repair"]).await.expect(1);
    world.settled().await;
    assert_eq!(world.found().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_repair_hides_no_tampering() {
    let (world, _worker) = closed().await;
    world.execute("UPDATE gl_accounts SET balance = balance + 1 WHERE entity = 'A' AND account_code = '20'").await;
    fs::remove_file(world.parquet("A")).unwrap();
    world.trail().delete_one(doc! {"entity": "B", "seq": 3}).await.unwrap();
    let kept: Vec<Document> = world.trail().find(doc! {}).await.unwrap().try_collect().await.unwrap();
    let damage = ["rows_changed A", "parquet_missing A", "audit_removed B"];
    for _ in 0..2 {
        let said = world.verify(&["--repair"]).await;
        assert_eq!(codes(&said), damage);
        for finding in said.json()["findings"].as_array().unwrap() {
            assert_eq!(finding["repaired"], false, "{finding}");
            assert!(finding["repair"].as_str().unwrap().contains("put back"), "{finding}");
        }
    }
    world.settled().await;
    assert!(!world.parquet("A").exists(), "no file is written from a ledger that is in doubt");
    let after: Vec<Document> = world.trail().find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(after, kept);

    // The way that is named leads back: the export is loaded again.
    let again = world.write("again.csv", csv("A", "2022-06", &ACCOUNTS));
    world.ends("success", with(job(&again, "A", "2022-06"), json!({"skip_duplicates": false}))).await;
    world.settled().await;
    assert_eq!(world.found().await, ["audit_removed B"]);
}

#[tokio::test]
async fn a_halted_chain_is_found_and_goes_on_once_its_cause_is_gone() {
    let (world, _worker) = closed().await;
    let mut foreign = world.event("A", 8).await;
    foreign.insert("_id", "A/2022-06/9");
    foreign.insert("seq", 9_i64);
    world.trail().insert_one(&foreign).await.unwrap();
    load(&world, "A", &[("10", "1")]).await;
    let halted = "SELECT count(*) FROM audit_chains WHERE halted_at IS NOT NULL";
    until("the chain halts", SOON, async || (world.one::<i64>(halted, &[]).await == 1).then_some(())).await;
    let said = world.verify(&["--repair", "--entity", "A"]).await;
    assert_eq!(codes(&said), ["audit_added A", "chain_halted A"]);
    assert_eq!(finding(&said, "chain_halted")["repaired"], false);

    world.trail().delete_one(doc! {"_id": "A/2022-06/9"}).await.unwrap();
    let said = world.verify(&["--repair", "--entity", "A"]).await;
    assert_eq!(codes(&said), ["chain_halted A"]);
    assert_eq!(finding(&said, "chain_halted")["repaired"], true);
    world.settled().await;
    assert_eq!(world.found().await, Vec::<String>::new());
    assert_eq!(world.chain("A", "2022-06").await.len(), 17);
    assert_eq!(world.repairs("A").await[0].get_str("what").unwrap(), "audit_chain");
}

#[tokio::test]
async fn what_is_on_its_way_is_no_finding_while_workers_run() {
    let world = World::new().await;
    let _first = world.worker(&[]).await;
    let _second = world.worker(&[]).await;
    let mut jobs = Vec::new();
    for round in 0..40 {
        for entity in ["A", "B", "C", "D", "E"] {
            let accounts = TrialBalance::new(entity, "2022-06", 40, round).text();
            let file = world.write(&format!("{entity}-{round}.csv"), accounts);
            jobs.push(world.send(job(&file, entity, "2022-06")).await);
        }
    }
    let waiting = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
    let mut looks = 0;
    while world.one::<i64>(waiting, &[]).await < jobs.len() as i64 {
        assert_eq!(world.found().await, Vec::<String>::new());
        looks += 1;
    }
    assert!(looks > 1, "the jobs ended before they could be looked at");
    assert_eq!(world.found().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_for_too_long_and_jobs_without_progress_are_found() {
    let (world, mut worker) = closed().await;
    worker.stop().await;
    let waiting = |age: &str| {
        format!(
            "INSERT INTO cache_tasks SELECT entity, period, job_id, now() - interval '{age}' FROM slices;
             INSERT INTO metadata_outbox SELECT job_id, jsonb_build_object('entity', entity, 'period', period),
                 now() - interval '{age}' FROM slices WHERE entity = 'A';
             INSERT INTO audit_outbox (entity, period, event, recorded_at)
                 VALUES ('_system', '-', '{{}}', now() - interval '{age}')"
        )
    };
    world.execute(&waiting("4 minutes")).await;
    assert_eq!(world.found().await, Vec::<String>::new());
    world.execute("TRUNCATE cache_tasks, metadata_outbox, audit_outbox").await;
    world.execute(&waiting("6 minutes")).await;
    let overdue = ["outbox_overdue A", "cache_overdue A", "cache_overdue B", "outbox_overdue _system"];
    assert_eq!(world.found().await, overdue);
    let told = world.producer(&["verify"]).await.expect(1).stdout;
    assert!(told.contains("on the way:") && told.contains("AURA_CACHE_URL"), "{told}");
    let patient = [("AURA_OUTBOX_WARN_SECONDS", "600")];
    let mut command = command("aura-producer", world.path(), &world.settings_with(&patient));
    command.args(["verify", "--json"]);
    assert_eq!(codes(&run(command, SOON).await), Vec::<String>::new());
    world.execute("TRUNCATE cache_tasks, metadata_outbox, audit_outbox").await;

    for (status, age) in [("running", "61 minutes"), ("retrying", "59 minutes"), ("retrying", "2 hours")] {
        let run = format!(
            "INSERT INTO ingestion_runs (job_id, file, entity, period, source, exported_at, status, started_at, body_hash)
             VALUES (gen_random_uuid(), 'x.csv', 'C', '2022-06', 'default', now(), '{status}', now() - interval '{age}', '-')"
        );
        world.execute(&run).await;
    }
    world.execute("UPDATE ingestion_runs SET resting_at = now() - interval '1 minute' WHERE status = 'running'").await;
    assert_eq!(world.found().await, ["run_stalled C"]);
    let said = world.verify(&["--repair"]).await;
    assert_eq!(finding(&said, "run_stalled")["repaired"], false);
    assert!(finding(&said, "run_stalled")["detail"].as_str().unwrap().contains("retrying for 7"));
}

#[tokio::test]
async fn a_full_outbox_is_on_the_way_and_no_finding() {
    let (world, mut worker) = closed().await;
    worker.kill();
    // A worker that cannot reach MongoDB nor write the cache: everything waits in PostgreSQL.
    let nowhere = world.path().join("in").join("no-folder");
    fs::write(&nowhere, "").unwrap();
    let away = [("AURA_MONGODB_URL", "mongodb://127.0.0.1:1/aura"), ("AURA_CACHE_URL", nowhere.to_str().unwrap())];
    let mut cut_off = world.worker(&away).await;
    load(&world, "A", &[("10", "1")]).await;
    load(&world, "C", &[("10", "1")]).await;
    let placed = "SELECT count(*) FROM audit_outbox WHERE seq IS NULL";
    until("events have their places", SOON, async || (world.one::<i64>(placed, &[]).await == 0).then_some(())).await;
    cut_off.kill();
    let report = world.verify(&["--repair"]).await.expect(0).json();
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let on_the_way = &report["on_the_way"];
    assert_eq!((&on_the_way["audit_events"], &on_the_way["metadata"]), (&json!(16), &json!(2)), "{report:#}");
    assert_eq!(on_the_way["parquet_files"], 2);
    // One that does not wait any more, and has not arrived, is missed.
    world.execute("DELETE FROM audit_outbox WHERE entity = 'C' AND seq = 8").await;
    assert_eq!(world.found().await, ["audit_removed C"]);
}

#[tokio::test]
async fn without_one_of_the_stores_verify_says_so_and_exits_3() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let said = world.producer(&["verify", "--mongodb-url", "mongodb://127.0.0.1:1/aura"]).await.expect(3);
    assert!(said.stderr.contains("MongoDB at mongodb://127.0.0.1:1/aura"), "{}", said.stderr);
    assert!(said.stderr.contains("AURA_MONGODB_URL"), "{}", said.stderr);
    let said = world.producer(&["verify", "--postgres-url", "postgres://127.0.0.1:1/aura"]).await.expect(3);
    assert!(said.stderr.contains("PostgreSQL at"), "{}", said.stderr);
    let said = world.producer(&["verify", "--cache-url", "/dev/null"]).await.expect(3);
    assert!(said.stderr.contains("/dev/null cannot be read"), "{}", said.stderr);
    tokio::time::timeout(Duration::from_secs(60), world.producer(&["verify"])).await.expect("in time").expect(0);
}
