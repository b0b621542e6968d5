//! Failed attempts: tried again later, or kept for an engineer.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use deadpool_postgres::Transaction;
use lapin::{message::Delivery, types::FieldTable};
use shared::{
    fingerprint::Fingerprint,
    message::{
        envelope::{self, PublishedBy, republished, set, set_integer},
        event::{Event, EventType},
        failure::{ErrorCode, Failure},
        job::Job,
        receipt::{Receipt, Status},
        receive::Refusal,
    },
    stores::{
        audit_chain, outbox,
        postgres::{PostgresError, transaction},
        storable::Storable,
    },
};
use uuid::Uuid;

use super::delivery::{SettlementError, acknowledge, publish, requeue, send_receipt, write_down};
use crate::{
    attempt::{Attempt, log},
    failpoint,
    outcome::FailedAttempt,
    run::{
        claim::{self, Ownership, whole},
        finish,
    },
    services::{Interrupted, Services},
};

const RETRYING: &str = include_str!("retrying.sql");
const FAILING: &str = include_str!("failing.sql");
const REFUSED: &str =
    "INSERT INTO refused_messages (job_id, body_hash, replays) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
/// While a later round is under way, the run has the last end of an earlier one: not this one's, nor a later one's.
const END_OF_EARLIER_ROUND: &str = "UPDATE ingestion_runs SET result = $4 WHERE job_id = $1 AND body_hash = $2 AND replays > $3 \
     AND finished_at IS NULL AND coalesce((result ->> 'finished_at')::timestamptz < $5, true)";
const IS_IN_LATER_ROUND: &str =
    "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1 AND body_hash = $2 AND replays > $3)";
/// Bytes of an error message in a header.
const MESSAGE_BYTES: usize = 4096;

/// Publishes a job for another attempt, and notes that this one is spent.
pub(super) async fn retry(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
    delay: Duration,
) -> Result<(), SettlementError> {
    let (_, mut headers) = republished(&delivery.properties, false);
    envelope::remember(&mut headers, job);
    set_integer(&mut headers, envelope::ATTEMPT, job.attempt + 1);
    set(&mut headers, envelope::FIRST_FAILED_AT, envelope::time_text(job.first_failed_at.unwrap_or_else(Utc::now)));
    set(&mut headers, envelope::RETURNED_CLAIM, failed.claim);
    publish(services, delivery, headers, services.topology.retry_queue(delay)).await?;
    failpoint::reach_for("retry_published", &job.slice);
    let event = |event_type| event(services, job, failed, event_type);
    let events = &failure_events(event, &failed.failure, Some(delay), &job.published_by);
    let noted = write_down(services, move || {
        Box::pin(transaction(&services.pool, move |tx, _| Box::pin(note_retry(tx, job, failed, events))))
    });
    if noted.await? {
        events.iter().for_each(log);
        services.metrics.failed(failed.failure.code);
        services.metrics.retried();
        services.relay.notify_one();
    }
    Ok(())
}

async fn note_retry(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
) -> Result<bool, PostgresError> {
    let written = tx
        .execute(
            RETRYING,
            &[
                &job.job_id,
                &failed.claim,
                &job.batch_id,
                &job.file,
                &job.slice.entity.as_str(),
                &job.slice.period.as_str(),
                &job.source.as_str(),
                &job.exported_at,
                &job.forced_at,
                &job.body_hash.to_string(),
                &whole(job.replays),
                &whole(job.attempt),
                &failed.failure.code.as_str(),
                &failed.fingerprint.map(|fingerprint| fingerprint.to_string()),
                &job.arrival.map(|arrival| arrival.from),
                &job.arrival.map(|arrival| arrival.intake),
                &failed.receipt.actor,
                &failed.receipt.user_id,
            ],
        )
        .await;
    // Another copy of the job may have gone further meanwhile; then it has told of this attempt.
    let noted = written.map_err(PostgresError::in_("note a retry"))? == 1;
    if noted {
        outbox::record(tx, events).await?;
    }
    Ok(noted)
}

