//! What a job does to the rows that the slice has.

use std::time::Instant;

use serde_json::{Value, json};
use tests::trial_balance::{Columns, TrialBalance};

use crate::world::{World, csv, job, with};

fn counts(receipt: &Value) -> [u64; 6] {
    ["inserted", "updated", "unchanged", "deleted", "absent", "failed"]
        .map(|name| receipt[name].as_u64().expect("a count"))
}

#[tokio::test]
async fn upsert_inserts_updates_leaves_and_tells_of_accounts_that_the_file_lacks() {
    let (world, _worker) = World::with_worker().await;
    let first = world.write("1.csv", csv("A", "2022-06", &[("10", "1"), ("20", "2"), ("30", "3"), ("40", "4")]));
    assert_eq!(counts(&world.ends("success", job(&first, "A", "2022-06")).await), [4, 0, 0, 0, 0, 0]);
    let second = world.write("2.csv", csv("A", "2022-06", &[("10", "1"), ("20", "2.5"), ("50", "5")]));
    let receipt = world.ends("success", job(&second, "A", "2022-06")).await;
    assert_eq!(counts(&receipt), [1, 1, 1, 0, 2, 0]);
    assert_eq!(receipt["rows"], 3);
    assert_eq!(receipt["balance_sum"], "8.5");
    assert!(!receipt["warnings"].as_array().unwrap().is_empty(), "absent accounts are never silent");
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
    let left = pairs(&[("10", "1"), ("20", "2.5"), ("30", "3"), ("40", "4"), ("50", "5")]);
    assert_eq!(world.balances("A", "2022-06").await, left);
    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let run = world.job_run(id).await;
    assert_eq!((&run["slice_rows"], &run["slice_sum"]), (&json!(5), &json!("15.5")));
    // The cache holds the mapped rows of the job.
    assert_eq!(world.cached("A", "2022-06").await.balances(), pairs(&[("10", "1"), ("20", "2.5"), ("50", "5")]));
}

#[tokio::test]
async fn replace_makes_the_slice_exactly_the_file_in_one_transaction() {
    let (world, _worker) = World::with_worker().await;
    let first = world.write("1.csv", csv("A", "2022-06", &[("10", "1"), ("20", "2"), ("30", "3")]));
    world.ends("success", job(&first, "A", "2022-06")).await;
    let other = world.write("o.csv", csv("A", "2022-07", &[("10", "1")]));
    world.ends("success", job(&other, "A", "2022-07")).await;
    let second = world.write("2.csv", csv("A", "2022-06", &[("20", "2"), ("40", "4")]));
    let receipt = world.ends("success", with(job(&second, "A", "2022-06"), json!({"mode": "replace"}))).await;
    assert_eq!(counts(&receipt), [1, 0, 1, 2, 0, 0]);
    assert_eq!(world.slice("A", "2022-06").await, (2, "6".to_owned()));
    assert_eq!(world.slice("A", "2022-07").await, (1, "1".to_owned()), "another slice is left alone");
    let changes =
        "SELECT account_code, old_balance::text, new_balance::text, change FROM gl_balance_changes ORDER BY 1";
    assert_eq!(
        world.rows(changes).await,
        json!([
          {"account_code": "10", "old_balance": "1", "new_balance": null, "change": "deleted"},
          {"account_code": "30", "old_balance": "3", "new_balance": null, "change": "deleted"},
          {"account_code": "40", "old_balance": null, "new_balance": "4", "change": "inserted"}
        ])
    );
}

#[tokio::test]
async fn every_changed_balance_is_kept_with_the_job_that_changed_it() {
    let (world, _worker) = World::with_worker().await;
    let first = world.write("1.csv", csv("A", "2022-06", &[("10", "1.0"), ("20", "2"), ("30", "")]));
    world.ends("success", job(&first, "A", "2022-06")).await;
    // 1.0 and 1.00 are the same figure; a blank and 0 are, too.
    let second = world.write("2.csv", csv("A", "2022-06", &[("10", "1.00"), ("20", "-2"), ("30", "0")]));
    let receipt = world.ends("success", job(&second, "A", "2022-06")).await;
    assert_eq!(counts(&receipt), [0, 1, 2, 0, 0, 0]);
    let changes = "SELECT account_code, trim_scale(old_balance)::text o, trim_scale(new_balance)::text n, job_id FROM gl_balance_changes";
    let changes = world.rows(changes).await;
    assert_eq!(changes, json!([{"account_code": "20", "o": "2", "n": "-2", "job_id": receipt["job_id"]}]));
}

