//! What a statement reads does not grow with the ledger: every statement of the programs is explained, and
//! run, in a database that is large enough for PostgreSQL to choose as it does in one of years.

mod plan;
mod statements;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::World;
use plan::Reads;
use statements::{Statement, statements};

const FILL: &str = include_str!("plans/fill.sql");
/// Tables that do not grow with the ledger.
const SMALL: [&str; 6] = [
    "dead_letter_groups",
    "dry_run_guard",
    "dry_run_nothing",
    "period_locks",
    "refinery_schema_history",
    "schema_support",
];
/// Rows that a statement may read unless it is named in [`READS`]: those of a few slices.
const FEW: i64 = 4_000;

/// Statements that read more, and why they may.
const READS: [(&str, i64, &str); 35] = [
    ("worker/src/relay/dead_letters.sql", 600_000, "the letters of fifty causes, up to 10,000 of each"),
    ("producer/src/status/refused.sql", 10_000, "the letters and the jobs of a batch"),
    ("producer/src/now/watch/backlog.sql", 40_000, "what waits, up to 10,000 of each kind"),
    ("producer/src/status/newest_batches.sql", 40_000, "ten thousand jobs of batches, and those batches"),
    ("producer/src/console/jobs/events_waiting.sql", 40_000, "the events of a chain"),
    ("producer/src/console/jobs/of_entity.sql", 10_000, "the newest jobs of each period of an entity"),
    ("producer/src/dead/written/messages.sql", 60_000, "the letters in the queue"),
    ("worker/src/ingest/dry_run/moved.sql", 40_000, "the changes of a slice"),
    ("worker/src/ingest/dry_run/largest.sql", 40_000, "the changes of a slice"),
    ("producer/src/history/waiting.sql", 40_000, "the events of a chain"),
    ("producer/src/history/jobs.sql", 40_000, "the runs of a slice"),
    ("producer/src/history/changes.sql", 100_000, "the changes of a slice, and their runs"),
    ("producer/src/history/as_of.sql", 100_000, "runs, changes and accounts of a slice"),
    ("producer/src/history/totals.sql", 150_000, "runs, changes and accounts of a slice"),
    ("producer/src/dead/written/letters.sql", 10_000, "a page of letters"),
    ("producer/src/verify/letters/open.sql", 10_000, "the letters in the queue"),
    ("producer/src/dead/written/open.sql", 10_000, "the letters in the queue"),
    ("producer/src/dead/written/groups.sql", EVERYTHING, "the letters in the queue"),
    ("producer/src/verify/runs.sql", 40_000, "the runs of a slice"),
    ("producer/src/verify/outbox.sql", 40_000, "the events of a chain"),
    ("producer/src/verify/overdue.sql", 40_000, "the events of a chain"),
    ("producer/src/verify/scope_of_entity.sql", 100_000, "an entity's runs, and events on their way"),
    ("producer/src/verify/on_the_way_of_entity.sql", 200_000, "an entity's runs, and events on their way"),
    ("producer/src/status/batches.sql", 25_000, "the jobs of twenty batches"),
    ("producer/src/verify/scope.sql", EVERYTHING, "verify without an entity"),
    ("producer/src/archive/runs.sql", 40_000, "the runs of a slice"),
    ("producer/src/archive/changes.sql", 40_000, "the changes of a slice"),
    ("producer/src/archive/slices.sql", EVERYTHING, "an archive looks for the slices of a year"),
    ("producer/src/anchor/heads.sql", EVERYTHING, "an anchor has the heads of all chains"),
    ("producer/src/verify/on_the_way.sql", EVERYTHING, "verify without an entity"),
    ("producer/src/verify/pruned.sql", 40_000, "the events of a chain"),
    ("producer/src/prune/slices.sql", EVERYTHING, "the runs that are older than is kept"),
    ("producer/src/prune/old_runs.sql", 150_000, "runs and accounts of a slice, and what is on its way of it"),
    ("producer/src/prune/old_letters.sql", EVERYTHING, "all letters, once a year"),
    ("producer/src/prune/take_letters.sql", EVERYTHING, "all letters, once a year"),
];
const EVERYTHING: i64 = i64::MAX;

