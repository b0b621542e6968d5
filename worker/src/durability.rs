//! Durability: whether what PostgreSQL has acknowledged outlives the loss of its machine.

use std::sync::{Mutex, PoisonError};

use deadpool_postgres::Pool;
use shared::stores::{lease::Lease, postgres::PostgresError};

const LOOK: &str = include_str!("durability/look.sql");

/// What the operator should know of how PostgreSQL keeps what it acknowledges.
#[derive(Default)]
pub(crate) struct Durability(Mutex<Vec<&'static str>>);

impl Durability {
    /// What is wrong with it at present.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the server's settings, and logs what has changed.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn look(&self, pool: &Pool) -> Result<(), PostgresError> {
        let lease = Lease::take(pool).await?;
        let row = lease.query_one(LOOK, &[]).await.map_err(PostgresError::in_("tell how it keeps what it commits"))?;
        lease.end();
        let told = [
            (
                "writes_through",
                "fsync or full_page_writes is off: a crash of PostgreSQL's machine loses or breaks data",
            ),
            (
                "commits_wait",
                "this server or role has synchronous_commit off, local or remote_write, which Aura's sessions raise to on; \
                 whatever else writes there may lose what was acknowledged",
            ),
            (
                "standby_waits",
                "there is a standby, and synchronous_standby_names is empty: what is committed just before the primary is \
                 lost does not reach it",
            ),
        ];
        let now: Vec<_> =
            told.iter().filter(|(column, _)| !row.get::<_, bool>(column)).map(|(_, warning)| *warning).collect();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        for warning in now.iter().filter(|warning| !before.contains(warning)) {
            tracing::warn!("{warning}");
        }
        if now.is_empty() && !before.is_empty() {
            tracing::info!("PostgreSQL keeps what it acknowledges again");
        }
        Ok(())
    }
}
