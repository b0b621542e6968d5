//! Carries a settlement out: the one place that publishes, writes down and acknowledges.
//!
//! The order is always: publish and have it confirmed, write it down in PostgreSQL, acknowledge. What
//! dies in between leaves the message where it was, and a copy that the run tells apart.

use std::time::Duration;

use chrono::{SubsecRound, Utc};
use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
    types::FieldTable,
};
use shared::{
    amqp::{AmqpError, Outgoing, within},
    chain,
    envelope::{self, republished, set, set_integer},
    event::{Event, EventType},
    failure::{ErrorCode, Failure},
    job::Job,
    outbox,
    postgres::{PostgresError, transaction},
    receipt::{Receipt, Status},
};
use uuid::Uuid;

use crate::{
    attempt::log,
    cache, claim, failpoint, ingest,
    outcome::{FailedAttempt, Outage, Outcome},
    services::Services,
    settle::Settlement,
};

const RETRYING: &str = include_str!("carry_out/retrying.sql");
/// How long the broker may take to acknowledge that it was told.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an error message in a header.
const MESSAGE_BYTES: usize = 4096;

/// A settlement could not be carried out; the message stays with the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsettled {
    #[error("a message could not be published")]
    Publish(#[from] AmqpError),
    #[error("an outcome could not be written down")]
    Write(#[from] PostgresError),
    #[error("the job was taken over by another worker")]
    TakenOver,
}

/// Carries out what was decided about a delivery.
pub(crate) async fn carry_out(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    claim: Uuid,
    outcome: Outcome,
    settlement: Settlement,
) {
    let done = match (settlement, outcome) {
        (Settlement::Receipt, Outcome::Ended(receipt)) => finish(services, job, &receipt).await,
        (Settlement::Receipt, Outcome::EndedBefore(receipt)) => send_receipt(services, &receipt).await,
        (Settlement::Retry(delay), Outcome::Failed(failed)) => retry(services, delivery, job, &failed, delay).await,
        (Settlement::DeadLetter, Outcome::Failed(failed)) => dead_letter(services, delivery, job, &failed).await,
        (Settlement::Park(delay), outcome) => park(services, delivery, job, &outcome, delay).await,
        (Settlement::Drop, _) => Ok(()),
        (Settlement::Return, _) => {
            release(services, claim).await;
            give_back(delivery).await;
            return;
        }
        (settlement, outcome) => {
            tracing::error!(?settlement, ?outcome, "an outcome was settled in a way that does not fit it");
            give_back(delivery).await;
            return;
        }
    };
    match done {
        Ok(()) => {
            failpoint::reach_for("before_ack", &job.slice);
            acknowledge(delivery).await;
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the job goes back to the queue");
            release(services, claim).await;
            give_back(delivery).await;
        }
    }
}

/// Dead-letters a message that is no job. It has no run; its events are written once.
pub(crate) async fn refuse(services: &Services, delivery: &Delivery, refusal: &shared::receive::Refusal) {
    let failure = refusal.failure();
    let receipt = refusal_receipt(refusal, &failure);
    let done = async {
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
        let events = failure_events(event, &failure, None);
        let (events, services) = (&events, services);
        transaction(&services.pool, move |tx, _| Box::pin(async move {
            let note = "INSERT INTO refused_messages (job_id, body_hash, replays) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let replays = i32::try_from(refusal.replays).unwrap_or(i32::MAX);
            let body_hash = refusal.body_hash.to_string();
            let new = tx.execute(note, &[&refusal.job_id, &body_hash, &replays]).await;
            if new.map_err(PostgresError::in_("note a refusal"))? == 1 { outbox::record(tx, events).await } else { Ok(()) }
        }))
        .await?;
        events.iter().for_each(log);
        services.metrics.failed(failure.code);
        services.metrics.ended(Status::Failed, 0, 0.0);
        services.relay.notify_one();
        send_receipt(services, &receipt).await
    };
    let done: Result<(), Unsettled> = done.await;
    match done {
        Ok(()) => acknowledge(delivery).await,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the message goes back to the queue");
            if let Unsettled::Write(_) = error {
                let _ = services.outages.probe_postgres(&services.pool).await;
            }
            give_back(delivery).await;
        }
    }
}

