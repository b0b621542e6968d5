//! The schema: which versions this program works with, and how it is brought up to date.

use std::collections::BTreeMap;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::{Client, error::SqlState};

use super::{
    error::{PostgresError, SchemaError},
    pooler, session,
    versions::{OLDEST_SCHEMA, embedded, newest},
};
use crate::{stores::locks, telemetry::chain};

/// What holds while migrations run, on a connection that is closed after them.
const LIMITS: &str = "SET lock_timeout = '60s'; SET statement_timeout = '1h'; \
                      SET idle_in_transaction_session_timeout = 0";
const ELSEWHERE: &str = include_str!("schema_elsewhere.sql");

/// What was found, or done.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The migrations that were applied now.
    pub applied: Vec<String>,
    /// What the operator should know, although the program can work.
    pub warning: Option<String>,
}

enum State {
    /// Everything that this program knows has been applied, and perhaps more.
    Current(Migrated),
    /// Something is missing, above what is there.
    Behind(i32),
}

/// Brings the schema up to date, one process at a time. Where it is up to date already, nothing is
/// written and no right but to read is needed.
///
/// # Errors
/// If PostgreSQL fails, or holds a schema that this program cannot work with.
pub async fn migrate(pool: &Pool) -> Result<Migrated, PostgresError> {
    pooler::check(pool).await?;
    let connection = pool.get().await?;
    let found = match assess(&connection).await? {
        State::Current(migrated) => return Ok(migrated),
        State::Behind(found) => found,
    };
    // It is not given back to the pool: it ends with its limits and the lock, however this ends.
    let mut connection = Object::take(connection);
    match apply(&mut connection).await {
        Err(error) if is_forbidden(&error) => Err(SchemaError::Forbidden { found, source: Box::new(error) }.into()),
        outcome => outcome,
    }
}

/// Brings the schema up to date, or goes on with an older one where the role may not and this program
/// works with that, too.
///
/// # Errors
/// If PostgreSQL fails, or holds a schema that this program cannot work with.
pub async fn migrate_if_allowed(pool: &Pool) -> Result<Migrated, PostgresError> {
    match migrate(pool).await {
        Err(PostgresError::Schema(error @ SchemaError::Forbidden { found, .. })) if found >= OLDEST_SCHEMA => {
            Ok(Migrated { applied: Vec::new(), warning: Some(chain(&error)) })
        }
        outcome => outcome,
    }
}

/// Makes sure, without changing anything, that this program can work with the schema.
///
/// # Errors
/// If it cannot, or PostgreSQL fails.
pub async fn check_schema(pool: &Pool) -> Result<(), PostgresError> {
    pooler::check(pool).await?;
    let connection = pool.get().await?;
    match assess(&connection).await? {
        State::Behind(found) if found < OLDEST_SCHEMA => Err(SchemaError::TooOld { found }.into()),
        State::Current(_) | State::Behind(_) => Ok(()),
    }
}

async fn apply(client: &mut Client) -> Result<Migrated, PostgresError> {
    let lock = PostgresError::in_("lock the schema");
    client.batch_execute(LIMITS).await.map_err(lock)?;
    let lock = PostgresError::in_("lock the schema");
    client.execute("SELECT pg_advisory_lock($1)", &[&locks::MIGRATION]).await.map_err(lock)?;
    // Another process may have done it meanwhile, one of a newer release, too.
    if let State::Current(migrated) = assess(client).await? {
        return Ok(migrated);
    }
    let report = embedded::migrations::runner().set_grouped(false).run_async(client).await;
    let report = report.map_err(PostgresError::Migrate)?;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(Migrated { applied, warning: None })
}

async fn assess(client: &Client) -> Result<State, PostgresError> {
    let Some(applied) = history(client).await? else {
        elsewhere(client).await?;
        return Ok(State::Behind(0));
    };
    let known = embedded::migrations::runner().get_migrations().clone();
    let found = applied.keys().copied().max().unwrap_or(0);
    let mut missing = Vec::new();
    for migration in &known {
        match applied.get(&migration.version()) {
            Some((_, checksum)) if *checksum == migration.checksum().to_string() => {}
            Some((name, _)) => {
                let version = migration.version();
                let what = format!("V{version}__{name} is not the {migration} of this program");
                return Err(SchemaError::Divergent(what).into());
            }
            None => missing.push(migration),
        }
    }
    let unknown = applied.iter().find(|(version, _)| known.iter().all(|migration| migration.version() != **version));
    if let Some((version, (name, _))) = unknown.filter(|(version, _)| **version < newest()) {
        return Err(SchemaError::Divergent(format!("this program does not know V{version}__{name}")).into());
    }
    if let Some(passed_over) = missing.iter().find(|migration| migration.version() < found) {
        let what = format!("{passed_over} was not applied, but later ones were");
        return Err(SchemaError::Divergent(what).into());
    }
    if !missing.is_empty() {
        return Ok(State::Behind(found));
    }
    let Some((version, (name, _))) = unknown else { return Ok(State::Current(Migrated::default())) };
    let needed = oldest_program(client).await?;
    if needed > newest() {
        return Err(SchemaError::TooNew { found, needed }.into());
    }
    let warning = format!(
        "the schema is newer than this program: it has V{version}__{name}, and this program knows none after {}; \
         they work together",
        newest()
    );
    Ok(State::Current(Migrated { applied: Vec::new(), warning: Some(warning) }))
}

/// Version, name and checksum of what was applied; none if there is no history.
async fn history(client: &Client) -> Result<Option<BTreeMap<i32, (String, String)>>, PostgresError> {
    if !has_table(client, "refinery_schema_history").await? {
        return Ok(None);
    }
    let failed = PostgresError::in_("read the history of the schema (the role needs SELECT on all of Aura's tables)");
    let rows = client.query("SELECT version, name, checksum FROM refinery_schema_history", &[]).await;
    Ok(Some(rows.map_err(failed)?.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()))
}

async fn oldest_program(client: &Client) -> Result<i32, PostgresError> {
    let failed = PostgresError::in_("read which programs the schema works with");
    let row = client.query_opt("SELECT oldest_program FROM schema_support", &[]).await.map_err(failed)?;
    row.map(|row| row.get(0)).ok_or_else(|| SchemaError::Divergent("schema_support is empty".to_owned()).into())
}

async fn has_table(client: &Client, name: &str) -> Result<bool, PostgresError> {
    let failed = PostgresError::in_("look for the schema");
    let row = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]).await.map_err(failed)?;
    Ok(row.get(0))
}

/// A ledger in another schema would be passed over, and an empty one begun. Whoever names a search
/// path means it.
async fn elsewhere(client: &Client) -> Result<(), PostgresError> {
    let failed = || PostgresError::in_("look for the schema");
    let path: String = client.query_one("SHOW search_path", &[]).await.map_err(failed())?.get(0);
    if path != session::DEFAULT_SEARCH_PATH {
        return Ok(());
    }
    match client.query(ELSEWHERE, &[]).await.map_err(failed())?.first() {
        Some(row) => Err(SchemaError::Elsewhere { path, found: row.get(0) }.into()),
        None => Ok(()),
    }
}

/// Whether the role, or the server, does not let the schema be changed.
fn is_forbidden(error: &PostgresError) -> bool {
    let forbidden = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::READ_ONLY_SQL_TRANSACTION];
    error.sql_state().is_some_and(|state| forbidden.contains(state))
}
