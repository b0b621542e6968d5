//! Columns: required, optional, unknown; and what stands in their cells.

use serde_json::json;
use shared::file::columns::{ColumnKind, row_columns};

use crate::world::{World, csv, job};

const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status";

#[tokio::test]
async fn missing_required_columns_fail_the_job_with_all_three_lists() {
    let (world, _worker) = World::with_worker().await;
    let text = "entity,period,account_code,balance,department,Profit Center\nA,2022-06,10,5,R2R,P1\n";
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    let error = &receipt["error"];
    assert_eq!((&error["code"], &error["stage"]), (&json!("schema_invalid"), &json!("validate_schema")));
    assert_eq!(
        error["schema"],
        json!({
          "extra_columns": ["Profit Center"],
          "missing_required": ["account_name", "bs_pl", "status"],
          "present_optional": ["department"]
        })
    );
    for name in ["account_name", "bs_pl", "status"] {
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
    assert!(world.events("A", "2022-06").await.contains(&"schema_validation_failed".to_owned()));
}

#[tokio::test]
async fn unknown_columns_are_reported_and_kept_verbatim() {
    let (world, _worker) = World::with_worker().await;
    let text = format!("{HEADER},Profit Center,note\nA,2022-06,10,Cash,5,BS,Assets, 007 ,\"a \"\"b\"\", c\"\n");
    let receipt = world.ends("success", job(&world.write("a.csv", text), "A", "2022-06")).await;
    let extra = world.rows("SELECT extra FROM gl_accounts").await;
    assert_eq!(extra, json!([{"extra": {"Profit Center": " 007 ", "note": "a \"b\", c"}}]));
    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let told = world.metadata(id).await.unwrap().to_string() + &receipt.to_string();
    assert!(told.contains("Profit Center") && told.contains("note"), "{told}");
    let told = world.chain("A", "2022-06").await.iter().any(|event| event.to_string().contains("Profit Center"));
    assert!(told, "schema_validated does not name the extra columns");
}

#[tokio::test]
async fn a_changed_extra_column_is_a_changed_row() {
    let (world, _worker) = World::with_worker().await;
    let text = |center: &str| format!("{HEADER},center\nA,2022-06,10,Cash,5,BS,Assets,{center}\n");
    world.ends("success", job(&world.write("1.csv", text("P1")), "A", "2022-06")).await;
    let receipt = world.ends("success", job(&world.write("2.csv", text("P2")), "A", "2022-06")).await;
    assert_eq!(receipt["updated"], 1);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM gl_balance_changes", &[]).await, 0, "no balance changed");
}

#[tokio::test]
async fn leading_zeros_of_codes_stay() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("00010", "1"), ("10", "2"), ("0x10", "3"), ("1E5", "4")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let codes: Vec<_> = world.balances("A", "2022-06").await.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["00010", "0x10", "10", "1E5"]);
    let cached = world.cached("A", "2022-06").await;
    assert_eq!(cached.balances().into_iter().map(|(code, _)| code).collect::<Vec<_>>(), codes);
}

#[tokio::test]
async fn a_blank_balance_becomes_nil_and_is_counted() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", ""), ("20", "5"), ("30", "0.001"), ("40", "0")]));
    let receipt = world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!(world.balances("A", "2022-06").await[0], ("10".to_owned(), "0".to_owned()));
    let id = receipt["job_id"].as_str().unwrap().parse().unwrap();
    let metadata = world.metadata(id).await.unwrap();
    let profile = metadata.get_document("data_profile").unwrap();
    let count = |name: &str| crate::audit::whole(profile.get(name).unwrap());
    assert_eq!((count("blank_balances"), count("zero_balance_accounts"), count("row_count")), (1, 2, 4));
    let share = profile.get("zero_balance_percentage").unwrap().to_string();
    assert!(share.contains("50"), "{share}");
}

#[tokio::test]
async fn a_byte_order_mark_crlf_and_quotes_change_nothing() {
    let (world, _worker) = World::with_worker().await;
    let text = "\u{feff}\"entity\",period,account_code,account_name,balance,bs_pl,status\r\n\
                A,\"2022-06\",\"10\",\"Cash, \"\"petty\"\"\",\"5\",BS,Assets\r\n";
    world.ends("success", job(&world.write("a.csv", text), "A", "2022-06")).await;
    let row =
        world.rows("SELECT account_code, account_name, trim_scale(balance)::text b, status FROM gl_accounts").await;
    assert_eq!(row, json!([{"account_code": "10", "account_name": "Cash, \"petty\"", "b": "5", "status": "Assets"}]));
}

#[tokio::test]
async fn text_of_any_script_arrives_as_it_stands() {
    let (world, _worker) = World::with_worker().await;
    let name = "नकद / 現金 / Größe 🧾";
    let text = format!("{HEADER}\nA,2022-06,10,{name},5,BS,Assets\n");
    world.ends("success", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_eq!(world.one::<String>("SELECT account_name FROM gl_accounts", &[]).await, name);
    assert_eq!(world.cached("A", "2022-06").await.columns["account_name"], [Some(name.to_owned())]);
}

#[tokio::test]
async fn a_column_that_stands_there_twice_is_refused() {
    let (world, _worker) = World::with_worker().await;
    let text = format!("{HEADER},balance\nA,2022-06,10,Cash,5,BS,Assets,6\n");
    let receipt = world.ends("failed", job(&world.write("a.csv", text), "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "schema_invalid");
    assert!(receipt["error"]["message"].as_str().unwrap().contains("balance"), "{receipt:#}");
}

#[tokio::test]
async fn the_table_holds_the_columns_of_the_list_and_what_a_job_adds() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let of_job = [("entity", "text"), ("period", "text"), ("job_id", "uuid")];
    let times = [("created_at", "timestamp with time zone"), ("updated_at", "timestamp with time zone")];
    let of_row = row_columns().map(|(name, kind)| match kind {
        ColumnKind::Text => (name, "text"),
        ColumnKind::Amount => (name, "numeric"),
        ColumnKind::Line => (name, "bigint"),
        ColumnKind::Json => (name, "jsonb"),
    });
    let mut expected: Vec<_> = of_row.chain(of_job).chain(times).collect();
    expected.sort_unstable();
    let table = "SELECT column_name::text AS name, data_type::text AS kind FROM information_schema.columns \
                 WHERE table_name = 'gl_accounts' ORDER BY column_name";
    let expected: Vec<_> = expected.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
    assert_eq!(world.rows(table).await, json!(expected));
}
