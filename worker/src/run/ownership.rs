//! Whose a run is once its attempt is over: who may end it, and how its claim is given up.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use shared::{
    message::{job::Job, receipt::Receipt},
    stores::{
        lease::Lease,
        postgres::{self, PostgresError},
    },
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::row::whole;

const HOLD: &str = include_str!("ownership/hold.sql");
const MARK_SETTLING: &str = "UPDATE ingestion_runs SET resting_at = now() WHERE claim = $1";
/// How long it may take to give claims back, which waits for locks on their runs.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(15);
const RELEASE: &str = "UPDATE ingestion_runs SET claim = NULL, status = 'retrying' WHERE claim = ANY($1)";
/// The failure of an earlier round ended that round, and not this one.
const END_OF_ROUND: &str = "SELECT result FROM ingestion_runs \
                            WHERE job_id = $1 AND finished_at IS NOT NULL AND (status <> 'failed' OR replays >= $2)";

/// Notes that the attempt under a claim is over although the claim stands until it is settled. It is
/// said while the slice is still locked, so that nobody takes its worker for dead. If PostgreSQL
/// cannot be told, the message that is published next says it.
pub(crate) async fn mark_settling(pool: &Pool, claim: Uuid) {
    let said: Result<(), PostgresError> = async {
        let lease = Lease::take(pool).await?;
        let noted = lease.execute(MARK_SETTLING, &[&claim]).await;
        lease.end();
        noted.map(|_| ()).map_err(PostgresError::in_("note that an attempt is over"))
    }
    .await;
    if let Err(error) = said {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "PostgreSQL could not be told that an attempt is over"
        );
    }
}

/// Who may end a job whose attempt is over.
#[derive(Debug)]
pub(crate) enum Ownership {
    /// This attempt: nobody has claimed or ended the job since, and its round goes on.
    Mine,
    /// Nobody: it has ended, and so.
    Ended(Box<Receipt>),
    /// Another attempt, which goes further.
    Others,
    /// This attempt, but the run of its job_id is that of a job with another body.
    OtherBody,
}

/// Asks who may end a job. If it is this attempt, nobody else will for as long as after [`mark_settling`].
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn still_owned(pool: &Pool, job: &Job, claim: Uuid) -> Result<Ownership, PostgresError> {
    let (replays, attempt) = (whole(job.replays), whole(job.attempt));
    let lease = Lease::take(pool).await?;
    let asked = async {
        let body_hash = job.body_hash.to_string();
        let row = lease.query_one(HOLD, &[&job.job_id, &claim, &replays, &attempt, &body_hash]).await?;
        if row.get("is_other_body") {
            return Ok(Ownership::OtherBody);
        }
        if row.get("is_mine") {
            return Ok(Ownership::Mine);
        }
        let end = lease.query_opt(END_OF_ROUND, &[&job.job_id, &replays]).await?;
        let receipt = end.and_then(|row| row.get::<_, Option<Json<Receipt>>>(0));
        Ok(receipt.map_or(Ownership::Others, |Json(receipt)| Ownership::Ended(Box::new(receipt))))
    };
    let standing = asked.await.map_err(PostgresError::in_("look a claim up"));
    lease.end();
    standing
}

/// How a job has ended in this round or a later one, or for good, if it has.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn end_of_round(tx: &Transaction<'_>, job: &Job) -> Result<Option<Box<Receipt>>, PostgresError> {
    let row = tx.query_opt(END_OF_ROUND, &[&job.job_id, &whole(job.replays)]).await;
    let row = row.map_err(PostgresError::in_("look a job's end up"))?;
    Ok(row.and_then(|row| row.get::<_, Option<Json<Receipt>>>(0)).map(|Json(receipt)| Box::new(receipt)))
}

/// Takes claims away whose worker lives, so that it is not mistaken for a death.
///
/// # Errors
/// If PostgreSQL fails, or takes longer than is waited for.
pub(crate) async fn release(pool: &Pool, claims: &[Uuid]) -> Result<(), PostgresError> {
    let what = "give claims back";
    let releasing = async {
        let lease = Lease::take(pool).await?;
        let done = lease.execute(RELEASE, &[&claims]).await;
        lease.end();
        done.map(|_| ()).map_err(PostgresError::in_(what))
    };
    postgres::in_time(RELEASE_TIMEOUT, what, releasing).await
}
