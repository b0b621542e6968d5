//! PostgreSQL as a command sees it: two connections, and patience for one statement.

use std::time::Duration;

use deadpool_postgres::Pool;
use shared::{
    settings::Settings,
    stores::postgres::{PoolOptions, PostgresError, check_schema, pool},
};
use tokio_postgres::{Row, types::ToSql};

use crate::errors::CommandError;

/// Connections for a command, and the assurance that it can work with the schema.
pub(crate) async fn connect(settings: &Settings) -> Result<Pool, CommandError> {
    let pool = connect_to_any_schema(settings, STATEMENT_TIMEOUT)?;
    check(&pool, settings).await?;
    Ok(pool)
}

/// Connections for a command, whatever the schema; they are opened when they are needed.
pub(crate) fn connect_to_any_schema(settings: &Settings, statement_timeout: Duration) -> Result<Pool, CommandError> {
    open(settings, 2, statement_timeout)
}

/// Makes sure that a command can work with the schema.
pub(crate) async fn check(pool: &Pool, settings: &Settings) -> Result<(), CommandError> {
    check_schema(pool).await.map_err(CommandError::postgres(settings))
}

/// At most so many connections, whatever the schema; they are opened when they are needed.
pub(crate) fn open(settings: &Settings, size: usize, statement_timeout: Duration) -> Result<Pool, CommandError> {
    let options = PoolOptions { size, statement_timeout, lifetime: settings.postgres_lifetime };
    pool(&settings.postgres_url, "aura-producer", options).map_err(CommandError::postgres(settings))
}

/// How long a statement of most commands may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a query outside a transaction.
pub(crate) async fn query(
    pool: &Pool,
    what: &'static str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, PostgresError> {
    let client = pool.get().await?;
    client.query(sql, parameters).await.map_err(PostgresError::in_(what))
}
