//! `on_error` = `quarantine`: good rows load, bad ones are put aside.

use serde_json::json;

use crate::world::{World, csv, job, with};

#[tokio::test]
async fn good_rows_load_and_bad_ones_are_put_aside_with_the_text_of_their_lines() {
    let (world, _worker) = World::with_worker().await;
    let text = "entity,period,account_code,account_name,balance,bs_pl,status\n\
                A,2022-06,10,Cash,1,BS,Assets\n\
                A,2022-06,20,\"Bank, \"\"current\"\"\",12.3x4,BS,Assets\n\
                A,2022-06,,No code,3,BS,Assets\n\
                A,2022-06,40,Stock,4,BS,Assets\n";
    let message = with(job(&world.write("a.csv", text), "A", "2022-06"), json!({"on_error": "quarantine"}));
    let receipt = world.ends("success", message).await;
    assert_eq!((&receipt["inserted"], &receipt["failed"], &receipt["rows"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!(receipt["balance_sum"], "5");
    assert!(!receipt["warnings"].as_array().unwrap().is_empty(), "rejected rows are never silent");
    let rejected =
        "SELECT entity, period, source_line, column_name, line_text FROM gl_rejected_rows ORDER BY source_line";
    assert_eq!(
        world.rows(rejected).await,
        json!([
          {
            "entity": "A",
            "period": "2022-06",
            "source_line": 3,
            "column_name": "balance",
            "line_text": "A,2022-06,20,\"Bank, \"\"current\"\"\",12.3x4,BS,Assets"
          },
          {
            "entity": "A",
            "period": "2022-06",
            "source_line": 4,
            "column_name": "account_code",
            "line_text": "A,2022-06,,No code,3,BS,Assets"
          }
        ])
    );
    assert_eq!(world.cached("A", "2022-06").await.rows, 2);
}

#[tokio::test]
async fn past_the_limit_of_bad_rows_the_job_fails() {
    let world = World::new().await;
    let _worker = world.worker(&[("AURA_MAX_REJECTED_ROWS", "2")]).await;
    let quarantined = |file: &str| with(job(file, "A", "2022-06"), json!({"on_error": "quarantine"}));
    let two = world.write("2.csv", csv("A", "2022-06", &[("10", "1"), ("20", "x"), ("30", "y")]));
    world.ends("success", quarantined(&two)).await;
    let three = world.write("3.csv", csv("A", "2022-06", &[("10", "2"), ("20", "x"), ("30", "y"), ("40", "z")]));
    let receipt = world.ends("failed", quarantined(&three)).await;
    assert_eq!((&receipt["error"]["code"], &receipt["failed"]), (&json!("row_invalid"), &json!(3)));
    assert_eq!(world.balances("A", "2022-06").await, [("10".to_owned(), "1".to_owned())]);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_rejected_rows", &[]).await, 2);
}

#[tokio::test]
async fn a_file_with_bad_rows_alone_loads_nothing() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "x"), ("20", "y")]));
    let receipt = world.run(with(job(&file, "A", "2022-06"), json!({"on_error": "quarantine"}))).await;
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    assert_eq!(receipt["failed"], 2, "{receipt:#}");
}
