//! The end of a run: its last columns, and the commit of a job.
//!
//! An end is written only by the attempt that holds the run's claim, or, where nobody does, by the attempt of the same
//! round that is not noted as spent: what a worker has to say late of one round never touches the next.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use shared::{
    message::{
        job::{Job, Mode},
        receipt::Receipt,
    },
    stores::{
        lease::Lease,
        locks::Lock,
        postgres::{PostgresError, transaction::Measured},
        storable::Storable,
    },
};
use uuid::Uuid;

use super::{
    durable, ownership,
    row::{Parameters, whole},
};
use crate::{interruption::Interrupted, ledger::Applied};

const FINISH: &str = include_str!("finish/finish.sql");
const IS_COMMITTED: &str =
    "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1 AND ended_claim = $2 AND finished_at IS NOT NULL)";

/// How a run ends: the parameters of `finish.sql`, in its order.
pub(crate) struct Finish<'a> {
    job_id: Uuid,
    claim: Uuid,
    status: &'static str,
    error_code: Option<&'static str>,
    fingerprint: Option<&'a str>,
    mapping_hash: Option<&'a str>,
    mode: Option<&'static str>,
    attempts: i32,
    inserted: i64,
    updated: i64,
    unchanged: i64,
    deleted: i64,
    absent: i64,
    failed: i64,
    rows: i64,
    balance_sum: Option<String>,
    slice_rows: Option<i64>,
    slice_sum: Option<&'a str>,
    duration_seconds: f64,
    result: Storable,
    finished_at: DateTime<Utc>,
    without_claim: bool,
    replays: i32,
    body_hash: String,
}

impl<'a> Finish<'a> {
    /// The end that a receipt tells of. The claim must still be this attempt's when it is written.
    pub(crate) fn of(job: &Job, claim: Uuid, mapping_hash: Option<&'a str>, receipt: &'a Receipt) -> Self {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            job_id: job.job_id,
            claim,
            status: receipt.status.as_str(),
            error_code: receipt.error.as_ref().map(|failure| failure.code.as_str()),
            fingerprint: receipt.fingerprint.as_deref(),
            mapping_hash,
            mode: receipt.mode.map(Mode::as_str),
            attempts: whole(receipt.attempt),
            inserted: count(receipt.inserted),
            updated: count(receipt.updated),
            unchanged: count(receipt.unchanged),
            deleted: count(receipt.deleted),
            absent: count(receipt.absent),
            failed: count(receipt.failed),
            rows: count(receipt.rows),
            balance_sum: receipt.balance_sum.map(|sum| sum.to_string()),
            slice_rows: None,
            slice_sum: None,
            duration_seconds: receipt.duration_seconds,
            result: Storable::of(receipt),
            finished_at: receipt.finished_at,
            without_claim: false,
            replays: whole(job.replays),
            body_hash: job.body_hash.to_string(),
        }
    }

    /// The same, with what the slice holds now.
    pub(crate) fn with_slice(self, applied: &'a Applied) -> Self {
        Self { slice_rows: Some(applied.slice_rows), slice_sum: Some(&applied.slice_sum), ..self }
    }

    /// The same, of a run that nobody needs to claim: a failure ends it as long as its round and attempt are still
    /// this one's.
    pub(super) fn without_claim(self) -> Self {
        Self { without_claim: true, ..self }
    }

    fn parameters(&self) -> Parameters<'_> {
        vec![
            &self.job_id,
            &self.claim,
            &self.status,
            &self.error_code,
            &self.fingerprint,
            &self.mapping_hash,
            &self.mode,
            &self.attempts,
            &self.inserted,
            &self.updated,
            &self.unchanged,
            &self.deleted,
            &self.absent,
            &self.failed,
            &self.rows,
            &self.balance_sum,
            &self.slice_rows,
            &self.slice_sum,
            &self.duration_seconds,
            &self.result,
            &self.finished_at,
            &self.without_claim,
            &self.replays,
            &self.body_hash,
        ]
    }

    /// Writes the end; returns whether the run was this attempt's to end.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn write(&self, tx: &Transaction<'_>) -> Result<bool, PostgresError> {
        let statement = tx.prepare_cached(FINISH).await.map_err(PostgresError::in_("prepare a write"))?;
        let written = tx.execute(&statement, &self.parameters()).await;
        Ok(written.map_err(PostgresError::in_("write the run"))? == 1)
    }
}

/// Commits. If the reply never comes, the run says whether it happened, once that is settled.
///
/// # Errors
/// If it was not committed, or that is not known.
pub(crate) async fn commit(pool: &Pool, job: &Job, claim: Uuid, tx: Transaction<'_>) -> Result<(), Interrupted> {
    let Err(source) = tx.commit().await else { return Ok(()) };
    if source.code().is_some() {
        // PostgreSQL answered: it did not commit.
        return Err(PostgresError::in_("commit")(source).into());
    }
    let unknown = PostgresError::in_("answer a commit")(source);
    match is_committed(pool, job, claim).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(unknown.into()),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "whether the job was committed is not known yet");
            Err(Interrupted::CommitUnknown(unknown))
        }
    }
}

/// Returns whether the run's end was written under this claim. The slice's lock is waited for: as long as
/// the server works on the commit, it is taken.
async fn is_committed(pool: &Pool, job: &Job, claim: Uuid) -> Result<bool, PostgresError> {
    let _measured = Measured::begin("look_at_commit");
    let mut lease = Lease::take(pool).await?;
    let asked = async {
        let tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
        Lock::Slice(&job.slice).wait(&tx).await?;
        let row = tx.query_one(IS_COMMITTED, &[&job.job_id, &claim]).await;
        let is_committed = row.map_err(PostgresError::in_("look the run up"))?.get(0);
        if is_committed {
            durable::commit(tx).await?;
        }
        Ok(is_committed)
    };
    let committed = asked.await;
    lease.end();
    committed
}

/// How the job has ended, if it has, once nobody works on its slice.
///
/// # Errors
/// If PostgreSQL fails, or works on the slice for longer than it may be waited for.
pub(crate) async fn settled_end(pool: &Pool, job: &Job) -> Result<Option<Box<Receipt>>, PostgresError> {
    let _measured = Measured::begin("look_at_end");
    let mut lease = Lease::take(pool).await?;
    let asked = async {
        let tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
        Lock::Slice(&job.slice).wait(&tx).await?;
        let end = ownership::end_of_round(&tx, job).await?;
        if end.is_some() {
            durable::commit(tx).await?;
        }
        Ok(end)
    };
    let end = asked.await;
    lease.end();
    end
}
