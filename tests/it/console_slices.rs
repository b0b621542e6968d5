//! A close in the browser: how each slice stands, and all that is known of one, down to file and line.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{
    console::Console,
    object_server::{KEY, KEY_ID, ObjectServer},
};

use crate::{
    cache::Cached,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// How a slice stands in the table, and its title.
async fn cell(console: &Console, entity: &str, period: &str) -> Value {
    cell_of(console, "/slices", entity, period).await
}

#[tokio::test]
async fn each_slice_of_a_close_stands_there_in_a_word_and_a_colour() {
    let (world, _worker) = World::with_worker().await;
    for (entity, period) in [("A", "2022-06"), ("B", "2022-06"), ("C", "2022-06"), ("D", "2022-05"), ("E", "2022-06")] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, period, &[("10", "5.25"), ("20", "-5.25")]));
        world.ends("success", job(&file, entity, period)).await;
    }
    let crooked = world.write("C2.csv", csv("C", "2022-06", &[("10", "5.26"), ("20", "-5.25")]));
    world.ends("success", job(&crooked, "C", "2022-06")).await;
    let bad = world.write("B2.csv", csv("B", "2022-06", &[("10", "x")]));
    world.ends("failed", job(&bad, "B", "2022-06")).await;
    let lock = ["period", "lock", "--period", "2022-06", "--entity", "E", "--reason", "reported"];
    world.producer(&lock).await.expect(0);
    world.producer(&["period", "lock", "--period", "2022-05", "--reason", "reported"]).await.expect(0);
    let console = world.console(&[]).await;
    for (entity, period, state) in [
        ("A", "2022-06", "loaded"),
        ("B", "2022-06", "failed"),
        ("C", "2022-06", "out_of_balance"),
        ("D", "2022-06", "late"),
        ("E", "2022-06", "locked"),
        ("D", "2022-05", "locked"),
        ("A", "2022-05", "locked_empty"),
    ] {
        let cell = cell(&console, entity, period).await;
        assert_eq!(cell["state"], state, "{entity} {period}: {cell:#}");
    }
    assert_eq!(cell(&console, "C", "2022-06").await["sum"], "0.01");
    let page = console.page("/slices").await.expect(200).text;
    for (place, mark) in [
        ("A/2022-06", ("good", "ok")),
        ("B/2022-06", ("bad", "failed")),
        ("C/2022-06", ("bad", "out")),
        ("D/2022-06", ("busy", "late")),
        ("E/2022-06", ("good", "locked")),
    ] {
        let link = page.split("<a ").find(|link| link.contains(&format!("\"/slices/{place}\""))).expect(place);
        assert!(link.contains(&format!("mark {}", mark.0)) && link.contains(&format!(">{}</a>", mark.1)), "{link}");
    }
    assert!(page.contains("row_invalid"), "the title says why");

    // What has been mended is no failure any more.
    let good = world.write("B3.csv", csv("B", "2022-06", &[("10", "0")]));
    world.ends("success", with(job(&good, "B", "2022-06"), json!({"mode": "replace"}))).await;
    assert_eq!(cell(&console, "B", "2022-06").await["state"], "loaded");
    world.execute("UPDATE ingestion_runs SET status = 'running', finished_at = NULL WHERE entity = 'A'").await;
    assert_eq!(cell(&console, "A", "2022-06").await["state"], "running");

    let tolerant = world.console(&[("AURA_NIL_TOLERANCE", "0.01")]).await;
    assert_eq!(cell(&tolerant, "C", "2022-06").await["state"], "loaded");
    let few = console.json("/slices?entity=b&until=2022-05", None).await.expect(200).json();
    assert_eq!(few["entities"].as_array().unwrap().len(), 1);
    assert_eq!(few["periods"][0]["period"], "2022-05");
    console.page("/slices?until=soon").await.expect(400);
    console.page("/slices?after=%27").await.expect(400);
}

