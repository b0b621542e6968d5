//! The advisory locks of PostgreSQL, by which producer and worker keep out of each other's way.
//!
//! Their names are a protocol: programs of all versions that work on one database must use the same. No lock is
//! waited for while another is held, except, at the very end of a job, the gates that `cancel` and `period lock`
//! close; those hold nothing else. So nothing can wait in a circle.

use std::fmt;

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    slice::{Period, Slice},
    stores::postgres::error::PostgresError,
};

/// The lock under which the schema is brought up to date. It belongs to a session.
pub const MIGRATION: i64 = 0x6175_7261;

const EXCLUSIVE: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0)) IS NOT NULL";
const IF_FREE: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))";
const SHARED: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0)) IS NOT NULL";

/// What a lock is about. It is held until the transaction ends.
#[derive(Debug, Clone, Copy)]
pub enum Lock<'a> {
    /// What is decided and written about a slice.
    Slice(&'a Slice),
    /// The cache file of a slice.
    CacheFile(&'a Slice),
    /// Whether a batch is cancelled. Jobs that commit hold it shared, `cancel` holds it alone.
    Batch(Uuid),
    /// Whether a period is locked. Jobs that commit hold it shared, `period` holds it alone.
    Period(&'a Period),
}

impl fmt::Display for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slice(slice) => write!(f, "slice:{}:{}", slice.entity, slice.period),
            Self::CacheFile(slice) => write!(f, "cache:{}:{}", slice.entity, slice.period),
            Self::Batch(batch) => write!(f, "batch:{batch}"),
            Self::Period(period) => write!(f, "period:{period}"),
        }
    }
}

impl Lock<'_> {
    /// Takes the lock, waiting for whoever has it.
    ///
    /// # Errors
    /// If PostgreSQL fails, or the lock is not free in time.
    pub async fn wait(self, tx: &impl GenericClient) -> Result<(), PostgresError> {
        self.ask(tx, EXCLUSIVE, self.waiting()).await.map(|_| ())
    }

    /// Takes the lock, unless somebody has it; returns whether it was taken.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub async fn take_if_free(self, tx: &impl GenericClient) -> Result<bool, PostgresError> {
        self.ask(tx, IF_FREE, self.taking()).await
    }

    /// Takes the lock beside others that share it, waiting for whoever has it alone.
    ///
    /// # Errors
    /// If PostgreSQL fails, or the lock is not free in time.
    pub async fn share(self, tx: &impl GenericClient) -> Result<(), PostgresError> {
        self.ask(tx, SHARED, self.taking()).await.map(|_| ())
    }

    /// Makes sure that a lock which is taken next is asked for at once, before whatever is asked after it.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub async fn prepare(tx: &impl GenericClient) -> Result<(), PostgresError> {
        for statement in [EXCLUSIVE, IF_FREE, SHARED] {
            tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a lock"))?;
        }
        Ok(())
    }

    async fn ask(self, tx: &impl GenericClient, statement: &str, what: &'static str) -> Result<bool, PostgresError> {
        let asked = async {
            let statement = tx.prepare_cached(statement).await?;
            tx.query_one(&statement, &[&self.to_string()]).await
        };
        Ok(asked.await.map_err(PostgresError::in_(what))?.get(0))
    }

    fn waiting(self) -> &'static str {
        match self {
            Self::Batch(_) => "wait for the workers that commit jobs of the batch",
            Self::Period(_) => "wait for the workers that commit jobs of the period",
            Self::Slice(_) | Self::CacheFile(_) => self.taking(),
        }
    }

    fn taking(self) -> &'static str {
        match self {
            Self::Slice(_) => "lock a slice",
            Self::CacheFile(_) => "lock a cache file",
            Self::Batch(_) => "lock a batch",
            Self::Period(_) => "lock a period",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_every_version_uses() {
        let slice = Slice { entity: "ABEX".parse().unwrap(), period: "2022-06".parse().unwrap() };
        let batch = Uuid::from_u128(7);
        let locks = [Lock::Slice(&slice), Lock::CacheFile(&slice), Lock::Batch(batch), Lock::Period(&slice.period)];
        assert_eq!(
            locks.map(|lock| lock.to_string()),
            [
                "slice:ABEX:2022-06",
                "cache:ABEX:2022-06",
                "batch:00000000-0000-0000-0000-000000000007",
                "period:2022-06",
            ]
        );
    }
}
