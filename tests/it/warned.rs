//! What a worker loads and warns of, in the receipt.

use serde_json::{Value, json};

use crate::world::{World, job, with};

const OF_THE_JOB: &str = "[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\n\
                          account_code = 'Acct'\naccount_name = 'Acct'\nbs_pl = { value = 'BS' }\n\
                          status = { value = 'Assets' }\n";

#[tokio::test]
async fn a_worker_tells_rows_that_give_way_and_cells_that_hold_rows_and_knows_columns_by_those_on_their_left() {
    let world = World::new().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    let last = format!("repeated_keys = 'last'\n{OF_THE_JOB}balance = 'Amount'\n");
    std::fs::write(sources.join("last.toml"), last).unwrap();
    let left = format!(
        "[text]\nrepeated_headers = 'left'\nheader_contains = [['Saldo', 'Balance']]\n[balance]\ncolumn = 'Saldo'\n\
         indicator = 'S/H (Saldo)'\ndebit_values = ['S']\ncredit_values = ['H']\n{OF_THE_JOB}"
    );
    std::fs::write(sources.join("left.toml"), left).unwrap();
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let asked = |file: &str, period: &str, source: &str| with(job(file, "A", period), json!({"source": source}));
    let warns = |receipt: &Value, told: &str| {
        let warnings = receipt["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains(told)), "{told}: {warnings:#?}");
    };

    let versions = world.write("last.csv", "Acct,Amount\n10,100\n20,-100\n10,60\n10,55\n");
    let loaded = world.ends("success", asked(&versions, "2022-06", "last")).await;
    warns(&loaded, "give way to a later one of the same account: 2; their balances sum to 160");
    assert_eq!(world.slice("A", "2022-06").await, (2, "-45".to_owned()));

    let quoted = world.write("quoted.csv", "Acct,Amount\n10,5\n\"20,7\n30\",-2\n");
    let loaded = world.ends("success", asked(&quoted, "2022-07", "last")).await;
    warns(&loaded, "hold what looks like rows in one cell: 1, the first on line 3");

    let turned = "Acct;Saldo;S/H;EB;S/H\n10;3,50;H;1,00;S\n20;3,50;S;1,00;H\n";
    let turned = world.write("turned.csv", turned);
    world.ends("success", asked(&turned, "2022-08", "left")).await;
    let balances = [("10", "-3.5"), ("20", "3.5")].map(|(code, sum)| (code.to_owned(), sum.to_owned()));
    assert_eq!(world.balances("A", "2022-08").await, balances);
}
