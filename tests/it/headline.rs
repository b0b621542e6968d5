//! The reference's headline run: its figures, bit for bit.

use std::time::Duration;

use arrow::datatypes::DataType;
use bson::Bson;

use crate::{
    process::{run, script},
    stack::{checkout, reference_file},
    world::{World, job},
};

const FINGERPRINT: &str = "333692eda6e653126836877677bdf2e113075d6812c78212db31b8a4dbba8033";
const SUM: &str = "15883780430.629999993";

#[tokio::test]
async fn the_headline_run_is_reproduced_in_every_store() {
    let Some(file) = reference_file() else { return };
    let (world, _worker) = World::with_worker().await;
    let file = world.write("trial_balance_cleaned.csv", std::fs::read(file).unwrap());
    let receipt = world.ends("success", job(&file, "ABEX", "2022-06")).await;
    for (name, value) in [("inserted", 501), ("rows", 501), ("updated", 0), ("failed", 0), ("rows_other_slices", 0)] {
        assert_eq!(receipt[name], value, "{name}");
    }
    assert_eq!(receipt["fingerprint"], FINGERPRINT);
    assert_eq!(receipt["balance_sum"], SUM);
    assert_eq!(world.slice("ABEX", "2022-06").await, (501, SUM.to_owned()));

    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let metadata = world.metadata(id).await.expect("gl_metadata has the job");
    assert_eq!(metadata.get_str("file_fingerprint").unwrap(), FINGERPRINT);
    let profile = metadata.get_document("data_profile").unwrap();
    for (name, value) in
        [("row_count", 501), ("column_count", 19), ("blank_balances", 130), ("zero_balance_accounts", 168)]
    {
        assert_eq!(crate::audit::whole(profile.get(name).unwrap()), value, "{name}");
    }
    let stats = profile.get_document("balance_stats").unwrap();
    let exact = |name: &str| match stats.get(name) {
        Some(Bson::Decimal128(number)) => number.to_string(),
        other => panic!("{name} is {other:?}, no Decimal128"),
    };
    assert_eq!(exact("sum"), SUM);
    assert_eq!(
        (exact("median"), exact("min"), exact("max")),
        ("0".to_owned(), "-100231067950.04".to_owned(), "107650014987.03".to_owned())
    );
    for (name, shown) in [("mean", "42813424.34"), ("std", "11329155663.93")] {
        let number: f64 = match stats.get(name) {
            Some(Bson::Double(number)) => *number,
            Some(other) => other.to_string().trim_matches('"').parse().unwrap_or_else(|_| exact(name).parse().unwrap()),
            None => panic!("{name} is missing"),
        };
        assert_eq!(format!("{number:.2}"), shown, "{name}");
    }

    let cached = world.cached("ABEX", "2022-06").await;
    assert_eq!(cached.rows, 501);
    assert_eq!(cached.types["balance"], DataType::Decimal128(38, 16));
    assert_eq!(cached.types["account_code"], DataType::Utf8);
    assert!(cached.compressions.iter().all(|codec| codec == "SNAPPY"), "{:?}", cached.compressions);
    assert!(cached.metadata.values().any(|value| value == FINGERPRINT), "{:?}", cached.metadata);
    assert_eq!(cached.balances(), world.balances("ABEX", "2022-06").await);
}

#[tokio::test]
async fn another_language_publishes_three_fields_and_finds_the_headline_run_in_every_store() {
    let Some(file) = reference_file() else { return };
    let python = std::env::var_os("AURA_TEST_PYTHON")
        .map_or_else(|| checkout().join(".local/python-tests/bin/python"), Into::into);
    assert!(python.exists(), "{} is not there: run 'deploy/test', which makes it", python.display());
    let (world, _worker) = World::with_worker().await;
    let file = world.write("trial_balance_cleaned.csv", std::fs::read(file).unwrap());
    let mut command = script(&python, "other_language/headline.py");
    command.arg(file).envs(world.settings_with(&[]));
    let said = run(command, Duration::from_secs(120)).await.expect(0);
    assert!(said.stdout.ends_with("the headline run is reproduced\n"), "{}", said.stdout);
}
