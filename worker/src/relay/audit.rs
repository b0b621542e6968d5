//! The audit trail: events go from PostgreSQL's outbox to MongoDB, in two steps.
//!
//! [`sequence`] gives each event its place in the chain of its slice and commits that; [`deliver`]
//! inserts what has a place and deletes it here. So whoever dies wherever, the same event comes to
//! the same place with the same hash, and an insert that happened is found to have happened.

mod deliver;
mod sequence;
mod walk;

use std::{collections::BTreeMap, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use shared::stores::{
    audit_chain,
    mongo::MongoError,
    postgres::{AsConflict, PostgresError},
};
use tokio_postgres::{Row, types::ToSql};

pub(crate) use self::{deliver::deliver, sequence::sequence, walk::Walk};

const HALT: &str = include_str!("audit/halt.sql");
/// Bytes of events past which no more are read for one transaction.
const READ_BYTES: usize = 16 << 20;

/// A step of the relay failed; it is done again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
}

impl AsConflict for RelayError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_conflict(),
            Self::Mongo(_) => false,
        }
    }
}

/// What a step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rows that went on.
    pub(crate) done: usize,
    /// Whether there are more that can be done at once.
    pub(crate) more: bool,
    /// What MongoDB has against a document that it did not take, if there is one.
    pub(crate) refused: Option<String>,
}

/// A chain: its entity and period. The chain of `_system` is not a slice.
type Chain = (String, String);
/// Chains of which nothing more may be delivered, and why.
type Halts = BTreeMap<Chain, String>;

async fn halt(transaction: &Transaction<'_>, halts: &Halts) -> Result<(), PostgresError> {
    for ((entity, period), reason) in halts {
        execute(transaction, HALT, "halt a chain", &[entity, period, reason]).await?;
    }
    Ok(())
}

/// Halting a chain is committed, so this is logged once by all processes together.
fn report(halts: &Halts) {
    for ((entity, period), reason) in halts {
        tracing::error!(entity, period, reason, "an audit chain is halted: nothing more of it is delivered");
    }
}

fn id(row: &Row) -> String {
    audit_chain::id(row.get("entity"), row.get("period"), row.get("seq"))
}

fn chain_of(row: &Row) -> Chain {
    (row.get("entity"), row.get("period"))
}

fn chains(rows: &[Row]) -> (Vec<&str>, Vec<&str>) {
    rows.iter().map(|row| (row.get::<_, &str>("entity"), row.get::<_, &str>("period"))).unzip()
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

async fn query(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.query(&statement, parameters).await.map_err(PostgresError::in_(what))
}

pub(crate) async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.execute(&statement, parameters).await.map_err(PostgresError::in_(what))
}

/// Reads rows up to [`READ_BYTES`] and a limit, which is the statement's last parameter; tells
/// whether there may be more.
pub(crate) async fn read(
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
