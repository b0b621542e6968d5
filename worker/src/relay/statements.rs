//! Statements within the relay's transactions.

use std::pin::pin;

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use shared::stores::postgres::PostgresError;
use tokio_postgres::{Row, types::ToSql};

/// Bytes of rows past which no more are read for one transaction.
const READ_BYTES: usize = 16 << 20;

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) async fn query(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.query(&statement, parameters).await.map_err(PostgresError::in_(what))
}

pub(super) async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.execute(&statement, parameters).await.map_err(PostgresError::in_(what))
}

/// Reads rows up to [`READ_BYTES`] and a limit, which is the statement's last parameter; returns
/// whether there may be more.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
    limit: i64,
) -> Result<(Vec<Row>, bool), PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().copied().chain([&limit as _]).collect();
    let rows = transaction.query_raw(&statement, parameters).await.map_err(PostgresError::in_(what))?;
    let (mut rows, mut read, mut bytes) = (pin!(rows), Vec::new(), 0);
    while let Some(row) = rows.try_next().await.map_err(PostgresError::in_(what))? {
        bytes += row.raw_size_bytes();
        read.push(row);
        if bytes > READ_BYTES {
            return Ok((read, true));
        }
    }
    let more = read.len() as i64 == limit;
    Ok((read, more))
}
