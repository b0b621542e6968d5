//! Amounts are exact from the file's bytes to every store.

use arrow::datatypes::DataType;
use bson::Bson;
use serde_json::json;

use crate::world::{World, csv, job};

const AMOUNTS: [(&str, &str); 8] = [
    ("10", "0.0000000000000001"),
    ("20", "-0.0000000000000001"),
    ("30", "123456789012345678.1234567890123456"),
    ("40", "-999999999999999999.9999999999999999"),
    ("50", "15883780430.629999993"),
    ("60", "0.1"),
    ("70", "0.2"),
    ("80", "100000000000000000"),
];
/// Their sum, by another language.
const SUM: &str = "-776543195103873890.9465432179876543";

#[tokio::test]
async fn sixteen_decimals_and_eighteen_digits_reach_every_store_exactly() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &AMOUNTS));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    let expected: Vec<_> = AMOUNTS.iter().map(|(code, balance)| ((*code).to_owned(), (*balance).to_owned())).collect();
    assert_eq!(world.balances("A", "2022-06").await, expected);
    assert_eq!(world.slice("A", "2022-06").await.1, SUM);
    assert_eq!(receipt["balance_sum"], SUM);

    let cached = world.cached("A", "2022-06").await;
    for name in ["balance", "balance_carryforward", "debit_period", "credit_period"] {
        assert_eq!(cached.types[name], DataType::Decimal128(38, 16), "{name}");
    }
    assert_eq!(cached.balances(), expected);

    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let metadata = world.metadata(id).await.unwrap();
    let stats = metadata.get_document("data_profile").unwrap().get_document("balance_stats").unwrap();
    for (name, value) in [("sum", SUM), ("min", AMOUNTS[3].1), ("max", AMOUNTS[2].1)] {
        assert!(matches!(stats.get(name), Some(Bson::Decimal128(n)) if n.to_string() == value), "{name}: {stats}");
    }
    let result = metadata.get_document("ingestion_result").unwrap();
    assert!(matches!(result.get("balance_sum"), Some(Bson::Decimal128(n)) if n.to_string() == SUM), "{result}");
    let run = world.job_run(id).await;
    assert_eq!((&run["balance_sum"], &run["slice_sum"]), (&json!(SUM), &json!(SUM)));
}

#[tokio::test]
async fn a_sum_that_no_store_could_hold_fails_the_job() {
    let (world, _worker) = World::with_worker().await;
    let nearly = "999999999999999999.9999999999999999";
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", nearly), ("20", nearly)]));
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["attempt"], 1, "{receipt:#}");
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
}

#[tokio::test]
async fn the_other_amounts_are_exact_too_and_stay_null_where_they_are_blank() {
    let (world, _worker) = World::with_worker().await;
    let text = "entity,period,account_code,account_name,balance,bs_pl,status,balance_carryforward,debit_period,credit_period\n\
                A,2022-06,10,Cash,1,BS,Assets,0.1234567890123456,-0,+7.50\n\
                A,2022-06,20,Bank,2,BS,Assets,,,\n";
    world.ends("success", job(&world.write("a.csv", text), "A", "2022-06")).await;
    let amounts = "SELECT account_code a, balance_carryforward::text c, trim_scale(debit_period)::text d, \
                   trim_scale(credit_period)::text k FROM gl_accounts ORDER BY 1";
    assert_eq!(
        world.rows(amounts).await,
        json!([{"a": "10", "c": "0.1234567890123456", "d": "0", "k": "7.5"}, {"a": "20", "c": null, "d": null, "k": null}])
    );
    let cached = world.cached("A", "2022-06").await;
    assert_eq!(cached.columns["credit_period"], [Some("7.5".to_owned()), None]);
}

#[tokio::test]
async fn the_median_of_an_even_number_of_balances_is_exact() {
    let (world, _worker) = World::with_worker().await;
    let file = world
        .write("a.csv", csv("A", "2022-06", &[("10", "0.1"), ("20", "0.2"), ("30", "-5"), ("40", "7"), ("50", "")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    let metadata = world.metadata(receipt["job_id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    let stats = metadata.get_document("data_profile").unwrap().get_document("balance_stats").unwrap();
    assert!(matches!(stats.get("median"), Some(Bson::Decimal128(n)) if n.to_string() == "0.15"), "{stats}");
}
