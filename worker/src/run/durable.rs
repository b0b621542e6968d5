//! What somebody else committed is acknowledged only once it is as safe as what an attempt commits itself.
//!
//! A commit that waits for its standby is visible before that has it, if the wait was broken off: by a cancel, to which
//! PostgreSQL answers with a success and a warning, or by a restart. Whoever reads it then, and acknowledges the message,
//! would lose the job with the primary. A commit that writes something waits for the standby to have all before it.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use shared::stores::{
    lease::Lease,
    postgres::{PostgresError, in_time, transaction::Measured},
};

const WRITE: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'aura', '')";
const WHAT: &str = "keep what was committed before";
/// How long a standby may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes everything durable that was committed before, as this transaction is: it commits.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn commit(tx: Transaction<'_>) -> Result<(), PostgresError> {
    tx.execute(WRITE, &[]).await.map_err(PostgresError::in_(WHAT))?;
    tx.commit().await.map_err(PostgresError::in_(WHAT))
}

/// The same over a connection of its own.
///
/// # Errors
/// If PostgreSQL fails, or takes longer than is waited for.
pub(crate) async fn settle(pool: &Pool) -> Result<(), PostgresError> {
    let _measured = Measured::begin("make_durable");
    let settling = async {
        let mut lease = Lease::take(pool).await?;
        let tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
        let settled = commit(tx).await;
        lease.end();
        settled
    };
    in_time(LIMIT, WHAT, settling).await
}
