//! PgBouncer between the programs and PostgreSQL: a session of its own for each connection, or a refusal.

use std::time::Duration;

use serde_json::json;
use tests::pgbouncer::PgBouncer;
use url::Url;

use crate::{
    process::{command, run},
    world::{World, csv, job},
};

/// What 1.18 cannot pass on.
const IGNORED: &str = "options, extra_float_digits";

fn url(world: &World) -> Url {
    world.setting("AURA_POSTGRES_URL").parse().expect("a URL")
}

#[tokio::test]
async fn through_a_pooler_that_leaves_sessions_alone_everything_works_with_auras_settings() {
    let mut world = World::new().await;
    let pooler = PgBouncer::before(&url(&world), "session", IGNORED).await;
    let through = format!("{}?options=-csearch_path%3Dbooks%2Cpublic", pooler.through(&url(&world)));
    world.lay_over(&[("AURA_POSTGRES_URL", &through)]);
    // What the database sets, the programs must set otherwise.
    let name = world.name();
    let hostile = format!(
        "CREATE SCHEMA books; ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'; \
         ALTER DATABASE {name} SET statement_timeout = '100ms'; ALTER DATABASE {name} SET search_path = nowhere; \
         ALTER DATABASE {name} SET default_transaction_read_only = on"
    );
    world.execute(&hostile).await;
    world.producer(&["migrate"]).await.expect(0);
    let found: Option<String> = world.one("SELECT to_regclass('books.ingestion_runs')::text", &[]).await;
    assert_eq!(found.as_deref(), Some("books.ingestion_runs"), "the URL's own options were lost");
    let worker = world.worker(&[]).await;
    for entity in ["A", "B", "C"] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
        world.ends("success", job(&file, entity, "2022-06")).await;
    }
    // A copy takes longer than the database would let a statement take.
    let codes: Vec<String> = (0..40_000).map(|number| format!("{number:06}")).collect();
    let rows: Vec<(&str, &str)> = codes.iter().map(|code| (code.as_str(), "1.25")).collect();
    let file = world.write("D.csv", csv("D", "2022-06", &rows));
    let receipt = world.ends("success", job(&file, "D", "2022-06")).await;
    assert_eq!((&receipt["attempt"], &receipt["inserted"]), (&json!(1), &json!(40_000)), "{receipt:#}");
    world.producer(&["verify"]).await.expect(0);
    drop(worker);
}

#[tokio::test]
async fn a_pooler_that_shares_sessions_is_refused_at_start_with_what_to_do() {
    let world = World::new().await;
    for (mode, ignored, told) in [
        ("transaction", IGNORED, "the sessions of PostgreSQL are shared"),
        ("session", "extra_float_digits", "unsupported startup parameter"),
    ] {
        let pooler = PgBouncer::before(&url(&world), mode, ignored).await;
        let through = pooler.through(&url(&world));
        let settings = world.settings_with(&[("AURA_POSTGRES_URL", &through)]);
        let worker = run(command("aura-worker", world.path(), &settings), Duration::from_secs(30)).await;
        let mut migrate = command("aura-producer", world.path(), &settings);
        migrate.arg("migrate");
        for said in [worker.expect(2), run(migrate, Duration::from_secs(30)).await.expect(3)] {
            let text = &said.stderr;
            assert!(text.contains(told) && text.contains("pool_mode = session"), "{mode}: {text}");
        }
    }
}
