//! Bad rows and keys that stand there twice, with `on_error` = `abort`.

use serde_json::{Value, json};
use tests::{
    broken::{Fault, with_fault},
    trial_balance::TrialBalance,
};

use crate::world::{World, csv, job, with};

#[tokio::test]
async fn every_bad_row_is_listed_with_its_line_column_and_reason_and_nothing_loads() {
    let (world, _worker) = World::with_worker().await;
    let text = csv(
        "A",
        "2022-06",
        &[
            ("10", "1"),
            ("20", "12.3x4"),
            ("30", "1e5"),
            ("40", "NaN"),
            ("", "5"),
            ("60", "1234567890123456789"),
            ("70", "0.12345678901234567"),
            ("80", "2"),
        ],
    );
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    let error = &receipt["error"];
    assert_eq!(error["code"], "row_invalid");
    assert_eq!((&error["rows_total"], &receipt["failed"]), (&json!(6), &json!(6)));
    let rows = error["rows"].as_array().unwrap();
    let places: Vec<_> =
        rows.iter().map(|row| (row["line"].as_u64().unwrap(), row["column"].as_str().unwrap())).collect();
    assert_eq!(
        places,
        [(3, "balance"), (4, "balance"), (5, "balance"), (6, "account_code"), (7, "balance"), (8, "balance")]
    );
    assert!(rows.iter().all(|row| !row["reason"].as_str().unwrap().is_empty()));
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    let run = world.job_run(receipt["job_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(run["result"]["error"]["rows"], error["rows"], "the run keeps the list");
}

#[tokio::test]
async fn at_most_a_thousand_bad_rows_are_listed_and_the_total_is_told() {
    let (world, _worker) = World::with_worker().await;
    let codes: Vec<String> = (0..1_200).map(|code| code.to_string()).collect();
    let accounts: Vec<_> = codes.iter().map(|code| (code.as_str(), "none")).collect();
    let receipt =
        world.ends("failed", job(&world.write("a.csv", csv("A", "2022-06", &accounts)), "A", "2022-06")).await;
    assert_eq!(receipt["error"]["rows"].as_array().unwrap().len(), 1_000);
    assert_eq!((&receipt["error"]["rows_total"], &receipt["failed"]), (&json!(1_200), &json!(1_200)));
    let dead = world.broker.dead(1).await;
    assert!(dead[0].header("aura-error-message").len() <= 4_096);
}

#[tokio::test]
async fn a_key_that_stands_there_twice_fails_the_job_with_both_lines_under_quarantine_too() {
    let (world, _worker) = World::with_worker().await;
    let text = csv("A", "2022-06", &[("10", "1"), ("20", "2"), ("30", "3"), ("20", "2"), ("40", "x")]);
    let file = world.write("a.csv", text);
    for on_error in ["abort", "quarantine"] {
        let message = with(job(&file, "A", "2022-06"), json!({"on_error": on_error}));
        let receipt = world.ends("failed", message).await;
        let error = &receipt["error"];
        let expected = if on_error == "abort" { ["duplicate_key", "row_invalid"] } else { ["duplicate_key"; 2] };
        assert!(expected.contains(&error["code"].as_str().unwrap()), "{receipt:#}");
        if error["code"] == "duplicate_key" {
            let told = error.to_string();
            assert!(told.contains('3') && told.contains('5'), "both lines are not named: {told}");
        }
    }
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
}

#[tokio::test]
async fn a_broken_file_of_every_kind_is_refused_and_loads_nothing() {
    let (world, _worker) = World::with_worker().await;
    let good = TrialBalance::new("A", "2022-06", 60, 1).text();
    for (fault, code) in [
        (Fault::BadAmount, "row_invalid"),
        (Fault::DuplicateKey, "duplicate_key"),
        (Fault::MissingColumn, "schema_invalid"),
        (Fault::UnclosedQuote, "csv_malformed"),
        (Fault::BadEncoding, "encoding_invalid"),
        (Fault::OtherSlice, "slice_not_found"),
    ] {
        let file = world.write(&format!("{fault:?}.csv"), with_fault(&good, fault));
        let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
        assert_eq!(receipt["error"]["code"], code, "{fault:?}: {receipt:#}");
        assert!(!receipt["error"]["message"].as_str().unwrap().is_empty());
    }
    let file = world.write("short.csv", with_fault(&good, Fault::ShortRow));
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    let code = receipt["error"]["code"].as_str().unwrap();
    assert!(["row_invalid", "csv_malformed"].contains(&code), "{receipt:#}");
    for (name, text) in
        [("empty.csv", ""), ("header.csv", "entity,period,account_code,account_name,balance,bs_pl,status\n")]
    {
        let receipt = world.ends("failed", job(&world.write(name, text), "A", "2022-06")).await;
        let code = receipt["error"]["code"].as_str().unwrap();
        assert!(["slice_not_found", "schema_invalid", "csv_malformed"].contains(&code), "{name}: {receipt:#}");
    }
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    assert_eq!(world.cache_files(), Vec::<String>::new());
}

#[tokio::test]
async fn an_earlier_load_stands_untouched_when_a_later_file_is_bad() {
    let (world, _worker) = World::with_worker().await;
    let good = world.write("1.csv", csv("A", "2022-06", &[("10", "1"), ("20", "2")]));
    world.ends("success", job(&good, "A", "2022-06")).await;
    let before = world.rows("SELECT *, xmin::text FROM gl_accounts ORDER BY account_code").await;
    let bad = world.write("2.csv", csv("A", "2022-06", &[("10", "9"), ("20", "nine")]));
    world.ends("failed", with(job(&bad, "A", "2022-06"), json!({"mode": "replace"}))).await;
    assert_eq!(world.rows("SELECT *, xmin::text FROM gl_accounts ORDER BY account_code").await, before);
    assert_eq!(world.cached("A", "2022-06").await.balances(), world.balances("A", "2022-06").await);
}

#[tokio::test]
async fn a_cells_value_stands_in_no_log() {
    let (world, worker) = World::with_worker().await;
    let text = csv("A", "2022-06", &[("10", "secret-figure-4711"), ("20", "777123456.25")]);
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_ne!(receipt["error"]["rows"], Value::Null);
    let good = world.write("b.csv", csv("A", "2022-06", &[("20", "777123456.25"), ("30", "1")]));
    world.ends("success", job(&good, "A", "2022-06")).await;
    let log = worker.text();
    assert!(!log.contains("secret-figure-4711") && !log.contains("777123456"), "a cell's value was logged");
    let password = url::Url::parse(world.setting("AURA_POSTGRES_URL")).unwrap();
    if let Some(password) = password.password() {
        assert!(!log.contains(&format!(":{password}@")), "a credential was logged");
    }
}