#[tokio::test]
async fn every_entity_of_a_close_is_on_one_page_of_it() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    world
        .execute(
            "INSERT INTO slices (entity, period, job_id, newest_at, newest_fingerprint)
             SELECT 'E' || lpad(n::text, 3, '0'), '2022-' || lpad((n % 12 + 1)::text, 2, '0'), gen_random_uuid(), now(), 'f'
             FROM generate_series(1, 230) AS n;
             INSERT INTO ingestion_runs (job_id, file, entity, period, source, exported_at, status, body_hash, finished_at)
             SELECT gen_random_uuid(), '/in/x.csv', 'F' || n, '2023-01', 'default', now(), 'failed', 'b', now()
             FROM generate_series(1, 5) AS n",
        )
        .await;
    let console = world.console(&[]).await;
    let (mut seen, mut place) = (Vec::new(), "/slices".to_owned());
    loop {
        let close = console.json(&place, None).await.expect(200).json();
        let lines = close["entities"].as_array().unwrap();
        seen.extend(lines.iter().map(|line| line["entity"].as_str().unwrap().to_owned()));
        assert!(lines.iter().all(|line| line["slices"].as_array().unwrap().len() == 12), "{close:#}");
        let Some(next) = close["next"].as_str() else { break };
        place = format!("/slices?after={next}");
    }
    let once: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), once.len()), (235, 235));
    assert_eq!(cell_of(&console, "/slices?entity=F", "F1", "2023-01").await["state"], "failed");
}

async fn cell_of(console: &Console, place: &str, entity: &str, period: &str) -> Value {
    let close = console.json(place, None).await.expect(200).json();
    let line = close["entities"]
        .as_array()
        .expect("it is there")
        .iter()
        .find(|line| line["entity"] == entity)
        .expect("it is there")
        .clone();
    line["slices"]
        .as_array()
        .expect("it is there")
        .iter()
        .find(|slice| slice["period"] == period)
        .expect("it is there")
        .clone()
}

