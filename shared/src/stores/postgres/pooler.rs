//! A pooler between here and PostgreSQL, such as PgBouncer: it must leave a session to its client.

use deadpool_postgres::Pool;
use tokio_postgres::SimpleQueryMessage;

use super::error::PostgresError;
use crate::stores::lease::Lease;

/// What `aura.session` is in a session whose options did not reach it. A server itself never drops them.
pub(super) const DROPPED: &str = "dropped";
const LOOK: &str = "SELECT current_setting('aura.session', true), pg_catalog.pg_backend_pid()";
/// How often two connections are compared.
const LOOKS: usize = 3;

/// What to do about a pooler that a session cannot be had through.
pub const ADVICE: &str = "PgBouncer needs `pool_mode = session` for Aura's database, and `ignore_startup_parameters` with \
                          `options` in it; or name PostgreSQL itself in AURA_POSTGRES_URL";

impl PostgresError {
    /// Returns whether a pooler does not let sessions be used as they must be.
    pub fn is_pooling(&self) -> bool {
        let Some(state) = self.sql_state() else { return matches!(self, Self::SharedSessions) };
        match state.code() {
            // Statements that another session has prepared, or that this one has lost.
            "26000" | "42P05" => true,
            // A server knows the parameter.
            "08P01" => self.said().is_some_and(|text| text.contains("startup parameter")),
            _ => false,
        }
    }
}

/// Makes sure that each connection has a session of its own.
///
/// # Errors
/// If it has not, or PostgreSQL fails.
pub(super) async fn check(pool: &Pool) -> Result<(), PostgresError> {
    let first = Lease::take(pool).await?;
    if look(&first).await?.0.as_deref() == Some("on") {
        first.end();
        return Ok(());
    }
    let second = Lease::take(pool).await?;
    for _ in 0..LOOKS {
        let (before, other, after) = (look(&first).await?.1, look(&second).await?.1, look(&first).await?.1);
        // A pooler that shares has given the first one's session to the second, or, where much is going on, to others.
        if before == other || before != after {
            return Err(PostgresError::SharedSessions);
        }
    }
    second.end();
    first.end();
    Ok(())
}

/// What a connection knows of its options, and the server process that it has at present.
async fn look(lease: &Lease) -> Result<(Option<String>, Option<String>), PostgresError> {
    let told = lease.simple_query(LOOK).await.map_err(PostgresError::in_("tell which session it is"))?;
    let row = told.into_iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        Some((row.get(0).map(str::to_owned), row.get(1).map(str::to_owned)))
    });
    Ok(row.unwrap_or_default())
}