/// What follows from a job's end: the cache of its slice, and its receipt.
async fn finish(services: &Services, job: &Job, receipt: &Receipt) -> Result<(), Unsettled> {
    services.metrics.ended(receipt.status, receipt.rows, receipt.duration_seconds);
    services.relay.notify_one();
    if receipt.status == Status::Success {
        // After the commit nothing fails the job: what is left undone here, the relay does.
        if let Err(error) = cache::publish(&services.pool, &services.cache, &job.slice).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the Parquet file is not written yet");
        }
        failpoint::reach_for("cached", &job.slice);
    }
    send_receipt(services, receipt).await
}

async fn send_receipt(services: &Services, receipt: &Receipt) -> Result<(), Unsettled> {
    let body = serde_json::to_vec(receipt).unwrap_or_default();
    let mut properties = lapin::BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_type("aura.receipt.v1".into())
        .with_message_id(receipt.job_id.to_string().into())
        .with_timestamp(Utc::now().timestamp().unsigned_abs());
    if let Some(batch) = receipt.batch_id {
        properties = properties.with_correlation_id(batch.to_string().into());
    }
    let message = Outgoing {
        exchange: services.topology.events.clone(),
        key: receipt.routing_key(),
        body,
        properties,
        headers: FieldTable::default(),
        mandatory: false,
    };
    services.publisher.publish(&message).await?;
    failpoint::reach("receipt_sent");
    Ok(())
}

async fn retry(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
    delay: Duration,
) -> Result<(), Unsettled> {
    let (_, mut headers) = republished(&delivery.properties, false);
    envelope::remember(&mut headers, job);
    set_integer(&mut headers, envelope::ATTEMPT, job.attempt + 1);
    set(&mut headers, envelope::FIRST_FAILED_AT, envelope::time_text(job.first_failed_at.unwrap_or_else(Utc::now)));
    if let Some(claim) = failed.claim {
        set(&mut headers, envelope::RETURNED_CLAIM, claim);
    }
    publish(services, delivery, headers, services.topology.retry_queue(delay)).await?;
    failpoint::reach_for("retry_published", &job.slice);
    let events = failure_events(|event_type| event(services, job, failed, event_type), &failed.failure, Some(delay));
    let events = &events;
    transaction(&services.pool, move |tx, _| {
        Box::pin(async move {
            let attempt = i32::try_from(job.attempt).unwrap_or(i32::MAX);
            let fingerprint = failed.fingerprint.map(|fingerprint| fingerprint.to_string());
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&job.job_id, &failed.claim, &attempt, &failed.failure.code.as_str(), &fingerprint];
            let written = tx.execute(RETRYING, &params).await.map_err(PostgresError::in_("note a retry"))?;
            if written == 1 { outbox::record(tx, events).await } else { Ok(()) }
        })
    })
    .await?;
    events.iter().for_each(log);
    services.metrics.failed(failed.failure.code);
    services.metrics.retried();
    services.relay.notify_one();
    Ok(())
}

async fn dead_letter(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
) -> Result<(), Unsettled> {
    let (_, mut headers) = republished(&delivery.properties, false);
    envelope::remember(&mut headers, job);
    describe(&mut headers, &failed.failure, job.attempt, job.first_failed_at, &services.worker);
    if let Some(fingerprint) = failed.fingerprint {
        set(&mut headers, envelope::FINGERPRINT, fingerprint);
    }
    publish(services, delivery, headers, &services.topology.dead).await?;
    failpoint::reach_for("dead_published", &job.slice);
    let events = failure_events(|event_type| event(services, job, failed, event_type), &failed.failure, None);
    let events = &events;
    let written = transaction(&services.pool, move |tx, _| {
        Box::pin(async move {
            match ingest::write_failure(tx, failed, job, &services.worker).await {
                Ok(()) => {
                    outbox::record(tx, events).await?;
                    Ok(true)
                }
                Err(crate::services::Interrupted::Postgres(_, source)) => Err(source),
                Err(_) => Ok(false),
            }
        })
    })
    .await?;
    if !written {
        return Err(Unsettled::TakenOver);
    }
    events.iter().for_each(log);
    services.metrics.failed(failed.failure.code);
    services.metrics.ended(Status::Failed, 0, failed.receipt.duration_seconds);
    services.relay.notify_one();
    send_receipt(services, &failed.receipt).await
}

