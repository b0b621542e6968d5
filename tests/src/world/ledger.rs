//! What is in a world's PostgreSQL.

use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::{Steady, World};
use crate::wait::{SOON, until};

impl World<Steady> {
    /// The rows of a query as JSON; amounts must be cast to text in it.
    pub async fn rows(&self, query: &str) -> Value {
        let query = format!("SELECT coalesce(json_agg(row_to_json(q)), '[]')::text FROM ({query}) q");
        let text: String = self.one(&query, &[]).await;
        serde_json::from_str(&text).expect("PostgreSQL writes JSON")
    }

    /// The one value of a query's one row.
    pub async fn one<T>(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let row = self.postgres.query_one(query, values).await;
        row.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &str) {
        let done = self.postgres.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// How many rows a slice has, and what their balances sum to.
    pub async fn slice(&self, entity: &str, period: &str) -> (i64, String) {
        let query = "SELECT count(*), coalesce(trim_scale(sum(balance)), 0)::text \
                     FROM gl_accounts WHERE entity = $1 AND period = $2";
        let row = self.postgres.query_one(query, &[&entity, &period]).await.expect("the ledger is there");
        (row.get(0), row.get(1))
    }

    /// The balances of a slice: account and balance, in the order of the accounts.
    pub async fn balances(&self, entity: &str, period: &str) -> Vec<(String, String)> {
        let query = "SELECT account_code, trim_scale(balance)::text FROM gl_accounts \
                     WHERE entity = $1 AND period = $2 ORDER BY account_code COLLATE \"C\"";
        let rows = self.postgres.query(query, &[&entity, &period]).await.expect("the ledger is there");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A job's row in `ingestion_runs`, amounts as text; null if there is none.
    pub async fn job_run(&self, job_id: uuid::Uuid) -> Value {
        let query = format!(
            "SELECT batch_id, file, fingerprint, entity, period, source, mapping_hash, mode, exported_at, status, \
             error_code, inserted, updated, unchanged, deleted, absent, failed, rows, \
             trim_scale(balance_sum)::text AS balance_sum, slice_rows, trim_scale(slice_sum)::text AS slice_sum, \
             attempts, started_at, finished_at, duration_seconds, result \
             FROM ingestion_runs WHERE job_id = '{job_id}'"
        );
        self.rows(&query).await[0].take()
    }

    /// Waits until what PostgreSQL has committed has reached audit trail, metadata and cache.
    pub async fn settled(&self) {
        let query = "SELECT (SELECT count(*) FROM audit_outbox) + (SELECT count(*) FROM metadata_outbox) \
                     + (SELECT count(*) FROM cache_tasks)";
        until("the outbox is empty", SOON, async || (self.one::<i64>(query, &[]).await == 0).then_some(())).await;
    }
}