/// A letter as it is written down.
const LETTER: &str = r#"'[{"letter_id": "5b1de0e1-3a5b-4c3f-8d0a-0a3f5a5c7f10", "group_id": "g1", "code": "c",
    "attempts": 1, "replays": 0, "body_hash": "h", "properties": {}, "headers": {}, "bad_rows_total": 0, "copies": 1}]'"#;

/// Values where those of [`value`] would not do: by file, and by the number of the parameter.
const VALUES: [(&str, usize, &str); 45] = [
    ("producer/src/status/refused.sql", 1, "md5('batch 100')::uuid"),
    ("producer/src/status/refused.sql", 2, "1000"),
    ("producer/src/status/fates.sql", 2, "md5('batch 100')::uuid"),
    ("producer/src/status/fates.sql", 3, "10001"),
    ("producer/src/status/newest_batches.sql", 1, "10000"),
    ("producer/src/status/newest_batches.sql", 2, "21"),
    ("producer/src/console/jobs/by_status.sql", 1, "ARRAY['running', 'retrying', 'success', 'failed', 'skipped']"),
    ("producer/src/console/jobs/of_batch.sql", 1, "md5('batch 100')::uuid"),
    ("shared/src/stores/dead_letters/groups.sql", 1, r#"'[{"group_id": "g", "code": "c", "text": "t"}]'"#),
    ("shared/src/stores/dead_letters/record.sql", 1, LETTER),
    ("producer/src/dead/operation/begin.sql", 2, "'replay'"),
    ("producer/src/dead/operation/end.sql", 2, "'done'"),
    ("producer/src/dead/operation/want.sql", 2, "'pause'"),
    ("producer/src/dead/taking/take.sql", 2, "'replaying'"),
    ("producer/src/dead/taking/settle.sql", 3, "'replayed'"),
    ("producer/src/dead/written/letters.sql", 11, "1000"),
    ("worker/src/ledger/reload/changes.sql", 15, "ARRAY['updated', 'relabelled', 'deleted']"),
    ("worker/src/relay/audit/waiting.sql", 1, "''"),
    ("worker/src/relay/audit/waiting.sql", 2, "''"),
    ("worker/src/relay/audit/placed.sql", 1, "''"),
    ("worker/src/relay/audit/placed.sql", 2, "''"),
    ("worker/src/run/finish/finish.sql", 3, "'success'"),
    ("worker/src/run/finish/finish.sql", 16, "'1'"),
    ("worker/src/run/finish/finish.sql", 18, "'1'"),
    ("producer/src/status/batches.sql", 1, "ARRAY[md5('batch 100'), md5('batch 102'), md5('batch 104')]::uuid[]"),
    ("producer/src/status/runs.sql", 2, "md5('batch 100')::uuid"),
    ("producer/src/status/runs.sql", 3, "ARRAY['running', 'retrying', 'success', 'failed', 'skipped']"),
    ("producer/src/status/runs.sql", 4, "100"),
    ("producer/src/console/slices/entities.sql", 1, "''"),
    ("producer/src/console/slices/entities.sql", 2, "''"),
    ("producer/src/console/slices/loaded.sql", 2, "'9999-99'"),
    ("producer/src/console/slices/periods.sql", 2, "'9999-99'"),
    ("producer/src/console/slices/cells.sql", 3, "'0'"),
    ("producer/src/console/slices/is_balanced.sql", 1, "'0.01'"),
    ("producer/src/console/slices/is_balanced.sql", 2, "'0'"),
    ("producer/src/console/slices/accounts.sql", 3, "''"),
    ("producer/src/console/slices/accounts.sql", 4, "''"),
    ("producer/src/console/slices/changes.sql", 3, "NULL"),
    ("producer/src/console/slices/changes.sql", 4, "''"),
    ("producer/src/console/slices/changes.sql", 5, "''"),
    ("producer/src/archive/slices.sql", 1, "'2022'"),
    ("producer/src/archive/slices.sql", 2, "NULL"),
    ("producer/src/history/as_of.sql", 5, "''"),
    ("producer/src/history/as_of.sql", 6, "''"),
    ("producer/src/prune/sum.sql", 1, "ARRAY['1.5', '-2']"),
];

#[tokio::test]
async fn no_statement_reads_more_the_larger_the_ledger_is() {
    let world = filled(2_000, 300_000, 100_000).await;
    let growing = growing(&world).await;
    let found = statements();
    for statement in &found.session {
        world.execute(statement).await;
    }
    // Otherwise the sources are not where they are looked for.
    assert!(found.list.len() > 70, "only {} statements were found", found.list.len());

    let mut faults = Vec::new();
    let named = READS.iter().map(|(file, ..)| *file).chain(VALUES.iter().map(|(file, ..)| *file));
    for file in named.filter(|file| !found.list.iter().any(|statement| statement.place == *file)) {
        faults.push(format!("{file} is named here, and not there"));
    }
    for statement in &found.list {
        faults.extend(explain(&world, statement, &growing).await);
    }
    assert!(faults.is_empty(), "{} statements:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn a_reload_finds_its_rows_by_their_place_whatever_postgresql_knows_of_the_table() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    // A ledger that was filled just now, and that PostgreSQL has never looked at.
    let rows = "INSERT INTO gl_accounts (entity, period, company_code, account_code, balance, job_id, source_line) \
                SELECT 'E' || n / 500, '2022-01', 'x', (n % 500)::text, n, gen_random_uuid(), n \
                FROM generate_series(1, 20000) AS n";
    world.execute("ALTER TABLE gl_accounts SET (autovacuum_enabled = false)").await;
    world.execute(rows).await;
    let found = statements();
    for name in ["update.sql", "delete.sql"] {
        let place = format!("worker/src/ledger/reload/{name}");
        let statement = found.list.iter().find(|statement| statement.place == place).expect("the statement");
        world.execute(&format!("PREPARE tried AS {}", statement.sql)).await;
        let types: Vec<String> =
            world.one("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'tried'", &[]).await;
        for mode in ["force_custom_plan", "force_generic_plan"] {
            world.execute(&format!("SET plan_cache_mode = {mode}")).await;
            let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE tried ({})", values(&place, &types));
            let plan: Value = world.one(&explain, &[]).await;
            assert!(plan.to_string().contains("\"Tid Scan\""), "{name}, {mode}: {plan:#}");
        }
        world.execute("DEALLOCATE tried").await;
    }
}

#[tokio::test]
async fn a_bare_status_says_what_it_did_not_count() {
    let world = filled(100, 130_000, 1_000).await;
    let said = world.producer(&["status", "--json"]).await.expect(0).json();
    assert_eq!(said["more_than_counted"], json!(["success"]));
    let (failed, running) = (&said["jobs"]["failed"], &said["jobs"]["running"]);
    assert_eq!((&said["jobs"]["success"], failed, running), (&json!(100_000), &json!(2_600), &json!(20)));
    // Every second thousand of runs is a batch, so that the newest ten thousand are of eleven at most.
    let batches = said["batches"].as_array().unwrap();
    assert_eq!((batches.len(), &said["batches_are_of_newest_jobs"]), (11, &json!(true)));
    assert!(batches[1..10].iter().all(|batch| batch["jobs"] == 1_000), "{batches:#?}");
    let statuses =
        |list: &str| -> Vec<Value> { said[list].as_array().unwrap().iter().map(|run| run["status"].clone()).collect() };
    assert_eq!((statuses("active").len(), statuses("recent").len()), (40, 20));
    let newest: Value = world
        .rows("SELECT job_id FROM ingestion_runs WHERE finished_at IS NOT NULL ORDER BY started_at DESC LIMIT 20")
        .await;
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|run| run["job_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&said["recent"]), ids(&newest));
    let text = world.producer(&["status"]).await.expect(0).stdout;
    assert!(text.contains("more than 100000 success") && text.contains("those of the newest 10000 jobs"), "{text}");
}

/// A world with a ledger of this size.
async fn filled(slices: u32, runs: u32, events: u32) -> World {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    // As sessions of the programs have it.
    world.execute("SET jit = off; SET client_min_messages = warning; SET synchronous_commit = off").await;
    let sizes = format!(
        "SET fill.slices = {slices}; SET fill.accounts = 50; SET fill.runs = {runs}; SET fill.events = {events}; \
         SET fill.changes = {events}"
    );
    world.execute(&sizes).await;
    world.execute(FILL).await;
    world.execute("ANALYZE").await;
    world
}

/// The tables that grow; each of them has been filled.
async fn growing(world: &World) -> BTreeSet<String> {
    let query = "SELECT relname, reltuples::bigint AS rows FROM pg_class \
                 WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace";
    let tables = world.rows(query).await;
    let growing = tables.as_array().expect("a list").iter().filter_map(|table| {
        let name = table["relname"].as_str().expect("a name");
        if SMALL.contains(&name) {
            return None;
        }
        let rows = table["rows"].as_i64().unwrap_or(0);
        assert!(rows >= 2_000, "fill.sql leaves {name} with {rows} rows; if it does not grow, add it to SMALL");
        Some(name.to_owned())
    });
    growing.collect()
}

/// Runs a statement as it is planned for the values that it is given, and as for any; returns what is wrong.
async fn explain(world: &World, statement: &Statement, growing: &BTreeSet<String>) -> Option<String> {
    let Statement { place, sql } = statement;
    let most = READS.iter().find(|(file, ..)| file == place).map_or(FEW, |(_, most, _)| *most);
    if let Err(error) = world.postgres.batch_execute(&format!("PREPARE tried AS {sql}")).await {
        return Some(format!("{place}: cannot be prepared: {error:?}"));
    }
    let types: Vec<String> =
        world.one("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'tried'", &[]).await;
    let values = values(place, &types);
    let execute = if values.is_empty() { "EXECUTE tried".to_owned() } else { format!("EXECUTE tried ({values})") };
    let mut fault = None;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        world.execute(&format!("BEGIN; SET LOCAL plan_cache_mode = {mode}")).await;
        let explain = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {execute}");
        match world.postgres.query_one(&explain, &[]).await {
            Ok(row) => {
                let reads = Reads::of(&row.get::<_, Value>(0), growing);
                let scans = most < EVERYTHING && !reads.scanned.is_empty();
                if (scans || reads.rows > most) && fault.is_none() {
                    fault = Some(format!("{place}: {mode}: {reads:?}, at most {most} may be read"));
                }
            }
            Err(error) => fault = Some(format!("{place}: cannot be run with {values}: {error:?}")),
        }
        world.execute("ROLLBACK").await;
    }
    world.execute("DEALLOCATE tried").await;
    fault
}

/// Values for a statement's parameters: the slice that is loaded all the time, whose chain is halted, and a
/// job of it.
fn values(place: &str, types: &[String]) -> String {
    let mut seen = Vec::new();
    let mut values = Vec::new();
    for (index, kind) in types.iter().enumerate() {
        let given = VALUES.iter().find(|(file, number, _)| *file == place && *number == index + 1);
        let nth = seen.iter().filter(|other| *other == kind).count();
        values.push(given.map_or_else(|| value(kind, nth).to_owned(), |(.., value)| (*value).to_owned()));
        seen.push(kind.clone());
    }
    values.join(", ")
}

fn value(kind: &str, nth: usize) -> &'static str {
    match (kind, nth) {
        ("text", 0) => "'E00000'",
        ("text", 1) => "'2022-01'",
        ("text", _) => "'x'",
        ("uuid", _) => "md5('job 1200')::uuid",
        ("text[]", 0) => "ARRAY['E00000', 'E00003', 'E00004']",
        ("text[]", 1) => "ARRAY['2022-01', '2022-05', '2022-06']",
        ("text[]", _) => "ARRAY['x', 'y', 'z']",
        ("uuid[]", _) => "ARRAY[md5('job 1201'), md5('job 1202'), md5('job 1203')]::uuid[]",
        ("bigint[]", _) => "ARRAY[99001, 99002, 99003]",
        ("numeric[]", _) => "ARRAY[1, 2, 3]",
        ("tid[]", _) => "ARRAY['(0,1)', '(0,2)', '(1,1)']::tid[]",
        ("bytea[]", _) => "ARRAY['\\x00'::bytea]",
        ("jsonb[]", _) => "ARRAY['{}', '{}', '{}']::jsonb[]",
        ("bigint", _) => "500",
        ("integer", _) => "1",
        ("double precision", _) => "1",
        ("boolean", _) => "true",
        ("jsonb", _) => "'{}'",
        ("timestamp with time zone", _) => "now()",
        _ => panic!("give a value for parameters of the type {kind}"),
    }
}