#[tokio::test]
async fn a_changed_name_or_class_is_kept_as_a_changed_balance_is() {
    let (world, _worker) = World::with_worker().await;
    let text = |rows: &str| format!("account_code,account_name,balance,entity,period,bs_pl,status\n{rows}");
    let rows = "10,Cash,1,A,2022-06,BS,Assets\n20,Bank,2,A,2022-06,BS,Assets\n30,Loan,3,A,2022-06,BS,Assets\n\
                40,Rent,4,A,2022-06,PL,Income\n50,Same,5,A,2022-06,BS,Assets\n60,Gone,6,A,2022-06,BS,Assets\n";
    world.ends("success", job(&world.write("1.csv", text(rows)), "A", "2022-06")).await;
    let rows = "50,Same,5.0,A,2022-06,BS,Assets\n10,Cash at hand,1.00,A,2022-06,BS,Assets\n20,Bank,2,A,2022-06,PL,Assets\n\
                30,Loan,3,A,2022-06,BS,Liabilities\n40,Rents,-4,A,2022-06,PL,Income\n";
    let replace = with(job(&world.write("2.csv", text(rows)), "A", "2022-06"), json!({"mode": "replace"}));
    let receipt = world.ends("success", replace).await;
    assert_eq!(counts(&receipt), [0, 4, 1, 1, 0, 0]);
    let changes = "SELECT concat_ws(' ', account_code, change, 'line', coalesce(source_line::text, '-'), trim_scale(old_balance), \
                   coalesce(trim_scale(new_balance)::text, '-')) AS what, \
                   concat_ws('/', old_name, old_bs_pl, old_status) AS before, concat_ws('/', new_name, new_bs_pl, new_status) AS after, \
                   job_id FROM gl_balance_changes ORDER BY account_code";
    let change = |what: &str, before: &str, after: &str| json!({"what": what, "before": before, "after": after, "job_id": receipt["job_id"]});
    assert_eq!(
        world.rows(changes).await,
        json!([
            change("10 relabelled line 3 1 1", "Cash/BS/Assets", "Cash at hand/BS/Assets"),
            change("20 relabelled line 4 2 2", "Bank/BS/Assets", "Bank/PL/Assets"),
            change("30 relabelled line 5 3 3", "Loan/BS/Assets", "Loan/BS/Liabilities"),
            change("40 updated line 6 4 -4", "Rent/PL/Income", "Rents/PL/Income"),
            change("60 deleted line - 6 -", "Gone/BS/Assets", ""),
        ])
    );
}

#[tokio::test]
async fn a_column_that_the_file_lacks_stays_in_upsert_and_becomes_null_in_replace() {
    let (world, _worker) = World::with_worker().await;
    let sample = TrialBalance::new("A", "2022-06", 3, 1);
    let full = world.sample("full.csv", &sample);
    world.ends("success", job(&full, "A", "2022-06")).await;
    let facts =
        "SELECT count(department) d, count(report_type) r, count(debit_period) p, min(company_code) c FROM gl_accounts";
    let whole = json!([{"d": 3, "r": 3, "p": 3, "c": "A"}]);
    assert_eq!(world.rows(facts).await, whole);
    let narrow = world.sample("narrow.csv", &sample.clone().with(Columns::Required));
    let receipt = world.ends("success", job(&narrow, "A", "2022-06")).await;
    assert_eq!(counts(&receipt), [0, 0, 3, 0, 0, 0], "nothing that the file has differs");
    assert_eq!(world.rows(facts).await, whole);
    let replace = with(job(&narrow, "A", "2022-06"), json!({"mode": "replace"}));
    let receipt = world.ends("success", replace).await;
    assert_eq!(counts(&receipt), [0, 3, 0, 0, 0, 0]);
    assert_eq!(world.rows(facts).await, json!([{"d": 0, "r": 0, "p": 0, "c": "A"}]));
}

