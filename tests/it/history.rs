//! What happened to a slice, and what it held at a moment.

use serde_json::{Value, json};

use crate::world::{World, csv, job, with};
use tests::random::Random;

/// The accounts of the slice as they are now, and the time after which they are so.
async fn now(world: &World) -> (String, Value) {
    let rows = world
        .rows(
            "SELECT company_code, account_code, account_name, bs_pl, status, trim_scale(balance)::text AS balance \
             FROM gl_accounts WHERE entity = 'A' ORDER BY 1, 2",
        )
        .await;
    let at: String = world
        .one("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", &[])
        .await;
    (at, rows)
}

async fn as_of(world: &World, at: &str, code: i32) -> Value {
    let arguments = ["history", "--entity", "A", "--period", "2022-06", "--as-of", at, "--json"];
    world.producer(&arguments).await.expect(code).json()["moment"].clone()
}

#[tokio::test]
async fn a_slice_is_rebuilt_as_it_stood_after_each_of_its_jobs() {
    let world = World::new().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("summed.toml"), "repeated_keys = 'sum'\n").unwrap();
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let mut random = Random::new(11);
    let mut moments = vec![now(&world).await];
    for number in 0..14 {
        let mut rows: Vec<(String, String)> = Vec::new();
        for account in 0..9 {
            if random.percent(60) {
                rows.push((format!("{account:02}"), random.one_of(&["1", "2.50", "-7", "0"]).to_owned()));
            }
        }
        rows.push(("99".to_owned(), number.to_string()));
        let rows: Vec<(&str, &str)> = rows.iter().map(|(code, balance)| (code.as_str(), balance.as_str())).collect();
        let mut text = csv("A", "2022-06", &rows);
        if random.percent(30) {
            text = text.replace(",BS,", ",PL,");
        }
        let file = world.write(&format!("{number}.csv"), text);
        let mode = random.one_of(&["upsert", "replace"]);
        // One path compares in the worker, the other in PostgreSQL.
        let source = random.one_of(&["default", "summed"]);
        let message = with(job(&file, "A", "2022-06"), json!({"mode": mode, "source": source}));
        world.ends("success", message).await;
        moments.push(now(&world).await);
        if number == 8 {
            // Every account goes, and another comes.
            let file = world.write("other.csv", csv("A", "2022-06", &[("50", "5")]));
            world.ends("success", with(job(&file, "A", "2022-06"), json!({"mode": "replace"}))).await;
            moments.push(now(&world).await);
        }
    }
    for (at, accounts) in &moments {
        let moment = as_of(&world, at, 0).await;
        assert_eq!(moment["accounts"], *accounts, "at {at}: {moment:#}");
        let check = if accounts == &json!([]) { "nothing_yet" } else { "agrees" };
        assert_eq!(moment["check"], check, "at {at}: {moment:#}");
    }
    world.settled().await;
    let (at, _) = &moments[5];
    assert_eq!(as_of(&world, at, 0).await["check"], "agrees", "once MongoDB has the event");
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn who_changed_an_account_from_what_to_what_by_which_file_and_line_is_one_call() {
    let (world, _worker) = World::with_worker().await;
    let first = world.write("june.csv", csv("A", "2022-06", &[("10", "1"), ("20", "2")]));
    world.ends("success", job(&first, "A", "2022-06")).await;
    let second = world.write("june-corrected.csv", csv("A", "2022-06", &[("10", "1"), ("20", "5"), ("30", "3")]));
    world.ends("success", job(&second, "A", "2022-06")).await;
    let look = ["history", "--entity", "A", "--period", "2022-06", "--account", "20"];
    let report = world.producer(&[&look[..], &["--json"]].concat()).await.expect(0).json();
    let change = &report["changes"][0];
    assert_eq!(
        (&change["old_balance"], &change["new_balance"], &change["movement"]),
        (&json!("2"), &json!("5"), &json!("3"))
    );
    assert_eq!((&change["source_line"], &change["change"]), (&json!(3), &json!("updated")));
    assert!(change["file"].as_str().unwrap().ends_with("june-corrected.csv"));
    assert_eq!((report["changes"].as_array().unwrap().len(), report["jobs"].as_array().unwrap().len()), (1, 2));
    let text = world.producer(&look).await.expect(0).stdout;
    assert!(text.contains("june-corrected.csv:3"), "{text}");
    let unknown = ["history", "--entity", "Z", "--period", "2022-06"];
    assert!(world.producer(&unknown).await.expect(1).stderr.contains("no worker has seen"));
}

#[tokio::test]
async fn a_log_that_was_changed_is_told_of() {
    let (world, _worker) = World::with_worker().await;
    for balance in ["1", "2"] {
        let file = world.write(&format!("{balance}.csv"), csv("A", "2022-06", &[("10", balance), ("20", "2")]));
        world.ends("success", job(&file, "A", "2022-06")).await;
        if balance == "1" {
            let (at, _) = now(&world).await;
            world.execute(&format!("CREATE TABLE moment AS SELECT '{at}'::text AS at")).await;
        }
    }
    let at: String = world.one("SELECT at FROM moment", &[]).await;
    assert_eq!(as_of(&world, &at, 0).await["check"], "agrees");
    world.execute("UPDATE gl_balance_changes SET old_balance = 7").await;
    assert_eq!(as_of(&world, &at, 1).await["check"], "differs");
    let text = world.run_producer(&["history", "--entity", "A", "--period", "2022-06", "--as-of", &at]).await.stdout;
    assert!(text.contains("IT DIFFERS"), "{text}");
}

#[tokio::test]
async fn every_query_of_the_documentation_is_answered_by_the_schema_as_it_is() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let text = std::fs::read_to_string(crate::stack::checkout().join("docs/data.md")).unwrap();
    let queries: Vec<&str> = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(queries.len() >= 8, "{}", queries.len());
    for query in queries {
        let answered = world.postgres.simple_query(query).await;
        assert!(answered.is_ok(), "{query}: {answered:?}");
    }
    // And each table of the schema stands in it.
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename";
    for table in world.rows(tables).await.as_array().unwrap() {
        let name = table["tablename"].as_str().unwrap();
        let is_inner =
            ["refinery_schema_history", "schema_support", "dry_run_guard", "dry_run_nothing", "refused_messages"];
        assert!(is_inner.contains(&name) || text.contains(&format!("`{name}`")), "docs/data.md lacks {name}");
    }
}