#[tokio::test]
async fn a_slice_tells_what_it_holds_and_where_each_account_and_change_comes_from() {
    let (world, _worker) = World::with_worker().await;
    let first = world.write("june.csv", csv("A", "2022-06", &[("10", "1"), ("20", "-1")]));
    world.ends("success", job(&first, "A", "2022-06")).await;
    let moment: String = world
        .one("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", &[])
        .await;
    let second = world.write("corrected.csv", csv("A", "2022-06", &[("10", "1"), ("20", "-5"), ("30", "4.10")]));
    let loaded = world.ends("success", job(&second, "A", "2022-06")).await;
    world.settled().await;
    let console = world.console(&[]).await;
    let one = console.json("/slices/A/2022-06", None).await.expect(200).json();
    let figures = &one["figures"];
    assert_eq!(figures["loaded"]["job_id"], loaded["job_id"]);
    assert_eq!((&figures["counted"]["rows"], &figures["counted"]["sum"]), (&json!(3), &json!("0.1")));
    assert_eq!((&figures["loaded"]["rows"], &figures["loaded"]["sum"]), (&json!(3), &json!("0.1")));
    assert_eq!((&figures["agrees"], &figures["is_balanced"]), (&json!(true), &json!(false)));
    let accounts: Vec<Value> = one["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| {
            let name = account["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            json!([account["account_code"], account["balance"], name, account["source_line"]])
        })
        .collect();
    let unchanged = &accounts[0];
    assert_eq!((&unchanged[0], &unchanged[1]), (&json!("10"), &json!("1")));
    assert_eq!(accounts[1..], [json!(["20", "-5", "corrected.csv", 3]), json!(["30", "4.1", "corrected.csv", 4])]);
    let changes = one["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{changes:#?}");
    assert_eq!((&changes[0]["movement"], &changes[0]["source_line"]), (&json!("-4"), &json!(3)));
    let of_one = console.json("/slices/A/2022-06?account=30", None).await.expect(200).json();
    assert_eq!(of_one["changes"].as_array().unwrap().len(), 1);
    let page = console.page("/slices/A/2022-06").await.expect(200).text;
    assert!(page.contains("corrected.csv:3") && page.contains("out of balance"), "{page}");

    let then = console.json(&format!("/slices/A/2022-06?as_of={moment}"), None).await.expect(200).json();
    assert_eq!(then["moment"]["check"], "agrees", "{then:#}");
    let balances: Vec<&Value> =
        then["accounts"].as_array().unwrap().iter().map(|account| &account["balance"]).collect();
    assert_eq!(balances, ["1", "-1"]);
    let page = console.page(&format!("/slices/A/2022-06?as_of={moment}")).await.expect(200).text;
    assert!(page.contains("run and audit trail say the same"), "{page}");

    let verified = console.json("/slices/A/2022-06/verify", None).await.expect(200).json();
    assert_eq!((&verified["findings"], &verified["audit_chain_is_whole"]), (&json!([]), &json!(true)), "{verified:#}");
    assert_eq!(verified["checked"]["rows"], 3);
    let page = console.page("/slices/A/2022-06/verify").await.expect(200).text;
    assert!(page.contains("The audit chain is verified") && page.contains("the three stores agree"), "{page}");
    world.execute("UPDATE gl_accounts SET balance = 7 WHERE account_code = '10'").await;
    let page = console.page("/slices/A/2022-06").await.expect(200).text;
    assert!(page.contains("does not hold what the newest job left"), "{page}");
    let page = console.page("/slices/A/2022-06/verify").await.expect(200).text;
    assert!(page.contains("rows_changed") && page.contains("What to do"), "{page}");

    // A period that nobody has sent yet is a page, an entity that nobody knows is none.
    let empty = console.page("/slices/A/2022-07").await.expect(200).text;
    assert!(empty.contains("No job has loaded it"), "{empty}");
    for unknown in [
        "/slices/Z/2022-06",
        "/slices/a/2022-06",
        "/slices/A/June",
        "/slices/Z/2022-06/verify",
        "/slices/Z/2022-06/accounts.csv",
        "/slices/Z/2022-06/changes.csv",
        "/slices/A/2022-07/accounts.parquet",
    ] {
        console.page(unknown).await.expect(404);
        assert!(console.json(unknown, None).await.expect(404).json()["error"]["message"].is_string());
    }
    console.page("/slices/A/2022-06?as_of=yesterday").await.expect(400);
}

#[tokio::test]
async fn a_slice_is_paged_through_and_downloaded_whole_and_once() {
    let (world, _worker) = World::with_worker().await;
    for round in 0..2 {
        let rows: Vec<(String, String)> =
            (0..333).map(|n| (format!("{n:04}"), format!("{}.{round}5", n - 7))).collect();
        let rows: Vec<(&str, &str)> = rows.iter().map(|(code, balance)| (code.as_str(), balance.as_str())).collect();
        let file = world.write(&format!("{round}.csv"), csv("A", "2022-06", &rows));
        world.ends("success", job(&file, "A", "2022-06")).await;
    }
    world.settled().await;
    let console = world.console(&[]).await;
    for (list, next) in [("accounts", "next_accounts"), ("changes", "next_changes")] {
        let (mut seen, mut place) = (Vec::new(), "/slices/A/2022-06".to_owned());
        loop {
            let one = console.json(&place, None).await.expect(200).json();
            let codes =
                one[list].as_array().unwrap().iter().map(|row| row["account_code"].as_str().unwrap().to_owned());
            seen.extend(codes);
            let Some(next) = one[next].as_str() else { break };
            place = next.to_owned();
        }
        let expected: Vec<String> = (0..333).map(|n| format!("{n:04}")).collect();
        assert_eq!(seen, expected, "{list}");
    }
    let file = console.page("/slices/A/2022-06/accounts.csv").await.expect(200);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"A_2022-06_accounts.csv\"");
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let balances: Vec<(String, String)> = file
        .text
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| (cells[3].trim_matches('"').to_owned(), cells[5].trim_matches('"').to_owned()))
        .collect();
    assert_eq!(balances, world.balances("A", "2022-06").await);
    let changes = console.page("/slices/A/2022-06/changes.csv").await.expect(200);
    assert_eq!(changes.text.split("\r\n").filter(|line| !line.is_empty()).count(), 334);
    let file = console.page("/slices/A/2022-06/accounts.parquet").await.expect(200);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"A_2022-06_accounts.parquet\"");
    let lies_there = std::fs::read(world.path().join("cache/A_2022-06_ingested.parquet")).unwrap();
    assert_eq!(file.header("content-length"), lies_there.len().to_string());
}