#[tokio::test]
async fn what_the_review_workflow_wrote_is_left_alone() {
    let (world, _worker) = World::with_worker().await;
    let sample = TrialBalance::new("A", "2022-06", 4, 1).with(Columns::Review);
    let first = world.sample("1.csv", &sample);
    world.ends("success", job(&first, "A", "2022-06")).await;
    let review = "SELECT DISTINCT criticality, review_status, reviewer_name, sla_deadline FROM gl_accounts";
    assert_eq!(
        world.rows(review).await,
        json!([{"criticality": "high", "review_status": "reviewed", "reviewer_name": "A. Shah", "sla_deadline": "WD+5"}])
    );
    world
        .execute("UPDATE gl_accounts SET review_status = 'signed', reviewer_name = 'B. Rao', criticality = 'low'")
        .await;
    let written = world.rows(review).await;
    // Other figures, the same workflow columns as at first, in both modes.
    let second = world.sample("2.csv", &TrialBalance { seed: 2, ..sample.clone() });
    world.ends("success", job(&second, "A", "2022-06")).await;
    assert_eq!(world.rows(review).await, written);
    let third = world.sample("3.csv", &TrialBalance { seed: 3, ..sample }.with(Columns::Required));
    world.ends("success", with(job(&third, "A", "2022-06"), json!({"mode": "replace"}))).await;
    assert_eq!(world.rows(review).await, written);
}

#[tokio::test]
async fn every_row_leads_back_to_its_file_and_line() {
    let (world, _worker) = World::with_worker().await;
    let text = "entity,period,account_code,account_name,balance,bs_pl,status\n\
                A,2022-06,10,\"two\nlines\",1,BS,Assets\n\
                A,2022-06,20,one,2,BS,Assets\n";
    let first = world.ends("success", job(&world.write("1.csv", text), "A", "2022-06")).await;
    let second = world.write("2.csv", csv("A", "2022-06", &[("30", "3"), ("20", "7")]));
    let second = world.ends("success", job(&second, "A", "2022-06")).await;
    let lineage = "SELECT account_code, job_id, source_line FROM gl_accounts ORDER BY 1";
    let (first, second) = (&first["job_id"], &second["job_id"]);
    assert_eq!(
        world.rows(lineage).await,
        json!([
            {"account_code": "10", "job_id": first, "source_line": 2},
            {"account_code": "20", "job_id": second, "source_line": 3},
            {"account_code": "30", "job_id": second, "source_line": 2},
        ])
    );
    let name = "SELECT account_name FROM gl_accounts WHERE account_code = '10'";
    assert_eq!(world.one::<String>(name, &[]).await, "two\nlines");
}

#[tokio::test]
async fn two_companies_of_one_entity_may_have_the_same_account() {
    let (world, _worker) = World::with_worker().await;
    let text = "entity,period,company_code,account_code,account_name,balance,bs_pl,status\n\
                A,2022-06,0055,10,Cash,1,BS,Assets\nA,2022-06,0056,10,Cash,2,BS,Assets\n";
    let receipt = world.ends("success", job(&world.write("1.csv", text), "A", "2022-06")).await;
    assert_eq!(counts(&receipt), [2, 0, 0, 0, 0, 0]);
    let codes = "SELECT string_agg(company_code || ':' || balance, ' ' ORDER BY company_code) FROM gl_accounts";
    assert_eq!(world.one::<String>(codes, &[]).await, "0055:1 0056:2");
}

#[tokio::test]
async fn a_reload_of_a_large_slice_does_not_grow_with_the_square_of_its_rows() {
    let (world, _worker) = World::with_worker().await;
    let first = world.sample("1.csv", &TrialBalance::new("A", "2022-06", 20_000, 1));
    let began = Instant::now();
    world.ends("success", job(&first, "A", "2022-06")).await;
    let load = began.elapsed();
    let second = world.sample("2.csv", &TrialBalance::new("A", "2022-06", 20_000, 2));
    let began = Instant::now();
    let receipt = world.ends("success", job(&second, "A", "2022-06")).await;
    let reload = began.elapsed();
    assert_eq!(receipt["updated"], 20_000);
    // On an idle machine it takes about as long; a nested loop over the slice takes forty times that.
    assert!(reload < load * 12, "{reload:?} after {load:?}");
}
