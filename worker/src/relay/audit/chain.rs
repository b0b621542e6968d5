//! Chains of events, and those that are halted.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use shared::stores::{audit_chain, postgres::PostgresError};
use tokio_postgres::Row;

use super::super::statements::execute;

const HALT: &str = include_str!("halt.sql");

/// A chain: its entity and period. The chain of `_system` is not a slice.
pub(super) type Chain = (String, String);
/// Chains of which nothing more may be delivered, and why.
pub(super) type Halts = BTreeMap<Chain, String>;

pub(super) async fn halt(transaction: &Transaction<'_>, halts: &Halts) -> Result<(), PostgresError> {
    for ((entity, period), reason) in halts {
        execute(transaction, HALT, "halt a chain", &[entity, period, reason]).await?;
    }
    Ok(())
}

/// Halting a chain is committed, so this is logged once by all processes together.
pub(super) fn report(halts: &Halts) {
    for ((entity, period), reason) in halts {
        tracing::error!(entity, period, reason, "an audit chain is halted: nothing more of it is delivered");
    }
}

pub(super) fn id(row: &Row) -> String {
    audit_chain::id(row.get("entity"), row.get("period"), row.get("seq"))
}

pub(super) fn chain_of(row: &Row) -> Chain {
    (row.get("entity"), row.get("period"))
}

pub(super) fn chains(rows: &[Row]) -> (Vec<&str>, Vec<&str>) {
    rows.iter().map(|row| (row.get::<_, &str>("entity"), row.get::<_, &str>("period"))).unzip()
}
