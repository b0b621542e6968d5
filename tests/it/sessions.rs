//! The sessions that the programs hold in PostgreSQL: how long they live, and what they rely on.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// The sessions of the workers in this world.
trait Sessions {
    async fn backends(&self) -> BTreeSet<i32>;
}

impl Sessions for World {
    async fn backends(&self) -> BTreeSet<i32> {
        let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name LIKE 'aura-worker%'";
        let rows = self.postgres.query(query, &[]).await.expect("the server's sessions");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn a_busy_workers_sessions_end_with_their_temporary_tables() {
    let world = World::new().await;
    let settings = [("AURA_POSTGRES_MAX_LIFE_SECONDS", "2"), ("AURA_CONCURRENCY", "2")];
    let _worker = world.worker(&settings).await;
    let first = world.backends().await;
    assert!(!first.is_empty());
    let now: String = world.one("SELECT pg_current_xact_id()::text", &[]).await;
    // Whether every temporary table holds back less than those of the first sessions did.
    let younger = format!(
        "SELECT coalesce(max(age(relfrozenxid)), 0) < age('{now}'::xid) FROM pg_class \
         WHERE relpersistence = 't' AND relkind = 'r'"
    );
    let mut number = 0;
    until("all sessions are others", SOON * 2, async || {
        number += 1;
        let entity = format!("E{number}");
        let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
        world.ends("success", job(&file, &entity, "2022-06")).await;
        let others = world.backends().await.is_disjoint(&first);
        (others && world.one::<bool>(&younger, &[]).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_that_a_worker_does_not_need_are_given_back() {
    let world = World::new().await;
    let _worker = world.worker(&[("AURA_POSTGRES_IDLE_SECONDS", "1"), ("AURA_CONCURRENCY", "8")]).await;
    let mut jobs = Vec::new();
    for number in 0..40 {
        let entity = format!("E{number}");
        let file = world.write(&format!("{entity}.csv"), csv(&entity, "2022-06", &[("10", "5")]));
        jobs.push(world.send(job(&file, &entity, "2022-06")).await);
    }
    let busy = until("jobs run beside each other", SOON, async || {
        let sessions = world.backends().await.len();
        (sessions > 8).then_some(sessions)
    })
    .await;
    for id in jobs {
        world.broker.receipt(id).await;
    }
    until("idle sessions are gone", SOON, async || (world.backends().await.len() < busy.min(7)).then_some(())).await;
}

#[tokio::test]
async fn what_role_and_database_set_changes_nothing() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    // The sessions of the programs say themselves what holds in them.
    world
        .execute(
            "CREATE TABLE seen (setting text, value text); \
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.seen SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.unnest(ARRAY[ \
             'synchronous_commit', 'transaction_isolation', 'search_path', 'row_security', 'lock_timeout', \
             'idle_session_timeout']) AS name; RETURN NULL; END $$; \
             CREATE TRIGGER see AFTER INSERT ON ingestion_runs FOR EACH ROW EXECUTE FUNCTION see()",
        )
        .await;
    let name = world.name();
    let role: String = world.one("SELECT current_user::text", &[]).await;
    let hostile = [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("statement_timeout", "'1ms'"),
        ("lock_timeout", "'1ms'"),
        ("idle_in_transaction_session_timeout", "'1ms'"),
        ("idle_session_timeout", "'1ms'"),
        ("search_path", "nowhere"),
        ("bytea_output", "escape"),
        ("DateStyle", "'SQL, DMY'"),
        ("IntervalStyle", "sql_standard"),
        ("TimeZone", "'Asia/Kathmandu'"),
        ("extra_float_digits", "-15"),
        ("row_security", "off"),
        ("synchronous_commit", "off"),
        ("exit_on_error", "on"),
        ("standard_conforming_strings", "off"),
        ("transform_null_equals", "on"),
        ("client_encoding", "LATIN1"),
    ];
    for (setting, value) in hostile {
        world.execute(&format!("ALTER DATABASE {name} SET {setting} = {value}")).await;
        world.execute(&format!("ALTER ROLE {role} IN DATABASE {name} SET {setting} = {value}")).await;
    }
    let _worker = world.worker(&[]).await;
    let load = |accounts: &[(&str, &str)], file: &str| world.write(file, csv("1", "2022-06", accounts));
    let first = load(&[("10", "5.0000000000000001"), ("20", "-5")], "first.csv");
    let slice = |file: &str| with(job(file, "1", "2022-06"), json!({"mode": "replace"}));
    world.ends("success", with(slice(&first), json!({"exported_at": "2022-07-01T00:00:00Z"}))).await;
    let second = load(&[("10", "7"), ("30", "1")], "second.csv");
    let receipt = world.ends("success", with(slice(&second), json!({"exported_at": "2022-07-02T00:00:00Z"}))).await;
    assert_eq!((&receipt["inserted"], &receipt["updated"], &receipt["deleted"]), (&json!(1), &json!(1), &json!(1)));
    world.ends("superseded", with(slice(&first), json!({"exported_at": "2022-07-01T12:00:00Z"}))).await;
    let bad = world.write("bad.csv", csv("2", "2022-06", &[("10", "none")]));
    let dead = world.run(job(&bad, "2", "2022-06")).await;
    assert_eq!(dead["error"]["code"], "row_invalid", "{dead:#}");
    world.write("bad.csv", csv("2", "2022-06", &[("10", "3")]));
    let id = dead["job_id"].as_str().expect("a job_id").parse().expect("a UUID");
    world.producer(&["dead", "replay", "--all"]).await.expect(0);
    until("the replay loads", SOON, async || (world.job_run(id).await["status"] == "success").then_some(())).await;
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    world.producer(&["period", "lock", "--period", "2022-06"]).await.expect(0);
    world.producer(&["status"]).await.expect(0);
    assert_eq!(
        world.balances("1", "2022-06").await,
        [("10".to_owned(), "7".to_owned()), ("30".to_owned(), "1".to_owned())]
    );
    let seen = world.rows("SELECT DISTINCT setting, value FROM seen ORDER BY setting, value").await;
    let expected = json!([
        {"setting": "idle_session_timeout", "value": "0"},
        {"setting": "lock_timeout", "value": "10s"},
        {"setting": "row_security", "value": "on"},
        {"setting": "search_path", "value": "public,pg_temp"},
        {"setting": "synchronous_commit", "value": "on"},
        {"setting": "transaction_isolation", "value": "read committed"},
    ]);
    assert_eq!(seen, expected);
}
