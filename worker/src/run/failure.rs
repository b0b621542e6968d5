//! Failures of a run: an attempt that is spent, and a failure that ends it.

use deadpool_postgres::Transaction;
use shared::{
    fingerprint::Fingerprint,
    message::{event::Event, job::Job, published_by::PublishedBy, receipt::Receipt, receive::Refusal},
    stores::{
        dead_letters::{self, Try, WholeLetter},
        outbox,
        postgres::PostgresError,
        storable::Storable,
    },
};
use uuid::Uuid;

use super::{
    finish::Finish,
    ownership,
    row::{NewRun, whole},
};
use crate::outcome::FailedAttempt;

const RETRYING: &str = include_str!("failure/retrying.sql");
const TRIED: &str = include_str!("failure/tried.sql");
const BEGIN_FAILED: &str = include_str!("failure/begin_failed.sql");
const REFUSED: &str =
    "INSERT INTO refused_messages (job_id, body_hash, replays) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
/// While a later round is under way, the run has the last end of an earlier one: not this one's, nor a later one's.
const END_OF_EARLIER_ROUND: &str = "UPDATE ingestion_runs SET result = $4 WHERE job_id = $1 AND body_hash = $2 AND replays > $3 \
     AND finished_at IS NULL AND coalesce((result ->> 'finished_at')::timestamptz < $5, true)";
const IS_IN_LATER_ROUND: &str =
    "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1 AND body_hash = $2 AND replays > $3)";

/// What became of a failure that was to be written down.
pub(crate) enum Noted {
    /// It is the job's end.
    Now,
    /// The job's end stood there.
    Before(Box<Receipt>),
    /// It was the end of its round: somebody has replayed the letter meanwhile.
    Replayed,
    /// The job has not ended: another attempt at it goes further.
    Overtaken,
}

/// Notes that an attempt is spent and another follows, with its events. Returns whether that was still to be noted.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn note_retry(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
    worker: &str,
) -> Result<bool, PostgresError> {
    let by = publisher_of(failed);
    let fingerprint = failed.fingerprint.map(|fingerprint| fingerprint.to_string());
    let (attempts, code) = (whole(job.attempt), failed.failure.code.as_str());
    let run = NewRun::of(job, &by);
    let written = tx.execute(RETRYING, &run.and(&[&failed.claim, &attempts, &code, &fingerprint])).await;
    // Another copy of the job may have gone further meanwhile; then it has told of this attempt.
    let noted = written.map_err(PostgresError::in_("note a retry"))? == 1;
    if noted {
        keep_try(tx, job, failed, worker).await?;
        outbox::record(tx, events).await?;
    }
    Ok(noted)
}

/// Keeps what an attempt failed of with the run.
async fn keep_try(tx: &Transaction<'_>, job: &Job, failed: &FailedAttempt, worker: &str) -> Result<(), PostgresError> {
    let tried = Storable::of(&Try::now(job.replays, job.attempt, worker, &failed.failure));
    let kept = tx.execute(TRIED, &[&job.job_id, &job.body_hash.to_string(), &whole(job.replays), &tried]).await;
    kept.map(|_| ()).map_err(PostgresError::in_("keep an attempt"))
}

/// Ends the run, which may not be there yet if PostgreSQL failed before it was claimed, and writes the letter down
/// that was published, whatever becomes of the run.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn note_failure(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
    letter: &WholeLetter,
) -> Result<Noted, PostgresError> {
    let noted = end_failed(tx, job, failed, events, letter.letter.worker.as_deref().unwrap_or_default()).await?;
    dead_letters::record(tx, std::slice::from_ref(letter)).await?;
    Ok(noted)
}

async fn end_failed(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
    worker: &str,
) -> Result<Noted, PostgresError> {
    if failed.owns_run {
        let by = publisher_of(failed);
        let begun = tx.execute(BEGIN_FAILED, &NewRun::of(job, &by).and(&[&failed.claim])).await;
        begun.map_err(PostgresError::in_("note a job"))?;
        let finish = Finish::of(job, failed.claim, failed.mapping_hash.as_deref(), &failed.receipt).without_claim();
        if !finish.write(tx).await? {
            if let Some(end) = ownership::end_of_round(tx, job).await? {
                return Ok(Noted::Before(end));
            }
            return note_earlier_round(tx, job, failed, events).await;
        }
        keep_try(tx, job, failed, worker).await?;
    } else if !is_first_refusal(tx, job.job_id, &job.body_hash, job.replays).await? {
        return Ok(Noted::Now);
    }
    outbox::record(tx, events).await?;
    Ok(Noted::Now)
}

/// Notes the end of a round whose letter was replayed before the end was written down, or before the answer to
/// that came. Its events are written once.
async fn note_earlier_round(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
) -> Result<Noted, PostgresError> {
    let (body_hash, replays) = (job.body_hash.to_string(), whole(job.replays));
    let (result, at) = (Storable::of(&failed.receipt), failed.receipt.finished_at);
    let noted = tx.execute(END_OF_EARLIER_ROUND, &[&job.job_id, &body_hash, &replays, &result, &at]).await;
    if noted.map_err(PostgresError::in_("note the end of a round"))? == 1 {
        outbox::record(tx, events).await?;
    }
    let later = tx.query_one(IS_IN_LATER_ROUND, &[&job.job_id, &body_hash, &replays]).await;
    let later: bool = later.map_err(PostgresError::in_("look a round up"))?.get(0);
    Ok(if later { Noted::Replayed } else { Noted::Overtaken })
}

/// Writes the events of a message that is not a job, once, and its letter down.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn note_refusal(
    tx: &Transaction<'_>,
    refusal: &Refusal,
    events: &[Event],
    letter: &WholeLetter,
) -> Result<(), PostgresError> {
    dead_letters::record(tx, std::slice::from_ref(letter)).await?;
    if is_first_refusal(tx, refusal.job_id, &refusal.body_hash, refusal.replays).await? {
        outbox::record(tx, events).await
    } else {
        Ok(())
    }
}

/// Notes that a body was refused in this round; returns whether that is new.
async fn is_first_refusal(
    tx: &Transaction<'_>,
    job_id: Uuid,
    body_hash: &Fingerprint,
    replays: u32,
) -> Result<bool, PostgresError> {
    let noted = tx.execute(REFUSED, &[&job_id, &body_hash.to_string(), &whole(replays)]).await;
    Ok(noted.map_err(PostgresError::in_("note a refusal"))? == 1)
}

/// Who published the job, as its first delivery had it.
fn publisher_of(failed: &FailedAttempt) -> PublishedBy {
    PublishedBy { actor: failed.receipt.actor.clone(), user_id: failed.receipt.user_id.clone() }
}