/// Publishes a job as a dead letter, and ends its run.
pub(super) async fn dead_letter(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
) -> Result<(), SettlementError> {
    failpoint::reach_for("dead_decided", &job.slice);
    // A success is final: once another copy has gone further, a letter of this one would be left over.
    let mut failed = failed.clone();
    if failed.owns_run {
        let standing = write_down(services, || Box::pin(claim::still_owned(&services.pool, job, failed.claim)));
        match standing.await? {
            Ownership::Mine => {}
            Ownership::OtherBody => failed.owns_run = false,
            Ownership::Ended(receipt) => {
                tracing::warn!("the job has ended meanwhile; this copy of it is not a dead letter");
                return send_receipt(services, &receipt.again()).await;
            }
            Ownership::Others => {
                tracing::warn!("another copy of the job has gone further; this one is not a dead letter");
                return Ok(());
            }
        }
    }
    let (_, mut headers) = republished(&delivery.properties, false);
    envelope::remember(&mut headers, job);
    describe(&mut headers, &failed.failure, job.attempt, job.first_failed_at, &services.worker);
    if let Some(fingerprint) = failed.fingerprint {
        set(&mut headers, envelope::FINGERPRINT, fingerprint);
    }
    publish(services, delivery, headers, &services.topology.dead).await?;
    failpoint::reach_for("dead_published", &job.slice);
    let failed = &failed;
    let (written, failed) = match write_failure(services, job, failed).await {
        Err(SettlementError::Refused(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a failure cannot be written down as it is");
            let plain = &failed.without_texts();
            (write_failure(services, job, plain).await?, plain.clone())
        }
        written => (written?, failed.clone()),
    };
    let events = &final_events(services, job, &failed);
    match written {
        Noted::Now => {}
        Noted::Before(receipt) => {
            // Its commit got no answer, or another copy of the job was faster.
            tracing::warn!("the end of the job stands already; its receipt is sent");
            return send_receipt(services, &receipt).await;
        }
        Noted::Replayed => {
            tracing::warn!("another round of the job has begun meanwhile; the receipt of this one is sent");
            return send_receipt(services, &failed.receipt).await;
        }
        Noted::Overtaken => {
            tracing::warn!("another copy of the job has gone further meanwhile; this dead letter does no harm");
            return Ok(());
        }
    }
    events.iter().for_each(log);
    services.metrics.failed(failed.failure.code);
    services.metrics.ended(Status::Failed, 0, failed.receipt.duration_seconds);
    services.relay.notify_one();
    send_receipt(services, &failed.receipt).await
}

async fn write_failure(services: &Services, job: &Job, failed: &FailedAttempt) -> Result<Noted, SettlementError> {
    let events = &final_events(services, job, failed);
    let worker = services.worker.as_str();
    write_down(services, move || {
        Box::pin(transaction(&services.pool, move |tx, _| Box::pin(note_failure(tx, job, failed, events, worker))))
    })
    .await
}

/// What a failure that ends its job tells.
fn final_events(services: &Services, job: &Job, failed: &FailedAttempt) -> Vec<Event> {
    let by = PublishedBy { actor: failed.receipt.actor.clone(), user_id: failed.receipt.user_id.clone() };
    failure_events(|event_type| event(services, job, failed, event_type), &failed.failure, None, &by)
}

/// What became of a failure that was to be written down.
enum Noted {
    /// It is the job's end.
    Now,
    /// The job's end stood there.
    Before(Box<Receipt>),
    /// It was the end of its round: somebody has replayed the letter meanwhile.
    Replayed,
    /// The job has not ended: another attempt at it goes further.
    Overtaken,
}

/// Ends the run, which may not be there yet if PostgreSQL failed before it was claimed.
async fn note_failure(
    tx: &Transaction<'_>,
    job: &Job,
    failed: &FailedAttempt,
    events: &[Event],
    worker: &str,
) -> Result<Noted, PostgresError> {
    if failed.owns_run {
        let replays = whole(job.replays);
        let written = tx
            .execute(
                FAILING,
                &[
                    &job.job_id,
                    &job.batch_id,
                    &job.file,
                    &job.slice.entity.as_str(),
                    &job.slice.period.as_str(),
                    &job.source.as_str(),
                    &job.exported_at,
                    &job.forced_at,
                    &job.body_hash.to_string(),
                    &replays,
                    &failed.claim,
                    &job.arrival.map(|arrival| arrival.from),
                    &job.arrival.map(|arrival| arrival.intake),
                    &failed.receipt.actor,
                    &failed.receipt.user_id,
                ],
            )
            .await;
        written.map_err(PostgresError::in_("note a job"))?;
        let mut attempt = Attempt::begin(job, failed.claim, worker);
        (attempt.mode, attempt.mapping_hash) = (failed.receipt.mode, failed.mapping_hash.clone());
        match finish::write_end(tx, &attempt, &failed.receipt, None, true).await {
            Ok(()) => {}
            Err(Interrupted::Postgres(_, source) | Interrupted::CommitUnknown(source)) => return Err(source),
            Err(
                Interrupted::ClaimLost(_)
                | Interrupted::Failed(_)
                | Interrupted::RootAway(_)
                | Interrupted::Exhausted(_),
            ) => {
                if let Some(end) = claim::end_of_round(tx, job).await? {
                    return Ok(Noted::Before(end));
                }
                return note_earlier_round(tx, job, failed, events).await;
            }
        }
    }
    if !failed.owns_run && !is_first_refusal(tx, job.job_id, &job.body_hash, job.replays).await? {
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

/// Dead-letters a message that is not a job. It has no run; its events are written once.
pub(crate) async fn refuse(services: &Services, delivery: &Delivery, refusal: &Refusal) {
    let _settling = services.progress.settling();
    match refused(services, delivery, refusal).await {
        Ok(()) => acknowledge(delivery).await,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the message goes back to the queue");
            requeue(services, delivery).await;
        }
    }
}

async fn refused(services: &Services, delivery: &Delivery, refusal: &Refusal) -> Result<(), SettlementError> {
    let failure = refusal.failure();
    let (_, mut headers) = republished(&delivery.properties, false);
    set(&mut headers, envelope::JOB_ID, refusal.job_id);
    set_integer(&mut headers, envelope::REPLAYS, refusal.replays);
    describe(&mut headers, &failure, 1, refusal.first_failed_at, &services.worker);
    publish(services, delivery, headers, &services.topology.dead).await?;
    let event = |event_type| Event {
        slice: refusal.slice.clone(),
        job_id: Some(refusal.job_id),
        batch_id: refusal.batch_id,
        attempt: Some(1),
        ..Event::now(event_type, &services.worker)
    };
    let events = &failure_events(event, &failure, None, &refusal.published_by);
    let noted = write_down(services, move || {
        Box::pin(transaction(&services.pool, move |tx, _| Box::pin(note_refusal(tx, refusal, events))))
    });
    match noted.await {
        // The letter is out, and says what is wrong. Without its events the trail lacks it, and so says the log.
        Err(SettlementError::Refused(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a refusal cannot be written down");
        }
        noted => noted?,
    }
    events.iter().for_each(log);
    services.metrics.failed(failure.code);
    services.metrics.ended(Status::Failed, 0, 0.0);
    services.relay.notify_one();
    send_receipt(services, &refusal_receipt(refusal, &failure)).await
}

async fn note_refusal(tx: &Transaction<'_>, refusal: &Refusal, events: &[Event]) -> Result<(), PostgresError> {
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

fn event(services: &Services, job: &Job, failed: &FailedAttempt, event_type: EventType) -> Event {
    Event {
        slice: Some(job.slice.clone()),
        job_id: Some(job.job_id),
        batch_id: job.batch_id,
        fingerprint: failed.fingerprint,
        attempt: Some(job.attempt),
        ..Event::now(event_type, &services.worker)
    }
}

/// What a failed attempt tells: the error, and whether it will be tried again.
fn failure_events(
    event: impl Fn(EventType) -> Event,
    failure: &Failure,
    retry: Option<Duration>,
    by: &PublishedBy,
) -> Vec<Event> {
    let mut events = Vec::new();
    if failure.code == ErrorCode::SchemaInvalid {
        let fault = serde_json::to_value(&failure.schema).unwrap_or_default();
        events.push(event(EventType::SchemaValidationFailed).with("schema", fault));
    }
    let error = event(EventType::ErrorOccurred).with("code", failure.code.as_str());
    let error = error.with("stage", failure.stage.as_str()).with("message", audit_message(failure));
    events.push(error.with("bad_rows", failure.rows_total));
    events.push(match retry {
        Some(delay) => event(EventType::RetryScheduled).with("delay_seconds", delay.as_secs()),
        None => event(EventType::DeadLettered).with("code", failure.code.as_str()).with_published_by(by),
    });
    events
}

/// The message as log and audit trail have it: without the cells that a result may show.
fn audit_message(failure: &Failure) -> &str {
    if failure.code == ErrorCode::SliceNotFound { "the file has no row of the slice" } else { &failure.message }
}

/// Writes into the headers of a dead letter why it is one.
fn describe(
    headers: &mut FieldTable,
    failure: &Failure,
    attempt: u32,
    first_failed_at: Option<DateTime<Utc>>,
    worker: &str,
) {
    let now = Utc::now();
    set_integer(headers, envelope::ATTEMPT, attempt);
    set(headers, envelope::ERROR_CODE, failure.code);
    set(headers, envelope::ERROR_STAGE, failure.stage);
    set(headers, envelope::ERROR_MESSAGE, cut(&failure.message));
    set(headers, envelope::FIRST_FAILED_AT, audit_chain::time_text(first_failed_at.unwrap_or(now)));
    set(headers, envelope::FAILED_AT, audit_chain::time_text(now));
    set(headers, envelope::WORKER, worker);
}

#[expect(clippy::string_slice, reason = "it is cut where a character begins")]
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES)]
}

fn refusal_receipt(refusal: &Refusal, failure: &Failure) -> Receipt {
    Receipt {
        status: Status::Failed,
        reason: None,
        job_id: refusal.job_id,
        batch_id: refusal.batch_id,
        entity: refusal.slice.as_ref().map(|slice| slice.entity.to_string()),
        period: refusal.slice.as_ref().map(|slice| slice.period.to_string()),
        file: refusal.file.clone(),
        actor: refusal.published_by.actor.clone(),
        user_id: refusal.published_by.user_id.clone(),
        fingerprint: None,
        source: None,
        mode: None,
        attempt: 1,
        rows: 0,
        rows_other_slices: 0,
        inserted: 0,
        updated: 0,
        unchanged: 0,
        deleted: 0,
        absent: 0,
        failed: 0,
        balance_sum: None,
        warnings: Vec::new(),
        error: Some(failure.clone()),
        duration_seconds: 0.0,
        finished_at: Utc::now().trunc_subsecs(3),
        repeated: false,
    }
}