/// Gives a job back for a while. Its attempt, identity and times go with it.
async fn park(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    outcome: &Outcome,
    delay: Duration,
) -> Result<(), Unsettled> {
    let (_, mut headers) = republished(&delivery.properties, false);
    envelope::remember(&mut headers, job);
    set_integer(&mut headers, envelope::ATTEMPT, job.attempt);
    if let Outcome::Outage(Outage::Postgres(Some(claim)) | Outage::InputRoot(Some(claim))) = outcome {
        set(&mut headers, envelope::RETURNED_CLAIM, claim);
        release(services, *claim).await;
    }
    publish(services, delivery, headers, services.topology.retry_queue(delay)).await?;
    services.metrics.parked();
    Ok(())
}

async fn publish(services: &Services, delivery: &Delivery, headers: FieldTable, queue: &str) -> Result<(), Unsettled> {
    let (properties, _) = republished(&delivery.properties, false);
    let message = Outgoing {
        exchange: String::new(),
        key: queue.to_owned(),
        body: delivery.data.clone(),
        properties,
        headers,
        mandatory: true,
    };
    Ok(services.publisher.publish(&message).await?)
}

/// Tells PostgreSQL, now or once it answers, that a claim's worker lives.
async fn release(services: &Services, claim: Uuid) {
    if services.outages.postgres_is_away() || claim::give_back(&services.pool, &[claim]).await.is_err() {
        services.outages.release_later(claim);
    }
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
fn failure_events(event: impl Fn(EventType) -> Event, failure: &Failure, retry: Option<Duration>) -> Vec<Event> {
    let with_error = |event: Event| {
        let event = event.with("code", failure.code.as_str()).with("stage", failure.stage.as_str());
        event.with("message", failure.message.as_str())
    };
    let mut events = Vec::new();
    if failure.code == ErrorCode::SchemaInvalid {
        let fault = serde_json::to_value(&failure.schema).unwrap_or_default();
        events.push(event(EventType::SchemaValidationFailed).with("schema", fault));
    }
    events.push(with_error(event(EventType::ErrorOccurred)).with("bad_rows", failure.rows_total));
    events.push(match retry {
        Some(delay) => event(EventType::RetryScheduled).with("delay_seconds", delay.as_secs()),
        None => event(EventType::DeadLettered).with("code", failure.code.as_str()),
    });
    events
}

/// Writes into the headers of a dead letter why it is one.
fn describe(
    headers: &mut FieldTable,
    failure: &Failure,
    attempt: u32,
    first_failed_at: Option<chrono::DateTime<Utc>>,
    worker: &str,
) {
    let now = Utc::now();
    set_integer(headers, envelope::ATTEMPT, attempt);
    set(headers, envelope::ERROR_CODE, failure.code);
    set(headers, envelope::ERROR_STAGE, failure.stage);
    set(headers, envelope::ERROR_MESSAGE, cut(&failure.message));
    set(headers, envelope::FIRST_FAILED_AT, chain::time_text(first_failed_at.unwrap_or(now)));
    set(headers, envelope::FAILED_AT, chain::time_text(now));
    set(headers, envelope::WORKER, worker);
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

fn refusal_receipt(refusal: &shared::receive::Refusal, failure: &Failure) -> Receipt {
    Receipt {
        status: Status::Failed,
        reason: None,
        job_id: refusal.job_id,
        batch_id: refusal.batch_id,
        entity: refusal.slice.as_ref().map(|slice| slice.entity.to_string()),
        period: refusal.slice.as_ref().map(|slice| slice.period.to_string()),
        file: refusal.file.clone(),
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
    }
}

async fn acknowledge(delivery: &Delivery) {
    match within(ACK_TIMEOUT, "take an acknowledgement", delivery.ack(BasicAckOptions::default())).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the delivery is gone with its channel; the job will come again and do nothing"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the job was not acknowledged and will come again")
        }
    }
}

async fn give_back(delivery: &Delivery) {
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    if let Err(error) = within(ACK_TIMEOUT, "take a message back", delivery.nack(requeue)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}