#[tokio::test]
async fn what_a_file_calls_its_accounts_does_no_harm() {
    let (world, _worker) = World::with_worker().await;
    let names =
        ["<script>alert(1)</script>", "=HYPERLINK(\"\"http://x\"\")", "+1", "-1", "@SUM(A1)", "\u{202e}abc", "a, b"];
    let line = |(number, name): (usize, &&str)| format!("A,2022-06,1{number},\"{name}\",-{number}.50,BS,Assets\n");
    let lines: String = names.iter().enumerate().map(line).collect();
    let header = "entity,period,account_code,account_name,balance,bs_pl,status\n";
    let file = world.write("<b>=june.csv", format!("{header}{lines}"));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let console = world.console(&[]).await;
    world.execute("UPDATE gl_accounts SET account_name = E'\\x1b[31mred' WHERE account_code = '16'").await;
    let page = console.page("/slices/A/2022-06").await.expect(200).text;
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"), "{page}");
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}') && !page.contains("<b>="), "{page}");
    let text = console.page("/slices/A/2022-06/accounts.csv").await.expect(200).text;
    let line = |code: &str| text.split("\r\n").find(|line| line.contains(&format!(",\"{code}\","))).unwrap().to_owned();
    assert!(line("11").contains(",\"'=HYPERLINK(\"\"http://x\"\")\",\"-1.5\",\"BS\","), "{text}");
    // Whoever looks at the file in a terminal sees what stands there, and no more.
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    for (code, name) in [("12", "'+1"), ("13", "'-1"), ("14", "'@SUM(A1)")] {
        let number = code[1..].to_owned();
        assert!(line(code).contains(&format!(",\"{name}\",\"-{number}.5\",")), "{text}");
    }
}

#[tokio::test]
async fn a_parquet_file_is_handed_out_from_an_object_store_as_from_a_folder() {
    let mut world = World::new().await;
    let server = ObjectServer::start("books").await;
    world.lay_over(&[
        ("AURA_CACHE_URL", "s3://books/cache"),
        ("AURA_S3_ENDPOINT", server.url.as_str()),
        ("AURA_S3_ACCESS_KEY_ID", KEY_ID),
        ("AURA_S3_SECRET_ACCESS_KEY", KEY),
    ]);
    let _worker = world.worker(&[]).await;
    let file = world.write("june.csv", csv("A", "2022-06", &[("10", "1"), ("20", "-1")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    let console = world.console(&[]).await;
    let url = format!("{}/slices/A/2022-06/accounts.parquet", console.url());
    let bytes = until("the file is written", SOON, async || {
        let answer = tests::http::client().get(&url).send().await.ok()?;
        if answer.status() != 200 { None } else { answer.bytes().await.ok() }
    })
    .await;
    let balances = Cached::read(bytes).balances();
    assert_eq!(balances, [("10".to_owned(), "1".to_owned()), ("20".to_owned(), "-1".to_owned())]);
    let missing = console.page("/slices/A/2022-07/accounts.parquet").await.expect(404).text;
    assert!(missing.contains("has no Parquet file"), "{missing}");
}
